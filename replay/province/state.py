"""The arrays of the kernels as one tuple, and the numbers that kernels take from a Population."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from replay.province.chance import Floats, Integers
from replay.province.layout import Accounts, Days, Facts, Firms, Links, Loans, Moves, Undos
from replay.province.parties import NEW_LENDERS, Parties
from replay.province.population import Population

NUMBERS = (
    "payment_noise", "skipped_payment", "caught_up", "delay_days", "bad_month", "shock_memory", "owner_helps",
    "forgotten", "returned", "reversed_", "lent_again", "renewed",
)  # fmt: skip
(
    PAYMENT_NOISE, SKIPPED, CAUGHT_UP, DELAY_DAYS, BAD_MONTH, MEMORY, OWNER_HELPS, FORGOTTEN, RETURNED_SHARE,
    REVERSED_SHARE, LENT_AGAIN, RENEWED_SHARE, BAD_LOW, BAD_HIGH, LATE_AT_FIRST, LATE_AT_LAST,
) = range(len(NUMBERS) + 4)  # fmt: skip
PLACES = ("outsiders", "outsider_count", "persons", "landlords", "lenders", "banks", "platforms", "public")
OUTSIDERS, OUTSIDER_COUNT, PERSONS, LANDLORDS, LENDERS, BANKS, PLATFORMS, PUBLIC, LENDER_COUNT, FIRST_DAY = range(10)


class State(NamedTuple):
    """The arrays of the kernels.

    Shapes: numbers and places as named above; seasons (industries, days); counts as layout.COUNTS; the others are rows.
    """

    firms: Firms
    accounts: Accounts
    links: Links
    loans: Loans
    undos: Undos
    moves: Moves
    facts: Facts
    calendar: Days
    seasons: Floats
    numbers: Floats
    places: Integers
    counts: Integers


def numbers_of(population: Population) -> Floats:
    """Return the parameters of the kernels in the order of their indices, float64."""
    found = [float(getattr(population, name)) for name in NUMBERS]
    return np.array([*found, *population.bad_month_level, *population.late_in_trouble])


def places_of(population: Population, parties: Parties) -> npt.NDArray[np.int64]:
    """Return the first place of each kind of party, the number of lenders, and the first day."""
    found = [getattr(parties, name) for name in PLACES]
    return np.array([*found, NEW_LENDERS, population.first_day], np.int64)
