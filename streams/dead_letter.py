"""The dead letter of a record that could not be read: whole enough to be tried again."""

import base64
import hashlib

from domain.outputs import DeadLetter
from domain.reject import Reason, Rejected
from streams.transport.chunk import Chunk

PAYLOAD_BYTES_MAX = 1 << 20


def dead_letter_of(chunk: Chunk, i: int, rejected: Rejected) -> DeadLetter:
    """What `dlq.v1` gets for record i of the chunk."""
    key, value = chunk.key(i), chunk.value(i) or b""
    kept = b"" if rejected.reason is Reason.CREDENTIALS else value[:PAYLOAD_BYTES_MAX]
    return DeadLetter(
        topic=chunk.topic,
        partition=chunk.partition,
        offset=int(chunk.offset[i]),
        reason=rejected.reason,
        field=rejected.field,
        detail=rejected.detail,
        key_base64=None if key is None else base64.b64encode(key).decode(),
        headers=[(name, (text or b"").decode(errors="replace")) for name, text in chunk.headers(i)],
        payload_sha256=hashlib.sha256(value).hexdigest(),
        payload_bytes=len(value),
        payload_base64=base64.b64encode(kept).decode(),
    )
