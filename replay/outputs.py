"""Outputs of an engine without repeats, as any two replays of one log give them: counted, summed up, and as lines.

`Outputs` takes them from topics, in the order of their arrival; `PartitionOutputs` takes those of one partition in
process. The order of the lines, and so the digest, is that of replay/lines.py.
"""

import hashlib
import shutil
import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, Self

import cramjam
import msgspec

from config.settings import Bank
from config.whole_file import whole
from domain import topics
from domain.outputs import Alert
from replay.episodes import Episode, episodes
from replay.lines import letter, line, lines_of, offset_of, without_notices
from sinks.batch import KeyAndValue, Records
from sinks.partitioner import partitions_of

AT_ONCE = 5_000
PACKED = ".lz4"
_alert = msgspec.json.Decoder(Alert).decode


def output_topics(banks: tuple[Bank, ...]) -> tuple[str, ...]:
    """Return the topics that score writes."""
    return (
        topics.SCORE, topics.INDICATOR, topics.OBSERVATION, topics.ALERT_SUPERVISOR, topics.ALERT_BACKFILL,
        topics.CASE_SUPERVISOR, topics.LATE, topics.DEAD_LETTERS,
        *(topic(bank.bank_id) for bank in banks for topic in (topics.bank_alerts, topics.bank_cases)),
    )  # fmt: skip


def told(topic: str) -> str | None:
    """Return the bank that alerts of a topic go to; None for the supervisor."""
    return None if topic == topics.ALERT_SUPERVISOR else topics.alerted_bank(topic)


def digest_of(sums: Iterable[tuple[int, str, str]]) -> str:
    """Return one SHA-256 of the hashes of the lines of each (partition, topic)."""
    return hashlib.sha256("".join(f"{n} {topic} {one}\n" for n, topic, one in sorted(sums)).encode()).hexdigest()


class Outputs:
    """Messages, held in a file that has no name: a log may give more of them than memory holds."""

    def __init__(self, partitions: int) -> None:
        """`partitions`: of the log."""
        self._partitions = partitions
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute("BEGIN")
        self._base.execute(
            "CREATE TABLE said (partition INTEGER, topic TEXT, at INTEGER, key BLOB, hash BLOB, value BLOB, "
            "UNIQUE (partition, topic, at, key, hash))"
        )
        self._waiting: list[tuple[str, bytes | None, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._base.close()

    def hear(self, topic: str, key: bytes | None, value: bytes) -> None:
        """Take one message."""
        self._waiting.append((topic, key, value))
        if len(self._waiting) >= AT_ONCE:
            self._store()

    def counts(self) -> Counter[str]:
        """Messages by topic."""
        self._store()
        return Counter(dict(self._base.execute("SELECT topic, count(*) FROM said GROUP BY topic ORDER BY topic")))

    def alerts(self) -> Iterator[tuple[str | None, Alert]]:
        """Alerts with the bank that received each; None: the supervisor."""
        self._store()
        wanted = "topic LIKE 'alert.%.v1' ORDER BY topic, key, rowid"
        for topic, value in self._base.execute(f"SELECT topic, value FROM said WHERE {wanted}"):
            yield told(topic), _alert(value)

    def lines(self) -> Iterator[bytes]:
        """Yield each message as a line of JSON."""
        yield from (line for _, _, line in self._lines())

    def digest(self) -> str:
        """That of the lines."""
        return digest_of((*place, one) for place, one in self.sums().items())

    def sums(self) -> dict[tuple[int, str], str]:
        """Return the SHA-256 of the lines of each (partition, topic)."""
        sums: dict[tuple[int, str], hashlib._Hash] = {}
        for partition, topic, text in self._lines():
            sums.setdefault((partition, topic), hashlib.sha256()).update(text)
        return {place: one.hexdigest() for place, one in sums.items()}

    def write(self, path: Path) -> None:
        """Write the lines to a file that only its owner may read."""
        with whole(path, mode=0o600) as file:
            for some in _together(self.lines()):
                file.write(_packed(some) if path.suffix == PACKED else some)

    def _lines(self) -> Iterator[tuple[int, str, bytes]]:
        self._store()
        rows = self._base.execute("SELECT * FROM said ORDER BY partition, topic, at, key, rowid")
        for partition, topic, _, key, _, value in rows:
            yield partition, topic, line(topic, key, value)

    def _store(self) -> None:
        places = partitions_of([key or b"" for _, key, _ in self._waiting], self._partitions).tolist()
        self._base.executemany(
            "INSERT OR IGNORE INTO said VALUES (?, ?, ?, ?, ?, ?)",
            (
                (
                    place if key else letter(value).partition,
                    topic,
                    offset_of(topic, value),
                    key or b"",
                    hashlib.blake2b(value, digest_size=16).digest(),
                    value,
                )
                for place, (topic, key, value) in zip(places, self._waiting, strict=True)
            ),
        )
        self._waiting.clear()


class Wanted(NamedTuple):
    """The wanted forms of outputs: their digest, a file in `folder` for each partition, episodes of alerts."""

    digest: bool = True
    folder: Path | None = None
    packed: bool = False
    episodes: bool = False

    def topics(self, banks: tuple[Bank, ...]) -> frozenset[str] | None:
        """Those whose outputs are needed for that; None: all."""
        if self.digest or self.folder:
            return None
        alerts = (topics.ALERT_SUPERVISOR, *(topics.bank_alerts(bank.bank_id) for bank in banks))
        return frozenset(alerts if self.episodes else ())


class OfPartition(NamedTuple):
    """The outputs of one partition: the SHA-256 of its lines by topic, and episodes, where they are wanted."""

    sums: dict[str, str]
    episodes: list[Episode]


class PartitionOutputs:
    """The outputs of one partition, as replay/in_process.py gives them."""

    def __init__(self, wanted: Wanted, number: int) -> None:
        self._wanted, self._number = wanted, number
        self._sums: dict[str, hashlib._Hash] = {}
        self._files: dict[str, IO[bytes]] = {}
        self._alerts: list[tuple[str | None, Alert]] = []
        self._notices = defaultdict[str, list[KeyAndValue]](list)  # by topic: they stand after all else

    def write(self, topic: str, records: Records) -> None:
        """Take in outputs, as a Consumer does."""
        if self._wanted.digest or self._wanted.folder:
            placed, notices = without_notices(topic, records)
            self._take(topic, lines_of(topic, placed))
            if notices:
                self._notices[topic] += notices
        if self._wanted.episodes and topics.is_alert(topic):
            self._alerts += [(told(topic), _alert(value or b"")) for _, value in records]

    def finish(self) -> OfPartition:
        """Return the result, as a Consumer does; the partition's file is complete by then."""
        for topic, notices in sorted(self._notices.items()):
            in_order = sorted(notices, key=lambda record: record[0] or b"")
            self._take(topic, b"".join(line(topic, key, value or b"") for key, value in in_order))
        if (folder := self._wanted.folder) is not None:
            with whole(part(folder, self._number), mode=0o600) as into:
                for _, file in sorted(self._files.items()):
                    file.seek(0)
                    shutil.copyfileobj(file, into, 1 << 20)
                    file.close()
        sums = {topic: one.hexdigest() for topic, one in sorted(self._sums.items())}
        return OfPartition(sums, episodes(self._alerts))

    def _take(self, topic: str, lines: bytes) -> None:
        self._sums.setdefault(topic, hashlib.sha256()).update(lines)
        if (folder := self._wanted.folder) is not None:
            if topic not in self._files:
                self._files[topic] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by `finish`
            self._files[topic].write(_packed(lines) if self._wanted.packed else lines)


def part(folder: Path, number: int) -> Path:
    """Return the path of the file of a partition's lines."""
    return folder / f"{number}.lines"


def join(folder: Path, numbers: Iterable[int], path: Path) -> None:
    """Join the lines of all partitions into one file that only its owner may read."""
    with whole(path, mode=0o600) as into:
        for number in sorted(numbers):
            with part(folder, number).open("rb") as file:
                shutil.copyfileobj(file, into, 1 << 20)


def _packed(lines: bytes) -> bytes:
    """Return lines as a frame of LZ4; frames may be concatenated."""
    return bytes(cramjam.lz4.compress(lines, level=1))


def _together(lines: Iterable[bytes]) -> Iterator[bytes]:
    some: list[bytes] = []
    for one in lines:
        some.append(one)
        if len(some) == AT_ONCE:
            yield b"".join(some)
            some = []
    yield b"".join(some)
