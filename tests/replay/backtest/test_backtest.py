"""A whole backtest on small logs: its counts, no knowledge of the future, and the same figures again."""

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest

from detectors.rules.artefact import packaged
from detectors.snapshot import content_id
from domain.calendar import day_of_text
from replay import in_process
from replay.backtest import run
from replay.backtest.collector import TOPICS, Collector
from replay.backtest.facts import read_facts
from replay.backtest.report import Report
from replay.backtest.run import Options, backtest
from replay.backtest.world import NEVER, World, assemble
from replay.log_file import LogFile
from replay.sources import SourceError
from tests.replay.backtest.kit import (
    FIRST_DAY,
    OTHER_ID,
    Story,
    control,
    day_text,
    loan,
    name_of,
    outcome,
    usual_story,
)
from tests.streams.score.kit import immediate_artefact

WARM_UP, CUT = 150, 300
QUICK = Options(warm_up_days=WARM_UP, resamples=40, processes=1, without=frozenset({"ceilings"}))


def judged(log: Path, **options: object) -> Report:
    return backtest(LogFile(log), dataclasses.replace(QUICK, **options), lambda _text: None)


def world_of(log: Path, last_day: int | None = None) -> World:
    opened = LogFile(log)
    facts = read_facts(opened, 1, lambda _text: None)
    found = in_process.replay(
        opened, consumer=Collector, processes=1, topics=TOPICS, month_ends_only=True, in_columns=True
    )
    return assemble(facts, list(found.results.values()), last_day)


def figures(report: Report) -> bytes:
    """Everything but which log it was, how long it is, and which models it held."""
    bare = msgspec.structs.replace(
        report,
        provenance=msgspec.structs.replace(
            report.provenance, judged_on=report.provenance.judged_on.__class__(name="", seed="", parameters="")
        ),
        counts=msgspec.structs.replace(report.counts, records=0),
    )
    return msgspec.json.format(msgspec.json.encode(bare))


@pytest.fixture(scope="module")
def story() -> Story:
    return usual_story()


@pytest.fixture(scope="module")
def log(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return story.write(tmp_path_factory.mktemp("usual") / "usual.log")


@pytest.fixture(scope="module")
def truth(story: Story, log: Path) -> Path:
    return story.truth(log.with_suffix(".csv"))


@pytest.fixture(scope="module")
def report(log: Path, truth: Path) -> Report:
    return judged(log, truth=truth)


@pytest.fixture(scope="module")
def world(log: Path) -> World:
    return world_of(log)


def test_the_counted_enterprises(story: Story, report: Report) -> None:
    counts, spans = report.counts, report.parameters
    bad = [life for life in story.lives if life.over_30_on is not None]
    in_window = [life for life in bad if WARM_UP <= life.over_30_on < story.days]
    assert (spans.judged_first, spans.judged_last) == (day_text(WARM_UP), day_text(story.days - 1))
    assert counts.enterprises == counts.borrowers == len(story.lives)
    assert counts.bad == len(in_window) == 8
    assert counts.defaulted == sum(life.default_on is not None for life in in_window)
    assert counts.bad_at_start == counts.without_truth == 0
    # Every borrower is at risk on each day of the window until the day on which it goes bad.
    days = sum(min(life.over_30_on or story.days, story.days) - WARM_UP for life in story.lives)
    assert counts.borrower_months == pytest.approx(days / 30.4375, rel=1e-4)
    assert counts.censored_long == counts.month_rows
    assert report.load[0].cases > 0
    for worth in (*report.cases, *report.budgets):
        assert worth.warned["60"].n == sum(life.over_30_on - 60 >= WARM_UP for life in in_window)


def test_the_logs_own_loan_events_give_the_same_truth(log: Path, report: Report) -> None:
    own = judged(log)
    assert own.parameters.truth == "log"
    same = msgspec.structs.replace(
        own, parameters=report.parameters, groups=[], separation=[], misses=[], false_alarms=[]
    )
    assert figures(same) == figures(
        msgspec.structs.replace(report, groups=[], separation=[], misses=[], false_alarms=[])
    )


def test_the_same_call_gives_the_same_bytes(log: Path, truth: Path, report: Report) -> None:
    for processes in (1, 2):
        assert msgspec.json.encode(judged(log, truth=truth, processes=processes)) == msgspec.json.encode(report)
    assert figures(judged(log, truth=truth, seed=2)) != figures(report)


def test_a_day_is_judged_as_it_would_have_been_on_that_day(
    story: Story, log: Path, truth: Path, tmp_path: Path
) -> None:
    """A log up to a day gives the same figures as a log that ends on that day."""
    until = FIRST_DAY + CUT - 1
    whole = judged(log, truth=truth, until=until)
    short = dataclasses.replace(story, days=CUT).write(tmp_path / "short.log")
    assert whole.parameters.judged_last == day_text(CUT - 1)
    assert figures(judged(short, truth=truth, known_until=until)) == figures(whole)
    assert 0 < whole.counts.bad < 8


def test_future_knowledge_in_the_log_moves_no_figure(story: Story, log: Path, truth: Path, tmp_path: Path) -> None:
    """Planted the evening after the last judged day: loan facts dated back into the window, and another model."""
    until = FIRST_DAY + CUT - 1
    planted = dataclasses.replace(
        story,
        planted={
            CUT: [
                control("activate", artefact="model", artefact_id=OTHER_ID),
                *(loan(number, CUT, "overdue", 120, hour=23, tag="planted") for number in range(1, 40, 3)),
                *(loan(number, CUT - 40, "default", 91, tag="planted") for number in (2, 7, 9)),
            ]
        },
    ).write(tmp_path / "planted.log")
    assert {
        one.known_on for one in map(_When, read_facts(LogFile(planted), 1, lambda _text: None)) if one.known_on
    } == {CUT}
    for options in ({"truth": truth}, {}):
        clean, other = (judged(one, until=until, **options) for one in (log, planted))
        assert figures(other) == figures(clean)
        assert other.provenance.models == clean.provenance.models
    # It is no test of nothing: a day later these facts are known, and they count.
    assert judged(planted, until=until + 2).counts.bad > judged(log, until=until + 2).counts.bad
    assert OTHER_ID in judged(planted).provenance.models


class _When:
    """The day, from FIRST on, on which planted facts became known."""

    def __init__(self, facts) -> None:
        rows = facts.bad["known_day"][facts.bad["day"] < FIRST_DAY + CUT - 80] - FIRST_DAY
        self.known_on = int(rows.max()) if len(rows) and rows.max() >= CUT - 1 else None


def test_records_planted_in_the_middle_change_nothing_before_them(story: Story, world: World, tmp_path: Path) -> None:
    day = 200
    facts = [loan(number, day - 30, "overdue", 95, tag="planted") for number in range(1, 40, 3)]
    model = control("activate", artefact="model", artefact_id=OTHER_ID)
    planted = dataclasses.replace(story, planted={day: [model, *facts]}).write(tmp_path / "planted.log")
    clean, other = world, world_of(planted)
    for name in ("months", "revisions", "scores"):
        one, same = getattr(clean, name), getattr(other, name)
        when = "known_day" if name == "months" else "day"
        before, also = (getattr(each, when) < FIRST_DAY + day for each in (one, same))
        # The last score of a week is the one before the plant or after it: compare whole weeks.
        if name == "scores":
            before, also = (getattr(each, when) < FIRST_DAY + day - 7 for each in (one, same))
        assert before.any()
        for column in (
            "enterprise",
            when,
            *(
                ("score_milli", "p_ppm")
                if name == "months"
                else ("milli",)
                if name == "scores"
                else ("level", "signal")
            ),
        ):
            assert getattr(one, column)[before].tolist() == getattr(same, column)[also].tolist(), (name, column)
    assert not np.array_equal(clean.months.p_ppm, other.months.p_ppm), "the model did change what came after"
    assert (other.bad_day != clean.bad_day).any(), "and the facts are known after it"


def test_the_signals_of_a_world_are_those_that_raised(world: World) -> None:
    assert len(world.signals) > 3
    assert sorted(set(world.revisions.signal.tolist())) == list(range(len(world.signals)))


def test_a_row_is_known_when_the_log_has_reached_it(world: World) -> None:
    assert (world.months.known_day >= world.months.day).all()
    bad = np.flatnonzero(world.bad_day < NEVER)
    assert [world.ids[who] for who in bad] == [name_of(number) for number in range(0, 40, 5)]


def test_an_operators_outcome_replaces_the_events_of_its_loan(story: Story, tmp_path: Path) -> None:
    said = 380
    planted = {
        said: [
            outcome(0, said, "good", 370),  # over 30 days past due on day 220, by its loan
            outcome(1, said, "bad", 360),
            outcome(2, said, "bad", 5_000),  # not matured
            outcome(3, said, "bad", 350),
            outcome(4, said, "bad", 365, observation="o"),
        ],
        said + 1: [outcome(3, said + 1, "good", 350)],  # the newest of a loan holds
    }
    world = world_of(dataclasses.replace(story, planted=planted).write(tmp_path / "outcomes.log"))
    days = [day - FIRST_DAY if day < NEVER else None for day in world.bad_day[:6].tolist()]
    assert days == [None, 360, None, None, 365, story.lives[5].over_30_on]
    assert world.default_day[0] == world.default_day[1] == NEVER
    before = world_of(tmp_path / "outcomes.log", FIRST_DAY + said - 1)
    assert (before.bad_day[:5] - FIRST_DAY).tolist()[0] == story.lives[0].over_30_on
    assert (before.bad_day[1:5] == NEVER).all(), "said later, known later"


def test_rules_of_another_table_are_judged_in_place_of_the_packaged_ones(
    log: Path, truth: Path, report: Report
) -> None:
    packaged_artefact = packaged()
    assert figures(judged(log, truth=truth, rules=packaged_artefact.encode())) == figures(report)
    fewer = [row for row in packaged_artefact.signals if row.id != "EWS01_inflow_collapse"]
    case = packaged_artefact.case and packaged_artefact.case.of_signals(frozenset(row.id for row in fewer))
    body = msgspec.structs.replace(packaged_artefact, signals=tuple(fewer), case=case).encode()
    other = judged(log, truth=truth, rules=body)
    assert other.provenance.rules == [content_id(body)]
    assert not other.provenance.is_result
    assert "--tuned-on" in other.provenance.why_en
    before, after = ({one.signal for one in each.signals} for each in (report, other))
    assert before - after == {"EWS01_inflow_collapse"}


def test_alerts_held_back_by_a_backfill_count_as_raised(
    story: Story, truth: Path, tmp_path: Path, report: Report
) -> None:
    held = dataclasses.replace(story, backfill_days=330).write(tmp_path / "backfill.log")
    found = judged(held, truth=truth)
    assert figures(found) == figures(report), (
        "alerts that a backfill held back are judged as if they had been delivered"
    )


def test_enterprises_bad_at_the_start_or_unknown_do_not_count(
    story: Story, log: Path, tmp_path: Path, report: Report
) -> None:
    lines = story.truth(tmp_path / "all.csv").read_text().splitlines()
    fewer = tmp_path / "fewer.csv"
    fewer.write_text("\n".join(line for line in lines if not line.startswith((name_of(10), name_of(1)))) + "\n")
    found = judged(log, truth=fewer).counts
    gone = sum(name_of(number).startswith((name_of(10), name_of(1))) for number in range(40))
    assert found.without_truth == gone
    assert found.borrowers == 40 - gone
    later = judged(log, truth=story.truth(tmp_path / "later.csv"), warm_up_days=280).counts
    assert later.bad_at_start == sum(life.over_30_on is not None and life.over_30_on < 280 for life in story.lives) > 0
    assert later.bad + later.bad_at_start == 8


def test_ceilings_learn_of_others_alone(log: Path, truth: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Month ends of a fold are predicted from the others', and only from those that have matured."""
    from replay.backtest import ceilings

    monkeypatch.setattr(ceilings, "BAD_MIN", 2)
    found = judged(log, truth=truth, without=frozenset())
    named = {one.rank for one in found.separation}
    assert {"lightgbm_95", "stumps_95"} <= named
    assert not any(name.endswith("_365") for name in named), "nobody has lived through a year"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"until": day_of_text("2023-12-01")}, "--until 2023-12-01: the log goes from 2024-01-01 to"),
        ({"warm_up_days": 420}, "--warm-up 420: nothing is left of"),
        ({"known_until": FIRST_DAY + 500}, "--known-until goes with --truth"),
        ({"tuned_on": Path("nowhere.toml")}, "--tuned-on nowhere.toml: No such file"),
        ({"truth": Path("nowhere.csv")}, "nowhere.csv: No such file"),
    ],
)
def test_a_wrong_option_is_named_before_the_replay(
    log: Path, options: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.in_process, "replay", _never)
    with pytest.raises(SourceError, match=said):
        judged(log, **options)


def test_a_truth_that_knows_less_than_is_judged_is_refused(log: Path, truth: Path) -> None:
    with pytest.raises(SourceError, match="--known-until 2024-01-01: lies before the last judged day"):
        judged(log, truth=truth, known_until=FIRST_DAY)


def test_a_wrong_log_or_truth_is_named_before_the_replay(
    story: Story, log: Path, truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.in_process, "replay", _never)
    foreign = tmp_path / "foreign.csv"
    foreign.write_text(truth.read_text() + "E9999,sound,,,,\n")
    with pytest.raises(SourceError, match=r"the log has no enterprise E9999 \(.*foreign.csv, line 42\)"):
        judged(log, truth=foreign)
    tuned = tmp_path / "tuned.toml"
    tuned.write_text("[[world]]\nname = 1\n")
    with pytest.raises(SourceError, match=r"--tuned-on .*tuned.toml: Expected `str`"):
        judged(log, tuned_on=tuned)
    short = dataclasses.replace(story, days=20)
    cut = short.write(tmp_path / "cut.log")
    cut.write_bytes(cut.read_bytes()[:-30])
    with pytest.raises(SourceError, match=r"cut.log was cut short"):
        judged(cut)
    lacking = dataclasses.replace(
        short, planted={3: [control("activate", artefact="model", artefact_id=OTHER_ID)]}
    ).write(tmp_path / "lacking.log", holds_model=False)
    with pytest.raises(SourceError, match=rf"lacking.log: events.v1\[\d+\], offset \d+ activates model {OTHER_ID}"):
        judged(lacking, warm_up_days=5)


def _never(*_arguments: object, **_options: object) -> None:
    raise AssertionError("the replay has begun")


def test_a_log_of_another_engine_is_judged_and_says_so(story: Story, tmp_path: Path) -> None:
    short = dataclasses.replace(story, days=40).write(tmp_path / "old.log", version="0123456789abcdef")
    found = judged(short, warm_up_days=10)
    assert found.provenance.recorded_by == "0123456789abcdef"
    assert found.provenance.engine_version != found.provenance.recorded_by
    assert any("0123456789abcdef" in en for _, en in found.notes)


def test_figures_are_no_result_where_rules_were_chosen_on_the_same_world(
    story: Story, log: Path, tmp_path: Path
) -> None:
    tuned = tmp_path / "tuned.toml"
    tuned.write_text('[[world]]\nname = "mine"\nseed = "7"\nparameters = "abc"\n')
    said = {
        ("7", "abc"): (False, "judged on what it was tuned on (mine, seed 7)"),
        ("7", "abd"): (True, "a result"),
        ("8", "abc"): (True, "a result"),
    }
    for (seed, parameters), (is_result, why) in said.items():
        truth = story.truth(tmp_path / "truth.csv", seed=seed, parameters=parameters)
        found = judged(log, truth=truth, tuned_on=tuned).provenance
        assert (found.is_result, found.judged_on.seed, found.judged_on.parameters) == (is_result, seed, parameters)
        assert why in found.why_en
        assert found.tuned_on[0].seed == "7"


def test_a_simulated_log_that_does_not_say_its_seed_gives_no_result(story: Story, tmp_path: Path) -> None:
    short = dataclasses.replace(story, days=40).write(tmp_path / "z.log", banks=("Z9000000000001",))
    found = judged(short, warm_up_days=10).provenance
    assert not found.is_result
    assert "does not say its seed" in found.why_en
    quiet = dataclasses.replace(story, days=40).write(tmp_path / "quiet.log")
    found = judged(quiet, warm_up_days=10).provenance
    assert not found.is_result
    assert "no borrower went over 30 days past due" in found.why_en


def test_the_worst_misses_and_false_alarms_have_their_course(story: Story, log: Path, truth: Path) -> None:
    report = judged(log, truth=truth, rules=immediate_artefact().encode())  # rules that raise false alarms here
    assert name_of(35) in [line.enterprise_id for line in report.misses], "nothing was to be seen of it"
    assert {name_of(11), name_of(23)} & {line.enterprise_id for line in report.false_alarms}
    for line in report.misses:
        life = story.lives[int(line.enterprise_id[1:])]
        assert line.bad_on == day_text(life.over_30_on)
        assert line.default_on == (day_text(life.default_on) or None)
        assert line.lead_days is None or line.lead_days < 30
        assert ("overdue 31") in [event for _, event in line.events]
        assert line.scores
        assert line.moved
    for line in report.false_alarms:
        assert line.bad_on is None
        assert line.cases > 0
        assert line.episodes
