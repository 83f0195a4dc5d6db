"""Time without scores after a `kill -9`: of the same worker started again, and of a second worker that takes over.

100,000 enterprises in Redis, over 8 partitions. The clock runs from the kill to the first new record of `score.v1`
(restart), or to the first new one of a partition of the killed worker (takeover).
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console

from benchmarks import parts, results
from benchmarks.results import ROOT, Bound
from config.settings import Bank, KafkaSettings, RedisSettings, ScoreSettings, Settings
from domain import topics
from domain.calendar import day_of_date, day_start_ms
from domain.events import SCHEMA, Feed, Loan, LogRecord, Tick, Txn
from embedded import Child, Parts, eventually
from replay.reading import read_topics
from sinks.partitioner import partitions_of
from sinks.redis_store import connect, partition_state, read_stored
from streams.topics import create_topics

ENTERPRISES, PARTITIONS, RUNS = 100_000, 8, 3
BANK = "C1010211000012"
SESSION_TIMEOUT_S = 6.0
BOUNDS = {"restart_s": Bound(most=3.0), "takeover_s": Bound(most=SESSION_TIMEOUT_S + 3.0)}
_MOVED = 800  # enterprises that are 95 days overdue after each kill, others each time: the cap changes their scores
_HEADERS = [("schema", SCHEMA.encode())]
_DAY = day_of_date(date(2026, 3, 2))
_print = Console(stderr=True).print


def run(argv: list[str]) -> int:
    """Measure; return 1 where a bound is missed or the tree is dirty."""
    args = results.arguments(__doc__, argv)
    enterprises = max(2 * RUNS * _MOVED, round(ENTERPRISES * args.scale))
    with (
        tempfile.TemporaryDirectory(prefix="xinliu-recovery-") as name,
        Parts(Path(name), redis_binary=parts.redis_binary()) as servers,
    ):
        figures = _measure(_settings(servers.kafka.address, servers.redis.url), Path(name), enterprises)
    return results.report("recovery", args, figures, BOUNDS)


def _measure(settings: Settings, folder: Path, enterprises: int) -> dict[str, Any]:
    create_topics(settings)
    _print(f"writing {enterprises:,} enterprises to the log")
    produced = _produce(settings, _first_log(enterprises))
    worker = _worker(settings, folder, "one")
    worker.launch()
    _drained(settings, produced, worker)
    with connect(settings.redis.url, 10.0) as redis:
        redis_bytes = redis.info("memory")["used_memory"]
    runs: dict[str, list[float]] = {}
    for nth, (what, once) in enumerate((("restart", _restart), ("takeover", _takeover))):
        runs[what] = []
        for number in range(RUNS):
            worker, seconds, produced = once(settings, folder, worker, produced, nth * RUNS + number)
            runs[what].append(round(seconds, 2))
            _print(f"{what} {number}: first score after {seconds:.2f} s")
    worker.stop()
    return {
        "enterprises": enterprises,
        "redis_bytes": redis_bytes,
        "session_timeout_s": SESSION_TIMEOUT_S,
        **{f"{what}_s": median(seconds) for what, seconds in runs.items()},
        **{f"{what}_s_runs": seconds for what, seconds in runs.items()},
    }


def _settings(bootstrap: str, redis_url: str) -> Settings:
    return Settings(
        kafka=KafkaSettings(bootstrap=bootstrap, log_partitions=PARTITIONS, session_timeout_s=SESSION_TIMEOUT_S),
        redis=RedisSettings(url=redis_url),
        score=ScoreSettings(flush_interval_ms=1_000),
        banks=(Bank(bank_id=BANK, name_zh="基准银行"),),
    )


def _records(numbers: range, event_of: Callable[[int, str], Txn | Loan]) -> Iterator[tuple[int, bytes]]:
    """Yield (partition, one event) of each enterprise; the partition is that of its key."""
    ids = [f"91450100{number:010d}" for number in numbers]
    placed = partitions_of([each.encode() for each in ids], PARTITIONS).tolist()
    for number, enterprise_id, partition in zip(numbers, ids, placed, strict=True):
        event = event_of(number, enterprise_id)
        fen = event.amount_minor if isinstance(event, Txn) else None
        record = LogRecord(event=event, fingerprint=f"{number:016x}", origin=("b", 0, number), amount_cny_minor=fen)
        yield partition, msgspec.json.encode(record)


def _sale(day: int) -> Callable[[int, str], Txn]:
    return lambda number, enterprise_id: Txn(
        event_id=f"{day}-{number}", bank_id=BANK, enterprise_id=enterprise_id,
        event_time=day_start_ms(day) + number, account="a", direction="C", amount_minor=1_000_000 + number,
        currency="CNY", purpose="sales", counterparty_id=f"p{number % 977}",
    )  # fmt: skip


def _overdue(number: int, enterprise_id: str) -> Loan:
    return Loan(
        event_id=f"overdue-{number}", bank_id=BANK, enterprise_id=enterprise_id,
        event_time=day_start_ms(_DAY + 3) + number, event="overdue", loan_id="L1", principal_minor=10**8,
        outstanding_minor=10**8, granted_on="2025-03-02", dpd=95,
    )  # fmt: skip


def _first_log(enterprises: int) -> Iterator[tuple[int, bytes]]:
    for day in range(3):
        yield from _records(range(enterprises), _sale(_DAY + day))
        feed = Feed(covered_up_to=_DAY + day, closed_up_to=_DAY + day)
        tick = msgspec.json.encode(LogRecord(event=Tick(up_to=day_start_ms(_DAY + day + 1), feeds={BANK: feed})))
        for partition in range(PARTITIONS):
            yield partition, tick


def _produce(settings: Settings, records: Iterator[tuple[int, bytes]]) -> list[int]:
    """Write records; return the end offsets of the partitions."""
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap, "enable.idempotence": True, "linger.ms": 20})
    for partition, value in records:
        while True:
            try:
                producer.produce(topics.EVENTS, value, partition=partition, headers=_HEADERS)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    if producer.flush(60):
        raise RuntimeError("the log could not be written")
    return _ends(settings, topics.EVENTS)


def _ends(settings: Settings, topic: str) -> list[int]:
    consumer = Consumer({"bootstrap.servers": settings.kafka.bootstrap, "group.id": "bench"})
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(PARTITIONS)]
    consumer.close()
    return ends


def _worker(settings: Settings, folder: Path, instance: str) -> Child:
    kafka = settings.kafka
    path = folder / f"{instance}.toml"
    path.write_text(
        f'[kafka]\nbootstrap = "{kafka.bootstrap}"\nlog_partitions = {PARTITIONS}\n'
        f'session_timeout_s = {kafka.session_timeout_s}\ninstance_id = "{instance}"\n'
        f'[redis]\nurl = "{settings.redis.url}"\n[score]\nflush_interval_ms = {settings.score.flush_interval_ms}\n'
        f'[[banks]]\nbank_id = "{BANK}"\nname_zh = "x"\n'
    )
    argv = [sys.executable, "-m", "cli.main", "--config", str(path), "worker", "score"]
    return Child(instance, argv, log=folder / f"{instance}.log", env=dict(os.environ), cwd=ROOT)


def _owners(settings: Settings) -> list[str]:
    """Return the owner of each partition: its fence in Redis is an offset in owner.v1, which names the worker."""
    with connect(settings.redis.url, 10.0) as client:
        stored = read_stored(client, settings.redis.key_prefix, dict.fromkeys(range(PARTITIONS), ()))
    names = {read.offset: (read.value or b"").decode() for read in read_topics(settings.kafka, [topics.OWNER])}
    return [names[one.fence.epoch] if one.fence else "" for _, one in sorted(stored.items())]


def _drained(settings: Settings, ends: list[int], worker: Child) -> None:
    client = connect(settings.redis.url, 10.0)

    def done() -> bool:
        if not worker.running:
            raise RuntimeError(worker.log_tail())
        stored = [partition_state(client, settings.redis.key_prefix, p) for p in range(PARTITIONS)]
        return [msgspec.json.decode(s)["low_offset"] if s else 0 for s in stored] == ends

    eventually(done, 300, "the log drained")


def _more(kill: int) -> Iterator[tuple[int, bytes]]:
    """Yield (partition, event) of some enterprises of each partition; the events change their scores."""
    return _records(range(kill * _MOVED, (kill + 1) * _MOVED), _overdue)


def _first_score(settings: Settings, before: list[int], killed_at: float) -> float:
    """Return the seconds from the kill to the first record of score.v1 past `before`."""
    eventually(lambda: _ends(settings, topics.SCORE) != before, 120, "a score")
    return time.monotonic() - killed_at


def _differ(ends: list[int], before: list[int], partitions: list[int]) -> bool:
    return any(ends[p] != before[p] for p in partitions)


def _restart(
    settings: Settings, folder: Path, worker: Child, ends: list[int], kill: int
) -> tuple[Child, float, list[int]]:
    before = _ends(settings, topics.SCORE)
    worker.kill()
    killed_at = time.monotonic()
    again = _worker(settings, folder, "one")
    again.launch()
    ends = _produce(settings, _more(kill))
    seconds = _first_score(settings, before, killed_at)
    _drained(settings, ends, again)
    return again, seconds, ends


def _takeover(
    settings: Settings, folder: Path, worker: Child, ends: list[int], kill: int
) -> tuple[Child, float, list[int]]:
    second = _worker(settings, folder, f"second{kill}")
    second.launch()
    half = {worker.name: PARTITIONS // 2, second.name: PARTITIONS // 2}
    eventually(lambda: Counter(_owners(settings)) == half, 120, "each of two workers has half of the partitions")
    orphaned = [p for p, owner in enumerate(_owners(settings)) if owner == worker.name]
    before = _ends(settings, topics.SCORE)
    worker.kill()
    killed_at = time.monotonic()
    _produce(settings, _more(kill))
    # The second worker goes on with its own half at once: only the killed worker's half counts.
    eventually(
        lambda: _differ(_ends(settings, topics.SCORE), before, orphaned),
        120,
        "a score of an enterprise of the killed worker",
    )
    seconds = time.monotonic() - killed_at
    ends = _ends(settings, topics.EVENTS)
    _drained(settings, ends, second)
    return second, seconds, ends
