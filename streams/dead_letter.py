"""Records that are not applied, as values of `dlq.v1` and `late.v1`: whole enough to be tried again."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache

import msgspec

from config.credentials import forbidden
from domain import topics
from domain.credentials import Forbidden
from domain.outputs import DeadLetter
from domain.reject import Reason, Rejected
from sinks.kafka import MarkedOutbox
from streams.role import TP
from streams.transport.chunk import HEADERS_CACHED_MAX, Chunk, Row, read_headers

PAYLOAD_BYTES_MAX = 1024 * 1024


def unreadable(error: ValueError) -> Rejected:
    """Why a decoder refused a record."""
    wrong_type = isinstance(error, msgspec.ValidationError) or not isinstance(
        error, msgspec.DecodeError | UnicodeDecodeError
    )
    return Rejected(reason=Reason.WRONG_TYPE if wrong_type else Reason.NOT_JSON, detail=str(error)[:500])


def letters_of(
    chunk: Chunk, which: Sequence[int], rejected: Sequence[Rejected], *, is_searched: bool = False
) -> list[DeadLetter]:
    """The dead letters of some records of a chunk of ours. is_searched: as `Forbidden.seen_in` has it."""
    tp, forbidden, rows = TP(chunk.topic, chunk.partition), _forbidden(), chunk.rows(which)
    found = [forbidden.seen_in(row.value or b"", is_searched=is_searched) for row in rows]
    return [letter_of(tp, *one) for one in zip(rows, rejected, found, strict=True)]


def letter_of(tp: TP, row: Row, rejected: Rejected, holds_secret: bool) -> DeadLetter:
    """The dead letter of one record.

    holds_secret: the payload does, or looks as if it did; then, as where it is refused for that, its hash alone stands
    for it.
    """
    whole = row.value or b""
    is_kept = not holds_secret and rejected.reason is not Reason.CREDENTIALS
    return DeadLetter(
        topic=tp.topic,
        partition=tp.partition,
        offset=row.offset,
        reason=rejected.reason,
        field=rejected.field,
        detail=rejected.detail,
        key=row.key,
        headers=_headers_as_text(row.headers),
        payload_sha256=hashlib.sha256(whole).hexdigest(),
        payload_bytes=len(whole),
        payload=whole[:PAYLOAD_BYTES_MAX] if is_kept else b"",
    )


def payload_of(letter: DeadLetter) -> bytes | None:
    """The payload as it came; None where the dead letter does not hold all of it."""
    return letter.payload if hashlib.sha256(letter.payload).hexdigest() == letter.payload_sha256 else None


@lru_cache(HEADERS_CACHED_MAX)
def _headers_as_text(raw: bytes) -> tuple[tuple[str, str], ...]:
    """Values that are not UTF-8 have U+FFFD where they are not."""
    return tuple((name, (value or b"").decode("utf-8", "replace")) for name, value in read_headers(raw))


def send_dead_letter(outbox: MarkedOutbox, chunk: Chunk, i: int, rejected: Rejected) -> None:
    """Send record i of the chunk to `dlq.v1`; the outbox's lane is the partition it came from, the mark its offset."""
    (letter,) = letters_of(chunk, [i], [rejected])
    lane = TP(chunk.topic, chunk.partition)
    outbox.send_marked(topics.DEAD_LETTERS, msgspec.json.encode(letter), key=letter.key, lane=lane, mark=letter.offset)


@cache
def _forbidden() -> Forbidden:
    """As listed, but for `fingerprint`: our own records have a field of this name, a hash of what the bank sent."""
    return replace(forbidden(), parts=tuple(part for part in forbidden().parts if part != "fingerprint"))
