"""Dead letters say why, and show nothing of what was sent; what was sent is in them, sealed."""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain import topics
from domain.outputs import Cut, DeadLetter, EventName
from domain.outputs import Refused as Content
from domain.reject import HIDDEN, Reason, Rejected
from domain.validate import Validator, source_of
from sinks.batch import encode_headers
from streams.dead_letter_log import Letter, of_old
from streams.dead_letters import (
    KEY_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    is_whole,
    payload_of,
    to_dead_letters,
    to_sealed_letter,
)
from streams.ingest.forwarding import Forwarder, Rest
from streams.ingest.tokens import Tokens
from streams.seal import CannotOpen, Opener, Sealer, key_files, load_opener, load_sealer
from streams.transport.chunk import Row, chunk_of
from streams.worker.role import TP
from tests.corpus.cases import bad, good
from tests.streams.score.kit import HEADERS, record, txn

BANK = "C1010211000012"
TOPIC = topics.bank_events(BANK)
ACCOUNT, NAME, SECRET = "6222021234567890123", "王小明", "hunter2hunter2"
SHOWN_NOWHERE = (ACCOUNT, ACCOUNT[:8], NAME, SECRET, hashlib.sha256(ACCOUNT.encode()).hexdigest())


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Sealer, Opener]:
    files = {name: str(file) for name, file in key_files(tmp_path).items()}
    return load_sealer(files["public_key_file"]), load_opener(files["private_key_file"])


def content(pair: tuple[Sealer, Opener], letter: DeadLetter) -> Content:
    assert letter.sealed is not None
    place = f"{letter.topic}[{letter.partition}]@{letter.offset}"
    return msgspec.msgpack.decode(pair[1].open(letter.sealed, place), type=Content)


def hostile() -> list[Any]:
    """Values of which each is an account, a name or a secret, in any place of each kind of event."""
    values = [
        *(ACCOUNT, NAME, SECRET, int(ACCOUNT), -int(ACCOUNT), int(ACCOUNT) / 7, [ACCOUNT], [NAME], {NAME: ACCOUNT}),
        *({ACCOUNT: 1}, {"password": SECRET}, {"a": {"b": SECRET}}, f"{NAME}\x00", f"2024-02-30 {NAME}", True, None),
        *([{"due_on": NAME, "due_minor": 1}], [{"due_on": "2024-01-05", NAME: ACCOUNT}], 13812345678, 10**18),
    ]
    kinds = {json.loads(case.payload or b"")["type"]: json.loads(case.payload or b"") for case in good()}
    changed = [event | {name: value} for event in kinds.values() for name in event for value in values]
    added = [event | {name: SECRET} for event in kinds.values() for name in (ACCOUNT, NAME, f"x{ACCOUNT}")]
    return changed + added + [value for value in values if value is not True]


def test_a_letter_shows_no_account_no_name_and_no_secret_whatever_is_wrong(pair: tuple[Sealer, Opener]) -> None:
    """`{"type":{"password":…}}` stood in `detail`; keys, headers and the account of each refused record in clear."""
    forwarder = Forwarder(Tokens(b"k" * 32), pair[0], compiled=False)
    validator = Validator(source=source_of(TOPIC), forbidden=forwarder.forbidden, future_tolerance_ms=0)
    values = [json.dumps(value, ensure_ascii=False).encode() for value in hostile()]
    values += [case.payload or b"" for case in bad()] + [NAME.encode()[:-1], f'{{"{NAME}":1,"{NAME}":2}}'.encode()]
    schemas = [HEADERS, [("schema", SECRET.encode())], [*HEADERS, ("api-key", SECRET.encode()), ("to", NAME.encode())]]
    records = [(ACCOUNT.encode(), value, schemas[i % 3], 1) for i, value in enumerate(values)]
    run, _ = forwarder.run(validator, Rest(chunk_of(TOPIC, 0, 0, records)), len(records), 2**62)
    assert len(run.refused) > len(records) * 2 // 3
    for refused in run.refused:
        shown = refused.letter.decode()
        assert not any(one in shown for one in SHOWN_NOWHERE), (values[refused.offset], shown[:300])
    reasons = {one.reason for one in run.refused}
    assert len(reasons) >= 16, reasons


def test_a_letter_of_what_was_sent_is_sealed_whole_but_for_secrets(pair: tuple[Sealer, Opener]) -> None:
    rows = [
        (b"key", b'{"account":"1"}', HEADERS, False),
        (b"key", b'{"password":"hunter2"}', HEADERS, True),
        (b'{"password":"hunter2"}', b"{}", [("password", b"hunter2")], False),
        (b"key", b"{}", [("note", b'{"password":"hunter2"}')], False),
    ]
    rejected = Rejected(reason=Reason.UNKNOWN_FIELD, field=ACCOUNT, detail="no field")
    letters = [
        to_sealed_letter(pair[0], TP(TOPIC, 0), Row(i, 0, key, value, encode_headers(headers)), rejected, is_secret)
        for i, (key, value, headers, is_secret) in enumerate(rows)
    ]
    assert {letter.field for letter in letters} == {HIDDEN}
    whole, payload, key, header = (content(pair, letter) for letter in letters)
    assert [is_whole(one) for one in (whole, payload, key, header)] == [True, False, False, False]
    assert (whole.key, whole.payload, whole.headers) == (b"key", rows[0][1], tuple((n, v.decode()) for n, v in HEADERS))
    assert (payload.key, payload.payload, payload_of(payload)) == (b"key", b"", None)
    assert payload.payload_sha256 == hashlib.sha256(rows[1][1]).hexdigest()
    assert (key.key, key.headers, key.payload) == (None, (), b"{}")
    assert (header.key, header.headers, header.payload) == (b"key", (), b"{}")
    assert b"hunter2" not in b"".join(map(msgspec.msgpack.encode, (whole, payload, key, header)))


def test_sealed_content_opens_with_the_private_key_alone_and_at_its_own_place(
    pair: tuple[Sealer, Opener], tmp_path: Path
) -> None:
    sealer, opener = pair
    sealed = sealer.seal(b"content", "a[0]@1")
    again = sealer.seal(b"content", "a[0]@1")
    assert opener.open(sealed, "a[0]@1") == opener.open(again, "a[0]@1") == b"content"
    assert sealed.box != again.box
    with pytest.raises(CannotOpen, match="another record"):
        opener.open(sealed, "a[0]@2")
    for at in (0, 33, 50, -1):
        box = bytearray(sealed.box)
        box[at] ^= 1
        with pytest.raises(CannotOpen):
            opener.open(msgspec.structs.replace(sealed, box=bytes(box)), "a[0]@1")
    # After a rotation the file of operators holds both private keys.
    older, newer = key_files(tmp_path), key_files(tmp_path / "newer")
    other = load_sealer(str(newer["public_key_file"])).seal(b"newer", "b[0]@1")
    with pytest.raises(CannotOpen, match=other.key_id):
        opener.open(other, "b[0]@1")
    both = newer["private_key_file"]
    both.write_bytes(both.read_bytes() + older["private_key_file"].read_bytes())
    wide = load_opener(str(both))
    assert (wide.open(other, "b[0]@1"), wide.open(sealed, "a[0]@1")) == (b"newer", b"content")


def test_a_record_of_our_own_topics_is_named_and_not_copied() -> None:
    _, value, _, _ = record(txn("e1", "E1", 0))
    chunk = chunk_of(topics.EVENTS, 3, 40, [(b"E1", value, HEADERS, 0), (b"E1", b"{oops", HEADERS, 0)])
    late, broken = to_dead_letters(chunk, range(2), [Rejected(reason=Reason.LATE), Rejected(reason=Reason.NOT_JSON)])
    event = msgspec.json.decode(value)["event"]
    names = ("bank_id", "enterprise_id", "event_id", "event_time")
    assert late.event == EventName(type="txn", **{name: event[name] for name in names})
    assert (late.partition, late.offset, late.payload_bytes, late.sealed) == (3, 40, len(value), None)
    assert (broken.offset, broken.event, broken.sealed) == (41, None, None)
    assert b"account" not in msgspec.json.encode(late)


def test_a_letter_of_before_they_were_sealed_is_read() -> None:
    old = (
        b'{"topic":"t","partition":0,"offset":3,"reason":"late","field":null,"detail":"","key_base64":"a2V5",'
        b'"headers":[["schema","1"]],"payload_sha256":"%s","payload_bytes":2,"payload_base64":"e30="}'
    ) % hashlib.sha256(b"{}").hexdigest().encode()
    letter = Letter(msgspec.json.decode(old, type=DeadLetter), old)
    found = of_old(letter)
    assert found is not None
    assert is_whole(found)
    assert (found.key, found.headers, payload_of(found)) == (b"key", (("schema", "1"),), b"{}")
    new = msgspec.json.encode(letter.head)
    assert of_old(Letter(letter.head, new)) is None


def test_a_dead_letter_is_bounded_and_states_the_cut_bytes(pair: tuple[Sealer, Opener]) -> None:
    """Dead letters of bytes that text makes three times as long, or of headers alone, are far below the limit."""
    control, many = "\x01", 100_000
    records = [
        (b"\xff" * (5 << 20), b"\xff" * (3 << 20), [(control * 30_000, b"\x01" * (9 << 20))] * 2),
        (None, None, [(control, b"\xff")] * many),
        (b"k" * KEY_BYTES_MAX, b"v" * PAYLOAD_BYTES_MAX, HEADERS),
    ]
    rows = [Row(i, 0, key, value, encode_headers(headers)) for i, (key, value, headers) in enumerate(records)]
    rejected = Rejected(reason=Reason.OVERSIZED)
    letters = [to_sealed_letter(pair[0], TP(TOPIC, 0), row, rejected, False) for row in rows]
    assert max(len(msgspec.json.encode(letter)) for letter in letters) < 2 << 20
    long, wide, whole = (content(pair, letter) for letter in letters)
    assert records[0][0] is not None
    assert (long.key, long.key_cut) == (records[0][0][:KEY_BYTES_MAX], cut(records[0][0]))
    assert long.headers == ()
    assert long.headers_cut == msgspec.structs.replace(cut(rows[0].headers), count=2)
    assert wide.headers == ((control, "\ufffd"),) * len(wide.headers)
    assert wide.headers_cut == msgspec.structs.replace(cut(rows[1].headers), count=many)
    assert (whole.key_cut, whole.headers_cut) == (None, None)
    assert [is_whole(one) for one in (long, wide, whole)] == [False, False, True]


def cut(whole: bytes) -> Cut:
    return Cut(size_bytes=len(whole), sha256=hashlib.sha256(whole).hexdigest())
