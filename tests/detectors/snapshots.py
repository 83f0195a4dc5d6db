"""Snapshots of format 2 for tests: any that decode accepts."""

import itertools
import math
import random

import msgspec
from hypothesis import strategies as st

from config.catalogue import anchors, indicators
from detectors.prior import core_snapshot, prior_snapshot
from detectors.scorecard import scorecard, utility
from detectors.snapshot import (
    ANCHORS_MAX,
    MICRO,
    NOT_APPLICABLE,
    NULL_LEVELS_MICRO,
    V2,
    WEIGHT_SUM_MILLI,
    Calibration,
    Snapshot,
)
from features.indicators import CORE
from features.indicators.nulls import NULL_NAMES, VALUE


def of_catalogue(name: str, rising: list[int]) -> tuple[int, ...]:
    """Return ascending levels in the direction of the catalogue."""
    return tuple(rising[::-1] if indicators()[name].higher_is_riskier else rising)


def span_micro(name: str) -> tuple[int, int]:
    """Return the range of the prior's anchors, in millionths."""
    low, *_, high = anchors()[name]
    return round(low * MICRO), round(high * MICRO)


def shared_out(parts: list[int]) -> list[int]:
    """Return weights in millipoints in proportion to `parts`, not all 0, that sum to the whole."""
    whole, ends, sofar = sum(parts), [0], 0
    for part in parts:
        sofar += part
        ends.append(WEIGHT_SUM_MILLI * sofar // whole)
    return [high - low for low, high in itertools.pairwise(ends)]


def made(seed: int, names: tuple[str, ...] = CORE) -> Snapshot:
    """Return a snapshot of format 2 over `names`: random anchors, flat pieces, steps, weights of 0."""
    rnd = random.Random(seed)
    anchors_micro, levels_micro, nulls_micro, medians_micro = {}, {}, {}, {}
    for name in names:
        low, high = span_micro(name)
        count = rnd.randint(2, ANCHORS_MAX)
        # Eighths of the range and their near neighbours: pieces may be as narrow as a millionth.
        places = [low + (high - low) * part // 8 + more for part in range(9) for more in (0, 1, 977)]
        anchors_micro[name] = tuple(sorted(rnd.sample(places, count)))
        inner = rnd.choices((0, 1, 250_000, 333_333, 500_000, MICRO), k=count - 2)
        levels_micro[name] = of_catalogue(name, sorted([0, *inner, MICRO]))
        nulls_micro[name] = dict.fromkeys(NULL_LEVELS_MICRO, 0)
        medians_micro[name] = rnd.randint(low - 1_000, high + 1_000)
    parts = [1, *rnd.choices((0, 0, 1, 5), k=len(names) - 1)]
    rnd.shuffle(parts)
    default = Calibration(intercept_micro=rnd.randint(-(10**7), 10**7), slope_micro=rnd.randint(1, 3 * 10**7))
    hidden = msgspec.structs.replace(
        prior_snapshot(),
        format=V2,
        prior=False,
        weights_milli=dict(zip(names, shared_out(parts), strict=True)),
        anchors_micro=anchors_micro,
        levels_micro=levels_micro,
        null_levels_micro=nulls_micro,
        medians_micro=medians_micro,
        unknown_at_micro=medians_micro,
        default_12m=rnd.choice((None, default)),
    )
    card = scorecard(hidden)
    for name in names:
        at_best = math.floor(MICRO * utility(card.rows[CORE.index(name)], medians_micro[name] / MICRO))
        for null in NULL_LEVELS_MICRO:
            nulls_micro[name][null] = rnd.randint(0, MICRO if null == NOT_APPLICABLE else at_best)
    return hidden


seeds = st.integers(0, 2**32 - 1)  # a draw for each anchor would take hypothesis seconds
snapshots = seeds.map(made)


def value_of(rnd: random.Random, name: str, snapshot: Snapshot) -> float:
    """Return a value of an indicator: at an anchor, beside one, between them or beyond."""
    low, high = span_micro(name)
    anchor = rnd.choice(snapshot.anchors_micro[name]) / MICRO
    x = rnd.choice((anchor, anchor + rnd.uniform(-1e-6, 1e-6), rnd.uniform(low / MICRO - 1.0, high / MICRO * 1.2 + 1)))
    return max(0.0, x) if name == "dpd_max_days" else x


def vector_of(seed: int, snapshot: Snapshot) -> list[float]:
    """Return a value of each core indicator that the snapshot names; of others by the catalogue's anchors."""
    rnd, core = random.Random(seed), core_snapshot()
    return [value_of(rnd, name, snapshot if name in snapshot.weights_milli else core) for name in CORE]


def nulls_of(seed: int) -> list[int]:
    """Return a code for each core indicator: half of them have a value."""
    rnd = random.Random(seed)
    return [rnd.choice((VALUE, rnd.randrange(1, len(NULL_NAMES)))) for _ in CORE]


def wide() -> Snapshot:
    """Return the prior over all core indicators, with as many evenly spaced anchors as there may be and bent levels."""
    bent = [round(MICRO * (i / (ANCHORS_MAX - 1)) ** 2) for i in range(ANCHORS_MAX)]
    places = {name: span_micro(name) for name in CORE}
    return msgspec.structs.replace(
        core_snapshot(),
        format=V2,
        anchors_micro={
            name: tuple(low + (high - low) * i // (ANCHORS_MAX - 1) for i in range(ANCHORS_MAX))
            for name, (low, high) in places.items()
        },
        levels_micro={name: of_catalogue(name, bent) for name in CORE},
        null_levels_micro=dict.fromkeys(CORE, dict.fromkeys(NULL_LEVELS_MICRO, 0)),
        unknown_at_micro=core_snapshot().medians_micro,
    )
