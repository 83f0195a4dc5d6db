"""Records that are not applied, as values of `dlq.v1` and `late.v1`: whole enough to be tried again."""

import base64
import hashlib
from collections.abc import Sequence

from domain.credentials import Forbidden
from domain.outputs import DeadLetter
from domain.reject import Reason, Rejected

PAYLOAD_BYTES_MAX = 1024 * 1024


def dead_letter(
    rejected: Rejected,
    *,
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    payload: bytes | None,
    forbidden: Forbidden,
    is_searched: bool = False,
) -> DeadLetter:
    """The dead letter of the record at these coordinates.

    Header values are text (bytes that are not UTF-8 as U+FFFD), key and payload base64. A payload that holds, or looks
    as if it held, a secret is represented by its hash alone, whatever it was refused for. is_searched: as
    `Forbidden.seen_in` has it.
    """
    whole = payload or b""
    secret = rejected.reason is Reason.CREDENTIALS or forbidden.seen_in(whole, is_searched=is_searched)
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=offset,
        reason=rejected.reason.value,
        field=rejected.field,
        detail=rejected.detail,
        key_base64=None if key is None else _base64(key),
        headers=[(name, (value or b"").decode("utf-8", "replace")) for name, value in headers],
        payload_sha256=hashlib.sha256(whole).hexdigest(),
        payload_bytes=len(whole),
        payload_base64="" if secret else _base64(whole[:PAYLOAD_BYTES_MAX]),
    )


def payload_of(letter: DeadLetter) -> bytes | None:
    """The payload as it came; None where the dead letter does not hold all of it."""
    payload = base64.b64decode(letter.payload_base64)
    return payload if hashlib.sha256(payload).hexdigest() == letter.payload_sha256 else None


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
