"""The enterprises of the province and their accounts, drawn from a Population."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from replay.province import chance
from replay.province.chance import Floats, Integers
from replay.province.layout import ACCOUNT, FIRM, NEVER, NOBODY, Accounts, Firms, zeros
from replay.province.parties import REGIONS
from replay.province.population import Population

FEN = 100
VALID, MISSING, EXPIRED, REVOKED = range(4)  # consents
PUBLIC_SHARE = (0.35, 0.85)  # of sales, of those that sell to the public
EXPORT_SHARE = (0.2, 0.6)
PERSONS_SHARE = (0.25, 0.7)  # of purchases, of those that buy from persons
RENT = (0.012, 0.05)  # of sales
UTILITY = (0.006, 0.03)
TAX = {"micro": (0.004, 0.025), "small": (0.012, 0.045), "medium": (0.018, 0.055)}
QUARTERLY_RENT = 0.35
NO_RENT = 0.25  # own premises
SHOWN_MARGIN, SHOWN_BUFFER, SHOWN_NOISE = 0.85, 0.85, -0.3  # a standard deviation of soundness, in each of them
OUTFLOW_DAYS = 30.0
FESTIVAL_BONUS = 0.7  # share that pays one


class Traits(NamedTuple):
    """Traits of an enterprise beside its row. soundness: standard normal, higher is safer, as lenders see it."""

    soundness: Floats
    more_accounts: Integers


def found(population: Population) -> tuple[Firms, Traits]:
    """Return the enterprises, without accounts, links and scenarios."""
    n = population.enterprises
    firms = zeros(FIRM, n)
    for name in ("onset", "turn", "over", "arrears_from", "arrears_until", "moves_on"):
        firms[name] = NEVER
    for name in ("moves_to", "dollars", "related", "stop_month"):
        firms[name] = NOBODY
    draws = _Draws(population, n)
    firms["industry"] = draws.weighted("industry", [row.weight for row in population.industries])
    firms["size"] = draws.weighted("size", [row.weight for row in population.sizes])
    firms["region"] = draws.between("region", 0, len(REGIONS) - 1)
    soundness = draws.normal("soundness")
    _size(population, firms, draws, soundness)
    _costs(population, firms, draws, soundness)
    _habits(population, firms, draws)
    hidden = draws.normal("hidden")
    shown, spread = population.risk_shown, population.risk_spread
    risk = chance.exponential(-spread * (shown * soundness + np.sqrt(1.0 - shown * shown) * hidden))
    firms["risk"] = risk / risk.mean()
    firms["stream"] = [chance.key(population.seed, "life", number) for number in range(n)]
    firms["pace"] = firms["staff"] = firms["demand"] = firms["course"] = firms["month_level"] = 1.0
    firms["after"] = draws.uniform("after") * 0.5
    return firms, Traits(soundness, _more_accounts(population, firms, draws))


class _Draws:
    """Draws of one number for each enterprise from a named stream."""

    def __init__(self, population: Population, n: int) -> None:
        self._seed, self._places = population.seed, np.arange(n)

    def uniform(self, name: str) -> Floats:
        return chance.uniform(chance.key(self._seed, "firm", name), self._places)

    def normal(self, name: str) -> Floats:
        return chance.normal(chance.key(self._seed, "firm", name), self._places)

    def weighted(self, name: str, weights: npt.ArrayLike) -> Integers:
        return chance.weighted(chance.key(self._seed, "firm", name), self._places, weights)

    def between(self, name: str, low: npt.ArrayLike, high: npt.ArrayLike) -> Integers:
        return chance.between(chance.key(self._seed, "firm", name), self._places, low, high)

    def ranged(self, name: str, low: npt.ArrayLike, high: npt.ArrayLike) -> Floats:
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        return low + (high - low) * self.uniform(name)


def _size(population: Population, firms: Firms, draws: _Draws, soundness: Floats) -> None:
    sizes, size = population.sizes, firms["size"]
    low, high = (np.array([row.sales_yuan[i] for row in sizes])[size] for i in (0, 1))
    u = draws.uniform("sales")
    # Even over the logarithm would need a root; the square of an even number is near it, and many are small.
    firms["base"] = (low + (high - low) * u * u) * FEN
    noise = np.array([row.monthly_noise for row in sizes])[size]
    firms["noise"] = noise * chance.exponential(0.3 * draws.normal("noise") + SHOWN_NOISE * soundness)
    mean, spread = population.growth
    firms["growth"] = (mean + spread * draws.normal("growth")) / 365.0
    firms["borrows"] = draws.uniform("borrows") < np.array([row.borrows for row in sizes])[size]
    edges = np.cumsum([population.no_consent, population.expired_consent, population.revoked_consent])
    u = draws.uniform("consent")
    firms["consent"] = np.select([u < edges[0], u < edges[1], u < edges[2]], [MISSING, EXPIRED, REVOKED], VALID)
    days = chance.log_normal(
        chance.key(population.seed, "firm", "buffer"), np.arange(len(firms)), population.buffer_days,
        population.buffer_spread * np.sqrt(1.0 - SHOWN_BUFFER**2),
    )  # fmt: skip
    firms["target"] = days * chance.exponential(SHOWN_BUFFER * soundness) / OUTFLOW_DAYS * firms["base"]


def _costs(population: Population, firms: Firms, draws: _Draws, soundness: Floats) -> None:
    """Set the shares of sales that each cost takes; purchases take what the others and the margin leave."""
    industries, industry = population.industries, firms["industry"]
    payroll = np.array([row.payroll for row in industries])[industry] * draws.ranged("payroll", 0.7, 1.3)
    tax_low, tax_high = (np.array([TAX.get(row.name, TAX["small"])[i] for row in population.sizes]) for i in (0, 1))
    tax = draws.ranged("tax", tax_low[firms["size"]], tax_high[firms["size"]])
    rent = np.where(draws.uniform("rents") < NO_RENT, 0.0, draws.ranged("rent", *RENT))
    utility = draws.ranged("utility", *UTILITY)
    mean, spread = population.margin
    margin = mean + spread * (SHOWN_MARGIN * soundness + np.sqrt(1 - SHOWN_MARGIN**2) * draws.normal("margin"))
    usual = np.array([row.purchases for row in industries])[industry]
    purchases = np.clip(1.0 - margin - payroll * 1.2 - tax - rent - utility - 0.03, 0.4 * usual, 0.97)
    firms["payroll"], firms["tax"], firms["rent"] = payroll, tax, rent * firms["base"]
    firms["utility"], firms["purchases"] = utility, purchases


def _habits(population: Population, firms: Firms, draws: _Draws) -> None:
    industries, industry = population.industries, firms["industry"]

    def has(name: str, field: str) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = (
            draws.uniform(name) < np.array([getattr(row, field) for row in industries])[industry]
        )
        return found

    firms["payroll_day"] = np.array([5, 8, 10, 10, 12, 15, 15, 20])[draws.between("payroll_day", 0, 7)]
    firms["rent_day"], firms["utility_day"] = draws.between("rent_day", 1, 28), draws.between("utility_day", 12, 27)
    firms["rent_every"] = np.where(draws.uniform("rent_every") < QUARTERLY_RENT, 3, 1)
    micro = np.array([row.name == "micro" for row in population.sizes])[firms["size"]]
    firms["tax_every"] = np.where(micro & (draws.uniform("tax_every") < population.quarterly_tax), 3, 1)
    firms["bonus"] = np.where(draws.uniform("bonus") < FESTIVAL_BONUS, draws.ranged("bonus_size", 0.3, 1.5), 0.0)
    firms["cash_chance"] = draws.uniform("cash") ** 2 * 0.22
    firms["reimburse_chance"] = draws.uniform("reimburse") ** 2 * 0.30
    firms["from_persons"] = np.where(has("persons", "from_persons"), draws.ranged("persons_share", *PERSONS_SHARE), 0.0)
    sells_to_public = has("public", "public")
    firms["public"] = np.where(sells_to_public, draws.ranged("public_share", *PUBLIC_SHARE), 0.0)
    firms["takings"] = np.where(sells_to_public, draws.between("takings", *population.daily_takings), 0)
    firms["projects"] = has("projects", "projects") & ~sells_to_public
    firms["exports"] = np.where(has("exports", "exports"), draws.ranged("export_share", *EXPORT_SHARE), 0.0)
    stops = has("stops", "seasonal_stop") & (firms["projects"] == 0)
    firms["stop_month"] = np.where(stops, draws.between("stop_month", 1, 12), -1)
    firms["stop_months"] = draws.between("stop_months", 2, 4)


def _more_accounts(population: Population, firms: Firms, draws: _Draws) -> Integers:
    """Return the number of further banks: up to three draws, until one fails."""
    share = np.array([row.more_banks for row in population.sizes])[firms["size"]]
    goes_on, found = np.ones(len(firms), bool), np.zeros(len(firms), np.int64)
    for tried in range(3):
        goes_on &= draws.uniform(f"bank {tried}") < share
        found += goes_on
    return found


class Opened(NamedTuple):
    """The accounts by purpose: all of them, and by enterprise (enterprises,) an index or NOBODY."""

    accounts: Accounts
    second: Integers
    lender: Integers  # of the first loan
    new_lender: Integers  # of a loan that comes with trouble


def open_accounts(population: Population, firms: Firms, more: Integers, needs_lender: npt.NDArray[np.bool_]) -> Opened:
    """Return the accounts of each enterprise in turn: settlement, further banks, dollars, new lender, new bank."""
    n, draws = len(firms), _Draws(population, len(firms))
    moves = firms["moves_on"] < NEVER
    parts = np.stack([np.ones(n, np.int64), more, firms["exports"] > 0, needs_lender, moves], axis=1)
    ends = np.cumsum(parts, axis=1)
    counts, before = ends[:, -1], ends - parts
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    accounts = zeros(ACCOUNT, int(counts.sum()), silent_from=NEVER, silent_until=NEVER, opened=0)
    owner = np.repeat(np.arange(n), counts)
    slot = np.arange(len(owner)) - first[owner]
    accounts["firm"], accounts["slot"] = owner, slot
    accounts["bank"] = _banks(population, owner, slot)
    where = [np.where(parts[:, k] > 0, first + before[:, k], NOBODY) for k in range(parts.shape[1])]
    settlement, second, dollars, new_lender, new_bank = where
    accounts["bank"][dollars[dollars >= 0]] = accounts["bank"][settlement[dollars >= 0]]
    accounts["dollars"][dollars[dollars >= 0]] = 1
    accounts["opened"][new_bank[moves]] = firms["moves_on"][moves]
    firms["account"], firms["dollars"], firms["moves_to"] = settlement, dollars, new_bank
    firms["account_first"], firms["account_count"] = first, counts
    accounts["balance"][settlement] = (firms["target"] * draws.ranged("opening", 0.5, 1.3)).astype(np.int64)
    elsewhere = draws.uniform("lender") >= 0.45
    lender = np.where((second >= 0) & elsewhere, second, settlement)
    return Opened(accounts, second, lender, new_lender)


def _banks(population: Population, owner: Integers, slot: Integers) -> Integers:
    """Return the banks of accounts. Large banks have more customers; an enterprise's banks differ if possible."""
    count = population.banks
    rank = chance.weighted(
        chance.key(population.seed, "firm", "banks"), owner, 1.0 / (np.arange(count, dtype=np.float64) + 3.0)
    )
    step = 1 + chance.between(chance.key(population.seed, "firm", "bank step"), owner, 0, max(0, min(count - 2, 4)))
    return (rank + slot * step) % count
