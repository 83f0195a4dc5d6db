"""Records that are not applied, as values of `dlq.v1` and `late.v1`.

What a bank, the gateway or an operator sent is kept sealed, complete enough to be tried again. A record of our own
topics stands there, and is not copied.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from config.credentials import forbidden
from domain import topics
from domain.events import HEADERS_BYTES_MAX
from domain.outputs import Cut, DeadLetter, EventName, Refused
from domain.reject import Reason, Rejected, shown_name, without_values
from sinks.kafka import MarkedOutbox
from streams.seal import Sealer, place_of
from streams.transport.chunk import Chunk, Row, cached_by_headers, first_headers, read_varint
from streams.worker.role import TP

# What is kept of a record. In base64, and with three bytes for a byte of a header that is not UTF-8, it stays below
# 2 MiB: dlq.v1 takes 8 MiB.
PAYLOAD_BYTES_MAX = 1024 * 1024
KEY_BYTES_MAX = 64 * 1024
_NAMED = (Reason.CONFLICT, Reason.LATE)  # records of the log that were read


class _Named(msgspec.Struct):
    event: EventName


_decode_name = msgspec.json.Decoder(_Named).decode
_pack = msgspec.msgpack.Encoder().encode


def unreadable(error: ValueError | RecursionError) -> Rejected:
    """Return the refusal for a record that its decoder refused with `error`."""
    wrong_type = isinstance(error, msgspec.ValidationError) or not isinstance(
        error, msgspec.DecodeError | UnicodeDecodeError | RecursionError
    )
    reason = Reason.WRONG_TYPE if wrong_type else Reason.NOT_JSON
    return Rejected(reason=reason, detail=without_values(str(error)))


def to_dead_letters(chunk: Chunk, which: Sequence[int], rejected: Sequence[Rejected]) -> list[DeadLetter]:
    """Return the dead letters of the records `which` of a chunk of our own topics: where each stands."""
    tp, rows = TP(chunk.topic, chunk.partition), chunk.rows(which)
    return [_to_dead_letter(tp, row, why) for row, why in zip(rows, rejected, strict=True)]


def to_sealed_letter(sealer: Sealer, tp: TP, row: Row, rejected: Rejected, holds_secret: bool) -> DeadLetter:
    """Return the dead letter of a record that was sent to us, with the record sealed.

    Key, headers and payload are cut where they are too long, and marked as cut. None of them is kept where it holds a
    secret, or looks as if it did. holds_secret: whether the payload does.
    """
    whole, key = row.value or b"", row.key
    is_kept = not holds_secret and rejected.reason is not Reason.CREDENTIALS
    is_key_kept = key is not None and not forbidden().seen_in(key[:KEY_BYTES_MAX])
    headers = _headers(row.headers)
    record = Refused(
        key=key[:KEY_BYTES_MAX] if key is not None and is_key_kept else None,
        key_cut=None if key is None or (is_key_kept and len(key) <= KEY_BYTES_MAX) else _cut(key),
        headers=headers or (),
        headers_cut=None
        if headers is not None and len(row.headers) <= HEADERS_BYTES_MAX
        else _cut_headers(row.headers),
        payload_sha256=hashlib.sha256(whole).hexdigest(),
        payload=whole[:PAYLOAD_BYTES_MAX] if is_kept else b"",
    )
    sealed = sealer.seal(_pack(record), place_of(tp.topic, tp.partition, row.offset))
    return msgspec.structs.replace(_to_dead_letter(tp, row, rejected), sealed=sealed)


def _to_dead_letter(tp: TP, row: Row, rejected: Rejected) -> DeadLetter:
    value = row.value or b""
    return DeadLetter(
        topic=tp.topic,
        partition=tp.partition,
        offset=row.offset,
        reason=rejected.reason,
        field=shown_name(rejected.field),
        detail=rejected.detail,
        event=name_of(value) if rejected.reason in _NAMED else None,
        payload_bytes=len(value),
    )


def name_of(value: bytes) -> EventName:
    """Return the event in a record of `events.v1` that was read before. Raise msgspec's errors where it has none."""
    return _decode_name(value).event


def payload_of(record: Refused) -> bytes | None:
    """Return the payload as it came; None where not all of it is held."""
    return record.payload if hashlib.sha256(record.payload).hexdigest() == record.payload_sha256 else None


def is_whole(record: Refused) -> bool:
    """Return whether key, headers and payload are held as they came: then the record can be sent again."""
    return record.key_cut is None and record.headers_cut is None and payload_of(record) is not None


@cached_by_headers
def _headers(raw: bytes) -> tuple[tuple[str, str], ...] | None:
    """Return the headers within HEADERS_BYTES_MAX, with U+FFFD for bytes that are not UTF-8.

    None: they hold a secret.
    """
    kept = first_headers(raw, HEADERS_BYTES_MAX)
    if forbidden().seen_in_headers(kept):
        return None
    return tuple((name, (value or b"").decode("utf-8", "replace")) for name, value in kept)


def _cut(whole: bytes) -> Cut:
    return Cut(size_bytes=len(whole), sha256=hashlib.sha256(whole).hexdigest())


def _cut_headers(raw: bytes) -> Cut:
    return Cut(size_bytes=len(raw), sha256=hashlib.sha256(raw).hexdigest(), count=read_varint(raw, 0)[0])


def dead_letter(outbox: MarkedOutbox, chunk: Chunk, i: int, rejected: Rejected) -> None:
    """Send record i of a chunk of our own topics to `dlq.v1`.

    The outbox's lane is the partition it came from, the mark its offset.
    """
    (letter,) = to_dead_letters(chunk, [i], [rejected])
    lane, key = TP(chunk.topic, chunk.partition), chunk.topic.encode()
    outbox.send_marked(topics.DEAD_LETTERS, msgspec.json.encode(letter), key=key, lane=lane, mark=letter.offset)
