"""The loans at the beginning of the simulation, active or planned, and their guarantors."""

import numpy as np
import numpy.typing as npt

from replay.province import chance
from replay.province.chance import Integers
from replay.province.firms import Opened, Traits
from replay.province.layout import (
    BULLET,
    DEBT_SPIRAL,
    LOAN,
    NEVER,
    NOBODY,
    OVER_EXPANSION,
    PLANNED,
    REVOLVING,
    Firms,
    Loans,
    zeros,
)
from replay.province.population import Population

LOANS_A_CHAIN = 9  # rows: each loan may have successors
ROUND_MINOR = 1_000_000  # principals are whole multiples of 10,000 yuan
SHOWN_LEVERAGE = -0.7  # of a standard deviation of soundness, in the logarithm of a loan
FIRST_GRANTS_DAYS = 330  # within which the first loans are granted
MORE_AT = (0.1, 0.6)  # of the time from onset to failure: when a new lender is found
MORE_SHARE = 0.6  # of debt spirals and expansions with a new lender
RELATED_SHARE = 0.45  # of enterprises that belong to a group of two or three


def needs_new_lender(population: Population, firms: Firms) -> npt.NDArray[np.bool_]:
    """Return which enterprises borrow from a new lender on their way into trouble, bool (enterprises,)."""
    u = chance.uniform(chance.key(population.seed, "loan", "new lender"), np.arange(len(firms)))
    found: npt.NDArray[np.bool_] = (
        np.isin(firms["scenario"], (DEBT_SPIRAL, OVER_EXPANSION)) & (firms["borrows"] > 0) & (u < MORE_SHARE)
    )
    return found


def relate(population: Population, firms: Firms) -> None:
    """Make groups of related enterprises from neighbours: each has up to two related ones."""
    n = len(firms)
    u = chance.uniform(chance.key(population.seed, "related"), np.arange(n))
    for number in range(0, n - 2, 3):
        if u[number] < RELATED_SHARE:
            members = [number, number + 1, number + 2] if u[number] < RELATED_SHARE / 2 else [number, number + 1]
            for one in members:
                others = [other for other in members if other != one]
                firms["related"][one, : len(others)] = others


def plan_loans(population: Population, firms: Firms, traits: Traits, opened: Opened) -> Loans:
    """Return first loans, second loans and those that come with trouble, with free rows for their successors."""
    places = np.arange(len(firms))
    key = chance.key(population.seed, "loan", "plans")
    u = [chance.uniform(key, 8 * places + k) for k in range(8)]
    borrows = firms["borrows"] > 0
    second = borrows & (u[0] < population.second_loan)
    fresh = opened.new_lender >= 0
    low, high = MORE_AT
    way = firms["onset"] + ((low + (high - low) * u[3]) * (firms["turn"] - firms["onset"])).astype(np.int64)
    other = np.where(opened.second >= 0, opened.second, firms["account"])
    parts = [
        (
            np.flatnonzero(borrows),
            opened.lender,
            population.first_day + 3 + (u[1] * FIRST_GRANTS_DAYS).astype(np.int64),
        ),
        (np.flatnonzero(second), other, population.first_day + 40 + (u[2] * 2 * FIRST_GRANTS_DAYS).astype(np.int64)),
        (np.flatnonzero(fresh), opened.new_lender, np.maximum(way, population.first_day)),
    ]
    planned = sum(len(who) for who, *_ in parts)
    loans = zeros(LOAN, planned * LOANS_A_CHAIN + 1, renews=NOBODY, guarantor=NOBODY, default_day=NEVER)
    at = 0
    for part, (who, account, day) in enumerate(parts):
        some = loans[at : at + len(who)]
        some["firm"], some["account"], some["granted"] = who, account[who], day[who]
        some["state"], some["number"] = PLANNED, part
        _terms(population, firms, traits, some, part)
        at += len(who)
    return loans


def _terms(population: Population, firms: Firms, traits: Traits, some: Loans, part: int) -> None:
    """Set kind, term, principal, interest, successor and guarantors of planned loans."""
    who = some["firm"].astype(np.int64)
    key = chance.key(population.seed, "loan", "terms", part)
    kinds = population.loan_kinds
    some["kind"] = chance.weighted(key, 8 * who, [row.weight for row in kinds])
    terms = np.array([row.terms for row in kinds])
    some["term"] = terms[some["kind"], chance.between(key, 8 * who + 1, 0, terms.shape[1] - 1)]
    months = np.array([row.loan_months for row in population.sizes])[firms["size"][who]]
    scale = np.array([row.scale for row in kinds])[some["kind"]]
    spread = population.loan_spread * chance.normal(key, 8 * who + 2) + SHOWN_LEVERAGE * traits.soundness[who]
    size = months * scale * firms["base"][who] * chance.exponential(spread) * (0.5 if part else 1.0)
    rounded = np.maximum(np.round(size / ROUND_MINOR), 1.0) * ROUND_MINOR
    some["principal"], some["limit"] = rounded, np.where(some["kind"] == REVOLVING, rounded, 0)
    low, high = population.interest
    some["rate"] = np.round(low + (high - low) * chance.uniform(key, 8 * who + 3), 4)
    u = chance.uniform(key, 8 * who + 4)
    renewed = population.lent_again * population.renewed
    some["again"] = np.where((some["kind"] == BULLET) & (u < renewed), 1, np.where(u < population.lent_again, 2, 0))
    some["guarantor"] = _guarantors(population, firms, who, key)
    some["calls"] = chance.uniform(key, 8 * who + 6) < population.called


def _guarantors(population: Population, firms: Firms, who: Integers, key: np.uint64) -> Integers:
    """Return guarantors, int64 (loans, 2): a related enterprise first, otherwise one with a near number."""
    n = len(firms)
    found = np.full((len(who), 2), NOBODY, np.int64)
    if n < 2:
        return found
    u = chance.uniform(key, 8 * who + 5)
    guaranteed = u < population.guaranteed
    near = (who + chance.between(key, 8 * who + 7, 1, min(40, n - 1))) % n
    first = np.where(firms["related"][who, 0] >= 0, firms["related"][who, 0], near)
    found[:, 0] = np.where(guaranteed, first, NOBODY)
    two = (u < population.guaranteed / 3) & (near != first)
    found[:, 1] = np.where(two, near, NOBODY)
    return found
