"""A recorded `events.v1`: one file that holds every record of it, partition by partition, and the artefacts it names.

    head    one line of JSON (`head -n 1` shows it)
    frame   where its batch belongs (int32: a partition, or an artefact topic as ARTEFACTS numbers them), then a record
            batch as a broker holds it (format 2, streams/transport/compiled.py), usually packed with LZ4
    end     int32 END, then how many batches and records came before it (int64 each), and nothing behind it

All integers are big-endian. Batches of a partition stand in the order of their offsets, between those of others; so
whoever writes needs a batch a partition in memory, and whoever reads one partition reads its bytes alone. Files of
format 1 (replay/log_file_1.py) are read as well.
"""

import hashlib
import os
import struct
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from config.settings import Bank
from domain import topics
from domain.events import Control, LogRecord
from replay.sources import SourceError
from streams.score.version import engine_version
from streams.transport.batches import parse
from streams.transport.chunk import Chunk
from streams.transport.errors import BatchError

FORMAT: Literal["xinliu.log/2"] = "xinliu.log/2"
ARTEFACTS = {-1: topics.MODEL, -2: topics.ARTEFACT}
END = -(2**31)
PLACE, ENDING = struct.Struct(">i"), struct.Struct(">iqq")
GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES_MAX = 16 << 20
RECORDS_AT_ONCE = 32_000  # of a chunk, as of a worker's batch: the more of an enterprise come together, the better
BYTES_AT_ONCE = 5 << 20  # packed; unpacked, they still fit into memory that malloc keeps (streams/worker/process.py)
_BATCH_HEAD = struct.Struct(">qi4xbIhi30xi")  # base offset, length; magic, CRC, attributes, last offset delta; count
_decode = msgspec.json.Decoder(LogRecord).decode
_BATCH_OVERHEAD, _BATCH_HEAD_BYTES, _MAGIC = 12, 61, 2


class Head(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="head"):
    """The head of a recording."""

    format: Literal["xinliu.log/2"] = FORMAT
    engine_version: str
    """Of whoever recorded it: under another one, other outputs may follow."""
    partitions: int
    banks: tuple[Bank, ...]


class Record(NamedTuple):
    """One record of `events.v1`, or an artefact."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Batches(NamedTuple):
    """The places of the batches of a file, in its order. Shapes: (batches,).

    place: a partition or a key of ARTEFACTS; at, size: bytes, in the file and of the batch; base, end: offset of its
    first record, and behind its last; records: how many.
    """

    place: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    base: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    records: npt.NDArray[np.int64]

    def of(self, place: int) -> "Batches":
        """Those of one place."""
        return self.some(self.place == place)

    def some(self, which: slice | npt.NDArray[np.bool_]) -> "Batches":
        """Some of them."""
        return Batches(*(column[which] for column in self))


class LogFile:
    """A recording that was opened and is complete; other processes may use it.

    Raise SourceError where it is no recording, was cut short, or has an invalid batch. The checksum of a batch is
    checked when it is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = self._read = path
        with _named(path):
            if _begins(path) == GZIP_MAGIC:
                self._take_format_1()
            self.head, self._batches, identity = _survey(self._read)
            if self._read == path:
                self.identity = identity

    @property
    def name(self) -> str:
        """The name of the log."""
        return "log"

    @property
    def banks(self) -> tuple[Bank, ...]:
        """The banks whose alerts the log may give."""
        return self.head.banks

    def record_counts(self) -> dict[int, int]:
        """Records by partition."""
        batches = self._batches
        return {number: int(batches.records[batches.place == number].sum()) for number in range(self.head.partitions)}

    def first_offset(self, partition: int) -> int | None:
        """Return the offset of a partition's first record; None where there is none."""
        base = self._batches.of(partition).base
        return int(base[0]) if len(base) else None

    def artefacts(self) -> dict[str, bytes]:
        """Models and rules that control records may name, by their ids."""
        return {(one.key or b"").decode(errors="replace"): one.value or b"" for one in self._artefact_records()}

    def chunks(
        self, partition: int, records_at_once: int = RECORDS_AT_ONCE, *, as_recorded: bool = True
    ) -> Iterator[Chunk]:
        """Yield the records of a partition, many at a time; with offsets from 0 on unless `as_recorded`.

        Raise SourceError, with the batch, where one cannot be read.
        """
        offset = 0
        for some in _together(self._batches.of(partition), records_at_once):
            for chunk in self._parsed(topics.EVENTS, partition, some):
                if as_recorded:
                    yield chunk
                    continue
                next_offset = offset + len(chunk)
                offsets = np.arange(offset, next_offset, dtype=np.int64)
                yield replace(chunk, start_offset=offset, next_offset=next_offset, offset=offsets)
                offset = next_offset

    def controls(self, partition: int) -> Iterator[tuple[int, Control]]:
        """Yield the control records of a partition with their offsets; they have no key."""
        for chunk in self.chunks(partition):
            for i in np.flatnonzero(chunk.key_start < 0).tolist():
                with suppress(msgspec.DecodeError, UnicodeDecodeError):
                    if isinstance(event := _decode(chunk.value(i) or b"").event, Control):
                        yield int(chunk.offset[i]), event

    def records(self) -> Iterator[Record]:
        """Yield all records, artefacts first, then in the order of the file. Raise SourceError as `chunks` does."""
        yield from self._artefact_records()
        batches = self._batches
        for i in np.flatnonzero(batches.place >= 0).tolist():
            partition = int(batches.place[i])
            for chunk in self._parsed(topics.EVENTS, partition, batches.some(slice(i, i + 1))):
                yield from _records(chunk)

    def _artefact_records(self) -> Iterator[Record]:
        for place, topic in ARTEFACTS.items():
            for some in _together(self._batches.of(place), RECORDS_AT_ONCE):
                for chunk in self._parsed(topic, 0, some):
                    yield from _records(chunk)

    def _parsed(self, topic: str, partition: int, some: Batches) -> Iterator[Chunk]:
        """Yield the records of some batches: one chunk, or more where they take too much memory unpacked."""
        with _named(self.path), self._read.open("rb") as file:
            pieces = [
                os.pread(file.fileno(), size, at) for at, size in zip(some.at.tolist(), some.size.tolist(), strict=True)
            ]
        first = 0
        while first < len(pieces):
            start = int(some.base[first])
            try:
                chunk = parse(b"".join(pieces[first:]), topic=topic, partition=partition, start_offset=start)
            except BatchError as error:
                raise SourceError(f"{self.path}, byte {some.at[first]}: {error}") from error
            yield chunk
            first = int(np.searchsorted(some.base, chunk.next_offset)) if chunk.is_cut else len(pieces)

    def _take_format_1(self) -> None:
        """Read all of it into a file of this format, which goes when this object does."""
        from replay import log_file_1

        self.identity = log_file_1.identity(self.path)
        self._read = log_file_1.converted(self.path)
        weakref.finalize(self, self._read.unlink, missing_ok=True)


def encode_head(banks: Iterable[Bank], partitions: int, version: str | None = None) -> bytes:
    """Return the first line of a file. The engine version is this one's where none is given."""
    head = Head(engine_version=version or engine_version(), partitions=partitions, banks=tuple(banks))
    return msgspec.json.encode(head) + b"\n"


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(GZIP_MAGIC))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Raise errors of the file system on a file as SourceError."""
    try:
        yield
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error


def _survey(path: Path) -> tuple[Head, Batches, str]:
    """Return the head, the positions of all batches, and an identity.

    The identity depends on all bytes of the file, by the batches' checksums.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head, at = _read_head(path, file.readline(HEAD_BYTES_MAX))
        file.seek(max(at, size - ENDING.size))
        ending = file.read()
        place, batches_said, records_said = ENDING.unpack(ending) if len(ending) == ENDING.size else (0, 0, 0)
        if place != END:
            raise SourceError(f"{path} was cut short: at byte {size}, its end is missing")
        digest, rows = hashlib.sha256(msgspec.json.encode(head)), list[tuple[int, ...]]()
        expected = dict.fromkeys((*range(head.partitions), *ARTEFACTS), 0)
        end = size - ENDING.size
        while at < end:
            row, told = _look_at_batch(path, os.pread(file.fileno(), PLACE.size + _BATCH_HEAD_BYTES, at), at, end)
            place, _, length, base, next_offset, _ = row
            if place not in expected:
                raise SourceError(f"{path}, byte {at}: partition {place} of {head.partitions}")
            if base < expected[place]:
                raise SourceError(f"{path}, byte {at}: offset {base} of {_place_text(place)} stands behind it")
            expected[place] = next_offset
            digest.update(told)
            rows.append(row)
            at += PLACE.size + length
    columns = np.array(rows, np.int64).reshape(-1, len(Batches._fields))
    batches = Batches(*(np.ascontiguousarray(column) for column in columns.T))
    found = len(rows), int(batches.records.sum())
    if found != (batches_said, records_said):
        said = f"{batches_said} batches of {records_said} records said, {found[0]} of {found[1]} found"
        raise SourceError(f"{path}, byte {end}: {said}")
    return head, batches, f"log {digest.hexdigest()}"


def _look_at_batch(path: Path, told: bytes, at: int, end: int) -> tuple[tuple[int, ...], bytes]:
    """Return the row of `Batches` of the frame at `at`, and its head. The file's last batch ends at `end`."""
    if len(told) < PLACE.size + _BATCH_HEAD_BYTES or at + len(told) > end:
        raise SourceError(f"{path}, byte {at}: no whole batch before the end")
    (place,) = PLACE.unpack_from(told)
    base, length, magic, _, _, last_delta, count = _BATCH_HEAD.unpack_from(told, PLACE.size)
    size = _BATCH_OVERHEAD + length
    if magic != _MAGIC or size < _BATCH_HEAD_BYTES or at + PLACE.size + size > end or count < 0 or last_delta < 0:
        raise SourceError(f"{path}, byte {at}: no record batch (magic {magic}, {size} bytes, {count} records)")
    return (place, at + PLACE.size, size, base, base + last_delta + 1, count), told


def _read_head(path: Path, line: bytes) -> tuple[Head, int]:
    advice = "no head of a recorded log; `xinliu replay log --record FILE` makes one"
    if not line.endswith(b"\n"):
        raise SourceError(f"{path}, line 1: {advice}")
    try:
        return msgspec.json.decode(line, type=Head), len(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}, line 1: {advice} ({error})") from error


def _place_text(place: int) -> str:
    return ARTEFACTS.get(place, f"{topics.EVENTS}[{place}]")


def _together(batches: Batches, records_at_once: int) -> Iterator[Batches]:
    """Yield the batches of one place, some at a time, to be parsed as one chunk."""
    first, records, size = 0, 0, 0
    for i in range(len(batches.at)):
        records, size = records + int(batches.records[i]), size + int(batches.size[i])
        if i + 1 == len(batches.at) or records >= records_at_once or size >= BYTES_AT_ONCE:
            yield batches.some(slice(first, i + 1))
            first, records, size = i + 1, 0, 0


def _records(chunk: Chunk) -> Iterator[Record]:
    for i, offset in enumerate(chunk.offset.tolist()):
        yield Record(chunk.topic, chunk.partition, offset, chunk.key(i), chunk.value(i), chunk.headers(i))
