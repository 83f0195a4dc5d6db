"""Dead letters of our own topics hold their payload, so that it can be looked at, sent again, or admitted."""

import msgspec

from domain import topics
from domain.reject import Reason, Rejected
from streams.dead_letter import letters_of, payload_of
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import HEADERS, record, txn


def test_a_record_of_the_log_is_held_whole_and_one_with_a_secret_is_not() -> None:
    _, value, _, _ = record(txn("e1", "E1", 0))
    assert b'"fingerprint"' in value
    other = msgspec.json.encode({**msgspec.json.decode(value), "password": "hunter2"})
    chunk = chunk_of(topics.EVENTS, 0, 0, [(None, value, HEADERS, 0), (None, other, HEADERS, 0)])
    held, refused = letters_of(chunk, range(2), [Rejected(reason=Reason.LATE)] * 2)
    assert payload_of(held) == value
    assert payload_of(refused) is None
