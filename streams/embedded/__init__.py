"""Kafka and Redis as child parts, from packages alone: the real servers over real sockets, for demo, tests and CI."""

from streams.embedded.children import Child, ChildFailed, PartMissing, eventually
from streams.embedded.jars import JarRefused
from streams.embedded.kafka import Kafka
from streams.embedded.parts import Parts, StateDirectoryBusy
from streams.embedded.redis import RedisServer, StateUnreadable

__all__ = [
    "Child", "ChildFailed", "JarRefused", "Kafka", "PartMissing", "Parts", "RedisServer", "StateDirectoryBusy",
    "StateUnreadable", "eventually",
]  # fmt: skip
