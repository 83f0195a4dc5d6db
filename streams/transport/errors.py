"""Errors of the transport, each with topic, partition and offset."""

from __future__ import annotations

import struct
from enum import StrEnum

import google_crc32c

_AFTER_LENGTH = 12  # bytes before those that a batch's length counts
OFFSET_MAX = 2**63 - 1  # which no record has: the position behind it would be none


class Reason(StrEnum):
    """The reasons why a batch cannot be read.

    The values stand in records and metrics, so their meaning never changes.
    """

    BATCH_LENGTH = "batch_length"
    MESSAGE_FORMAT = "message_format"
    CHECKSUM = "checksum"
    BATCH_OFFSETS = "batch_offsets"
    CODEC = "codec"
    COMPRESSION = "compression"
    DECOMPRESSED_TOO_LARGE = "decompressed_too_large"
    RECORD_COUNT = "record_count"
    RECORD_LENGTH = "record_length"
    VARINT = "varint"
    OFFSET_DELTA = "offset_delta"
    KEY_LENGTH = "key_length"
    VALUE_LENGTH = "value_length"
    HEADERS = "headers"
    RECORD_SIZE = "record_size"
    TRAILING_BYTES = "trailing_bytes"
    CONTROL_RECORD = "control_record"


DETAILS = {
    Reason.BATCH_LENGTH: "the batch's length is less than its header",
    Reason.MESSAGE_FORMAT: "the message format is not 2, the one since Kafka 0.11",
    Reason.CHECKSUM: "wrong CRC-32C",
    Reason.BATCH_OFFSETS: "the batch's offsets do not follow those before it, or end before the offset asked for",
    Reason.CODEC: "unknown compression codec",
    Reason.COMPRESSION: "cannot be decompressed",
    Reason.DECOMPRESSED_TOO_LARGE: "takes more memory than unpacked_bytes_max",
    Reason.RECORD_COUNT: "the count of records is negative or more than the batch can hold",
    Reason.RECORD_LENGTH: "the length of a record is less than 1 or passes the batch's end",
    Reason.VARINT: "a varint passes the end of its record, or is too long",
    Reason.OFFSET_DELTA: "offsets of records do not rise, or pass the batch's last",
    Reason.KEY_LENGTH: "the length of a key passes the record's end",
    Reason.VALUE_LENGTH: "the length of a value passes the record's end",
    Reason.HEADERS: "the count of headers is negative, or a length in them is wrong",
    Reason.RECORD_SIZE: "the length of a record does not match its fields",
    Reason.TRAILING_BYTES: "bytes are left after the last record",
    Reason.CONTROL_RECORD: "the key of a control record is no version and type",
}
"""A sentence for each reason; an error may add to it."""


class BatchError(Exception):
    """Fetched bytes cannot be read. Nothing of them was delivered, and the position stays before them."""

    def __init__(self, topic: str, partition: int, offset: int, detail: str) -> None:
        self.topic, self.partition, self.offset, self.detail = topic, partition, offset, detail
        super().__init__(f"{topic}[{partition}] at offset {offset}: {detail}")


class UnreadableBatch(BatchError):
    """The batch that holds the offset asked for, or the next one after it, cannot be read.

    `offset` is the first offset that is wanted and cannot be read; `next_offset` the first one after the batch, by its
    header, or None where that cannot be trusted. `raw` is the batch as fetched (everything from it on, where its length
    cannot be trusted), `crc` the CRC-32C of `raw`.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        *,
        next_offset: int | None,
        reason: Reason,
        detail: str,
        raw: bytes,
        crc: int,
    ) -> None:
        self.next_offset, self.reason, self.raw, self.crc = next_offset, reason, raw, crc
        super().__init__(topic, partition, offset, detail)

    def __str__(self) -> str:
        return f"{super().__str__()} ({self.reason}; {len(self.raw)} bytes, CRC-32C {self.crc:08x})"


class BatchTooLarge(BatchError):
    """A fetch of the configured size does not hold one whole batch."""

    def __init__(self, topic: str, partition: int, offset: int, fetched_bytes: int) -> None:
        super().__init__(
            topic,
            partition,
            offset,
            f"the record batch is larger than the {fetched_bytes} bytes fetched; "
            "set fetch_bytes above the broker's max.message.bytes",
        )


def unreadable(
    raw: bytes | memoryview, topic: str, partition: int, start_offset: int, reason: Reason, detail: str
) -> UnreadableBatch:
    """Return the error for the batch at the start of `raw`, the first that holds `start_offset` or a later offset."""
    base, length = struct.unpack_from(">qi", raw)
    is_length_known = reason != Reason.BATCH_LENGTH
    next_offset = _next_offset(raw, base) if is_length_known else None
    if next_offset is None or not start_offset < next_offset <= OFFSET_MAX:
        base, next_offset = start_offset, None
    batch = bytes(raw[: _AFTER_LENGTH + length] if is_length_known else raw)
    return UnreadableBatch(
        topic,
        partition,
        max(base, start_offset),
        next_offset=next_offset,
        reason=reason,
        detail=f"{DETAILS[reason]}: {detail}" if detail else DETAILS[reason],
        raw=batch,
        crc=google_crc32c.value(batch),
    )


def _next_offset(raw: bytes | memoryview, base: int) -> int | None:
    """Return the first offset after the batch, None where its header does not say.

    Formats 0 and 1 name their last offset.
    """
    magic = raw[16]
    if magic > 2:
        return None
    if magic < 2:
        return base + 1
    last_delta = int(struct.unpack_from(">i", raw, 23)[0])
    return base + last_delta + 1 if last_delta >= 0 else None


class MissingTopic(Exception):
    """The broker has no such topic, or this principal may not see it."""

    def __init__(self, topics: set[str]) -> None:
        self.topics = topics
        super().__init__(
            f"the broker shows no topic {', '.join(sorted(topics))}: create it first, or grant access to it"
        )


class OffsetOutsideLog(Exception):
    """The offset to start or go on from is not in the log. It is never reset silently."""

    def __init__(self, topic: str, partition: int, stored_offset: int, log_start: int, log_end: int) -> None:
        self.topic, self.partition, self.stored_offset = topic, partition, stored_offset
        self.log_start, self.log_end = log_start, log_end
        why = "retention has passed it" if stored_offset < log_start else "the log ends before it"
        super().__init__(
            f"{topic}[{partition}]: stored offset {stored_offset} is outside the log, which starts at {log_start} "
            f"and ends at {log_end}: {why}"
        )
