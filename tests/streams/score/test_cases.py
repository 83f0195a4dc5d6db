"""Readers hear of their cases: a bank of its moves alone, the supervisor of every revision."""

import collections
import functools
from typing import Any

import msgspec
import pytest

from config.case_table import Cutoffs
from detectors.episodes import TRANSITIONS
from detectors.rules.artefact import RulesArtefact, decode
from detectors.snapshot import content_id
from domain import topics
from domain.outputs import SEVERITIES, Alert
from features.state.case_views import UNKNOWN
from streams.score import loop, partition
from streams.score.alerts import NO_OFFSET
from streams.score.case_of import pd_ppm
from streams.score.columns import AlertColumns, Columns, DispositionColumns
from streams.score.partition import Partition
from streams.score.records import bank_text
from streams.score.rows import Writer
from streams.transport.chunk import chunk_of
from tests.determinism import log as logs
from tests.streams.score.kit import (
    BANK,
    OTHER_BANK,
    claiming_artefact,
    claiming_rules,
    immediate_artefact,
    immediate_rules,
    state_of,
    tick,
)
from tests.streams.score.test_alerts import (
    ARREARS,
    PENALTY,
    SILENT,
    by_bank,
    consent,
    control,
    days,
    gov,
    overdue,
    run,
    silent_then_lent,
    supervised,
    two_lenders,
)

LEVELS = {None: 0, **{name: 1 + i for i, name in enumerate(SEVERITIES)}}
CHUNK, ENTERPRISES = 500, 150


@pytest.fixture(autouse=True)
def claiming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "packaged_rules", claiming_rules)


def intercept_milli() -> int:
    table = claiming_artefact().case
    assert table is not None
    return table.intercept_milli


def moves(alerts: list[Alert]) -> list[tuple[str, Any, Any]]:
    """Return (what the case did, severity before and now) of those that tell of a move."""
    return [(a.case_state, a.case_severity_before, a.case_severity) for a in alerts if a.case_state]


def assert_coherent(alerts: list[Alert], *, is_bank: bool, anew_after: int = -1) -> int:
    """Assert that one reader hears the whole life of its cases of one enterprise; return the moves.

    A bank hears nothing during a backfill, and begins anew after the offset that ends it.
    """
    level, name, found, last = 0, "", 0, -1
    for alert in alerts:
        if is_bank and last <= anew_after < alert.offset:
            level, name = 0, ""
        last = alert.offset
        before, now = LEVELS[alert.case_severity_before or None], LEVELS[alert.case_severity]
        assert bool(alert.case_id) == bool(now)
        if alert.stock and not alert.case_state:
            level, name = now, alert.case_id
        match alert.case_state:
            case "opened":
                assert (before, level) == (0, 0)
                assert now
                level, name = now, alert.case_id
            case "graver":
                assert level == before < now
                level = now
            case "eased":
                assert level == before > now
                level = now
            case "resolved":
                assert level == before == now
                level = 0
            case _ if is_bank:
                assert alert.stock or alert.state in ("closed", "retracted")
        found += bool(alert.case_state)
        if is_bank or alert.case_state:  # beside others of one record, one that stands before tells of the same case
            assert alert.case_id == name
        if alert.state == "closed":
            level = 0
        if alert.case_lines:
            logit = intercept_milli() + sum(line.points_milli for line in alert.case_lines)
            assert alert.case_pd_12m_ppm == pd_ppm(logit)
            assert [line.points_milli for line in alert.case_lines] == sorted(
                (line.points_milli for line in alert.case_lines), reverse=True
            )
    return found


@functools.cache
def of_log(rules: Any, seed: int) -> tuple[list[tuple[str, bytes, bytes]], Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "packaged_rules", rules)
        return through(Partition(0, logs.snapshot_of), logs.make(seed, enterprises=ENTERPRISES, partitions=1))


def through(one: Partition, log: logs.Log, piece: int = CHUNK, *, forgets: bool = False) -> Any:
    (rows,) = log.partitions
    found: list[tuple[str, bytes, bytes]] = []
    for at in range(0, len(rows), piece):
        if forgets:
            one.state["case_rises_at"] = UNKNOWN
        for outgoing in one.apply(chunk_of(topics.EVENTS, 0, at, rows[at : at + piece])):
            found += [(topic, key, value) for topic, records in outgoing for key, value in records]
    return found, state_of(one)


def heard_of(found: list[tuple[str, bytes, bytes]]) -> dict[tuple[str, str], list[Alert]]:
    """Return the alerts of each (topic, enterprise) but notices, in the order in which they were told.

    A backfill's count as told to the supervisor. A bank's `seq` orders the revisions of one alert, not several alerts.
    """
    by_reader = collections.defaultdict(list)
    for topic, _, value in found:
        if "alert" in topic:
            alert = msgspec.json.decode(value, type=Alert)
            if alert.offset != NO_OFFSET:
                reader = topics.ALERT_SUPERVISOR if topic == topics.ALERT_BACKFILL else topic
                by_reader[reader, alert.enterprise_id].append(alert)
    return {reader: sorted(alerts, key=lambda a: a.offset) for reader, alerts in by_reader.items()}


def backfilled_until(found: list[tuple[str, bytes, bytes]]) -> int:
    said = [msgspec.json.decode(value, type=Alert) for topic, _, value in found if topic == topics.ALERT_BACKFILL]
    return max((alert.offset for alert in said), default=-1)


def seeds_from(seed: int) -> range:
    """Six logs: what a kind of log has somewhere need not be in each (of 31 logs, 2 tell as much with a claim)."""
    return range(seed, seed + 6)


def test_every_reader_hears_the_whole_life_of_its_cases_and_a_bank_of_nothing_else(module_seed: int) -> None:
    kinds = collections.Counter[str]()
    for seed in seeds_from(module_seed):
        found, _ = of_log(claiming_rules, seed)
        for (topic, _), alerts in heard_of(found).items():
            is_bank = topic != topics.ALERT_SUPERVISOR
            assert_coherent(alerts, is_bank=is_bank, anew_after=backfilled_until(found))
            kinds.update(alert.case_state or "-" for alert in alerts if is_bank)
    assert min(kinds[state] for state in ("opened", "graver", "eased", "resolved")) > 0, kinds


def test_a_claim_tells_banks_less(module_seed: int) -> None:
    told = collections.Counter[str]()
    for seed in seeds_from(module_seed):
        for name, rules in (("claim", claiming_rules), ("signals", immediate_rules)):
            heard = heard_of(of_log(rules, seed)[0])
            told[name] += sum(len(alerts) for (topic, _), alerts in heard.items() if topic != topics.ALERT_SUPERVISOR)
    assert told["claim"] < told["signals"]


def test_a_claim_leaves_every_revision_of_signals_to_the_supervisor_as_it_was(module_seed: int) -> None:
    """Beside them only episodes stand that tell of a case that the score alone moved."""
    added = collections.Counter[str]()
    for seed in seeds_from(module_seed):
        claimed, plain = (heard_of(of_log(rules, seed)[0]) for rules in (claiming_rules, immediate_rules))
        for (topic, enterprise), alerts in plain.items():
            if topic != topics.ALERT_SUPERVISOR:
                continue
            left = [fact(alert) for alert in alerts]
            for alert in claimed[topic, enterprise]:
                if left and fact(alert) == left[0]:
                    left.pop(0)
                else:
                    assert alert.state in ("raised", "stale")
                    assert alert.case_state
                    added[alert.case_state] += 1
            assert not left
    assert added["graver"] or added["opened"], added
    assert added["eased"], added


def fact(alert: Alert) -> tuple[Any, ...]:
    return alert.signal, alert.state, alert.severity, alert.as_of, alert.reason, alert.stock, tuple(alert.evidence)


@pytest.mark.parametrize("piece", [CHUNK, 23])
def test_which_evaluation_judges_a_case_shows_nowhere(piece: int, module_seed: int) -> None:
    """Batches differ, and cases are judged anew at each first event of a batch."""
    found, state = of_log(claiming_rules, module_seed)
    again, state_again = through(
        Partition(0, logs.snapshot_of),
        logs.make(module_seed, enterprises=ENTERPRISES, partitions=1),
        piece,
        forgets=True,
    )
    assert sorted(map(repr, found)) == sorted(map(repr, again))
    assert state == state_again


def test_a_signal_that_moves_no_case_goes_to_the_supervisor_alone() -> None:
    events = [*two_lenders(), *days(0, 60), overdue(60, 40), *days(61, 63), gov("p", 63, "penalty"), *days(64, 66)]
    _, messages = run(events)
    assert [a.signal for a in supervised(messages)][-2:] == [ARREARS, PENALTY]
    told = by_bank(messages, BANK)
    assert [severity for _, _, severity in moves(told)][-1] == "red"
    assert PENALTY not in {a.signal for a in told}  # the case is red already
    assert PENALTY in {a.signal for a in by_bank(messages, OTHER_BANK)}  # its case knows nothing of arrears


def test_a_bank_sees_of_the_claim_what_it_sees_of_signals() -> None:
    events = [*two_lenders(), *days(0, 60), gov("p", 60, "enforcement"), overdue(61, 40), *days(62, 64)]
    _, messages = run(events)
    theirs, all_of_them = by_bank(messages, OTHER_BANK)[-1], supervised(messages)[-1]
    lines = {line.name: line for line in all_of_them.case_lines}
    assert {ARREARS, PENALTY, "score.points"} <= set(lines)
    assert (lines[PENALTY].severity, lines[PENALTY].points_milli) == ("orange", 1_500)
    for alert in by_bank(messages, OTHER_BANK):
        assert not alert.case_lines or ARREARS not in {line.name for line in alert.case_lines}
    assert theirs.case_severity != "red"


def test_the_score_alone_moves_a_case_by_its_leading_episode() -> None:
    """Arrears at another bank cap the score: of these this bank hears nothing but the score."""
    events = [
        *two_lenders(), *days(0, 60), gov("p", 60, "penalty"), *days(61, 64),
        overdue(64, 95, bank_id=OTHER_BANK, loan_id="L2"), *days(65, 67),
    ]  # fmt: skip
    _, messages = run(events)
    told = [a for a in by_bank(messages, BANK) if a.evidence]
    moved = told[-1]
    assert (moved.signal, moved.state, moved.severity) == (PENALTY, "raised", "yellow")
    assert moved.case_state in ("opened", "graver")
    assert moved.score < told[0].score or len(told) == 1
    assert {a.case_severity for a in supervised(messages)[-1:]} == {"red"}  # its own case the arrears have moved
    assert moved.revision not in {a.revision for a in supervised(messages, PENALTY)}


def test_a_case_eases_at_a_close_and_is_resolved_with_what_it_is_made_of() -> None:
    events = [
        *two_lenders(), *days(0, 60), overdue(60, 40), *days(61, 64), overdue(64, 0), *days(64, 150),
    ]  # fmt: skip
    _, messages = run(events)
    for told in (by_bank(messages, BANK), supervised(messages)):
        assert assert_coherent(told, is_bank=len(told) < len(supervised(messages)))
        states = [state for state, _, _ in moves(told)]
        assert states[:2] in (["opened", "eased"], ["opened", "graver"])
        assert states[-1] == "resolved"
        eased = next(a for a in told if a.case_state == "eased")
        assert eased.case_severity == "orange"  # cured: it is under observation
        first = next(a for a in told if a.case_severity == "red")
        assert first.case_id == eased.case_id


def test_a_new_lender_is_listed_what_its_case_is_made_of() -> None:
    events = [
        *two_lenders(), *silent_then_lent(), consent(105, to=OTHER_BANK, revoked=True), tick(105),
        consent(106, to=OTHER_BANK), tick(106),
    ]  # fmt: skip
    _, messages = run(events)
    told = by_bank(messages, OTHER_BANK)
    closed, listed = [a for a in told if a.state == "closed"], [a for a in told if a.stock]
    assert {a.signal for a in closed} == {a.signal for a in listed} >= {SILENT}
    assert {a.case_id for a in closed} == {a.case_id for a in listed}
    assert not any(a.case_state for a in closed + listed)


def test_a_bank_without_a_case_is_listed_nothing_and_no_revision_is_lost() -> None:
    """An episode is open that moves no case: a yellow signal beside a good score."""
    usual = claiming_artefact()
    assert usual.case is not None
    cut = msgspec.structs.replace(usual.case.cutoffs_milli, yellow=27_000, orange=28_000, red=29_000)
    mild = msgspec.structs.replace(usual, case=msgspec.structs.replace(usual.case, cutoffs_milli=cut))
    switch = control("activate", content_id(mild.encode()))
    again = [consent(62, to=OTHER_BANK, revoked=True), tick(62), consent(63, to=OTHER_BANK), tick(63)]
    quiet = [*two_lenders(), *days(0, 60), gov("p", 60, "penalty"), *days(61, 62)]
    events = [switch, *quiet, *again, overdue(64, 40), tick(64)]
    _, messages = run(events, (mild,))
    assert PENALTY in {a.signal for a in supervised(messages)}
    assert not any(a.case_id or a.case_severity or a.case_state for a in supervised(messages, PENALTY)[:1])
    assert [a for a in by_bank(messages, OTHER_BANK) if a.offset != NO_OFFSET] == []
    (opened,) = (a for a in by_bank(messages, BANK) if a.case_state)
    assert (opened.signal, opened.case_severity) == (ARREARS, "red")
    assert {PENALTY, ARREARS} <= {line.name for line in opened.case_lines}
    revisions = collections.defaultdict(set)
    for alert in (*supervised(messages), *by_bank(messages, BANK), *by_bank(messages, OTHER_BANK)):
        if alert.offset != NO_OFFSET:
            revisions[alert.alert_id].add(alert.revision)
    assert all(found == set(range(1, len(found) + 1)) for found in revisions.values())


def test_a_switch_of_rules_judges_the_cases_anew_and_compiles_nothing() -> None:
    run([*two_lenders(), *days(0, 5)])
    leaves = (loop.apply_records, loop.close_days, loop.change_rules)
    before = {f.__name__: len(f.signatures) for f in leaves}
    usual = claiming_artefact()
    assert usual.case is not None
    cut = msgspec.structs.replace(usual.case.cutoffs_milli, yellow=-29_000, orange=-28_000, red=-27_000)
    strict = msgspec.structs.replace(usual, case=msgspec.structs.replace(usual.case, cutoffs_milli=cut))
    plain = immediate_artefact()
    events = [
        *two_lenders(), *days(0, 60), gov("p", 60, "penalty"), *days(61, 63),
        control("activate", content_id(strict.encode())), *days(63, 65),
        control("activate", content_id(plain.encode())), *days(65, 67),
        control("activate", content_id(usual.encode())), *days(67, 69),
    ]  # fmt: skip
    _, messages = run(events, (usual, strict, plain))
    told = [a for a in by_bank(messages, BANK, PENALTY) if a.case_state]
    assert [(a.case_state, a.case_severity) for a in told] == [("opened", "red"), ("eased", "yellow")]
    assert {f.__name__: len(f.signatures) for f in leaves} == {name: max(1, n) for name, n in before.items()}


def test_rules_that_lack_a_cases_only_signal_resolve_it() -> None:
    usual = claiming_artefact()
    assert usual.case is not None
    rows = tuple(row for row in usual.signals if row.id != ARREARS)
    case = usual.case.of_signals(frozenset(row.id for row in rows))
    lacking = RulesArtefact(signals=rows, case=case)
    switch = control("activate", content_id(lacking.encode()))
    events = [*two_lenders(), *days(0, 60), overdue(60, 40), *days(61, 63), switch, *days(63, 65)]
    _, messages = run(events, (lacking,))
    last = by_bank(messages, BANK, ARREARS)[-1]
    assert (last.state, last.case_state, last.case_severity) == ("ended", "resolved", "red")
    assert not last.case_lines


def test_a_dead_feed_makes_no_case_graver_by_the_score_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The score falls for want of records, below an orange that lies just above what the case claims."""
    before = [*two_lenders(), *days(0, 100), overdue(100, 3), tick(100)]
    (opened,) = moves_of(supervised(run(before)[1]))
    logit = intercept_milli() + sum(line.points_milli for line in opened.case_lines or ())
    artefact = claiming_artefact()
    assert artefact.case is not None
    cut = Cutoffs(yellow=logit - 30, orange=logit + 150, red=logit + 9_000)
    body = RulesArtefact(
        signals=artefact.signals, case=msgspec.structs.replace(artefact.case, cutoffs_milli=cut)
    ).encode()
    monkeypatch.setattr(partition, "packaged_rules", lambda: decode(body, content_id(body)))
    dead = [tick(day, stalled=True) for day in range(101, 125)]
    _, messages = run([*before, *dead])
    assert [a.case_state for a in moves_of(supervised(messages))] == ["opened"]
    scores = [msgspec.json.decode(m.value)["score"] for m in messages if m.topic == topics.SCORE]
    assert scores[-1] < opened.score - 2, "it has fallen"
    _, messages = run([*before, *dead, tick(125)])
    assert [a.case_state for a in moves_of(supervised(messages))] == ["opened", "graver"], "once the feed is back"


def moves_of(alerts: list[Alert]) -> list[Alert]:
    return [alert for alert in alerts if alert.case_state]


Key = tuple[bytes, int, str, int, str, str]  # enterprise, offset, signal, opened_at, state, topic


class _Levels:
    """A taker of columns: the levels of a reader's case after the revisions of each key, in the order of the log.

    A bank numbers what it is told by itself, so seq is no part of the key.
    """

    def __init__(self) -> None:
        self.found: dict[Key, list[int]] = collections.defaultdict(list)

    def take(self, _columns: Columns) -> None:
        return

    def take_alerts(self, columns: AlertColumns) -> None:
        transitions = columns.transition.tolist()  # 0: nobody is told
        keys = [
            (enterprise, offset, columns.signals[signal], opened_ms, TRANSITIONS[transition])
            for enterprise, offset, signal, opened_ms, transition in zip(
                columns.enterprise_id.tolist(), columns.offset.tolist(), columns.signal.tolist(),
                columns.opened_ms.tolist(), transitions, strict=True,
            )
        ]  # fmt: skip
        for key, level, transition in zip(keys, columns.case_level.tolist(), transitions, strict=True):
            if transition:
                self.found[*key, topics.ALERT_SUPERVISOR].append(level)
        pairs = columns.concerned_row.tolist(), columns.concerned_bank.tolist(), columns.concerned_level.tolist()
        for row, bank, level in sorted(zip(*pairs, strict=True)):
            if transitions[row]:
                self.found[*keys[row], topics.bank_alerts(bank_text(bank))].append(level)

    def take_dispositions(self, _columns: DispositionColumns) -> None:
        return


def test_columns_have_the_levels_that_readers_are_told(module_seed: int) -> None:
    levels, writer = _Levels(), Writer()
    writer.in_columns = levels
    through(
        Partition(0, logs.snapshot_of, writer=writer), logs.make(module_seed, enterprises=ENTERPRISES, partitions=1)
    )
    heard: dict[Key, list[Alert]] = collections.defaultdict(list)
    for (topic, enterprise), alerts in heard_of(of_log(claiming_rules, module_seed)[0]).items():
        for alert in alerts:
            key = enterprise.encode(), alert.offset, alert.signal, alert.opened_at, alert.state, topic
            heard[key].append(alert)
    told = collections.Counter[str]()
    for key, alerts in heard.items():
        found = levels.found.get(key, [])
        if len(found) == len(alerts):  # else a bank has not heard of each, or the supervisor not of what is a bank's
            for alert, level in zip(alerts, found, strict=True):
                if alert.case_state:
                    assert level == (0 if alert.case_state == "resolved" else LEVELS[alert.case_severity]), key
                    told["supervisor" if key[-1] == topics.ALERT_SUPERVISOR else "bank"] += 1
    moved = sum(bool(alert.case_state) for alerts in heard.values() for alert in alerts)
    assert min(told["supervisor"], told["bank"]) > 0
    assert told.total() > 0.9 * moved
