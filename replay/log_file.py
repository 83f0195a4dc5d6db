"""A recorded `events.v1`: one file that holds every record of it, and the artefacts that its control records name.

gzip of JSON lines (`zcat` shows them): a head, the artefacts, the records in the order of offsets within each
partition, and an end that says how many lines came before it, so that a file cut short is known as one. Keys and values
are base64: a log may hold anything.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from config.settings import Bank, Settings
from domain import topics
from replay.reading import Read, read_topics
from replay.sources import SourceError
from replay.state import whole
from streams.score.version import engine_version

ARTEFACTS = (topics.MODEL, topics.ARTEFACT)
_encode = msgspec.json.Encoder().encode


class Head(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="head"):
    """The head of a recording."""

    format: Literal["xinliu.log/1"] = "xinliu.log/1"
    engine_version: str
    """Of whoever recorded it: under another one, other outputs may follow."""
    partitions: int
    banks: tuple[Bank, ...]


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="record", omit_defaults=True):
    """One record of `events.v1`, or an artefact."""

    topic: str = topics.EVENTS
    partition: int = 0
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class End(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="end"):
    """The last line. `records`: of them, artefacts included."""

    records: int


_decode = msgspec.json.Decoder(Head | Record | End).decode


def record_log(settings: Settings, path: Path) -> int:
    """Write what `events.v1` and the topics of artefacts hold now; how many records. ReadingFailed, KafkaException.

    The file is its owner's alone: every transaction is in it.
    """
    kafka = settings.kafka
    head = Head(engine_version=engine_version(), partitions=kafka.log_partitions, banks=settings.banks)
    count = 0
    with whole(path, mode=0o600) as file, gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
        packed.write(_encode(head) + b"\n")
        for names in (ARTEFACTS, (topics.EVENTS,)):  # what a record names stands before it
            for read in read_topics(kafka, names):
                packed.write(_encode(_record(read)) + b"\n")
                count += 1
        packed.write(_encode(End(records=count)) + b"\n")
    return count


def _record(read: Read) -> Record:
    return Record(
        topic=read.topic,
        partition=read.partition,
        offset=read.offset,
        key=read.key,
        value=read.value,
        headers=tuple(read.headers),
    )


class LogFile:
    """A recording that was opened; SourceError where it is none, or not whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        first = next(self._lines(), None)
        if first is None or not isinstance(first[1], Head):
            raise SourceError(f"{path}, line 1: no head of a recorded log; `xinliu replay log --record FILE` makes one")
        self.head = first[1]
        with path.open("rb") as file:
            self.identity = f"log {hashlib.file_digest(file, 'sha256').hexdigest()}"

    @property
    def name(self) -> str:
        """The name of the log."""
        return "log"

    @property
    def banks(self) -> tuple[Bank, ...]:
        """The banks whose alerts the log may give."""
        return self.head.banks

    def records(self) -> Iterator[Record]:
        """Yield all records, artefacts first; each call starts anew. SourceError names the line that is wrong."""
        count = 0
        for number, line in self._lines():
            if isinstance(line, Record):
                if line.topic == topics.EVENTS and not 0 <= line.partition < self.head.partitions:
                    said = f"partition {line.partition} of {self.head.partitions}"
                    raise SourceError(f"{self._path}, line {number}: {said}")
                count += 1
                yield line
            elif isinstance(line, End):
                if line.records != count:
                    raise SourceError(f"{self._path}, line {number}: {line.records} records said, {count} found")
                return
        raise SourceError(f"{self._path} was cut short after {count} records: its last line is missing")

    def _lines(self) -> Iterator[tuple[int, Head | Record | End]]:
        number = 0
        try:
            with gzip.open(self._path, "rb") as file:
                for number, text in enumerate(file, 1):
                    yield number, _decode(text)
        except msgspec.DecodeError as error:
            raise SourceError(f"{self._path}, line {number}: {error}") from error
        except (OSError, EOFError, zlib.error) as error:  # BadGzipFile is an OSError
            why = getattr(error, "strerror", None) or str(error)
            where = f"{self._path}, after line {number}" if number else str(self._path)
            raise SourceError(f"{where}: {why}") from error
