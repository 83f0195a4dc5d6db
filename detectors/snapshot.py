"""A model snapshot: everything that turns indicators into a score, content-addressed and readable.

Canonical JSON (sorted keys, no blanks), never pickle; its id is the SHA-256 of those bytes. Weights are integer
millipoints that sum to 300,000; `score = 400,000 + sum(w_i * u_i) + cap`, and `logit(p) = intercept - slope * (score -
400,000) / 300,000`.
"""

import hashlib
import itertools
from typing import Annotated, Any, Literal

import msgspec

from config.catalogue import indicators
from features.indicators import nulls
from features.indicators.nulls import NULL_NAMES

WEIGHT_SUM_MILLI = 300_000
MICRO = 1_000_000
V1: Literal["xinliu.model/1"] = "xinliu.model/1"
V2: Literal["xinliu.model/2"] = "xinliu.model/2"
ANCHORS_MAX = 16
BORROWERS = "borrowers"  # a population: enterprises with an open loan
SCORE = "score"  # names the score among references
UNKNOWN_LEVEL_MICRO = 350_000  # of what is not computable, in format 1
NOT_APPLICABLE = NULL_NAMES[nulls.NOT_APPLICABLE]
NULL_LEVELS_MICRO = {name: MICRO // 2 if name == NOT_APPLICABLE else UNKNOWN_LEVEL_MICRO for name in NULL_NAMES[1:]}
Weight = Annotated[int, msgspec.Meta(ge=0, le=WEIGHT_SUM_MILLI)]
Level = Annotated[int, msgspec.Meta(ge=0, le=MICRO)]
Value = Annotated[int, msgspec.Meta(ge=-(10**18), le=10**18)]  # of an indicator, times 10^6
Intercept = Annotated[int, msgspec.Meta(ge=-1_000 * MICRO, le=1_000 * MICRO)]
Slope = Annotated[int, msgspec.Meta(gt=0, le=1_000 * MICRO)]


class SnapshotError(ValueError):
    """This engine cannot score with the bytes of a snapshot; the message says why."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From a score to a probability: `logit(p) = intercept - slope * (score - 400,000) / 300,000`."""

    intercept_micro: Intercept
    slope_micro: Slope


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One indicator (or the score) in the population that a model was trained on: fixed bins for PSI.

    edges_micro: inner edges, ascending. shares_ppm: of the values below the first edge, between two, at or above the
    last; one more than edges, without nulls. null_ppm: share of nulls.
    """

    edges_micro: tuple[int, ...]
    shares_ppm: tuple[int, ...]
    null_ppm: int


_FIELDS_1 = (
    "format", "parent_id", "prior", "weights_milli", "intercept_micro", "slope_micro", "anchors_micro",
    "trained_labels_count", "trained_bad_count", "trained_until_day", "log_offsets", "libraries",
)  # fmt: skip


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of the model. All numbers are integers, so that its bytes are equal everywhere.

    The utility of a value is linear between its anchors' levels, and constant beyond the outer ones. Levels follow the
    catalogue's direction: they never fall towards the better side. An indicator without a value counts as the level of
    its kind of null. Format 1 has five anchors, whose levels are fixed quarters, and NULL_LEVELS_MICRO: decoded, or
    made by `of_format_1`, it has them too, and is encoded without.
    """

    format: Literal["xinliu.model/1", "xinliu.model/2"] = V2
    parent_id: str | None
    prior: bool  # no label has moved the weights
    weights_milli: dict[str, Weight]  # by indicator id
    intercept_micro: Intercept
    slope_micro: Slope
    anchors_micro: dict[str, tuple[Value, ...]]  # ascending, times 10^6
    levels_micro: dict[str, tuple[Level, ...]] = {}  # utility at each anchor, times 10^6
    null_levels_micro: dict[str, dict[str, Level]] = {}  # by indicator id and name of the null, times 10^6
    unknown_at_micro: dict[str, Value] = {}  # the value, times 10^6, that what is not computable counts as at the best
    medians_micro: dict[str, Value] = {}  # of the population, times 10^6: what reasons compare with
    default_12m: Calibration | None = None  # of pd_12m; None until enough outcomes have matured
    population: str = BORROWERS  # those it was trained on; the score of any other is an extrapolation
    trained_labels_count: int = 0
    trained_bad_count: int = 0
    trained_from_day: int | None = None  # day number of the oldest observation
    trained_until_day: int | None = None  # day number of the newest matured label
    log_offsets: dict[str, int] = {}  # "topic:partition" -> next offset, what it was trained on
    libraries: dict[str, str] = {}
    policy: dict[str, float] = {}  # the settings that it was trained under
    reference: dict[str, Reference] = {}  # by indicator id, and SCORE

    def encode(self) -> bytes:
        """Return the canonical bytes, in the format that the snapshot names."""
        fields = _FIELDS_1 if self.format == V1 else self.__struct_fields__
        return msgspec.json.encode({name: getattr(self, name) for name in fields}, order="sorted")

    def scores_as(self, other: "Snapshot") -> bool:
        """Return whether both give every enterprise the same score: they differ in probabilities or records alone."""
        return all(getattr(self, name) == getattr(other, name) for name in _SCORING)


_SCORING = ("weights_milli", "anchors_micro", "levels_micro", "null_levels_micro")  # medians move no score


def quarters(falling: bool) -> tuple[int, ...]:
    """Return the levels of five anchors under format 1. falling: higher is riskier."""
    levels = (0, MICRO // 4, MICRO // 2, MICRO * 3 // 4, MICRO)
    return levels[::-1] if falling else levels


def content_id(body: bytes) -> str:
    """Return the id of an artefact: SHA-256 of its bytes, as 64 hex digits."""
    return hashlib.sha256(body).hexdigest()


def read(body: bytes, expected_id: str, kind: Any, name: str, refusal: type[ValueError]) -> Any:
    """Return the content of artefact `name`, decoded as `kind`.

    Raise `refusal` where its hash is not `expected_id` or it is not of that kind.
    """
    if content_id(body) != expected_id:
        raise refusal(f"{name} {expected_id}: its bytes hash to {content_id(body)}")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(f"{name} {expected_id}: {error}") from error


def decode(body: bytes, expected_id: str) -> Snapshot:
    """Return the snapshot in `body`, of either format.

    Raise SnapshotError where its hash is not `expected_id`, or it cannot be scored with.
    """
    snapshot: Snapshot = read(body, expected_id, Snapshot, "model", SnapshotError)
    if snapshot.format == V1:
        if odd := sorted(set(msgspec.json.decode(body)) - set(_FIELDS_1)):
            raise SnapshotError(f"model {expected_id}: format {V1} has no {', '.join(odd)}")
        snapshot = _with_levels(snapshot)
    if sum(snapshot.weights_milli.values()) != WEIGHT_SUM_MILLI:
        raise SnapshotError(f"model {expected_id}: weights sum to {sum(snapshot.weights_milli.values())} millipoints")
    for name in snapshot.weights_milli:
        if reason := _unusable(snapshot, name):
            raise SnapshotError(f"model {expected_id}: {reason}")
    if odd := sorted(set(snapshot.unknown_at_micro) - set(snapshot.null_levels_micro)):
        raise SnapshotError(f"model {expected_id}: {odd[0]} has a value that bounds its nulls, and no nulls")
    for name, reference in snapshot.reference.items():
        if len(reference.shares_ppm) != len(reference.edges_micro) + 1:
            raise SnapshotError(f"model {expected_id}: the shares of reference {name} are not one more than its edges")
    return snapshot


def _unusable(snapshot: Snapshot, name: str) -> str | None:
    """Return why an indicator cannot be scored with; None where it can."""
    anchors, levels = snapshot.anchors_micro.get(name, ()), snapshot.levels_micro.get(name, ())
    if not 2 <= len(anchors) <= ANCHORS_MAX:
        return f"{name} has {len(anchors)} anchors, not 2 to {ANCHORS_MAX}"
    if not all(low < high for low, high in itertools.pairwise(anchors)):
        return f"anchors of {name} do not ascend"
    if snapshot.format == V1 and len(anchors) != 5:
        return f"{name} has {len(anchors)} anchors, format {V1} has five"
    if len(levels) != len(anchors) or {levels[0], levels[-1]} != {0, MICRO}:
        return f"levels of {name} are not one an anchor, from 0 to {MICRO:,}"
    falls = levels[0] == MICRO
    if list(levels) != sorted(levels, reverse=falls):
        return f"levels of {name} rise and fall"
    if name in indicators() and falls != indicators()[name].higher_is_riskier:
        return f"levels of {name} {'fall' if falls else 'rise'}, against the direction of the catalogue"
    if name not in snapshot.medians_micro:
        return f"the median of {name} is missing"
    nulls = snapshot.null_levels_micro.get(name, {})
    if unknown := sorted(set(nulls) - set(NULL_LEVELS_MICRO)):
        return f"{name} has a level for {unknown[0]}, which is no kind of null"
    if lacking := [null for null in NULL_LEVELS_MICRO if null not in nulls]:
        return f"{name} has no level for {lacking[0]}"
    is_missing = snapshot.format == V2 and name not in snapshot.unknown_at_micro
    return f"{name} lacks the value that bounds what a null may count" if is_missing else None


def of_format_1(
    *,
    parent_id: str | None,
    prior: bool,
    weights_milli: dict[str, int],
    intercept_micro: int,
    slope_micro: int,
    anchors_micro: dict[str, tuple[int, ...]],
) -> Snapshot:
    """Return a snapshot of format 1."""
    return _with_levels(
        Snapshot(
            format=V1,
            parent_id=parent_id,
            prior=prior,
            weights_milli=weights_milli,
            intercept_micro=intercept_micro,
            slope_micro=slope_micro,
            anchors_micro=anchors_micro,
        )
    )


def _with_levels(old: Snapshot) -> Snapshot:
    """Return a snapshot of format 1 with the levels that it implies."""
    rows, names = indicators(), old.weights_milli
    falling = {name: name in rows and rows[name].higher_is_riskier for name in names}
    return msgspec.structs.replace(
        old,
        levels_micro={name: quarters(falling[name]) for name in names},
        null_levels_micro=dict.fromkeys(names, NULL_LEVELS_MICRO),
        medians_micro={name: anchors[len(anchors) // 2] for name, anchors in old.anchors_micro.items()},
    )
