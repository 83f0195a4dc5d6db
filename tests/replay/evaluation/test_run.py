"""Outcomes meet the vectors of a log: by loan, by enterprise, and with a reason where there is none."""

import pytest

from domain.calendar import date_of
from replay.evaluation import run
from replay.evaluation.outcomes import Outcome, Outcomes, Problem
from replay.evaluation.report import Evaluation
from replay.evaluation.text import markdown
from replay.log_file import LogFile
from tests.replay.backtest.kit import FIRST_DAY, name_of, usual_story

DAYS, COUNT = 200, 6


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> LogFile:
    return LogFile(usual_story(days=DAYS, count=COUNT).write(tmp_path_factory.mktemp("log") / "events.log"))


def outcomes(*some: tuple[str, bool, int]) -> Outcomes:
    found = {name: Outcome(line=line, id=name, bad=bad, day=day) for line, (name, bad, day) in enumerate(some, 2)}
    return Outcomes(found=found, lines=len(found))


def hush(_text: str) -> None:
    pass


def test_enterprises_are_judged_just_before_the_date_and_90_days_before_it(log: LogFile) -> None:
    end = FIRST_DAY + DAYS
    listed = outcomes(
        (name_of(0), True, end - 20),
        (name_of(1), False, end),
        (name_of(2), False, FIRST_DAY + 60),  # 90 days before that the log had not begun
        (name_of(3), True, FIRST_DAY - 5),
        (name_of(4), True, end + 400),
        ("nobody", False, end),
    )
    vectors, records = run.replayed(log, run.asked_for(listed.found), hush, processes=1)
    views = {view.name: view for view in run.matched(listed, vectors)}
    assert records > 0
    assert views["last_day"].ids == [name_of(0), name_of(1), name_of(2)]
    assert views["days_90"].ids == [name_of(0), name_of(1)]
    days = dict(zip(views["last_day"].ids, views["last_day"].examples["day"].tolist(), strict=True))
    assert days == {name_of(0): end - 21, name_of(1): end - 1, name_of(2): FIRST_DAY + 59}
    assert views["days_90"].examples["day"].tolist() == [end - 111, end - 91]
    assert views["last_day"].examples["bad"].tolist() == [True, False, False]
    assert [(one.id, one.kind) for one in listed.problems] == [
        (name_of(2), "no_vector_days_90"),
        (name_of(3), "no_vector"),
        (name_of(4), "no_vector"),
        ("nobody", "unknown"),
    ]
    report = run.evaluation("events.log", log, records, None, listed, [run.judged(views["last_day"], hush)])
    counts = {"no_vector": 2, "no_vector_days_90": 1, "unknown": 1}
    assert report.outcomes == {"read": 6, "judged": 3, "bad": 1, **counts}
    assert report.problems[0].detail.endswith(f"before {date_of(FIRST_DAY - 30)}: it is in the other view alone")
    assert_texts(report)


def assert_texts(report: Evaluation) -> None:
    """The report in both languages names each line that is not judged, and says why there is no AUC."""
    from replay.evaluation.page import html

    english, chinese = markdown(report, chinese=False), markdown(report, chinese=True)
    assert "No AUC: 1 are bad, fewer than 10" in english
    assert "不给 AUC" in chinese
    for one in report.problems:
        assert one.id in english
        assert one.detail in html(report, chinese=False).decode()


def test_more_problems_than_are_shown_are_counted(log: LogFile) -> None:
    from replay.evaluation.page import html

    listed = outcomes()
    listed.problems += (Problem(line=line, id=f"e{line}", kind="unknown", detail="d") for line in range(2, 1_202))
    report = run.evaluation("events.log", log, 0, None, listed, [])
    for text in (markdown(report, chinese=False), html(report, chinese=False).decode()):
        assert "and 200 more; the JSON has them all" in text
        assert ("e1001" in text, "e1002" in text) == (True, False)
    listed.problems[1_000:] = []
    assert "more;" not in markdown(run.evaluation("events.log", log, 0, None, listed, []), chinese=False)


def test_two_outputs_of_one_log_are_the_same_bytes(log: LogFile) -> None:
    listed = outcomes((name_of(0), True, FIRST_DAY + 150))
    asked = run.asked_for(listed.found)
    one, other = (run.replayed(log, asked, hush, compared=True, processes=1)[0] for _ in range(2))
    assert one.sums == other.sums
    assert {topic for _, topic in one.sums} >= {"score.v1", "indicator.v1"}
    assert date_of(one.closes[name_of(0), FIRST_DAY + 150].day) == date_of(FIRST_DAY + 149)
