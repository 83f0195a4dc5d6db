"""The enterprises that a tick can change: all others are passed over, and those that are only in Redis stay there.

A tick does two things to an enterprise: it closes days that have ended and that its main banks have closed, and it
marks whether the feed of a main bank, or of a lender, is stalled. Applying the same tick to an unchanged enterprise a
second time does nothing. So a tick that brings nothing new is applied only to enterprises with a record since the last
one. Any other tick is applied also to those that it can change by their entries in the directory: each time that a tick
was applied, the entry notes how far the enterprise is closed and for which banks it waits. An entry that notes nothing
counts as changed. This saves work and decides nothing: `affected` may name too many enterprises, never too few.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain.calendar import day_of
from domain.events import Feed
from features.row_cache import Numbers, RowCache
from features.state.buckets import NO_UNIT
from features.state.loans import BANK_SLOTS, lends
from features.state.transitions import is_main
from features.table import UNLOOKED, WATCHED_MAX
from kernels.decorators import kernel
from streams.score.records import bank_number

_BANKS_MAX = 4_096
_NAMES_MAX = 256
_STALLED, _LOAN_STALLED, _WITHOUT_HISTORY = 1, 2, 4


class Feeds(NamedTuple):
    """The feeds of the newest tick, ascending by bank. Shapes: (banks,). Days are day numbers."""

    bank: npt.NDArray[np.int64]
    covered_up_to: npt.NDArray[np.int64]  # day numbers; -2^31 where none
    closed_up_to: npt.NDArray[np.int64]
    stalled: npt.NDArray[np.uint8]


class Banks(NamedTuple):
    """Banks by their position in `code`. Shapes: code (_BANKS_MAX,), used (1,)."""

    code: npt.NDArray[np.int64]
    used: npt.NDArray[np.int64]


class TickIndex:
    """Index of the enterprises of a partition that the next tick must be applied to."""

    def __init__(
        self, residents: RowCache, up_to: int, feeds: Mapping[str, Feed], unlooked: Sequence[str] | None
    ) -> None:
        """Start after the last tick, of `up_to` ms (-1: there was none) and `feeds`.

        `unlooked` is what `names` returned then.
        """
        self._residents = residents
        self._banks = Banks(np.zeros(_BANKS_MAX, np.int64), np.zeros(1, np.int64))
        self._looks = np.zeros(len(residents.directory.entries), np.uint8)
        self._word = _word(day_of(up_to), feeds_of(feeds)) if up_to >= 0 else None
        if unlooked is None:
            self._looks[:] = 1
        else:
            self._looks[residents.numbers_of(unlooked)] = 1

    def changed(self, numbers: Numbers) -> None:
        """Note that records of these enterprises came."""
        if len(self._looks) < len(self._residents.directory.entries):
            self._looks = np.pad(self._looks, (0, len(self._residents.directory.entries) - len(self._looks)))
        self._looks[numbers] = 1

    def names(self) -> list[str] | None:
        """Return the enterprises with a record since the last tick, sorted.

        None where there are more than _NAMES_MAX.
        """
        numbers: Numbers = np.flatnonzero(self._looks[: self._residents.known]).astype(np.int32)
        return sorted(self._residents.names_of(numbers)) if len(numbers) <= _NAMES_MAX else None

    def affected(self, up_to_day: int, feeds: Feeds) -> Numbers:
        """Return the enterprises that a tick may change.

        Call it for each tick, and apply the tick to all that it returns.
        """
        known, word = self._residents.known, _word(up_to_day, feeds)
        numbers: Numbers = np.flatnonzero(self._looks[:known]).astype(np.int32)
        if word != self._word:
            out = np.empty(known, np.int32)
            feed_of = self._feed_of(feeds)
            numbers = out[: _affected(self._residents.directory, self._looks, feed_of, up_to_day, feeds, out)]
        self._looks[:] = 0
        self._word = word
        return numbers

    def note(self, numbers: Numbers) -> None:
        """Note that a tick was applied to these enterprises, all of them resident."""
        note(self._residents.directory, numbers, self._residents.state, self._banks)

    def _feed_of(self, feeds: Feeds) -> npt.NDArray[np.int32]:
        """Return, by position in `_banks`, the bank's index in `feeds`, or -1."""
        codes = self._banks.code[: self._banks.used[0]]
        if not len(feeds.bank):
            return np.full(len(codes), -1, np.int32)
        at = np.minimum(np.searchsorted(feeds.bank, codes), len(feeds.bank) - 1)
        return np.where(feeds.bank[at] == codes, at, -1).astype(np.int32)


def feeds_of(feeds: Mapping[str, Feed]) -> Feeds:
    """Return the feeds of a tick as arrays."""
    rows = sorted((bank_number(bank_id), feed) for bank_id, feed in feeds.items())
    return Feeds(
        bank=np.array([bank for bank, _ in rows], np.int64),
        covered_up_to=np.array([_day(feed.covered_up_to) for _, feed in rows], np.int64),
        closed_up_to=np.array([_day(feed.closed_up_to) for _, feed in rows], np.int64),
        stalled=np.array([feed.stalled for _, feed in rows], np.uint8),
    )


def _day(day: int | None) -> int:
    return -(2**31) if day is None else day


def _word(up_to_day: int, feeds: Feeds) -> tuple[int, bytes, bytes, bytes]:
    """Return what a tick says of which days close and which feeds are stalled, for comparison with another tick."""
    return up_to_day, feeds.bank.tobytes(), feeds.closed_up_to.tobytes(), feeds.stalled.tobytes()


@kernel
def _affected(directory, looks, feed_of, up_to_day, feeds, out):
    count = 0
    for number in range(directory.used[0]):
        if looks[number] or _is_affected(directory.entries[number], feed_of, up_to_day, feeds):
            out[count] = number
            count += 1
    return count


@kernel
def _is_affected(entry, feed_of, up_to_day, feeds):
    if entry.flags & UNLOOKED:
        return True
    day = entry.closed_day + 1
    is_due, stalled, loan_stalled = day < up_to_day, False, False
    without_history = entry.flags & _WITHOUT_HISTORY != 0
    for i in range(entry.watched_count):
        f = feed_of[entry.watched[i]]
        if f < 0:
            continue
        if entry.main >> i & 1:
            stalled |= feeds.stalled[f] != 0
            is_due &= without_history or feeds.closed_up_to[f] >= day
        if entry.lends >> i & 1:
            loan_stalled |= feeds.stalled[f] != 0
    flags = (_STALLED if stalled else 0) | (_LOAN_STALLED if loan_stalled else 0)
    return is_due or flags != entry.flags & (_STALLED | _LOAN_STALLED)


@kernel
def note(directory, numbers, state, banks):
    """Write into the entries of these enterprises, all resident, what `affected` needs at the next tick."""
    for i in range(numbers.shape[0]):
        entry = directory.entries[numbers[i]]
        e = state[entry.row]
        entry.closed_day = e.closed_day
        entry.flags = (_STALLED if e.stalled else 0) | (_LOAN_STALLED if e.loan_stalled else 0)
        if e.first_day == NO_UNIT:
            entry.flags |= _WITHOUT_HISTORY
        if not _note_banks(entry, e, banks):
            entry.flags |= UNLOOKED


@kernel
def _note_banks(entry, e, banks):
    """Note the banks of an enterprise in its entry; return False where there are too many."""
    entry.watched_count = entry.main = entry.lends = 0
    for b in range(BANK_SLOTS):
        main, lender = is_main(e, b), e.bank[b] != 0 and lends(e, b)
        if not (main or lender):
            continue
        i, position = entry.watched_count, _position_of(banks, e.bank[b])
        if i == WATCHED_MAX or position < 0:
            return False
        entry.watched[i] = position
        entry.main |= (1 if main else 0) << i
        entry.lends |= (1 if lender else 0) << i
        entry.watched_count += 1
    return True


@kernel
def _position_of(banks, code):
    """Return the position of a bank in `banks`, which is added if it is new; -1 where there is no room.

    They are a few hundred.
    """
    used = banks.used[0]
    for position in range(used):
        if banks.code[position] == code:
            return position
    if used == _BANKS_MAX:
        return -1
    banks.code[used] = code
    banks.used[0] += 1
    return used
