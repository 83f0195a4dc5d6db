"""`xinliu evaluate`: its files, and its refusals by name."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from replay.evaluation import datasets, folds
from replay.state import open_state
from tests.cli.kit import xinliu
from tests.patience import patience_s
from tests.replay.backtest.kit import day_text, name_of, usual_story
from tests.replay.evaluation.test_datasets import small_berka

DAYS, COUNT, BADS = 200, 30, 12


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return usual_story(days=DAYS, count=COUNT).write(tmp_path_factory.mktemp("log") / "events.log")


def listed(path: Path, bads: int) -> Path:
    """Outcomes of all enterprises but the last, and four lines that cannot be judged."""
    lines = [f"{name_of(i)},{'bad' if i < bads else 'good'},{day_text(DAYS - 1)}" for i in range(COUNT - 1)]
    lines += ["nobody,bad,2024-05-01", f"{name_of(0)},bad,2024-05-01", f"{name_of(COUNT - 1)},good,2024-02-30", "x"]
    path.write_text("\n".join(["id,label,date", *lines]) + "\n", encoding="utf-8")
    return path


def test_a_log_and_its_outcomes_give_a_report_in_three_forms(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(folds, "REPEATS", 1)  # the figures are those of the same code, in less time
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    outcomes = listed(tmp_path / "outcomes.csv", BADS)
    words = ("evaluate", log, "--outcomes", outcomes, "--out", tmp_path / "report", "--processes", "1")
    assert main([str(word) for word in words]) == 0
    out, said = capsys.readouterr()
    assert "champion is judged" in said, "it says how far it is"
    report = json.loads((tmp_path / "report" / "evaluation.json").read_bytes())
    counts = {"read": COUNT + 3, "judged": COUNT - 1, "bad": BADS}
    assert report["outcomes"] == {**counts, "date": 1, "doubled": 1, "malformed": 1, "unknown": 1}
    assert [one["line"] for one in report["problems"]] == [COUNT + 1, COUNT + 2, COUNT + 3, COUNT + 4]
    assert [one["view"] for one in report["judged"]] == ["last_day", "days_90"]
    champion = report["judged"][0]["models"][0]
    assert (champion["model"], champion["n"], champion["bad"]) == ("champion", COUNT - 1, BADS)
    assert champion["auc"]["low_micro"] <= champion["auc"]["value_micro"] <= champion["auc"]["high_micro"]
    assert (tmp_path / "report" / "evaluation.md").read_text(encoding="utf-8") == out
    page = (tmp_path / "report" / "evaluation.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", ""), "it opens offline"


def test_fewer_than_ten_bad_ones_give_no_auc_and_exit_code_1(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    outcomes = listed(tmp_path / "outcomes.csv", 9)
    assert main(["evaluate", str(log), "--outcomes", str(outcomes), "--out", str(tmp_path / "report")]) == 1
    assert "不给 AUC" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("berka", "--out", "r"), "berka needs --data"),
        (("berka", "--data", ".", "--outcomes", "o.csv", "--out", "r"), "--outcomes does not go with berka"),
        (("events.log", "--out", "r"), "events.log needs --outcomes"),
        (("berka", "--data", ".", "--in-process", "--fresh", "--out", "r"), "--fresh is for data sets"),
        (("berka", "--data", "nowhere", "--in-process", "--out", "r"), "nowhere/loan.csv does not exist"),
        (("events.log", "--outcomes", "nowhere.csv", "--out", "r"), "nowhere.csv is not a CSV file that can be read"),
    ],
)
def test_a_wrong_call_or_file_is_refused_by_name(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv, environ = xinliu("evaluate", *words)
    environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        argv, env={**environ, "LC_ALL": "C.UTF-8"}, capture_output=True, text=True, timeout=patience_s(60)
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_a_state_that_another_engine_has_written_is_not_gone_on_with(
    answered: Callable[..., Any], tmp_path: Path
) -> None:
    data, state = tmp_path / "data", tmp_path / "state"
    data.mkdir()
    source = datasets.open_data_set("berka", small_berka(data)).source
    open_state(state, f"{source.identity}, engine 0123456789abcdef")
    code, _, err = answered("evaluate", "berka", "--data", data, "--state", state, "--out", tmp_path / "report")
    assert code == 2
    assert err.splitlines()[-1].endswith("engine 0123456789abcdef): use --fresh")
