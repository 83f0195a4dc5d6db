"""One engine for the verbs that look: real Kafka and Redis, a log of six enterprises, scored up to its end."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from cli.main import main
from config.settings import Bank, KafkaSettings, RedisSettings, ScoreSettings, Settings
from domain import topics
from domain.events import SCHEMA
from embedded import Kafka
from sinks.kafka import Outbox
from sinks.partitioner import partitions_of
from sinks.redis_store import partition_state
from streams.score.role import Score
from streams.topics import create_topics
from streams.transport.chunk import chunk_of
from streams.worker.role import TP
from streams.worker.worker import drive
from tests import reading
from tests.cli.kit import settings_file
from tests.streams.score.kit import BANK, OTHER_BANK, log_of

PARTITIONS = 2
BANKS = (
    Bank(bank_id=BANK, name_zh="桂林漓江示例银行", name_en="Lijiang"),
    Bank(bank_id=OTHER_BANK, name_zh="南宁邕江示例银行", name_en="Yongjiang"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The running engine: the settings, their file, and the records of each partition of the log."""

    settings: Settings
    file: Path
    ends: dict[int, int]


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory, redis_factory_of_package: Callable[..., Any]) -> Iterator[Engine]:
    """Return the shared engine. Tests may add records to its topics; its state must stay."""
    folder = tmp_path_factory.mktemp("engine")
    with Kafka(folder / "kafka", heap="256m") as broker:
        settings = Settings(
            kafka=KafkaSettings(bootstrap=broker.address, log_partitions=PARTITIONS),
            redis=RedisSettings(url=redis_factory_of_package().url, timeout_s=2.0),
            score=ScoreSettings(flush_interval_ms=50, batch_records_max=512),
            banks=BANKS,
        )
        create_topics(settings)
        log = write_log(settings)
        asyncio.run(
            drive(Score(settings), [(TP(topics.EVENTS, p), chunk_of(topics.EVENTS, p, 0, r)) for p, r in log.items()])
        )
        ends = {p: len(rows) for p, rows in log.items()}
        with redis.Redis.from_url(settings.redis.url) as client:
            stored = {p: json.loads(partition_state(client, "x", p) or b"{}").get("low_offset") for p in ends}
        assert stored == ends, "the log was not scored to its end"
        commit(settings, "score", {(topics.EVENTS, p): end for p, end in ends.items()})
        yield Engine(settings=settings, file=settings_file(folder, settings), ends=ends)


@pytest.fixture(scope="package")
def redis_factory_of_package(tmp_path_factory: pytest.TempPathFactory, redis_kind: Any) -> Iterator[Callable[..., Any]]:
    """A server of the package's own: the session's is emptied by others."""
    from embedded import RedisServer

    servers: list[RedisServer] = []

    def start() -> RedisServer:
        servers.append(RedisServer(tmp_path_factory.mktemp("redis"), kind=redis_kind))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def write_log(settings: Settings) -> dict[int, list[Any]]:
    """Days of trade with collapses, late events and a tick each night, in Kafka and by partition."""
    outbox = Outbox(settings.kafka.bootstrap)
    log: dict[int, list[Any]] = {p: [] for p in range(PARTITIONS)}
    for row in log_of(11, enterprises=6, days=165):
        value = row[1]
        event = msgspec.json.decode(value)["event"]
        places = list(log) if event["type"] == "tick" else partitions_of([event["enterprise_id"].encode()], PARTITIONS)
        for p in places:
            log[p].append(row)
            outbox.send(topics.EVENTS, value, headers=[("schema", SCHEMA.encode())], partition=p)
    outbox.drain()
    return log


def commit(settings: Settings, role: str, offsets: dict[tuple[str, int], int]) -> None:
    """As the role's group would."""
    reading.commit(settings.kafka.bootstrap, f"{settings.kafka.group_prefix}{role}", offsets)


@pytest.fixture
def answered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int | str | None, str, str]]:
    """Return a caller of the command in this process: `answered("status", "--json")` is (exit code, stdout, stderr).

    The language is English, or that of `lang="zh_CN.UTF-8"`; other keywords are environment variables.
    """

    def call(*words: str | Path, lang: str = "C.UTF-8", **environ: str) -> tuple[int | str | None, str, str]:
        for name in ("LC_ALL", "LC_MESSAGES"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"LANG": lang, **environ}.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code: int | str | None
        try:
            code = main([str(word) for word in words])
        except SystemExit as ended:  # argparse has refused it
            code = ended.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def called(engine: Engine, answered: Callable[..., Any]) -> Callable[..., Any]:
    """Return `answered` with the engine's settings, or those of `config=`."""

    def call(*words: str, config: Path | None = None, **more: str) -> Any:
        return answered("--config", config or engine.file, *words, **more)

    return call


@pytest.fixture
def engine_redis(engine: Engine) -> Iterator[Any]:
    """The engine's Redis, put back as it was at the end."""
    with redis.Redis.from_url(engine.settings.redis.url) as client:
        before = {key: client.dump(key) for key in client.scan_iter()}
        yield client
        client.flushall()
        for key, value in before.items():
            client.restore(key, 0, value)
