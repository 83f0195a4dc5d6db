"""`xinliu demo` as a person runs it: history in without an alert to anybody, an opening list, live days, kills."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.settings import load
from domain import topics
from embedded.restarts import DELAYS_S
from replay.offsets import Offsets
from replay.province.source import demo
from sinks.clickhouse import Target, connect
from tests.patience import patience_s
from tests.processes import children_of

pytest.importorskip("chdb")

ENTERPRISES = 20
SMALL = ("--enterprises", f"{ENTERPRISES}", "--banks", "6", "--exit")
QUICK, SLOW = ("--speed", "20000x"), ("--speed", "300x")  # a day in 4 s, in 5 min
DONE = re.compile(r"history is in: ([\d,]+) events in ([\d.]+) s")


def start(state: Path, *words: str) -> "subprocess.Popen[str]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith("XINLIU_") or "CACHE" in key}
    argv = [sys.executable, "-P", "-m", "cli.main", "demo", *SMALL, "--state", str(state), *words]
    out = (state.parent / f"{state.name}.log").open("a")
    return subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, env=environment, text=True)


def asked(address: str) -> Any:
    """The status that the pages show; None while nothing listens or the archive has no tables yet."""
    try:
        with urllib.request.urlopen(f"{address}api/status", timeout=20) as answer:
            return json.load(answer)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def test_the_demo_brings_its_history_in_goes_live_and_goes_on(tmp_path: Path, eventually: Callable[..., None]) -> None:
    state, said = tmp_path / "state", tmp_path / "state.log"
    live_from_ms = demo(ENTERPRISES, 6).live_from_ms
    with ended_in_the_end(first := start(state, *QUICK)):
        eventually(
            lambda: first.poll() is not None or "the pages: http://127.0.0.1:" in said.read_text(), 600, "a page"
        )
        address = re.search(r"the pages: (\S+)", said.read_text())
        assert address is not None, said.read_text()
        seen: list[Any] = []
        while first.poll() is None:
            if (status := asked(address[1])) is not None:
                seen.append(status)
            time.sleep(1.0)
    assert first.returncode == 0, said.read_text()[-5_000:]
    events = int(DONE.findall(said.read_text())[0][0].replace(",", ""))
    assert events > 12_000
    assert any(sum(status["grades"].values()) == ENTERPRISES for status in seen), "the pages showed no enterprises"
    assert {bank["mode"] for bank in seen[-1]["banks"]} == {"live", "daily_file"}
    db = connect(Target(kind="chdb", folder=state / "clickhouse"))
    try:
        (backfilled,) = db.rows("SELECT count(), countIf(stock) FROM xinliu.alert_backfill FINAL")
        raised = db.rows("SELECT stock, toUnixTimestamp64Milli(as_of) FROM xinliu.alert FINAL WHERE state = 'raised'")
        ((txns,),) = db.rows("SELECT count() FROM xinliu.txn FINAL")
    finally:
        db.close()
    assert backfilled[0] > 10
    assert any(stock for stock, _ in raised), "no opening list"
    assert all(stock or as_of_ms >= live_from_ms for stock, as_of_ms in raised), "an alert of what is long past"
    assert 0.7 * events < txns <= events + 2_000  # a fifth are receipts, loans and consents
    with ended_in_the_end(second := start(state, *QUICK)):
        assert second.wait(patience_s(600)) == 0, said.read_text()[-5_000:]
    again = int(DONE.findall(said.read_text())[1][0].replace(",", ""))
    assert again == 0, "history was sent anew"


def test_a_killed_worker_is_started_again_scores_come_and_the_ledger_balances_but_one_that_cannot_live_ends_the_demo(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    state, said = tmp_path / "state", tmp_path / "state.log"
    demo = start(state, *SLOW)

    def seen(pattern: str) -> Callable[[], bool]:
        return lambda: demo.poll() is not None or re.search(pattern, said.read_text()) is not None

    with ended_in_the_end(demo):
        eventually(seen("history is in"), 600, "the history")
        score_pid = pids_of("score", said)[-1]
        offsets = Offsets(load(state / "xinliu.toml", {}).kafka)
        places = offsets.partitions([topics.SCORE])
        os.kill(score_pid, signal.SIGKILL)
        scored = sum(offsets.ends(places).values())
        eventually(seen(r"score is ready again after [\d.]+ s, and scores came again after [\d.]+ s"), 120, "scores")
        assert sum(offsets.ends(places).values()) > scored, said.read_text()[-5_000:]
        assert "worker score ended (signal 9, Killed); it is started again in 0.5 s" in said.read_text()
        assert pids_of("score", said)[-1] != score_pid
        eventually(seen(r"the ledger balances: \d+ checks, 0 wrong"), 120, "the ledger")
        assert demo.poll() is None, said.read_text()[-5_000:]
        for n in range(1 + len(DELAYS_S)):
            eventually(lambda n=n: demo.poll() is not None or len(pids_of("ingest", said)) > n, 60, f"start {n}")
            os.kill(pids_of("ingest", said)[n], signal.SIGKILL)
        assert demo.wait(patience_s(60)) == 1
    last = said.read_text()
    complaint = last[last.index("xinliu demo: ") :]
    assert complaint.startswith("xinliu demo: worker ingest ended (signal 9, Killed), 4 ends without a run of 60 s ")
    assert f"{state / 'logs' / 'ingest.log'} ends:" in complaint
    assert "Traceback" not in last


def test_a_broker_that_ends_takes_the_demo_with_it_and_is_named(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Redis has the same test in tests/cli/test_replay_log.py."""
    state, said = tmp_path / "state", tmp_path / "state.log"
    with ended_in_the_end(demo := start(state, *SLOW)):
        eventually(lambda: demo.poll() is not None or "workers started: score" in said.read_text(), 600, "workers")
        (kafka,) = [pid for pid in children_of(demo.pid) if Path(f"/proc/{pid}/exe").resolve().name == "java"]
        os.kill(kafka, signal.SIGKILL)
        assert demo.wait(patience_s(60)) == 1
    complaint = next(line for line in said.read_text().splitlines() if line.startswith("xinliu demo: "))
    assert complaint.startswith("xinliu demo: Kafka ended (signal 9, Killed), and without it nothing goes on; ")
    assert "Traceback" not in said.read_text()


@contextmanager
def ended_in_the_end(demo: "subprocess.Popen[str]") -> Iterator[None]:
    """Stop a demo that still runs."""
    try:
        yield
    finally:
        if demo.poll() is None:
            demo.terminate()
            demo.wait(patience_s(60))


def pids_of(role: str, said: Path) -> list[int]:
    """Process ids of a role's worker, in the order in which the demo told them."""
    return [int(pid) for pid in re.findall(rf"{role} (?:is started again )?\(process (\d+)\)", said.read_text())]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--enterprises", "0"), "--enterprises = 0: not 1 to 9999999"),
        (("--banks", "10000"), "--banks = 10000: not 1 to 9999"),
    ],
)
def test_a_size_that_cannot_be_is_refused_before_any_work(
    answered: Callable[..., Any], tmp_path: Path, words: tuple[str, str], said: str
) -> None:
    code, _, err = answered("demo", "--state", tmp_path / "state", *words)
    assert code == 2
    assert said in err
    assert not (tmp_path / "state").exists()
