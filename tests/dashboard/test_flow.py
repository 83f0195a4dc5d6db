"""Rates and latencies from Kafka's own numbers."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from config.settings import KafkaSettings
from dashboard.flow import Rates
from dashboard.latency import PENDING_MAX, LatencySample, quantile
from domain import topics


class Heard:
    """A message as the library gives it."""

    def __init__(self, topic: str, partition: int, offset: int, time_ms: int, value: bytes) -> None:
        self._fields = (topic, partition, offset, time_ms, value)

    def topic(self) -> str:
        return self._fields[0]

    def partition(self) -> int:
        return self._fields[1]

    def offset(self) -> int:
        return self._fields[2]

    def timestamp(self) -> tuple[int, int]:
        return 1, self._fields[3]

    def value(self) -> bytes:
        return self._fields[4]

    def error(self) -> None:
        return None


def logged(offset: int, time_ms: int, partition: int = 0) -> Any:
    return Heard(topics.EVENTS, partition, offset, time_ms, b"{}")


def scored(of_offset: int, time_ms: int, partition: int = 0) -> Any:
    return Heard(topics.SCORE, partition, 0, time_ms, msgspec.json.encode({"offset": of_offset, "seq": 0}))


def test_rates_are_over_the_last_seconds_and_never_negative() -> None:
    rates = Rates(over_s=5.0)
    assert rates.add(0.0, {"a": 0}) == {}
    assert rates.add(1.0, {"a": 100}) == {"a": 100}
    assert rates.add(2.0, {"a": 100}) == {"a": 50}
    for second in range(3, 20):
        last = rates.add(float(second), {"a": 100})
    assert last == {"a": 0}
    assert rates.add(20.0, {"a": 50}) == {"a": 0}, "an offset that went back is no negative rate"


def test_a_latency_is_from_the_append_to_the_first_score_whichever_is_seen_first() -> None:
    sample = LatencySample(KafkaSettings(bootstrap="127.0.0.1:1"))
    now_s = time.monotonic()
    for message in (
        logged(5, 1_000), scored(5, 1_040), scored(5, 9_999),  # a second score of the record does not count
        scored(6, 1_100), logged(6, 1_050), logged(7, 1_000, partition=1), scored(7, 1_500, partition=0),
    ):  # fmt: skip
        sample.take(message, now_s)
    assert sample.poll({}, {}, 0, 0.0) == {"p50_ms": 40, "p99_ms": 50, "sampled": 2}


def test_unmatched_records_are_bounded_and_old_samples_expire() -> None:
    sample = LatencySample(KafkaSettings(bootstrap="127.0.0.1:1"))
    for offset in range(PENDING_MAX + 100):
        sample.take(logged(offset, 0), 0.0)
    assert len(sample._appended_ms) == PENDING_MAX
    sample.take(scored(PENDING_MAX, 7), time.monotonic() - 61.0)
    assert sample.poll({}, {}, 0, 0.0) == {"p50_ms": None, "p99_ms": None, "sampled": 0}


def test_quantiles_are_nearest_ranks() -> None:
    ascending = list(range(1, 201))
    assert (quantile(ascending, 50), quantile(ascending, 99), quantile(ascending, 100)) == (100, 198, 200)


def test_a_real_broker_gives_the_times(empty_kafka: str, eventually: Callable[..., None]) -> None:
    broker = empty_kafka
    admin = AdminClient({"bootstrap.servers": broker})
    by_broker_time = {"message.timestamp.type": "LogAppendTime"}
    made = admin.create_topics([NewTopic(topics.EVENTS, 2, 1, config=by_broker_time), NewTopic(topics.SCORE, 2, 1)])
    for future in made.values():
        future.result(timeout=30)
    sample = LatencySample(KafkaSettings(bootstrap=broker, log_partitions=2))
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 0})
    sample.poll({0: 0, 1: 0}, {0: 0, 1: 0}, 10, 0.1)  # begins at the ends
    for offset in range(20):
        producer.produce(topics.EVENTS, b"{}", partition=offset % 2)
    producer.flush(30)
    later_ms = int(time.time() * 1000) + 250
    for offset in range(20):
        score = msgspec.json.encode({"offset": offset // 2, "seq": 0})
        producer.produce(topics.SCORE, score, partition=offset % 2, timestamp=later_ms)
    producer.flush(30)
    seen: dict[str, Any] = {}

    def all_matched() -> bool:
        seen.update(sample.poll({0: 10, 1: 10}, {0: 10, 1: 10}, 10, 0.2))
        return bool(seen["sampled"] == 20)

    eventually(all_matched, 30, "20 samples")
    sample.close()
    assert 200 <= seen["p50_ms"] <= 20_000
    assert seen["p99_ms"] >= seen["p50_ms"]
