"""Kafka and Redis as child parts, from packages alone: the real servers over real sockets, for demo, tests and CI."""

from embedded.children import Child, ChildFailed, PartMissing, eventually
from embedded.jars import JarRefused
from embedded.kafka import Kafka
from embedded.parts import Parts, StateDirectoryBusy
from embedded.redis import RedisServer, StateUnreadable

__all__ = [
    "Child", "ChildFailed", "JarRefused", "Kafka", "PartMissing", "Parts", "RedisServer", "StateDirectoryBusy",
    "StateUnreadable", "eventually",
]  # fmt: skip
