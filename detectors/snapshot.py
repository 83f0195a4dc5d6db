"""A model snapshot: everything that turns indicators into a score, content-addressed and readable.

Canonical JSON (sorted keys, no blanks), never pickle; its id is the SHA-256 of those bytes. Weights are integer
millipoints that sum to 300,000; `score = 400,000 + sum(w_i * u_i) + cap`, and `logit(p) = intercept - slope * (score -
400,000) / 300,000`.
"""

import hashlib
import itertools
from typing import Annotated, Literal, TypeVar

import msgspec

WEIGHT_SUM_MILLI = 300_000
MICRO = 1_000_000
_T = TypeVar("_T")


class SnapshotError(ValueError):
    """This engine cannot score with the bytes of a snapshot; the message says why."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of the model. All numbers are integers, so that its bytes are equal everywhere."""

    format: Literal["xinliu.model/1"] = "xinliu.model/1"
    parent_id: str | None
    prior: bool  # no label has moved the weights
    weights_milli: dict[str, Annotated[int, msgspec.Meta(ge=0, le=WEIGHT_SUM_MILLI)]]  # by indicator id
    intercept_micro: int
    slope_micro: Annotated[int, msgspec.Meta(gt=0)]
    anchors_micro: dict[str, tuple[int, int, int, int, int]]  # p5, p25, p50, p75, p95 of each indicator, times 10^6
    trained_labels_count: int = 0
    trained_bad_count: int = 0
    trained_until_day: int | None = None  # day number of the newest matured label
    log_offsets: dict[str, int] = {}  # "topic:partition" -> next offset, what it was trained on
    libraries: dict[str, str] = {}

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return msgspec.json.encode(self, order="sorted")


def content_id(body: bytes) -> str:
    """Return the id of an artefact: SHA-256 of its bytes, as 64 hex digits."""
    return hashlib.sha256(body).hexdigest()


def read(body: bytes, expected_id: str, kind: type[_T], name: str, refusal: type[ValueError]) -> _T:
    """Return the content of artefact `name`, decoded as `kind`.

    Raise `refusal` where its hash is not `expected_id` or it is not of that kind.
    """
    if content_id(body) != expected_id:
        raise refusal(f"{name} {expected_id}: its bytes hash to {content_id(body)}")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refusal(f"{name} {expected_id}: {error}") from error


def decode(body: bytes, expected_id: str) -> Snapshot:
    """Return the snapshot in `body`.

    Raise SnapshotError where its hash is not `expected_id`, or it cannot be scored with.
    """
    snapshot = read(body, expected_id, Snapshot, "model", SnapshotError)
    if sum(snapshot.weights_milli.values()) != WEIGHT_SUM_MILLI:
        raise SnapshotError(f"model {expected_id}: weights sum to {sum(snapshot.weights_milli.values())} millipoints")
    for name in snapshot.weights_milli:
        anchors = snapshot.anchors_micro.get(name)
        if anchors is None or not all(low < high for low, high in itertools.pairwise(anchors)):
            raise SnapshotError(f"model {expected_id}: anchors of {name} are missing or do not ascend")
    return snapshot
