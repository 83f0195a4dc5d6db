"""The compiled reader and the reference give the same rows, and neither reads past a value."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import day_of_text
from domain.events import Instalment, LogRecord
from features.state.balances import MISSING
from features.state.classes import KINDS, PURPOSES
from streams.score import reader
from streams.score.records import Run, Unreadable, decode
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import BANK, HEADERS, OTHER_BANK, loan, log_of, record, tick, txn

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
            "account": ids,
            "currency": st.sampled_from(("CNY", "CNY", "USD")),
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
    from features.state.record_columns import RECORD

    return RECORD


@given(st.lists(logged, min_size=1, max_size=8))
def test_compiled_equals_reference_byte_by_byte(records):
    values = [msgspec.json.encode(record) for record in records]
    fast, slow = rows_of(values, compiled=True), rows_of(values, compiled=False)
    assert [r.records.tobytes() for r in fast] == [r.records.tobytes() for r in slow]


def test_a_whole_log_reads_the_same_and_its_transactions_are_taken(module_seed):
    values = [row[1] for row in log_of(module_seed, days=20)]
    fast, slow = rows_of(values, compiled=True), rows_of(values, compiled=False)
    assert len(fast) == len(slow) == 2 * 20
    for a, b in zip(fast, slow, strict=True):
        same_rows = isinstance(a, Run) and a.records.tobytes() == b.records.tobytes()
        assert (same_rows and a.lines.tobytes() == b.lines.tobytes()) if isinstance(a, Run) else a == b
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
        assert fast.records.tobytes() == slow.records.tobytes()


@pytest.mark.parametrize("headers", [[], [("schema", b"xinliu.event/2")], [*HEADERS, ("a", b"b")]])
def test_only_the_known_schema_is_taken(headers):
    value = msgspec.json.encode(LogRecord(event=txn("a", "E1", 0), fingerprint="0" * 16))
    chunk = chunk_of("events.v1", 0, 0, [(None, value, headers, 0)])
    (step,) = decode(chunk)
    assert isinstance(step, Unreadable) == (dict(headers).get("schema") != b"xinliu.event/1")


def test_a_loan_brings_its_schedule_and_lines_count_from_their_own_run():
    lines = tuple(Instalment(due_on=f"2024-0{month}-28", due_minor=month * 100) for month in (3, 4, 5))
    events = [
        loan("a", "E1", 0, schedule=lines[:1]),
        loan("b", "E1", 0, loan_id="B"),
        tick(0),
        loan("c", "E1", 1, loan_id="C", schedule=lines[1:], limit_minor=7, revolving=True, repayment_method="bullet"),
    ]
    first, _, second = rows_of([record(event)[1] for event in events], compiled=True)
    assert first.records[["line_first", "line_count"]].tolist() == [(0, 1), (1, 0)]
    assert first.lines.tolist() == [(day_of_text("2024-03-28"), 300)]
    assert second.records[["line_first", "line_count", "limit", "revolving", "at_once"]].tolist() == [(0, 2, 7, 1, 1)]
    assert second.lines.tolist() == [(day_of_text("2024-04-28"), 400), (day_of_text("2024-05-28"), 500)]


def test_a_schedule_with_a_day_that_is_none_is_unreadable_and_the_rest_goes_on():
    bad = loan("a", "E1", 0, schedule=(Instalment(due_on="2024-02-31", due_minor=1),))
    step, rest = rows_of([record(bad)[1], record(txn("t", "E1", 0))[1]], compiled=True)
    assert isinstance(step, Unreadable)
    assert len(rest.records) == 1


@pytest.mark.parametrize(
    ("currency", "balance", "cny", "expected"),
    [("CNY", 700, 100_000, 700), ("USD", 700, 710_000, 4_970), ("USD", -3, 150_000, -4), ("USD", 700, None, MISSING)],
)
def test_a_balance_is_taken_at_the_rate_of_its_amount(currency, balance, cny, expected):
    event = msgspec.structs.replace(txn("t", "E1", 0), balance_minor=balance, currency=currency)
    value = msgspec.json.encode(LogRecord(event=event, fingerprint="0" * 16, origin=("t", 0, 0), amount_cny_minor=cny))
    for compiled in (True, False):
        (run,) = rows_of([value], compiled=compiled)
        assert int(run.records["balance"][0]) == expected
