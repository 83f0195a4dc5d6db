"""Coverage of combinations by a list of runs."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def missing_pairs(rows: Iterable[Mapping[str, Any]], levels: Mapping[str, Sequence[Any]]) -> set[tuple[Any, ...]]:
    """Return the pairs of values of two parameters that no row contains, as (name, value, name, value).

    A row may name several values of a parameter, as a set.
    """
    found = set()
    for row in rows:
        values = {name: row[name] if isinstance(row[name], set) else {row[name]} for name in levels}
        for one, other in itertools.combinations(levels, 2):
            found |= {(one, a, other, b) for a in values[one] for b in values[other]}
    wanted = {
        (one, a, other, b)
        for one, other in itertools.combinations(levels, 2)
        for a in levels[one]
        for b in levels[other]
    }
    return wanted - found
