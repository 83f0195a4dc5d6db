"""The log of one partition, from first day to last: transactions by arrival, loans, and a tick at each midnight.

It is one log in two parts: records before `World.timed_from_ms` make the warm state, the others are timed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.world import history, population, writing
from benchmarks.world.history import Events, Shape
from benchmarks.world.population import Mix, bank_id, enterprise_id
from domain.calendar import DAY_MS, date_of, day_of, day_of_date, day_start_ms
from domain.events import SCHEMA, Authorization, Feed, Loan, LogEvent, LogRecord, Tick
from domain.topics import EVENTS
from domain.topics import GATEWAY as GATEWAY_TOPIC
from sinks import partitioner
from sinks.batch import encode_headers
from streams.score.records import hash64
from streams.transport import Chunk
from streams.transport.chunk import chunk_of

HEADERS = (("schema", SCHEMA.encode()),)
GATEWAY = "Z2004944000010"
RECORDS_AT_ONCE = 50_000
TICK_DELAY_MS = 1_800_000  # after midnight
_LAST_DAY = day_of_date(date(2026, 9, 17))  # no festival in its quarter, no end of a month
_WHOLE_DAY_MS = 6 * 3_600_000  # when in the day a lender's records come
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A population and the days of its log. Days are counted from the log's first."""

    seed: int
    enterprises: int
    partitions: int = 64
    warm_days: int = 425
    dense_days_before: int = 7
    timed_days: int = 3
    mix: Mix = field(default_factory=Mix)

    @property
    def first_day(self) -> int:
        """Return the day number of the log's first day."""
        return _LAST_DAY - self.warm_days - self.timed_days + 1

    @property
    def timed_from_ms(self) -> int:
        """Return the time (ms) just after the arrival of the tick that closes the last warm day."""
        return day_start_ms(self.first_day + self.warm_days) + TICK_DELAY_MS + 1

    @property
    def shape(self) -> Shape:
        """Return the days of the histories."""
        days = self.warm_days + self.timed_days
        return Shape(first_day=self.first_day, days=days, dense_from=self.warm_days - self.dense_days_before)

    def members(self, partition: int) -> npt.NDArray[np.int64]:
        """Return the numbers of the enterprises of a partition, int64 (n,)."""
        return np.flatnonzero(partitions_of(range(self.enterprises), self.partitions) == partition)


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive records: transactions, or all other records of one time."""

    values: writing.Written | list[bytes]
    owners: npt.NDArray[np.int64]  # enterprise numbers; -1: a barrier

    def __len__(self) -> int:
        return len(self.owners)

    def value(self, i: int) -> bytes:
        """Return record i."""
        return self.values[i] if isinstance(self.values, list) else self.values.value(i)


class PartitionLog:
    """The records of a partition, in their order."""

    def __init__(self, world: World, partition: int) -> None:
        self.world, self.partition = world, partition
        days = world.warm_days + world.timed_days
        self.profiles = population.profiles(world.seed, world.members(partition), days, world.mix)
        events = history.history(world.seed, self.profiles, world.shape)
        self._events = events[events["arrival_ms"] <= day_start_ms(world.first_day + days) + TICK_DELAY_MS]
        self._others = self._other_records()

    def blocks(self, *, timed: bool) -> Iterator[Block]:
        """Yield the warm part, or the timed one."""
        begin_ms = self.world.timed_from_ms if timed else 0
        end_ms = 2**62 if timed else self.world.timed_from_ms
        arrival = self._events["arrival_ms"]
        at = int(np.searchsorted(arrival, begin_ms))
        for time_ms, records in self._others:
            if begin_ms <= time_ms < end_ms:
                until = int(np.searchsorted(arrival, time_ms))
                yield from self._transactions(at, until)
                yield Block([_encode(record) for _, record in records], np.array([n for n, _ in records], np.int64))
                at = until
        yield from self._transactions(at, int(np.searchsorted(arrival, end_ms)))

    def chunks(self, *, timed: bool, first_offset: int = 0) -> Iterator[Chunk]:
        """Yield the same records as chunks, at offsets from `first_offset` on."""
        offset = first_offset
        for block in self.blocks(timed=timed):
            yield as_chunk(block, self.partition, offset)
            offset += len(block)

    def timed_transactions(self) -> Events:
        """Return the rows of the timed part, repeats among them."""
        return self._events[self._events["arrival_ms"] >= self.world.timed_from_ms]

    def _transactions(self, first: int, last: int) -> Iterator[Block]:
        for at in range(first, last, RECORDS_AT_ONCE):
            events = self._events[at : min(last, at + RECORDS_AT_ONCE)]
            written = writing.log_records(events, self.profiles, first_origin=at)
            yield Block(written, self.profiles["number"][events["enterprise"]].astype(np.int64))

    def _other_records(self) -> list[tuple[int, list[tuple[int, LogRecord]]]]:
        """Return (arrival, records of that time), ascending."""
        found: dict[int, list[tuple[int, LogRecord]]] = {}
        first_day, days = self.world.first_day, self.world.warm_days + self.world.timed_days
        for day in range(first_day, first_day + days):
            found[day_start_ms(day + 1) + TICK_DELAY_MS] = [(-1, LogRecord(event=tick_after(day)))]
        for profile in self.profiles[self.profiles["borrows"] == 1]:
            for event in _borrowing(profile, first_day, days):
                fingerprint = f"{hash64(_encode(event).decode(), 0):016x}"
                record = LogRecord(event=event, fingerprint=fingerprint, origin=(GATEWAY_TOPIC, 0, len(found)))
                found.setdefault(_arrival_ms(event), []).append((int(profile["number"]), record))
        return sorted(found.items(), key=lambda item: item[0])


def tick_after(day: int) -> Tick:
    """Return the tick at the end of `day`, with the day closed by every bank."""
    feed = Feed(last_event_time=day_start_ms(day + 1) - 1, covered_up_to=day, closed_up_to=day)
    return Tick(up_to=day_start_ms(day + 1), feeds={bank_id(bank): feed for bank in range(population.BANKS)})


def as_chunk(block: Block, partition: int, offset: int) -> Chunk:
    """Return a block as a chunk without keys, which score reads for dead letters only."""
    if isinstance(block.values, list):
        return chunk_of(EVENTS, partition, offset, [(None, value, HEADERS, 0) for value in block.values])
    n, header = len(block), np.frombuffer(encode_headers(HEADERS), np.uint8)
    nowhere, zeros = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    return Chunk(
        topic=EVENTS, partition=partition, start_offset=offset, next_offset=offset + n,
        buffer=np.concatenate([header, block.values.buffer]), offset=np.arange(offset, offset + n),
        timestamp_ms=zeros, timestamp_type=zeros.astype(np.uint8), key_start=nowhere, key_end=nowhere,
        value_start=block.values.start + len(header), value_end=block.values.end + len(header),
        header_start=zeros, header_end=np.full(n, len(header), np.int64),
    )  # fmt: skip


def partitions_of(numbers: Sequence[int], partitions: int) -> npt.NDArray[np.int64]:
    """Return the partition of each enterprise's key by murmur2, as producers choose it, int64 (n,)."""
    return partitioner.partitions_of([enterprise_id(number).encode() for number in numbers], partitions)


def _borrowing(profile: np.void, first_day: int, days: int) -> Iterator[LogEvent]:
    """Yield a consent and a loan of the main bank early on; borrowers whose business declines become overdue."""
    number = int(profile["number"])
    day = first_day + 10 + number % 20
    lender = bank_id(int(profile["bank"][0]))
    yield Authorization(
        event_id=f"A{number:09d}", bank_id=GATEWAY, enterprise_id=enterprise_id(number),
        event_time=day_start_ms(day) + _WHOLE_DAY_MS, to_bank_id=lender, purpose="贷后管理",
        valid_from=day_start_ms(day), valid_to=day_start_ms(day) + 1_200 * DAY_MS, authorization_id=f"A{number:09d}",
        consent_hash=f"{number:064x}", confirmed_by_enterprise_at=day_start_ms(day),
    )  # fmt: skip
    principal, granted_on = int(profile["level_fen"]) * 60, f"{date_of(day + 1):%Y-%m-%d}"
    overdue_day = int(profile["onset_day"] + profile["decline_days"])
    steps = [("granted", day + 1 - first_day, 0, principal)]
    steps += [
        ("repaid", d, 0, principal - principal * d // 800) for d in range(60 + number % 30, min(days, overdue_day), 90)
    ]
    steps += [
        ("overdue", overdue_day + dpd - 1, dpd, principal // 2) for dpd in (1, 8, 31) if overdue_day + dpd <= days
    ]
    for event, at, dpd, outstanding in steps:
        yield Loan(
            event_id=f"L{number:09d}-{event}-{at}", bank_id=lender, enterprise_id=enterprise_id(number),
            event_time=day_start_ms(first_day + at) + _WHOLE_DAY_MS, loan_id=f"L{number:09d}", event=event,
            principal_minor=principal, outstanding_minor=outstanding, dpd=dpd, granted_on=granted_on,
        )  # fmt: skip


def _arrival_ms(event: LogEvent) -> int:
    assert not isinstance(event, Tick)
    return day_start_ms(day_of(event.event_time)) + _WHOLE_DAY_MS
