"""One process at a time compiles a kernel; the others wait for it and load the result.

numba's cache alone lets two processes compile the same function at the same time. Worse, each names its file by an
index that it has read before the other wrote, so that one's machine code could get a name by which the other's index
means another signature. With one lock a function, processes that come from different ends of the call graph share the
work and never do a piece of it twice.

A process holds the locks of the functions that it is compiling, and waits for that of one that they call. There is no
cycle, since no kernel calls itself. A lock ends with its process; while that is stopped (SIGSTOP), the others wait, and
log for which process.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from numba.core.compiler_lock import global_compiler_lock

from config import file_lock

log = logging.getLogger(__name__)

_held: Counter[Path] = Counter()  # by this process: the kernel's lock would keep us out a second time


def compiled_once(dispatcher: Any) -> Any:
    """Return the same dispatcher, changed to compile under the lock of its function."""
    compile_or_load, files = dispatcher.compile, dispatcher._cache._cache_file  # numba has no other hook
    path = Path(files._cache_path, f"{files._index_name}.lock")

    def compile_alone(signature: Any) -> Any:
        with global_compiler_lock, _alone(path):
            return compile_or_load(signature)

    dispatcher.compile = compile_alone
    return dispatcher


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is created where it is missing. The same process may enter it again."""
    with ExitStack() as lock:
        if not _held[path]:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.enter_context(file_lock.wait(path, lambda holder: _say(path, holder)))
        _held[path] += 1
        try:
            yield
        finally:
            _held[path] -= 1


def _say(path: Path, holder: str) -> None:
    """Log for whom this process waits; a large kernel takes a minute."""
    text = "waiting for process %s to compile %s: if it is stopped, let it go on (kill -CONT %s) or end it"
    log.warning(text, holder, path.name.split("-")[0], holder)
