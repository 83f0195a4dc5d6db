"""Our services of docker-compose.yml, as processes: topics are made, workers are healthy and stop clean."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from streams.seal import key_files
from tests.patience import patience_s

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))[
    "services"
]
ROLES = sorted(name for name, service in SERVICES.items() if service.get("command", [""])[0] == "worker")


def test_topics_are_made_and_each_worker_is_healthy_and_stops_clean(
    tmp_path: Path, empty_kafka: str, redis_url: str, eventually: Callable[..., None]
) -> None:
    environ = _environ(SERVICES["topics"], tmp_path, empty_kafka, redis_url)
    for _ in range(2):  # `docker compose up` runs it at every start
        made = subprocess.run(
            _xinliu(SERVICES["topics"]), env=environ, capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert made.returncode == 0, made.stdout + made.stderr
    with contextlib.ExitStack() as running:
        workers = {
            name: running.enter_context(_program(name, "XINLIU_METRICS_PORT", environ, tmp_path)) for name in ROLES
        }
        for name, (process, port) in workers.items():

            def healthy(process: subprocess.Popen[bytes] = process, port: int = port, name: str = name) -> bool:
                assert process.poll() is None, _log(tmp_path, name)
                return _healthy(SERVICES[name]["healthcheck"]["test"], port, environ)

            eventually(healthy, deadline_s=90.0, what=f"{name} healthy")
        for process, _ in workers.values():
            process.send_signal(signal.SIGTERM)
        for name, (process, _) in workers.items():
            assert process.wait(timeout=patience_s(40)) == 0, _log(tmp_path, name)


def test_the_pages_are_healthy_and_stop_clean(
    tmp_path: Path, empty_kafka: str, eventually: Callable[..., None]
) -> None:
    """Kafka is real. ClickHouse is missing, as during a restart: the pages answer, and report it."""
    service, nobody = SERVICES["dashboard"], _free_port()
    here = {
        "XINLIU_CONFIG": str(ROOT / "config/ops/xinliu.toml"),
        "XINLIU_KAFKA_BOOTSTRAP": empty_kafka,
        "XINLIU_CLICKHOUSE_URL": f"clickhouse://xinliu@127.0.0.1:{nobody}/xinliu",
        "XINLIU_CLICKHOUSE_PASSWORD_FILE": str(tmp_path / "password"),
    }
    (tmp_path / "password").write_text("Secret1")
    environ = {**os.environ, **service["environment"], **here}
    with _program("dashboard", "XINLIU_DASHBOARD_PORT", environ, tmp_path) as (process, port):

        def healthy() -> bool:
            assert process.poll() is None, _log(tmp_path, "dashboard")
            return _healthy(service["healthcheck"]["test"], port, environ, usual="${DASHBOARD_PORT:-18710}")

        eventually(healthy, deadline_s=60.0, what="the pages healthy")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=patience_s(10)) == 0, _log(tmp_path, "dashboard")  # Docker waits so long


def _environ(service: dict[str, Any], folder: Path, kafka: str, redis_url: str) -> dict[str, str]:
    """The service's environment with the addresses and files of this machine; what needs no other value stays."""
    (folder / "token_key").write_text("0123456789abcdef" * 4)
    public = key_files(folder)["public_key_file"].read_text().splitlines()[1]
    (folder / "seal_public_key").write_text(public)  # as SEAL_PUBLIC_KEY has it
    here = {
        "XINLIU_CONFIG": str(ROOT / "config/ops/xinliu.toml"),
        "XINLIU_CACHE": os.environ.get("XINLIU_CACHE", ""),
        "XINLIU_KAFKA_BOOTSTRAP": kafka,
        "XINLIU_REDIS_URL": redis_url,
        "XINLIU_CLICKHOUSE_URL": f"chdb://{folder / 'chdb'}",
        "XINLIU_INGEST_TOKEN_KEY_FILE": str(folder / "token_key"),
        "XINLIU_SEAL_PUBLIC_KEY_FILE": str(folder / "seal_public_key"),
        "XINLIU_METRICS_HOST": "127.0.0.1",
    }
    given = {key: value for key, value in service["environment"].items() if key != "XINLIU_CLICKHOUSE_PASSWORD_FILE"}
    merged = {**os.environ, **given, **here}
    return {key: value for key, value in merged.items() if value or key != "XINLIU_CACHE"}


def _xinliu(service: dict[str, Any]) -> list[str]:
    return [sys.executable, "-m", "cli.main", *service["command"]]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def _program(
    name: str, port_name: str, environ: dict[str, str], folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = _free_port()
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            _xinliu(SERVICES[name]),
            env={**environ, port_name: str(port)},
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


def _healthy(test: list[str], port: int, environ: dict[str, str], usual: str = "9100") -> bool:
    assert usual in test[-1]
    kind, program, *arguments = (part.replace(usual, str(port)) for part in test)
    assert (kind, program) == ("CMD", "python")
    return subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, check=False).returncode == 0


def _log(folder: Path, name: str) -> str:
    return (folder / f"{name}.log").read_text(errors="replace")[-4000:]
