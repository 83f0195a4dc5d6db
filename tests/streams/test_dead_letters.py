"""Dead letters of our own topics keep their payload, for reading, sending again, or admission."""

import hashlib

import msgspec

from domain import topics
from domain.outputs import Cut
from domain.reject import Reason, Rejected
from streams.dead_letters import KEY_BYTES_MAX, PAYLOAD_BYTES_MAX, is_whole, payload_of, to_dead_letters
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import HEADERS, record, txn


def test_a_record_of_the_log_is_held_whole_and_one_with_a_secret_is_not() -> None:
    _, value, _, _ = record(txn("e1", "E1", 0))
    assert b'"fingerprint"' in value
    other = msgspec.json.encode({**msgspec.json.decode(value), "password": "hunter2"})
    chunk = chunk_of(topics.EVENTS, 0, 0, [(None, value, HEADERS, 0), (None, other, HEADERS, 0)])
    held, refused = to_dead_letters(chunk, range(2), [Rejected(reason=Reason.LATE)] * 2)
    assert payload_of(held) == value
    assert payload_of(refused) is None


def test_a_dead_letter_is_bounded_and_states_the_cut_bytes() -> None:
    """Dead letters of bytes that JSON makes six times as long, or of headers alone, are far below the limit."""
    control, many = "\x01", 100_000
    records = [
        (b"\xff" * (5 << 20), b"\xff" * (3 << 20), [(control * 30_000, b"\x01" * (9 << 20))] * 2, 0),
        (None, None, [(control, b"\x01")] * many, 0),
        (b"k" * KEY_BYTES_MAX, b"v" * PAYLOAD_BYTES_MAX, HEADERS, 0),
    ]
    chunk = chunk_of(topics.EVENTS, 0, 0, records)
    long, wide, whole = to_dead_letters(chunk, range(3), [Rejected(reason=Reason.OVERSIZED)] * 3)
    assert max(len(msgspec.json.encode(letter)) for letter in (long, wide, whole)) < 2 << 20
    assert (long.key, long.key_cut) == (records[0][0][:KEY_BYTES_MAX], cut(records[0][0]))
    assert long.headers == ()
    assert long.headers_cut == msgspec.structs.replace(cut(chunk.rows([0])[0].headers), count=2)
    assert wide.headers == ((control, control),) * len(wide.headers)
    assert wide.headers_cut == msgspec.structs.replace(cut(chunk.rows([1])[0].headers), count=many)
    assert (whole.key_cut, whole.headers_cut) == (None, None)
    assert [is_whole(letter) for letter in (long, wide, whole)] == [False, False, True]
    assert b"_cut" not in msgspec.json.encode(whole)


def test_a_secret_in_what_is_kept_of_a_cut_payload_is_seen() -> None:
    values = [
        b'{"password":"hunter2"}' + b" " * PAYLOAD_BYTES_MAX,
        b" " * PAYLOAD_BYTES_MAX + b'{"password":"hunter2"}',
    ]
    chunk = chunk_of(topics.EVENTS, 0, 0, [(None, value, HEADERS, 0) for value in values])
    with_it, without = to_dead_letters(chunk, range(2), [Rejected(reason=Reason.OVERSIZED)] * 2)
    assert (with_it.payload, without.payload) == (b"", b" " * PAYLOAD_BYTES_MAX)


def cut(whole: bytes) -> Cut:
    return Cut(size_bytes=len(whole), sha256=hashlib.sha256(whole).hexdigest())
