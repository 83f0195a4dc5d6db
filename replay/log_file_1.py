"""Recordings of format 1, which are read and no longer written: gzip of JSON lines.

A head, the artefacts, the records in the order of offsets within each partition, and an end that says how many lines
came before it. Keys and values are base64.
"""

import gzip
import hashlib
import os
import tempfile
import zlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Literal

import msgspec

from config.settings import Bank
from domain import topics
from replay.log_writer import RECORDS_AT_ONCE, LogWriter, runs
from replay.sources import SourceError
from sinks.batch import Records


class Head(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="head"):
    """The head of a recording."""

    format: Literal["xinliu.log/1"] = "xinliu.log/1"
    engine_version: str
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


def identity(path: Path) -> str:
    """Return an identity that is equal for equal bytes."""
    with path.open("rb") as file:
        return f"log {hashlib.file_digest(file, 'sha256').hexdigest()}"


def converted(path: Path) -> Path:
    """Return a temporary file of today's format with the same content.

    Raise SourceError, with the line, where one is wrong.
    """
    handle, name = tempfile.mkstemp(prefix="xinliu-log-")
    os.close(handle)
    try:
        _convert(path, Path(name))
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _convert(path: Path, into: Path) -> None:
    lines = _lines(path)
    first = next(lines, None)
    if first is None or not isinstance(first[1], Head):
        raise SourceError(f"{path}, line 1: no head of a recorded log; `xinliu replay log --record FILE` makes one")
    head = first[1]
    with LogWriter(into, banks=head.banks, partitions=head.partitions, version=head.engine_version) as writer:
        for (topic, partition, headers), some in groupby(_records(path, head, lines), key=_kind):
            if topic != topics.EVENTS:
                for one in some:
                    writer.artefact(topic, one.key, one.value, one.offset, headers=headers)
                continue
            for run in runs(some, RECORDS_AT_ONCE):
                records = Records.of([(one.key, one.value) for one in run])
                writer.append(records, partition, headers=headers, offset=run[0].offset)


def _kind(record: Record) -> tuple[str, int, tuple[tuple[str, bytes | None], ...]]:
    return record.topic, record.partition, record.headers


def _records(path: Path, head: Head, lines: Iterator[tuple[int, Head | Record | End]]) -> Iterator[Record]:
    count, newest = 0, dict.fromkeys(range(head.partitions), -1)
    for number, line in lines:
        if isinstance(line, Record):
            if line.topic == topics.EVENTS:
                if line.partition not in newest:
                    said = f"partition {line.partition} of {head.partitions}"
                    raise SourceError(f"{path}, line {number}: {said}")
                if line.offset <= newest[line.partition]:
                    raise SourceError(f"{path}, line {number}: offset {line.offset} stands behind it")
                newest[line.partition] = line.offset
            count += 1
            yield line
        elif isinstance(line, End):
            if line.records != count:
                raise SourceError(f"{path}, line {number}: {line.records} records said, {count} found")
            return
    raise SourceError(f"{path} was cut short after {count} records: its last line is missing")


def _lines(path: Path) -> Iterator[tuple[int, Head | Record | End]]:
    number = 0
    try:
        with gzip.open(path, "rb") as file:
            for number, text in enumerate(file, 1):
                yield number, _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}, line {number}: {error}") from error
    except (OSError, EOFError, zlib.error) as error:  # BadGzipFile is an OSError
        why = getattr(error, "strerror", None) or str(error)
        where = f"{path}, after line {number}" if number else str(path)
        raise SourceError(f"{where}: {why}") from error
