"""Records that are not applied, as values of `dlq.v1` and `late.v1`, complete enough to be tried again."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import msgspec

from config.credentials import forbidden
from domain import topics
from domain.credentials import Forbidden
from domain.events import HEADERS_BYTES_MAX
from domain.outputs import Cut, DeadLetter
from domain.reject import Reason, Rejected
from sinks.kafka import MarkedOutbox
from streams.transport.chunk import Chunk, Row, cached_by_headers, first_headers, read_varint
from streams.worker.role import TP

# What a letter keeps of a record. As JSON, where a byte of a header takes up to six and of the others four thirds, they
# stay below 2 MiB together: dlq.v1 takes 8 MiB.
PAYLOAD_BYTES_MAX = 1024 * 1024
KEY_BYTES_MAX = 64 * 1024


def unreadable(error: ValueError) -> Rejected:
    """Return the refusal for a record that its decoder refused with `error`."""
    wrong_type = isinstance(error, msgspec.ValidationError) or not isinstance(
        error, msgspec.DecodeError | UnicodeDecodeError
    )
    return Rejected(reason=Reason.WRONG_TYPE if wrong_type else Reason.NOT_JSON, detail=str(error)[:500])


def to_dead_letters(
    chunk: Chunk, which: Sequence[int], rejected: Sequence[Rejected], *, is_searched: bool = False
) -> list[DeadLetter]:
    """Return the dead letters of the records `which` of a chunk of our own topics.

    is_searched: as `domain.credentials.Forbidden.seen_in` has it.
    """
    tp, forbidden, rows = TP(chunk.topic, chunk.partition), _forbidden(), chunk.rows(which)
    kept = [(row.value or b"")[:PAYLOAD_BYTES_MAX] for row in rows]
    found = [forbidden.seen_in(payload, is_searched=is_searched) for payload in kept]
    return [to_dead_letter(tp, *one) for one in zip(rows, rejected, found, strict=True)]


def to_dead_letter(tp: TP, row: Row, rejected: Rejected, holds_secret: bool) -> DeadLetter:
    """Return the dead letter of one record.

    Key, headers and payload are cut where they are too long, and marked as cut. holds_secret: whether what is kept of
    the payload holds a secret, or looks as if it did. Then, and where the record is refused for that, its hash alone is
    kept.
    """
    whole, key = row.value or b"", row.key
    is_kept = not holds_secret and rejected.reason is not Reason.CREDENTIALS
    return DeadLetter(
        topic=tp.topic,
        partition=tp.partition,
        offset=row.offset,
        reason=rejected.reason,
        field=rejected.field,
        detail=rejected.detail,
        key=key if key is None else key[:KEY_BYTES_MAX],
        key_cut=None if key is None or len(key) <= KEY_BYTES_MAX else _cut(key),
        headers=_headers_as_text(row.headers),
        headers_cut=None if len(row.headers) <= HEADERS_BYTES_MAX else _cut_headers(row.headers),
        payload_sha256=hashlib.sha256(whole).hexdigest(),
        payload_bytes=len(whole),
        payload=whole[:PAYLOAD_BYTES_MAX] if is_kept else b"",
    )


def payload_of(letter: DeadLetter) -> bytes | None:
    """Return the payload as it came; None where the dead letter does not hold all of it."""
    return letter.payload if hashlib.sha256(letter.payload).hexdigest() == letter.payload_sha256 else None


def is_whole(letter: DeadLetter) -> bool:
    """Return whether key, headers and payload are held as they came: then the record can be sent again."""
    return letter.key_cut is None and letter.headers_cut is None and payload_of(letter) is not None


@cached_by_headers
def _headers_as_text(raw: bytes) -> tuple[tuple[str, str], ...]:
    """Return the headers within HEADERS_BYTES_MAX, with U+FFFD for bytes that are not UTF-8."""
    kept = first_headers(raw, HEADERS_BYTES_MAX)
    return tuple((name, (value or b"").decode("utf-8", "replace")) for name, value in kept)


def _cut(whole: bytes) -> Cut:
    return Cut(size_bytes=len(whole), sha256=hashlib.sha256(whole).hexdigest())


def _cut_headers(raw: bytes) -> Cut:
    return Cut(size_bytes=len(raw), sha256=hashlib.sha256(raw).hexdigest(), count=read_varint(raw, 0)[0])


def dead_letter(outbox: MarkedOutbox, chunk: Chunk, i: int, rejected: Rejected) -> None:
    """Send record i of the chunk to `dlq.v1`; the outbox's lane is the partition it came from, the mark its offset."""
    (letter,) = to_dead_letters(chunk, [i], [rejected])
    lane = TP(chunk.topic, chunk.partition)
    outbox.send_marked(topics.DEAD_LETTERS, msgspec.json.encode(letter), key=letter.key, lane=lane, mark=letter.offset)


@cache
def _forbidden() -> Forbidden:
    """Return the forbidden names, but for `fingerprint`.

    Our own records have a field of this name, a hash of the event.
    """
    return replace(forbidden(), parts=tuple(part for part in forbidden().parts if part != "fingerprint"))
