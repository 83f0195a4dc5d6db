"""All possible counterparties, as indices into one table of names."""

from typing import NamedTuple

import numpy as np

from replay.province import chance
from replay.province.layout import Firms
from replay.province.population import Population

REGIONS = ("450100", "450200", "450300", "450500", "450900")
PLATFORM_NAMES = ("91330000PAYPLATF01", "91440300PAYPLATF02")
PUBLIC_NAMES = ("TREASURY450000", "SOCIALSEC450000", "POWERGRID450000", "WATERWORKS450000")
NEW_LENDERS = 40  # small-loan companies, leasing, online lenders
PERSONS_A_FIRM = 2
OUTSIDERS_A_FIRM = 3.0  # shared ones, an enterprise


class Parties(NamedTuple):
    """The first index of each kind in the table of names; enterprises come first, by their numbers."""

    outsiders: int
    outsider_count: int
    own_outsiders: int  # one for each link that has one of its own
    persons: int
    landlords: int
    lenders: int
    banks: int
    platforms: int
    public: int
    total: int


def lay_out(population: Population, links: int) -> Parties:
    """Return the layout of the table of names."""
    n = population.enterprises
    shared = max(50, int(n * OUTSIDERS_A_FIRM))
    starts = np.cumsum([n, shared, links, PERSONS_A_FIRM * n, n, NEW_LENDERS, population.banks, len(PLATFORM_NAMES),
                        len(PUBLIC_NAMES)]).tolist()  # fmt: skip
    return Parties(starts[0], shared, *starts[1:])


def enterprise_id(number: int, region: int) -> str:
    """Return an id like a unified social credit code; the letter I, not in that alphabet, marks it as simulated."""
    return f"91{REGIONS[region]}SIM{number:07d}"


def person_id(number: int) -> str:
    """Return the id of a person, which ingest replaces by a token."""
    return f"person-{number:09d}"


def names(population: Population, firms: Firms, parties: Parties) -> list[str]:
    """Return all names as banks send them."""
    found = [enterprise_id(number, region) for number, region in enumerate(firms["region"].tolist())]
    outside = parties.persons - parties.outsiders
    regions = chance.between(chance.key(population.seed, "outsiders"), np.arange(outside), 110_000, 659_999).tolist()
    found += [f"91{region}OUT{number:07d}" for number, region in enumerate(regions)]
    found += [person_id(number) for number in range(parties.landlords - parties.persons)]
    found += [f"landlord-{number:07d}" for number in range(parties.lenders - parties.landlords)]
    found += [f"91450000LENDER{number:04d}" for number in range(NEW_LENDERS)]
    found += [population.bank(number).bank_id for number in range(population.banks)]
    return [*found, *PLATFORM_NAMES, *PUBLIC_NAMES]
