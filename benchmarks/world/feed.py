"""The records of a world's banks in its timed days, all banks together in the order of sending."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.world import history, population, writing
from benchmarks.world.history import Events, Shape
from benchmarks.world.log import HEADERS, World, partitions_of
from benchmarks.world.population import BANKS, Profiles, bank_id, enterprise_id
from benchmarks.world.writing import Written
from domain import topics
from domain.calendar import date_of, day_of, day_start_ms
from domain.events import Loan, Receipt, Txn
from sinks.batch import Headers

_encode = msgspec.json.Encoder().encode
_RECEIPT_DELAY_MS = 600_000
NEW_ENTERPRISE = 900_000_000  # numbers from here on are of nobody that the world knows


@dataclass(frozen=True, slots=True)
class Sent:
    """One record of a bank: its topic, key, value and headers."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = HEADERS


@dataclass(frozen=True, slots=True)
class Transactions:
    """The transactions of the timed days, by arrival; `profiles` are all enterprises, and `events` refer to them."""

    profiles: Profiles
    events: Events

    def banks(self) -> npt.NDArray[np.int64]:
        """Return the bank of each transaction, int64 (n,)."""
        found: npt.NDArray[np.int64] = self.profiles["bank"][self.events["enterprise"], self.events["slot"]].astype(
            np.int64
        )
        return found


def transactions(world: World, most: int, shape: Shape | None = None) -> Transactions:
    """Return the first `most` transactions of the timed days."""
    days = world.warm_days + world.timed_days
    profiles, events, first = [], [], 0
    for partition in range(world.partitions):
        some = population.profiles(world.seed, world.members(partition), days, world.mix)
        rows = history.history(world.seed, some, shape or world.shape)
        rows = rows[rows["arrival_ms"] >= world.timed_from_ms].copy()
        rows["enterprise"] += first
        first += len(some)
        profiles.append(some)
        events.append(rows)
    every = np.concatenate(events)
    return Transactions(np.concatenate(profiles), every[np.argsort(every["arrival_ms"], kind="stable")][:most])


def feed(found: Transactions) -> Iterator[Sent]:
    """Yield the transactions, and after each midnight every bank's receipt of the day before."""
    written: Written = writing.bank_records(found.events, found.profiles)
    names = [topics.bank_events(bank_id(bank)) for bank in range(BANKS)]
    banks, arrivals = found.banks().tolist(), found.events["arrival_ms"].tolist()
    keys = [enterprise_id(number).encode() for number in found.profiles["number"].tolist()]
    day = day_of(arrivals[0] - _RECEIPT_DELAY_MS)
    for i, (bank, arrival, who) in enumerate(zip(banks, arrivals, found.events["enterprise"].tolist(), strict=True)):
        while arrival - _RECEIPT_DELAY_MS >= day_start_ms(day + 1):
            yield from receipts(day)
            day += 1
        yield Sent(names[bank], keys[who], written.value(i))


def receipts(day: int) -> list[Sent]:
    """Return every bank's receipt of a day."""
    found = []
    for bank in range(BANKS):
        receipt = Receipt(bank_id=bank_id(bank), day=f"{date_of(day):%Y-%m-%d}", count=1, debit_minor=0, credit_minor=1)
        found.append(Sent(topics.bank_events(bank_id(bank)), None, _encode(receipt)))
    return found


def probe_records(event_ms: int, partitions: int) -> list[Sent]:
    """Return one transaction of a new enterprise for each partition; its score shows that all before it are scored."""
    wanted, found, number = set(range(partitions)), [], NEW_ENTERPRISE
    places = partitions_of(range(NEW_ENTERPRISE, NEW_ENTERPRISE + 40 * partitions), partitions).tolist()
    for number, partition in zip(range(NEW_ENTERPRISE, NEW_ENTERPRISE + 40 * partitions), places, strict=True):
        if partition in wanted:
            wanted.remove(partition)
            found.append(_sent(_sale(f"first-{number}", number, number % BANKS, event_ms, 100_000)))
    if wanted:
        raise RuntimeError(f"no number found for the partitions {sorted(wanted)}")
    return found


def bad_news(profile: np.void, event_ms: int) -> tuple[str, Sent]:
    """Return (event id, record) of an instalment eight days overdue, which raises an alert about a borrower at once."""
    number, bank = int(profile["number"]), int(profile["bank"][0])
    event_id = f"bad-news-{number}"
    return event_id, _sent(
        Loan(
            event_id=event_id, bank_id=bank_id(bank), enterprise_id=enterprise_id(number), event_time=event_ms,
            loan_id=f"L{number:09d}", event="overdue", principal_minor=int(profile["level_fen"]) * 60,
            outstanding_minor=int(profile["level_fen"]) * 30, dpd=8, granted_on="2025-08-01",
        )
    )  # fmt: skip


def _sale(event_id: str, number: int, bank: int, event_ms: int, fen: int) -> Txn:
    return Txn(
        event_id=event_id, bank_id=bank_id(bank), enterprise_id=enterprise_id(number), event_time=event_ms,
        account="6222020000000000001", direction="C", amount_minor=fen, currency="CNY", balance_minor=fen,
        counterparty_id="91440300000000000E", counterparty_kind="corporate", purpose="sales",
    )  # fmt: skip


def _sent(event: Loan | Txn) -> Sent:
    return Sent(topics.bank_events(event.bank_id), event.enterprise_id.encode(), _encode(event))
