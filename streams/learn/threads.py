"""Work beside the event loop."""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_thread(do: Callable[[], T]) -> T:
    """Return what `do` returns in a thread of its own, for which a process that stops does not wait."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():  # cancelled: nobody waits any more
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failed = None, None
        try:
            result = do()
        except BaseException as error:  # noqa: BLE001  raised where it is awaited
            failed = error
        with suppress(RuntimeError):  # a loop that is closed has nobody who waits
            loop.call_soon_threadsafe(tell, result, failed)

    _Apart(target=run, daemon=True, name="learn").start()
    return await done


def end_process(code: int) -> int:
    """Return `code`, the exit code; where a thread of `in_thread` still works, end the process with it here.

    At its end the interpreter ends daemon threads that ask for its lock. In the middle of compiled code that can abort
    the process, after a clean stop ("terminate called without an active exception").
    """
    if any(isinstance(one, _Apart) for one in threading.enumerate()):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


class _Apart(threading.Thread):
    """A thread of `in_thread`."""
