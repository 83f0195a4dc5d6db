"""Models and rules by content id: the packaged ones, and others from their topics."""

from collections.abc import Mapping

from detectors.prior import prior_id, prior_snapshot
from detectors.rules.artefact import RuleSet, packaged_rules
from detectors.rules.artefact import decode as decode_rules
from detectors.rules.conditions import RuleError
from detectors.snapshot import Snapshot, SnapshotError
from detectors.snapshot import decode as decode_snapshot
from domain import topics
from sinks.artefacts import ArtefactCorrupt, fetch

FETCH_S_MAX = 30.0


def snapshot_of(bootstrap: str, client: Mapping[str, str], model_id: str, timeout_s: float = FETCH_S_MAX) -> Snapshot:
    """Return a model; "" is the packaged one.

    Raise SnapshotError where it cannot be scored with, and ArtefactMissing where `model.v1` does not have it.
    """
    if model_id in ("", prior_id()):
        return prior_snapshot()
    try:
        body = fetch(bootstrap, topics.MODEL, model_id, timeout_s, client)
    except ArtefactCorrupt as error:  # refused like one that hashes well and cannot be scored with
        raise SnapshotError(str(error)) from error
    return decode_snapshot(body, model_id)


def rules_of(bootstrap: str, client: Mapping[str, str], rules_id: str) -> RuleSet:
    """Return rules; "" are the packaged ones.

    Raise RuleError where they cannot be used, and ArtefactMissing where `artefact.v1` does not have them.
    """
    packaged = packaged_rules()
    if rules_id in ("", packaged.id):
        return packaged
    try:
        body = fetch(bootstrap, topics.ARTEFACT, rules_id, FETCH_S_MAX, client)
    except ArtefactCorrupt as error:
        raise RuleError(str(error)) from error
    return decode_rules(body, rules_id)
