"""Writes a recorded log (replay/log_file.py): from the topics of a broker, or from whoever makes records."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from config.settings import Bank, Settings
from config.whole_file import whole
from domain import topics
from domain.events import SCHEMA
from replay.log_file import ARTEFACTS, END, ENDING, PLACE, encode_head
from replay.reading import Read, read_topics
from sinks import batch
from sinks.batch import BY_KEY, COUNT, IS_NEW, MS_FIRST, PARTITION, AckGroup, Batch, Headers, Outputs, Records

HEADERS: Headers = (("schema", SCHEMA.encode()),)
RECORDS_AT_ONCE = 5_000
_PLACE_OF = {topic: place for place, topic in ARTEFACTS.items()}


class _HasOffset(Protocol):
    @property
    def offset(self) -> int: ...


_Placed = TypeVar("_Placed", bound=_HasOffset)


class LogWriter:
    """A log that is being written. It stands under its name, its owner's alone, once the block has ended well.

    Records of a partition are numbered from 0 on, unless `append` says where they stand. At most a batch of each
    partition (512 KiB) is in memory.
    """

    def __init__(self, path: Path, *, banks: Iterable[Bank], partitions: int, version: str | None = None) -> None:
        """`version`: of the engine that recorded it, where that is not this one."""
        self.record_count = 0
        self._path, self._head = path, encode_head(banks, partitions, version)
        self._batch_count = 0
        self._next = [0] * partitions  # offsets
        self._opened = batch.open_batches(partitions)
        self._batches: list[Batch | None] = [None] * partitions
        self._group = AckGroup()

    def __enter__(self) -> Self:
        self._exits = ExitStack()
        self._file = self._exits.enter_context(whole(self._path, mode=0o600))
        self._file.write(self._head)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._exits.callback(self._end)  # within what makes it whole
        self._exits.__exit__(kind, error, at)

    def append(
        self,
        records: Records,
        partition: int = BY_KEY,
        *,
        headers: Headers = HEADERS,
        time_ms: int = 0,
        offset: int | None = None,
    ) -> None:
        """Append records in their order; BY_KEY: each goes where Kafka's partitioner puts its key.

        `offset`: of the first one, where all go to one partition; the others follow without a gap.
        """
        if offset is not None and offset != self._offset_behind(partition):
            self._close(partition)
            self._next[partition] = offset
        outputs = Outputs(topics.EVENTS, records, partition, headers, self._group, time_ms)
        for cells, piece in batch.write([outputs], self._opened, 0):
            at = cells[PARTITION]
            if cells[IS_NEW]:
                self._close(at, behind=True)
                self._batches[at] = Batch(cells[MS_FIRST])
            opened = self._batches[at]
            assert opened is not None
            opened.add(cells, piece, self._group)

    def append_to_all(self, records: Records, *, headers: Headers = HEADERS, time_ms: int = 0) -> None:
        """Append the same records, barriers, to every partition."""
        for partition in range(len(self._next)):
            self.append(records, partition, headers=headers, time_ms=time_ms)

    def artefact(
        self, topic: str, key: bytes | None, body: bytes | None, offset: int, *, headers: Headers = ()
    ) -> None:
        """Write a model or rules that control records may name. `offset`: its offset in its topic."""
        opened, one = batch.open_batches(1), Batch(0)
        outputs = Outputs(topic, Records.of([(key, body)]), 0, headers, self._group, 0)
        for cells, piece in batch.write([outputs], opened, 0):
            one.add(cells, piece, self._group)
        self._write(_PLACE_OF[topic], one, offset)

    def _offset_behind(self, partition: int) -> int:
        opened = self._batches[partition]
        return self._next[partition] + (0 if opened is None else opened.count)

    def _close(self, partition: int, *, behind: bool = False) -> None:
        """Write the partition's batch; `behind`: another one is already begun, of which `_opened` knows."""
        opened = self._batches[partition]
        if opened is None:
            return
        self._write(partition, opened, self._next[partition])
        self._next[partition] += opened.count
        self._batches[partition] = None
        if not behind:
            self._opened[partition, COUNT] = 0

    def _write(self, place: int, one: Batch, offset: int) -> None:
        self._file.write(PLACE.pack(place))
        self._file.write(one.placed(offset))
        self._batch_count += 1
        self.record_count += one.count

    def _end(self) -> None:
        for partition in range(len(self._next)):
            self._close(partition)
        self._file.write(ENDING.pack(END, self._batch_count, self.record_count))


def record_log(settings: Settings, path: Path) -> int:
    """Write the present content of `events.v1` and of the topics of artefacts; return the number of records.

    Raise ReadingFailed or KafkaException where they cannot be read.
    """
    kafka = settings.kafka
    with LogWriter(path, banks=settings.banks, partitions=kafka.log_partitions) as writer:
        for read in read_topics(kafka, ARTEFACTS.values()):
            writer.artefact(read.topic, read.key, read.value, read.offset, headers=read.headers)
        for (partition, headers, time_ms), some in groupby(read_topics(kafka, [topics.EVENTS]), key=_kind):
            for run in runs(some, RECORDS_AT_ONCE):
                records = Records.of([(read.key, read.value) for read in run])
                writer.append(records, partition, headers=headers, time_ms=time_ms, offset=run[0].offset)
    return writer.record_count


def _kind(read: Read) -> tuple[int, Headers, int]:
    return read.partition, read.headers, read.timestamp_ms


def runs(records: Iterable[_Placed], records_max: int) -> Iterator[list[_Placed]]:
    """Records of one partition in runs of offsets without a gap."""
    run: list[_Placed] = []
    for record in records:
        if run and (record.offset != run[-1].offset + 1 or len(run) == records_max):
            yield run
            run = []
        run.append(record)
    if run:
        yield run
