"""A data set through the engine on Kafka and Redis, and the log that it came to; the same log in process then compares.

What score says is a function of the log: the outputs of both must be the same bytes.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import Settings
from domain import topics
from replay.evaluation.report import Compared
from replay.evaluation.vectors import COMPARED
from replay.log_writer import record_log
from replay.outputs import Outputs
from replay.reading import read_topics
from replay.run import Replay, ReplayFailed
from replay.sources import Source
from replay.stack import Stack

Say = Callable[[str], None]
Sums = Mapping[tuple[int, str], str]  # SHA-256 by partition and topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The outputs of the engine on Kafka and Redis. messages: distinct ones by topic."""

    sums: Sums
    messages: dict[str, int]


def record(source: Source, stack: Stack, path: Path, say: Say, on_look: Callable[[Any], None]) -> Recorded:
    """Send a source through the workers of a running stack, and write the log that follows to `path`.

    What learn and the archive make of it is not waited for. Raise ReplayFailed where anything was refused or late,
    and what the replay raises.
    """
    replay = Replay(source, stack.settings, stack=stack, speed=None)
    try:
        replay.wait(on_look)
        stack.stop_workers()
    finally:
        replay.end()
    for letter in read_topics(stack.settings.kafka, [topics.DEAD_LETTERS, topics.LATE]):
        raise ReplayFailed(
            f"{source.name}: {letter.topic} holds {(letter.value or b'')[:300].decode(errors='replace')}"
        )
    return read_back(stack.settings, path, say)


def read_back(settings: Settings, path: Path, say: Say) -> Recorded:
    """Write `events.v1` to `path`, and return what stands in the topics of outputs."""
    say(f"{record_log(settings, path):,} records written to {path}")
    with Outputs(settings.kafka.log_partitions) as outputs:
        for read in read_topics(settings.kafka, COMPARED):
            outputs.hear(read.topic, read.key, read.value or b"")
        return Recorded(sums=outputs.sums(), messages=dict(outputs.counts()))


def compared(live: Recorded, in_process: Sums) -> Compared:
    """Return whether both said the same bytes."""
    different = [
        f"{topic}[{number}]"
        for number, topic in sorted({*live.sums, *in_process})
        if live.sums.get((number, topic)) != in_process.get((number, topic))
    ]
    return Compared(messages=dict(sorted(Counter(live.messages).items())), same=not different, different=different)
