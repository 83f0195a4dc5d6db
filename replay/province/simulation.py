"""The simulation of a Population, day by day."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from replay.province import calendar as calendars
from replay.province import chance, credit, firms, links, parties
from replay.province.chance import Integers
from replay.province.fates import draw_fates
from replay.province.layout import (
    COUNTS,
    DEAD_FEED,
    FACT,
    FACTS,
    LOANS,
    MOVE,
    MOVES,
    NOBODY,
    SALE,
    SALE_GOVERNMENT,
    UNDO,
    UNDOS,
    Facts,
    Links,
    Moves,
)
from replay.province.life import live_day, number_moves
from replay.province.links import Trade
from replay.province.parties import Parties
from replay.province.population import Population
from replay.province.state import State, numbers_of, places_of

MOVES_A_FIRM, MOVES_A_LINK, MOVES_A_LOAN = 90, 2, 12  # the most in a day: untouched memory costs nothing
FACTS_A_LOAN = 12
SECOND_BANK_SHARE = 0.35  # of customers, who pay into the account at the second bank
UNDOS_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class DayRows:
    """The events of a day: `moves` numbered by account and time, of days in the log only; `facts` in their order."""

    day: int
    moves: Moves
    facts: Facts


class Simulation:
    """The province of a Population. `days` may be consumed once."""

    def __init__(self, population: Population) -> None:
        self.population = population
        built, traits = firms.found(population)
        credit.relate(population, built)
        trade = draw_fates(population, built, links.trade(population, built))
        opened = firms.open_accounts(
            population, built, traits.more_accounts, credit.needs_new_lender(population, built)
        )
        self.parties = parties.lay_out(population, len(trade.links))
        _place_links(population, built, trade, self.parties, opened.second)
        sorted_links = _sorted(population, built, trade)
        loans = credit.plan_loans(population, built, traits, opened)
        _silence(built, opened.accounts)
        counts = np.zeros(len(COUNTS), np.int64)
        counts[LOANS] = np.count_nonzero(loans["term"])
        moves = len(built) * MOVES_A_FIRM + len(sorted_links) * MOVES_A_LINK + len(loans) * MOVES_A_LOAN
        days = calendars.days(population)
        self.state = State(
            firms=built,
            accounts=opened.accounts,
            links=sorted_links,
            loans=loans,
            undos=np.zeros(UNDOS_MAX, UNDO),
            moves=np.empty(moves, MOVE),
            facts=np.empty(len(loans) * FACTS_A_LOAN, FACT),
            calendar=days,
            seasons=calendars.seasons(population, days),
            numbers=numbers_of(population),
            places=places_of(population, self.parties),
            counts=counts,
        )

    def days(self) -> Iterator[DayRows]:
        """Yield each simulated day; its facts are overwritten by the next one.

        Moves of days outside the log are not numbered and not yielded.
        """
        w, population = self.state, self.population
        balances: Integers = w.accounts["balance"].copy()
        seqs = np.zeros(len(w.accounts), np.int32)
        for i, day in enumerate(w.calendar["day"].tolist()):
            if day == population.start_day:
                balances[:] = w.accounts["balance"]
                w.counts[UNDOS] = 0  # their originals are not numbered
            live_day(w, i)
            moves = w.moves[: w.counts[MOVES]]
            if population.start_day <= day < population.end_day:
                order = _order(moves, int(w.calendar["start_ms"][i]))
                number_moves(w, order, balances, seqs)
                moves = moves[order]
            else:
                moves = moves[:0]
            yield DayRows(day, moves, w.facts[: w.counts[FACTS]])


def _order(moves: Moves, start_ms: int) -> npt.NDArray[np.int64]:
    """Return the order of moves by account and time, stable, int64 (moves,)."""
    key = (moves["account"].astype(np.int64) << 28) + (moves["time_ms"] - start_ms)
    return np.argsort(key, kind="stable")


def _place_links(population: Population, built: np.ndarray, trade: Trade, places: Parties, second: Integers) -> None:
    """Set the parties of links, and the accounts that receive their payments."""
    found, inside = trade.links, trade.inside
    links.name_parties(population, found, inside, places)
    found["other_account"] = np.where(inside, built["account"][np.where(inside, found["party"], 0)], NOBODY)
    at = np.arange(len(found))
    customers = np.isin(found["kind"], (SALE, SALE_GOVERNMENT)) & (found["account"] == -1)
    elsewhere = chance.uniform(chance.key(population.seed, "links", "bank"), at) < SECOND_BANK_SHARE
    of_firm = second[found["firm"]]
    found["account"] = np.where(customers & elsewhere & (of_firm >= 0), of_firm, found["account"])


def _sorted(population: Population, built: np.ndarray, trade: Trade) -> Links:
    """Return the links by enterprise, with the day of the first payment of each."""
    found = trade.links
    u = chance.uniform(chance.key(population.seed, "links", "first day"), np.arange(len(found)))
    found["plan"] = np.maximum(population.first_day, found["from"]) + u * found["every"]
    found["next"] = found["plan"].astype(np.int64)
    found = found[np.argsort(found["firm"], kind="stable")]
    numbers = np.arange(len(built))
    built["link_first"] = np.searchsorted(found["firm"], numbers)
    built["link_count"] = np.searchsorted(found["firm"], numbers, side="right") - built["link_first"]
    return found


def _silence(built: np.ndarray, accounts: np.ndarray) -> None:
    """Mark the accounts that their bank does not report for some time."""
    who = np.flatnonzero(built["scenario"] == DEAD_FEED)
    accounts["silent_from"][built["account"][who]] = built["onset"][who]
    accounts["silent_until"][built["account"][who]] = built["over"][who]
