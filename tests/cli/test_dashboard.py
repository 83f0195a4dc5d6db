"""`xinliu dashboard`: refusals by name, start and end."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import main
from embedded.ports import free_port
from tests.patience import patience_s


def test_a_chdb_folder_is_refused_with_the_alternative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XINLIU_CLICKHOUSE_URL", f"chdb://{tmp_path}")
    assert main(["dashboard"]) == 2
    said = capsys.readouterr().err
    assert "[clickhouse] url" in said
    assert "worker archive --dashboard" in said


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "192.0.2.1"])
def test_no_address_but_the_loopback_is_taken(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XINLIU_DASHBOARD_HOST", host)
    assert main(["dashboard"]) == 2
    assert "XINLIU_DASHBOARD_HOST" in capsys.readouterr().err


def test_it_goes_with_the_archive_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "score", "--dashboard"]) == 2
    assert "--dashboard goes with the archive" in capsys.readouterr().err


def test_it_serves_while_kafka_and_clickhouse_are_away_and_ends_on_sigterm(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    port, nobody = free_port(), free_port()
    environment = {
        **os.environ,
        "XINLIU_DASHBOARD_PORT": str(port),
        "XINLIU_KAFKA_BOOTSTRAP": f"127.0.0.1:{nobody}",
        "XINLIU_CLICKHOUSE_URL": f"clickhouse://default@127.0.0.1:{nobody}/xinliu",
    }
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen([sys.executable, "-P", "-m", "cli.main", "dashboard"], env=environment, stdout=out)
    try:
        address = f"http://127.0.0.1:{port}/"
        eventually(lambda: address in (tmp_path / "out").read_text(), 60, "the address")
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert "信流" in answer.read().decode()
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}api/status", timeout=60)
        assert refused.value.code == 503
        process.send_signal(signal.SIGTERM)
        assert process.wait(patience_s(60)) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
