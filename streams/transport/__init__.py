"""A Faust transport that delivers one message per (partition, fetch)."""

from streams.transport.chunk import Chunk, chunk_of
from streams.transport.driver import Listener, Transport, TransportOptions
from streams.transport.errors import (
    BatchError,
    BatchTooLarge,
    CorruptBatch,
    MissingTopic,
    OffsetOutsideLog,
    UnsupportedMagic,
)

__all__ = [
    "BatchError",
    "BatchTooLarge",
    "Chunk",
    "CorruptBatch",
    "Listener",
    "MissingTopic",
    "OffsetOutsideLog",
    "Transport",
    "TransportOptions",
    "UnsupportedMagic",
    "chunk_of",
]
