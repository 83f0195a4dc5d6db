"""Several ingest workers on a real broker: aligned by `feed.v1`, one fenced writer of ticks, kills and pauses."""

import asyncio
import contextlib
import itertools
import signal
import threading
from collections import Counter
from operator import itemgetter

import msgspec
import pytest

from domain import topics
from domain.calendar import DAY_MS, day_of, day_of_text, day_start_ms
from domain.events import Feed, LogRecord, Tick
from domain.outputs import FeedHealth, FeedMessage
from sinks.kafka import Outbox
from streams.ingest.forwarding import encode
from streams.ingest.last_tick import last_tick
from streams.ingest.tick_writer import NotTheWriter, TickWriter
from tests import brokers
from tests.reading import read, read_partitions
from tests.streams.ingest.kit import (
    DAY,
    HEADERS,
    PARTITIONS,
    as_bytes,
    at,
    committed,
    log_records,
    receipt,
    send,
    txn,
    worker,
)

LATE_MS = 7 * DAY_MS
BOUND_MS = 3 * DAY_MS


def bank_ids(count):
    return [f"Z90000000000{number:02d}" for number in range(1, count + 1)]


def rows_of(bank_id, days, per_day):
    """A bank's topic: transactions spread over each day, and the day's receipt half an hour into the next."""
    rows = []
    for day in range(days):
        for n in range(per_day):
            minute = n * 1440 // per_day
            if n and day and (n - 1) * 1440 // per_day < 30 <= minute:
                rows.append(receipt(day - 1, bank_id))
            enterprise = f"ENT{(n + day) % 11}"
            rows.append(txn(f"{bank_id}-{day}-{n}", at(day, minute), bank_id=bank_id, enterprise_id=enterprise))
    return [*rows, receipt(days - 1, bank_id)]


def send_rows(broker, bank_id, rows):
    send(broker, topics.bank_events(bank_id), map(as_bytes, rows))


def all_committed(broker, sent):
    return lambda: all(committed(broker, topics.bank_events(bank)) == count for bank, count in sent.items())


class Seen:
    """The findings of a reader of the log, record by record, without the repeats that `score` removes.

    `newest_ms`: by event id, what a record is measured from; without it, its own time.
    """

    def __init__(self, records, newest_ms=None):
        self.ids, self.repeats, self.behind_ms_max, self.late = set(), 0, -LATE_MS, 0
        self.ticks = {}
        for partition, rows in records.items():
            up_to, ticks = None, []
            for row in rows:
                event = row.event
                if isinstance(event, Tick):
                    ticks.append(event)
                    up_to = max(event.up_to, up_to or event.up_to)
                elif event.event_id in self.ids:
                    self.repeats += 1
                else:
                    self.ids.add(event.event_id)
                    up_to = up_to or event.event_time
                    self.late += up_to - event.event_time > LATE_MS
                    from_ms = newest_ms[event.event_id] if newest_ms else event.event_time
                    self.behind_ms_max = max(self.behind_ms_max, up_to - from_ms)
            self.ticks[partition] = ticks

    def check(self, sent_ids):
        assert self.ids == sent_ids, f"{len(sent_ids - self.ids)} lost"
        assert self.late == 0
        assert self.behind_ms_max <= BOUND_MS
        for ticks in self.ticks.values():
            assert ticks == self.ticks[0], "every tick is in every partition, once and in one order"
            up_to = [tick.up_to for tick in ticks]
            assert up_to == sorted(set(up_to))

    def check_days(self, banks, days):
        """Each day has a tick of its own, and ends covered by all."""
        seen = [day_of(tick.up_to) for tick in self.ticks[0]]
        assert set(seen) == set(range(DAY, DAY + days + 1))
        last = self.ticks[0][-1].feeds
        assert {bank: last[bank].covered_up_to for bank in banks} == dict.fromkeys(banks, DAY + days - 1)
        return len(seen)


def txn_ids(rows):
    return {row["event_id"] for row in rows if row["type"] == "txn"}


@pytest.mark.parametrize(("workers", "banks"), [(2, 6), pytest.param(3, 12, marks=pytest.mark.soak)])
def test_fault_42_one_topic_written_last_and_one_a_hundred_times_larger(
    workers, banks, settings, empty_kafka, tmp_path, eventually, fault
):
    """Backlogs that differ a hundredfold, the largest written last, over workers that join one after the other: no
    record is late, ticks rise, each day has its own, and all workers commit."""
    broker = empty_kafka
    names, days = bank_ids(banks), 30
    found = settings(banks=names)
    backlog = {bank: rows_of(bank, days, 3) for bank in names[1:]}
    backlog[names[0]] = fault.inject(rows_of, names[0], days, 300)
    for bank in reversed(names):
        send_rows(broker, bank, backlog[bank])
    with contextlib.ExitStack() as stack:
        for number in range(workers):
            stack.enter_context(worker(found, tmp_path / f"log{number}"))
        sent = {bank: len(rows) for bank, rows in backlog.items()}
        eventually(all_committed(broker, sent), deadline_s=90, what="all committed")
        eventually(lambda: is_told(broker, names, days), deadline_s=20, what="the last tick")
        # All may be read before the last to join has heard what it is given.
        eventually(
            lambda: len(set(owners(tmp_path, workers).values())) == workers, deadline_s=20, what="all have feeds"
        )
    seen = Seen(log_records(broker))
    seen.check(txn_ids(row for rows in backlog.values() for row in rows))
    ticks = seen.check_days(names, days)
    behind_h = seen.behind_ms_max / 3_600_000
    fault(
        observed=f"{workers} workers, {len(seen.ids)} records, {ticks} ticks, late 0, at most {behind_h:.1f} h behind",
    )


def is_told(broker, banks, days):
    found = last_tick(broker, {}, PARTITIONS)
    return found and all((found.tick.feeds[bank].covered_up_to or 0) >= DAY + days - 1 for bank in banks)


def owners(folder, workers):
    """Return the last assigned worker of each topic, from their logs."""
    logs = [(folder / f"log{number}").read_text(errors="replace").splitlines() for number in range(workers)]
    given = sorted((line, number) for number, lines in enumerate(logs) for line in lines if " reads " in line)
    return {topic: number for line, number in given for topic in line.partition(" reads ")[2].split(", ")}


class Banks(threading.Thread):
    """Banks that deliver day after day of event time until stopped, one of them ten times as much."""

    def __init__(self, broker, names):
        super().__init__(daemon=True)
        self.names = names
        self.producer = brokers.producer(broker)
        self.days, self.ids, self.sent = 0, set(), Counter()
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(0.15):
            for bank in self.names:
                per_day = 100 if bank == self.names[0] else 10
                rows = [
                    txn(f"{bank}-{self.days}-{n}", at(self.days, n * 14), bank_id=bank, enterprise_id=f"ENT{n % 11}")
                    for n in range(per_day)
                ]
                self.ids |= txn_ids(rows)
                for row in (*rows, receipt(self.days, bank)):
                    self.producer.produce(topics.bank_events(bank), as_bytes(row), headers=HEADERS)
                self.sent[bank] += len(rows) + 1
            assert self.producer.flush(30) == 0
            self.days += 1

    def stop(self):
        self.stopped.set()
        self.join()


def newest_when_delivered(broker, banks):
    """Event id -> the newest event time that any bank had delivered when the broker appended that event."""
    rows = []
    for bank in banks:
        for record in read(broker, topics.bank_events(bank)):
            row = msgspec.json.decode(record.value or b"")
            is_txn = row["type"] == "txn"
            time_ms = row["event_time"] if is_txn else day_start_ms(day_of_text(row["day"]) + 1)
            rows.append((record.timestamp_ms, time_ms, row["event_id"] if is_txn else None))
    found, newest_ms = {}, 0
    for _, together in itertools.groupby(sorted(rows, key=itemgetter(0)), itemgetter(0)):  # within one millisecond
        appended = list(together)
        newest_ms = max(newest_ms, *(time_ms for _, time_ms, _ in appended))
        found |= {event_id: newest_ms for _, _, event_id in appended if event_id is not None}
    return found


def test_fault_22_23_the_writer_of_ticks_killed_and_paused(settings, empty_kafka, tmp_path, eventually, fault):
    """While banks deliver, the worker that writes the ticks is killed, the next one paused past its session and woken:
    it is refused, nothing is lost or late, no record is further behind a tick than the bound beyond what its bank was
    behind the others when it delivered it, and ticks are whole in every partition and never go back."""
    broker = empty_kafka
    names = bank_ids(6)
    found = settings(banks=names)
    banks = Banks(broker, names)
    with contextlib.ExitStack() as stack:
        running = {}

        def start(name):
            running[name] = stack.enter_context(worker(found, tmp_path / name))

        def writer():
            told = {name: takeovers(tmp_path / name) for name in running if running[name].poll() is None}
            name = max(told, key=told.get)
            return name if told[name] else None

        def another_writer(*before):
            eventually(lambda: writer() not in (None, *before), deadline_s=60, what="a writer of ticks")
            days = banks.days
            eventually(lambda: is_told(broker, names, days), deadline_s=60, what="the days end")
            return writer()

        start("a")
        start("b")
        stack.callback(banks.stop)
        banks.start()
        killed = another_writer()
        fault.inject(running[killed].send_signal, signal.SIGKILL)
        running[killed].wait()
        start("c")
        paused = another_writer(killed)
        fault.inject(running[paused].send_signal, signal.SIGSTOP)
        another_writer(killed, paused)
        running[paused].send_signal(signal.SIGCONT)
        days = banks.days + 10
        eventually(lambda: banks.days >= days, deadline_s=30, what="more days")
        banks.stop()
        eventually(all_committed(broker, banks.sent), deadline_s=60, what="all committed")
        eventually(lambda: is_told(broker, names, banks.days), deadline_s=20, what="the last tick")
        refused = "NotTheWriter" in (tmp_path / paused).read_text(errors="replace")
    seen = Seen(log_records(broker), newest_when_delivered(broker, names))
    seen.check(banks.ids)
    seen.check_days(names, banks.days)
    woken = "refused a tick and stopped" if refused else "joined the group anew before it had a tick to write"
    fault(
        observed=f"{banks.days} days, {len(seen.ids)} records, {seen.repeats} repeats, late 0, at most "
        f"{seen.behind_ms_max / DAY_MS:.2f} days behind a tick; woken, the writer {woken}",
    )


def takeovers(log):
    """Return the time of a worker's last takeover of the ticks, from its log; empty where there was none."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return max((line[:23] for line in lines if "writes the ticks" in line), default="")


def test_fault_23_a_zombie_s_tick_is_refused_by_the_broker(kafka, make_topic, monkeypatch, fault):
    """A new tick writer fences the one before; later writes of that one are in no partition."""
    topic = make_topic("ticks", partitions=PARTITIONS)
    monkeypatch.setattr(topics, "EVENTS", topic)
    outbox = Outbox(kafka)
    zombie, owner = (TickWriter(outbox, kafka, {}, topic, PARTITIONS) for _ in range(2))

    async def write() -> None:
        await zombie.open()
        await zombie.write([b"first", b"second"], ())
        await owner.open()
        with pytest.raises(NotTheWriter, match="another worker writes the ticks"):
            await fault.inject(zombie.write, [b"late"], ())
        await owner.write([b"third"], ())
        with pytest.raises(NotTheWriter):
            await fault.inject(zombie.write, [b"later still"], ())
        await zombie.close()
        await owner.close()

    asyncio.run(write())
    values = {p: [one.value for one in found] for p, found in read_partitions(kafka, topic).items()}
    assert values == {p: [b"first", b"second", b"third"] for p in range(PARTITIONS)}
    fault(observed="refused both times; every partition holds the owner's ticks alone")


def test_fault_07_an_idle_bank_is_recognised_and_holds_nobody_back(settings, empty_kafka, tmp_path, eventually, fault):
    """One of four banks falls silent, over two workers: time goes on with the others, the silent feed is called stalled
    and its days are closed by its deadline; when it comes back it is a feed like the others."""
    broker = empty_kafka
    names, days = bank_ids(4), 10
    found = settings(banks=names)
    silent = names[-1]
    backlog = {bank: rows_of(bank, days, 6) for bank in names if bank != silent}
    backlog[silent] = fault.inject(rows_of, silent, 3, 6)
    for bank in names:
        send_rows(broker, bank, backlog[bank])
    with worker(found, tmp_path / "log0"), worker(found, tmp_path / "log1"):
        eventually(lambda: last_feed(broker, silent).stalled, deadline_s=60, what="stalled")
        eventually(lambda: is_told(broker, names[:-1], days), deadline_s=20, what="the last tick")
        feed = last_feed(broker, silent)
        assert feed.covered_up_to == DAY + 2
        assert feed.closed_up_to >= DAY + days - 2, "its deadline has passed"
        back = [txn("back", at(days), bank_id=silent), receipt(days, silent)]
        send_rows(broker, silent, back)
        eventually(lambda: not last_feed(broker, silent).stalled, deadline_s=20, what="back")
        eventually(lambda: told_stalled(broker, silent)[-1:] == [False], deadline_s=20, what="feed.v1")
    seen = Seen(log_records(broker))
    seen.check(txn_ids(row for rows in [*backlog.values(), back] for row in rows))
    assert not any(feed.stalled for bank, feed in seen.ticks[0][-1].feeds.items() if bank != silent)
    said = told_stalled(broker, silent)
    assert True in said
    warned = [line for n in (0, 1) for line in (tmp_path / f"log{n}").read_text().splitlines() if "stalled" in line]
    assert any(silent in line and "WARNING" in line for line in warned)
    fault(observed=f"{days} days went on, health told {len(said)} times, alarm: {warned[0][24:]}")


def last_feed(broker, bank_id):
    found = last_tick(broker, {}, PARTITIONS)
    return found.tick.feeds[bank_id] if found else Feed()


def told_stalled(broker, bank_id):
    """Return the health of a bank's feed in `feed.v1`, in order."""
    decode = msgspec.json.Decoder(FeedMessage).decode
    words = [decode(record.value or b"") for record in read(broker, topics.FEED)]
    return [word.stalled for word in words if isinstance(word, FeedHealth) and word.bank_id == bank_id]


def test_a_tick_of_many_banks_lies_compressed_in_the_log(kafka_server, make_topic, monkeypatch):
    """It names each bank in each partition once a second: as text, more than all that banks send."""
    topic = make_topic("ticks", partitions=PARTITIONS)
    monkeypatch.setattr(topics, "EVENTS", topic)
    feeds = {f"C{n:013}": Feed(last_event_time=1_767_232_800_000 - 997 * n, covered_up_to=20_453) for n in range(141)}
    tick = encode(LogRecord(event=Tick(up_to=1_767_232_800_000, feeds=feeds), origin=(topics.FEED, 0, 1)))

    async def write() -> None:
        writer = TickWriter(Outbox(kafka_server.address), kafka_server.address, {}, topic, PARTITIONS)
        await writer.open()
        await writer.write([tick], HEADERS)
        await writer.close()

    asyncio.run(write())
    values = {p: [one.value for one in found] for p, found in read_partitions(kafka_server.address, topic).items()}
    assert values == {p: [tick] for p in range(PARTITIONS)}
    stored = [file.stat().st_size for file in kafka_server.directory.glob(f"log/{topic}-*/*.log")]
    assert len(stored) == PARTITIONS
    assert max(stored) < len(tick) / 8
