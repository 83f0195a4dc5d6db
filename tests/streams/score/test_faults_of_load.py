"""Load that is not even: one enterprise that is most of the traffic, and more enterprises than memory may hold."""

import random
import re
import time
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import pytest

from benchmarks import configuration
from benchmarks.drains import write_timed_log
from benchmarks.world.log import World
from config.settings import KafkaSettings, RedisSettings, ScoreSettings, Settings
from domain import topics
from domain.calendar import day_of
from domain.outputs import Alert, Score
from embedded.children import Child
from features.layout import ROW
from replay.ledger import take_stock
from replay.reading import read_topics
from sinks.redis_store import PartitionStore, connect, stored_values
from streams.score.partition import Partition
from streams.score.role import DELAYED
from streams.topics import create_topics
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import BANK, FIRST_DAY, applied, authorization, loan, no_model, record, tick, txn
from tests.streams.score.processes import PARTITIONS, judge, low_offsets, worker, write_log

HOT, OTHERS, DAYS, A_DAY = "E0", 400, 4, 3_000
DELAYED_S = 5  # more than a record takes from the topic to the alert on a busy machine
CPU_RATIO_MAX = 2.0  # of a record, hot or not; a scan over what the enterprise has seen would make it hundreds


def day_of_trade(rnd, day, hot_share):
    """So many records of one day: of the hot one with that chance, else of anyone."""
    rows = []
    for n in range(A_DAY):
        name = HOT if rnd.random() < hot_share else f"E{rnd.randrange(1, OTHERS)}"
        rows.append(record(txn(f"{day}-{n}", name, day, n * 10, 10_000 + n, counterparty_id=f"p{n % 40}")))
    return [*rows, record(tick(day))]


def uneven_log(seed, hot_share):
    rnd = random.Random(seed)
    return [row for day in range(DAYS) for row in day_of_trade(rnd, day, hot_share)]


def cpu_s(records):
    """Return the CPU seconds of applying them all, the least of three times: others may use the machine."""
    took = []
    for _ in range(3):
        partition, began_s = Partition(0, no_model), time.process_time()
        for _ in applied(partition, records, 4_000):
            pass
        took.append(time.process_time() - began_s)
    return min(took)


def scores_of_others(records):
    """By enterprise but the hot one, what its score records say, without where they stand in the log."""
    said = defaultdict(list)
    for message in applied(Partition(0, no_model), records, 4_000):
        if message.topic == topics.SCORE and message.key != HOT.encode():
            score = msgspec.json.decode(message.value, type=Score)
            said[score.enterprise_id].append((score.as_of, score.score_milli, score.seq, score.reason_codes))
    return said


def test_fault_33_a_hot_enterprise_costs_the_others_nothing(seed, fault):
    """Half of all records, then nine of ten, are of one enterprise: a record costs what it costs in an even log, a
    flush writes the hot value once, and what is said of the others is what is said without it."""
    even = uneven_log(seed, 1 / OTHERS)
    cpu_s(even[:100])  # kernels stand
    even_s = cpu_s(even)
    ratios = {}
    for hot_share in (0.5, 0.9):
        hot = uneven_log(seed, hot_share)
        ratios[hot_share] = cpu_s(hot) / even_s
        assert ratios[hot_share] < CPU_RATIO_MAX, ratios
        without = [row for row in hot if f'"enterprise_id":"{HOT}"'.encode() not in row[1]]
        assert 0 < len(without) < len(hot)
        assert scores_of_others(hot) == scores_of_others(without)
    fault(injected=len(ratios), observed=f"CPU of a record against an even log: {ratios}")


def test_fault_33_a_hot_enterprise_is_written_once_a_flush(seed, redis_url, fault):
    written, store = Counter(), PartitionStore(connect(redis_url, 5.0), "x", 0)
    store.claim(1)
    partition, records = Partition(0, no_model), uneven_log(seed, 0.9)
    flushes = range(0, len(records), 2_000)
    for at in flushes:
        for _ in partition.apply(chunk_of(topics.EVENTS, 0, at, records[at : at + 2_000])):
            pass
        values = partition.take(rows := partition.dirty_rows())
        written.update(name for name, _ in values)
        store.write(values)
        partition.written(rows)
    assert written[HOT] == len(flushes)
    assert sum(written.values()) < len(records) / 2, "values are coalesced"
    hot = sum(f'"enterprise_id":"{HOT}"'.encode() in row[1] for row in records)
    fault(
        injected=hot,
        observed=f"{hot} of {len(records)} records, {written[HOT]} writes of the hot value in as many flushes",
    )


RESIDENT_MAX, ENTERPRISES = 400, 8_000


def memory_bytes(child: Child) -> int:
    """The most that the process has held so far (VmHWM)."""
    status = Path(f"/proc/{child.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1_024


def delays(settings, topic):
    """Return of each alert of a topic (signal, day of its as_of, seconds that it says to have waited, None: none)."""
    decode = msgspec.json.Decoder(Alert).decode
    alerts = [(decode(read.value), dict(read.headers).get(DELAYED)) for read in read_topics(settings.kafka, [topic])]
    return [(a.signal, day_of(a.as_of - 1) - FIRST_DAY, None if s is None else int(s)) for a, s in alerts]


def test_fault_34_alerts_of_a_backlog_say_that_they_waited(stack, tmp_path, eventually, fault):
    """Half a year lies in the log when the worker starts: alerts have the time of their events and a header that says
    delayed; what comes while the worker runs has none."""
    settings = msgspec.structs.replace(stack, score=ScoreSettings(flush_interval_ms=200, delayed_s=DELAYED_S))
    history = [record(authorization("a", "E1")), record(loan("l", "E1", 0))]
    for day in range(160):
        fen = 10**7 if day < 130 else 1_000
        history.append(record(txn(f"t{day}", "E1", day, 5, fen)))
        if day == 150:
            history.append(record(loan("early", "E1", day, "overdue", dpd=2)))  # a case: the bank hears of it
        history.append(record(tick(day)))
    began_s = time.monotonic()
    by_partition = write_log(settings, history)
    eventually(lambda: time.monotonic() - began_s > DELAYED_S + 1, DELAYED_S + 5, "the log is that old")
    with worker(settings, tmp_path).launch() as child:
        client = connect(stack.redis.url, 5.0)
        ends = [len(by_partition[p]) for p in range(PARTITIONS)]
        eventually(lambda: low_offsets(client) == ends or not child.running, 60, "the backlog")
        late = {topic: delays(settings, topic) for topic in (topics.bank_alerts(BANK), topics.ALERT_SUPERVISOR)}
        write_log(settings, [record(loan("late", "E1", 160, "overdue", dpd=40))])
        eventually(
            lambda: len(delays(settings, topics.bank_alerts(BANK))) > len(late[topics.bank_alerts(BANK)]), 30, "news"
        )
        news = delays(settings, topics.bank_alerts(BANK))[len(late[topics.bank_alerts(BANK)]) :]
    for alerts in late.values():
        assert alerts
        assert all(waited_s is not None and waited_s >= DELAYED_S for _, _, waited_s in alerts), alerts
        assert {day for _, day, _ in alerts} <= set(range(161))
    assert {waited_s for _, _, waited_s in news} == {None}, news
    fault(injected=len(history), observed=f"{sum(map(len, late.values()))} alerts of a backlog say so, a new one not")


@pytest.mark.parametrize(
    ("enterprises", "records_min"), [(450, 100_000), pytest.param(4_500, 1_000_000, marks=pytest.mark.soak)]
)
def test_fault_34_a_long_backlog(enterprises, records_min, empty_kafka, redis_url, tmp_path, eventually, seed, fault):
    """Six weeks: each record has one outcome, and every alert is marked as delayed."""
    # Ten days at twenty transactions a day after a month of few.
    world = World(
        seed=seed, enterprises=enterprises, partitions=PARTITIONS, warm_days=1, dense_days_before=-32, timed_days=43
    )
    settings = Settings(
        kafka=KafkaSettings(bootstrap=empty_kafka, log_partitions=PARTITIONS),
        redis=RedisSettings(url=redis_url),
        score=ScoreSettings(delayed_s=DELAYED_S),
        banks=configuration.banks(),
    )
    create_topics(settings)
    log = write_timed_log(world, empty_kafka)
    assert log.transactions > records_min
    written_s = time.monotonic()
    eventually(lambda: time.monotonic() - written_s > DELAYED_S + 1, DELAYED_S + 5, "the log is that old")
    began_s = time.monotonic()
    with worker(settings, tmp_path).launch() as child, connect(redis_url, 5.0) as client:
        eventually(lambda: low_offsets(client) == log.ends or not child.running, 300, "the backlog")
        assert child.running, child.log_tail()
        took_s = time.monotonic() - began_s
        child.stop()
        ledger = take_stock(settings, client)
    assert ledger.balanced, [check for check in ledger.checks if not check.holds]
    waited_s = [int(dict(read.headers)[DELAYED]) for read in read_topics(settings.kafka, [topics.ALERT_SUPERVISOR])]
    assert len(waited_s) > 20
    assert min(waited_s) >= DELAYED_S
    fault(
        injected=log.transactions,
        observed=f"applied in {took_s:.0f} s, the ledger balances, {len(waited_s)} alerts say that they waited",
    )


def test_fault_35_memory_holds_as_many_enterprises_as_it_may(stack, tmp_path, eventually, seed, fault):
    """Twenty times as many enterprises as may be in memory, each twice: the worker's memory stays as it was."""
    settings = msgspec.structs.replace(
        stack,
        score=ScoreSettings(
            flush_interval_ms=500, flush_slice_values_max=500, batch_records_max=1_000,
            enterprises_resident_max=RESIDENT_MAX,
        ),
    )  # fmt: skip
    client = connect(settings.redis.url, 5.0)
    first = [record(txn(f"a{n}", f"E{n}", 0, n)) for n in range(ENTERPRISES)]
    again = [record(txn(f"b{n}", f"E{n}", 1, n)) for n in range(ENTERPRISES)]
    by_partition = write_log(settings, first[:1_000])
    child = worker(settings, tmp_path)
    child.launch()

    def all_is_low():
        assert child.running, child.log_tail()
        return low_offsets(client) == [len(by_partition[p]) for p in sorted(by_partition)]

    eventually(all_is_low, 120, "the first thousand")
    before = memory_bytes(child)
    for some in (first[1_000:], again):
        for p, rows in write_log(settings, some).items():
            by_partition[p] += rows
        eventually(all_is_low, 180, "the rest")
    grown = memory_bytes(child) - before
    child.stop()
    assert child.returncode == 0, child.log_tail()
    judge(settings, client, by_partition, outputs=(topics.SCORE,))
    assert grown < 0.2 * ENTERPRISES * ROW.itemsize, f"{grown:,} bytes more"
    there = sum(len(dict(stored_values(client, "x", p))) for p in range(PARTITIONS))
    fault(
        injected=there - RESIDENT_MAX,
        observed=f"{there} enterprises, {RESIDENT_MAX} in memory: {grown / 2**20:.0f} MiB more",
    )
