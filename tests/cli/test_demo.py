"""`xinliu demo` as a person runs it: history in without an alert to anybody, an opening list, live days, pages."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replay.simulate import province
from sinks.clickhouse import Target, connect

pytest.importorskip("chdb")
pytestmark = pytest.mark.timeout(900)  # the first start compiles the kernels
SMALL = ("--enterprises", "40", "--banks", "6", "--speed", "20000x", "--exit")
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
    _, live_from_ms = province(enterprise_count=40, bank_count=6)
    first = start(state)
    try:
        eventually(
            lambda: first.poll() is not None or "the pages: http://127.0.0.1:" in said.read_text(), 600, "a page"
        )
        address = re.search(r"the pages: (\S+)", said.read_text())
        assert address is not None, said.read_text()
        seen: list[Any] = []
        while first.poll() is None:
            if (status := asked(address[1])) is not None:
                seen.append(status)
            time.sleep(0.3)
    finally:
        if first.poll() is None:
            first.terminate()
            first.wait(60)
    assert first.returncode == 0, said.read_text()[-5_000:]
    events = int(DONE.findall(said.read_text())[0][0].replace(",", ""))
    assert events > 12_000
    assert any(sum(status["grades"].values()) == 40 for status in seen), "the pages never showed the enterprises"
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
    assert 0.8 * events < txns <= events + 2_000
    second = start(state)
    assert second.wait(600) == 0, said.read_text()[-5_000:]
    again = int(DONE.findall(said.read_text())[1][0].replace(",", ""))
    assert again == 0, "history was sent anew"
