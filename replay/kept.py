"""The outcomes of finished partitions, in a folder: an interrupted replay goes on after them."""

import pickle
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from config.whole_file import write_whole
from embedded.parts import hold
from replay.state import open_state

DONE = "done"


class Kept:
    """A folder that one replay works in. Raise StateError where it is another's, StateDirectoryBusy while one runs.

    It is private to its user, since its files are unpickled.
    """

    def __init__(self, folder: Path, identity: str, *, fresh: bool = False) -> None:
        """`identity`: the same for a replay that would come to the same; `fresh`: begin anew."""
        self.folder, self._identity, self._fresh = folder.absolute(), identity, fresh

    def __enter__(self) -> Self:
        open_state(self.folder, self._identity, fresh=self._fresh)
        self._lock = hold(self.folder)
        self.sweep()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _at: TracebackType | None) -> None:
        self.sweep()
        self._lock.close()

    def found(self) -> dict[int, Any]:
        """By partition, what was kept of it."""
        paths = sorted(self.folder.glob(f"*.{DONE}"))
        return {int(path.stem): pickle.loads(path.read_bytes()) for path in paths}

    def keep(self, partition: int, found: Any) -> None:
        """Keep what a partition came to, once its files are whole."""
        write_whole(self.folder / f"{partition}.{DONE}", pickle.dumps(found), mode=0o600)

    def sweep(self) -> None:
        """Remove what `replay.state.whole` has left of a process that was killed."""
        for path in self.folder.glob(".*"):
            path.unlink(missing_ok=True)
