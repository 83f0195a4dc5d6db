"""docker-compose.yml: no Docker is needed to see that its form is right, its names meet, and its commands are ours."""

import json
import os
import re
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
from config.settings import IngestSettings, RedisSettings
from embedded.redis import server_binary
from features.values import Value
from sinks.redis_store import PartitionStore, opened, partition_state, read_stored, stored_names
from streams import acl
from streams.worker.roles import ROLES
from tests.patience import patience_s

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("xinliu:"))
AT_ONCE = Retry(NoBackoff(), 0)  # redis-py otherwise tries again for seconds
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z_]+)(?P<mode>:-|:\?|:\+)(?P<rest>[^}]*)\}")


def test_it_holds_what_the_schema_allows() -> None:
    schema = json.loads((ROOT / "tests/project/compose.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_the_schema_refuses_a_public_port_and_an_unknown_key() -> None:
    schema = json.loads((ROOT / "tests/project/compose.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    for key, wrong in (
        ("ports", ["6379:6379"]), ("commands", ["worker"]), ("image", "redis:latest"),
        ("image", "redis:8.2.9"), ("read_only", False),
        ("cap_drop", ["NET_RAW"]), ("network_mode", "host"), ("mem_limit", "much"),
    ):  # fmt: skip
        broken = {**COMPOSE, "services": {**SERVICES, "redis": {**SERVICES["redis"], key: wrong}}}
        assert not validator.is_valid(broken), key


def test_all_the_parts_are_there() -> None:
    assert set(SERVICES) >= {"kafka", "redis", "clickhouse", "prometheus", "grafana"}
    assert sorted(OURS) == sorted([*ROLES, "topics", "rights", "dashboard", "operators"])


def test_every_name_that_is_used_is_declared() -> None:
    volumes, secrets = set(COMPOSE["volumes"]), set(COMPOSE["secrets"])
    used_volumes, used_secrets, used_networks = set(), set(), set()
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        used_secrets |= set(service.get("secrets", []))
        used_networks |= set(service.get("networks", []))
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name} mounts {source}"
            else:
                used_volumes.add(source)
    assert used_volumes == volumes
    assert used_secrets == secrets
    assert used_networks == set(COMPOSE["networks"])
    assert (ROOT / SERVICES["score"]["build"]["dockerfile"]).exists()


def test_no_secret_has_a_default_and_each_stands_in_the_example() -> None:
    variables = {match["name"]: match for match in VARIABLE.finditer(COMPOSE_TEXT)}
    required = {name for name, match in variables.items() if match["mode"] == ":?"}
    with_default = {name for name, match in variables.items() if match["mode"] == ":-"}
    required |= {secret["environment"] for secret in COMPOSE["secrets"].values()}
    assert all(re.search("(_PORT|_MEMORY|^REDIS_MAXMEMORY)$", name) for name in with_default), with_default
    example = (ROOT / "config/ops/env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^([A-Z_]+)=$", example, re.M)) == required
    assert not re.findall(r"^[A-Z_]+=.+$", example, re.M), "the example holds a value"
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", key):
                assert _filled(value).startswith("/run/secrets/"), f"{name}: {key} = {value}"
                assert _filled(value).removeprefix("/run/secrets/") in service["secrets"], f"{name}: {key}"


def test_kafka_is_the_version_that_the_tests_run_on() -> None:
    lock = (ROOT / "embedded/kafka.lock").read_text(encoding="utf-8")
    (version,) = set(re.findall(r"^org\.apache\.kafka:kafka_2\.13:(\S+) ", lock, re.M))
    assert SERVICES["kafka"]["image"].partition("@")[0] == f"apache/kafka:{version}"


def test_our_image_is_built_on_one_that_is_pinned_by_digest() -> None:
    dockerfile = (ROOT / "config/ops/Dockerfile").read_text(encoding="utf-8")
    (base,) = set(re.findall(r"^FROM (\S+)", dockerfile, re.M))
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim@sha256:[0-9a-f]{64}", base)


def test_the_settings_of_ours_are_settings_that_exist() -> None:
    for name in OURS:
        loaded = _settings(name)
        if SERVICES[name].get("network_mode") == "host":  # there the others are where their ports are published
            assert loaded.kafka.bootstrap in _published("kafka")
            assert urlsplit(loaded.clickhouse.url).netloc.removeprefix("xinliu@") in _published("clickhouse")
        else:
            assert loaded.kafka.bootstrap == "kafka:9092"
    banks = tomllib.loads((ROOT / "config/ops/xinliu.toml").read_text(encoding="utf-8"))["banks"]
    assert len(loaded.banks) == len(banks) >= 2


# By program: its principal, its secrets, the networks that it is a member of.
WHO: dict[str, tuple[str, set[str], set[str]]] = {
    "topics": ("admin", {"admin"}, {"kafka"}),
    "rights": ("admin", {"admin", "ingest", "score", "learn", "archive", "operators", "dashboard"}, {"kafka"}),
    "ingest": ("ingest", {"ingest", "token_key", "token_secret", "seal_public_key"}, {"kafka", "metrics"}),
    "score": ("score", {"score", "redis_score"}, {"kafka", "redis", "metrics"}),
    "learn": ("learn", {"learn"}, {"kafka", "metrics"}),
    "archive": ("archive", {"archive", "clickhouse_password"}, {"kafka", "clickhouse", "metrics"}),
    "dashboard": ("dashboard", {"dashboard", "clickhouse_password"}, set()),
    "operators": ("operators", {"operators", "redis_operators"}, {"kafka", "redis"}),
}


@pytest.mark.parametrize("name", OURS)
def test_each_is_a_principal_of_its_own_with_its_own_secrets_networks_and_compiled_code(name: str) -> None:
    principal, secrets, networks = WHO[name]
    service, kafka = SERVICES[name], _settings(name).kafka
    assert (kafka.security_protocol, kafka.sasl_username) == ("SASL_SSL", principal)
    assert kafka.sasl_password_file == f"/run/secrets/{principal}"
    assert kafka.ca_file == "/etc/xinliu/kafka/broker.pem"
    assert set(service["secrets"]) == secrets
    assert set(service.get("networks", [])) == networks
    cache = f"cache-{'admin' if name in ('topics', 'rights') else name}"
    assert [mount for mount in service["volumes"] if not mount.endswith(":ro")] == [f"{cache}:/var/cache/xinliu"]


def test_rights_are_applied_before_any_program_starts_and_for_each_that_compose_runs() -> None:
    principals = {one for one, _, _ in WHO.values()} - {"admin"}
    assert principals <= set(acl.principals(_settings("rights")))
    assert set(SERVICES["rights"]["secrets"]) == principals | {"admin"}
    for name in set(OURS) - {"topics", "rights", "operators"}:
        assert SERVICES[name]["depends_on"]["rights"] == {"condition": "service_completed_successfully"}, name
    assert not {"redis", "learn", "score"} & {name for name in SERVICES if "host" in SERVICES[name].get("networks", [])}
    assert [name for name, network in COMPOSE["networks"].items() if network != {"internal": True}] == ["host"]


def test_the_pages_can_be_reached_from_this_host_alone() -> None:
    """They have no sign-in: a container's own address would be open to its network, a published port to more by one
    slip."""
    assert [name for name, service in SERVICES.items() if "network_mode" in service] == ["dashboard"]
    service = SERVICES["dashboard"]
    where = _settings("dashboard").dashboard
    assert where.host == "127.0.0.1"
    assert "ports" not in service
    assert f"http://{where.host}:{where.port}/" in _filled(service["healthcheck"]["test"][-1])
    assert not {key for key in service["environment"] if "REDIS" in key or "TOKEN" in key}


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


def test_the_redis_of_this_file_lets_each_user_do_what_its_programs_do(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """By redis-server, or by the packaged Valkey, which reads the same configuration."""
    server = server_binary("redis-server" if os.environ.get("CI") else "auto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in SERVICES["redis"]["secrets"]:
        (tmp_path / name).write_text(f"Secret-of-{name}")
    shell, flag, script = SERVICES["redis"]["command"]
    script = _filled(script).replace("dir /data", f"dir {tmp_path}\nbind 127.0.0.1\nport {port}")
    script = script.replace("/run/secrets", str(tmp_path)).replace("exec redis-server", f"exec {server}")
    if "redis" in server.name and b" v=7.0" in subprocess.check_output([server, "--version"]):
        script = script.replace(" +client|setinfo", "")  # Debian's is older than this file's, and refuses the word
    running = subprocess.Popen([shell, flag, script], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        anybody = redis.Redis(port=port, username="probe", password="none", retry=AT_ONCE)
        eventually(lambda: _answers(anybody), what="Redis with the configuration of docker-compose.yml")
        mine, theirs = (
            opened(
                RedisSettings(url=f"redis://{name}@127.0.0.1:{port}/0", password_file=str(tmp_path / f"redis_{name}"))
            )
            for name in ("score", "operators")
        )
        assert mine.info("memory")["maxmemory_policy"] == "noeviction"
        assert mine.info("persistence")["aof_enabled"] == 1
        store = PartitionStore(mine, "x", 0)
        assert store.claim(7) is None
        store.write([("E1", Value(b"hot", None))], b"{}")
        assert store.names() == [b"E1"]
        assert (partition_state(theirs, "x", 0), stored_names(theirs, "x", 0)) == (b"{}", ["E1"])
        assert read_stored(theirs, "x", {0: ["E1"]})[0].values == {"E1": Value(b"hot", None)}
        for client, words in (
            (theirs, ("SET", "x:{0}:p", "1")), (theirs, ("GET", "y")), (theirs, ("CONFIG", "GET", "*")),
            (mine, ("SET", "y", "1")), (mine, ("FLUSHALL",)), (mine, ("KEYS", "*")), (mine, ("DEL", "x:{0}:p")),
            (mine, ("EVAL", "return 1", "0")), (mine, ("ACL", "LIST")), (mine, ("SHUTDOWN",)),
            (mine, ("PUBLISH", "a", "b")),
            (anybody, ("GET", "x:{0}:p")), (anybody, ("INFO",)),
        ):  # fmt: skip
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*words)
        with pytest.raises(redis.exceptions.AuthenticationError):
            redis.Redis(port=port, retry=AT_ONCE).ping()
        with pytest.raises(redis.exceptions.AuthenticationError):
            redis.Redis(port=port, username="score", password="wrong", retry=AT_ONCE).ping()
        assert "Secret" not in Path(f"/proc/{running.pid}/cmdline").read_bytes().decode()
    finally:
        running.terminate()
        assert running.wait(timeout=patience_s(10)) == 0, "SIGTERM reaches Redis, not a shell before it"


def test_prometheus_and_grafana_find_what_the_compose_file_gives_them() -> None:
    ops = ROOT / "config/ops"
    scraped = yaml.safe_load((ops / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    (workers,) = [job["dns_sd_configs"][0] for job in scraped if job["job_name"] == "xinliu"]
    roles = sorted(name for name in OURS if SERVICES[name]["command"][0] == "worker")
    assert sorted(workers["names"]) == roles
    assert all("metrics" in SERVICES[name]["networks"] for name in (*roles, "prometheus", "grafana"))
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


def _settings(name: str) -> settings_module.Settings:
    environ = {key: _filled(value) for key, value in SERVICES[name]["environment"].items()}
    return settings_module.load(ROOT / "config/ops/xinliu.toml", environ)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.ConnectionError:
        return False


def _published(name: str) -> list[str]:
    """host:port of each port that a service publishes."""
    return [_filled(port).rpartition(":")[0] for port in SERVICES[name]["ports"]]


def _filled(text: str) -> str:
    """As Compose does it: required and optional variables with a value, defaults as given, `$$` as `$`."""
    filled = VARIABLE.sub(lambda match: "Secret1" if match["mode"] == ":?" else match["rest"], text)
    return filled.replace("$$", "$")


def test_one_bank_fills_at_most_a_tenth_of_redis_at_once() -> None:
    """Its first enterprises count ids, not bytes: each takes what docs/sizing.md has measured."""
    (gigabytes,) = re.findall(r"maxmemory \$\{REDIS_MAXMEMORY:-(\d+)gb\}", COMPOSE_TEXT)
    (each,) = re.findall(
        r"\*Redis\*: ([\d,]+) bytes an enterprise", (ROOT / "docs/sizing.md").read_text(encoding="utf-8")
    )
    assert IngestSettings().new_enterprises_first * int(each.replace(",", "")) <= (int(gigabytes) << 30) / 10
