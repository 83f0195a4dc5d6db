"""What a reader of our own topics does with a record that it cannot read."""

from dataclasses import replace
from functools import cache

import msgspec

from config.credentials import forbidden
from domain import topics
from domain.credentials import Forbidden
from domain.outputs import DeadLetter
from domain.reject import Reason, Rejected
from sinks.dead_letters import dead_letter
from sinks.kafka import MarkedOutbox
from streams.role import TP
from streams.transport.chunk import Chunk


def unreadable(error: ValueError) -> Rejected:
    """Why a decoder refused a record."""
    wrong_type = isinstance(error, msgspec.ValidationError) or not isinstance(
        error, msgspec.DecodeError | UnicodeDecodeError
    )
    return Rejected(reason=Reason.WRONG_TYPE if wrong_type else Reason.NOT_JSON, detail=str(error)[:500])


def letter_of(chunk: Chunk, i: int, rejected: Rejected, *, is_searched: bool = False) -> DeadLetter:
    """The dead letter of record i of a chunk. is_searched: as `dead_letter` has it."""
    return dead_letter(
        rejected,
        topic=chunk.topic,
        partition=chunk.partition,
        offset=int(chunk.offset[i]),
        key=chunk.key(i),
        headers=chunk.headers(i),
        payload=chunk.value(i),
        forbidden=_forbidden(),
        is_searched=is_searched,
    )


def send_dead_letter(outbox: MarkedOutbox, chunk: Chunk, i: int, rejected: Rejected) -> None:
    """Send record i of the chunk to `dlq.v1`; the outbox's lane is the partition it came from, the mark its offset."""
    outbox.send_marked(
        topics.DEAD_LETTERS,
        msgspec.json.encode(letter_of(chunk, i, rejected)),
        key=chunk.key(i),
        lane=TP(chunk.topic, chunk.partition),
        mark=int(chunk.offset[i]),
    )


@cache
def _forbidden() -> Forbidden:
    """As listed, but for `fingerprint`: our own records have a field of this name, a hash of what the bank sent."""
    return replace(forbidden(), parts=tuple(part for part in forbidden().parts if part != "fingerprint"))
