"""What a bank's feed may bring in an hour: as a pure count, and of floods that a real ingest meets."""

from domain import topics
from sinks.batch import write_varint
from tests.reading import ends
from tests.streams.ingest.kit import BANKS, committed, send, worker
from tests.streams.ingest.raw_produce import produce
from tests.streams.ingest.test_unreadable_feeds import closes, event_ids, quarantine, record, rows_of
from tests.streams.transport.record_batches import ZSTD, Batch

FLOOD, GOOD = topics.bank_events(BANKS[0]), topics.bank_events(BANKS[1])


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
