"""What compiled code tells of records that are not plain: the reference says the same."""

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.credentials import forbidden
from domain.events import Txn
from domain.ids import ENTERPRISE_ID_BYTES_MAX
from domain.reject import Rejected
from domain.strict_json import parse
from kernels.json_bytes import quoted
from streams.ingest.fast_path import triage
from tests.corpus.cases import bad, good
from tests.domain.test_credentials import DOCUMENTS
from tests.streams.ingest.test_fast_path import (
    BANK,
    FULL,
    NOW_MS,
    OF_A_TXN,
    TOLERANCE_MS,
    VALUES,
    as_sent,
    becomes,
    both_agree,
    canonical,
    chunk,
    damaged,
    encoded,
    plain_text,
    some_headers,
    text,
)

CODES = "AZaz09_-"


def look(records):
    """What is columns of each, whether it is plain or not."""
    bank = np.frombuffer(BANK.encode(), np.uint8)
    fields = np.empty((2, len(Txn.__struct_fields__)), np.int64)
    return triage.look(chunk(records), range(len(records)), bank, TOLERANCE_MS, fields)


@given(message=DOCUMENTS | damaged(DOCUMENTS) | st.sampled_from([case.payload or b"" for case in (*good(), *bad())]))
@example(message=b'{"memo":"x\\u0022password\\u0022:1"}')
@example(message=b'{"memo":"a""pin" \xe3\x80\x80:1}')
@example(message=b'"type"pin":')
@example(message=b'{"memo":"-----BEGIN KEY"}')
@example(message=b'{"-----BEGIN":1}')
def test_what_is_harmless_holds_no_secret(message):
    (columns,) = look(as_sent(message))
    if columns.is_harmless:
        assert not forbidden().seen_in(message)
        document = parse(message)
        assert isinstance(document, Rejected) or forbidden().find(document) is None


def test_our_records_are_harmless_however_many_kinds_there_are():
    messages = [case.payload for case in good() if b"\\" not in case.payload and b"--" not in case.payload]
    assert [columns.is_harmless for columns in look(as_sent(*messages))] == [True] * len(messages)


def test_the_names_are_no_part_of_what_is_compiled(monkeypatch):
    record = as_sent(canonical(**FULL))
    assert look(record)[0].is_harmless
    monkeypatch.setattr(triage, "_NAMES", quoted(name for name in ("type", *FULL) if name != "memo"))
    assert not look(record)[0].is_harmless


right = {
    **dict.fromkeys(("event_id", "account", "counterparty_id", "counterparty_account"), st.text(CODES, min_size=1)),
    **dict.fromkeys(("counterparty_name", "memo"), plain_text),
    "enterprise_id": st.text(CODES, min_size=1, max_size=ENTERPRISE_ID_BYTES_MAX),
    "event_time": st.integers(NOW_MS - 10**9, NOW_MS + TOLERANCE_MS),
    "direction": st.sampled_from("CD"),
    "amount_minor": st.integers(1, 10**15),
    "balance_minor": st.integers(-(10**15), 10**15),
    "seq": st.integers(0, 2**53),
    "currency": st.sampled_from(["CNY", "USD"]),
}
wrong = VALUES | {
    "type": st.one_of(text, st.integers(), st.sampled_from(["txn", "Txn", "transfer"])),
    **{
        name: VALUES[name] | st.one_of(text, st.integers(-(10**19), 10**19), st.floats(), st.booleans(), st.none())
        for name in ("seq", "amount_minor", "balance_minor", "event_time", "ref_event_id", "password", "其他", "memo")
    },
}


@st.composite
def alike(draw):
    """Transactions with the same odd fields, whose values are the same or others; all else is right, and differs."""
    named = draw(st.lists(st.sampled_from(sorted(wrong)), max_size=2, unique=True))
    dropped = draw(st.sets(st.sampled_from(sorted(OF_A_TXN)), max_size=1))
    same = {name: draw(wrong[name]) for name in named}
    order, twice = (
        draw(st.none() | st.randoms(use_true_random=False)),
        draw(st.none() | st.sampled_from(sorted(VALUES))),
    )
    found = []
    for _ in range(draw(st.integers(2, 5))):
        row = draw(st.sampled_from([OF_A_TXN, FULL]))
        row = row | {name: draw(right[name]) for name in row if name in right}
        row |= same if draw(st.booleans()) else {name: draw(wrong[name]) for name in named}
        row = {name: value for name, value in row.items() if name not in dropped}
        found.append((encoded(row, order, (",", ":"), False, twice), draw(some_headers), NOW_MS))
    return found


@given(records=alike())
def test_of_transactions_with_the_same_fault_each_becomes_what_the_reference_makes_of_it(records):
    both_agree(records)


SAME = [
    ({"amount_minor": "1"}, {"amount_minor": "7 元"}),
    ({"amount_minor": 1.5}, {"amount_minor": 123.25}),
    ({"amount_minor": 0}, {"amount_minor": -17}),
    ({"amount_minor": 10**15 + 1}, {"amount_minor": 10**16}),
    ({"direction": "借"}, {"direction": "借"}),
    ({"currency": "XXX"}, {"currency": "XXX"}),
    ({"account": None}, {"account": None}),
    ({"password": "a"}, {"password": "b"}),
    ({"colour": 1}, {"colour": 2}),
]
OTHER = [
    ({"amount_minor": "1"}, {"amount_minor": 1.5}),
    ({"amount_minor": 0}, {"amount_minor": 10**16}),
    ({"amount_minor": 0}, {"seq": -1}),
    ({"direction": "借"}, {"direction": "贷"}),
    ({"colour": 1}, {"color": 1}),
    ({"memo": "\u202e"}, {"memo": "\u202d"}),
    ({"type": "transfer"}, {"type": "channel"}),
    ({"type": 1}, {"type": 2}),
]


def faults(first, second):
    """Of two transactions, of which one has other plain values."""
    rows = FULL | first, FULL | {"event_id": "E-2", "event_time": NOW_MS - 9, "memo": "其他", "seq": 18} | second
    messages = [
        msgspec.json.encode({"type": "txn"} | {name: value for name, value in row.items() if value is not None})
        for row in rows
    ]
    return [columns.fault for columns in look(as_sent(*messages))]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_values_that_are_wrong_whatever_they_are_exactly_are_the_same_fault(first, second):
    one, other = faults(first, second)
    assert one is not None
    assert one == other


@pytest.mark.parametrize(("first", "second"), OTHER)
def test_what_the_reason_may_hang_on_is_part_of_the_fault(first, second):
    one, other = faults(first, second)
    assert one is not None
    assert one != other


@pytest.mark.parametrize(
    "more",
    [
        {"event_time": NOW_MS + TOLERANCE_MS + 1}, {"date_only": True}, {"ref_event_time": 1}, {"bank_id": "Z"},
        {"memo": {}}, {"memo": []}, {"memo": "\\"}, {"memo": "x" * 600 + "\u202e"}, {"type": "loan"},
    ],
)  # fmt: skip
def test_no_fault_is_told_where_the_reason_may_hang_on_more(more):
    (columns,) = look(as_sent(msgspec.json.encode({"type": "txn"} | FULL | more)))
    assert columns.fault is None


def test_a_place_in_broken_json_is_that_of_the_record():
    first, second = (canonical(**FULL | {"event_id": name}).replace(b"123456", b"nan") for name in ("E", "Event"))
    one, other = look(as_sent(first, second))
    assert one.fault == other.fault
    assert one.fault is not None
    both_agree(as_sent(first, second))


@pytest.mark.parametrize(
    "written", [b"00", b"-0", b"-01", b"1.", b"-.5", b"1.5.2", b"1e5", b"1e999", b"--1", b"+1", b"1_0"]
)
def test_what_is_written_wrongly_is_no_number_beyond_its_bounds(written):
    whole = canonical(**FULL | {"amount_minor": -17})
    known = [whole, whole.replace(b"-17", b"-17.25"), whole.replace(b"-17", b"1" + b"0" * 16)]
    both_agree(as_sent(*known, whole.replace(b"-17", written)))


def test_more_faults_than_are_remembered_make_no_difference():
    messages = [canonical(**FULL | {"direction": str(number)}) for number in range(12)] * 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.ingest.forwarding.FAULTS_MAX", 5)
        found = becomes(as_sent(*messages), compiled=True)
    assert found == becomes(as_sent(*messages), compiled=False)
