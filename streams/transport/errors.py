"""What the transport refuses, by the name of topic, partition and offset. Each of them stops the worker."""

from __future__ import annotations


class BatchError(Exception):
    """A record batch that cannot be read. Nothing of it was delivered, and the position stays before it."""

    def __init__(self, topic: str, partition: int, base_offset: int, reason: str) -> None:
        self.topic, self.partition, self.base_offset, self.reason = topic, partition, base_offset, reason
        super().__init__(f"{topic}[{partition}] at offset {base_offset}: {reason}")


class CorruptBatch(BatchError):
    """The checksum, a length or a varint of the batch is wrong."""


class UnsupportedMagic(BatchError):
    """The batch is not in format 2, the one since Kafka 0.11."""

    def __init__(self, topic: str, partition: int, base_offset: int, magic: int) -> None:
        self.magic = magic
        super().__init__(topic, partition, base_offset, f"record format magic {magic} is not supported, only 2")


class BatchTooLarge(BatchError):
    """A fetch of the configured size does not hold one whole batch."""

    def __init__(self, topic: str, partition: int, base_offset: int, fetched_bytes: int) -> None:
        super().__init__(
            topic,
            partition,
            base_offset,
            f"the record batch is larger than the {fetched_bytes} bytes fetched; "
            "set fetch_bytes above the broker's max.message.bytes",
        )


class MissingTopic(Exception):
    """The broker has no such topic, or this principal may not see it."""

    def __init__(self, topics: set[str]) -> None:
        self.topics = topics
        super().__init__(
            f"the broker shows no topic {', '.join(sorted(topics))}: create it first, or grant access to it"
        )


class OffsetOutsideLog(Exception):
    """The offset to start or go on from is not in the log: never reset in silence."""

    def __init__(self, topic: str, partition: int, stored_offset: int, log_start: int, log_end: int) -> None:
        self.topic, self.partition, self.stored_offset = topic, partition, stored_offset
        self.log_start, self.log_end = log_start, log_end
        why = "retention has passed it" if stored_offset < log_start else "the log ends before it"
        super().__init__(
            f"{topic}[{partition}]: stored offset {stored_offset} is outside the log, which starts at {log_start} "
            f"and ends at {log_end}: {why}"
        )
