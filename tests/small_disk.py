"""A disk small enough to fill: a tmpfs in a mount namespace of its own, for servers started in it."""

import errno
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Self

from embedded.children import Child

_IS_ROOT = os.geteuid() == 0
_UNSHARE = ("unshare", "--mount") if _IS_ROOT else ("unshare", "--user", "--map-root-user", "--mount")


def is_possible(folder: Path) -> bool:
    """Return whether this machine permits the mount of a small disk."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return False
    words = [*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


class SmallDisk:
    """A disk of some MiB at the folder `at`, for the programs of `wrapped`; its files outlive them."""

    def __init__(self, at: Path, megabytes: int, log: Path) -> None:
        at.mkdir(parents=True, exist_ok=True)
        mount = f"mount -t tmpfs -o size={megabytes}m tmpfs {shlex.quote(str(at))}"
        stay = f"touch {shlex.quote(str(at / 'mounted'))} && exec sleep infinity"
        self._holder = Child("a small disk", [*_UNSHARE, "sh", "-c", f"{mount} && {stay}"], log=log)
        self._at = at

    def __enter__(self) -> Self:
        self._holder.launch().wait_ready(lambda: (self._seen / "mounted").exists(), 10.0)
        return self

    def __exit__(self, *_error: object) -> None:
        self._holder.stop()

    def wrapped(self, binary: Path, script: Path) -> Path:
        """A program that runs `binary` where this disk is."""
        namespaces = f"--mount=/proc/{self._holder.pid}/ns/mnt"
        if not _IS_ROOT:
            namespaces += f" --user=/proc/{self._holder.pid}/ns/user --preserve-credentials"
        script.write_text(f'#!/bin/sh\nexec nsenter {namespaces} -- {shlex.quote(str(binary))} "$@"\n')
        script.chmod(0o700)
        return script

    def fill(self) -> int:
        """Write until there is no room; returns the bytes written."""
        written = 0
        with (self._seen / "filler").open("ab", buffering=0) as filler:
            for size in (65_536, 4_096, 1):
                while (more := _written(filler.fileno(), size)) > 0:
                    written += more
        return written

    def empty(self) -> None:
        """Take that away again."""
        (self._seen / "filler").unlink()

    @property
    def _seen(self) -> Path:
        """The disk from outside."""
        return Path(f"/proc/{self._holder.pid}/root") / self._at.relative_to("/")


def _written(file: int, size: int) -> int:
    """Return how many of `size` bytes were written."""
    try:
        return os.write(file, b"\0" * size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return 0
