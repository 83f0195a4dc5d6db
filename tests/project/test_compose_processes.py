"""Our services of docker-compose.yml, as processes: its broker, each under its own name, healthy, and stopped clean."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from config.settings import IngestSettings, load
from embedded import Child, Kafka
from embedded.kafka import java_binary
from embedded.ports import free_port
from sinks.client import client_settings
from streams.ingest import token_key
from streams.seal import key_files
from tests.patience import patience_s

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLES = sorted(name for name, service in SERVICES.items() if service.get("command", [""])[0] == "worker")
CLASSES = {
    "kafka-storage": "kafka.tools.StorageTool",
    "kafka-server-start": "kafka.Kafka",
    "kafka-configs": "kafka.admin.ConfigCommand",
}


@dataclass(frozen=True, slots=True)
class Host:
    """This machine in place of the containers': where each of their folders and addresses is here."""

    folder: Path
    places: dict[str, str]

    def here(self, text: str) -> str:
        """Return a text of theirs with the places of here."""
        text = re.sub(r"\$\{[A-Z_]+:[-+]([^}]*)\}", r"\1", text)
        for theirs, ours in self.places.items():
            text = text.replace(theirs, ours)
        return text

    def environ(self, name: str, **more: str) -> dict[str, str]:
        """Return the environment of a service; what needs no other value stays."""
        given = {key: self.here(value) for key, value in SERVICES[name]["environment"].items()}
        return {**os.environ, **given, "XINLIU_CACHE": os.environ.get("XINLIU_CACHE", ""), **more}

    def call(self, name: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a service that ends by itself."""
        return subprocess.run(
            [*_xinliu(SERVICES[name])[:3], *map(self.here, SERVICES[name]["command"])],
            env=self.environ(name, **more), capture_output=True, text=True, check=False, cwd=self.folder,
        )  # fmt: skip


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The broker of the compose file, by its own script: Kafka's scripts run the embedded jars."""
    folder = tmp_path_factory.mktemp("compose")
    own = {
        "/etc/kafka/secrets": "keys", "/mnt/shared/config": "public", "/var/lib/kafka/data": "data",
        "/etc/xinliu": "given", "/run/secrets": "secrets", "/opt/kafka/bin": "bin",
    }  # fmt: skip
    for name in own.values():
        (folder / name).mkdir()
    for name in COMPOSE["secrets"]:
        (folder / "secrets" / name).write_text("0123456789abcdef" * 4 if name == "token_key" else f"SecretOf{name}")
    _rotate(folder / "secrets")
    public = key_files(folder)["public_key_file"].read_text().splitlines()[1]
    (folder / "secrets" / "seal_public_key").write_text(public)  # as SEAL_PUBLIC_KEY has it
    ports: dict[str, str] = {}
    for number in ("19092", "9092", "9093", "9094"):
        ports[f":{number}"] = f":{free_port(besides=tuple(int(port[1:]) for port in ports.values()))}"
    folders = {theirs: str(folder / name) for theirs, name in own.items()}
    certificate = {"/etc/xinliu/kafka/broker.pem": str(folder / "public/broker.pem")}
    config = {"/etc/xinliu/xinliu.toml": str(ROOT / "config/ops/xinliu.toml")}
    found = Host(folder, {**certificate, **config, **folders, "kafka:9092": f"127.0.0.1{ports[':9092']}", **ports})
    for mount in SERVICES["kafka"]["volumes"]:
        source, target, *_ = mount.split(":")
        if source.startswith("./"):
            (folder / "given" / Path(target).name).write_text(found.here((ROOT / source).read_text(encoding="utf-8")))
    java = " ".join(map(str, Kafka(folder, heap="256m").command()))
    for name, of in CLASSES.items():
        (script := folder / "bin" / f"{name}.sh").write_text(f'#!/bin/sh\nexec {java} {of} "$@"\n')
        script.chmod(0o700)
    (folder / "bin/keytool").symlink_to(java_binary().with_name("keytool"))
    environ = {
        "KAFKA_CLUSTER_ID": "MkU3OEVBNTcwNTJENDM2Qg", "KAFKA_PORT": ports[":19092"][1:],
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }  # fmt: skip
    command = [found.here(word) for word in SERVICES["kafka"]["command"]]
    with Child("compose's Kafka", command, log=folder / "kafka.log", env=environ).launch() as broker:
        test = [found.here(word) for word in SERVICES["kafka"]["healthcheck"]["test"][1:]]
        broker.wait_ready(lambda: subprocess.run(test, capture_output=True, check=False).returncode == 0, 60.0)
        yield found


def _rotate(secrets: Path) -> None:
    """Give ingest a new key, and the secret sealed under it and the old one, as operators do."""
    key, sealed, new = secrets / "token_key", secrets / "token_secret", secrets / "token_key.2"
    sealed.unlink()
    token_key.rotate(IngestSettings(token_key_file=str(key), token_secret_file=str(sealed)), new, "2026-12-01")
    sealed.write_text(sealed.read_text().replace("\n", ""))  # one line, as .env has it
    new.replace(key)


def test_topics_and_rights_are_made_and_each_worker_is_healthy_and_stops_clean(
    host: Host, redis_url: str, eventually: Callable[..., None]
) -> None:
    for _ in range(2):  # `docker compose up` runs them at every start
        for name in ("topics", "rights"):
            made = host.call(name)
            assert made.returncode == 0, made.stdout + made.stderr
    here = {
        "XINLIU_REDIS_URL": redis_url, "XINLIU_METRICS_HOST": "127.0.0.1",
        "XINLIU_CLICKHOUSE_URL": f"chdb://{host.folder / 'chdb'}",
    }  # fmt: skip
    with contextlib.ExitStack() as running:
        workers = {}
        for name in ROLES:
            environ = host.environ(name, **here)
            for other in ("XINLIU_REDIS_PASSWORD_FILE", "XINLIU_CLICKHOUSE_PASSWORD_FILE"):
                environ.pop(other, None)
            workers[name] = running.enter_context(_program(name, "XINLIU_METRICS_PORT", environ, host.folder))
        for name, (process, port) in workers.items():

            def healthy(process: subprocess.Popen[bytes] = process, port: int = port, name: str = name) -> bool:
                assert process.poll() is None, _log(host.folder, name)
                return _healthy(SERVICES[name]["healthcheck"]["test"], port, dict(os.environ))

            eventually(healthy, deadline_s=90.0, what=f"{name} healthy")
        environ = {**here, "XINLIU_REDIS_PASSWORD_FILE": str(host.folder / "secrets/none")}
        assert "none" in host.call("operators", **environ).stderr, "its password is read from the file"
        for process, _ in workers.values():
            process.send_signal(signal.SIGTERM)
        for name, (process, _) in workers.items():
            assert process.wait(timeout=patience_s(40)) == 0, _log(host.folder, name)


def test_the_pages_are_healthy_and_stop_clean(host: Host, eventually: Callable[..., None]) -> None:
    """Kafka is real. ClickHouse is missing, as during a restart: the pages answer, and report it."""
    service = SERVICES["dashboard"]
    assert host.call("topics").returncode == host.call("rights").returncode == 0
    nobody = f"clickhouse://xinliu@127.0.0.1:{free_port()}/xinliu"
    environ = host.environ("dashboard", XINLIU_CLICKHOUSE_URL=nobody)
    with _program("dashboard", "XINLIU_DASHBOARD_PORT", environ, host.folder) as (process, port):

        def healthy() -> bool:
            assert process.poll() is None, _log(host.folder, "dashboard")
            return _healthy(service["healthcheck"]["test"], port, environ, usual="${DASHBOARD_PORT:-18710}")

        eventually(healthy, deadline_s=60.0, what="the pages healthy")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=patience_s(10)) == 0, _log(host.folder, "dashboard")  # Docker waits so long


def test_the_broker_of_this_file_serves_nobody_without_a_password_and_hides_its_own(host: Host) -> None:
    environ = host.environ("topics", XINLIU_KAFKA_SASL_PASSWORD_FILE=str(host.folder / "secrets/token_key"))
    given = {name: value for name, value in environ.items() if name.startswith("XINLIU_KAFKA_")}
    kafka = load(None, given).kafka
    for client in (client_settings(kafka), {"security.protocol": "PLAINTEXT"}):
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0, **client})
        with pytest.raises(KafkaException):
            admin.list_topics(timeout=1.0)
    for path in (host.folder / "keys").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert not (host.folder / "keys/format.words").exists()
    assert (host.folder / "public/broker.pem").stat().st_mode & 0o777 == 0o644


def _xinliu(service: dict[str, Any]) -> list[str]:
    return [sys.executable, "-m", "cli.main", *service["command"]]


@contextlib.contextmanager
def _program(
    name: str, port_name: str, environ: dict[str, str], folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
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
