"""The sixteen heaviest parties by decayed amount: the Space-Saving sketch (Metwally et al., ICDT 2005).

Exact up to sixteen parties; beyond, the lightest gives way and the newcomer inherits its weight as error, so a weight
is over by at most `error`. Order-dependent where a party was ever replaced.

Arrays of one enterprise: party uint64 (16), weight float64 (16), error float64 (16); party 0 is a free place.
"""

from numba import njit

PLACES = 16


@njit(cache=True)
def add(party, weight, error, who, amount):
    """Add a forward-decayed `amount` of party `who` (not 0)."""
    lightest = 0
    for place in range(PLACES):
        if party[place] == who:
            weight[place] += amount
            return
        if party[place] == 0:
            party[place] = who
            weight[place] = amount
            error[place] = 0.0
            return
        if weight[place] < weight[lightest]:
            lightest = place
    party[lightest] = who
    error[lightest] = weight[lightest]
    weight[lightest] += amount


@njit(cache=True)
def take(party, weight, who, amount):
    """Take a forward-decayed `amount` of party `who` out again, as far as the list still holds it."""
    for place in range(PLACES):
        if party[place] == who:
            weight[place] = max(0.0, weight[place] - amount)


@njit(cache=True)
def heaviest(party, weight):
    """The largest weight; 0 where there is none."""
    most = 0.0
    for place in range(PLACES):
        if party[place] != 0 and weight[place] > most:
            most = weight[place]
    return most
