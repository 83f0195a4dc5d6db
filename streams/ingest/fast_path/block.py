"""The fast path over a block of some hundred records of a chunk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from domain.calendar import EVENT_TIME_MS_MIN
from domain.events import SCHEMA, Txn
from domain.ids import BANK_ID_PATTERN
from sinks.batch import Records
from streams.ingest.fast_path import reader
from streams.ingest.fast_path.secret_scan import harmless
from streams.ingest.tokens import KINDS, Tokens
from streams.transport.chunk import Chunk, chunk_of

assert KINDS == ("account", "person", "name"), "as the reader numbers them"
_TXN = Txn(
    event_id="warm-up", bank_id="A0000000000000", enterprise_id="warm-up", event_time=EVENT_TIME_MS_MIN, account="a",
    direction="C", amount_minor=1, currency="CNY",
)  # fmt: skip


class Plain(NamedTuple):
    """A block of n records after the fast path.

    times_ms: event time of each, n in all, SLOW_PATH for those in `others`. records: what the former become in the log.
    others: indexes of the latter, ascending. harmless: of each of `others`, whether it holds no secret for certain.
    """

    times_ms: list[int]
    records: Records
    others: Sequence[int]
    harmless: list[bool]


class FastPathReader:
    """Takes transactions of banks over the fast path, and scans the other records for secrets."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._origins: dict[tuple[str, int], np.ndarray] = {}
        self._banks: dict[str, np.ndarray] = {}
        # What the reader works in: a block's own things are made of it.
        self._fields = np.empty((2, len(Txn.__struct_fields__)), np.int64)
        self._columns, self._token_slots = (
            np.empty((reader.RECORD_COLUMNS, 0), np.int64),
            np.empty((reader.TOKEN_SLOTS, 0), np.int64),
        )
        self._text, self._out = np.empty(0, np.uint8), np.empty(0, np.uint8)

    def read(self, chunk: Chunk, first: int, until: int, bank_id: str, future_tolerance_ms: int) -> Plain:
        """Return the block of a bank's records [first, until), at least one."""
        count, origin = until - first, self._origin(chunk.topic, chunk.partition)
        self._make_room(count, len(chunk.buffer), count * (reader.ROOM + len(origin)))  # values do not overlap
        text, out, columns, token_slots = self._text, self._out, self._columns, self._token_slots
        plain, found, end_of_text, written = reader.read(
            chunk.buffer, chunk.value_start, chunk.value_end, chunk.header_start, chunk.header_end, chunk.timestamp_ms,
            chunk.offset, first, until, future_tolerance_ms, self._bank(bank_id), origin,
            self._tokens.fingerprint_key, text, out, columns, token_slots, self._fields,
        )  # fmt: skip
        if not plain:
            return all_slow_path(count, harmless(chunk, range(first, until)))
        raw = text[:end_of_text].tobytes()
        kinds, text_starts, text_ends = token_slots[reader.OF_TOKENS, :found].tolist()
        tokens = self._tokens.tokens(zip(kinds, _cut(raw, text_starts, text_ends), strict=True))
        reader.fill(out, token_slots, np.frombuffer(tokens, np.uint8))
        records = Records(out[:written].tobytes(), columns[reader.OF_SIZES, :plain].T.copy())
        times_ms: list[int] = columns[reader.EVENT_MS, :count].tolist()
        others = np.flatnonzero(columns[reader.EVENT_MS, :count] == reader.SLOW_PATH).tolist() if plain < count else []
        return Plain(times_ms, records, others, harmless(chunk, [first + i for i in others]) if others else [])

    def _make_room(self, records: int, message_bytes: int, more_bytes: int) -> None:
        if records > self._columns.shape[1]:
            self._columns = np.empty((reader.RECORD_COLUMNS, records), np.int64)
            self._token_slots = np.empty((reader.TOKEN_SLOTS, reader.TOKEN_SLOTS_EACH_MAX * records), np.int64)
        if message_bytes > len(self._text):
            self._text = np.empty(message_bytes, np.uint8)
        if message_bytes + more_bytes > len(self._out):
            self._out = np.empty(message_bytes + more_bytes, np.uint8)

    def _bank(self, bank_id: str) -> np.ndarray:
        """Return the bytes by which transactions name the bank, uint8.

        Impossible ones where no transaction can name it.
        """
        if bank_id not in self._banks:
            text = bank_id.encode() if re.fullmatch(BANK_ID_PATTERN, bank_id) else b"\0"
            self._banks[bank_id] = np.frombuffer(text, np.uint8)
        return self._banks[bank_id]

    def _origin(self, topic: str, partition: int) -> np.ndarray:
        """Return the bytes between the fingerprint and the offset in a record of the log, uint8."""
        if (topic, partition) not in self._origins:
            text = b'","origin":' + msgspec.json.encode((topic, partition))[:-1] + b","
            self._origins[topic, partition] = np.frombuffer(text, np.uint8)
        return self._origins[topic, partition]


def all_slow_path(count: int, harmless: list[bool]) -> Plain:
    """Return a block of `count` records that all take the slow path."""
    return Plain([reader.SLOW_PATH] * count, Records.of([]), range(count), harmless)


def warm() -> None:
    """Compile the kernels, or load them from the cache, before the worker joins its group."""
    message = msgspec.json.encode(_TXN)
    chunk = chunk_of("", 0, 0, [(None, message, [("schema", SCHEMA.encode())], _TXN.event_time)])
    plain = FastPathReader(Tokens(b""))
    assert plain.read(chunk, 0, 1, _TXN.bank_id, 0).times_ms == [_TXN.event_time]
    assert plain.read(chunk, 0, 1, "", 0).harmless == [True]


def _cut(raw: bytes, starts: list[int], ends: list[int]) -> list[bytes]:
    return [raw[start:end] for start, end in zip(starts, ends, strict=True)]
