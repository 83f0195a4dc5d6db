"""Delivery of a simulation's events to the platform: order, delay and repeats, and the banks' receipts.

A live bank sends as it books, and its receipt after midnight; a bank with files sends a day the next morning. A feed
after an outage delivers all of its missed days at once.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from config.settings import Bank
from domain.calendar import DAY_MS, day_start_ms
from domain.events import Authorization, Gov, Loan, Profile
from replay.province import chance
from replay.province.facts import FIRST, REGISTER_MS, FactWriter
from replay.province.layout import CLOSE, DEFAULT, FACT, IS_CREDIT, MOVE, WRITTEN_OFF, Facts, Moves
from replay.province.population import Population
from replay.province.simulation import DayRows, Simulation

Other = Loan | Profile | Authorization | Gov

RECEIPT_MS = 30 * 60_000  # after midnight
FILE_MS = 5 * 3_600_000
MORNING_MS = 6 * 3_600_000  # arrival of late records
LATE_DAYS, STALE_DAYS, AGAIN_DAYS = (1, 5), 12, 3
CONFLICT_MS = 60_000
DUPLICATE, CONFLICT, LATE, STALE, FOREIGN = range(1, 6)  # flaws; 0: none
FLAWS = ("duplicate", "conflict", "late", "stale", "foreign")
GATEWAY = -1  # in place of a bank's number
NOT_OTHER = -1

ROW = np.dtype([*MOVE.descr, ("arrival_ms", "<i8"), ("bank", "<i4"), ("origin", "<i8"), ("other", "<i4")])
Rows = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Step:
    """Deliveries in their order: rows of ROW; `other` is an index into `others` where a row is no transaction.

    receipts: (bank, day) after the rows. at_ms: arrival of the last record. totals, int64 (receipts, 3): transactions,
    debits and credits of each receipt.
    """

    at_ms: int
    rows: Rows
    others: list[Other] = field(default_factory=list)
    receipts: list[tuple[int, int]] = field(default_factory=list)
    totals: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 3), np.int64))


class Delivering:
    """The deliveries of a simulation."""

    def __init__(self, simulation: Simulation) -> None:
        population = simulation.population
        self.simulation, self.population = simulation, population
        self.facts = FactWriter(population, simulation.state)
        self.banks: tuple[Bank, ...] = tuple(population.bank(number) for number in range(population.banks))
        self._by_file = np.array([bank.mode == "daily_file" for bank in self.banks])
        self._later: list[tuple[int, int, Other]] = []  # a heap of (time, tie-break, event)
        self._serial = 0
        self._postponed: dict[int, list[Rows]] = defaultdict(list)  # by day of arrival
        self._files: dict[int, list[tuple[Rows, list[Other]]]] = defaultdict(list)
        self._receipts: dict[int, list[tuple[int, int, npt.NDArray[np.int64]]]] = defaultdict(list)
        self._next_origin = np.zeros(len(self.banks) + 1, np.int64)
        self._outages = _outages(population)
        self.loan_facts: list[Facts] = []  # all of them, for the truth

    def steps(self) -> Iterator[Step]:
        """Yield the steps from the log's first day to the morning after its last."""
        start, end = self.population.start_day, self.population.end_day
        for rows in self.simulation.days():
            if len(rows.facts):
                self.loan_facts.append(rows.facts.copy())
            if rows.day == start:
                yield self._opening(start)
            if start <= rows.day < end:
                yield from self._morning(rows.day)
                yield self._through_the_day(rows)
            elif rows.day == end:
                yield from self._morning(rows.day)
        if self.population.after_months == 0:
            yield from self._morning(end)

    def _opening(self, start: int) -> Step:
        """Return the reports on running loans, then master records and consents, so that the oldest come first."""
        at_ms = day_start_ms(start) + REGISTER_MS
        facts = np.concatenate([*self.loan_facts, np.zeros(0, FACT)])
        facts = facts[facts["time_ms"] < day_start_ms(start)]  # the first day is simulated already
        ended = facts["loan"][np.isin(facts["event"], (CLOSE, WRITTEN_OFF))]
        facts = facts[~np.isin(facts["loan"], ended)]
        facts = facts[np.argsort(facts["time_ms"], kind="stable")]
        others: list[Other] = [self.facts.loan(fact) for fact in facts]
        origins = [self.facts.bank_of(fact) for fact in facts]
        others += self.facts.profiles(at_ms)
        for event in self.facts.penalties():
            self._push(event)
        for fact in facts[np.isin(facts["event"], list(FIRST))]:
            for consent in self.facts.consents(fact, start):
                if consent.revoked:
                    self._push(consent)
                else:
                    others.append(consent)
        origins += [GATEWAY] * (len(others) - len(origins))
        rows = np.zeros(len(others), ROW)
        rows["other"], rows["bank"], rows["arrival_ms"] = np.arange(len(others)), origins, at_ms
        rows["time_ms"] = [one.event_time for one in others]
        return self._step(at_ms, rows, others, [])

    def _push(self, event: Other) -> None:
        self._serial += 1
        heapq.heappush(self._later, (event.event_time, self._serial, event))

    def _morning(self, day: int) -> Iterator[Step]:
        """Yield the receipts of the day before, then files and the backlog of feeds after an outage."""
        start_ms = day_start_ms(day)
        receipts = self._receipts.pop(day, [])
        by_file = self._by_file | (self._outages.back(day - 1) > 0)  # after an outage all comes as in a file
        live = [one for one in receipts if not by_file[one[0]]]
        if live:
            yield self._step(start_ms + RECEIPT_MS, np.zeros(0, ROW), [], live)
        held = [one for one in receipts if by_file[one[0]]]
        files = self._files.pop(day, [])
        if held or files:
            others: list[Other] = []
            parts = []
            for rows, some in files:
                rows["other"][rows["other"] != NOT_OTHER] += len(others)
                others += some
                parts.append(rows)
            rows = np.concatenate(parts) if parts else np.zeros(0, ROW)
            rows["arrival_ms"] = start_ms + FILE_MS
            rows = rows[np.argsort(rows["bank"], kind="stable")]
            yield self._step(start_ms + FILE_MS + RECEIPT_MS, rows, others, held)

    def _through_the_day(self, today: DayRows) -> Step:
        """Return today's records of live banks and the gateway with late ones; keep the others for later."""
        day, start_ms = today.day, day_start_ms(today.day)
        moves = self._reported(today.moves, day)
        self._close_books(moves, day)
        rows = np.zeros(len(moves), ROW)
        for name in MOVE.names or ():
            rows[name] = moves[name]
        rows["bank"] = self.simulation.state.accounts["bank"][moves["account"]]
        rows["other"] = NOT_OTHER
        rows["arrival_ms"] = rows["time_ms"]
        rows = self._flawed(rows, day)
        others, of_bank = self._others(today.facts, day)
        extra = np.zeros(len(others), ROW)
        extra["other"], extra["bank"] = np.arange(len(others)), of_bank
        extra["arrival_ms"] = [one.event_time for one in others]
        extra["time_ms"] = extra["arrival_ms"]
        rows = np.concatenate([rows, extra])
        arrival = self._arrival_day(rows["bank"], day)
        here = arrival == day
        for later in np.unique(arrival[~here]).tolist():
            some = rows[arrival == later]
            some = some[np.argsort(some["time_ms"], kind="stable")]
            kept = np.flatnonzero(some["other"] != NOT_OTHER)
            events = [others[each] for each in some["other"][kept].tolist()]
            some["other"][kept] = np.arange(len(kept))
            self._files[later].append((some, events))
        rows = np.concatenate([rows[here], *self._due_today(day)])
        rows = rows[np.argsort(rows["arrival_ms"], kind="stable")]
        return self._step(start_ms + DAY_MS - 1, rows, others, [])

    def _due_today(self, day: int) -> list[Rows]:
        """Return the records kept for today, without those of feeds in an outage."""
        back, found = self._outages.back(day), []
        for rows in self._postponed.pop(day, []):
            until = back[rows["bank"]]
            found.append(rows[until == 0])
            for later in np.unique(until[until > 0]).tolist():
                self._files[later].append((rows[until == later], []))
        return found

    def _reported(self, moves: Moves, day: int) -> Moves:
        """Return the moves of accounts that their banks report."""
        accounts = self.simulation.state.accounts
        silent = (accounts["silent_from"] <= day) & (day < accounts["silent_until"])
        found: Moves = moves[~silent[moves["account"]]] if silent.any() else moves
        return found

    def _close_books(self, moves: Moves, day: int) -> None:
        """Plan each bank's receipt of the day."""
        bank = self.simulation.state.accounts["bank"][moves["account"]]
        totals = np.zeros((len(self.banks), 3), np.int64)
        credit = IS_CREDIT[moves["kind"]]
        np.add.at(totals[:, 0], bank, 1)
        np.add.at(totals[:, 1], bank[~credit], moves["amount"][~credit])
        np.add.at(totals[:, 2], bank[credit], moves["amount"][credit])
        arrival = self._arrival_day(np.arange(len(self.banks)), day)
        for number in range(len(self.banks)):
            self._receipts[max(int(arrival[number]), day + 1)].append((number, day, totals[number]))

    def _arrival_day(self, bank: npt.NDArray[np.int64], day: int) -> npt.NDArray[np.int64]:
        """Return the day on which a bank delivers its bookings of `day`; the gateway delivers at once."""
        usual = np.append(day + self._by_file, day)
        back = np.append(self._outages.back(day), 0)
        found: npt.NDArray[np.int64] = np.maximum(usual, back)[bank]
        return found

    def _flawed(self, rows: Rows, day: int) -> Rows:
        """Return the day's rows, some with flaws: repeated, conflicting, late, stale, or in an unknown currency.

        Late rows are kept for their day of arrival.
        """
        population = self.population
        place = (rows["account"].astype(np.int64) << 32) | rows["seq"]
        u = chance.uniform(chance.key(population.seed, "flaw"), place)
        edges = np.cumsum([getattr(population, name) for name in FLAWS])
        flaw = np.searchsorted(edges, u, side="right") + 1
        flaw[(u >= edges[-1]) | (rows["status"] != 0)] = 0
        rows["flaw"] = flaw
        if not flaw.any():
            return rows
        v = chance.uniform(chance.key(population.seed, "flaw day"), place)
        again = rows[flaw == DUPLICATE].copy()
        again["arrival_ms"] += 60_000 + (v[flaw == DUPLICATE] * AGAIN_DAYS * DAY_MS).astype(np.int64)
        other = rows[flaw == CONFLICT].copy()
        other["amount"] += 1
        other["arrival_ms"] += CONFLICT_MS
        low, high = LATE_DAYS
        days = np.where(
            flaw == LATE, low + (v * (high - low + 1)).astype(np.int64), np.where(flaw == STALE, STALE_DAYS, 0)
        )
        rows["arrival_ms"] += days * DAY_MS
        # A late row of a file comes by itself: to the platform that is the same as with a later file.
        every = np.concatenate([rows, again, other])
        arrives = (every["arrival_ms"] - day_start_ms(0)) // DAY_MS
        later = arrives > day
        for one in np.unique(arrives[later]).tolist():
            some = every[arrives == one]
            some["arrival_ms"] = np.maximum(some["arrival_ms"], day_start_ms(one) + MORNING_MS)
            self._postponed[one].append(some)
        found: Rows = every[~later]
        return found

    def _others(self, facts: Facts, day: int) -> tuple[list[Other], list[int]]:
        """Return the events of the day that are no transactions, and the sender of each."""
        found: list[Other] = []
        banks: list[int] = []
        for fact in facts:
            if fact["event"] in FIRST:
                for consent in self.facts.consents(fact, day):
                    self._push(consent)
            if fact["event"] == DEFAULT:
                for event in self.facts.court(fact):
                    self._push(event)
            found.append(self.facts.loan(fact))
            banks.append(self.facts.bank_of(fact))
        end_ms = day_start_ms(day + 1)
        while self._later and self._later[0][0] < end_ms:
            found.append(heapq.heappop(self._later)[2])
            banks.append(GATEWAY)
        return found, banks

    def _step(
        self, at_ms: int, rows: Rows, others: list[Other], receipts: list[tuple[int, int, npt.NDArray[np.int64]]]
    ) -> Step:
        """Return a step with its rows numbered by the topic of each sender."""
        bank = rows["bank"].astype(np.int64)
        order = np.argsort(bank, kind="stable")
        of = bank[order]
        rank = np.arange(len(of)) - np.searchsorted(of, of)
        origin = np.empty(len(of), np.int64)
        origin[order] = self._next_origin[of] + rank
        rows["origin"] = origin
        np.add.at(self._next_origin, bank, 1)
        for number, *_ in receipts:
            self._next_origin[number] += 1
        totals = np.array([one[2] for one in receipts], np.int64).reshape(-1, 3)
        return Step(at_ms, rows, others, [one[:2] for one in receipts], totals)


@dataclass(frozen=True, slots=True)
class _Outages:
    """Outages of feeds: bank, first day and end, all int64 (n,)."""

    bank: npt.NDArray[np.int64]
    since: npt.NDArray[np.int64]
    until: npt.NDArray[np.int64]
    banks: int

    def back(self, day: int) -> npt.NDArray[np.int64]:
        """Return by bank the day on which its outage of `day` ends, int64 (banks,); 0 where its feed runs."""
        found = np.zeros(self.banks, np.int64)
        now = (self.since <= day) & (day < self.until)
        np.maximum.at(found, self.bank[now], self.until[now])
        return found


def _outages(population: Population) -> _Outages:
    """Draw at most one outage a month and bank."""
    start, end, banks = population.start_day, population.end_day, population.banks
    months = (end - start) // 30
    places = np.arange(banks * max(months, 1))
    key = chance.key(population.seed, "outage")
    begins = chance.uniform(key, 4 * places) < population.outage / 12.0
    since = start + (places // banks) * 30 + (chance.uniform(key, 4 * places + 1) * 20).astype(np.int64)
    days = chance.between(key, 4 * places + 2, *population.outage_days)
    return _Outages((places % banks)[begins], since[begins], np.minimum(since + days, end)[begins], banks)
