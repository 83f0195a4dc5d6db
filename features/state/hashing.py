"""SipHash-2-4 (Aumasson, Bernstein 2012), a hash of 64 bits under a key of 128, equal on every machine.

Ids come from outside, and a sender that could make two of them collide could have one of its own records taken for a
repeat; SipHash is built against that. The key of ids is public, so there it is a checksum against accidents, not a
secret. Under a secret key (streams/ingest/fingerprint.py) the hash tells nobody else what was hashed.
"""

import numpy as np

from kernels import words
from kernels.decorators import kernel

_U = np.uint64
_KEY_1 = _U(0x78696E6C69752F31)  # "xinliu/1"


@kernel(inline="always")
def _rotated(x, by):
    return (x << _U(by)) | (x >> _U(64 - by))


@kernel(inline="always")
def _round(v0, v1, v2, v3):
    v0 += v1
    v1 = _rotated(v1, 13) ^ v0
    v0 = _rotated(v0, 32)
    v2 += v3
    v3 = _rotated(v3, 16) ^ v2
    v0 += v3
    v3 = _rotated(v3, 21) ^ v0
    v2 += v1
    v1 = _rotated(v1, 17) ^ v2
    v2 = _rotated(v2, 32)
    return v0, v1, v2, v3


@kernel(inline="always")
def _begun(key_0, key_1):
    v0, v1 = key_0 ^ _U(0x736F6D6570736575), key_1 ^ _U(0x646F72616E646F6D)
    v2, v3 = key_0 ^ _U(0x6C7967656E657261), key_1 ^ _U(0x7465646279746573)
    return v0, v1, v2, v3


@kernel(inline="always")
def _with_word(v0, v1, v2, v3, m):
    v3 ^= m
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0 ^= m
    return v0, v1, v2, v3


@kernel(inline="always")
def _finished(v0, v1, v2, v3):
    v2 ^= _U(0xFF)
    for _ in range(4):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@kernel
def siphash(b, start, end, key):
    """Return the hash, uint64, of the bytes b[start:end] under the integer `key` (one for each kind of id)."""
    return keyed_siphash(b, start, end, _U(key), _KEY_1)


@kernel
def keyed_siphash(b, start, end, key_0, key_1):
    """Return the hash, uint64, of the bytes b[start:end] under a key of two words, uint64."""
    v0, v1, v2, v3 = _begun(key_0, key_1)
    p = start
    while p + 8 <= end:
        v0, v1, v2, v3 = _with_word(v0, v1, v2, v3, words.load_word(b, p))
        p += 8
    last = _U(end - start) << _U(56) | words.read_word(b, p, end - p)
    v0, v1, v2, v3 = _with_word(v0, v1, v2, v3, last)
    return _finished(v0, v1, v2, v3)


@kernel
def siphash_of_words(w, more_0, more_1, key_0, key_1):
    """Return the hash, uint64, of the words w uint64 (n,) and two more, as bytes in little-endian order."""
    v0, v1, v2, v3 = _begun(key_0, key_1)
    for i in range(w.shape[0]):
        v0, v1, v2, v3 = _with_word(v0, v1, v2, v3, w[i])
    v0, v1, v2, v3 = _with_word(v0, v1, v2, v3, more_0)
    v0, v1, v2, v3 = _with_word(v0, v1, v2, v3, more_1)
    v0, v1, v2, v3 = _with_word(v0, v1, v2, v3, _U(8 * (w.shape[0] + 2)) << _U(56))
    return _finished(v0, v1, v2, v3)
