"""A seeded economy as a stream: what banks and the gateway would send, day by day, in the order of delivery.

Memory grows with the enterprises, not with the days: a bank's day is made, sorted and handed on. Events of a seed are
the same bytes on every machine (tests pin a digest).
"""

import heapq
from collections.abc import Iterator, Mapping
from datetime import date
from operator import attrgetter

import msgspec

from config.settings import Bank
from domain import topics
from domain.calendar import DAY_MS, date_of, day_of, day_of_date, day_start_ms
from domain.events import Authorization, Profile, Receipt, Txn
from domain.money import AMOUNT_MINOR_MAX
from replay.behaviour import Life
from replay.draw import MILLION, Draw
from replay.judging import Label
from replay.population import GATEWAY_ID, OF_A_PROVINCE, Enterprise, Population, consent_hash, enterprise
from replay.sources import Delivery, Sendable
from replay.workdays import Workday, workdays

VERSION = 2  # to be raised with every change of what a seed gives
REGISTER_MS = 6 * 3_600_000  # the gateway's records, on the first day
RECEIPT_MS = 30 * 60_000  # after the end of the day
FILE_MS = 5 * 3_600_000  # after the end of the day: a bank that delivers by file
LATE_DAYS_MAX = 5
MORNING_MS = 6 * 3_600_000  # nothing is delivered before it but receipts: they alone say when a day is closed
STALE_DAYS = 12  # past the allowed lateness of seven
FOREIGN_CURRENCY = "XXX"
# Late deliveries are of these purposes, so that the order of arrival decides no early warning on inflows.
LATE_PURPOSES = frozenset({"purchase", "fee", "utility", "cash", "rent"})
YEARS_OF_CONSENT = 2


class Simulation:
    """The `Source` of a `Population`."""

    is_history = False

    def __init__(self, population: Population, name: str = "simulation") -> None:
        self.name = name
        self.population = population
        self.banks: tuple[Bank, ...] = tuple(population.bank(number) for number in range(population.bank_count))
        self._made = 0

    @property
    def identity(self) -> str:
        """The population and the version of the simulator."""
        return f"simulation {VERSION} {self.population}"

    @property
    def start_ms(self) -> int:
        """The beginning of the first day."""
        return day_start_ms(self.population.start_day)

    def deliveries(self) -> Iterator[Delivery]:
        """Yield all events of all banks and the gateway."""
        self._made = 0
        calendar = tuple(workdays(self.population.start_day, self.population.end_day))
        feeds = [_bank_feed(self.population, number, calendar) for number in range(len(self.banks))]
        for delivery in heapq.merge(_gateway_feed(self.population), *feeds, key=attrgetter("at_ms")):
            self._made += 1
            yield delivery

    def rows(self) -> Mapping[str, int]:
        """Return no rows: nothing is read, everything is made."""
        return {"read": 0, "made": self._made}

    def outcomes(self) -> Mapping[str, Label]:
        """None: what becomes of the loans is in their events, and most still run."""
        return {}


def sample() -> Simulation:
    """Return the sample that `xinliu replay sample` replays."""
    return Simulation(Population(), "sample")


def province(enterprise_count: int = 2_000, bank_count: int = 141) -> tuple[Simulation, int]:
    """Return a province that goes live: 15 months of history and 6 more as they come; and when these begin (ms)."""
    population = Population(
        bank_count=bank_count,
        enterprise_count=enterprise_count,
        month_count=21,
        end_day=day_of_date(date(2026, 1, 1)),
        file_bank_ppm=MILLION // 2,
        onset_permille=(250, 950),
        activities=OF_A_PROVINCE,
    )
    return Simulation(population, "province"), day_start_ms(day_of_date(date(2025, 7, 1)))


class _Totals:
    """A bank's own totals of one day, by the day of the event and not of its delivery."""

    __slots__ = ("count", "credit_minor", "debit_minor")

    def __init__(self) -> None:
        self.count = self.credit_minor = self.debit_minor = 0

    def add(self, txn: Txn) -> None:
        self.count += 1
        if txn.direction == "C":
            self.credit_minor += txn.amount_minor
        else:
            self.debit_minor += txn.amount_minor


def _bank_feed(population: Population, number: int, calendar: tuple[Workday, ...]) -> Iterator[Delivery]:
    bank_id = population.bank(number).bank_id
    topic = topics.bank_events(bank_id)
    lives = [
        Life(population, enterprise(population, each))
        for each in range(number, population.enterprise_count, population.bank_count)
    ]
    flaws = _Flaws(population, number)
    by_file = population.bank(number).mode == "daily_file"
    postponed: list[tuple[int, int, Sendable]] = []  # a heap of (at_ms, tie-break, event)
    file: list[tuple[int, Sendable]] = []  # yesterday's, delivered this morning
    for today in calendar:
        totals = _Totals()
        end_ms = day_start_ms(today.day + 1)
        due: list[tuple[int, int, Sendable]] = []
        for life in lives:
            for event in life.day(today):
                if isinstance(event, Txn):
                    totals.add(event)
                    for at_ms, copy in flaws.ways(event):
                        flaws.serial += 1
                        entry: tuple[int, int, Sendable] = (at_ms, flaws.serial, copy)
                        if at_ms < end_ms:
                            due.append(entry)
                        else:
                            heapq.heappush(postponed, entry)
                else:
                    flaws.serial += 1
                    due.append((event.event_time, flaws.serial, event))
        while postponed and postponed[0][0] < end_ms:
            due.append(heapq.heappop(postponed))
        due.sort()
        receipt = _receipt(bank_id, today.day, totals)
        if by_file:
            yield from (Delivery(at_ms, topic, sent) for at_ms, sent in file)
            file = [(end_ms + FILE_MS, sent) for _, _, sent in due]
            file.append((end_ms + FILE_MS + RECEIPT_MS, receipt))
            continue
        yield from (Delivery(at_ms, topic, sent) for at_ms, _, sent in due)
        flaws.serial += 1
        heapq.heappush(postponed, (end_ms + RECEIPT_MS, flaws.serial, receipt))
    yield from (Delivery(at_ms, topic, sent) for at_ms, sent in file)
    for at_ms, _, sent in sorted(postponed):
        yield Delivery(day_start_ms(day_of(at_ms) + 1) + FILE_MS if by_file else at_ms, topic, sent)


class _Flaws:
    """Faults of a bank's deliveries: late, twice, with another body, far too late, in no currency."""

    __slots__ = ("_draw", "_edges", "serial")

    def __init__(self, population: Population, number: int) -> None:
        self._draw = Draw(population.seed, "flaws", number)
        rates = (
            population.duplicate_ppm, population.conflict_ppm, population.stale_ppm, population.foreign_ppm,
            population.late_ppm,
        )  # fmt: skip
        # One draw decides: it falls between two edges, or beyond all of them.
        self._edges = tuple(sum(rates[: count + 1]) for count in range(len(rates)))
        self.serial = 0

    def ways(self, txn: Txn) -> tuple[tuple[int, Txn], ...]:
        """Yield the times and forms in which `txn` is delivered."""
        draw = self._draw
        lot = draw.below(MILLION)
        at_ms = txn.event_time
        if lot >= self._edges[-1] or txn.status != "booked":
            return ((at_ms, txn),)
        if lot < self._edges[0]:
            return ((at_ms, txn), (_by_day(at_ms + draw.between(60_000, 3 * DAY_MS)), txn))
        if lot < self._edges[1]:
            other = msgspec.structs.replace(txn, amount_minor=min(txn.amount_minor + 1, AMOUNT_MINOR_MAX))
            return ((at_ms, txn), (at_ms + 60_000, other))
        if lot < self._edges[2]:
            return ((at_ms + STALE_DAYS * DAY_MS, txn),) if txn.purpose in LATE_PURPOSES else ((at_ms, txn),)
        if lot < self._edges[3]:
            foreign = msgspec.structs.replace(txn, currency=FOREIGN_CURRENCY)
            return ((at_ms, foreign),) if txn.purpose in LATE_PURPOSES else ((at_ms, txn),)
        late_ms = draw.between(DAY_MS, LATE_DAYS_MAX * DAY_MS)
        return ((_by_day(at_ms + late_ms), txn),) if txn.purpose in LATE_PURPOSES else ((at_ms, txn),)


def _by_day(at_ms: int) -> int:
    """Return the time, or the morning of its day."""
    return max(at_ms, day_start_ms(day_of(at_ms)) + MORNING_MS)


def _receipt(bank_id: str, day: int, totals: _Totals) -> Receipt:
    return Receipt(
        bank_id=bank_id,
        day=date_of(day).isoformat(),
        count=totals.count,
        debit_minor=totals.debit_minor,
        credit_minor=totals.credit_minor,
    )


def _gateway_feed(population: Population) -> Iterator[Delivery]:
    """Master records and consents, before anything else."""
    at_ms = day_start_ms(population.start_day) + REGISTER_MS
    for number in range(population.enterprise_count):
        one = enterprise(population, number)
        yield Delivery(at_ms, topics.GATEWAY, _profile(one, at_ms, population))
        if one.borrows:
            for consent in _consents(one, at_ms, population):
                yield Delivery(at_ms, topics.GATEWAY, consent)


def _profile(one: Enterprise, at_ms: int, population: Population) -> Profile:
    return Profile(
        event_id=f"PR{one.number:07d}",
        bank_id=GATEWAY_ID,
        enterprise_id=one.enterprise_id,
        event_time=at_ms,
        industry=one.industry,
        region=one.region,
        size_class=one.size_class,
        registered_capital_minor=one.sales_month_minor * 2,
        paid_in_capital_minor=one.sales_month_minor,
        opened_on=date_of(population.start_day - 400 - one.number % 3000).isoformat(),
        declared_annual_sales_minor=one.sales_month_minor * 12,
        name_masked=f"{one.name[:2]}***{one.name[-3:]}",
    )


def _consents(one: Enterprise, at_ms: int, population: Population) -> Iterator[Authorization]:
    """Yield the consents of the enterprise to its lender: none, or 贷后管理 that holds, runs out or is revoked."""
    if one.consent == "missing":
        return
    authorization_id = f"AU{one.number:07d}"
    # An expired one ends before the first loans can be in trouble.
    days = 90 if one.consent == "expired" else population.end_day - population.start_day + YEARS_OF_CONSENT * 365
    granted = Authorization(
        event_id=authorization_id,
        bank_id=GATEWAY_ID,
        enterprise_id=one.enterprise_id,
        event_time=at_ms,
        to_bank_id=one.bank_id,
        purpose="贷后管理",
        valid_from=at_ms,
        valid_to=at_ms + days * DAY_MS,
        authorization_id=authorization_id,
        consent_hash=consent_hash(authorization_id),
        confirmed_by_enterprise_at=at_ms - 3_600_000,
    )
    yield granted
    if one.consent == "revoked":
        yield msgspec.structs.replace(granted, event_id=f"{authorization_id}-R", event_time=at_ms + 1_000, revoked=True)
