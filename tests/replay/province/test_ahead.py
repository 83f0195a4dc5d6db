"""Items made in a thread: in order, as far ahead as asked for, errors where they are read, gone with the reader."""

import threading
from collections.abc import Iterator

import pytest

from replay.province.ahead import Ahead


def counted(made: list[int], until: int) -> Iterator[int]:
    for i in range(until):
        made.append(i)
        yield i


def test_items_come_in_their_order() -> None:
    with Ahead(iter(range(1_000)), 3) as items:
        assert list(items) == list(range(1_000))


def read(items: Iterator[int], most: int, into: list[int], until: int) -> None:
    """Read up to an item, then be interrupted."""
    with Ahead(items, most) as made:
        for item in made:
            into.append(item)
            if item == until:
                raise KeyboardInterrupt


def test_an_exception_reaches_the_reader_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise OSError("no space")

    seen: list[int] = []
    with pytest.raises(OSError, match="no space"):
        read(failing(), 5, seen, -1)
    assert seen == [1]


def test_a_reader_that_leaves_ends_the_thread_which_was_no_further_ahead_than_allowed() -> None:
    made: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        read(counted(made, 10**9), 4, [], 20)
    assert "ahead" not in {thread.name for thread in threading.enumerate()}
    assert len(made) <= 21 + 4 + 2
