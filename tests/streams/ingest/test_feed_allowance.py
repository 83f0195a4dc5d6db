"""The allowance of a feed for an hour: as a pure count, and under floods that a real ingest meets."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import IngestSettings
from domain import topics
from sinks.batch import write_varint
from streams.ingest.allowance import HOUR_S, LETTER_BYTES, MINUTES, Allowance
from tests.reading import ends
from tests.streams.ingest.kit import (
    BANKS,
    HEADERS,
    as_bytes,
    at,
    committed,
    dead_letters,
    log_records,
    send,
    txn,
    worker,
)
from tests.streams.ingest.raw_produce import produce
from tests.streams.ingest.test_unreadable_feeds import (
    balances,
    called,
    closes,
    event_ids,
    quarantine,
    record,
    rows_of,
)
from tests.streams.transport.record_batches import ZSTD, Batch, Row

FLOOD, GOOD = topics.bank_events(BANKS[0]), topics.bank_events(BANKS[1])


WHO = ("--by", "z", "--reason", "x")
SPARE = 1e-6  # of what floating point may round


def made(records=0, payload_bytes=0, refused=0):
    return Allowance(
        IngestSettings(
            feed_records_per_hour_max=records, feed_bytes_per_hour_max=payload_bytes, feed_refused_per_hour_max=refused
        ),
        0.0,
    )


@given(
    st.integers(1, 10_000),
    st.lists(st.tuples(st.floats(0, 3 * HOUR_S), st.integers(1, 500)), max_size=60),
)
@pytest.mark.parametrize("name", ["records", "payload_bytes"])
def test_a_feed_brings_an_hour_and_what_time_adds_and_at_most_a_run_more(name, an_hour, steps):
    allowance, now_s, brought = made(**{name: an_hour}), 0.0, 0
    for seconds, run in steps:
        now_s += seconds
        if allowance.spent(now_s) is not None:
            assert brought >= an_hour, "it waits for nothing before"
            continue
        assert brought <= an_hour * (1 + now_s / HOUR_S) + SPARE
        allowance.take(**{"records": 0, "payload_bytes": 0} | {name: run})
        brought += run
    refilled_s = now_s + (500 / an_hour + 1 / MINUTES) * HOUR_S + SPARE
    assert allowance.has_refilled(refilled_s), "no longer than for a run and a minute's worth"
    assert allowance.spent(refilled_s) is None


@given(
    st.integers(1, 300),
    st.lists(st.tuples(st.floats(0, 3 * HOUR_S), st.lists(st.integers(0, 4), max_size=50)), max_size=30),
)
def test_dead_letters_count_by_their_size_and_are_never_more_than_an_hour_and_what_time_adds(an_hour, steps):
    allowance, now_s, cost, least = made(refused=an_hour), 0.0, 0, 0
    for seconds, sizes in steps:
        now_s += seconds
        letters = [bytes(size * LETTER_BYTES) for size in sizes]
        count = allowance.refusable(letters, now_s)
        assert count is not None
        assert allowance.refusable(letters[:count], now_s) == count, "looking takes nothing"
        allowance.refuse(letters[:count])
        costs = [1 + size for size in sizes[:count]]
        cost, least = cost + sum(costs), cost + sum(costs[:-1]) + 1 if costs else least
        assert least <= an_hour * (1 + now_s / HOUR_S) + SPARE, "the last one alone may cost more than is left"
    allowance.grant()
    assert allowance.refusable([b""] * 400, now_s) == an_hour


def test_without_a_limit_nothing_waits_and_nothing_is_held():
    allowance = made()
    allowance.take(10**12, 10**15)
    assert allowance.spent(1.0) is None
    assert allowance.refusable([b""], 1.0) is None


def junk(count):
    """A batch of empty records, each of which becomes a dead letter."""
    empty = (record(b"\0\0" + write_varint(i) + write_varint(-1) * 2 + write_varint(0)) for i in range(count))
    return Batch(payload=b"".join(empty), count=count, last_delta=count - 1, compression=ZSTD).encoded()


def letters(broker):
    return sum(ends(broker, topics.DEAD_LETTERS).values())


def test_a_batch_of_junk_fills_no_more_of_dlq_than_an_hour_may(settings, empty_kafka, tmp_path, eventually):
    """By default: 150,000 records fit into one batch that ingest reads, and each would be a dead letter."""
    broker, found = empty_kafka, settings()
    produce(broker, FLOOD, junk(150_000))
    for day in range(2):
        send(broker, GOOD, rows_of(1, day))
    with worker(found, tmp_path / "log"):
        eventually(lambda: committed(broker, FLOOD) >= 100_000, deadline_s=120, what="the junk is read")
        eventually(lambda: closes(broker, 1, 0), deadline_s=60, what="a day of the other bank closes")
        eventually(lambda: committed(broker, GOOD) == 8, deadline_s=60, what="and it is read to its end")
        eventually(
            lambda: quarantine(broker) or letters(broker) == 150_000, deadline_s=120, what="held, or all refused"
        )
        assert 100_000 <= letters(broker) < 150_000  # an hour's worth, and what refills meanwhile
        (place,) = quarantine(broker)
        eventually(lambda: committed(broker, FLOOD) == place.offset, deadline_s=60, what="all before it is committed")
        assert (place.offset, place.reason) == (letters(broker), "refused_records")
    assert len(event_ids(broker, 1)) == 6


def test_junk_is_held_at_its_offset_until_it_is_resumed_or_skipped(settings, empty_kafka, tmp_path, eventually, capsys):
    """Also by the next worker after a kill, whose allowance is full; a resume grants another hour's worth."""
    broker, found = empty_kafka, settings(feed_refused_per_hour_max=100)
    produce(broker, FLOOD, junk(250))
    send(broker, FLOOD, rows_of(0, 4))
    for day in range(4):
        send(broker, GOOD, rows_of(1, day))
    log = tmp_path / "log"
    for attempt in range(2):
        with worker(found, log) as process:
            eventually(lambda n=attempt: log.read_text().count("is paused") == n + 1, deadline_s=60, what="paused")
            eventually(lambda: len(quarantine(broker)) == 1, deadline_s=60, what="held")
            eventually(lambda: committed(broker, FLOOD) == 100, deadline_s=60, what="committed up to there")
            eventually(lambda: closes(broker, 1, 3), deadline_s=60, what="days of other banks close")
            process.send_signal(signal.SIGKILL)
    assert [one.offset for one in dead_letters(broker)] == list(range(100)), "each once"
    (place,) = quarantine(broker)
    assert (place.offset, place.next_offset, place.reason, place.sealed) == (100, 101, "refused_records", None)
    code, out = called(found, tmp_path, capsys, "feed", "list")
    assert (code, f"{FLOOD}[0]@100–101" in out, "beyond 100 an hour" in out) == (0, True, True)
    balances(found, FLOOD, 0)

    with worker(found, log) as process:
        eventually(lambda: log.read_text().count("is paused") == 3, deadline_s=60, what="paused again")
        assert called(found, tmp_path, capsys, "feed", "resume", BANKS[0], *WHO)[0] == 0
        eventually(lambda: len(quarantine(broker)) == 2, deadline_s=60, what="another hour's worth")
        second = quarantine(broker)[1].offset
        eventually(lambda: committed(broker, FLOOD) == second, deadline_s=60, what="committed up to there")
        process.send_signal(signal.SIGKILL)
    assert second == 200
    with worker(found, log) as process:
        eventually(lambda: log.read_text().count("is paused") == 5, deadline_s=60, what="held at the same place")
        assert [one.offset for one in dead_letters(broker)] == list(range(200)), "each once"
        assert called(found, tmp_path, capsys, "feed", "skip", BANKS[0], *WHO, "--to", "249")[0] == 0
        eventually(lambda: committed(broker, FLOOD) == 254, deadline_s=60, what="on, with one more that is refused")
        assert process.poll() is None
    assert len(event_ids(broker, 0)) == 3
    assert [one.offset for one in dead_letters(broker)] == [*range(200), 249]
    assert len(quarantine(broker)) == 2
    balances(found, FLOOD, 49)


def test_a_batch_that_is_skipped_by_itself_grants_nothing(settings, empty_kafka, tmp_path, eventually):
    broker, found = empty_kafka, settings(unreadable="skip", feed_refused_per_hour_max=100)
    produce(broker, FLOOD, junk(60))
    produce(broker, FLOOD, Batch(rows=[Row(delta=delta) for delta in (0, 1, 1)], last_delta=2).encoded())
    produce(broker, FLOOD, junk(60))
    send(broker, GOOD, rows_of(1, 0))
    with worker(found, tmp_path / "log"):
        eventually(
            lambda: [one.reason for one in quarantine(broker)] == ["offset_delta", "refused_records"],
            deadline_s=60,
            what="held after an hour's worth, whatever was skipped",
        )
    assert letters(broker) == 100


EACH = len(as_bytes(txn("0000", at(0)))) + sum(len(name) + len(value) + 3 for name, value in HEADERS)


@pytest.mark.parametrize(("name", "an_hour"), [("records", 600), ("bytes", 600 * EACH)])
def test_a_flood_waits_for_its_allowance_and_the_other_feeds_do_not(
    name, an_hour, settings, empty_kafka, tmp_path, eventually
):
    """The day does not close without what waits; an hour later all of it is in the log, once and in its order."""
    broker, found, count = empty_kafka, settings(**{f"feed_{name}_per_hour_max": an_hour}), 1_500
    send(broker, FLOOD, [as_bytes(txn(f"{n:04}", at(0))) for n in range(count)])
    for day in range(3):
        send(broker, GOOD, rows_of(1, day))
    log, clock = tmp_path / "log", tmp_path / "clock"
    clock.touch()
    with worker(found, log, clock) as process:
        eventually(lambda: "waits" in log.read_text(), deadline_s=60, what="the flood waits")
        eventually(lambda: committed(broker, GOOD) == 12, deadline_s=60, what="the other feed is read to its end")
        brought = len(event_ids(broker, 0))
        assert 600 <= brought < 1_200, "an hour's worth, and less than a run of 500 and what refills meanwhile"
        assert not closes(broker, 0, 0)
        clock.write_bytes(bytes(3_600))
        eventually(lambda: committed(broker, FLOOD) == count, deadline_s=60, what="it goes on, to its end")
        eventually(lambda: closes(broker, 1, 1), deadline_s=60, what="and days close")
        assert process.poll() is None
    (rows,) = ([one for one in rows if getattr(one.event, "bank_id", "") == BANKS[0]] for rows in partitions(broker, 0))
    assert [one.event.event_id for one in rows] == [f"{n:04}" for n in range(count)]
    assert (dead_letters(broker), quarantine(broker)) == ([], [])


def partitions(broker, bank):
    """The partitions of the log that hold events of a bank."""
    found = log_records(broker).values()
    return [rows for rows in found if any(getattr(one.event, "bank_id", "") == BANKS[bank] for one in rows)]
