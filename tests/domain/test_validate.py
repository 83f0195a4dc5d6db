"""Validation of one record: the corpus, precedence, bounds to the unit, and laws over any bytes."""

import json
import math
import unicodedata
from typing import get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.credentials import forbidden
from domain.calendar import EVENT_TIME_MS_MIN
from domain.events import EVENT_BYTES_MAX, SCHEMA, AnyEvent, FromBank, FromDesk, FromGateway, FromOperator, Txn
from domain.reject import Reason, Rejected
from domain.validate import Source, Validator, source_of
from tests.corpus.cases import Case, bad, good

BANK = "Z9000000000001"
NOW_MS = 1_709_700_000_000
TOLERANCE_MS = 300_000
VERSION = SCHEMA.encode()
SOURCES = {
    "bank": Source(writer="bank", bank_id=BANK),
    "gateway": Source(writer="gateway"),
    "desk": Source(writer="desk"),
    "operator": Source(writer="operator"),
}
SOURCES_SEND = {"bank": FromBank, "gateway": FromGateway, "desk": FromDesk, "operator": FromOperator}
GOOD, BAD = good(), bad()
TXN = json.loads(GOOD[0].payload or b"")


def validator(writer: str = "bank") -> Validator:
    return Validator(source=SOURCES[writer], forbidden=forbidden(), future_tolerance_ms=TOLERANCE_MS)


def judge(payload, writer="bank", schema=VERSION, now_ms=NOW_MS):
    return validator(writer).accept(payload, schema, now_ms)


def changed(**fields):
    return json.dumps(TXN | fields, ensure_ascii=False).encode()


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_good_input_is_accepted_as_it_was_sent(case: Case):
    event = judge(case.payload, case.writer)
    assert not isinstance(event, Rejected), event
    sent = json.loads(case.payload)
    kept = json.loads(msgspec.json.encode(event))
    assert {name: value for name, value in sent.items() if value is not None} == kept


def test_good_input_has_every_type_that_may_be_sent():
    sent = {(case.writer, json.loads(case.payload)["type"]) for case in GOOD}
    assert sent == {
        *(("bank", kind) for kind in ("txn", "loan", "receipt", "case_action")),
        *(("gateway", kind) for kind in ("gov", "profile", "authorization")),
        *(("operator", kind) for kind in ("outcome", "control")),
    }


@pytest.mark.parametrize("case", BAD, ids=lambda case: f"{case.fault:02}-{case.name}")
def test_bad_input_is_refused_for_its_reason(case: Case):
    refused = judge(case.payload, case.writer, case.schema)
    assert isinstance(refused, Rejected), refused
    assert (refused.reason, refused.field) == (case.reason, case.field), refused.detail
    assert len(refused.detail) <= 220


def test_bad_input_has_every_reason_of_ingest():
    """But of what score finds, and of learn's requests, which are no events."""
    elsewhere = ("CASE_", "MODEL_", "ACTIVATION_")
    of_others = {Reason.CONFLICT, Reason.LATE, *(reason for reason in Reason if reason.name.startswith(elsewhere))}
    assert {case.reason for case in BAD} == {reason.value for reason in set(Reason) - of_others}


@pytest.mark.parametrize("number", [8, 9, 10, 11, 12, 15, 16, 18])
def test_bad_input_has_cases_of_each_fault(number):
    assert sum(case.fault == number for case in BAD) >= 2


def test_a_secret_is_not_repeated_in_the_finding():
    for case in BAD:
        if case.secret:
            refused = judge(case.payload, case.writer, case.schema)
            assert "hunter2" not in refused.detail
            assert forbidden().seen_in(case.payload) or refused.reason is Reason.CREDENTIALS


def test_no_field_of_ours_is_taken_for_a_secret():
    names = {field.name for kind in get_args(AnyEvent) for field in msgspec.structs.fields(kind)}
    assert "account" in names
    assert [name for name in names if forbidden().names_secret(name)] == []


def test_fault_09_up_to_64_kib_is_accepted_and_a_byte_more_is_not(fault):
    blanks = EVENT_BYTES_MAX - len(changed())
    exact = changed() + b" " * blanks
    assert isinstance(judge(exact[:-1]), Txn)
    assert isinstance(judge(exact), Txn)
    over = exact + b" "
    assert judge(over).reason is Reason.OVERSIZED
    fault(injected=len(over) - EVENT_BYTES_MAX, observed=f"{len(exact)} bytes accepted, {len(over)} oversized")


def test_fault_06_times_are_bounded_to_the_millisecond(fault):
    assert isinstance(judge(changed(event_time=NOW_MS + TOLERANCE_MS)), Txn)
    assert isinstance(judge(changed(event_time=EVENT_TIME_MS_MIN)), Txn)
    outside = {
        NOW_MS + TOLERANCE_MS + 1: Reason.TIME_IN_FUTURE,
        EVENT_TIME_MS_MIN - 1: Reason.TIME_TOO_EARLY,
    }
    for time_ms, reason in outside.items():
        assert judge(changed(event_time=time_ms)).reason is reason
    fault(injected=len(outside), observed="1 ms outside either bound refused, both bounds accepted")


def test_fault_15_text_is_stored_in_nfc_however_it_came(fault):
    decomposed, composed = "e\u0301", "\u00e9"
    for text in (decomposed, composed):
        assert fault.inject(judge, changed(memo=text)).memo == composed
        assert judge(json.dumps(TXN | {"memo": text}).encode()).memo == composed
    # U+0344 becomes two characters: the bound holds for what is stored.
    assert fault.inject(judge, changed(memo="\u0344" * 200)).reason is Reason.OUT_OF_RANGE
    fault(observed="decomposed text stored composed; 200 characters that become 400 refused")


def test_sources_by_topic():
    assert source_of(f"bank.{BANK}.events.v1") == SOURCES["bank"]
    assert source_of("gateway.events.v1") == SOURCES["gateway"]
    assert source_of("desk.events.v1") == SOURCES["desk"]
    assert source_of("control.v1") == SOURCES["operator"]
    with pytest.raises(ValueError, match=r"events\.v1"):
        source_of("events.v1")


def test_the_platforms_desk_acts_for_any_bank_and_sends_nothing_else():
    action = next(case.payload for case in GOOD if case.name == "case action")
    for bank_id in (BANK, "Z9000000000002"):
        event = judge(json.dumps(json.loads(action) | {"bank_id": bank_id}).encode(), "desk")
        assert event.bank_id == bank_id
    assert judge(changed(), "desk").reason is Reason.TYPE_NOT_ALLOWED


WRITERS = st.sampled_from(sorted(SOURCES))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(payload=st.binary(max_size=300), writer=WRITERS)
def test_any_bytes_are_refused_and_never_raise(payload, writer):
    assert isinstance(judge(payload, writer), Rejected)


@given(
    case=st.sampled_from([*GOOD, *(case for case in BAD if case.payload)]),
    cut=st.integers(0, 600),
    junk=st.binary(max_size=3),
    length=st.integers(0, 3),
    writer=WRITERS,
)
def test_damaged_records_never_raise(case, cut, junk, length, writer):
    payload = case.payload[:cut] + junk + case.payload[cut + length :]
    assert isinstance(judge(payload, writer), Rejected | SOURCES_SEND[writer])


@given(name=st.sampled_from([*TXN, "ref_event_id", "date_only", "other"]), value=JSON)
@example(name="amount_minor", value=math.nan)
@example(name="memo", value=[{"x": -math.inf}])
def test_fault_12_any_value_in_any_field_never_raises_and_is_finite(fault, name, value):
    payload = json.dumps(TXN | {name: value}).encode()
    event = judge(payload)
    if not isinstance(event, Rejected):
        assert b"NaN" not in payload or "NaN" in str(value)
        assert all(not isinstance(part, float) for part in msgspec.structs.astuple(event))
    if how_many := not_finite_in(value):
        assert event.reason is Reason.NOT_FINITE
        fault(injected=how_many, observed=f"refused as {event.reason.value}")


def not_finite_in(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return sum(map(not_finite_in, value))
    return int(isinstance(value, float) and not math.isfinite(value))


@given(
    order=st.permutations(sorted(TXN)),
    blanks=st.lists(st.sampled_from(["", " ", "\n", "\t "]), min_size=4, max_size=4),
    ascii_only=st.booleans(),
    nulls=st.sets(st.sampled_from(["counterparty_name", "return_reason", "ref_event_id"])),
)
def test_fault_16_the_event_does_not_depend_on_order_blanks_escapes_or_nulls(fault, order, blanks, ascii_only, nulls):
    before, colon, comma, after = blanks
    row = {name: TXN[name] for name in order} | dict.fromkeys(nulls)
    text = json.dumps(row, ensure_ascii=ascii_only, separators=(f",{comma}", f"{colon}:"))
    assert fault.inject(judge, f"{before}{text}{after}".encode()) == judge(changed())
    fault(observed="an equal event for each other text of it")


@given(name=st.sampled_from(sorted(TXN)), value=st.sampled_from([1, "x", None, ":", '":', {}]), blank=st.booleans())
def test_fault_16_a_repeated_key_is_refused_wherever_it_stands(fault, name, value, blank):
    text = json.dumps(TXN, ensure_ascii=False)
    repeated = f'{{"{name}"{" " if blank else ""}:{json.dumps(value)},{text[1:]}'
    assert fault.inject(judge, repeated.encode()).reason is Reason.DUPLICATE_KEY
    fault(observed="each refused as duplicate_key")


@given(memo=st.text(st.sampled_from("货款、。（Ａe\u0301\u00e9\u4e00\u9fff\u3000\u3099か\u202e\x7f {:\\"), max_size=6))
@example(memo="货\u0301")
def test_a_memo_is_taken_in_nfc_escaped_or_not(memo):
    event = judge(changed(memo=memo))
    assert event.memo == unicodedata.normalize("NFC", memo)
    assert event == judge(json.dumps(TXN | {"memo": memo}).encode())


def test_a_character_that_is_cut_in_two_is_no_text_though_without_what_cuts_it_it_were():
    cut = "货".encode()
    payload = changed(memo="MEMO").replace(b"MEMO", cut[:1] + b"a" + cut[1:])
    assert judge(payload).reason is Reason.NOT_JSON


FAULTS = {
    Reason.CREDENTIALS: {"password": "x"},
    Reason.MISSING_FIELD: {"account": None},
    Reason.UNKNOWN_FIELD: {"其他": 1},
    Reason.WRONG_TYPE: {"direction": 1},
    Reason.UNKNOWN_ENUM: {"purpose": "lottery"},
    Reason.OUT_OF_RANGE: {"seq": -1},
    Reason.AMOUNT_OUT_OF_RANGE: {"amount_minor": 0},
    Reason.UNKNOWN_CURRENCY: {"currency": "XXX"},
    Reason.TIME_TOO_EARLY: {"event_time": EVENT_TIME_MS_MIN - 1},
    Reason.BANK_MISMATCH: {"bank_id": "Z9000000000002"},
    Reason.PERSONAL_ID: {"enterprise_id": "11010519491231002X"},
}


@given(
    reasons=st.sets(st.sampled_from(list(FAULTS)), min_size=1),
    order=st.randoms(use_true_random=False),
    memo=st.sampled_from(["货款", "a\tb", "e\u0301"]),
)
def test_of_several_faults_the_first_in_the_order_of_reasons_is_named(reasons, order, memo):
    fields = TXN | {"memo": memo}
    for reason in reasons:
        fields = fields | FAULTS[reason]
    fields = {name: value for name, value in fields.items() if value is not None}
    shuffled = {name: fields[name] for name in sorted(fields, key=lambda name: order.random())}
    refused = judge(json.dumps(shuffled, ensure_ascii=order.random() < 0.5).encode())
    first = next(reason for reason in Reason if reason in reasons)
    assert (refused.reason, refused.field) == (first, *FAULTS[first])
