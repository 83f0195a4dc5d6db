"""Outputs of an engine without repeats, in an order that any two replays of one log share: the text to compare.

By topic and key, and within a key as it came. Without a key, messages of several partitions have no order: by content.
"""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from config.settings import Bank
from domain import topics
from domain.outputs import Alert
from replay.state import whole

AT_ONCE = 5_000
_encode = msgspec.json.Encoder().encode
_alert = msgspec.json.Decoder(Alert).decode


def output_topics(banks: tuple[Bank, ...]) -> tuple[str, ...]:
    """Return the topics that score writes."""
    return (
        topics.SCORE, topics.INDICATOR, topics.OBSERVATION, topics.ALERT_SUPERVISOR, topics.ALERT_BACKFILL,
        topics.LATE, topics.DEAD_LETTERS, *(topics.bank_alerts(bank.bank_id) for bank in banks),
    )  # fmt: skip


class _OutputLine(msgspec.Struct, frozen=True):
    topic: str
    key: str | None
    value: msgspec.Raw


class Outputs:
    """Messages, held in a file that has no name: a log may give more of them than memory holds."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute("BEGIN")
        self._base.execute("CREATE TABLE said (topic TEXT, key BLOB, hash BLOB, value BLOB, UNIQUE (topic, key, hash))")
        self._waiting: list[tuple[str, bytes, bytes, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._base.close()

    def hear(self, topic: str, key: bytes | None, value: bytes) -> None:
        """Take one message."""
        digest = hashlib.blake2b(value, digest_size=16).digest()
        self._waiting.append((topic, key or b"", digest, value))
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
            yield None if topic == topics.ALERT_SUPERVISOR else topics.bank_told(topic), _alert(value)

    def lines(self) -> Iterator[bytes]:
        """Yield each message as a line of JSON."""
        self._store()
        order = "topic, key, CASE key WHEN x'' THEN hash END, rowid"
        for topic, key, value in self._base.execute(f"SELECT topic, key, value FROM said ORDER BY {order}"):
            yield _encode(_OutputLine(topic, key.decode(errors="backslashreplace") or None, msgspec.Raw(value))) + b"\n"

    def digest(self) -> str:
        """Return the SHA-256 of the lines."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line)
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """The lines as a file of its owner alone."""
        with whole(path, mode=0o600) as file:
            file.writelines(self.lines())

    def _store(self) -> None:
        self._base.executemany("INSERT OR IGNORE INTO said VALUES (?, ?, ?, ?)", self._waiting)
        self._waiting.clear()
