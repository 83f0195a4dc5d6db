"""Kafka and Redis as child parts, from packages alone: the real servers over real sockets, for demo, tests and CI."""

from streams.embedded.children import Child, ChildFailed, eventually
from streams.embedded.jars import JarRefused
from streams.embedded.kafka import Kafka
from streams.embedded.parts import Parts, StateDirectoryBusy
from streams.embedded.redis import RedisServer

__all__ = ["Child", "ChildFailed", "JarRefused", "Kafka", "Parts", "RedisServer", "StateDirectoryBusy", "eventually"]
