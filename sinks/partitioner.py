"""Kafka's default partitioner: murmur2 of a key's bytes with the sign bit off, modulo the partitions.

Every producer that writes by key uses it (sinks/sending.py), so that an id's partition is known without asking. Source:
Kafka's BuiltInPartitioner and Utils.murmur2.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kernels.decorators import kernel

_U = np.uint64
_M, _MASK, _SEED = _U(0x5BD1E995), _U(0xFFFFFFFF), _U(0x9747B28C)


def partitions_of(keys: Sequence[bytes], partitions: int) -> npt.NDArray[np.int64]:
    """Return the partition of each key, int64 (n,).

    >>> partitions_of([b"21", b"foobar", b"91450100MA5EXAMPLE"], 64).tolist()
    [44, 62, 19]
    """
    placed, ends = np.empty(len(keys), np.int64), np.cumsum([len(key) for key in keys], dtype=np.int64)
    _place(np.frombuffer(b"".join(keys), np.uint8), ends, partitions, placed)
    return placed


@kernel
def partition_of(b, start, end, partitions):  # type: ignore[no-untyped-def]
    """Return the partition of the key b[start:end], uint8."""
    h, p = _SEED ^ _U(end - start), start
    while p + 4 <= end:
        word = _U(b[p]) | _U(b[p + 1]) << _U(8) | _U(b[p + 2]) << _U(16) | _U(b[p + 3]) << _U(24)
        word = word * _M & _MASK
        word = (word ^ word >> _U(24)) * _M & _MASK
        h = (h * _M & _MASK) ^ word
        p += 4
    if p < end:
        for k in range(end - p):
            h ^= _U(b[p + k]) << _U(8 * k)
        h = h * _M & _MASK
    h = (h ^ h >> _U(13)) * _M & _MASK
    return np.int64((h ^ h >> _U(15)) & _U(0x7FFFFFFF)) % partitions


@kernel
def _place(b, ends, partitions, out):  # type: ignore[no-untyped-def]
    start = np.int64(0)
    for i in range(ends.shape[0]):
        out[i] = partition_of(b, start, ends[i], partitions)
        start = ends[i]
