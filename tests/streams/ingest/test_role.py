"""Ingest on a real broker, in a process of its own."""

import json
import random
import signal
import time
from collections import Counter
from functools import partial

import msgspec
import pytest
from confluent_kafka import KafkaException

from domain import topics
from domain.calendar import day_of
from domain.events import Control, Tick, Txn
from domain.personal import compact
from domain.reject import shown_name
from replay.ledger import take_stock
from streams.control_log import coordinates
from streams.dead_letter_log import Contents, Letter
from tests.corpus.cases import Case, bad, good
from tests.patience import patience_s
from tests.reading import read
from tests.streams.ingest.kit import (
    BANKS,
    DAY,
    HEADERS,
    as_bytes,
    at,
    committed,
    dead_letters,
    log_count,
    log_records,
    receipt,
    send,
    send_all,
    set_config,
    txn,
    worker,
)


def bank_topic(number: int) -> str:
    return topics.bank_events(BANKS[number])


def test_fault_42_days_close_on_their_own_ticks_behind_their_records(
    settings, empty_kafka, tmp_path, eventually, fault
):
    """Three banks, twenty days, one topic written after the other (fault 42): each day has its own tick, on which all
    banks are covered, the same in every partition, and no record comes behind a tick that is past it."""
    broker, found = empty_kafka, settings()
    days = 20
    for number, bank_id in enumerate(BANKS):
        rows = []
        for day in range(days):
            for minute in range(0, 1440, 30):
                enterprise = f"ENT{minute % 7}"
                rows.append(txn(f"{number}-{day}-{minute}", at(day, minute), bank_id=bank_id, enterprise_id=enterprise))
                if minute == 30 and day:  # a receipt is not there at midnight
                    rows.append(receipt(day - 1, bank_id))
        rows.append(receipt(days - 1, bank_id))
        send(broker, bank_topic(number), map(as_bytes, rows))
    with worker(found, tmp_path / "log"):
        eventually(
            lambda: committed(broker, bank_topic(2)) == days * 49 and committed(broker, bank_topic(0)) == days * 49,
            deadline_s=60, what="all committed",
        )  # fmt: skip
    records = log_records(broker)
    ticks = [[one.event for one in rows if isinstance(one.event, Tick)] for rows in records.values()]
    assert all(one == ticks[0] for one in ticks)
    up_to = [tick.up_to for tick in ticks[0]]
    assert up_to == sorted(set(up_to))
    assert {day_of(time_ms) for time_ms in up_to} == set(range(DAY, DAY + days + 1))
    # Each day has a tick of its own on which all three banks cover it, as soon as the last
    # of the receipts is there.
    for day in range(days):
        closing = next(tick for tick in ticks[0] if covered_by_all(tick) >= DAY + day)
        assert covered_by_all(closing) == DAY + day
        assert at(day + 1) <= closing.up_to <= at(day + 1, 30)
    last = ticks[0][-1]
    assert at(days) <= last.up_to < at(days) + 10  # by a millisecond for each receipt at the end
    assert {bank_id: feed.covered_up_to for bank_id, feed in last.feeds.items()} == dict.fromkeys(BANKS, DAY + days - 1)
    assert not any(feed.stalled for tick in ticks[0][1:] for feed in tick.feeds.values())
    forwarded = 0
    for rows in records.values():
        up_to = 0
        for record in rows:
            if isinstance(record.event, Tick):
                up_to = record.event.up_to
            else:
                assert record.event.event_time >= up_to, "behind the tick that tells of it"
                forwarded += 1
    assert forwarded == 3 * days * 48
    fault(injected=len(BANKS), observed=f"{forwarded} records, {len(ticks[0])} ticks, none behind its tick")


def covered_by_all(tick):
    return min(-1 if feed.covered_up_to is None else feed.covered_up_to for feed in tick.feeds.values())


def test_fault_08_09_10_11_12_15_16_18_bad_input_on_kafka(settings, empty_kafka, tmp_path, eventually, seed, fault):
    """The whole corpus among good records: consumed = forwarded + dead-lettered by reason, good ones in order."""
    broker, found = empty_kafka, settings()
    contents = Contents(found)
    largest = Case(
        name="as large as the broker takes", fault=9, writer="bank", schema=None, payload=b"x" * VALUE_BYTES_MAX,
        reason="oversized", field=None, secret=False,
    )  # fmt: skip
    with pytest.raises(KafkaException, match="too large"):
        send_all(broker, [(bank_topic(0), b"x" * (VALUE_BYTES_MAX + 1), [])])
    cases = [*good(), *bad(), largest]
    random.Random(seed).shuffle(cases)
    wanted, outgoing = Counter(), []
    kinds = {"bank": bank_topic(0), "gateway": topics.GATEWAY, "operator": topics.CONTROL}
    sent = {topic: [] for topic in kinds.values()}
    for n, case in enumerate(cases):
        topic = kinds[case.writer]
        outgoing.append((topic, case.payload, [] if case.schema is None else [("schema", case.schema)]))
        sent[topic].append(case)
        wanted[topic, case.reason] += 1
        if n % 4 == 0:
            outgoing.append((bank_topic(0), as_bytes(txn(f"good-{n}", at(0, n))), HEADERS))
            sent[bank_topic(0)].append(None)
    send_all(broker, outgoing)
    with worker(found, tmp_path / "log"):
        eventually(
            lambda: all(committed(broker, topic) == len(rows) for topic, rows in sent.items()),
            deadline_s=60,
            what="all committed",
        )
    letters = dead_letters(broker)
    found = Counter((letter.topic, letter.reason) for letter in letters)
    assert found == Counter({key: n for key, n in wanted.items() if key[1]})
    print(f"seed {seed}: injected {sum(found.values())} bad records, {dict(found)}")
    records = log_records(broker)
    txns = [row for rows in records.values() for row in rows if isinstance(row.event, Txn)]
    assert {row.event.currency for row in txns} == {"CNY", "USD"}
    for row in txns:  # without a reference rate an amount is not computable, never 1:1
        assert row.amount_cny_minor == (row.event.amount_minor if row.event.currency == "CNY" else None)
        text = compact(str(row))
        assert not any(number in text for number in ("622202001234", "11010519491231002", "13800138000", "62220202001"))
        assert row.origin[0] == bank_topic(0)
    ids = [row.event.event_id for rows in records.values() for row in rows if isinstance(row.event, Txn)]
    assert [one for one in of_partition(records, "91310000MA1FL0XX1A") if one.startswith("good-")] == [
        f"good-{n}" for n in range(0, len(cases), 4)
    ]
    assert len(ids) == len(set(ids)) == len(range(0, len(cases), 4)) + sum(case.name in TXNS for case in good())
    # What was refused is there to be read, but for secrets.
    by_place = {(letter.topic, letter.offset): letter for letter in letters}
    assert len(by_place) == len(letters)
    for topic, rows in sent.items():
        for offset, case in enumerate(rows):
            if case is None or not case.reason:
                assert (topic, offset) not in by_place
                continue
            letter = by_place[topic, offset]
            whole = case.payload or b""
            named = shown_name(case.field)
            assert (letter.reason, letter.field, letter.payload_bytes) == (case.reason, named, len(whole))
            assert contents.sent_to_us(Letter(letter, b"")).payload == (b"" if case.secret else whole)
    # Controls are in every partition, once, and nothing that a bank said about control or ticks is in the log.
    good_ones = [json.loads(case.payload) for case in sent[topics.CONTROL] if not case.reason]
    control_ids = [one["control_id"] for one in good_ones if one["type"] == "control"]
    assert sorted(control_ids) == ["C-1", "C-2"]
    for rows in records.values():
        assert [row.event.control_id for row in rows if isinstance(row.event, Control)] == control_ids
    by_fault = Counter(case.fault for rows in sent.values() for case in rows if case is not None and case.reason)
    assert all(by_fault[number] for number in (8, 9, 10, 11, 12, 15, 16, 18)), by_fault
    fault(
        injected=by_fault.total(),
        observed=f"{len(letters)} dead letters; cases a fault {dict(sorted(by_fault.items()))}",
    )


def test_a_control_record_admits_a_late_record_under_its_own_origin(settings, empty_kafka, tmp_path, eventually):
    """The record is in the log again, marked as admitted; a control record about an unknown one is a dead letter."""
    broker, found = empty_kafka, settings()
    with worker(found, tmp_path / "log"):
        send(broker, bank_topic(0), [as_bytes(txn("first", at(0))), as_bytes(txn("second", at(9)))])
        eventually(lambda: committed(broker, bank_topic(0)) == 2, deadline_s=60, what="both in the log")
        (place,) = [
            (record.partition, record.offset)
            for record in read(broker, topics.EVENTS)
            if b'"event_id":"first"' in (record.value or b"")
        ]
        words = [admit(coordinates(*place)), admit(coordinates(place[0], 999_999)), admit("events.v1:x:1"), admit("")]
        send(broker, topics.CONTROL, map(msgspec.json.encode, words))
        eventually(lambda: committed(broker, topics.CONTROL) == 4, deadline_s=60, what="the words are taken")
    records = log_records(broker)
    txns = [row for row in records[place[0]] if isinstance(row.event, Txn)]
    first, again = (row for row in txns if row.event.event_id == "first")
    assert again == msgspec.structs.replace(first, admitted=True)
    assert [(one.topic, one.offset, one.field) for one in dead_letters(broker)] == [
        (topics.CONTROL, offset, "artefact_id") for offset in (1, 2, 3)
    ]
    for rows in records.values():
        assert [row.event.control_id for row in rows if isinstance(row.event, Control)] == [words[0].control_id]


def test_control_records_before_a_workers_start_precede_the_records_that_it_reads(
    settings, empty_kafka, tmp_path, eventually
):
    """A backfill is opened before its events, whatever is in the banks' topics and in any order of fetches."""
    broker, found = empty_kafka, settings()
    for number, bank_id in enumerate(BANKS):
        rows = [txn(f"{number}-{n}", at(n // 100, n % 100), bank_id=bank_id) for n in range(700)]
        send(broker, bank_topic(number), [*map(as_bytes, rows), as_bytes(receipt(6, bank_id))])
    word = Control(control_id="C-1", action="backfill_open", by="op", reason="history")
    send(broker, topics.CONTROL, [msgspec.json.encode(word)])
    with worker(found, tmp_path / "log"):
        for number in range(len(BANKS)):
            eventually(lambda number=number: committed(broker, bank_topic(number)) == 701, 60, "all is in the log")
    records = log_records(broker)
    assert all(isinstance(rows[0].event, Control) for rows in records.values()), "the word is not the first"
    assert sum(isinstance(row.event, Txn) for rows in records.values() for row in rows) == 3 * 700


def admit(where):
    return Control(control_id=f"C-{len(where)}", action="admit", artefact_id=where, by="op", reason="r")


VALUE_BYTES_MAX = 1_048_576 - 72  # a batch of one record without key and headers has 72 bytes beside its value
TXNS = {"txn", "returned", "date only", "text with NUL, bidi and a formula", "numbers of persons"}


def of_partition(records, enterprise_id):
    """Event ids of an enterprise's transactions, in the order of its partition."""
    lists = [
        [row.event.event_id for row in rows if isinstance(row.event, Txn) and row.event.enterprise_id == enterprise_id]
        for rows in records.values()
    ]
    (found,) = [ids for ids in lists if ids]
    return found


def test_fault_22_sigkill_loses_no_record_receipt_or_tick(settings, empty_kafka, tmp_path, eventually, seed, fault):
    """Killed again and again while it reads: every record is in the log, in its first order once repeats are removed,
    and the feeds go on where the last tick left them."""
    broker, found = empty_kafka, settings()
    rng = random.Random(seed)
    rounds, per_day, kills = 4, 300, 0
    log = tmp_path / "log"
    for day in range(rounds):
        rows = [txn(f"{day}-{n}", at(day, n), enterprise_id=f"ENT{n % 5}") for n in range(per_day)]
        send(broker, bank_topic(0), map(as_bytes, [*rows, receipt(day)]))
        at_least = log_count(broker) + rng.randrange(per_day)
        with worker(found, log) as process:
            if day < rounds - 1:
                eventually(partial(log_reaches, broker, at_least), deadline_s=40, what="some forwarded")
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
            else:
                all_committed = partial(is_committed, broker, rounds * (per_day + 1))
                eventually(all_committed, deadline_s=40, what="all committed")
    assert kills == rounds - 1
    records = log_records(broker)
    for rows in records.values():
        by_enterprise: dict[str, list[str]] = {}
        for row in rows:
            if isinstance(row.event, Txn):
                ids = by_enterprise.setdefault(row.event.enterprise_id, [])
                if row.event.event_id not in ids:
                    ids.append(row.event.event_id)
        for enterprise_id, ids in by_enterprise.items():
            which = int(enterprise_id[3:])
            assert ids == [f"{day}-{n}" for day in range(rounds) for n in range(which, per_day, 5)]
        ticks = [row.event for row in rows if isinstance(row.event, Tick)]
        assert [tick.up_to for tick in ticks] == sorted(tick.up_to for tick in ticks)
        assert at(rounds) <= ticks[-1].up_to < at(rounds) + 10
        assert ticks[-1].feeds[BANKS[0]].covered_up_to == DAY + rounds - 1
    ledger = take_stock(found, None)
    assert sum(count.consumed for count in ledger.inputs) == rounds * (per_day + 1)
    assert ledger.balanced, [check for check in ledger.checks if not check.holds]
    repeats = forwarded(broker) - rounds * per_day
    fault(injected=kills, observed=f"{rounds * per_day} records in order, {repeats} repeats (seed {seed})")


def test_fault_06_a_bank_whose_clock_is_a_year_ahead_moves_no_watermark(
    settings, empty_kafka, tmp_path, eventually, fault
):
    """Its transactions and receipts of next year are dead-lettered, and event time stays where the others are."""
    broker, found = empty_kafka, settings()
    year_days = day_of(time.time_ns() // 1_000_000) - DAY + 365
    skewed = [row for n in range(20) for row in (txn(f"skewed-{n}", at(year_days, n)), receipt(year_days + n))]
    right = [txn(f"right-{n}", at(0, n), bank_id=BANKS[1]) for n in range(40)]
    send(broker, bank_topic(0), map(as_bytes, skewed))
    send(broker, bank_topic(1), map(as_bytes, [*right, receipt(0, BANKS[1])]))
    with worker(found, tmp_path / "log"):
        eventually(
            lambda: [committed(broker, bank_topic(n)) for n in (0, 1)] == [len(skewed), len(right) + 1],
            deadline_s=60,
            what="all committed",
        )
        eventually(lambda: ticks_of(broker) and ticks_of(broker)[-1].up_to >= at(0, 39), deadline_s=20, what="a tick")
    found = Counter((letter.topic, letter.reason) for letter in dead_letters(broker))
    assert found == {(bank_topic(0), "time_in_future"): len(skewed)}
    assert forwarded(broker) == len(right)
    newest = ticks_of(broker)[-1]
    assert at(0, 39) <= newest.up_to <= at(1), "moved by the bank whose clock is right alone, at most by its receipt"
    assert newest.feeds[BANKS[0]].covered_up_to is None
    fault(
        injected=len(skewed),
        observed=f"{found.total()} dead letters; event time at {newest.up_to - at(0)} ms of the day",
    )


def ticks_of(broker):
    """The ticks of the first partition."""
    return [row.event for row in log_records(broker)[0] if isinstance(row.event, Tick)]


def forwarded(broker):
    return sum(isinstance(row.event, Txn) for rows in log_records(broker).values() for row in rows)


def log_reaches(broker, count):
    return log_count(broker) >= count


def is_committed(broker, offset):
    return committed(broker, bank_topic(0)) == offset


def test_fault_36_a_dead_letter_topic_that_refuses_stops_the_worker(settings, empty_kafka, tmp_path, eventually, fault):
    """`dlq.v1` takes nothing: the worker stops, nothing is committed past the record, and after repair all is there."""
    broker, found = empty_kafka, settings()
    set_config(broker, topics.DEAD_LETTERS, "max.message.bytes", "300")
    before = [as_bytes(txn(f"a{n}", at(0, n))) for n in range(20)]
    after = [as_bytes(txn(f"b{n}", at(0, 30 + n))) for n in range(20)]
    send(broker, bank_topic(0), [*before, b"{broken", *after])
    log, stops = tmp_path / "log", 0
    for _ in range(2):  # and a restart does not step over it
        with worker(found, log) as process:
            assert process.wait(patience_s(40)) == 1
        assert "DeliveryFailed" in log.read_text()
        assert "MessageSizeTooLarge" in log.read_text()
        assert committed(broker, bank_topic(0)) <= 20
        assert dead_letters(broker) == []
        stops += 1
    set_config(broker, topics.DEAD_LETTERS, "max.message.bytes", "8388608")
    with worker(found, log):
        eventually(lambda: committed(broker, bank_topic(0)) == 41, deadline_s=40, what="all committed")
    assert [(letter.reason, letter.offset) for letter in dead_letters(broker)] == [("not_json", 20)]
    unique = dict.fromkeys(of_partition(log_records(broker), "91310000MA1FL0XX1A"))
    assert list(unique) == [*(f"a{n}" for n in range(20)), *(f"b{n}" for n in range(20))]
    fault(injected=stops, observed=f"stopped {stops} times, 1 dead letter and {len(unique)} records after repair")
