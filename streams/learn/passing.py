"""Records that say the learner nothing: told by their first bytes, and passed over undecoded."""

import numpy as np
from numpy.typing import NDArray

from streams.transport.chunk import Chunk

# As ingest begins a record: the type of the event comes first. Whatever begins otherwise is decoded.
SILENT_TYPES = ("txn", "gov", "profile", "authorization", "control", "derived")
_BEGIN = b'{"event":{"type":"'
_SILENT = tuple(np.frombuffer(b"%s%s" % (_BEGIN, name.encode() + b'",'), np.uint8) for name in SILENT_TYPES)


def telling(chunk: Chunk) -> list[int]:
    """Return the places of the records that may say something: loan events, outcomes, ticks, what is not canonical."""
    left = np.arange(len(chunk))
    for begin in _SILENT:
        if not len(left):
            break
        left = left[~_begins(chunk, left, begin)]
    found: list[int] = left.tolist()
    return found


def _begins(chunk: Chunk, places: NDArray[np.int64], begin: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return by place whether a record's value begins with these bytes. The last ones differ most, and go first."""
    start, found = chunk.value_start[places], np.zeros(len(places), np.bool_)
    may = np.flatnonzero(chunk.value_end[places] - start >= len(begin))
    for i in reversed(range(len(begin))):
        may = may[chunk.buffer[start[may] + i] == begin[i]]
        if not len(may):
            return found
    found[may] = True
    return found
