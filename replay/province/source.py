"""The events that the banks of a simulated province and the gateway would send, in the order of delivery."""

from collections.abc import Iterator

import numpy as np

from domain import topics
from domain.calendar import date_of
from domain.events import Receipt, Txn, TxnStatus
from replay.province import parties
from replay.province.delivery import FOREIGN, GATEWAY, NOT_OTHER, Delivering, Step
from replay.province.layout import BOOKED, KINDS, NOBODY, RETURNED, REVERSED
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

STATUSES: dict[int, TxnStatus] = {BOOKED: "booked", RETURNED: "returned", REVERSED: "reversed"}


def deliveries(population: Population) -> Iterator[Delivery]:
    """Yield all events of all banks and the gateway by `at_ms`: what a log of the population holds, as it was sent."""
    simulation = Simulation(population)
    reading = _Reading(simulation)
    for step in Delivering(simulation).steps():
        yield from reading.deliveries(step)


class _Reading:
    """Converts a simulation's rows to events."""

    def __init__(self, simulation: Simulation) -> None:
        population, state = simulation.population, simulation.state
        self._names = parties.names(population, state.firms, simulation.parties)
        self._banks = [population.bank(number).bank_id for number in range(population.banks)]
        self._topics = [topics.bank_events(bank) for bank in self._banks]
        self._firm, self._bank = state.accounts["firm"].tolist(), state.accounts["bank"].tolist()
        self._dollars = state.accounts["dollars"].tolist()
        slots = state.accounts["slot"].tolist()
        self._accounts = [
            account_text(self._banks[bank], firm, slot)
            for bank, firm, slot in zip(self._bank, self._firm, slots, strict=True)
        ]

    def deliveries(self, step: Step) -> Iterator[Delivery]:
        """Yield the deliveries of a step, receipts last."""
        for row in step.rows:
            at_ms, bank = int(row["arrival_ms"]), int(row["bank"])
            if row["other"] != NOT_OTHER:
                topic = topics.GATEWAY if bank == GATEWAY else self._topics[bank]
                yield Delivery(at_ms, topic, step.others[int(row["other"])])
            else:
                yield Delivery(at_ms, self._topics[bank], self.txn(row))
        for (bank, day), (count, debit, credit) in zip(step.receipts, step.totals.tolist(), strict=True):
            receipt = Receipt(
                bank_id=self._banks[bank],
                day=date_of(day).isoformat(),
                count=count,
                debit_minor=debit,
                credit_minor=credit,
            )
            yield Delivery(step.at_ms, self._topics[bank], receipt)

    def txn(self, row: np.void) -> Txn:
        """Return a row as an event, field by field like the compiled writer."""
        account, bank, kind, status = int(row["account"]), int(row["bank"]), int(row["kind"]), int(row["status"])
        direction, purpose, party_kind, channel = KINDS[kind]
        party = int(row["party"])
        coded, undone = bank % CODES_FROM[0] == CODES_FROM[1], status != BOOKED
        foreign, dollars = int(row["flaw"]) == FOREIGN, self._dollars[account]
        return Txn(
            event_id=f"{self._accounts[account]}-{int(row['seq'])}",
            bank_id=self._banks[bank],
            enterprise_id=self._names[self._firm[account]],
            event_time=int(row["time_ms"]),
            seq=int(row["seq"]) if bank % SEQ_FROM[0] == SEQ_FROM[1] else None,
            account=self._accounts[account],
            direction=direction,
            amount_minor=int(row["amount"]),
            currency="XXX" if foreign else "USD" if dollars else "CNY",
            balance_minor=None if bank % BALANCE_FROM[0] == BALANCE_FROM[1] else int(row["balance"]),
            counterparty_id=None if party == NOBODY else self._names[party],
            counterparty_bank_code=PARTY_BANK_CODE if coded and party != NOBODY else None,
            counterparty_kind=party_kind,
            purpose=purpose,
            summary_code=summary_code(kind) if coded else None,
            channel=channel,
            status=STATUSES[status],
            ref_event_id=f"{self._accounts[account]}-{int(row['ref_seq'])}" if undone else None,
            ref_event_time=int(row["ref_ms"]) if undone else None,
            return_reason=RETURN_REASON if status == RETURNED else None,
        )
