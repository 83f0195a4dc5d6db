"""Facts of a log beside transactions (loans, consents, outcomes, profiles), read without scoring.

Every row carries the day on which it became known: the event time that the log had reached by its newest tick, where
that is later than the row's own time. A fact with a date in the past becomes known late.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

import msgspec
import numpy as np

from detectors.learning.loan_history import DPD_DEFAULT_MIN, DPD_GOOD_MAX, bad_since, ends
from detectors.learning.statistics import Ints
from domain.calendar import DAY_MS, ZONE_OFFSET_MS, day_of, day_of_text
from domain.events import Authorization, Loan, LoanEvent, LogRecord, Outcome, Profile, Tick
from features.layout import id_texts
from features.state.record_columns import RECORD
from replay.backtest.columns import SEQ_BITS, Columns, Names
from replay.log_file import LogFile
from replay.processes import Processes
from replay.sources import SourceError
from streams.score import reader
from streams.score.records import bank_text
from streams.transport.chunk import Chunk

SECTIONS = tuple("ABCDEFGHIJKLMNOPQRST")  # GB/T 4754
SIZES = ("large", "medium", "small", "micro")
LOAN_EVENTS: tuple[str, ...] = get_args(LoanEvent)
NO_DAY = -(2**31)
POST_LOAN = "贷后管理"
_record = msgspec.json.Decoder(LogRecord).decode


@dataclass(slots=True, kw_only=True)
class Facts:
    """The facts of one partition; enterprises and banks are indices into its own tables, columns are int64 (rows,)."""

    partition: int
    enterprises: tuple[str, ...] = ()
    banks: tuple[str, ...] = ()
    ticks: dict[str, Ints] = field(default_factory=dict)
    """offset; up_to: the event time (ms) that the log has reached, never falling."""
    loans: dict[str, Ints] = field(default_factory=dict)
    bad: dict[str, Ints] = field(default_factory=dict)
    """Days on which a loan event puts an enterprise over 30 days past due or worse; is_default: over 90."""
    outcomes: dict[str, Ints] = field(default_factory=dict)
    """Outcomes by operators: loan (-1: not named), whether it is bad, and the matured day."""
    consents: dict[str, Ints] = field(default_factory=dict)
    profiles: dict[str, Ints] = field(default_factory=dict)
    accounts: dict[str, Ints] = field(default_factory=dict)
    """Pairs of enterprise and bank with a transaction."""

    @property
    def first_day(self) -> int:
        """Return the day number of the first tick (one at midnight belongs to the day before); NO_DAY without one."""
        return day_of(int(self.ticks["up_to"][0]) - 1) if len(self.ticks["up_to"]) else NO_DAY

    @property
    def last_day(self) -> int:
        """Return the day number of the last tick (one at midnight belongs to the day before); NO_DAY without one."""
        return day_of(int(self.ticks["up_to"][-1]) - 1) if len(self.ticks["up_to"]) else NO_DAY


def read_facts(log: LogFile, processes: int, on_progress: Callable[[str], None]) -> list[Facts]:
    """Return the facts of each partition. Raise SourceError where the log has no tick, so that no day closes."""
    counts = log.record_counts()
    wanted = sorted((number for number, count in counts.items() if count), key=counts.__getitem__, reverse=True)
    found = []
    with Processes(partial(_Reader, log), min(processes, max(1, len(wanted)))) as pool:
        for place, partition in enumerate(wanted):
            pool.call(place % pool.count, "read", partition)
        for answer in pool.answers():
            found.append(answer.value)
            on_progress(f"{len(found)} of {len(wanted)} partitions read for facts")
    found.sort(key=lambda facts: facts.partition)
    if all(facts.last_day == NO_DAY for facts in found):
        raise SourceError(f"{log.path}: no tick is in it, so that no day ever closes")
    return found


class _Reader:
    def __init__(self, log: LogFile, _on_progress: Callable[[int], None]) -> None:
        self._log = log

    def read(self, partition: int) -> Facts:
        """Return the facts of one partition."""
        fact_reader = FactReader(partition)
        for chunk in self._log.chunks(partition, as_recorded=False):
            fact_reader.take(chunk)
        return fact_reader.finish()


class FactReader:
    """Reads a partition's records in the order of its log."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._ticks = Columns("offset", "up_to")
        self._enterprises, self._banks, self._loan_ids, self._judged_loans = Names(), Names(), Names(), Names()
        self._loans = Columns("enterprise", "order", "as_of", "bank", "loan", "event", "dpd", "is_open")
        self._bad = Columns("enterprise", "order", "as_of", "loan", "day", "is_default")
        self._outcomes = Columns("enterprise", "order", "as_of", "loan", "day", "is_bad")
        self._consents = Columns("enterprise", "order", "as_of", "bank", "begin", "end", "revoked")
        self._profiles = Columns("enterprise", "order", "as_of", "section", "size")
        self._accounts = Columns("enterprise", "order", "as_of", "bank")
        self._has_account: set[tuple[bytes, int]] = set()
        self._seen: set[tuple[str, str, str]] = set()

    def take(self, chunk: Chunk) -> None:
        """Read the next records."""
        rows, taken = np.zeros(len(chunk), RECORD), np.zeros(len(chunk), np.uint8)
        spans = chunk.value_start, chunk.value_end, chunk.header_start, chunk.header_end
        reader.read(chunk.buffer, *spans, rows, taken)
        plain = np.flatnonzero(taken == reader.TAKEN)
        self._transactions(rows[plain], chunk.offset[plain])
        for i in np.flatnonzero(taken == reader.LEFT).tolist():
            self._other(int(chunk.offset[i]), chunk.value(i))

    def finish(self) -> Facts:
        """Return the facts read so far."""
        ticks = self._ticks.arrays()
        ticks["up_to"] = np.maximum.accumulate(ticks["up_to"])
        return Facts(
            partition=self._partition,
            enterprises=self._enterprises.texts,
            banks=self._banks.texts,
            ticks=ticks,
            loans=dated(self._loans, ticks),
            bad=dated(self._bad, ticks),
            outcomes=dated(self._outcomes, ticks),
            consents=dated(self._consents, ticks),
            profiles=dated(self._profiles, ticks),
            accounts=dated(self._accounts, ticks),
        )

    def _transactions(self, rows: Any, offsets: Ints) -> None:
        """Record at which banks each enterprise has an account."""
        keys = np.ascontiguousarray(rows["key"])
        mixed = (keys * np.array([3, 5, 7, 11], np.uint64)).sum(axis=1, dtype=np.uint64) * np.uint64(31)
        # Two pairs with the same sum would hide one: 64 bits make that negligible.
        first = np.unique(mixed + rows["bank"].astype(np.uint64), return_index=True)[1]
        for key, bank, offset in zip(keys[first], rows["bank"][first].tolist(), offsets[first].tolist(), strict=True):
            pair = key.tobytes(), bank
            if pair not in self._has_account:
                self._has_account.add(pair)
                (enterprise,) = id_texts(key.reshape(1, -1))
                number = self._banks[bank_text(bank)]
                self._accounts.add(self._enterprises[enterprise], offset << SEQ_BITS, -1, number)

    def _other(self, offset: int, value: bytes | None) -> None:
        try:
            event = _record(value or b"").event
        except (msgspec.DecodeError, UnicodeDecodeError):
            return  # score sends it to the dead letters, and the replay counts it
        match event:
            case Tick():
                self._ticks.add(offset, event.up_to)
            case Loan() | Authorization() | Profile() | Outcome():
                known = (event.bank_id, event.enterprise_id, event.event_id)
                if known not in self._seen:  # score refuses a second body of an id: the first one holds
                    self._seen.add(known)
                    self._fact(event, offset << SEQ_BITS)
            case _:
                pass

    def _fact(self, event: Loan | Authorization | Profile | Outcome, order: int) -> None:
        enterprise, at_ms = self._enterprises[event.enterprise_id], event.event_time
        match event:
            case Loan():
                self._loan(event, enterprise, order)
            case Authorization():
                if event.purpose == POST_LOAN:
                    bank, begin, end = self._banks[event.to_bank_id], event.valid_from, event.valid_to
                    self._consents.add(enterprise, order, at_ms, bank, begin, end, event.revoked)
            case Profile():
                section, size = SECTIONS.index(event.industry), SIZES.index(event.size_class)
                self._profiles.add(enterprise, order, at_ms, section, size)
            case Outcome():
                number = -1 if event.loan_id is None else self._judged_loan(event.enterprise_id, event.loan_id)
                self._outcomes.add(
                    enterprise, order, at_ms, number, day_of_text(event.matured_on), event.label == "bad"
                )

    def _loan(self, loan: Loan, enterprise: int, order: int) -> None:
        at_ms, day, dpd = loan.event_time, day_of(loan.event_time), -1 if loan.dpd is None else loan.dpd
        bank, number = self._banks[loan.bank_id], self._loan_ids[f"{enterprise}|{loan.bank_id}|{loan.loan_id}"]
        self._loans.add(enterprise, order, at_ms, bank, number, LOAN_EVENTS.index(loan.event), dpd, not ends(loan))
        for is_default, dpd_max in enumerate((DPD_GOOD_MAX, DPD_DEFAULT_MIN - 1)):
            since = bad_since(day, loan.event, loan.dpd, dpd_max)
            if since is not None:
                judged = self._judged_loan(loan.enterprise_id, loan.loan_id)
                self._bad.add(enterprise, order, at_ms, judged, since, is_default)

    def _judged_loan(self, enterprise_id: str, loan_id: str) -> int:
        """Return the index of a loan as outcomes name it, without the bank (see detectors/learning/labels.py)."""
        return self._judged_loans[f"{enterprise_id}|{loan_id}"]


def dated(columns: Columns | dict[str, Ints], ticks: dict[str, Ints]) -> dict[str, Ints]:
    """Return the columns with `known_day`, the day on which each row became known, in place of `as_of` (ms).

    A tick at midnight belongs to the day that it ends; records behind it in the log become known on the next day.
    """
    arrays = columns.arrays() if isinstance(columns, Columns) else dict(columns)
    offset = arrays["order"] >> SEQ_BITS
    place = np.searchsorted(ticks["offset"], offset, side="right") - 1
    reached = np.full(len(place), -1)
    if len(ticks["up_to"]):
        follows_from_it = ticks["offset"][place] == offset
        reached = np.where(place >= 0, ticks["up_to"][place] - follows_from_it, -1)
    arrays["known_day"] = (np.maximum(arrays.pop("as_of") - 1, reached) + ZONE_OFFSET_MS) // DAY_MS
    return arrays
