"""A Faust transport that delivers one message per (partition, fetch)."""

from streams.transport.aiokafka_seam import Unreadable
from streams.transport.chunk import Chunk, chunk_of
from streams.transport.driver import Listener, Transport, TransportOptions
from streams.transport.errors import BatchError, BatchTooLarge, MissingTopic, OffsetOutsideLog, Reason, UnreadableBatch

__all__ = [
    "BatchError",
    "BatchTooLarge",
    "Chunk",
    "Listener",
    "MissingTopic",
    "OffsetOutsideLog",
    "Reason",
    "Transport",
    "TransportOptions",
    "Unreadable",
    "UnreadableBatch",
    "chunk_of",
]
