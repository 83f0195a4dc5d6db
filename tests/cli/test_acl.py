"""`xinliu acl` on a broker that denies by default: every role, command and page has what it needs, and no more.

One broker, four workers and the pages under their own principals; then each principal × topic, group, transactional id.
"""

import asyncio
import itertools
import json
import re
import secrets
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.settings import (
    ClickHouseSettings,
    DashboardSettings,
    IngestSettings,
    KafkaSettings,
    LearnSettings,
    RedisSettings,
    SealSettings,
    Settings,
)
from dashboard.serve import DashboardThread
from domain import topics
from embedded import Kafka, RedisServer
from embedded.kafka import java_binary
from embedded.redis import Kind
from replay.offsets import Offsets
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import Outbox
from streams import acl, case_desk
from streams.learn.publishing import Publisher
from streams.model_history import read_history
from streams.seal import key_files
from streams.topics import admin_client, wanted_topics
from tests.cli import acl_probes
from tests.cli.kit import settings_file, xinliu
from tests.dashboard import kit
from tests.patience import eventually, patience_s
from tests.streams.learn.candidates import learned, observed

pytest.importorskip("chdb")
BANKS = [bank.bank_id for bank in kit.BANKS]
ROLES = ("ingest", "score", "learn", "archive")
SIGNED = ("--by", "zhang", "--reason", "a test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running engine in which everybody is who he is. `files`: the settings of each principal."""

    broker: Kafka
    folder: Path
    settings: dict[str, Settings]
    files: dict[str, Path]

    def kafka(self, principal: str) -> KafkaSettings:
        return self.settings[principal].kafka


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_kind: Kind) -> Iterator[Site]:
    """Kafka with the rights of the table and nothing else, Redis, and the roles at work on what two banks have sent."""
    folder = tmp_path_factory.mktemp("site")
    (passwords := folder / "passwords").mkdir()
    (folder / "token.key").write_bytes(b"0123456789abcdef0123456789abcdef")
    with ExitStack() as running:
        broker = running.enter_context(Kafka(folder / "kafka", heap="256m", secured=True))
        redis = running.enter_context(RedisServer(folder / "redis", kind=redis_kind))
        assert broker.secured is not None
        whole = Settings(
            kafka=msgspec.structs.replace(broker.client(), log_partitions=2),
            redis=RedisSettings(url=redis.url),
            clickhouse=ClickHouseSettings(url=f"chdb://{folder / 'chdb'}"),
            ingest=IngestSettings(token_key_file=str(folder / "token.key")),
            learn=LearnSettings(activation="auto", checkpoint_s=0.5),
            dashboard=DashboardSettings(port=0),
            banks=kit.BANKS,
        )
        settings, keys = {"admin": whole}, {name: str(file) for name, file in key_files(folder).items()}
        sealing = {"ingest": keys["public_key_file"]}
        opening = {"operators": keys["private_key_file"]}
        for name in acl.principals(whole):
            (passwords / name).write_text(secrets.token_urlsafe(16))
            kafka = broker.secured.client(broker.address, name, passwords / name)
            seal = SealSettings(public_key_file=sealing.get(name), private_key_file=opening.get(name))
            own = msgspec.structs.replace(whole, kafka=msgspec.structs.replace(kafka, log_partitions=2), seal=seal)
            settings[name] = own
        files = {}
        for name, own in settings.items():
            (folder / name).mkdir()
            files[name] = settings_file(folder / name, own)
        one = Site(broker=broker, folder=folder, settings=settings, files=files)
        for words in (["topics", "create"], ["acl", "apply", "--passwords", passwords]):
            done = _call("admin", one, *words)
            assert done.returncode == 0, done.stdout + done.stderr
        for name in ROLES:
            running.enter_context(_worker(one, name))
        for topic, sent in itertools.groupby(sorted([*kit.history(), kit.overdue()], key=_topic), key=_topic):
            bank_id = topics.bank_of(topic)
            sender = one.kafka("gateway" if bank_id is None else f"bank.{bank_id}")
            kit.send(broker.address, list(sent), client_settings(sender))
        yield one


def _topic(sent: kit.Sent) -> str:
    return sent[0]


def _call(principal: str, site: Site, *words: str | Path) -> subprocess.CompletedProcess[str]:
    argv, environ = xinliu("--config", site.files[principal], *words)
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=patience_s(60))


class _worker:
    """A role's process, under its principal; its log is shown where it has ended by itself."""

    def __init__(self, site: Site, role: str) -> None:
        argv, environ = xinliu("--config", site.files[role], "worker", role)
        self._log, self._role = site.folder / f"{role}.log", role
        self._process = subprocess.Popen(argv, env=environ, stdout=self._log.open("wb"), stderr=subprocess.STDOUT)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        ended = self._process.poll()
        self._process.terminate()
        code = self._process.wait(patience_s(40))
        log = self._log.read_text(errors="replace")
        print(f"--- {self._role}\n{log[-3_000:]}")
        if error[0] is None:
            assert ended is None, f"{self._role} has ended by itself"
            assert code == 0, self._role
            assert not re.search("authoriz", log, re.IGNORECASE), self._role


def test_the_rights_that_are_applied_are_those_of_the_table(site: Site) -> None:
    done = _call("admin", site, "acl", "check")
    assert (done.returncode, done.stdout) == (0, "0 missing, 0 too many; quotas are not compared\n"), done.stderr
    refused = _call("operators", site, "acl", "check")
    assert (refused.returncode, "authorization failed" in refused.stderr.lower()) == (1, True), refused.stderr
    kafka = site.kafka("admin")
    left = acl.Rule("bank.Z9000000000009", "topic", "literal", "bank.Z9000000000009.events.v1", "WRITE")
    everybody = acl.Rule("*", "topic", "prefixed", "alert.", "READ")
    missing = acl.Rule("score", "topic", "literal", topics.EVENTS, "READ")
    admin = site.settings["admin"]
    acl.add(admin, [left, everybody])
    acl.remove(admin, [missing])
    found = json.loads(_call("admin", site, "acl", "check", "--json").stdout)
    assert found == {"missing": [missing.row()], "surplus": [everybody.row(), left.row()]}
    kept = _call("admin", site, "acl", "apply")
    assert (kept.returncode, kept.stdout.splitlines()[-1]) == (1, "1 added, 2 too many")
    done = _call("admin", site, "acl", "apply", "--prune")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "0 added, 2 removed"), kafka.bootstrap
    assert acl.differences(admin) == acl.Differences(missing=(), surplus=())


def test_every_role_works_under_its_rights(site: Site) -> None:
    offsets = Offsets(site.kafka("operators"))
    eventually(lambda: _end(offsets, topics.LEARN), 60, "a checkpoint of learn")
    eventually(lambda: _end(offsets, topics.bank_alerts(BANKS[0])), 60, "an alert")
    archive = Offsets(site.kafka("dashboard"))
    places = archive.partitions([topics.SCORE])
    eventually(lambda: len(archive.committed("archive", places)) == len(places), 60, "the archive's commit")
    settings = site.settings["learn"]

    async def publish() -> Any:
        publisher = Publisher(settings, Outbox(settings.kafka.bootstrap, aiokafka_settings(settings.kafka)))
        await publisher.start()
        return await publisher.publish(learned(1), observed(40))

    made = asyncio.run(publish())
    assert made.status == "proposed"
    (said,) = read_history(site.kafka("operators")).said
    assert (said.control.artefact_id, said.control.principal, said.control.author) == (
        *(made.model_id, "ingest", "learn"),
    )


def _end(offsets: Offsets, topic: str) -> int:
    return sum(offsets.ends(offsets.partitions([topic])).values())


REPLAYED = "replayed.log"
OF_BANK = ("--bank", BANKS[0])
COMMANDS: tuple[tuple[str, tuple[str, ...], int, str], ...] = (  # whose, words, exit code, what is said
    ("operators", ("status", "--look-s", "0.5"), 0, "healthy"),
    ("operators", ("topics", "check"), 0, "0 differences"),
    ("operators", ("ledger", "check"), 0, ""),
    *(
        (who, ("case", what, *case, *OF_BANK), 0, kit.ENTERPRISE)
        for who in (f"bank.{BANKS[0]}", "operators")
        for what, case in (("list", ("--all",)), ("show", ("CASE",)))
    ),
    (f"bank.{BANKS[0]}", ("case", "sign", "CASE", "--by", "E1", *OF_BANK), 0, "signed"),
    ("operators", ("case", "begin", "CASE", "--by", "E1", *OF_BANK), 0, "checking"),
    (f"bank.{BANKS[0]}", ("case", "submit", "CASE", "--by", "E1", "--disposition", "known", *OF_BANK), 0, "in review"),
    (f"bank.{BANKS[0]}", ("case", "return", "CASE", "--by", "E2", *OF_BANK), 0, "checking"),
    ("operators", ("case", "submit", "CASE", "--by", "E1", "--disposition", "known", *OF_BANK), 0, "in review"),
    ("operators", ("case", "approve", "CASE", "--by", "E2", *OF_BANK), 0, "disposed of"),
    (f"bank.{BANKS[1]}", ("case", "list", *OF_BANK), 2, f"there is no topic case.{BANKS[0]}.v1"),
    (f"bank.{BANKS[1]}", ("case", "sign", "CASE", "--by", "E1", *OF_BANK), 2, f"there is no topic case.{BANKS[0]}.v1"),
    ("supervisor", ("case", "list", *OF_BANK), 2, f"there is no topic case.{BANKS[0]}.v1"),
    ("operators", ("backfill", "open", *SIGNED), 0, "written to control.v1"),
    ("operators", ("backfill", "close", *SIGNED), 0, "written to control.v1"),
    ("operators", ("backfill", "list"), 0, "operators (zhang)"),
    ("operators", ("feed", "list"), 0, "0 feeds paused"),
    ("operators", ("late", "list"), 0, "in all"),
    ("operators", ("dlq", "list"), 0, "unknown_currency"),
    ("operators", ("dlq", "show", topics.bank_events(BANKS[0]), "0", "LAST", *SIGNED), 0, "XXX"),
    ("operators", ("dlq", "opened"), 0, "zhang"),
    ("operators", ("dlq", "retry", "--yes"), 0, "1 sent, 0 refused"),
    ("operators", ("artefact", "publish", "rules", "rules.json"), 0, ""),
    ("operators", ("artefact", "list"), 0, "rules"),
    ("operators", ("model", "list"), 0, ""),
    ("operators", ("model", "queue"), 0, ""),
    ("operators", ("model", "accept", "prior", *SIGNED), 1, "in force"),
    ("operators", ("inspect", kit.ENTERPRISE), 0, kit.ENTERPRISE),
    ("operators", ("replay", "log", "--record", REPLAYED), 0, ""),
    (f"bank.{BANKS[0]}", ("tail", "--bank", BANKS[0], "--from-start", "--count", "1"), 0, kit.ENTERPRISE),
    ("supervisor", ("tail", "--from-start", "--count", "1"), 0, kit.ENTERPRISE),
    ("supervisor", ("tail", "--scores", "--from-start", "--count", "1"), 0, ""),
    (f"bank.{BANKS[1]}", ("tail", "--bank", BANKS[0], "--from-start", "--count", "1"), 2, "there is no topic"),
    (f"bank.{BANKS[1]}", ("tail", "--from-start", "--count", "1"), 2, "there is no topic"),
    (f"bank.{BANKS[1]}", ("backfill", "open", *SIGNED), 1, "control.v1"),
    ("score", ("backfill", "open", *SIGNED), 1, "control.v1"),
    ("learn", ("backfill", "open", *SIGNED), 1, "control.v1"),
    ("learn", ("model", "resume", *SIGNED), 1, "authorization failed"),
)


def test_every_command_works_under_its_users_rights(
    site: Site, answered: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    from detectors.rules.artefact import packaged

    (tmp_path / "rules.json").write_bytes(packaged().encode())
    sender = client_settings(site.kafka(f"bank.{BANKS[0]}"))
    refused = msgspec.structs.replace(kit.sale(kit.LAST_DAY, 500, 1), currency="XXX")
    kit.send(site.broker.address, [(topics.bank_events(BANKS[0]), refused)], sender)
    offsets = Offsets(site.kafka("operators"))
    eventually(lambda: _end(offsets, topics.DEAD_LETTERS), 30, "a dead letter")
    look = ("--config", site.files["operators"], "status", "--look-s", "0.5")
    eventually(lambda: answered(*look)[0] == 0, 60, "workers that have caught up: else status says who has not")
    eventually(lambda: case_desk.newest(site.settings["operators"], BANKS[0]), 60, "a case")
    (case,) = case_desk.newest(site.settings["operators"], BANKS[0])
    stands_for = {"LAST": str(_end(offsets, topics.bank_events(BANKS[0])) - 1), "CASE": case}
    wrong = []
    for principal, words, code, said in COMMANDS:
        called = [stands_for.get(word, word) for word in words]
        found, out, err = answered("--config", site.files[principal], *called)
        if (found, said in out + err) != (code, True) or (code == 0 and "authoriz" in err.lower()):
            wrong.append(f"{principal}: {words}: {found}\n{out}\n{err}")
    assert not wrong, "\n".join(wrong)


def test_the_pages_show_alerts_and_flow_under_their_rights(site: Site) -> None:
    """ClickHouse is missing: its part needs no Kafka."""
    where = ClickHouseSettings(url="clickhouse://nobody@127.0.0.1:1/xinliu")
    settings = msgspec.structs.replace(site.settings["dashboard"], clickhouse=where)
    with DashboardThread(settings) as pages, urllib.request.urlopen(f"{pages.address}api/stream", timeout=30) as stream:
        seen: set[str] = set()
        for line in stream:
            if line.startswith(b"event: "):
                name = line.removeprefix(b"event: ").strip().decode()
                body = json.loads(next(stream).removeprefix(b"data: "))
                seen |= {name} if name != "flow" or body["reachable"] else set()
                seen |= {"latency"} if name == "flow" and body.get("received") else set()
                if name == "hello" and body["alerts"]:
                    seen.add("alert")
            if seen >= {"alert", "flow", "latency"}:
                break


def test_a_bank_is_refused_all_that_is_not_its_own(site: Site) -> None:
    """Compare with a list of what is its own, and not with the table that is tested."""
    unknown = topics.bank_events("Z9000000000099")  # which banks there are is not told either
    every = [unknown, *(topic.name for topic in wanted_topics(site.settings["admin"]))]

    async def ask(bank_id: str) -> dict[tuple[str, str], bool]:
        found = {}
        async with acl_probes.Client(site.kafka(f"bank.{bank_id}")) as client:
            for topic in every:
                for what, (_, request) in acl_probes.TOPIC.items():
                    found[topic, what] = await client.is_refused(request(topic))
                found[topic, "delete"] = await client.is_refused(acl_probes.DELETE(topic))
            for what, request in acl_probes.CLUSTER.items():
                found["", what] = await client.is_refused(request)
        return found

    for bank_id in BANKS:
        allowed = {place for place, refused in asyncio.run(ask(bank_id)).items() if not refused}
        events, alerts, lives = (name(bank_id) for name in (topics.bank_events, topics.bank_alerts, topics.bank_cases))
        assert allowed == {
            (events, "produce"), (events, "offsets"),
            (alerts, "fetch"), (alerts, "offsets"),
            (lives, "fetch"), (lives, "offsets"),
            (topics.ARTEFACT, "fetch"), (topics.ARTEFACT, "offsets"),
        }  # fmt: skip
        seen = admin_client(site.settings[f"bank.{bank_id}"]).list_topics(timeout=30).topics
        assert set(seen) == {events, alerts, lives, topics.ARTEFACT}


def test_every_principal_may_what_the_table_says_and_nothing_else(site: Site) -> None:
    rules = acl.wanted_rules(site.settings["admin"])
    names = {
        kind: {rule.name for rule in rules if rule.kind == kind} for kind in ("topic", "group", "transactional-id")
    }
    names["group"] = {name + ("app" if name.endswith(".") else "") for name in names["group"]} | {"foreign"}
    names["transactional-id"].add("foreign")
    asked = [
        (kind, name, what, right, request)
        for kind, probes in (
            ("topic", acl_probes.TOPIC), ("group", acl_probes.GROUP), ("transactional-id", acl_probes.TRANSACTIONAL_ID)
        )
        for name in sorted(names[kind])
        for what, (right, request) in probes.items()
    ]  # fmt: skip

    async def wrong(principal: str) -> list[tuple[str, ...]]:
        own = [rule for rule in rules if rule.principal == principal]
        found = []
        async with acl_probes.Client(site.kafka(principal)) as client:
            for kind, name, what, right, request in asked:
                may = {
                    rule.operation
                    for rule in own
                    if rule.kind == kind
                    and (name.startswith(rule.name) if rule.pattern == "prefixed" else name == rule.name)
                }
                wanted = right in may or (right == "DESCRIBE" and bool(may & {"READ", "WRITE"}))
                if what == "commit":
                    wanted = wanted and any(
                        rule[2:] == ("literal", topics.EVENTS, "READ", "ALLOW", "*") for rule in own
                    )
                if await client.is_refused(request(name)) == wanted:
                    found.append((principal, kind, name, what, "refused" if wanted else "allowed"))
            for what, request in acl_probes.CLUSTER.items():
                if not await client.is_refused(request):
                    found.append((principal, "cluster", "", what, "allowed"))
        return found

    everybody = acl.principals(site.settings["admin"])
    found = [one for principal in everybody for one in asyncio.run(wrong(principal))]
    assert not found, found


def test_nobody_is_served_without_a_password_or_past_the_clients_listener(site: Site, tmp_path: Path) -> None:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    (tmp_path / "wrong").write_text("wrong")
    wrong = msgspec.structs.replace(site.kafka("operators"), sasl_password_file=str(tmp_path / "wrong"))
    properties = (site.broker.directory / "server.properties").read_text()
    ports = re.findall(r"(?:BROKER|CONTROLLER)://(127\.0\.0\.1:\d+)", properties)
    assert len(ports) == 2
    ssl = {"security.protocol": "SSL", "ssl.ca.location": site.kafka("admin").ca_file}
    plain = {"security.protocol": "PLAINTEXT"}
    for address, client in [
        (site.broker.address, client_settings(wrong)), (site.broker.address, plain), (site.broker.address, ssl),
        *[(port, way) for port in ports for way in (plain, ssl)],
    ]:  # fmt: skip
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0, **client})
        with pytest.raises(KafkaException):
            admin.list_topics(timeout=1.0)
    for path in (site.broker.directory / "secrets").iterdir():
        if path.name != "broker.pem":
            assert path.stat().st_mode & 0o077 == 0, path


def test_the_printed_lines_are_what_kafkas_own_scripts_take(site: Site, tmp_path: Path) -> None:
    """The quotas by kafka-configs, and one right by kafka-acls, both as a file of commands would run them."""
    printed = _call("admin", site, "acl", "print").stdout.splitlines()
    rules = acl.wanted_rules(site.settings["admin"])
    assert sum(line.count("--operation ") for line in printed) == len(rules)
    wanted = json.loads(_call("admin", site, "acl", "print", "--json").stdout)
    assert wanted["rules"] == [rule.row() for rule in rules]
    kafka = site.kafka("admin")
    (tmp_path / "admin.properties").write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n"
        f"ssl.truststore.type=PEM\nssl.truststore.location={kafka.ca_file}\n"
        "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="{kafka.sasl_username}" password="{Path(kafka.sasl_password_file or "").read_text()}";\n'
    )
    assert java_binary()
    line = next(line for line in printed if line.startswith("kafka-configs.sh") and f"bank.{BANKS[0]} " in line)
    words = [*site.broker.command(), "kafka.admin.ConfigCommand", *line.split()[1:]]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=patience_s(60))
    assert done.returncode == 0, done.stdout + done.stderr
    shown = [*words[: words.index("--alter")], "--describe", "--entity-type", "users"]
    done = subprocess.run(shown, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=patience_s(60))
    assert f"bank.{BANKS[0]}" in done.stdout
    assert "producer_byte_rate=1.048576E7" in done.stdout
