"""Prefetching of an iterator in a thread, while its earlier items are worked on."""

import queue
import threading
from collections.abc import Iterator
from typing import Generic, Self, TypeVar

WAIT_S = 0.2  # between looks at whether the reader has gone

T = TypeVar("T")


class Ahead(Generic[T]):
    """The items of an iterator in order, at most `most` of them prefetched. Its exceptions reach the reader.

    The thread ends with the block, also where the reader leaves it early.
    """

    def __init__(self, items: Iterator[T], most: int) -> None:
        self._items = items
        self._made: queue.Queue[T | None] = queue.Queue(most)
        self._left = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._make, name="ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._left.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while (item := self._made.get()) is not None:
            yield item
        if self._error is not None:
            raise self._error

    def _make(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as error:  # noqa: BLE001  handed to the thread that reads
            self._error = error
        self._put(None)

    def _put(self, item: T | None) -> bool:
        """Put an item into the queue; return False where the reader has left."""
        while not self._left.is_set():
            try:
                self._made.put(item, timeout=WAIT_S)
            except queue.Full:
                continue
            return True
        return False
