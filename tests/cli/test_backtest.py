"""`xinliu backtest`: its files, its refusals by name, and its remains after an interruption."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replay.log_file import LogFile
from tests.cli.kit import xinliu
from tests.patience import eventually, patience_s
from tests.processes import replays_of
from tests.replay.backtest.kit import usual_story

SHORT = ("--warm-up", "60", "--resamples", "20", "--processes", "1", "--without", "ceilings")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return usual_story(days=260, count=15).write(tmp_path_factory.mktemp("log") / "events.log")


@pytest.fixture(scope="module")
def truth(log: Path) -> Path:
    return usual_story(days=260, count=15).truth(log.with_suffix(".csv"))


def call(*words: str | Path, lang: str = "C.UTF-8") -> tuple[int, str, str]:
    argv, environ = xinliu("backtest", *words)
    done = subprocess.run(
        argv, env={**environ, "LC_ALL": lang}, capture_output=True, text=True, timeout=patience_s(280)
    )
    return done.returncode, done.stdout, done.stderr


def test_it_prints_and_writes_the_same_bytes_each_time(log: Path, truth: Path, tmp_path: Path) -> None:
    written = []
    for number in range(2):
        page, numbers = tmp_path / f"{number}.html", tmp_path / f"{number}.json"
        code, out, said = call(log, "--truth", truth, *SHORT, "--html", page, "--json", numbers)
        assert code == 0, said
        assert "replaying the log" in said, "it says how far it is"
        written.append((out, page.read_bytes(), numbers.read_bytes()))
    assert written[0] == written[1]
    report = json.loads(written[0][2])
    assert report["format"] == "xinliu.backtest/1"
    assert report["counts"]["enterprises"] == 15
    assert "**a result" in written[0][0]


def test_report_and_progress_are_in_chinese(log: Path) -> None:
    code, out, said = call(log, *SHORT, lang="zh_CN.UTF-8")
    assert code == 0, said
    assert "# 预警回测" in out
    assert "重放日志" in said


@pytest.mark.parametrize(
    ("words", "said", "zh"),
    [
        (["nowhere.log"], "nowhere.log: No such file", "nowhere.log: No such file"),
        (["berka", "--data", "nowhere"], "No such file or directory; --data must name", "--data must name"),
        (["x.log", "--data", "."], "--data goes with cumcm2020c and berka, not with x.log", "--data 只用于"),
        (["berka", "--data", ".", "--truth", "x"], "--truth does not go with berka", "--truth 与 berka 不能同用"),
        (["x.log", "--until", "soon"], "'soon' is no date, as 2025-07-01", "'soon'"),
        (["nowhere.log", "--rules", "nowhere.csv"], "nowhere.log: No such file", "nowhere.log: No such file"),
        (["x.log", "--without", "ranks,x"], "no part is called x: ceilings, ranks, timelines are", "没有 x 这部分"),
        (["x.log", "--resamples", "0"], "'0' is no whole number above zero", "'0' 不是大于零的整数"),
    ],
)
def test_a_wrong_call_is_answered_by_name_in_either_language(
    answered: Callable[..., Any], words: list[str], said: str, zh: str
) -> None:
    for lang, expected in (("C.UTF-8", said), ("zh_CN.UTF-8", zh)):
        code, _, text = answered("backtest", *words, lang=lang)
        assert code == 2, text
        assert expected in text


def test_an_interrupted_call_ends_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    log = usual_story(days=400, count=60).write(tmp_path / "events.log")
    assert sum(LogFile(log).record_counts().values()) > 20_000
    before = set(tmp_path.iterdir())
    argv, environ = xinliu(
        "backtest", log, "--processes", "2", "--html", tmp_path / "r.html", "--json", tmp_path / "r.json"
    )
    environ |= {"LC_ALL": "C.UTF-8", "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    with subprocess.Popen(
        argv, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "replaying the log" in line:
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the children too
                break
        rest = process.stderr.read()
        assert process.wait(timeout=patience_s(60)) == 130, rest
    assert "interrupted" in rest
    assert "Traceback" not in rest
    assert set(tmp_path.iterdir()) == {*before, tmp_path / "tmp"}
    assert not list((tmp_path / "tmp").iterdir()), "no half-made log or page"
    eventually(lambda: not _is_there(process.pid), 20.0, "no process of the call is left")


def test_a_killed_process_is_reported_in_one_line_and_nothing_is_left(tmp_path: Path) -> None:
    log = usual_story(days=400, count=60).write(tmp_path / "events.log")
    argv, environ = xinliu("backtest", log, "--processes", "2", "--json", tmp_path / "r.json")
    with subprocess.Popen(
        argv, env=environ | {"LC_ALL": "C.UTF-8"}, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "replaying the log" in line:
                eventually(lambda: replays_of(process.pid), 20.0, "a process of the replay")
                os.kill(replays_of(process.pid)[-1], signal.SIGKILL)
                break
        rest = process.stderr.read()
        assert process.wait(timeout=patience_s(60)) == 1, rest
    assert "of the replay ended with status -9" in rest
    assert "Traceback" not in rest
    assert not (tmp_path / "r.json").exists()


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_with_the_learner_in_the_loop_the_report_says_what_it_made(log: Path, truth: Path, tmp_path: Path) -> None:
    numbers = tmp_path / "report.json"
    code, out, said = call(log, "--truth", truth, *SHORT, "--learn", "accepted", "--json", numbers)
    assert code == 0, said
    learned = json.loads(numbers.read_bytes())["learned"]
    assert "| the learner in the loop" in out
    assert f"candidates {learned['candidates']}, held {learned['held']}" in out
