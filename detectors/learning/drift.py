"""Drift: how far the population has moved from the one a model was trained on (PSI), and whether its loss has risen.

PSI needs no outcomes. Its bins are fixed in the snapshot, nulls are a bin of their own, and a share below FLOOR counts
as FLOOR, so that an empty bin has a finite term. Concept drift is ADWIN on the champion's prequential log loss in
learning order: it cuts its window where the mean of a part differs from that of the rest.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.learning.examples import Examples, take
from detectors.learning.rescoring import rescored
from detectors.learning.statistics import Floats, Ints
from detectors.snapshot import MICRO, SCORE, Reference, Snapshot
from features.indicators.nulls import VALUE

BINS = 10
FLOOR = 1e-4  # the least share that a bin counts with: one in ten thousand
PSI_EXAMPLES_MIN = 500  # of fewer, chance alone moves eleven bins: their PSI is told, and calls no drift
LOSS_MAX = 5.0  # nats; ADWIN's bound is on values in [0, 1], and one surprise is no drift
ADWIN_DELTA = 0.002
_MILLI = 1_000
_NAMED_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The newest month against the population of training and the months before.

    psi_micro: by indicator, and of the score, of `examples` observations. concept: the champion's loss has risen.
    """

    psi_micro: Mapping[str, int]
    examples: int
    concept: bool


def reference_of(examples: Examples, names: Sequence[str]) -> dict[str, Reference]:
    """Return the bins of some indicators, and of the score, in the population of `examples`, EXAMPLE (n,).

    Inner edges are deciles, none of them the least value, so that no bin is empty here; there are fewer where many
    values are equal. All of it is integer arithmetic, the same on any machine. Raise ValueError where there are no
    examples.
    """
    if not len(examples):
        raise ValueError("a population of no examples has no bins")
    found = {}
    for name, micro in _columns(examples, names):
        shares = np.bincount(np.searchsorted(edges := _edges(micro), micro, "right"), minlength=len(edges) + 1)
        found[name] = Reference(
            edges_micro=tuple(edges.tolist()),
            shares_ppm=_ppm(shares.tolist()) if len(micro) else (MICRO,),
            null_ppm=round(MICRO * (len(examples) - len(micro)) / len(examples)),
        )
    return found


def psi_micro(examples: Examples, reference: Mapping[str, Reference]) -> dict[str, int]:
    """Return the population stability index of each indicator of `reference`, and of the score, in millionths.

    PSI = sum over bins of (a - e) ln(a / e), with e the share in the reference and a that in `examples` (Siddiqi, N.
    (2006). Credit risk scorecards). Empty without examples.
    """
    if not len(examples):
        return {}
    names = [name for name in reference if name != SCORE]
    found = {}
    for name, micro in _columns(examples, names):
        if (expected := reference.get(name)) is None:
            continue
        bins = np.searchsorted(np.array(expected.edges_micro, np.int64), micro, "right")
        counts = np.bincount(bins, minlength=len(expected.shares_ppm)).tolist()
        found[name] = psi_of_counts(counts, len(examples) - len(micro), expected)
    return found


def psi_of_model(model: Snapshot, observed: Examples) -> dict[str, int]:
    """Return the same against the population that a model learned from, with the scores that it gives.

    Empty where it has no population, as the packaged prior. Raise SnapshotError where this engine cannot score with it.
    """
    return psi_micro(rescored(model, observed), model.reference) if model.reference else {}


def psi_of_counts(counts: Sequence[int], nulls: int, expected: Reference) -> int:
    """Return the population stability index of counts by bin of `expected`, and of nulls, in millionths."""
    all_counts = np.array([*counts, nulls])
    null_share = expected.null_ppm / MICRO
    its = [*((1.0 - null_share) * share / MICRO for share in expected.shares_ppm), null_share]
    return round(MICRO * psi(all_counts / all_counts.sum(), its))


def psi(shares: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Return the population stability index of shares by bin (bins,).

    >>> psi([0.5, 0.5], [0.5, 0.5])
    0.0
    >>> round(psi([0.0, 1.0], [0.5, 0.5]), 3)
    4.604
    """
    ours, theirs = (np.maximum(np.asarray(one, np.float64), FLOOR) for one in (shares, expected))
    return math.fsum(((ours - theirs) * np.log(ours / theirs)).tolist())


def loss_has_risen(losses: Floats, newest: int, *, delta: float = ADWIN_DELTA) -> bool:
    """Return whether ADWIN finds, among the last `newest` losses (in learning order), that their mean has risen.

    losses: log loss of all that is retained, (n,); those over LOSS_MAX count as LOSS_MAX. delta: how often a stream
    without drift may be called one, at each look.

    Bifet, A., & Gavaldà, R. (2007). Learning from time-changing data with adaptive windowing.
    """
    from river.drift import ADWIN  # in here: challengers.py says why

    adwin, first = ADWIN(delta=delta), len(losses) - newest
    risen, before = False, 0.0
    for i, loss in enumerate((np.minimum(losses, LOSS_MAX) / LOSS_MAX).tolist()):
        adwin.update(loss)
        if adwin.drift_detected:
            risen = risen or (i >= first and adwin.estimation > before)
        before = adwin.estimation
    return risen


def drift_of(examples: Examples, reference: Mapping[str, Reference], losses: Floats, newest: int) -> Drift:
    """Return what the newest month says.

    examples: the month's observations, EXAMPLE (n,), whose outcomes nobody needs to know. losses: the champion's, in
    learning order; the last `newest` are the month's.
    """
    return Drift(
        psi_micro=psi_micro(examples, reference), examples=len(examples), concept=loss_has_risen(losses, newest)
    )


def drift_reasons(drift: Drift, *, psi_max: float) -> list[str]:
    """Return what is called drift, a phrase each; empty: nothing. `psi_max`: the largest PSI that is none."""
    reasons = []
    over = moved(drift.psi_micro, drift.examples, psi_max=psi_max)
    if over:
        said = ", ".join(f"{name} {drift.psi_micro[name] / MICRO:.3f}" for name in over[:_NAMED_MAX])
        more = f" and {len(over) - _NAMED_MAX} more" if len(over) > _NAMED_MAX else ""
        reasons.append(f"PSI over {psi_max:g}: {said}{more}")
    return [*reasons, "the champion's log loss has risen (ADWIN)"] if drift.concept else reasons


def moved(psi_micro: Mapping[str, int], examples: int, *, psi_max: float) -> tuple[str, ...]:
    """Return the names whose PSI is over `psi_max`, the largest first; empty where it is of few examples."""
    if examples < PSI_EXAMPLES_MIN:
        return ()
    over = sorted((-value, name) for name, value in psi_micro.items() if value > psi_max * MICRO)
    return tuple(name for _, name in over)


def _columns(examples: Examples, names: Sequence[str]) -> Iterable[tuple[str, Ints]]:
    """Yield each indicator with its values that are there, in millionths, int64; then the score."""
    values, nulls = take(examples, names, "value"), take(examples, names, "null")
    for i, name in enumerate(names):
        column = values[:, i][(nulls[:, i] == VALUE) & np.isfinite(values[:, i])]
        yield name, np.rint(column * MICRO).astype(np.int64)
    yield SCORE, examples["score_milli"].astype(np.int64) * _MILLI


def _edges(micro: Ints) -> Ints:
    """Return at most BINS - 1 ascending edges of values (n,)."""
    distinct = np.unique(micro)
    if len(distinct) < 2:
        return np.empty(0, np.int64)
    ordered = np.sort(micro)
    deciles = ordered[[len(ordered) * i // BINS for i in range(1, BINS)]]
    return np.unique(np.maximum(deciles, distinct[1]))


def _ppm(counts: Sequence[int]) -> tuple[int, ...]:
    """Return shares in ppm that sum to a million, by largest remainder; ties go to the first bin."""
    total = sum(counts)
    floors = [count * MICRO // total for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda i: (-(counts[i] * MICRO % total), i))
    for i in by_remainder[: MICRO - sum(floors)]:
        floors[i] += 1
    return tuple(floors)
