"""docker-compose.yml: no Docker is needed to see that its form is right, its names meet, and its commands are ours."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import redis
import yaml
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import settings as settings_module
from streams.worker.roles import ROLES
from tests.patience import patience_s

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("xinliu:"))
AT_ONCE = Retry(NoBackoff(), 0)  # redis-py otherwise tries again for seconds
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z_]+)(?P<mode>:-|:\?)(?P<rest>[^}]*)\}")


def test_it_holds_what_the_schema_allows() -> None:
    schema = json.loads((ROOT / "tests/project/compose.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_the_schema_refuses_a_public_port_and_an_unknown_key() -> None:
    schema = json.loads((ROOT / "tests/project/compose.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    for key, wrong in (("ports", ["6379:6379"]), ("commands", ["worker"]), ("image", "redis:latest")):
        broken = {**COMPOSE, "services": {**SERVICES, "redis": {**SERVICES["redis"], key: wrong}}}
        assert not validator.is_valid(broken), key


def test_all_the_parts_are_there() -> None:
    assert set(SERVICES) >= {"kafka", "redis", "clickhouse", "prometheus", "grafana"}
    assert sorted(OURS) == sorted([*ROLES, "topics", "dashboard"])


def test_every_name_that_is_used_is_declared() -> None:
    volumes, secrets = set(COMPOSE["volumes"]), set(COMPOSE["secrets"])
    used_volumes, used_secrets = set(), set()
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        used_secrets |= set(service.get("secrets", []))
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name} mounts {source}"
            else:
                used_volumes.add(source)
    assert used_volumes == volumes
    assert used_secrets == secrets
    assert (ROOT / SERVICES["score"]["build"]["dockerfile"]).exists()


def test_no_secret_has_a_default_and_each_stands_in_the_example() -> None:
    variables = {match["name"]: match for match in VARIABLE.finditer(COMPOSE_TEXT)}
    required = {name for name, match in variables.items() if match["mode"] == ":?"}
    with_default = {name for name, match in variables.items() if match["mode"] == ":-"}
    required |= {secret["environment"] for secret in COMPOSE["secrets"].values()}
    assert all(name.endswith("_PORT") or name == "REDIS_MAXMEMORY" for name in with_default), with_default
    example = (ROOT / "config/ops/env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^([A-Z_]+)=$", example, re.M)) == required
    assert not re.findall(r"^[A-Z_]+=.+$", example, re.M), "the example holds a value"
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", key) and not value.startswith("/run/secrets/"):
                assert ":?" in value, f"{name}: {key} = {value}"


def test_kafka_is_the_version_that_the_tests_run_on() -> None:
    lock = (ROOT / "embedded/kafka.lock").read_text(encoding="utf-8")
    (version,) = set(re.findall(r"^org\.apache\.kafka:kafka_2\.13:(\S+) ", lock, re.M))
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version}"


def test_the_settings_of_ours_are_settings_that_exist() -> None:
    for name in OURS:
        environ = {key: _filled(value) for key, value in SERVICES[name]["environment"].items()}
        loaded = settings_module.load(ROOT / "config/ops/xinliu.toml", environ)
        if SERVICES[name].get("network_mode") == "host":  # there the others are where their ports are published
            assert loaded.kafka.bootstrap in _published("kafka")
            assert urlsplit(loaded.clickhouse.url).netloc.removeprefix("xinliu@") in _published("clickhouse")
        else:
            assert loaded.kafka.bootstrap == "kafka:9092"
            assert loaded.redis.url == "redis://xinliu:Secret1@redis:6379/0"
            assert urlsplit(loaded.clickhouse.url).netloc == "xinliu@clickhouse:9000"
    banks = tomllib.loads((ROOT / "config/ops/xinliu.toml").read_text(encoding="utf-8"))["banks"]
    assert len(loaded.banks) == len(banks) >= 2


def test_the_pages_can_be_reached_from_this_host_alone() -> None:
    """They have no sign-in: a container's own address would be open to its network, a published port to more by one
    slip."""
    assert [name for name, service in SERVICES.items() if "network_mode" in service] == ["dashboard"]
    service = SERVICES["dashboard"]
    environ = {key: _filled(value) for key, value in service["environment"].items()}
    where = settings_module.load(ROOT / "config/ops/xinliu.toml", environ).dashboard
    assert where.host == "127.0.0.1"
    assert "ports" not in service
    assert f"http://{where.host}:{where.port}/" in _filled(service["healthcheck"]["test"][-1])
    assert service["secrets"] == ["clickhouse_password"], "it shows pages: no key of tokens, no password of Redis"
    assert not {key for key in environ if "REDIS" in key or "TOKEN" in key}


@pytest.mark.parametrize("name", OURS)
def test_each_of_our_commands_is_one_that_the_program_knows(name: str) -> None:
    command = SERVICES[name]["command"]
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *command, "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: xinliu {command[0]}")


def test_a_role_that_the_program_does_not_know_is_refused_with_those_that_it_does() -> None:
    wrong = [sys.executable, "-m", "cli.main", "worker", "no-such-role"]
    refused = subprocess.run(wrong, capture_output=True, text=True, check=False, cwd=ROOT)
    assert refused.returncode == 2
    assert all(name in refused.stderr for name in OURS if name in ROLES)


def test_the_redis_of_this_file_wants_its_password_and_never_evicts(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    if shutil.which("redis-server") is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs redis-server")
        pytest.skip("no redis-server here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shell, flag, script = SERVICES["redis"]["command"]
    script = _filled(script).replace("dir /data", f"dir {tmp_path}\nbind 127.0.0.1\nport {port}")
    environ = {**os.environ, "REDIS_PASSWORD": "Secret1"}
    server = subprocess.Popen([shell, flag, script], env=environ, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port, username="xinliu", password="Secret1", socket_timeout=5, retry=AT_ONCE)
        eventually(lambda: _answers(client), what="redis-server with the configuration of docker-compose.yml")
        assert client.set("x:{0}:h:one", b"1")
        assert client.info("memory")["maxmemory_policy"] == "noeviction"
        assert client.info("persistence")["aof_enabled"] == 1
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.set("a key of somebody else", b"1")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.flushall()
        with pytest.raises(redis.exceptions.AuthenticationError):
            redis.Redis(port=port, retry=AT_ONCE).ping()
        with pytest.raises(redis.exceptions.AuthenticationError):
            redis.Redis(port=port, username="xinliu", password="wrong", retry=AT_ONCE).ping()
        assert "Secret1" not in Path(f"/proc/{server.pid}/cmdline").read_bytes().decode()
    finally:
        server.terminate()
        assert server.wait(timeout=patience_s(10)) == 0, "SIGTERM reaches Redis, not a shell before it"


def test_prometheus_and_grafana_find_what_the_compose_file_gives_them() -> None:
    ops = ROOT / "config/ops"
    scraped = yaml.safe_load((ops / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    (workers,) = [job["dns_sd_configs"][0] for job in scraped if job["job_name"] == "xinliu"]
    roles = sorted(name for name in OURS if SERVICES[name]["command"][0] == "worker")
    assert sorted(workers["names"]) == roles
    assert str(workers["port"]) == SERVICES["score"]["environment"]["XINLIU_METRICS_PORT"]
    rules = yaml.safe_load((ops / "prometheus.yml").read_text(encoding="utf-8"))["rule_files"]
    assert rules == ["prometheus/*.yml"], "beside the configuration, here as in the container"
    assert "./config/ops/prometheus:/etc/prometheus/prometheus:ro" in SERVICES["prometheus"]["volumes"]
    source = yaml.safe_load((ops / "grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((ops / "grafana/provisioning/dashboards/xinliu.yml").read_text(encoding="utf-8"))
    mounted = provider["providers"][0]["options"]["path"]
    assert f"./config/ops/grafana/dashboards:{mounted}:ro" in SERVICES["grafana"]["volumes"]
    for path in (ops / "grafana/dashboards").glob("*.json"):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            assert panel["datasource"]["uid"] == source["datasources"][0]["uid"], panel["title"]


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.ConnectionError:
        return False


def _published(name: str) -> list[str]:
    """host:port of each port that a service publishes."""
    return [_filled(port).rpartition(":")[0] for port in SERVICES[name]["ports"]]


def _filled(text: str) -> str:
    """As Compose does it: required variables with a value, defaults as given, `$$` as `$`."""
    filled = VARIABLE.sub(lambda match: "Secret1" if match["mode"] == ":?" else match["rest"], text)
    return filled.replace("$$", "$")
