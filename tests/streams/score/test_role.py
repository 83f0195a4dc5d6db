"""The score role as a process on real Kafka and Redis: a restart completes a killed run to the same bytes."""

import asyncio
import itertools
import random
import signal

import msgspec
import redis as redis_client

from config.settings import KafkaSettings, RedisSettings, ScoreSettings, Settings
from domain import topics
from sinks.redis_store import connect, outcome_totals
from sinks.telemetry import Flushed
from streams.score.role import Score
from streams.topics import create_topics
from streams.transport.chunk import chunk_of
from streams.worker.role import TP, RoleContext
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
    fault.inject(own.kill)
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
    fault(observed=f"paused over {attempts} attempts, nothing committed, then went on in the same process")


class Flushes:
    """A score role over eight partitions with a flush every 6 s, by a clock of its own; when each was flushed."""

    partitions, interval_s = 8, 6.0

    def __init__(self, broker, redis_url):
        settings = Settings(
            kafka=KafkaSettings(bootstrap=broker, log_partitions=self.partitions),
            redis=RedisSettings(url=redis_url),
            score=ScoreSettings(flush_interval_ms=6_000),
        )
        create_topics(settings)
        self.now_s, self.flushed_s = 0.0, []
        self.tps = [TP(topics.EVENTS, partition) for partition in range(self.partitions)]
        self._ends = dict.fromkeys(self.tps, 0)
        self.score = Score(settings, lambda: self.now_s)
        self.position = lambda _tp: (0, None)
        self._context = RoleContext(
            emit=lambda said: self.flushed_s.append(self.now_s) if isinstance(said, Flushed) else None,
            position=lambda tp: self.position(tp),
        )

    async def begin(self):
        await self.score.start(self._context)
        await self.score.assigned(set(self.tps))
        for _ in range(100):
            if self.score.paused:  # the topics were made a moment ago
                await asyncio.sleep(0.1)
                await self.pass_by(10.0)

    async def apply_one(self, tp):
        at = self._ends[tp]
        rows = [record(txn(f"t{tp.partition}-{at}", f"E{tp.partition}", 0))]
        await self.score.apply(tp, chunk_of(tp.topic, tp.partition, at, rows))
        self._ends[tp] = at + 1
        await asyncio.to_thread(self.score._outbox.drain)

    async def apply_each(self):
        for tp in self.tps:
            await self.apply_one(tp)

    async def pass_by(self, seconds, step_s=0.05):
        for _ in range(round(seconds / step_s)):
            self.now_s += step_s
            await self.score.tick()
            await self.score._flushes.settle()


def test_flushes_that_are_due_together_lie_apart(empty_kafka, redis_url):
    """All partitions are overdue at one moment: two go at once, each other one waits for its share of the interval."""
    flushes = Flushes(empty_kafka, redis_url)

    async def run():
        await flushes.begin()
        await flushes.apply_each()
        flushes.flushed_s.clear()
        flushes.now_s += 60.0
        await flushes.pass_by(flushes.interval_s)
        await flushes.score.stop()

    asyncio.run(run())
    assert len(flushes.flushed_s) == flushes.partitions
    apart_s = 0.9 * flushes.interval_s / flushes.partitions
    gaps_s = [after - before for before, after in itertools.pairwise(flushes.flushed_s[1:])]
    assert min(gaps_s) > apart_s - 0.1, flushes.flushed_s


def test_quiet_partitions_that_are_flushed_at_once_hold_up_no_busy_one(empty_kafka, redis_url):
    flushes = Flushes(empty_kafka, redis_url)
    busy, *quiet = flushes.tps
    flushes.position = lambda tp: (0, None) if tp == busy else (0, 0)
    lows = []

    async def run():
        await flushes.begin()
        for _ in range(15):
            await flushes.apply_each()
            await flushes.pass_by(1.0)
            lows.append(flushes.score.low_offset(busy))
        assert [flushes.score.low_offset(tp) for tp in quiet] == [15] * len(quiet)
        await flushes.score.stop()

    asyncio.run(run())
    assert lows[-1] >= 15 - 7, f"flushed in six seconds, or the seventh: {lows}"


def test_without_records_flushes_follow_each_other(empty_kafka, redis_url):
    """A worker that has caught up is in Redis after one tick, not after one for each partition."""
    flushes = Flushes(empty_kafka, redis_url)
    flushes.position = lambda _tp: (0, 0)

    async def run():
        await flushes.begin()
        await flushes.apply_each()
        flushes.now_s += 0.3
        await flushes.score.tick()
        assert [flushes.score.low_offset(tp) for tp in flushes.tps] == [1] * flushes.partitions
        await flushes.score.stop()

    asyncio.run(run())


def test_while_redis_works_at_a_flush_other_partitions_are_applied_and_its_own_records_wait(empty_kafka, redis_url):
    flushes = Flushes(empty_kafka, redis_url)

    async def run():
        await flushes.begin()
        await flushes.apply_each()
        await flushes.pass_by(2 * flushes.interval_s)
        await flushes.apply_each()
        flushes.now_s += 60.0
        server = redis_client.Redis.from_url(redis_url)
        server.client_pause(30_000, all=False)
        await flushes.score.tick()
        own, writing = flushes.score._flushes._writing
        other = next(tp for tp in flushes.tps if tp != own)
        await flushes.apply_one(other)
        assert not writing.done(), "who waits for Redis is the partition that is written"
        waiting = asyncio.create_task(flushes.apply_one(own))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        await asyncio.to_thread(server.client_unpause)
        await waiting
        assert writing.done()
        server.close()
        await flushes.score.stop()

    asyncio.run(run())
