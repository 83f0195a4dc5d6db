"""Ingest on a real broker, in a process of its own."""

import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from domain import topics
from domain.calendar import day_of
from domain.events import Control, Tick, Txn
from streams.topics import create_topics

from tests.streams.ingest_kit import (
    BANKS,
    DAY,
    DAY_MS,
    PARTITIONS,
    as_bytes,
    at,
    committed,
    dead_letters,
    log_records,
    receipt,
    send,
    settings_for,
    txn,
    worker,
)


def bank_topic(number: int) -> str:
    return topics.bank_events(BANKS[number])


def of_bank(records, bank_id):
    """Transactions of a bank in the order of their origin, by partition."""
    return {
        p: [one.event.event_id for one in rows if isinstance(one.event, Txn) and one.event.bank_id == bank_id]
        for p, rows in records.items()
    }


def test_days_close_on_their_own_ticks_behind_their_records(kafka_factory, tmp_path, eventually):
    """Three banks, twenty days, one topic written after the other: ticks come to all partitions in the same order,
    and no record is older than 00:00 of the day after the last tick's closed day."""
    broker = kafka_factory().address
    settings = settings_for(broker, tmp_path)
    create_topics(settings)
    days = 20
    for number, bank_id in enumerate(BANKS):
        rows = []
        for day in range(days):
            for minute in range(0, 1440, 30):
                enterprise = f"ENT{minute % 7}"
                rows.append(txn(f"{number}-{day}-{minute}", at(day, minute), bank_id=bank_id, enterprise_id=enterprise))
            rows.append(receipt(day, bank_id))
        send(broker, bank_topic(number), map(as_bytes, rows))
    with worker(settings, tmp_path / "log"):
        eventually(
            lambda: committed(broker, bank_topic(2)) == days * 49 and committed(broker, bank_topic(0)) == days * 49,
            deadline_s=60, what="all committed",
        )  # fmt: skip
    records = log_records(broker)
    ticks = [[one.event for one in rows if isinstance(one.event, Tick)] for rows in records.values()]
    assert all(one == ticks[0] for one in ticks)
    up_to = [tick.up_to for tick in ticks[0]]
    assert up_to == sorted(up_to)
    # Each day has a tick of its own, on which all three banks are covered up to it.
    ends = {day_of(tick.up_to): tick for tick in reversed(ticks[0])}
    assert sorted(ends) == list(range(DAY, DAY + days + 1))
    last = ticks[0][-1]
    assert last.up_to == at(days)
    assert {bank_id: feed.covered_up_to for bank_id, feed in last.feeds.items()} == dict.fromkeys(BANKS, DAY + days - 1)
    assert not any(feed.stalled for tick in ticks[0][1:] for feed in tick.feeds.values())
    forwarded = 0
    for rows in records.values():
        seen_ms = 0
        for record in rows:
            if isinstance(record.event, Tick):
                seen_ms = max(seen_ms, record.event.up_to)
                # What the tick covers is before it.
                continue
            forwarded += 1
            assert record.event.event_time >= day_of(seen_ms) * DAY_MS - 8 * 3_600_000 - DAY_MS
    assert forwarded == 3 * days * 48
    assert {p: len(ids) for p, ids in of_bank(records, BANKS[0]).items() if ids}.keys() <= set(range(PARTITIONS))
