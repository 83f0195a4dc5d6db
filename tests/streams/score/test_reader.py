"""The compiled reader and the reference give the same rows, and neither reads past a value."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import LogRecord
from features.state.classes import KINDS, PURPOSES
from streams.score import reader
from streams.score.records import Unreadable, decode
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import BANK, HEADERS, OTHER_BANK, log_of, txn

ids = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=64)
optional = {"event_id": ids, "counterparty_id": st.none() | ids, "memo": st.none() | st.text(max_size=40)}
txns = st.builds(
    lambda enterprise, ms, fen, fields: txn("x", enterprise, 3, ms, fen, **fields),
    st.text("0123456789ABCDEFGHJKLMNPQRTUWXY_-", min_size=1, max_size=32),
    st.integers(0, 10**9),
    st.integers(1, 10**15),
    st.fixed_dictionaries(
        {
            "direction": st.sampled_from("CD"),
            "purpose": st.sampled_from(PURPOSES),
            "counterparty_kind": st.sampled_from(KINDS),
            "counterparty_id": optional["counterparty_id"],
            "bank_id": st.sampled_from((BANK, OTHER_BANK)),
            "balance_minor": st.none() | st.integers(-(10**15), 10**15),
            "date_only": st.booleans(),
            "seq": st.none() | st.integers(0, 2**62),
            "memo": optional["memo"],
            "status": st.sampled_from(("booked", "returned", "reversed")),
            "ref_event_time": st.none() | st.integers(0, 2**50),
        }
    ),
)
logged = st.builds(
    lambda event, event_id, fingerprint, cny: LogRecord(
        event=msgspec.structs.replace(event, event_id=event_id),
        fingerprint=f"{fingerprint:016x}",
        origin=("bank.x.events.v1", 0, 7),
        amount_cny_minor=cny,
    ),
    txns, ids, st.integers(0, 2**64 - 1), st.none() | st.integers(0, 10**15),
)  # fmt: skip


def rows_of(values, *, compiled):
    chunk = chunk_of("events.v1", 0, 5, [(None, value, HEADERS, 0) for value in values])
    return list(decode(chunk, compiled=compiled))


def taken_by_the_compiled_reader(values):
    chunk = chunk_of("events.v1", 0, 5, [(None, value, HEADERS, 0) for value in values])
    records, taken = np.zeros(len(values), reader_dtype()), np.zeros(len(values), np.uint8)
    reader.read(chunk.buffer, chunk.value_start, chunk.value_end, chunk.header_start, chunk.header_end, records, taken)
    return taken


def reader_dtype():
    from streams.score.columns import RECORD

    return RECORD


@given(st.lists(logged, min_size=1, max_size=8))
def test_compiled_equals_reference_byte_by_byte(records):
    values = [msgspec.json.encode(record) for record in records]
    fast, slow = rows_of(values, compiled=True), rows_of(values, compiled=False)
    assert [r.tobytes() for r in fast] == [r.tobytes() for r in slow]


def test_a_whole_log_reads_the_same_and_its_transactions_are_taken(module_seed):
    values = [row[1] for row in log_of(module_seed, days=20)]
    fast, slow = rows_of(values, compiled=True), rows_of(values, compiled=False)
    assert len(fast) == len(slow) == 2 * 20
    for a, b in zip(fast, slow, strict=True):
        assert (a.tobytes() == b.tobytes()) if isinstance(a, np.ndarray) else a == b
    taken = taken_by_the_compiled_reader(values)
    assert [bool(t) for t in taken] == [b'"type":"txn"' in value for value in values]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_truncated_value_is_left_to_the_reference_and_refused(cut):
    value = msgspec.json.encode(LogRecord(event=txn("a", "E1", 0), fingerprint="0" * 16, origin=("t", 0, 0)))
    (step,) = rows_of([value[:-cut]], compiled=True)
    assert isinstance(step, Unreadable)


@given(logged, st.data())
def test_a_changed_byte_is_refused_or_reads_as_the_reference_does_or_is_no_json_of_ingest(record, data):
    value = bytearray(msgspec.json.encode(record))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] = data.draw(st.integers(0, 255))
    (fast,), (slow,) = rows_of([bytes(value)], compiled=True), rows_of([bytes(value)], compiled=False)
    if isinstance(fast, Unreadable):
        assert isinstance(slow, Unreadable)
    elif not isinstance(slow, Unreadable):
        assert fast.tobytes() == slow.tobytes()


@pytest.mark.parametrize("headers", [[], [("schema", b"xinliu.event/2")], [*HEADERS, ("a", b"b")]])
def test_only_the_known_schema_is_taken(headers):
    value = msgspec.json.encode(LogRecord(event=txn("a", "E1", 0), fingerprint="0" * 16))
    chunk = chunk_of("events.v1", 0, 0, [(None, value, headers, 0)])
    (step,) = decode(chunk)
    assert isinstance(step, Unreadable) == (dict(headers).get("schema") != b"xinliu.event/1")
