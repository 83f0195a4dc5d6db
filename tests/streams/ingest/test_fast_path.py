"""The fast path of transactions: every record has the same outcome as by the reference alone."""

import itertools
import json
import random

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.throughput import world_of
from benchmarks.world import feed
from config.credentials import forbidden
from domain import topics
from domain.calendar import EVENT_TIME_MS_MIN
from domain.events import EVENT_BYTES_MAX, SCHEMA, LogRecord, Txn
from domain.ids import ENTERPRISE_ID_BYTES_MAX
from domain.money import AMOUNT_MINOR_MAX, CURRENCIES
from domain.outputs import DeadLetter
from domain.personal import is_hong_kong
from domain.reject import Rejected
from domain.validate import Validator, source_of
from replay.province.source import sample
from streams.ingest.fast_path.block import FastPathReader
from streams.ingest.fast_path.reader import ROOM, TOKEN_SLOTS_EACH_MAX
from streams.ingest.forwarding import Forwarder, Later, Rest
from streams.ingest.tokens import Tokens
from streams.seal import Opener, Sealer, place_of
from streams.transport.chunk import chunk_of
from tests.corpus.cases import bad, good
from tests.transactions import txn_row

BANK = "Z9000000000001"
TOPIC = topics.bank_events(BANK)
NOW_MS = 1_709_700_000_000
TOLERANCE_MS = 300_000
HEADERS = (("schema", SCHEMA.encode()),)
TOKENS, PRIVATE = Tokens(b"k" * 32), X25519PrivateKey.generate()
SEALER, OPENER = Sealer(PRIVATE.public_key()), Opener([PRIVATE])
PERSON, COMPANY = "11010519491231002X", "91310000MA1FL0XX1A"
ANY_MS = 2**62

OF_A_TXN = txn_row(type=None, event_id="E-1", event_time=NOW_MS - 1, account="622202001234")
FULL = OF_A_TXN | {
    "seq": 17,
    "balance_minor": -5,
    "counterparty_id": COMPANY,
    "counterparty_name": "桂林市临桂区恒达（商贸）有限公司",
    "counterparty_account": "6222020000000000017",
    "counterparty_bank_code": "102",
    "counterparty_kind": "corporate",
    "purpose": "sales",
    "summary_code": "A100",
    "channel": "02",
    "memo": "货款 No. 7，谢谢。",
}


def validator(topic=TOPIC):
    return Validator(source=source_of(topic), forbidden=forbidden(), future_tolerance_ms=TOLERANCE_MS)


def chunk(records, topic=TOPIC):
    """A chunk of (value, headers, broker's time)."""
    return chunk_of(topic, 3, 9_999_999_998, [(b"key", value, headers, ms) for value, headers, ms in records])


def as_sent(*values):
    return [(value, HEADERS, NOW_MS) for value in values]


def becomes(records, *, compiled, topic=TOPIC, last_ms=ANY_MS, at_once=3):
    """Return the fate of each record: key, value and time where it is forwarded, else why not."""
    forwarder, rest, found = Forwarder(TOKENS, SEALER, compiled=compiled), Rest(chunk(records, topic)), []
    while rest:
        until = min(rest.first + at_once - rest.first % at_once, len(records))
        run, after = forwarder.run(validator(topic), rest, until, last_ms)
        of_run = dict(zip(run.offsets, zip(run.records, run.times_ms, strict=True), strict=True))
        of_run |= {refused.offset: opened(refused) for refused in run.refused}
        assert sorted(of_run) == rest.offsets[rest.first : run.until]
        found += (of_run[offset] for offset in sorted(of_run))
        rest.first = run.until
        if after is not None:
            found.append((*after.record, after.time_ms) if isinstance(after, Later) else after)
            rest.first += 1
        else:
            assert rest.first == until
    return found


def opened(refused):
    """Return why a record was refused, its letter, and what is sealed in it: no two seals are the same bytes."""
    letter = msgspec.json.decode(refused.letter, type=DeadLetter)
    content = OPENER.open(letter.sealed, place_of(letter.topic, letter.partition, letter.offset))
    return refused._replace(letter=(msgspec.structs.replace(letter, sealed=None), content))


def both_agree(records, **how):
    found = becomes(records, compiled=True, **how)
    assert found == becomes(records, compiled=False, **how)
    return found


def taken(records, topic=TOPIC):
    """Return, for each record, whether the compiled code takes it."""
    if not records:
        return []
    bank_id = topics.bank_of(topic) or ""
    plain = FastPathReader(TOKENS).read(chunk(records, topic), 0, len(records), bank_id, TOLERANCE_MS)
    return [i not in plain.others for i in range(len(records))]


def canonical(**fields):
    """As msgspec writes the transaction, where fields may be beyond their bounds."""
    given_fields = {name: value for name, value in fields.items() if value is not None}
    return msgspec.json.encode({"type": "txn", **{name: given_fields[name] for name in names(given_fields)}})


def names(fields):
    return [name for name in Txn.__struct_fields__ if name in fields]


def is_accepted(value, headers=HEADERS, ms=NOW_MS):
    schema = dict(headers).get("schema")
    return not isinstance(validator().accept(value, schema, ms), Rejected)


PLAIN = [
    *map(chr, range(0x20, 0x7F)),
    *"货款广西、。（），：　".replace("\u3000", ""),
    "\u4e00",
    "\u9fff",
    "\uff01",
    "\uff5e",
]
ODD = [*"\x00\x1f\x7f\x80\u0301\u00e9\u2028\u202e\u200b\u3000\u3003\u3099か\ua000\u4dff\uff00\uff5f\ufeff\ufffd", "😀"]
plain_text = st.text(st.sampled_from([c for c in PLAIN if c not in '"\\{']), max_size=40)
any_text = st.text(st.sampled_from(PLAIN + ODD), max_size=300) | st.text(max_size=80) | st.just("-----BEGIN KEY")
an_id = st.sampled_from(
    [PERSON, COMPANY, PERSON.lower(), "914403000000000001", "1" * 18, "440301201001011234", "７" * 18]
)
text = plain_text | any_text | an_id
number = st.integers(-(2**65), 2**65) | st.sampled_from(
    [
        sign * (bound + step)
        for bound in (0, 10**15, 10**18, 2**53, 2**62, 2**63)
        for sign in (1, -1)
        for step in (-1, 0, 1)
    ]
)
time_ms = st.sampled_from(
    [base + step for base in (NOW_MS, NOW_MS + TOLERANCE_MS, EVENT_TIME_MS_MIN) for step in (-1, 0, 1)]
)
VALUES = {
    "event_id": text,
    "bank_id": st.sampled_from([BANK, BANK, BANK, "Z9000000000002", BANK.lower(), BANK[:-1]]) | text,
    "enterprise_id": st.text("09AZaz_-", max_size=34) | text,
    "event_time": time_ms | number,
    "date_only": st.booleans(),
    "seq": number,
    "account": text,
    "direction": st.sampled_from(["C", "D", "c", ""]),
    "amount_minor": number,
    "currency": st.sampled_from([*sorted(CURRENCIES), "XXX", "CNYY", "cny"]),
    "balance_minor": number,
    "counterparty_id": text,
    "counterparty_name": text | st.sampled_from(["", " ", "\u3000", "张三 "]),
    "counterparty_account": text,
    "counterparty_bank_code": text,
    "counterparty_kind": st.sampled_from(["corporate", "personal", "financial", "government", "internal", "other"]),
    "purpose": st.sampled_from(["sales", "payroll", "wealth", "other", "C"]),
    "summary_code": text,
    "channel": text,
    "status": st.sampled_from(["booked", "returned", "reversed", ""]),
    "ref_event_id": text,
    "ref_event_time": number | time_ms,
    "return_reason": text,
    "memo": text,
    "password": text,
    "其他": st.none() | text,
}
OPTIONAL = sorted(VALUES.keys() - OF_A_TXN.keys() - {"password", "其他"})
rows = st.builds(
    lambda base, changed, dropped: {name: value for name, value in (base | changed).items() if name not in dropped},
    st.sampled_from([OF_A_TXN, FULL]),
    st.lists(st.sampled_from(sorted(VALUES)), max_size=3, unique=True).flatmap(
        lambda found: st.fixed_dictionaries({name: VALUES[name] for name in found})
    ),
    st.sets(st.sampled_from(sorted(VALUES)), max_size=4) | st.just(frozenset()),
)


def encoded(row, order, separators, ascii_only, twice):
    ordered = {"type": "txn"} | ({name: row[name] for name in names(row)} | row if order is None else {})
    if order is not None:
        ordered |= row
        ordered = {name: ordered[name] for name in sorted(ordered, key=lambda name: order.random())}
    written = json.dumps(ordered, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "surrogatepass")
    if twice and twice in ordered:
        written = written[:-1] + f',"{twice}":{json.dumps(ordered[twice])}}}'.encode()
    return written


values = st.builds(
    encoded,
    rows,
    st.none() | st.none() | st.none() | st.randoms(use_true_random=False),
    st.sampled_from([(",", ":"), (",", ":"), (",", ":"), (", ", ": ")]),
    st.sampled_from([False, False, True]),
    st.none() | st.none() | st.sampled_from(sorted(VALUES)),
)


@st.composite
def damaged(draw, of=values):
    value = draw(of)
    at = draw(st.integers(0, len(value)))
    junk = draw(
        st.binary(max_size=3) | st.sampled_from([b'"', b"\\", b",", b"{", b"}", b"-", b"0", b"--", b" ", b"null"])
    )
    return value[:at] + junk + value[at + draw(st.integers(0, 3)) :]


corpus = st.sampled_from([case.payload for case in (*good(), *bad())])
some_headers = st.sampled_from(
    [HEADERS] * 8
    + [
        (),
        (("schema", None),),
        (("schema", b"xinliu.event/2"),),
        HEADERS * 2,
        (*HEADERS, ("x", b"y")),
        (("x", b"y"), *HEADERS),
    ]
)
sent = st.tuples(
    st.one_of(values, values, values, damaged(), corpus),
    some_headers,
    st.sampled_from([NOW_MS] * 4 + [NOW_MS - TOLERANCE_MS - 1, NOW_MS - TOLERANCE_MS - 2, 0]),
)


@given(
    records=st.lists(sent, min_size=1, max_size=8), last_ms=st.sampled_from([ANY_MS, ANY_MS, NOW_MS - 1, NOW_MS - 2])
)
@example(records=as_sent(canonical(**FULL), None, canonical(**OF_A_TXN), b"", canonical(**FULL)), last_ms=ANY_MS)
def test_any_records_become_what_the_reference_makes_of_them(records, last_ms):
    both_agree(records, last_ms=last_ms)


@given(value=damaged(st.sampled_from([canonical(**FULL), canonical(**OF_A_TXN)])))
def test_a_plain_transaction_with_a_few_other_bytes_becomes_what_the_reference_makes_of_it(value):
    both_agree(as_sent(value))


@given(
    row=st.fixed_dictionaries(
        {name: VALUES[name] for name in OF_A_TXN.keys() - {"event_time", "bank_id"}},
        optional={name: VALUES[name] for name in OPTIONAL},
    )
)
def test_valid_or_not_field_by_field(row):
    value = canonical(**OF_A_TXN | row)
    both_agree(as_sent(value))
    assert is_accepted(value) or taken(as_sent(value)) == [False]


@given(cut=st.integers(1, 500), behind=st.sampled_from([b"", b'","', b"0}", b'"}', b"}" * 9]))
def test_nothing_is_read_past_the_end_of_a_value(cut, behind):
    whole = canonical(**FULL)
    both_agree(as_sent(whole[: -min(cut, len(whole))], behind, whole))


def bounds():
    """(field, value, whether it is within)."""
    sizes = [("event_id", 1, 64), ("account", 1, 64), ("counterparty_id", 1, 64), ("counterparty_account", 1, 64)]
    sizes += [(name, 0, 32) for name in ("counterparty_bank_code", "summary_code", "channel")]
    sizes += [("counterparty_name", 0, 128), ("memo", 0, 256)]
    for (name, least, most), character in itertools.product(sizes, "a货～7"):
        yield from ((name, character * n, least <= n <= most) for n in (0, 1, 7, 8, 9, most - 1, most, most + 1))
    yield from (("enterprise_id", "A" * n, 1 <= n <= 32) for n in (0, 1, 31, 32, 33))
    yield from (
        ("enterprise_id", text, text in ("a_Z-0", "-")) for text in ("a_Z-0", "-", "a b", "a.b", "货", "ａ", "a/")
    )
    for name, least, most in (
        ("event_time", EVENT_TIME_MS_MIN, NOW_MS + TOLERANCE_MS),
        ("seq", 0, None),
        ("amount_minor", 1, AMOUNT_MINOR_MAX),
        ("balance_minor", -AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX),
    ):
        yield from ((name, least + step, step >= 0) for step in (-1, 0, 1))
        if most is not None:
            yield from ((name, most + step, step <= 0) for step in (-1, 0, 1))
    yield from (
        ("currency", code, code in CURRENCIES) for code in (*sorted(CURRENCIES), "XXX", "XAU", "cny", "", "CNYC")
    )
    yield from (("direction", code, code in ("C", "D")) for code in ("C", "D", "c", "", "CD"))
    for name in ("purpose", "counterparty_kind"):
        choices = msgspec.json.schema(Txn)["$defs"]["Txn"]["properties"][name]["anyOf"][0]["enum"]
        yield from ((name, choice, True) for choice in choices)
        yield from ((name, choice, False) for choice in ("", "Sales", "booked", "C"))
    yield from (("bank_id", bank, bank == BANK) for bank in (BANK, BANK[:-1] + "2", BANK[:-1], BANK + "1", ""))
    for text, well in (("-----", None), ("-----BEGIN", False), ("- -", True), ("\x7f", None), ("\u00e9", None)):
        yield from (("memo", "x" * n + text + "y" * 9, well) for n in range(9))


@pytest.mark.parametrize("base", [OF_A_TXN, FULL], ids=["bare", "full"])
def test_the_compiled_code_takes_exactly_what_is_within_all_bounds(base):
    for name, value, within in bounds():
        message = canonical(**base | {name: value})
        records = as_sent(message)
        both_agree(records)
        if within is None:  # which it leaves to the reference
            assert is_accepted(message), (name, value)
        else:
            assert is_accepted(message) is within, (name, value)
        assert taken(records) == [bool(within)], (name, value)


def hong_kong_ids():
    """Identity cards with each check digit, of one letter and of two, spelled as an enterprise id may be."""
    rnd = random.Random(3)
    for letters, check in itertools.product(("A", "z", "WX", "ab"), "0123456789A"):
        whole = next(n for n in range(100_000, 1_000_000) if is_hong_kong(f"{letters.upper()}{n}{check}"))
        other = rnd.choice("0123456789A".replace(check, ""))
        for spelled in ("{}{}{}", "{}-{}{}", "_{}{}-{}", "{}{}{}-_"):
            yield spelled.format(letters, whole, check.lower()), spelled.format(letters, whole, other)


def test_a_hong_kong_identity_card_is_no_enterprise_on_either_path():
    for card, other in hong_kong_ids():
        both_agree(as_sent(canonical(**FULL | {"enterprise_id": card})))
        assert not is_accepted(canonical(**FULL | {"enterprise_id": card})), card
        assert is_accepted(canonical(**FULL | {"enterprise_id": other})), other


def test_ids_of_letters_and_six_digits_are_taken():
    for text in ("E123456", "ent123456", "AB123456B", "123456", "A-123456", "A123456"):
        assert taken(as_sent(canonical(**FULL | {"enterprise_id": text}))) == [True], text


SLOW_PATH = [
    b'"seq":017', b'"seq":-0', b'"seq":1.0', b'"seq":1e1', b'"seq":"17"', b'"seq":', b'"seq":1234567890123456789',
    b'"seq":+17', b'"seq":true', b'"seq":[17]', b'"seq":17,"seq":17', b'"seq":null,"seq":17', b'"seq":17,"type":"txn"',
    b'"date_only":true,"seq":17', b'"date_only":null,"seq":17', b'"date_only":"false","seq":17', b'"s\\u0065q":17',
    b'"seq":17,', b',"seq":17', b'"seq":\f17', b'"seq":\xa017', b'"seq":17 7', b'"seq":nul', b'"status":"returned"',
    b'"status":null', b'"ref_event_id":""', b'"seq" 17', b'"seq":17"date_only":false', b'"ref_event_id":"a"',
]  # fmt: skip
WRITTEN_OTHERWISE = [
    b'"seq": 17', b'"seq" :17', b' "seq":17', b'"seq":17 ', b'"seq"\t:\r\n 17\n', b'"date_only":false,"seq":17',
    b'"status":"booked","seq":17', b'"ref_event_id":null,"seq":17,"ref_event_time" : null',
    b'"seq":17,"date_only":false',
]  # fmt: skip


@pytest.mark.parametrize("text", SLOW_PATH)
def test_doubtful_records_are_left_to_the_reference(text):
    message = canonical(**FULL)
    other = message.replace(b'"seq":17', text)
    assert other != message
    both_agree(as_sent(message, other, message))
    assert taken(as_sent(message, other, message)) == [True, False, True]


@pytest.mark.parametrize("text", WRITTEN_OTHERWISE)
def test_however_it_is_written_it_becomes_the_same(text):
    message = canonical(**FULL)
    other = message.replace(b'"seq":17', text)
    (_, ((_, first), _)) = both_agree(as_sent(message, other))
    (_, ((_, second), _)) = both_agree(as_sent(message, message))
    assert first == second
    assert taken(as_sent(message, other)) == [True, True]


@given(
    row=st.sampled_from([OF_A_TXN, FULL]),
    order=st.randoms(use_true_random=False),
    blank=st.sampled_from(["", " ", "\n  ", "\t"]),
    said=st.sampled_from([{}, {"memo": None}, {"date_only": False, "status": "booked", "return_reason": None}]),
)
def test_order_blanks_and_default_fields_make_no_difference(row, order, blank, said):
    fields = {"type": "txn"} | {name: value for name, value in said.items() if name not in row} | row
    names = sorted(fields, key=lambda name: order.random())
    parts = [f'"{name}"{blank}:{blank}{json.dumps(fields[name], ensure_ascii=False)}' for name in names]
    written = f"{blank}{{{blank}{f'{blank},{blank}'.join(parts)}{blank}}}{blank}".encode()
    assert taken(as_sent(written)) == [True]
    assert both_agree(as_sent(written)) == both_agree(as_sent(canonical(**row)))


@pytest.mark.parametrize(
    "other_id", [None, PERSON, PERSON[:-1] + "x", COMPANY, "914403000000000001", "911101085923662400", "张三"]
)
@pytest.mark.parametrize("kind", [None, "personal", "corporate"])
@pytest.mark.parametrize("name", [None, "", " ", "张三 ", "Zhang San", "张\u3000三"])
@pytest.mark.parametrize("account", [None, "6222 02", "７"])
def test_tokens_stand_where_the_reference_puts_them(other_id, kind, name, account):
    fields = {"counterparty_id": other_id, "counterparty_name": name, "counterparty_account": account}
    records = as_sent(canonical(**OF_A_TXN, counterparty_kind=kind, **fields))
    (((_, value), _),) = both_agree(records)
    assert b"622202001234" not in value
    assert b"counterparty_name" not in value
    kept = msgspec.json.decode(value, type=LogRecord).event.counterparty_id
    if other_id is not None:
        is_code = other_id in (COMPANY, "911101085923662400")
        assert (kept == other_id) is (is_code and kind != "personal")
    assert taken(records) == [name != "张\u3000三"]


def test_headers_other_than_the_schema_alone_are_left_to_the_reference():
    message = canonical(**FULL)
    kinds = [
        HEADERS,
        (),
        HEADERS * 2,
        (*HEADERS, ("x", b"")),
        (("schema", b"xinliu.event/2"),),
        (("schemA", HEADERS[0][1]),),
    ]
    records = [(message, headers, NOW_MS) for headers in kinds]
    both_agree(records)
    assert taken(records) == [True] + [False] * 5


@pytest.mark.parametrize("bank_id", ["z9000000000001", "Z900000000000１", "", "Z9000000000001\n", "Z900000000000"])
def test_a_topic_of_no_bank_has_no_plain_transactions(bank_id):
    records = as_sent(canonical(**FULL | {"bank_id": bank_id}))
    both_agree(records, topic=topics.bank_events(bank_id))
    assert taken(records, topics.bank_events(bank_id)) == [False]


def test_the_room_is_enough_for_the_longest_of_records():
    grown = OF_A_TXN | {"enterprise_id": "E", "event_id": "e", "account": "a", "amount_minor": AMOUNT_MINOR_MAX}
    grown |= {"counterparty_id": "b", "counterparty_kind": "personal", "counterparty_account": "c"}
    message = canonical(**grown)
    (((_, value), _),) = both_agree(as_sent(message))
    assert value.count(TOKENS.key_id.encode()) == TOKEN_SLOTS_EACH_MAX
    origin = len(f'","origin":["{TOPIC}",3,')
    longer = len(value) - len(message) - origin + 19 - len("9999999998")  # offsets have up to 19 digits
    assert ENTERPRISE_ID_BYTES_MAX + longer <= ROOM
    assert len(canonical(**FULL | {"memo": "货" * 256})) < EVENT_BYTES_MAX


def test_runs_are_bounded_by_their_last_time_and_their_end():
    records = as_sent(*(canonical(**FULL | {"event_time": NOW_MS + ms}) for ms in (0, 5, 9, 5, 0)))
    forwarder, whole = Forwarder(TOKENS, SEALER), chunk(records)
    runs = [forwarder.run(validator(), Rest(whole), until, ANY_MS)[0] for until in (1, 3, 5, 9)]
    assert [len(run.records) for run in runs] == [run.until for run in runs] == [1, 3, 5, 5]
    run, after = forwarder.run(validator(), Rest(whole), 5, NOW_MS + 5)
    assert run.times_ms == [NOW_MS, NOW_MS + 5]
    assert isinstance(after, Later)
    assert after.time_ms == NOW_MS + 9
    ((key, value),) = after.record
    assert (key, msgspec.json.decode(value, type=LogRecord).event.event_time) == (b"91310000MA1FL0XX1A", NOW_MS + 9)


def test_every_booked_transaction_of_the_simulator_is_taken():
    events = (delivery for delivery in sample().deliveries() if isinstance(delivery.event, Txn))
    count = plain = 0
    for delivery in itertools.islice(events, 2_000):
        event, records = delivery.event, [(msgspec.json.encode(delivery.event), HEADERS, delivery.at_ms)]
        both_agree(records, topic=delivery.topic)
        if event.status == "booked" and event.currency in CURRENCIES:
            count += 1
            plain += taken(records, delivery.topic) == [True]
    assert plain == count > 1_500


def test_every_transaction_of_the_benchmarks_is_taken():
    found = feed.transactions(world_of(0.01), 2_000)
    now_ms = int(found.events["arrival_ms"].max()) + 1
    sent = [one for one in feed.feed(found) if b'"type":"txn"' in one.value]
    assert len(sent) == 2_000
    for topic in {one.topic for one in sent}:
        records = [(one.value, HEADERS, now_ms) for one in sent if one.topic == topic]
        both_agree(records, topic=topic)
        assert np.all(taken(records, topic))
