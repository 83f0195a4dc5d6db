"""The reference parser: the same chunk over aiokafka's own records, slower by far; of ours is only the copying."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import KafkaError
from aiokafka.record.memory_records import MemoryRecords

from streams.transport.chunk import OUTSIDE_A_GROUP, Chunk, ChunkBuilder
from streams.transport.errors import BatchTooLarge, CorruptBatch, UnsupportedMagic


def parse(
    raw: bytes | memoryview,
    *,
    topic: str,
    partition: int,
    start_offset: int,
    aborted: Sequence[tuple[int, int]] = (),
    generation: int = OUTSIDE_A_GROUP,
) -> Chunk:
    """As `streams.transport.batches.parse`, which it is the reference of."""
    raw = bytes(raw)
    _refuse_old_formats(raw, topic, partition)
    builder = ChunkBuilder(topic, partition, start_offset, generation=generation)
    records = PartitionRecords(
        TopicPartition(topic, partition), None, list(aborted), start_offset, None, None, True, READ_COMMITTED
    )
    try:
        records._records = MemoryRecords(raw)
        if not records._records.has_next():
            raise BatchTooLarge(topic, partition, start_offset, len(raw))
        for record in records:
            builder.add(
                record.offset, record.key, record.value, record.headers, record.timestamp, record.timestamp_type
            )
    except BatchTooLarge:
        raise
    except (KafkaError, ValueError) as error:
        raise CorruptBatch(topic, partition, _base_of(raw, records.next_fetch_offset), str(error)) from error
    except Exception as error:  # each codec has errors of its own
        raise CorruptBatch(topic, partition, _base_of(raw, records.next_fetch_offset), repr(error)) from error
    return builder.build(records.next_fetch_offset)


def _refuse_old_formats(raw: bytes, topic: str, partition: int) -> None:
    for base, magic in _whole_batches(raw):
        if magic != 2:
            raise UnsupportedMagic(topic, partition, base, magic)


def _base_of(raw: bytes, offset: int) -> int:
    """The base offset of the batch that `offset` is in."""
    return max((base for base, _ in _whole_batches(raw) if base <= offset), default=offset)


def _whole_batches(raw: bytes) -> Iterator[tuple[int, int]]:
    """(base offset, magic) of each batch that is not cut."""
    at = 0
    while at + 17 <= len(raw):
        base, length = struct.unpack_from(">qi", raw, at)
        if length < 5 or at + 12 + length > len(raw):
            return
        yield base, raw[at + 16]
        at += 12 + length
