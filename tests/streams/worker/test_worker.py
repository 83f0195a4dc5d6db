"""A worker on a real broker: joins, leaves, signals, faults; nothing lost, repeated or committed too early."""

import asyncio
import functools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiokafka
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from embedded import Kafka
from streams.transport import aiokafka_seam, chunk_of, driver
from streams.worker.role import TP
from streams.worker.worker import WorkerOptions, drive
from tests.faults import Fault
from tests.patience import patience_s
from tests.reading import committed, ends
from tests.streams.recording import Recording, how_many, lows, quick_options, recorded, run_here

ROOT = Path(__file__).parents[3]
PARTITIONS = 6


class Process:
    """A worker in a process of its own."""

    def __init__(self, folder: Path, name: str, **given: Any) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self._out, self._err = (self.folder / "out").open("wb"), (self.folder / "err").open("wb")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        cwd = self.folder / "cwd"
        cwd.mkdir()
        command = [sys.executable, "-m", "tests.streams.recording", json.dumps(given)]
        self.child = subprocess.Popen(command, cwd=cwd, env=environment, stdout=self._out, stderr=self._err)

    def lines(self, word: str) -> list[list[str]]:
        rows = [line.split() for line in (self.folder / "out").read_text().splitlines()]
        return [row[1:] for row in rows if row and row[0] == word]

    def errors(self) -> str:
        return (self.folder / "err").read_text()

    def end(self, number: signal.Signals = signal.SIGTERM, within_s: float = 30.0) -> int:
        """Send the signal; the exit code."""
        self.child.send_signal(number)
        return self.child.wait(patience_s(within_s))


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """`workers("a", broker=…, group=…, topics=…, path=…)` starts a worker; all end with the test."""
    started: list[Process] = []

    def start(name: str, **given: Any) -> Process:
        started.append(Process(tmp_path, name, **given))
        return started[-1]

    yield start
    for process in started:
        if process.child.poll() is None:
            process.child.send_signal(signal.SIGCONT)
            process.child.kill()
            process.child.wait()
        print(f"--- {process.folder.name}", process.errors()[-1500:])


def fill(broker: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 5})
    for i, value in enumerate(values):
        producer.produce(topic, value, b"%d" % i)
    assert producer.flush(30) == 0


@pytest.fixture
def stopped_by_fault(kafka: str, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a role until a fault stops its worker, and returns the worker's stderr."""

    def run(role: Recording, **given: Any) -> str:
        assert run_here(role, kafka, role.topics[0], lambda: False, **given) == 1
        return capfd.readouterr().err

    return run


@pytest.fixture
def one_record(kafka: str, make_topic: Callable[..., str]) -> str:
    """A topic with one record."""
    topic = make_topic("one")
    fill(kafka, topic, [b"a"])
    return topic


@functools.cache
def admin_of(broker: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker})


class Feed(threading.Thread):
    """Produces small records until stopped."""

    def __init__(self, broker: str, topic: str) -> None:
        super().__init__(daemon=True)
        self._broker, self._topic = broker, topic
        self._stopped = threading.Event()
        self.sent = 0

    def run(self) -> None:
        producer = Producer({"bootstrap.servers": self._broker, "linger.ms": 10, "acks": "all"})
        while not self._stopped.wait(0.02):
            for _ in range(20):
                producer.produce(self._topic, b"%d" % self.sent, b"%d" % self.sent)
                self.sent += 1
            producer.poll(0)
        producer.flush(60)

    def stop(self) -> int:
        self._stopped.set()
        self.join()
        return self.sent


class CommitWatch(threading.Thread):
    """Checks repeatedly that every committed offset is already recorded."""

    def __init__(self, broker: str, group: str, topic: str, path: Path) -> None:
        super().__init__(daemon=True)
        self._at, self._path = (broker, group, topic), path
        self._stopped = threading.Event()
        self.seen, self.too_high, self.highest = 0, list[Any](), dict[int, int]()

    def run(self) -> None:
        while not self._stopped.wait(0.1):
            offsets = committed(*self._at)  # first this, then what is recorded, which only grows
            low = lows(self._path)
            self.too_high += [(p, o, low.get(p)) for p, o in offsets.items() if o > low.get(p, 0)]
            self.seen += bool(offsets)

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def test_joins_leaves_sigkill_and_sigstop_neither_lose_nor_repeat(
    kafka: str,
    make_topic: Callable[..., str],
    workers: Callable[..., Process],
    tmp_path: Path,
    eventually: Callable[..., None],
    seed: int,
) -> None:
    rng = random.Random(seed)
    topic, path = make_topic("moves", partitions=PARTITIONS), tmp_path / "base"
    given = {"broker": kafka, "group": topic, "topics": [topic], "path": str(path)}
    given["role"] = {"apply_s": 0.01}
    given["transport"] = {"chunk_records_max": 40}

    def recorded_is_growing() -> Callable[[], bool]:
        before = how_many(path)
        return lambda: how_many(path) > before + 200

    feed, first = Feed(kafka, topic), workers("first", **given)
    feed.start()
    eventually(lambda: first.lines("assigned"), 60, "the first worker's partitions")
    watch = CommitWatch(kafka, topic, topic, path)
    watch.start()
    eventually(recorded_is_growing(), 60, "records")

    second = workers("second", **given)  # a join
    eventually(lambda: any(second.lines("assigned")), 60, "the second worker's partitions")
    eventually(recorded_is_growing(), 60, "records after a join")
    time.sleep(rng.random() / 2)  # a moment of the seed's choice, not a wait for something

    assert first.end(signal.SIGTERM) == 0  # a leave
    third = workers("third", **given)
    eventually(lambda: any(third.lines("assigned")), 60, "the third worker's partitions")
    time.sleep(rng.random() / 2)

    second.child.kill()  # a crash: its partitions move after the session timeout
    eventually(lambda: len(third.lines("assigned")[-1]) == PARTITIONS, 60, "takeover from the killed one")
    eventually(recorded_is_growing(), 60, "records after a crash")

    fourth = workers("fourth", **given)
    eventually(lambda: any(fourth.lines("assigned")), 60, "the fourth worker's partitions")
    applied = len(third.lines("applying"))
    eventually(lambda: len(third.lines("applying")) > applied, 60, "the third at work")
    third.child.send_signal(signal.SIGSTOP)  # a zombie: it holds chunks when the others take over
    eventually(lambda: len(fourth.lines("assigned")[-1]) == PARTITIONS, 60, "takeover from the stopped one")
    eventually(recorded_is_growing(), 60, "records while one is stopped")
    third.child.send_signal(signal.SIGCONT)
    eventually(lambda: len(third.lines("assigned")) >= 3, 60, "the zombie's return to the group")

    sent = feed.stop()
    eventually(lambda: how_many(path) >= sent, 60, "all records")
    assert third.end() == 0
    assert fourth.end() == 0
    watch.stop()

    found = recorded(path)
    print(f"injected a join, SIGTERM, SIGKILL, SIGSTOP; refused {third.lines('refused')}, commits seen {watch.seen}")
    assert {value for value, _ in found.values()} == {b"%d" % i for i in range(sent)}
    assert [key for key, (_, times) in found.items() if times != 1] == []
    assert len(found) == sent
    assert third.lines("refused")  # the zombie did try to write
    assert watch.too_high == []
    assert watch.seen > 20
    assert committed(kafka, topic, topic, PARTITIONS) == ends(kafka, topic) == lows(path)


def test_fault_19_broker_restart_resumes_without_gap(
    kafka_factory: Callable[..., Kafka],
    workers: Callable[..., Process],
    tmp_path: Path,
    eventually: Callable[..., None],
    fault: Fault,
) -> None:
    broker, topic, path = kafka_factory(), "restart", tmp_path / "base"
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(timeout=30)
    feed = Feed(broker.address, topic)
    feed.start()
    options = {"last_commit_s": 2.0}
    worker = workers("worker", broker=broker.address, group=topic, topics=[topic], path=str(path), options=options)
    eventually(lambda: path.exists() and how_many(path) > 300, 40, "records")

    fault.inject(broker.kill)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(tuple(broker.address.split(":")), timeout=1)  # type: ignore[arg-type]
    time.sleep(2)  # the length of the outage
    broker.start()
    before = how_many(path)
    eventually(lambda: how_many(path) > before + 300, 60, "records after the restart")
    sent = feed.stop()
    eventually(lambda: how_many(path) >= sent, 60, "all records")
    fault.inject(broker.kill)
    assert worker.end() == 0, worker.errors()[-3000:]  # it stops also while the broker is away

    found = recorded(path)
    assert {value for value, _ in found.values()} == {b"%d" % i for i in range(sent)}
    assert {times for _, times in found.values()} == {1}
    for partition in range(PARTITIONS):
        offsets = [o for p, o in found if p == partition]
        assert sorted(offsets) == list(range(len(offsets)))
    fault(observed=f"{len(found)} records of {sent}, each once")


@pytest.mark.parametrize("fenced", [True, False], ids=["offset_of_the_role", "offset_of_the_group"])
def test_fault_20_retention_passed_the_stored_offset(
    kafka: str,
    make_topic: Callable[..., str],
    tmp_path: Path,
    stopped_by_fault: Callable[..., str],
    fenced: bool,
    fault: Fault,
) -> None:
    topic, path = make_topic("retention"), tmp_path / "base"
    fill(kafka, topic, [b"%d" % i for i in range(100)])
    role = Recording(path, (topic,), fenced=fenced)
    assert run_here(role, kafka, topic, lambda: role.applied >= 100) == 0
    fill(kafka, topic, [b"%d" % i for i in range(100)])
    admin = admin_of(kafka)
    (future,) = admin.delete_records([TopicPartition(topic, 0, 150)]).values()
    starts = future.result(timeout=30).low_watermark
    assert starts == 150

    again = Recording(path, (topic,), fenced=fenced)
    error = stopped_by_fault(again)
    assert f"{topic}[0]: stored offset 100 is outside the log, which starts at 150 and ends at 200" in error
    assert "retention has passed it" in error
    assert again.applied == 0
    assert committed(kafka, topic, topic) == {0: 100}
    fault(injected=starts - 100, observed=f"records gone past offset 100: stopped, {again.applied} applied")


def test_fault_20_retention_passes_the_position_of_a_running_worker(
    kafka: str,
    make_topic: Callable[..., str],
    tmp_path: Path,
    stopped_by_fault: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
) -> None:
    topic = make_topic("retention")
    fill(kafka, topic, [b"%d" % i for i in range(100)])
    role = Recording(tmp_path / "base", (topic,))
    admin = admin_of(kafka)
    seek = aiokafka.AIOKafkaConsumer.seek
    starts: list[int] = []

    def seek_and_lose(self: Any, partition: Any, offset: int) -> None:
        # After the worker has compared its offset with the log.
        (future,) = admin.delete_records([TopicPartition(topic, 0, 70)]).values()
        starts.append(future.result(timeout=30).low_watermark)
        seek(self, partition, offset)

    monkeypatch.setattr(aiokafka.AIOKafkaConsumer, "seek", seek_and_lose)
    error = stopped_by_fault(role)
    assert f"{topic}[0]: stored offset 0 is outside the log, which starts at 70 and ends at 100" in error
    assert role.applied == 0
    fault(injected=len(starts), observed=f"the log starts at {starts[0]}: stopped, {role.applied} applied")


def test_an_offset_beyond_the_end_of_the_log_stops_the_worker(
    one_record: str, tmp_path: Path, stopped_by_fault: Callable[..., str]
) -> None:
    class Ahead(Recording):
        async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
            await super().assigned(tps)
            return dict.fromkeys(tps, 77)

    error = stopped_by_fault(Ahead(tmp_path / "base", (one_record,)))
    assert "stored offset 77 is outside the log, which starts at 0 and ends at 1: the log ends before it" in error


def test_fault_24_sigterm_in_mid_batch_loses_nothing(
    kafka: str,
    make_topic: Callable[..., str],
    workers: Callable[..., Process],
    tmp_path: Path,
    eventually: Callable[..., None],
    fault: Fault,
) -> None:
    topic, path, n = make_topic("sigterm", partitions=PARTITIONS), tmp_path / "base", 3000
    fill(kafka, topic, [b"%d" % i for i in range(n)])
    given = {
        "broker": kafka,
        "group": topic,
        "topics": [topic],
        "path": str(path),
        "transport": {"chunk_records_max": 50},
    }
    times = []
    for number in (signal.SIGTERM, signal.SIGINT):
        worker = workers(number.name, **given, role={"apply_s": 0.3, "fenced": False})
        eventually(lambda worker=worker: len(worker.lines("applying")) > 2, 40, "a chunk in work")
        applying = len(worker.lines("applying"))
        begun = time.monotonic()
        assert worker.end(number) == 0, worker.errors()[-3000:]
        times.append(time.monotonic() - begun)
        assert worker.lines("stopped")
        assert applying <= len(worker.lines("applying")) <= applying + 1  # the signal came within one of these
    assert max(times) < 30
    assert 0 < how_many(path) < n
    last = Recording(path, (topic,), fenced=False)
    assert run_here(last, kafka, topic, lambda: how_many(path) >= n) == 0
    assert {times for _, times in recorded(path).values()} == {1}  # each stop committed all that was applied
    assert committed(kafka, topic, topic, PARTITIONS) == ends(kafka, topic)
    fault(injected=len(times), observed=f"exits after {[round(t, 1) for t in times]} s, {n} records once")


def test_a_failing_record_stops_the_worker_and_comes_again(
    kafka: str, make_topic: Callable[..., str], tmp_path: Path, stopped_by_fault: Callable[..., str]
) -> None:
    topic, path = make_topic("poison"), tmp_path / "base"
    fill(kafka, topic, [b"%d" % i for i in range(60)] + [b"bad"] + [b"%d" % i for i in range(60)])
    options = quick_options({"chunk_records_max": 10})
    for _ in range(2):
        error = stopped_by_fault(Recording(path, (topic,), fenced=False, poison="bad"), options=options)
        assert "recording: stopped by ValueError: poison at offset 60" in error
        assert max(offset for _, offset in recorded(path)) < 60 if recorded(path) else True
        assert committed(kafka, topic, topic).get(0, 0) <= 60
    cured = Recording(path, (topic,), fenced=False)
    assert run_here(cured, kafka, topic, lambda: how_many(path) >= 121, options=options) == 0
    assert sorted(offset for _, offset in recorded(path)) == list(range(121))
    assert recorded(path)[0, 60][0] == b"bad"


@pytest.mark.parametrize("step", ["start", "assigned", "tick", "revoked", "stop"])
def test_a_failure_in_any_step_of_the_role_is_exit_code_1(
    one_record: str, tmp_path: Path, kafka: str, capfd: pytest.CaptureFixture[str], step: str
) -> None:
    role = Recording(tmp_path / "base", (one_record,))

    async def fail(*_: object) -> None:
        raise RuntimeError(f"no {step} today")

    setattr(role, step, fail)
    assert run_here(role, kafka, one_record, lambda: role.applied > 0) == 1
    assert f"recording: stopped by RuntimeError: no {step} today" in capfd.readouterr().err


def test_a_worker_listens_on_nothing_and_leaves_no_files(
    kafka: str, one_record: str, workers: Callable[..., Process], tmp_path: Path, eventually: Callable[..., None]
) -> None:
    topic, path = one_record, tmp_path / "base"
    before = ends(kafka, topic)
    worker = workers("worker", broker=kafka, group=topic, topics=[topic], path=str(path))
    eventually(lambda: path.exists() and recorded(path), 40, "a record")
    assert listening(worker.child.pid) == []
    assert worker.end() == 0
    assert list((worker.folder / "cwd").rglob("*")) == []
    names = admin_of(kafka).list_topics(timeout=20).topics
    assert [name for name in names if topic in name] == [topic]  # no leader, changelog or reply topics
    assert ends(kafka, topic) == before


def listening(pid: int) -> list[str]:
    """Local addresses on which the process listens."""
    inodes = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.exists() or link.is_symlink()}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.append(fields[1])
    return found


def test_a_static_member_comes_back_before_its_session_ends(
    kafka: str,
    make_topic: Callable[..., str],
    workers: Callable[..., Process],
    tmp_path: Path,
    eventually: Callable[..., None],
) -> None:
    topic, path = make_topic("static", partitions=PARTITIONS), tmp_path / "base"
    fill(kafka, topic, [b"%d" % i for i in range(300)])
    options = {"group_instance_id": "one", "session_timeout_s": 25.0, "request_timeout_s": 30.0}
    given = {"broker": kafka, "group": topic, "topics": [topic], "path": str(path), "options": options}
    first = workers("first", **given)
    eventually(lambda: path.exists() and how_many(path) == 300, 40, "records")
    first.child.kill()
    first.child.wait()
    fill(kafka, topic, [b"%d" % i for i in range(300, 400)])
    begun = time.monotonic()
    second = workers("second", **given)
    eventually(lambda: how_many(path) == 400, 20, "records, well before 25 s")
    print(f"back after {time.monotonic() - begun:.1f} s")
    assert second.end() == 0


def test_a_consumer_that_stops_in_silence_is_noticed(
    one_record: str, tmp_path: Path, stopped_by_fault: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> dict[Any, Any]:
        await asyncio.sleep(0.2)
        return {}

    monkeypatch.setattr(aiokafka_seam, "fetched_chunks", nothing)
    error = stopped_by_fault(Recording(tmp_path / "base", (one_record,)), options=quick_options(stall_s=2.0))
    assert "stopped by StalledError: nothing has come for" in error
    assert f"TP(topic='{one_record}', partition=0): 1" in error


def test_an_idle_worker_is_no_stalled_one(kafka: str, one_record: str, tmp_path: Path) -> None:
    role = Recording(tmp_path / "base", (one_record,))
    until = time.monotonic() + 3
    assert run_here(role, kafka, one_record, lambda: time.monotonic() > until, options=quick_options(stall_s=1.0)) == 0
    assert role.applied == 1


def test_the_first_record_after_a_long_quiet_is_no_stall(
    kafka: str, one_record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch sees it in the log a moment before it is delivered."""
    bounds, asked = driver.Consumer.log_bounds, []

    async def just_appended(consumer: Any, tps: set[TP]) -> Any:
        begin, end = await bounds(consumer, tps)
        asked.append(end)
        return begin, {tp: offset + (len(asked) == 8) for tp, offset in end.items()}

    monkeypatch.setattr(driver.Consumer, "log_bounds", just_appended)
    role = Recording(tmp_path / "base", (one_record,))
    options = quick_options({"fetch_wait_ms_max": 20}, stall_s=1.0)  # the question waits behind a fetch
    assert run_here(role, kafka, one_record, lambda: len(asked) > 12, options=options) == 0


def test_an_ended_fetch_routine_stops_the_worker(
    one_record: str, tmp_path: Path, stopped_by_fault: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = aiokafka_seam.fetched_chunks

    async def end_it(fetcher: Any, *arguments: Any) -> Any:
        fetcher._fetch_task.cancel()
        return await original(fetcher, *arguments)

    monkeypatch.setattr(aiokafka_seam, "fetched_chunks", end_it)
    assert "the fetch routine has ended" in stopped_by_fault(Recording(tmp_path / "base", (one_record,)))


def test_a_missing_topic_is_named(
    topic_name: Callable[..., str],
    tmp_path: Path,
    stopped_by_fault: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver, "TOPIC_ATTEMPTS", 2)
    topic = topic_name("missing")
    assert f"the broker shows no topic {topic}" in stopped_by_fault(Recording(tmp_path / "base", (topic,)))


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: WorkerOptions(session_timeout_s=3, heartbeat_interval_s=3), "session_timeout_s.*heartbeat_interval_s"),
        (lambda: WorkerOptions(session_timeout_s=50, request_timeout_s=40), "session_timeout_s.*request_timeout_s"),
        (lambda: quick_options({"parser": "other"}), "parser = 'other' is none of compiled, reference"),
        (
            lambda: quick_options({"fetch_bytes": 2 << 20, "fetch_total_bytes": 1 << 20}),
            "fetch_bytes.*fetch_total_bytes",
        ),
        (lambda: quick_options({"chunk_records_max": 0}), "chunk_records_max"),
    ],
)
def test_contradicting_options_are_refused_by_name(make: Callable[[], object], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        make()


def test_drive_runs_a_role_without_a_broker(tmp_path: Path) -> None:
    path = tmp_path / "base"
    chunks = [
        (TP("t", p), chunk_of("t", p, 10 * k, [(None, b"%d" % i, [], 0) for i in range(10)]))
        for k in range(3)
        for p in (0, 1)
    ]
    asyncio.run(drive(Recording(path, ("t",)), chunks[:4]))
    again = Recording(path, ("t",))
    asyncio.run(drive(again, chunks))  # what the role has already is not applied again
    assert again.applied == 20
    assert {times for _, times in recorded(path).values()} == {1}
    assert sorted(recorded(path)) == [(p, o) for p in (0, 1) for o in range(30)]
