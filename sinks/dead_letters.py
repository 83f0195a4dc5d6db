"""Records that are not applied, as values of `dlq.v1` and `late.v1`: whole enough to be tried again."""

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

    Header values are text (bytes that are not UTF-8 as U+FFFD). A payload that holds, or looks
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
        key=key,
        headers=[(name, (value or b"").decode("utf-8", "replace")) for name, value in headers],
        payload_sha256=hashlib.sha256(whole).hexdigest(),
        payload_bytes=len(whole),
        payload=b"" if secret else whole[:PAYLOAD_BYTES_MAX],
    )


def payload_of(letter: DeadLetter) -> bytes | None:
    """The payload as it came; None where the dead letter does not hold all of it."""
    return letter.payload if hashlib.sha256(letter.payload).hexdigest() == letter.payload_sha256 else None
