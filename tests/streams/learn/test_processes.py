"""learn as processes on a real broker: killed at each step, paused, taken over; the models are those of a quiet run."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from config.settings import KafkaSettings, LearnSettings, Settings
from detectors.snapshot import Snapshot, content_id
from domain import topics
from domain.events import LogRecord
from domain.outputs import Candidate, MonthReport, Observation
from embedded import Child
from sinks.checkpoint_topic import CheckpointTopic
from streams.learn.checkpoint import State
from streams.learn.learner import Learner
from streams.topics import create_topics
from streams.worker.role import TP
from streams.worker.worker import WorkerOptions
from tests import brokers
from tests.reading import commit, read
from tests.streams.learn.test_role import PARTITIONS, Log, made_log

SESSION_S = 6.0
STOP_S = WorkerOptions().stop_s + 10  # by then it has ended itself and said why
LEARN = LearnSettings(labels_per_snapshot_min=100, challengers=())


def settings(broker: str) -> Settings:
    return Settings(kafka=KafkaSettings(bootstrap=broker, log_partitions=PARTITIONS), learn=LEARN)


def expected_models(log: Log) -> list[str]:
    """The models of a learner that reads all of the log, in their order."""
    models = [model for model in expected_by_month(log) if model is not None]
    assert len(models) >= 3
    return models


def expected_by_month(log: Log) -> list[str | None]:
    """The same by month, None where a month makes none."""
    learner = Learner(LEARN, range(PARTITIONS))
    events, observations = decoders()
    for (topic, partition), values in log.items():
        for offset, value in enumerate(values):
            if topic == topics.EVENTS:
                learner.event(events(value).event, partition, offset)
            else:
                learner.ledger.observe(observations(value), partition)
    models: list[str | None] = []
    while (month := learner.due_month) is not None:
        learned = learner.learn(month).learned
        models.append(None if learned is None else content_id(body := learned.snapshot.encode()))
        if learned is not None:
            assert msgspec.json.decode(body, type=Snapshot).encode() == body, "as a checkpoint gives it back"
    return models


def decoders() -> tuple[Callable[[bytes], Any], Callable[[bytes], Any]]:
    return msgspec.json.Decoder(LogRecord).decode, msgspec.json.Decoder(Observation).decode


def write(broker: str, log: Log) -> None:
    """Write the log; score has applied all of it."""
    producer = brokers.producer(broker, linger_ms=5)
    for (topic, partition), values in log.items():
        for value in values:
            producer.produce(topic, value, partition=partition)
            producer.poll(0)
    assert producer.flush(30) == 0
    ends = {(topics.EVENTS, p): len(log[TP(topics.EVENTS, p)]) for p in range(PARTITIONS)}
    commit(broker, "xinliu-score", ends)


@pytest.fixture
def launch(empty_kafka: str, tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """`launch("a", step="commit", nth=2)` starts a worker; those that still run end with the test."""
    children: list[Child] = []

    def start(name: str, step: str = "never", nth: int = 1, number: str = "SIGKILL", **learn: Any) -> Child:
        path = tmp_path / f"{name}.toml"
        learn = {"labels_per_snapshot_min": 100, "challengers": [], "checkpoint_s": 1.0, **learn}
        path.write_text(
            f'[kafka]\nbootstrap = "{empty_kafka}"\nlog_partitions = {PARTITIONS}\nsession_timeout_s = {SESSION_S}\n'
            f'instance_id = "{name}"\n[learn]\n' + "".join(f"{k} = {str(v).lower()}\n" for k, v in learn.items())
        )
        argv = [sys.executable, "-m", "tests.streams.learn.interrupted", str(path), step, str(nth), number]
        child = Child(name, argv, log=tmp_path / f"{name}.log", env=dict(os.environ), stop_deadline_s=STOP_S)
        children.append(child)
        return child.launch()

    yield start
    for child in children:
        if child.running:
            child.signal(signal.SIGCONT)
            child.kill()


def state_of(broker: str) -> State | None:
    """The newest checkpoint's state."""
    head = CheckpointTopic(broker, topics.LEARN).read_head()
    return None if head is None else msgspec.json.decode(head.state, type=State)


def reports(broker: str) -> list[Candidate | MonthReport]:
    """Return the reports on months and models that learn has published, in its order."""
    return [
        msgspec.json.decode(r.value or b"", type=Candidate | MonthReport) for r in read(broker, topics.MODEL_REPORT)
    ]


def candidates(broker: str) -> list[str]:
    """The models that learn has made of labels, in the order in which it said so; not those with new probabilities."""
    return [one.model_id for one in reports(broker) if isinstance(one, Candidate) and one.kind == "model"]


def is_done(broker: str, models: list[str]) -> bool:
    return candidates(broker)[-1:] == models[-1:]


def judge(broker: str, models: list[str]) -> None:
    """Published and proposed are the models of a quiet run, in their order, whatever came twice."""
    made = [(record.key or b"").decode() for record in read(broker, topics.MODEL)]
    assert [name for name in dict.fromkeys(made) if name in models] == models
    assert list(dict.fromkeys(candidates(broker))) == models
    assert [models.index(one) for one in candidates(broker)] == sorted(map(models.index, candidates(broker)))


STEPS = ("take", "segments", "commit", "committed", "publish", "published")


def test_fault_22_killed_at_each_step_it_comes_to_the_models_of_a_quiet_run(
    empty_kafka: str, launch: Callable[..., Child], eventually: Callable[..., None], seed: int, fault: Any
) -> None:
    print(f"seed {seed}")
    create_topics(settings(empty_kafka))
    log = made_log(seed)
    write(empty_kafka, log)
    models = expected_models(log)
    for n, step in enumerate(STEPS):
        child = fault.inject(launch, "a", step, 1 + n % 2)
        eventually(lambda child=child: not child.running, 60, f"the kill before {step}: {child.log_tail()}")
        assert child.returncode == -signal.SIGKILL, child.log_tail()
        assert f"interrupted before {step}" in child.log_tail(100)
    last = launch("a")
    eventually(lambda: is_done(empty_kafka, models) or not last.running, 60, "the last model")
    last.stop()
    assert last.returncode == 0, last.log_tail()
    assert "loaded in" in last.log_tail(100)
    judge(empty_kafka, models)
    fault(observed=f"{len(models)} models as in a quiet run, after a kill before each of {', '.join(STEPS)}")


def test_fault_21_a_second_worker_stands_by_and_takes_over(
    empty_kafka: str, launch: Callable[..., Child], eventually: Callable[..., None], seed: int, fault: Any
) -> None:
    create_topics(settings(empty_kafka))
    log = made_log(seed)
    by_month, models = expected_by_month(log), expected_models(log)
    write(empty_kafka, log)
    a = launch("a", "publish", 1 + by_month.index(models[0]))  # the first model is in the checkpoint alone
    eventually(lambda: not a.running, 60, "the end of a, whose place the group keeps for a session")
    a = launch("a")
    eventually(lambda: "loaded in" in a.log_tail(200) or not a.running, 60, "a, which has its place again")
    b = launch("b")
    eventually(lambda: "stands by" in b.log_tail(200) or not b.running, 60, f"b's word: {b.log_tail()}")
    eventually(lambda: is_done(empty_kafka, models) or not a.running, 60, "the last model")
    assert "loaded" not in b.log_tail(200)
    before = state_of(empty_kafka)
    fault.inject(a.kill)
    eventually(lambda: "loaded in" in b.log_tail(200) or not b.running, SESSION_S + 15, "b to take over")
    b.stop()
    assert b.returncode == 0, b.log_tail()
    judge(empty_kafka, models)
    after = state_of(empty_kafka)
    assert before is not None
    assert after is not None
    assert before.month is not None
    assert after.month is not None
    assert after.month >= before.month, "b goes on from a's checkpoint"
    assert (after.seen, after.model_id) == (before.seen, models[-1])
    fault(observed=f"b stood by, and took over at month {after.month}")


@pytest.mark.parametrize("step", ["commit", "publish"])
def test_fault_23_a_worker_that_was_paused_and_comes_back_writes_no_more(
    empty_kafka: str, launch: Callable[..., Child], eventually: Callable[..., None], seed: int, fault: Any, step: str
) -> None:
    create_topics(settings(empty_kafka))
    log = made_log(seed)
    models = expected_models(log)
    write(empty_kafka, log)
    a = fault.inject(launch, "a", step, 2, "SIGSTOP")
    eventually(lambda: f"interrupted before {step}" in a.log_tail(200) or not a.running, 60, "the pause")
    b = launch("b")
    eventually(lambda: is_done(empty_kafka, models) or not b.running, 90, f"the last model, by b: {b.log_tail()}")
    fault.inject(a.signal, signal.SIGCONT)
    eventually(lambda: "memory is dropped" in a.log_tail(400) or "stands by" in a.log_tail(400), 30, "a's return")
    a.stop()
    b.stop()
    assert (a.returncode, b.returncode) == (0, 0), (a.log_tail(), b.log_tail())
    judge(empty_kafka, models)
    assert candidates(empty_kafka) == models, "each once: b made them all from a's checkpoint on"
    published = [record.key for record in read(empty_kafka, topics.MODEL)]
    assert len(published) == len(set(published))
    said = [(one.kind, one.model_id) for one in reports(empty_kafka) if isinstance(one, Candidate)]
    assert len(said) == len(set(said))
    months = [one.month for one in reports(empty_kafka) if isinstance(one, MonthReport)]
    assert months == sorted(set(months))
    fault(
        observed=f"paused before {step}, taken over, came back: {'fenced' if 'dropped' in a.log_tail(400) else 'idle'}"
    )


def test_fault_20_a_log_that_does_not_reach_the_checkpoint_stops_it_by_name(
    empty_kafka: str, launch: Callable[..., Child], eventually: Callable[..., None], seed: int, fault: Any
) -> None:
    create_topics(settings(empty_kafka))
    log = made_log(seed)
    write(empty_kafka, log)
    a = launch("a", "publish", 1)
    eventually(lambda: not a.running, 60, "a's first checkpoint")
    more = {tp: values for tp, values in log.items() if tp.topic == topics.EVENTS}
    write(empty_kafka, {**more, **{tp: [] for tp in log if tp not in more}})
    admin = AdminClient({"bootstrap.servers": empty_kafka})
    ends = {p: 2 * len(log[TP(topics.EVENTS, p)]) for p in range(PARTITIONS)}
    gone = [TopicPartition(topics.EVENTS, p, end - 1) for p, end in ends.items()]
    for future in fault.inject(admin.delete_records, gone).values():
        future.result(timeout=20)
    a = launch("a")
    eventually(lambda: not a.running, 40, "its end")
    assert a.returncode == 1, a.log_tail()
    assert "is outside the log" in a.log_tail(200)
    assert "retention has passed it" in a.log_tail(200)
    fault(observed="stopped, naming the place and the log's start")


def test_fault_20_without_a_checkpoint_a_log_whose_first_records_are_gone_is_refused_unless_a_setting_says_so(
    empty_kafka: str, launch: Callable[..., Child], eventually: Callable[..., None], seed: int, fault: Any
) -> None:
    create_topics(settings(empty_kafka))
    log = made_log(seed, months=4)
    write(empty_kafka, log)
    admin = AdminClient({"bootstrap.servers": empty_kafka})
    gone = [TopicPartition(topics.EVENTS, p, 10) for p in range(PARTITIONS)]
    for future in fault.inject(admin.delete_records, gone).values():
        future.result(timeout=20)
    a = launch("a")
    eventually(lambda: not a.running, 40, "its end")
    assert a.returncode == 1, a.log_tail()
    assert "stored offset 0 is outside the log, which starts at 10" in a.log_tail(200)
    b = launch("a", begin_in_mid_log=True)
    eventually(lambda: (state_of(empty_kafka) is not None) or not b.running, 60, "a checkpoint")
    b.stop()
    assert b.returncode == 0, b.log_tail()
    fault(observed="refused by name; begun in mid log where the setting says so")
