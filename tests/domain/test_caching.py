"""Caches that are bounded in bytes."""

from typing import AnyStr

import pytest

from domain.caching import cached_if_short


@pytest.mark.parametrize("texts", [(b"one", b"two", b"long"), ("one", "two", "long")])
def test_a_short_argument_is_computed_once_and_a_long_one_each_time(texts: tuple[AnyStr, AnyStr, AnyStr]) -> None:
    one, two, long = texts
    computed: list[AnyStr] = []

    @cached_if_short(2, 3)
    def size(text: AnyStr) -> int:
        computed.append(text)
        return len(text)

    assert [size(text) for text in (one, long, one, long, two, one)] == [3, 4, 3, 4, 3, 3]
    assert computed == [one, long, long, two]
