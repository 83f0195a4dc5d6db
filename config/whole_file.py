"""Files that are written in one step: a reader sees all of one or nothing of it, however the writer ends."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def write_whole(path: Path, body: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that nobody ever sees half of it, however we end."""
    with whole(path, mode=mode) as file:
        file.write(body)


@contextmanager
def whole(path: Path, *, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Yield a file to write into; it gets its name once the block has ended without an error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:  # which names a file that nobody asked for
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, name):  # a full disk does not say of which file
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
