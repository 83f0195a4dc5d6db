"""The parts of a score as whole points that add up: 400 + six groups + cap = the score shown."""

from collections.abc import Mapping

FLOOR = 400
POINT_MILLI = 1000


def whole_parts(score: int, parts_milli: Mapping[str, int]) -> dict[str, int]:
    """Return each part in whole points, by largest remainders, so that `FLOOR` and the parts add up to `score`.

    Of equal remainders the first part gets the point. Raise ValueError where the parts are not those of the score:
    rounding moves each by less than a point.

    >>> whole_parts(412, {"a": 7_600, "b": 6_500, "cap": -2_100})
    {'a': 8, 'b': 6, 'cap': -2}
    """
    whole = {name: milli // POINT_MILLI for name, milli in parts_milli.items()}
    missing = score - FLOOR - sum(whole.values())
    if not 0 <= missing <= len(whole):
        raise ValueError(f"{FLOOR} and {dict(parts_milli)} millipoints do not make {score}")
    by_remainder = sorted(parts_milli, key=lambda name: -(parts_milli[name] % POINT_MILLI))
    for name in by_remainder[:missing]:
        whole[name] += 1
    return whole
