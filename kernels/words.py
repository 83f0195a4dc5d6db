"""Eight bytes at once, as a little-endian word: what Python has no operation for and numba so does not compile.

A place is not checked against the array's end: whoever asks has. numba would compile `b[i]` of a signed place with a
question whether it counts from the end, at each byte.
"""

import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.decorators import kernel

assert sys.byteorder == "little", "values in Redis and fetched records are read as they lie in memory"

_U = np.uint64
_ONES, _HIGHS = _U(0x0101010101010101), _U(0x8080808080808080)
_WORD, _NO = ir.IntType(64), ir.Constant(ir.IntType(1), 0)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), _WORD.as_pointer())


@intrinsic
def load_word(_context: Any, b: Any, place: Any) -> Any:
    """b[place:place + 8] of contiguous bytes b as uint64."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *arguments), align=1)

    return types.uint64(b, types.int64), code


@intrinsic
def store_word(_context: Any, b: Any, place: Any, word: Any) -> Any:
    """Write a word (uint64) to b[place:place + 8] of contiguous bytes b."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, value = arguments
        builder.store(value, _pointer(context, builder, signature.args[0], array, at), align=1)
        return context.get_dummy_value()

    return types.void(b, types.int64, types.uint64), code


@intrinsic
def trailing_zeros(_context: Any, word: Any) -> Any:
    """Return how many of the lowest bits of a word (uint64) are 0: 64 for 0."""
    return types.int64(types.uint64), lambda _context, builder, _signature, args: builder.cttz(args[0], _NO)


@intrinsic
def leading_zeros(_context: Any, word: Any) -> Any:
    """Return how many of the highest bits of a word (uint64) are 0: 64 for 0."""
    return types.int64(types.uint64), lambda _context, builder, _signature, args: builder.ctlz(args[0], _NO)


@kernel
def first_bytes(word: Any, size: Any) -> Any:
    """Return the first `size` bytes of a word, at least one, and zeros behind them."""
    return word if size >= 8 else word & ((_U(1) << _U(8 * size)) - _U(1))


@kernel
def read_word(b: Any, place: Any, size: Any) -> Any:
    """The word of b[place:place + size], zeros behind it; of size at most 0 it is 0, of more than 8 the first eight."""
    if size >= 8:
        return load_word(b, place)
    if size <= 0:
        return _U(0)
    if place + 8 <= b.shape[0]:
        return first_bytes(load_word(b, place), size)
    word = _U(0)
    for i in range(size):
        word |= _U(b[place + i]) << _U(8 * i)
    return word


@kernel(forceinline=True)
def copy_bytes(b: Any, p: Any, end: Any, out: Any, at: Any) -> Any:
    """b[p:end] to out[at:]; the place behind it."""
    while p + 8 <= end:
        store_word(out, at, load_word(b, p))
        p, at = p + 8, at + 8
    while p < end:
        out[_U(at)] = b[_U(p)]
        p, at = p + 1, at + 1
    return at


@kernel
def bytes_equal(word: Any, byte: Any) -> Any:
    """Return the high bit of each byte of a word that equals `byte`, surely so up to the first that does."""
    x = word ^ (_U(byte) * _ONES)
    return (x - _ONES) & ~x & _HIGHS


@kernel
def bytes_below(word: Any, byte: Any) -> Any:
    """The high bit of each byte of a word that is less than `byte` (at most 128), surely so up to the first that is."""
    return (word - (_U(byte) * _ONES)) & ~word & _HIGHS


@kernel
def bytes_high(word: Any) -> Any:
    """Return the high bit of each byte of a word that is 128 or more."""
    return word & _HIGHS
