"""Common fixtures: one real broker and one real Redis server for the session, unique topics, seeds."""

import fcntl
import gc
import itertools
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis as redis_client
from confluent_kafka.admin import AdminClient, NewTopic

from embedded import Kafka, RedisServer
from embedded.redis import Kind
from kernels.folders import cache_root
from sinks.clickhouse import Connection, Target, connect, migrate
from tests import brokers, clickhouse_server, patience
from tests.faults import Fault
from tests.processes import take_sigint

SEED = int(os.environ.get("XINLIU_SEED") or random.SystemRandom().randrange(2**32))
os.environ["XINLIU_SEED"] = str(SEED)  # pytest-xdist's processes inherit the seed that the report's header names
IN_CI = os.environ.get("CI", "").lower() in ("1", "true")
REDIS_SERVER_REQUIRED = IN_CI or os.environ.get("XINLIU_REQUIRE_REDIS_SERVER") == "1"

# Compiled code makes first calls slow; a failure prints the blob that repeats it.
hypothesis.settings.register_profile("xinliu", deadline=None, print_blob=True)
hypothesis.settings.load_profile("xinliu")


_TESTS = Path(__file__).parent
_ROOMS_OF_THE_ENGINE = {"cli", "dashboard", "determinism", "replay", "streams"}
# Files of a minute come first, rooms of moments last: of two processes neither is then left alone for long at the end.
_LONG = (
    "cli/test_demo.py", "streams/learn/test_processes.py", "determinism/test_processes.py", "cli/test_replay_sample.py",
    "streams/ingest/test_unreadable_feeds.py", "streams/worker/test_worker.py", "dashboard/test_pages.py",
    "cli/test_replay_log.py", "cli/test_replay_in_process.py", "determinism/test_in_memory.py",
    "replay/backtest/test_backtest.py", "detectors/learning/test_challengers.py",
    "streams/score/test_protocol_processes.py", "streams/score/test_protocol_cluster.py",
    "detectors/learning/test_training.py", "streams/ingest/test_role.py", "streams/score/test_faults_of_load.py",
    "streams/score/test_protocol_faults.py", "cli/test_acl.py", "project/test_compose_processes.py",
    "kernels/test_cache.py", "streams/learn/test_role.py", "cli/test_backtest.py", "streams/ingest/test_workers.py",
    "streams/score/test_protocol_walks.py", "embedded/test_kafka.py", "project/test_image.py",
    "examples/test_subscribers.py", "replay/test_learner.py", "streams/score/test_protocol.py",
    "streams/score/test_disk_full.py", "streams/learn/test_publishing.py", "cli/test_evaluate.py",
    "kernels/test_sources.py", "cli/test_model.py", "streams/worker/test_metrics_processes.py", "cli/test_simulate.py",
)  # fmt: skip
_SLOW_FILE_S = 10.0  # what the summary shows
_ROOMS_OF_MOMENTS = {"benchmarks", "config", "detectors", "domain", "features"}
_FAULT = re.compile(r"test_fault_((?:\d\d_)+)")
# What a test tells the summary travels in its report, as xdist's processes share nothing else: names of its properties.
_INJECTED, _NOT_SHOWN = "fault", "not shown"
_running: pytest.Item  # the test that runs
_fault = Fault(lambda report: _running.user_properties.append((_INJECTED, report)))


def pytest_configure() -> None:
    """Restore SIGINT for child processes, also where the run is in the background."""
    take_sigint()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Record the running test, for messages of session fixtures."""
    global _running
    _running = item
    _fault.count = 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files. Raise an error for a fault test that does not count its injections."""
    if gone := [name for name in _LONG if not (_TESTS / name).exists()]:
        raise pytest.UsageError(f"tests/conftest.py puts first what is not there: {', '.join(gone)}")
    items.sort(key=_turn)
    silent = [
        item.nodeid
        for item in items
        if item.name.startswith("test_fault_") and "fault" not in getattr(item, "fixturenames", ())
    ]
    if silent:
        raise pytest.UsageError(f"these do not take the fixture fault: {', '.join(silent)}")


def _turn(item: pytest.Item) -> tuple[int, int]:
    name = item.path.relative_to(_TESTS)
    if name.as_posix() in _LONG:
        return 0, _LONG.index(name.as_posix())
    return 1 + (name.parts[0] in _ROOMS_OF_MOMENTS), 0


def pytest_collection_finish(session: pytest.Session) -> None:
    """Compile the workers' kernels and keep the broker's classes before the first test, outside of its time limit."""
    gc.collect()
    gc.freeze()  # a million objects of what was collected: each look through them takes half a second
    rooms = {item.path.relative_to(_TESTS).parts[0] for item in session.items}
    if rooms & _ROOMS_OF_THE_ENGINE and not session.config.option.collectonly:
        from embedded import class_cache
        from streams.ingest.fast_path import block
        from streams.score.warmup import compile_kernels
        from streams.transport import batches

        _say("compiling the kernels, a minute or two unless this machine has them")
        with _alone():
            compile_kernels()
            block.warm()
            batches.warm()
            class_cache.make(on_progress=_say)


@pytest.fixture(scope="session")
def fault() -> Fault:
    """The counter of the test that runs."""
    return _fault


@pytest.fixture(scope="session")
def not_shown() -> Callable[[str, str], None]:
    """Return a function `not_shown(what, why)` that skips the test and adds a line to the run's summary."""

    def skip(what: str, why: str) -> None:
        _running.user_properties.append((_NOT_SHOWN, f"{what}: {why}"))
        pytest.skip(f"NOT SHOWN: {what}: {why}")

    return skip


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the skipped proofs of this run, a line for each fault test, and the slow files."""
    not_shown, faults, took_s = set(), {}, Counter[str]()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        took_s[getattr(report, "nodeid", "").partition("::")[0]] += getattr(report, "duration", 0.0)
        properties = getattr(report, "user_properties", ())
        not_shown |= {text for name, text in properties if name == _NOT_SHOWN}
        if injections := [injection for name, injection in properties if name == _INJECTED]:  # the same in later phases
            test = report.nodeid.split("::")[-1]
            faults[report.nodeid] = test, sum(injected for injected, _ in injections), injections[-1][1]
    if not_shown:
        terminalreporter.section("NOT SHOWN by this run")
        for line in sorted(not_shown):
            terminalreporter.line(f"NOT SHOWN  {line}")
    if faults:
        terminalreporter.section("faults: number, test, times injected, observed")
    for test, injected, observed in sorted(faults.values()):
        numbers = _FAULT.match(test)[1].rstrip("_")  # type: ignore[index]
        terminalreporter.line(f"{numbers}  {test}  {injected}  {observed}")
    if slow := [(file, seconds) for file, seconds in took_s.most_common() if seconds >= _SLOW_FILE_S]:
        terminalreporter.section("files: seconds")
    for file, seconds in slow:
        terminalreporter.line(f"{seconds:6.0f}  {file}")


def pytest_report_header() -> list[str]:
    wanted, needed = os.environ.get("XINLIU_TEST_REDIS", "auto"), "required" if REDIS_SERVER_REQUIRED else "optional"
    return [f"seed: XINLIU_SEED={SEED}", f"redis: {wanted}, redis-server {needed}"]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed of this test's own; XINLIU_SEED from the report's header repeats the run."""
    return random.Random(f"{SEED}:{request.node.nodeid}").randrange(2**32)


@pytest.fixture(scope="module")
def module_seed(request: pytest.FixtureRequest) -> int:
    """Return a seed for the shared data of a module's tests."""
    return random.Random(f"{SEED}:{request.node.nodeid}").randrange(2**32)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., None]:
    """Return `eventually(condition, deadline_s=10.0, what="…")`, which polls; TimeoutError at the deadline."""
    return patience.eventually


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """The session's broker. Do not stop or kill it: take one of `kafka_factory` for that."""
    with Kafka(tmp_path_factory.mktemp("kafka"), on_progress=_say) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(kafka_server: Kafka) -> str:
    """Bootstrap address of the session's broker."""
    return kafka_server.address


@pytest.fixture(scope="session")
def engine_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of another broker, for those that empty it first."""
    with Kafka(tmp_path_factory.mktemp("engine-kafka"), heap="256m", on_progress=_say) as broker:
        yield broker.address


@pytest.fixture
def empty_kafka(engine_kafka: str) -> str:
    """Bootstrap address of a broker without topics and groups, for the engine's own names. Do not stop or kill it."""
    brokers.empty(engine_kafka)
    return engine_kafka


@pytest.fixture
def kafka_factory(tmp_path: Path) -> Iterator[Callable[..., Kafka]]:
    """`kafka_factory()` starts a broker of the test's own, to stop and to kill; all end with the test."""
    started: list[Kafka] = []

    def start(name: str = "kafka", heap: str = "256m") -> Kafka:
        started.append(Kafka(tmp_path / name, heap=heap, on_progress=_say))
        started[-1].start()
        return started[-1]

    yield start
    for broker in started:
        broker.stop()


@pytest.fixture(scope="session")
def redis_kind() -> Kind:
    """XINLIU_TEST_REDIS (valkey, redis-server, auto); CI or XINLIU_REQUIRE_REDIS_SERVER=1 leaves "auto" no choice."""
    wanted = os.environ.get("XINLIU_TEST_REDIS", "auto")
    if wanted not in ("auto", "valkey", "redis-server"):
        pytest.exit(f"XINLIU_TEST_REDIS={wanted} is none of auto, valkey, redis-server", returncode=4)
    return "redis-server" if wanted == "auto" and REDIS_SERVER_REQUIRED else wanted  # type: ignore[return-value]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory, redis_kind: Kind) -> Iterator[RedisServer]:
    """The session's Redis server; fails without one where it is required. Kill only those of `redis_factory`."""
    with RedisServer(tmp_path_factory.mktemp("redis"), kind=redis_kind) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """URL of the session's Redis server, emptied for this test."""
    with redis_client.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def redis_factory(tmp_path: Path, redis_kind: Kind) -> Iterator[Callable[..., RedisServer]]:
    """`redis_factory()` starts a Redis server of the test's own, to kill or to fill; all end with the test."""
    servers: list[RedisServer] = []

    def start(name: str = "redis", kind: Kind = redis_kind, maxmemory: str = "0") -> RedisServer:
        servers.append(RedisServer(tmp_path / name, kind=kind, maxmemory=maxmemory))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def clickhouse_binary(not_shown: Callable[[str, str], None]) -> Path:
    """The host's clickhouse-server; CI must have it."""
    found = clickhouse_server.server_binary()
    if found is None and IN_CI:
        pytest.fail("CI needs the package clickhouse-server")
    if found is None:
        not_shown("ClickHouse's native wire", "no clickhouse-server here (apt install clickhouse-server)")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def clickhouse_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A ClickHouse server over its native wire: the one that XINLIU_TEST_CLICKHOUSE names, else a child of ours."""
    if given := os.environ.get("XINLIU_TEST_CLICKHOUSE"):
        yield given
        return
    request.getfixturevalue("clickhouse_binary")
    with clickhouse_server.ClickHouseServer(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server.address


_topic_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def topic_name() -> Callable[..., str]:
    """`topic_name("txn")` → a topic name that no other test has."""

    def unique(stem: str = "test") -> str:
        return f"{stem}.{os.getpid()}.{next(_topic_numbers)}"

    return unique


@pytest.fixture(scope="session")
def make_topic(kafka: str, topic_name: Callable[..., str]) -> Callable[..., str]:
    """`make_topic("txn", partitions=4, **{"message.timestamp.type": "LogAppendTime"})` → name of a new topic.

    It keeps its records for ever: tests give them times of their own, which the broker's retention would find too old.
    """
    admin = AdminClient({"bootstrap.servers": kafka})

    def make(stem: str = "test", *, partitions: int = 1, **settings: str) -> str:
        name = topic_name(stem)
        brokers.make_topics(admin, NewTopic(name, partitions, 1, config={"retention.ms": "-1", **settings}))
        return name

    return make


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Yield the one ClickHouse that this process may have; each module closes its own."""
    connection = connect(Target(kind="chdb", folder=tmp_path_factory.mktemp("clickhouse")))
    yield connection
    connection.close()


@pytest.fixture
def archive(clickhouse: Connection) -> Connection:
    """It with the tables of the archive, all empty."""
    clickhouse.execute("DROP DATABASE IF EXISTS xinliu")
    migrate(clickhouse)
    return clickhouse


@contextmanager
def _alone() -> Iterator[None]:
    """Hold a lock between processes: the second one finds the cache of the first."""
    with (cache_root() / "tests.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(text, file=sys.stderr)
