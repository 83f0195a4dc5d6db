"""A recorded log, followed offline: cases as the engine has them, worth by signal, and a fit that finishes."""

import json
from importlib.resources import files as packaged_files
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cli.main import main
from config.case_table import Texts, case_table_of, packaged_case_table, packaged_texts
from detectors.learning import statistics
from domain.outputs import SEVERITIES
from replay.backtest.signal_worth import by_signal, signal_worths
from replay.backtest.worth import judge
from replay.case_points import worlds
from replay.case_points.claim import claim_of
from replay.case_points.cutoffs import CURVE
from replay.case_points.life import steps_under
from tests.replay.backtest.kit import day_text, usual_story

DAYS, KNOWN = 430, 800


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    story = usual_story(days=DAYS, count=60)
    log = story.write(tmp_path_factory.mktemp("fit") / "events.log")
    return log, story.truth(log.with_suffix(".csv"), known_until=day_text(KNOWN))


@pytest.fixture(scope="module")
def judged(files: tuple[Path, Path]) -> worlds.Judged:
    return worlds.read(*files, 1, lambda _text: None)


def test_cases_followed_offline_are_those_of_the_engine(judged: worlds.Judged) -> None:
    assert judged.judge.world.revisions.waits.any(), "an episode that only waits says so"
    found, engine = steps_under(claim_of(packaged_case_table().table), judged.line), judged.judge.everything
    engine = engine.only(judged.judge.exposure[engine.owner] > 0)
    assert len(engine.day) > 10
    told = [set(zip(*(column.tolist() for column in steps), strict=True)) for steps in (found, engine)]
    assert told[0] == told[1]


def test_the_worth_of_a_signal_is_that_of_cases_with_its_episodes_and_without(judged: worlds.Judged) -> None:
    table, of = packaged_case_table().table, judged.judge
    resampled = judge(of.world, of.window, of.standing, statistics.poisson_weights(20, of.n, 1))
    found = by_signal(resampled, judged.panel, table)
    worths = {one.signal: one for one in signal_worths(resampled, found)}
    arrears = worths["EWS35_arrears"]
    assert arrears.lost_warnings.value is not None
    assert arrears.alone.named + arrears.without.named > 0
    assert (arrears.fewer_cases.value or 0) > 0
    names = judged.judge.world.signals
    without_points = [name for name in names if not any(table.points_milli[name])]
    assert without_points
    for name in without_points:
        assert worths[name].alone.named == 0, "it opens no case, and lifts none"


def test_a_fit_of_a_recorded_log_finishes_and_writes_a_table(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, truth = map(str, files)
    assert main(["rules", "fit", log, "--truth", truth, "--output", str(tmp_path), "--processes", "1"]) == 0
    out, said = capsys.readouterr()
    assert "month ends" in said
    assert out.count("%") == 2
    made = Texts(
        ("points", (tmp_path / "case_points.csv").read_text(encoding="utf-8")),
        packaged_texts().findings,
        ("cases", (tmp_path / "cases.toml").read_text(encoding="utf-8")),
    )
    table = case_table_of(made).table
    assert "events.log" in table.evidence
    assert table.cutoffs_milli.yellow < table.cutoffs_milli.orange < table.cutoffs_milli.red
    assert table.points_milli.keys() == packaged_case_table().table.points_milli.keys()
    assert np.diff([list(each) for each in table.points_milli.values()], axis=1).min() >= 0
    drawn = np.array(table.curve)
    assert drawn.shape == (len(CURVE), 6)
    assert (drawn[:, 0] == CURVE).all()
    assert (np.diff(drawn[:, 3:], axis=1) > 0).all(), "yellow, orange, red ascend"
    assert (np.diff(drawn[:, 3:], axis=0) <= 0).all(), "more cases, lower cut-offs"
    assert (drawn[0, 3:5] > drawn[-1, 3:5]).all(), "red stays above all on so small a world"
    own = tuple(msgspec.structs.astuple(table.cutoffs_milli))
    assert own in {tuple(each[3:]) for each in table.curve}, "those of the table's own budget stand in it"
    signals = str(packaged_files("config").joinpath("signals.csv"))
    made_of = ["--points", str(tmp_path / "case_points.csv"), "--cases", str(tmp_path / "cases.toml")]
    found = []
    for budget in (3, 10, 36):
        artefact = tmp_path / f"{budget}.json"
        assert main(["rules", "make", signals, *made_of, "--budget", str(budget), "--output", str(artefact)]) == 0
        case = json.loads(artefact.read_bytes())["case"]
        assert case["budget"]["orange_red_per_1000_month"] == budget
        found.append([case["cutoffs_milli"][severity] for severity in SEVERITIES])
    assert (np.diff(found, axis=0) <= 0).all()
    assert found[0] != found[2]
