"""The trade links: suppliers and customers of each enterprise, some of them enterprises of the province.

A link between two enterprises belongs to the buyer; its payment is the seller's receipt. The seller's other sales come
from outside.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from replay.province import chance
from replay.province.chance import Floats, Integers
from replay.province.layout import BUY, BUY_PERSON, LINK, NEVER, SALE, SALE_GOVERNMENT, Firms, Links, zeros
from replay.province.parties import PERSONS_A_FIRM, Parties
from replay.province.population import Population

SUPPLYING = "ACFGIL"  # sections that sell to other enterprises
SUPPLY_SHARE_MAX = 0.5  # of a supplier's sales to customers of the province
OUTSIDE_SHARE_MIN = 0.08
CUSTOMERS_MIN = 2
GOVERNMENT = 0.06
UNEVEN = 0.7  # standard deviation of the logarithm of partners' shares
WEEK, FORTNIGHT, MONTH = 7.0, 14.0, 365.25 / 12
MILESTONE = (50.0, 100.0)  # days between the payments of a project
OF_SIZE = {"micro": 1.0, "small": 1.6, "medium": 2.6}  # frequent partners


class Trade(NamedTuple):
    """The links; `of_sales` (links,): share of the seller's sales; `inside` (links,): both are in the province."""

    links: Links
    of_sales: Floats
    inside: npt.NDArray[np.bool_]


def trade(population: Population, firms: Firms) -> Trade:
    """Return the links to suppliers, then those to customers outside."""
    bought, suppliers = _suppliers(population, firms)
    sold = np.zeros(len(firms))
    np.add.at(
        sold, bought["party"][suppliers], _amount(firms, bought)[suppliers] / firms["base"][bought["party"][suppliers]]
    )
    customers = _customers(population, firms, sold)
    links = np.concatenate([bought, customers])
    of_sales = np.zeros(len(links))
    of_sales[: len(bought)][suppliers] = _amount(firms, bought)[suppliers] / firms["base"][bought["party"][suppliers]]
    of_sales[len(bought) :] = customers["share"]
    return Trade(links, of_sales, np.concatenate([suppliers, np.zeros(len(customers), bool)]))


def _amount(firms: Firms, bought: Links) -> Floats:
    """Return a month's purchases over each link, in fen, float64 (links,)."""
    found: Floats = bought["share"] * firms["purchases"][bought["firm"]] * firms["base"][bought["firm"]]
    return found


def _suppliers(population: Population, firms: Firms) -> tuple[Links, npt.NDArray[np.bool_]]:
    """Return the links to suppliers, and which of these are enterprises of the province, bool (links,)."""
    counts = _counts(population, firms, "suppliers")
    links = _many(population, firms, counts, "suppliers", top=(0.15, 0.45))
    links["pays"], links["kind"] = 1, BUY
    places = np.arange(len(links))
    persons = (
        chance.uniform(chance.key(population.seed, "links", "persons"), places) < firms["from_persons"][links["firm"]]
    )
    links["kind"][persons] = BUY_PERSON
    wish = chance.uniform(chance.key(population.seed, "links", "inside"), places) < population.inside_trade
    inside = _matched(population, firms, links, np.flatnonzero(wish & ~persons))
    return links, inside


def _matched(population: Population, firms: Firms, links: Links, wishes: Integers) -> npt.NDArray[np.bool_]:
    """Set suppliers of the province on links that want one, within their capacity; return which links have one."""
    inside = np.zeros(len(links), bool)
    sections = np.array([row.name in SUPPLYING for row in population.industries])
    sells = np.flatnonzero(sections[firms["industry"]])
    if not len(sells) or not len(wishes):
        return inside
    # Large ones are chosen more often, but less than in proportion: a small one may depend on one large customer.
    weights = np.sqrt(firms["base"][sells])
    key = chance.key(population.seed, "links", "matched")
    tried = [sells[chance.weighted(key, 4 * wishes + k, weights)] for k in range(2)]
    left = SUPPLY_SHARE_MAX * firms["base"] * (1.0 - firms["public"]) * (1.0 - firms["exports"])
    amounts = _amount(firms, links)
    for wish, first, second in zip(wishes.tolist(), tried[0].tolist(), tried[1].tolist(), strict=True):
        for supplier in (first, second):
            if supplier != links["firm"][wish] and amounts[wish] <= left[supplier]:
                left[supplier] -= amounts[wish]
                links["party"][wish], inside[wish] = supplier, True
                break
    return inside


def _customers(population: Population, firms: Firms, sold: Floats) -> Links:
    """Return the links to customers outside; sold: the share of sales to enterprises of the province."""
    at_least = np.full(len(firms), CUSTOMERS_MIN)
    counts = np.maximum(_counts(population, firms, "customers") - (sold * 12).astype(np.int64), at_least)
    counts = np.where(firms["projects"] > 0, np.maximum(counts // 3, at_least), counts)
    links = _many(population, firms, counts, "customers", top=population.top_customer)
    places, owner = np.arange(len(links)), links["firm"]
    abroad = firms["exports"][owner] > 0
    # Of an exporter's customers, as many from the first on are abroad as makes up that share of sales.
    before = _share_before(links)
    links["account"] = np.where(abroad & (before < firms["exports"][owner]), -2, -1)
    left = np.maximum(1.0 - sold - firms["public"], OUTSIDE_SHARE_MIN)
    links["share"] *= left[owner]
    government = chance.uniform(chance.key(population.seed, "links", "government"), places) < GOVERNMENT
    links["kind"] = np.where(government, SALE_GOVERNMENT, SALE)
    milestone = firms["projects"][owner] > 0
    low, high = MILESTONE
    every = low + (high - low) * chance.uniform(chance.key(population.seed, "links", "milestone"), places)
    links["every"] = np.where(milestone, every, links["every"])
    return links


def _counts(population: Population, firms: Firms, field: str) -> Integers:
    low, high = (np.array([getattr(row, field)[i] for row in population.sizes])[firms["size"]] for i in (0, 1))
    return chance.between(chance.key(population.seed, "links", field), np.arange(len(firms)), low, high)


def _many(population: Population, firms: Firms, counts: Integers, name: str, *, top: tuple[float, float]) -> Links:
    """Return `counts` links of each enterprise with uneven shares of sum one, the first with a share within `top`."""
    owner = np.repeat(np.arange(len(firms)), counts)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    links = zeros(LINK, len(owner), until=NEVER, account=-1, other_account=-1)
    links["firm"] = owner
    places = np.arange(len(owner))
    weights = chance.log_normal(chance.key(population.seed, "links", name, "share"), places, 1.0, UNEVEN)
    low, high = top
    u = chance.uniform(chance.key(population.seed, "links", name, "top"), np.arange(len(firms)))
    top_share = np.where(counts > 1, low + (high - low) * u * u, 1.0)
    weights[first] = 0.0
    rest = np.zeros(len(firms))
    np.add.at(rest, owner, weights)
    links["share"] = weights / np.maximum(rest, 1e-9)[owner] * (1.0 - top_share)[owner]
    links["share"][first] = top_share
    links["every"] = _rhythm(population, firms, owner, name)
    return links


def _rhythm(population: Population, firms: Firms, owner: Integers, name: str) -> Floats:
    """Return the days between two payments of each link."""
    often = np.array([OF_SIZE.get(row.name, 1.0) for row in population.sizes])[firms["size"]][owner]
    weekly = np.minimum(population.weekly_partner * often, 0.8)
    fortnightly = np.minimum(population.fortnightly_partner * np.sqrt(often), 1.0 - weekly)
    u = chance.uniform(chance.key(population.seed, "links", name, "rhythm"), np.arange(len(owner)))
    return np.select([u < weekly, u < weekly + fortnightly], [WEEK, FORTNIGHT], MONTH)


def _share_before(links: Links) -> Floats:
    """Return the sum of shares of the same enterprise's earlier links, for each link."""
    total = np.cumsum(links["share"])
    first = np.searchsorted(links["firm"], links["firm"])
    found: Floats = total - links["share"] - (total - links["share"])[first]
    return found


def name_parties(population: Population, links: Links, inside: npt.NDArray[np.bool_], parties: Parties) -> None:
    """Set `party` of links to the outside: a person, a shared party, or one of its own."""
    places = np.arange(len(links))
    seed = population.seed
    shared = chance.uniform(chance.key(seed, "links", "known"), places) < population.shared_outsiders
    u = chance.uniform(chance.key(seed, "links", "who"), places)
    known = parties.outsiders + (u * u * parties.outsider_count).astype(np.int64)  # some are partners of many
    own = parties.own_outsiders + places
    person = parties.persons + PERSONS_A_FIRM * population.enterprises
    persons = person - 1 - places % max(1, PERSONS_A_FIRM * population.enterprises)
    outside = np.where(links["kind"] == BUY_PERSON, persons, np.where(shared, known, own))
    links["party"] = np.where(inside, links["party"], outside)
