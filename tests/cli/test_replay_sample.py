"""`xinliu replay` as a user runs it: the whole engine in processes of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest

from domain.calendar import date_of, day_of
from domain.events import Authorization, Loan
from replay.episodes import read
from replay.province.source import sample
from replay.state import MARKER
from sinks.clickhouse import Target, connect
from tests.patience import patience_s

EXPECTED = Path(__file__).parents[1] / "replay" / "sample_alerts.jsonl"
XINLIU = [sys.executable, "-P", "-m", "cli.main"]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start("replay", "sample", …)` runs xinliu; what still runs at the end of the test is ended."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("XINLIU_") or "CACHE" in key}
    running: list[subprocess.Popen[str]] = []

    def launch(*words: str | Path) -> subprocess.Popen[str]:
        out = (tmp_path / f"out-{len(running)}.log").open("w")
        argv = [*XINLIU, *map(str, words)]
        running.append(subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, env=environment, text=True))
        return running[-1]

    yield launch
    for process in running:
        if process.poll() is None:
            process.terminate()
            process.wait(patience_s(60))


def processes_of(state: Path) -> list[str]:
    """Command lines of all processes that name the state folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has just ended
        if any(str(state) in word for word in words):
            found.append(" ".join(words))
    return found


def consents_of_the_sample() -> Callable[[str, str], str]:
    """Return a function of enterprise and day: its consents run, are over or missing, or there is no loan."""
    lent: set[str] = set()
    spans: dict[tuple[str, str], tuple[str, str]] = {}
    for delivery in sample().deliveries():
        event = delivery.event
        if isinstance(event, Loan):
            lent.add(event.enterprise_id)
        elif isinstance(event, Authorization):
            ends = day_of(event.event_time if event.revoked else event.valid_to)
            spans[event.enterprise_id, event.to_bank_id] = (
                date_of(day_of(event.valid_from)).isoformat(), date_of(ends).isoformat(),
            )  # fmt: skip

    def on(enterprise_id: str, day: str) -> str:
        mine = [span for (one, _), span in spans.items() if one == enterprise_id]
        if any(begins <= day < ends for begins, ends in mine):
            return "runs"
        if not mine:
            return "missing" if enterprise_id in lent else "no loan"
        return "over" if all(ends < day for _, ends in mine) else "not yet"

    return on


def revisions_missing(state: Path, *tables: str) -> int:
    """Return the number of revisions, below an alert's newest, that are in none of the archive's tables."""
    rows = " UNION ALL ".join(f"SELECT alert_id, revision FROM xinliu.{table}" for table in tables)
    counted = f"SELECT max(revision) - uniqExact(revision) AS missing FROM ({rows}) GROUP BY alert_id"
    db = connect(Target(kind="chdb", folder=state / "clickhouse"))
    try:
        return int(db.rows(f"SELECT sum(missing) FROM ({counted})")[0][0])
    finally:
        db.close()


def test_the_sample_raises_the_expected_alerts_and_its_books_balance(start: Start, tmp_path: Path) -> None:
    state, summary, found = tmp_path / "state", tmp_path / "summary.json", tmp_path / "found.jsonl"
    process = start(
        "replay", "sample", "--state", state, "--summary", summary, "--expected", found, "--check", EXPECTED
    )
    code = process.wait(patience_s(280))
    said = (tmp_path / "out-0.log").read_text()
    assert code == 0, said[-6_000:]
    books = json.loads(summary.read_bytes())
    assert all(check["left"] == check["right"] for check in books["checks"])
    assert revisions_missing(state, "alert") > 0, "no revision went to one bank alone"
    assert revisions_missing(state, "alert", "alert_told") == 0, "the archive has gaps"
    assert books["model_switches"] == 0, "sixty borrowers have too few defaults for a model"
    assert books["snapshots"] > 0, "learn has made no candidate"
    assert all(books["outcomes"][name] > 0 for name in ("applied", "duplicate", "late", "conflict"))
    assert any(book["dead_lettered"].get("unknown_currency") for book in books["topics"])
    assert books["judgement"]["auc"] is not None, "nothing is said of what became of the loans"
    consent_on = consents_of_the_sample()
    told = {(consent_on(each.enterprise_id, each.opened_on), bool(each.banks)) for each in read(found)}
    assert ("runs", True) in told, "no lender with an authorization heard of anything"
    assert told >= {("missing", False), ("over", False)}, "no lender without an authorization had reason to hear"
    assert not told & {("missing", True), ("over", True), ("no loan", True)}
    assert processes_of(state) == []


def test_an_interruption_leaves_no_process_and_a_second_start_goes_on_until_a_worker_dies(
    start: Start, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    state = tmp_path / "state"
    workers = ("ingest", "score", "learn", "archive")

    def running() -> bool:
        lines = processes_of(state)
        return all(any(f"worker\0{role}".replace("\0", " ") in line for line in lines) for role in workers)

    first = start("replay", "sample", "--state", state, "--speed", "60x")
    eventually(lambda: first.poll() is not None or running(), 120, "all workers run")
    assert first.poll() is None, (tmp_path / "out-0.log").read_text()
    first.send_signal(signal.SIGINT)
    assert first.wait(patience_s(90)) == 130
    assert processes_of(state) == []
    assert not [path for path in state.iterdir() if path.name.startswith(".")], "a half-written file"
    for path, mode in ((state, 0o755), (state / "token.key", 0o644), (state / "xinliu.toml", 0o644)):
        path.chmod(mode)
    second, said = start("replay", "sample", "--state", state, "--speed", "60x"), tmp_path / "out-1.log"
    eventually(lambda: second.poll() is not None or "workers started" in said.read_text(), 120, "all workers run again")
    assert "going on" in said.read_text()
    archive = re.search(r"workers started: .*archive \(process (\d+)\)", said.read_text())
    assert archive is not None, said.read_text()
    os.kill(int(archive[1]), signal.SIGKILL)
    assert second.wait(patience_s(90)) == 1
    assert "worker archive ended (signal 9, Killed); " in said.read_text()
    assert processes_of(state) == []
    assert (state / MARKER).exists()
    modes = {path.name: S_IMODE(path.stat().st_mode) for path in (state, state / "token.key", state / "xinliu.toml")}
    assert modes == {"state": 0o700, "token.key": 0o600, "xinliu.toml": 0o600}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["replay", "cumcm2020c"], "needs --data DIR"),
        (["replay", "cumcm2020c", "--data", "nowhere"], "--data must name the data set's folder"),
        (["replay", "berka"], "berka needs --data DIR, the folder that holds trans_preloan.parquet and loan.csv"),
        (["replay", "berka", "--data", "nowhere"], "--data must name the data set's folder"),
        (["replay", "sample", "--speed", "fast"], "'fast' is neither max nor a number"),
        (["replay", "sample", "--speed", "0x"], "'0x' is neither max nor a number"),
        (["replay", "sample", "--fresh", "--state", "."], "is not empty and has no xinliu-state.json"),
    ],
)
def test_a_wrong_call_is_answered_by_name(
    answered: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    (tmp_path / "something").touch()
    monkeypatch.chdir(tmp_path)
    code, _, err = answered(*words)
    assert code == 2
    assert said in err
