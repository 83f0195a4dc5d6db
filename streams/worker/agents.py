"""The Faust side of a worker: an app without web server, tables or topics of its own, one agent applying chunks."""

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
    """A topic whose messages are chunks already: nothing to decode."""

    def _compile_decode(self) -> None:
        self.decode = types.MethodType(_pass_through, self)


async def _pass_through(self: ChunkTopic, message: Message, *, propagate: bool = False) -> Event:
    return Event(self.app, None, message.value, [], message)


class ConsumerOnly(BootStrategy):
    """No web server (it would listen on every address, without authentication) and no producer of Faust's own."""

    enable_web = False
    enable_kafka_producer = False


class NoTables(TableManager):
    """Faust resumes the flow after a rebalance by way of its tables. Without any, start need not wait."""

    async def on_start(self) -> None:
        """As Faust's, without its pause of a second in which tables could register."""
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
        """None: there are no tables to keep."""


def add_agent(app: ChunkApp, name: str, topics: tuple[str, ...], apply: Apply) -> None:
    """One agent over all topics of a role: chunks of a partition come in order, and one at a time."""

    async def apply_chunks(stream: faust.StreamT[Sequence[tuple[TP, Chunk | Unreadable]]]) -> None:
        async for event in stream.events():
            await apply(event.value)

    app.agent(app.topic(*topics, key_type=None, value_type=None), name=name)(apply_chunks)
