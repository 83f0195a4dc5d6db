"""Signals that nothing has moved are passed over, at events and at closes: no output and no value shows it."""

from collections import Counter

import msgspec
import pytest

from detectors.rules.artefact import RulesArtefact, RuleSet, compiled
from detectors.rules.program import UNKNOWN_BAND
from detectors.snapshot import content_id
from domain import topics
from domain.outputs import Alert
from streams.score import partition as partitions
from streams.score.partition import Partition
from streams.transport.chunk import chunk_of
from tests.determinism import log as logs
from tests.streams.score.kit import immediate_artefact, immediate_rules, state_of

PIECE = 25  # records


def waiting_rules() -> RuleSet:
    """Return the immediate rules, of which every level waits for three closes."""
    rows = [
        msgspec.structs.replace(row, levels=tuple(text and f"held({text}, d=3)" for text in row.levels))
        for row in immediate_artefact().signals
    ]
    artefact = RulesArtefact(signals=tuple(rows))
    return compiled(artefact, content_id(artefact.encode()), row_word="row", first=0)


def _run(log: logs.Log, *, forgets: bool):
    """Apply a log; where it forgets the bands before each piece, every signal is evaluated at the next evaluation."""
    (rows,) = log.partitions
    partition, found = Partition(0, logs.snapshot_of), []
    for at in range(0, len(rows), PIECE):
        if forgets:
            for name in ("band", "shared_band", "lender_band"):
                partition.state[name] = UNKNOWN_BAND
        for outgoing in partition.apply(chunk_of(topics.EVENTS, 0, at, rows[at : at + PIECE])):
            found += [(topic, key, value) for topic, records in outgoing for key, value in records]
    return found, state_of(partition)


@pytest.mark.parametrize("rules", [immediate_rules, waiting_rules])
def test_signals_that_nothing_has_moved_change_nothing(rules, monkeypatch, seed):
    in_force = rules()
    monkeypatch.setattr(partitions, "packaged_rules", lambda: in_force)
    log = logs.make(seed, enterprises=250, partitions=1)
    few, few_values = _run(log, forgets=False)
    all_of_them, all_values = _run(log, forgets=True)
    alerts = [msgspec.json.decode(value, type=Alert) for topic, _, value in few if topic == topics.ALERT_SUPERVISOR]
    states = Counter(alert.state for alert in alerts)
    print(f"seed {seed}: {states}")
    assert all(states[state] for state in ("raised", "upgraded", "cleared")), states
    assert few == all_of_them
    assert few_values == all_values
