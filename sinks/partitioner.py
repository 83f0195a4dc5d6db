"""Where Kafka's default partitioner places a key: murmur2 of its bytes with the sign bit off, modulo the partitions.

Every producer that writes by key uses it (sinks/sending.py), so who knows an id knows its partition without asking.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def partitions_of(keys: Sequence[bytes], partitions: int) -> npt.NDArray[np.int64]:
    """The partition of each key (n).

    >>> partitions_of([b"21", b"foobar", b"91450100MA5EXAMPLE"], 64).tolist()
    [44, 62, 19]
    """
    placed, sizes = np.empty(len(keys), np.int64), np.array([len(key) for key in keys], np.int64)
    for size in np.unique(sizes).tolist():
        at = np.flatnonzero(sizes == size)
        alike = np.frombuffer(b"".join(keys[i] for i in at.tolist()), np.uint8).reshape(len(at), size)
        placed[at] = _murmur2(alike) % partitions
    return placed


def _murmur2(keys: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Kafka's murmur2 of keys of one length, shape (n, bytes), with the sign bit taken off."""
    size = keys.shape[1]
    m, mask = np.uint64(0x5BD1E995), np.uint64(0xFFFFFFFF)
    h = np.full(len(keys), 0x9747B28C ^ size, np.uint64)
    for at in range(0, size - size % 4, 4):
        k = np.ascontiguousarray(keys[:, at : at + 4]).view("<u4")[:, 0].astype(np.uint64) * m & mask
        k = (k ^ (k >> np.uint64(24))) * m & mask
        h = (h * m & mask) ^ k
    tail = keys[:, size - size % 4 :].astype(np.uint64)
    if tail.shape[1]:
        for i in range(tail.shape[1]):
            h ^= tail[:, i] << np.uint64(8 * i)
        h = h * m & mask
    h = (h ^ (h >> np.uint64(13))) * m & mask
    return ((h ^ (h >> np.uint64(15))) & np.uint64(0x7FFFFFFF)).astype(np.int64)
