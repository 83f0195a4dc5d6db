"""The Faust side of a worker: an app without web server, tables or topics of its own, and its one agent."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust
from faust.app.base import BootStrategy
from faust.events import Event
from faust.tables import TableManager
from faust.types import TP, Message

from streams.transport import Chunk, Listener, TransportOptions, Unreadable

Apply = Callable[[Sequence[tuple[TP, Chunk | Unreadable]]], Awaitable[None]]


class ChunkTopic(faust.Topic):
    """A topic whose messages are chunks already, so that nothing is decoded."""

    def _compile_decode(self) -> None:
        self.decode = types.MethodType(_pass_through, self)


async def _pass_through(self: ChunkTopic, message: Message, *, propagate: bool = False) -> Event:
    return Event(self.app, None, message.value, [], message)


class ConsumerOnly(BootStrategy):
    """Starts no web server, which would listen on every address without authentication, nor Faust's producer."""

    enable_web = False
    enable_kafka_producer = False


class NoTables(TableManager):
    """A table manager without tables. Faust resumes the flow after a rebalance through it."""

    async def on_start(self) -> None:
        """Start as Faust's does, without its pause of a second in which tables could register."""
        await self._update_channels()
        await self.recovery.start()


class ChunkApp(faust.App):
    """A Faust app on the xinliu transport."""

    BootStrategy = ConsumerOnly

    def __init__(self, group: str, *, listener: Listener, transport_options: TransportOptions, **options: Any) -> None:
        self.listener, self.transport_options = listener, transport_options
        super().__init__(
            group,
            Topic=ChunkTopic,
            TableManager=NoTables,
            key_serializer="raw",
            value_serializer="raw",
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            stream_wait_empty=False,
            **options,
        )

    def _create_directories(self) -> None:
        """Create none: there are no tables to keep."""


def add_agent(app: ChunkApp, name: str, topics: tuple[str, ...], apply: Apply) -> None:
    """Add one agent over all topics of a role. Chunks of a partition come in order, one at a time."""

    async def apply_chunks(stream: faust.StreamT[Sequence[tuple[TP, Chunk | Unreadable]]]) -> None:
        async for event in stream.events():
            await apply(event.value)

    app.agent(app.topic(*topics, key_type=None, value_type=None), name=name)(apply_chunks)
