"""A province as a source: what its banks and the gateway would send, in the order of delivery."""

from collections.abc import Iterator, Mapping
from datetime import date

import numpy as np

from config.settings import Bank
from domain import topics
from domain.calendar import date_of, day_start_ms
from domain.events import Authorization, Receipt, Txn, TxnStatus
from replay.judging import Label
from replay.province import parties
from replay.province.delivery import FOREIGN, GATEWAY, NOT_OTHER, Delivering, Step
from replay.province.facts import FIRST, loan_id
from replay.province.layout import BOOKED, CLOSE, DEFAULT, FACT, KINDS, NOBODY, RETURNED, REVERSED
from replay.province.population import Population
from replay.province.simulation import Simulation
from replay.province.writing import (
    BALANCE_FROM,
    CODES_FROM,
    PARTY_BANK_CODE,
    RETURN_REASON,
    SEQ_FROM,
    account_text,
    summary_code,
)
from replay.sources import Delivery

VERSION = 1  # to be raised with every change of what a population gives: a state folder belongs to one
STATUSES: dict[int, TxnStatus] = {BOOKED: "booked", RETURNED: "returned", REVERSED: "reversed"}
READ = (
    "arrival_ms", "bank", "other", "time_ms", "account", "kind", "status", "flaw", "party", "amount", "balance", "seq",
    "ref_seq", "ref_ms",
)  # fmt: skip
DEMO_SEED, SAMPLE_SEED = 2_026, 2_027  # neither tuned nor judged on


class Province:
    """The `Source` of a `Population`. Memory grows with the enterprises, not with the days."""

    is_history = False

    def __init__(self, population: Population, name: str = "province") -> None:
        self.name, self.population = name, population
        self.banks: tuple[Bank, ...] = tuple(population.bank(number) for number in range(population.banks))
        self._delivering: Delivering | None = None
        self._made = 0

    @property
    def identity(self) -> str:
        """The version of the simulator, and what the events of a population follow from."""
        return f"province {VERSION} {self.population.parameters} seed {self.population.seed}"

    @property
    def start_ms(self) -> int:
        """The beginning of the first day."""
        return day_start_ms(self.population.start_day)

    @property
    def live_from_ms(self) -> int:
        """The end of the months that are delivered as a backfill."""
        return day_start_ms(self.population.live_day)

    def deliveries(self) -> Iterator[Delivery]:
        """Yield all events by `at_ms`: those of the population's log, as banks and the gateway sent them."""
        simulation = Simulation(self.population)
        reading, self._delivering, self._made = _Reading(simulation), Delivering(simulation), 0
        reached_ms = 0
        for step in self._delivering.steps():
            for delivery in reading.deliveries(step):
                self._made += 1
                event = delivery.event
                if isinstance(event, Authorization):  # the log opens with consents whose hour is still to come
                    reached_ms = max(reached_ms, event.event_time)
                yield delivery if delivery.at_ms >= reached_ms else Delivery(reached_ms, delivery.topic, event)

    def rows(self) -> Mapping[str, int]:
        """Return no rows: nothing is read, everything is made."""
        return {"read": 0, "made": self._made}

    def outcomes(self) -> Mapping[str, Label]:
        """Return the outcome of each loan that was granted in the log's time and has ended by the truth's last day."""
        if self._delivering is None:
            return {}
        facts = np.concatenate([*self._delivering.loan_facts, np.zeros(0, FACT)])
        facts = facts[facts["time_ms"] >= self.start_ms]
        loans = self._delivering.simulation.state.loans
        first = np.isin(facts["event"], list(FIRST)) & (facts["time_ms"] < day_start_ms(self.population.end_day))
        granted = set(facts["loan"][first].tolist())
        ended: dict[int, Label] = dict.fromkeys(facts["loan"][facts["event"] == CLOSE].tolist(), "good")
        ended |= dict.fromkeys(facts["loan"][facts["event"] == DEFAULT].tolist(), "bad")
        return {loan_id(loans[loan]): label for loan, label in ended.items() if loan in granted}


def demo(enterprises: int, banks: int) -> Province:
    """Return the province that goes live: 15 months of history, and 6 more as they come."""
    population = Population(
        seed=DEMO_SEED, enterprises=enterprises, banks=banks, months=21, backfill_months=15, until=date(2026, 1, 1)
    )
    return Province(population, "demo")


def sample() -> Province:
    """Return what `xinliu replay sample` replays: small, with more failures and flaws than a province has."""
    population = Population(
        seed=SAMPLE_SEED, enterprises=60, banks=4, months=12, until=date(2025, 7, 1), default_rate=0.2, foreign=0.0005,
        conflict=0.0005, stale=0.0005, no_consent=0.15, expired_consent=0.1, revoked_consent=0.15,
    )  # fmt: skip
    return Province(population, "sample")


class _Reading:
    """Converts a simulation's rows to events."""

    def __init__(self, simulation: Simulation) -> None:
        population, state = simulation.population, simulation.state
        self._names = parties.names(population, state.firms, simulation.parties)
        self._banks = [population.bank(number).bank_id for number in range(population.banks)]
        self._topics = [topics.bank_events(bank) for bank in self._banks]
        self._firm, of_bank, slots, self._dollars = (
            state.accounts[name].tolist() for name in ("firm", "bank", "slot", "dollars")
        )
        self._accounts = [
            account_text(self._banks[bank], firm, slot)
            for bank, firm, slot in zip(of_bank, self._firm, slots, strict=True)
        ]

    def deliveries(self, step: Step) -> Iterator[Delivery]:
        """Yield the deliveries of a step, receipts last."""
        for at_ms, bank, other, *move in zip(*(step.rows[name].tolist() for name in READ), strict=True):
            if other != NOT_OTHER:
                topic = topics.GATEWAY if bank == GATEWAY else self._topics[bank]
                yield Delivery(at_ms, topic, step.others[other])
            else:
                yield Delivery(at_ms, self._topics[bank], self._txn(bank, *move))
        for (bank, day), (count, debit, credit) in zip(step.receipts, step.totals.tolist(), strict=True):
            receipt = Receipt(
                bank_id=self._banks[bank],
                day=date_of(day).isoformat(),
                count=count,
                debit_minor=debit,
                credit_minor=credit,
            )
            yield Delivery(step.at_ms, self._topics[bank], receipt)

    def _txn(
        self, bank: int, time_ms: int, account: int, kind: int, status: int, flaw: int, party: int, amount: int,
        balance: int, seq: int, ref_seq: int, ref_ms: int,
    ) -> Txn:  # fmt: skip
        """Return a row as an event, field by field like the compiled writer."""
        direction, purpose, party_kind, channel = KINDS[kind]
        coded, undone = bank % CODES_FROM[0] == CODES_FROM[1], status != BOOKED
        text = self._accounts[account]
        return Txn(
            event_id=f"{text}-{seq}",
            bank_id=self._banks[bank],
            enterprise_id=self._names[self._firm[account]],
            event_time=time_ms,
            seq=seq if bank % SEQ_FROM[0] == SEQ_FROM[1] else None,
            account=text,
            direction=direction,
            amount_minor=amount,
            currency="XXX" if flaw == FOREIGN else "USD" if self._dollars[account] else "CNY",
            balance_minor=None if bank % BALANCE_FROM[0] == BALANCE_FROM[1] else balance,
            counterparty_id=None if party == NOBODY else self._names[party],
            counterparty_bank_code=PARTY_BANK_CODE if coded and party != NOBODY else None,
            counterparty_kind=party_kind,
            purpose=purpose,
            summary_code=summary_code(kind) if coded else None,
            channel=channel,
            status=STATUSES[status],
            ref_event_id=f"{text}-{ref_seq}" if undone else None,
            ref_event_time=ref_ms if undone else None,
            return_reason=RETURN_REASON if status == RETURNED else None,
        )
