"""The contract of each signal that can be evaluated: it rises at each level, falls, clears, is silent with a reason.

Everything comes about by events: a recorded log of lives (tests/streams/score/lives.py), lived in three ways each, is
read from its file and replayed in process under the packaged rules, with those enabled that ship disabled.
"""

import re
from collections import defaultdict
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from config.settings import Bank
from detectors.rules import machine, vocabulary
from detectors.rules.program import (
    CLEAR,
    NOT_APPLICABLE,
    NOT_COMPUTABLE,
    STATUS_BITS,
    SUPPRESSED,
    TOO_YOUNG,
    YELLOW,
)
from domain import topics
from domain.calendar import day_of
from domain.outputs import SEVERITIES, Alert
from replay.log_file import LogFile
from replay.log_writer import LogWriter
from replay.partition_run import Artefacts, Options, PartitionRun
from sinks.batch import Records
from streams.score.reevaluation import reevaluate
from tests.detectors.rules.every import every_artefact, every_rule
from tests.streams.score import lives
from tests.streams.score.kit import FIRST_DAY, prior_engine, record

NAMES = (
    {CLEAR: "clear"}
    | {YELLOW + i: severity for i, severity in enumerate(SEVERITIES)}
    | {NOT_COMPUTABLE: "not computable", TOO_YOUNG: "too young", SUPPRESSED: "suppressed", NOT_APPLICABLE: "n/a"}
)
RULES = {signal.row.id: (s, signal.row) for s, signal in enumerate(every_rule().evaluated)}
MIN_HISTORY = re.compile(r"ctx\.(history_days|covered_months) >= (\d+)")


class Day(NamedTuple):
    """A signal's status before a day's end, as if each level had held long enough, and how much history there is."""

    status: str
    history: float | None


class Heard:
    """Keeps the revisions that the supervisor gets, by enterprise and signal."""

    def __init__(self):
        self.alerts = defaultdict(list)

    def write(self, topic, records):
        for _, value in records if topic == topics.ALERT_SUPERVISOR else ():
            alert = msgspec.json.decode(value, type=Alert)
            self.alerts[alert.enterprise_id, alert.signal].append(alert)

    def finish(self):
        return self.alerts


class Played(NamedTuple):
    """By (signal, way): what was heard of the signal of that life, and its days."""

    alerts: dict
    days: dict


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Return the log of all lives: of each day a batch of what happens, and one of the tick that ends it."""
    path, offset = tmp_path_factory.mktemp("lives") / "events.log", 0
    with LogWriter(path, banks=[Bank(bank_id=bank, name_zh=bank) for bank in lives.BANKS], partitions=1) as writer:
        for day in range(lives.DAYS):
            for events in list(lives.events_of(day)), [lives.tick(day)]:
                rows = [record(event, f"{offset + n:016x}") for n, event in enumerate(events)]
                writer.append(Records.of([(None, value) for _, value, _, _ in rows]), 0, offset=offset)
                offset += len(rows) + 1  # the gap ends the batch
    return LogFile(path)


@pytest.fixture(scope="module")
def played(recording):
    """Replay the log, and look at each signal before a day's end."""
    options, heard = Options(records_at_once=1, rules=every_artefact().encode()), Heard()
    run = PartitionRun(recording, 0, heard, options, Artefacts(recording), options.writer())
    engine, days = prior_engine(run.memory, every_rule()), defaultdict(list)
    place = {}
    for batch, part in enumerate(run.parts()):
        run.apply(part)
        if batch % 2:
            continue
        if not place:
            rows = run.memory.residents.rows()
            place = {name: i for i, (name, _) in enumerate(run.memory.values(rows))}
        drafts = reevaluate(run.memory.state[rows].copy(), engine)
        for (signal, way), firm in lives.FIRMS.items():
            i = place[firm.name]
            days[signal, way].append(
                _day(signal, drafts[i], run.memory.state["seen_day"][rows[i]], FIRST_DAY + batch // 2)
            )
    alerts = run.finish().result
    return Played({key: alerts[firm.name, key[0]] for key, firm in lives.FIRMS.items()}, days)


def _day(signal, x, seen_day, today):
    s, row = RULES[signal]
    held_all = np.int64((1 << 30) - 1)
    detailed = machine.status(every_rule().programs, s, x["value"], x["null"], seen_day, today, held_all)
    slot = vocabulary.SLOT_OF[f"ctx.{MIN_HISTORY.fullmatch(row.min_history)[1]}"]
    return Day(NAMES[detailed & ((1 << STATUS_BITS) - 1)], None if x["null"][slot] else float(x["value"][slot]))


def _moves(alerts):
    """Return (state, severity) of the revisions that moved their episode; others move its case, as it stands."""
    said, before = [], ("", "")
    for alert in alerts:
        now = alert.state, alert.severity
        stands = now == before or (alert.state == "raised" and before[0] in ("upgraded", "downgraded"))
        if not stands:
            said.append(now)
        before = now
    return said


def _once_raised(played, signal, way):
    """Return the signal's day after that on which it was first raised in its whole life."""
    raised = played.alerts[signal, lives.WHOLE][0]
    return played.days[signal, way][day_of(raised.as_of - 1) - FIRST_DAY + 1]


def test_every_signal_that_can_be_evaluated_has_a_life():
    assert lives.LIVES.keys() == RULES.keys()


@pytest.mark.parametrize("signal", lives.LIVES)
def test_it_rises_at_each_level_falls_and_clears(played, signal):
    said = _moves(played.alerts[signal, lives.WHOLE])
    assert said == list(lives.LIVES[signal].said)
    levels = {severity for severity, condition in zip(SEVERITIES, RULES[signal][1].levels, strict=True) if condition}
    assert {severity for state, severity in said if state in ("raised", "upgraded")} == levels
    assert {severity for state, severity in said if state == "downgraded"} == levels - {
        max(levels, key=SEVERITIES.index)
    }
    assert said[-1][0] == "cleared"
    episodes = {alert.episode_id for alert in played.alerts[signal, lives.WHOLE]}
    assert len(episodes) == 1


@pytest.mark.parametrize("signal", [signal for signal in lives.LIVES if RULES[signal][1].suppress_when])
def test_it_is_suppressed(played, signal):
    assert _once_raised(played, signal, lives.WHOLE).status in SEVERITIES
    assert _once_raised(played, signal, lives.SUPPRESSED).status == "suppressed"
    assert played.alerts[signal, lives.SUPPRESSED] == []


@pytest.mark.parametrize("signal", lives.LIVES)
def test_it_is_not_computable(played, signal):
    assert _once_raised(played, signal, lives.BLIND).status == "not computable"
    assert played.alerts[signal, lives.BLIND] == []


@pytest.mark.parametrize("signal", lives.LIVES)
def test_it_is_too_young_until_it_has_the_history_that_it_asks_for(played, signal):
    needed = int(MIN_HISTORY.fullmatch(RULES[signal][1].min_history)[2])
    judged = [day for day in played.days[signal, lives.WHOLE] if day.status != "suppressed"]
    young = [day for day in judged if day.status == "too young"]
    assert young == [day for day in judged if day.history is None or day.history < needed]
    assert bool(young) == (needed > 0)
