"""Written batches are read back unchanged, by aiokafka's reader and by ours."""

from collections import defaultdict

import pytest
from aiokafka.record import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from sinks.batch import (  # fmt: skip
    ACK_GROUP,
    BY_KEY,
    BYTES_MAX,
    COUNT,
    IS_NEW,
    MS_FIRST,
    PARTITION,
    AckGroup,
    Batch,
    Outputs,
    Records,
    open_batches,
    write,
)
from sinks.partitioner import partitions_of
from streams.transport.batches import parse

PARTITIONS, ANYWHERE, FIRST_MS = 5, 3, 1_700_000_000_000
SOME_BYTES = st.none() | st.binary(max_size=40)
HEADERS = st.lists(st.tuples(st.text(max_size=9), SOME_BYTES), max_size=3)
OUTPUTS = st.lists(
    st.tuples(
        st.lists(st.tuples(SOME_BYTES, st.none() | st.binary(max_size=300) | st.just(b"x" * 70_000)), max_size=12),
        st.sampled_from([BY_KEY, 0, 4]),
        HEADERS,
        st.integers(0, 2),  # of which ack_group
        st.integers(-5, 100_000),  # milliseconds later
    ),
    max_size=8,
)


def written(calls):
    """The batches of each partition, with all calls adding to those before."""
    opened, batches = open_batches(PARTITIONS), defaultdict(list)
    for some in calls:
        for cells, piece in write(some, opened, ANYWHERE) if some else ():
            of_partition = batches[cells[PARTITION]]
            if cells[IS_NEW]:
                of_partition.append(Batch(cells[MS_FIRST]))
            of_partition[-1].add(cells, piece, some[cells[ACK_GROUP]].ack_group)
    return opened, batches


def expected(calls):
    found = defaultdict(list)
    for outputs in (one for some in calls for one in some):
        for key, value in outputs.records:
            place = outputs.partition
            if place == BY_KEY:
                place = ANYWHERE if key is None else int(partitions_of([key], PARTITIONS)[0])
            found[place].append((outputs.time_ms, key, value, tuple(outputs.headers), outputs.ack_group))
    return found


@given(OUTPUTS, OUTPUTS)
def test_written_records_are_read_in_order_with_keys_headers_times_and_ack_groups(first, second):
    stretches = [AckGroup(), AckGroup(), AckGroup()]
    calls = [
        [
            Outputs("t", Records.of(records), place, headers, stretches[s], FIRST_MS + ms)
            for records, place, headers, s, ms in drawn
        ]
        for drawn in (first, second)
    ]
    opened, batches = written(calls)
    wanted = expected(calls)
    assert {p for p in range(PARTITIONS) if opened[p, COUNT]} == set(batches) == set(wanted)
    for place, of_place in batches.items():
        rows = wanted[place]
        assert sum(batch.payload for batch in of_place) == sum(len(k or b"") + len(v or b"") for _, k, v, *_ in rows)
        assert [s for batch in of_place for s, count in batch.of for _ in range(count)] == [row[4] for row in rows]
        read = [list(map(_row, _theirs(batch))) for batch in of_place]
        assert [row for batch in read for row in batch] == [row[:4] for row in rows]
        assert [len(batch) for batch in read] == [batch.record_count() for batch in of_place]
        ours = [parse(batch._build(), topic="t", partition=0, start_offset=0) for batch in of_place]
        assert [
            (int(chunk.timestamp_ms[i]), chunk.key(i), chunk.value(i), tuple(chunk.headers(i)))
            for chunk in ours
            for i in range(len(chunk))
        ] == [row[:4] for row in rows]


def _theirs(batch):
    records = MemoryRecords(batch._build())
    found = records.next_batch()
    assert found.validate_crc()
    assert not records.has_next()
    return list(found)


def _row(record):
    return record.timestamp, record.key, record.value, tuple(record.headers)


@pytest.mark.parametrize("value", [b"", b"x" * 2_000, bytes(range(256)) * 8_192])
def test_a_batch_carries_its_producer_and_is_packed_where_that_makes_it_smaller(value):
    outputs = Outputs("t", Records.of([(None, value)]), 0, (), AckGroup(), FIRST_MS)
    ((cells, piece),) = write([outputs], open_batches(1), 0)
    batch = Batch(cells[MS_FIRST])
    batch.add(cells, piece, outputs.ack_group)
    batch._set_producer_state(77, 3, 1_000)
    built = batch._build()
    assert batch._build() is built, "the same at each attempt"
    found = MemoryRecords(built).next_batch()
    assert (found.producer_id, found.producer_epoch, found.base_sequence) == (77, 3, 1_000)
    assert (len(built) < len(value)) == (found.compression_type != 0) == (len(value) > 1_000)


def test_batches_are_bounded_and_a_larger_record_is_one_by_itself():
    sizes = [BYTES_MAX // 3, BYTES_MAX // 3, BYTES_MAX // 3, 2 * BYTES_MAX, 10, BYTES_MAX - 100, 10]
    outputs = Outputs("t", Records.of([(None, b"x" * size) for size in sizes]), 0, (), AckGroup(), FIRST_MS)
    _, batches = written([[outputs]])
    assert [batch.record_count() for batch in batches[0]] == [2, 1, 1, 2, 1]
