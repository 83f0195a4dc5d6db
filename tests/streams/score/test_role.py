"""The score role as a process, on real Kafka and Redis: what a kill interrupts, a restart completes, to the byte."""

import random
import signal

import msgspec

from config.settings import RedisSettings
from features.redis_store import connect, outcome_totals
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
