"""Caches that are bounded in bytes: what a hostile sender puts in is short, or is not remembered."""

import functools
from collections.abc import Callable
from typing import TypeVar

S = TypeVar("S", bytes, str)
T = TypeVar("T")


def cached_if_short(entries_max: int, size_max: int) -> Callable[[Callable[[S], T]], Callable[[S], T]]:
    """Cache a function of one text for its `entries_max` newest arguments of at most `size_max` bytes or characters.

    A result may be many times as large as its argument: 32 times, where two bytes of headers become a pair.
    """

    def decorated(function: Callable[[S], T]) -> Callable[[S], T]:
        cached = functools.lru_cache(entries_max)(function)

        @functools.wraps(function)
        def call(text: S) -> T:
            return cached(text) if len(text) <= size_max else function(text)

        return call

    return decorated
