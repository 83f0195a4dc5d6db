"""Seeded draws that are the same on every machine.

Only `Random.random()` is used, whose sequence Python promises for a seed, and what it gives is cut to integers at once:
no `exp`, no `log`, no distribution whose algorithm may change between versions.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

MILLION = 1_000_000
# Sixteen quantiles of a log-normal with mean about 1 and sigma 0.35: how amounts spread round their usual size.
SPREAD_PERMILLE = (500, 610, 680, 735, 785, 830, 875, 920, 965, 1015, 1070, 1130, 1200, 1290, 1430, 1760)

T = TypeVar("T")


class Draw:
    """A stream of draws, named by a path: the same path gives the same stream."""

    __slots__ = ("_random",)

    def __init__(self, *path: object) -> None:
        self._random = random.Random("/".join(map(str, path))).random

    def below(self, count: int) -> int:
        """Return one of 0 … count - 1."""
        return int(self._random() * count)

    def between(self, low: int, high: int) -> int:
        """Return one of low … high, both included."""
        return low + int(self._random() * (high - low + 1))

    def chance(self, ppm: int) -> bool:
        """True in `ppm` of a million draws."""
        return self._random() * MILLION < ppm

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`."""
        return choices[int(self._random() * len(choices))]

    def weighted(self, choices: Sequence[tuple[T, int]]) -> T:
        """Return one of `choices`, given with whole weights."""
        left = self.below(sum(weight for _, weight in choices))
        for choice, weight in choices:
            left -= weight
            if left < 0:
                return choice
        raise AssertionError("unreachable: the weights add up")

    def spread(self, usual: int) -> int:
        """Return an amount round its usual size, at least 1."""
        return max(1, usual * SPREAD_PERMILLE[int(self._random() * 16)] // 1000)
