"""A learner that publishes one candidate and is killed at a step, as a process of its own (test_publishing.py)."""

import asyncio
import os
import signal
import sys
from typing import Any

import msgspec

from config.settings import Settings
from domain import topics
from sinks.kafka import Outbox
from streams.learn import publishing
from streams.learn.requests import Requests
from tests.streams.learn.candidates import learned, observed


def die(*_: Any) -> Any:
    """End this process as the kernel would."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(settings: bytes, names: bytes, step: str) -> None:
    """Publish the first candidate, up to the step."""
    for name, topic in msgspec.json.decode(names, type=dict[str, str]).items():
        setattr(topics, name, topic)
    made = msgspec.json.decode(settings, type=Settings)
    if step == "before the bytes":
        publishing.publish = die
    if step == "after the bytes":
        publishing.Publisher._report = die  # type: ignore[method-assign]
    if step == "after the report":
        publishing.Publisher._activate = die  # type: ignore[method-assign]
    if step == "after the request":
        Requests.answered = die  # type: ignore[method-assign]

    async def story() -> None:
        publisher = publishing.Publisher(made, Outbox(made.kafka.bootstrap))
        await publisher.start()
        await publisher.publish(learned(1), observed(40))

    asyncio.run(story())
    if step == "after the answer":
        die()


if __name__ == "__main__":
    main(sys.argv[1].encode(), sys.argv[2].encode(), sys.argv[3])
