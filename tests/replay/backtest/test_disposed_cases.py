"""Dispositions of cases, from actions in a log to the report: against the records, one by one."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain import topics
from domain.calendar import day_start_ms
from domain.events import CaseAction
from domain.outputs import Alert, CaseRecord
from replay import in_process
from replay.backtest.markdown import markdown
from replay.backtest.run import Options, backtest
from replay.log_file import LogFile
from sinks.batch import Records
from tests.replay.backtest.kit import FIRST_DAY, Life, Story

ACTS, DAYS, OVER = 290, 320, 300
READ = (topics.CASE_SUPERVISOR, topics.ALERT_SUPERVISOR)


class Reader:
    """A consumer that keeps values."""

    def __init__(self, _partition: int) -> None:
        self.found: dict[str, list[bytes]] = defaultdict(list)

    def write(self, topic: str, records: Records) -> None:
        self.found[topic] += [value or b"" for _, value in records]

    def finish(self) -> dict[str, list[bytes]]:
        return dict(self.found)


def said(log: Path) -> tuple[list[CaseRecord], list[Alert]]:
    results = in_process.replay(LogFile(log), consumer=Reader, processes=1, topics=READ).results
    values: Any = [[value for part in results.values() for value in part.get(topic, ())] for topic in READ]
    return [msgspec.json.decode(v, type=CaseRecord) for v in values[0]], [
        msgspec.json.decode(v, type=Alert) for v in values[1]
    ]


def action(case: CaseRecord, kind: Any, actor: str, disposition: Any = None) -> CaseAction:
    return CaseAction(
        event_id=f"{kind}-{case.case_id}", bank_id=case.bank_id, enterprise_id=case.enterprise_id,
        event_time=day_start_ms(FIRST_DAY + ACTS), case_id=case.case_id, action=kind, actor=actor,
        disposition=disposition,
    )  # fmt: skip


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A log in which desks dispose of every case that is open, and the dispositions by case id.

    Every borrower falls; every second one is over 30 days past due ten days after its case was disposed of.
    """
    lives = [Life(falls_on=180, over_30_on=OVER if number % 2 == 0 else None) for number in range(8)]
    story, folder = Story(days=DAYS, lives=lives), tmp_path_factory.mktemp("disposed")
    before, _ = said(story.write(folder / "without.log"))
    newest = {case.case_id: case for case in before if case.as_of <= day_start_ms(FIRST_DAY + ACTS)}
    found, planted = dict[str, str](), []
    for number, case in enumerate(case for _, case in sorted(newest.items()) if case.state == "awaiting"):
        found[case.case_id] = ("confirmed", "false_alarm", "known")[number % 3]
        planted += [action(case, "sign", "ann"), action(case, "begin", "ann")]
        planted += [action(case, "submit", "ann", found[case.case_id]), action(case, "approve", "ben")]
    story.planted = {ACTS: planted}
    return story.write(folder / "with.log"), found


def test_precision_is_by_disposition_signal_and_level_beside_outcomes(logs: tuple[Path, dict[str, str]]) -> None:
    log, dispositions = logs
    assert len(set(dispositions.values())) == 3
    cases, alerts = said(log)
    approved = [case for case in cases if case.change == "approved"]
    assert {case.case_id: case.disposition for case in approved} == dispositions, "each is applied"
    wanted: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for case in approved:
        newest = {
            alert.alert_id: alert
            for alert in alerts
            if alert.enterprise_id == case.enterprise_id and alert.offset < case.offset and case.bank_id in alert.banks
        }
        wanted["", str(case.severity)][str(case.disposition)] += 1
        for alert in newest.values():
            if alert.state not in ("cleared", "ended", "closed", "retracted"):
                wanted[alert.signal, alert.severity][str(case.disposition)] += 1
    assert any(signal for signal, _ in wanted)
    options = Options(warm_up_days=150, resamples=20, processes=1, without=frozenset({"ceilings", "ranks"}))
    report = backtest(LogFile(log), options, lambda _text: None)
    assert {(each.signal, each.severity): each.disposed for each in report.dispositions} == wanted
    for each in report.dispositions:
        decided = [each.disposed.get(name, 0) for name in ("confirmed", "false_alarm")]
        assert each.precision.n == sum(decided)
        assert each.precision.value is None or abs(each.precision.value - decided[0] / sum(decided)) < 1e-5
    assert {figure.n for each in report.dispositions for figure in each.went_bad.values()} == {0}, "no year has passed"
    assert "属实占属实与误报" in markdown(report, "zh")


def test_of_those_whose_year_is_known_it_says_who_went_bad(logs: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """By a truth that knows more than the log does."""
    log, dispositions = logs
    cases = {case.case_id: case for case in said(log)[0] if case.change == "approved"}
    lives = [Life(falls_on=180, over_30_on=OVER if number % 2 == 0 else None) for number in range(8)]
    truth = Story(days=DAYS, lives=lives).truth(tmp_path / "truth.csv", known_until="2026-06-30")
    options = Options(
        warm_up_days=150, resamples=20, processes=1, without=frozenset({"ceilings", "ranks", "timelines"}), truth=truth
    )
    report = backtest(LogFile(log), options, lambda _text: None)
    found: Counter[tuple[str, bool]] = Counter()
    for each in report.dispositions:
        if each.signal == "":
            for name, figure in each.went_bad.items():
                bad = round((figure.value or 0) * figure.n)
                found[name, True] += bad
                found[name, False] += figure.n - bad
    wanted = Counter(
        (dispositions[name], int(case.enterprise_id.removeprefix("E")) % 2 == 0) for name, case in cases.items()
    )
    assert +found == wanted
