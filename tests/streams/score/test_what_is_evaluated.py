"""Signals that nothing has moved are passed over, at events and at closes: no output and no value shows it."""

import random
import re
from collections import Counter

import msgspec
import numpy as np
import pytest

from detectors.rules import vocabulary
from detectors.rules.artefact import RulesArtefact, RuleSet, compiled
from detectors.rules.program import UNKNOWN_BAND
from detectors.snapshot import content_id
from domain import topics
from domain.calendar import date_of, day_of
from domain.events import Control, Instalment, LogRecord
from domain.outputs import Alert
from features.indicators.nulls import VALUE
from streams.score import partition as partitions
from streams.score.partition import Partition
from streams.transport.chunk import chunk_of
from tests.determinism import log as logs
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    HEADERS,
    OTHER_BANK,
    authorization,
    immediate_artefact,
    immediate_rules,
    loan,
    record,
    state_of,
    tick,
    txn,
)

PIECE = 25  # records
HOUR_MS = 3_600_000
_DAYS = re.compile(r"next_instalment_days [<>]=? \d+")


def waiting_rules() -> RuleSet:
    """Return the immediate rules, of which every level waits for three closes."""
    rows = [
        msgspec.structs.replace(row, levels=tuple(text and f"held({text}, d=3)" for text in row.levels))
        for row in immediate_artefact().signals
    ]
    artefact = RulesArtefact(signals=tuple(rows))
    return compiled(artefact, content_id(artefact.encode()), row_word="row", first=0)


def hourly_rules() -> RuleSet:
    """Return the immediate rules, with the days to an instalment compared in fractions: they move within a day."""
    rows = [
        msgspec.structs.replace(row, levels=tuple(_DAYS.sub(r"\g<0>.37", text) for text in row.levels))
        for row in immediate_artefact().signals
    ]
    artefact = RulesArtefact(signals=tuple(rows))
    return compiled(artefact, content_id(artefact.encode()), row_word="row", first=0)


def _run(rows: list, *, forgets: bool, piece: int = PIECE):
    """Apply a log; where it forgets the bands before each piece, every signal is evaluated at the next evaluation."""
    partition, found = Partition(0, logs.snapshot_of), []
    for at in range(0, len(rows), piece):
        if forgets:
            for name in ("band", "lender_band", "lender_due_day", "evaluated_day"):
                partition.state[name] = UNKNOWN_BAND
        for outgoing in partition.apply(chunk_of(topics.EVENTS, 0, at, rows[at : at + piece])):
            found += [(topic, key, value) for topic, records in outgoing for key, value in records]
    return found, state_of(partition)


@pytest.mark.parametrize("rules", [immediate_rules, waiting_rules])
def test_signals_that_nothing_has_moved_change_nothing(rules, monkeypatch, seed):
    in_force = rules()
    monkeypatch.setattr(partitions, "packaged_rules", lambda: in_force)
    (rows,) = logs.make(seed, enterprises=250, partitions=1).partitions
    few, few_values = _run(rows, forgets=False)
    all_of_them, all_values = _run(rows, forgets=True)
    alerts = [msgspec.json.decode(value, type=Alert) for topic, _, value in few if topic == topics.ALERT_SUPERVISOR]
    states = Counter(alert.state for alert in alerts)
    print(f"seed {seed}: {states}")
    assert all(states[state] for state in ("raised", "upgraded", "cleared")), states
    assert few == all_of_them
    assert few_values == all_values


def test_time_and_balance_move_a_lenders_view_within_a_day(monkeypatch, seed):
    """Two lenders, one instalment each; trade by the hour, up to the last millisecond of a day."""
    in_force, rnd = hourly_rules(), random.Random(seed)
    monkeypatch.setattr(partitions, "packaged_rules", lambda: in_force)
    due = [Instalment(due_on=f"{date_of(FIRST_DAY + day)}", due_minor=4 * 10**7) for day in (33, 35)]
    events = [
        loan("l1", "E1", 0, loan_id="L1", schedule=(due[0],)),
        loan("l2", "E1", 0, loan_id="L2", bank_id=OTHER_BANK, schedule=(due[1],)),
        *(authorization(f"a{bank}", "E1", to=bank) for bank in (BANK, OTHER_BANK)),
    ]
    for day in range(36):
        for hour in range(25) if day >= 28 else (5,):
            fen = 10**6 if day < 32 or rnd.random() < 0.5 else 2 * 10**8
            at = min(hour * HOUR_MS, 24 * HOUR_MS - 1)
            events.append(txn(f"{day}-{hour}", "E1", day, at, 10, balance_minor=fen))
        events.append(tick(day))
    rows = [record(event) for event in events]
    few, few_values = _run(rows, forgets=False, piece=1)
    assert (few, few_values) == _run(rows, forgets=True, piece=1), "passed over what had moved"
    alerts = [msgspec.json.decode(value, type=Alert) for topic, _, value in few if topic == topics.ALERT_SUPERVISOR]
    hours = {alert.as_of // HOUR_MS % 24 for alert in alerts if alert.signal == "EWS11_instalment_not_covered"}
    print(f"seed {seed}: moved in the hours {sorted(hours)} of UTC")
    assert hours - {16}, "only at 00:00 in Beijing"


def test_no_transaction_moves_what_is_said_to_stand_still(seed):
    """Between two records of a day that are transactions, with no tick between them."""
    slots = sorted(vocabulary.UNMOVED_BY_TXNS)
    (rows,) = logs.make(seed, enterprises=40, partitions=1).partitions
    partition, stood, compared = Partition(0, logs.snapshot_of), dict[int, tuple](), 0
    for at, row in enumerate(rows):
        for _ in partition.apply(chunk_of(topics.EVENTS, 0, at, [row])):
            continue
        if b'"type":"txn"' not in row[1]:
            stood.clear()
            partition.take_tally()
        elif partition.take_tally().outcomes["applied", ""]:
            x = partition._book.draft[0]
            null = x["null"][slots]
            now = (day_of(int(x["as_of_ms"]) - 1), tuple(null), tuple(np.where(null == VALUE, x["value"][slots], 0)))
            if (before := stood.get(int(x["slot"]), now))[0] == now[0]:
                assert now == before, (seed, at)
                compared += 1
            stood[int(x["slot"])] = now
    assert compared > 1_000


def test_what_a_tick_or_a_switch_of_models_moves_is_seen_with_the_next_transaction(monkeypatch):
    """In the middle of a day: no transaction moves it."""
    base = next(row for row in immediate_artefact().signals if row.id == "EWS48_adverse_gov_event")
    base = msgspec.structs.replace(
        base, levels=("", "", "op_credit_30d_count > 3"), hysteresis="held(op_credit_30d_count < 1, d=2)",
        min_history="ctx.history_days >= 30", not_computable_when="", evidence=("op_credit_30d_count",),
    )  # fmt: skip
    signals = (
        msgspec.structs.replace(base, id="T1", suppress_when="feed.stalled"),
        msgspec.structs.replace(base, id="T2", suppress_when="score.model_changed_30d"),
    )
    artefact = RulesArtefact(signals=signals)
    in_force = compiled(artefact, content_id(artefact.encode()), row_word="row", first=0)
    monkeypatch.setattr(partitions, "packaged_rules", lambda: in_force)
    switch = Control(
        control_id="m", action="activate", artefact="model", artefact_id=logs.other_id(), by="op", reason="test"
    )
    days = [event for day in range(40) for event in (txn(f"s{day}", "E1", day, 5), tick(day))]
    today = [txn("a", "E1", 40, 5), tick(39, stalled=True), txn("b", "E1", 40, 6), switch, txn("c", "E1", 40, 7)]
    rows = [
        (None, msgspec.json.encode(LogRecord(event=event)), HEADERS, 0) if event is switch else record(event)
        for event in (*days, *today)
    ]
    found, _ = _run(rows, forgets=False, piece=1)
    alerts = [msgspec.json.decode(value, type=Alert) for topic, _, value in found if topic == topics.ALERT_SUPERVISOR]
    stale = [(alert.signal, alert.event_ids) for alert in alerts if alert.state == "stale"]
    assert stale == [("T1", ["b"]), ("T2", ["c"])]
