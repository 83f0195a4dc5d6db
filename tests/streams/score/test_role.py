"""The score role as a process, on real Kafka and Redis: what a kill interrupts, a restart completes, to the byte."""

import asyncio
import itertools
import random
import signal

import msgspec

from config.settings import KafkaSettings, RedisSettings, ScoreSettings, Settings
from domain import topics
from features.redis_store import connect, outcome_totals
from sinks.telemetry import Flushed
from streams.role import TP
from streams.score.role import Score
from streams.topics import create_topics
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import log_of, record, tick, txn
from tests.streams.score.processes import PARTITIONS, committed, judge, low_offsets, worker, write_log


def test_kill_minus_nine_at_any_time_loses_and_repeats_nothing(stack, tmp_path, eventually, seed):
    rnd = random.Random(seed)
    by_partition = write_log(stack, log_of(seed, enterprises=10, days=160))
    ends = [len(by_partition[p]) for p in range(PARTITIONS)]
    client = connect(stack.redis.url, 5.0)
    kills = 0
    for stop_at in sorted(rnd.sample(range(50, sum(ends) - 50), 3)):
        child = worker(stack, tmp_path)
        child.launch()
        eventually(
            lambda at=stop_at, c=child: sum(low_offsets(client)) >= at or not c.running, 150, f"offset {stop_at}"
        )
        assert child.running, child.log_tail()
        kills += sum(low_offsets(client)) < sum(ends)
        child.kill()
    child = worker(stack, tmp_path)
    child.launch()
    eventually(lambda: low_offsets(client) == ends or not child.running, 60, "the end of the log")
    assert child.running, child.log_tail()
    child.stop()
    assert child.returncode in (0, -signal.SIGTERM), child.log_tail()  # the last one may still have been starting
    totals = judge(stack, client, by_partition)
    print(f"kills before the end: {kills}, outcomes {totals}")
    assert kills >= 1


def test_fault_26_redis_down_pauses_the_worker_which_goes_on_by_itself(
    stack, tmp_path, eventually, redis_factory, fault
):
    own = redis_factory("own")
    settings = msgspec.structs.replace(stack, redis=RedisSettings(url=own.url, timeout_s=1.0))
    by_partition = write_log(settings, [record(txn(f"t{i}", f"E{i % 4}", i // 50, i)) for i in range(400)])
    ends = [len(by_partition[p]) for p in range(PARTITIONS)]
    client = connect(own.url, 5.0)
    child = worker(settings, tmp_path)
    child.launch()
    eventually(lambda: low_offsets(client) == ends or not child.running, 60, "the first log")
    eventually(lambda: committed(settings) == ends, 20, "its commit")
    own.kill()
    more = write_log(settings, [record(tick(9)), record(txn("last", "E1", 10))])
    eventually(lambda: child.log_tail().count("is not ready") >= 4, 20, "attempts to come back")
    assert committed(settings) == ends
    assert child.running
    own.restart()
    wanted = [end + len(more[p]) for p, end in enumerate(ends)]
    client = connect(own.url, 5.0)
    eventually(lambda: low_offsets(client) == wanted or not child.running, 40, "the rest")
    eventually(lambda: committed(settings) == wanted, 20, "its commit")
    attempts = child.log_tail(400).count("is not ready")
    child.stop()
    assert child.returncode == 0, child.log_tail()
    assert outcome_totals(client, "x", PARTITIONS)["applied"] == 401
    fault(injected=1, observed=f"paused over {attempts} attempts, nothing committed, then went on in the same process")


def test_flushes_that_are_due_together_lie_apart(empty_kafka, redis_url):
    """All partitions are overdue at one moment: two go at once, each other one waits for its share of the interval."""
    now_s, interval_s, partitions, flushed_s = 0.0, 6.0, 8, []
    settings = Settings(
        kafka=KafkaSettings(bootstrap=empty_kafka, log_partitions=partitions),
        redis=RedisSettings(url=redis_url),
        score=ScoreSettings(flush_interval_ms=6_000),
    )
    create_topics(settings)
    score = Score(settings, lambda: now_s)
    score.emit = lambda said: flushed_s.append(now_s) if isinstance(said, Flushed) else None
    tps = [TP(topics.EVENTS, partition) for partition in range(partitions)]

    async def run():
        nonlocal now_s
        await score.start()
        await score.assigned(set(tps))
        for _ in range(100):
            if score.paused:  # the topics were made a moment ago
                await asyncio.sleep(0.1)
                now_s += 10.0
                await score.tick()
        for tp in tps:
            rows = [record(txn(f"t{tp.partition}", f"E{tp.partition}", 0))]
            await score.apply(tp, chunk_of(tp.topic, tp.partition, 0, rows))
        await asyncio.to_thread(score._outbox.drain)
        flushed_s.clear()
        now_s += 60.0
        until_s = now_s + interval_s
        while now_s < until_s:
            now_s += 0.05
            await score.tick()
        await score.stop()

    asyncio.run(run())
    assert len(flushed_s) == partitions
    apart_s = 0.9 * interval_s / partitions
    assert all(after - before > apart_s - 0.1 for before, after in itertools.pairwise(flushed_s[1:])), flushed_s
