"""Which Redis a benchmark runs: the host's, and where there is none the bundled one, which its figures then say."""

import os
from pathlib import Path

import pytest
import redis

from benchmarks import machine, parts


@pytest.fixture
def path_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_without_redis_server_the_bundled_one_runs_and_stands_beside_the_figures(
    path_of_nothing: Path, tmp_path: Path
) -> None:
    with parts.redis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        assert client.info("server")["server_name"] == "valkey"
        assert str(server.release).startswith("Valkey ")
    assert machine.describe().endswith(f", {server.release} in place of redis-server")
    assert machine.versions()["redis"] == str(server.release)


def test_the_hosts_redis_server_is_that_of_production(path_of_nothing: Path) -> None:
    program = path_of_nothing / "redis-server"
    program.write_text("#!/bin/sh\necho 'Redis server v=8.2.1 sha=00000000:0'\n")
    program.chmod(0o755)
    assert parts.redis_binary() == program
    assert machine.describe().split(", ")[-1].startswith(os.uname().sysname)
    assert machine.versions()["redis"] == "Redis 8.2.1"
