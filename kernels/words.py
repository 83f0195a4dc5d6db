"""Eight bytes at once, as a little-endian word: operations that Python lacks, and numba therefore does not compile.

In all of them `b` is contiguous uint8 (bytes), a word is uint64, and a place is an index that the caller has checked.
For a signed index numba would compile `b[i]` with a check, at each byte, whether it counts from the end.
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
    """Return b[place:place + 8] as a word."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *arguments), align=1)

    return types.uint64(b, types.int64), code


@intrinsic
def store_word(_context: Any, b: Any, place: Any, word: Any) -> Any:
    """Write a word to b[place:place + 8]."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, value = arguments
        builder.store(value, _pointer(context, builder, signature.args[0], array, at), align=1)
        return context.get_dummy_value()

    return types.void(b, types.int64, types.uint64), code


@intrinsic
def trailing_zeros(_context: Any, word: Any) -> Any:
    """Return the number of lowest bits of a word that are 0; 64 for 0."""
    return types.int64(types.uint64), lambda _context, builder, _signature, args: builder.cttz(args[0], _NO)


@intrinsic
def leading_zeros(_context: Any, word: Any) -> Any:
    """Return the number of highest bits of a word that are 0; 64 for 0."""
    return types.int64(types.uint64), lambda _context, builder, _signature, args: builder.ctlz(args[0], _NO)


@kernel
def first_bytes(word: Any, size: Any) -> Any:
    """Return the first `size` bytes of a word, 1 to 8, followed by zeros."""
    return word if size >= 8 else word & ((_U(1) << _U(8 * size)) - _U(1))


@kernel
def read_word(b: Any, place: Any, size: Any) -> Any:
    """Return b[place:place + size] as a word, followed by zeros.

    It is 0 for a size of 0 or less, and the first eight bytes for a size of 8 or more.
    """
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
    """Copy b[p:end] to out[at:]; return the position after it."""
    while p + 8 <= end:
        store_word(out, at, load_word(b, p))
        p, at = p + 8, at + 8
    while p < end:
        out[_U(at)] = b[_U(p)]
        p, at = p + 1, at + 1
    return at


@kernel
def bytes_equal(word: Any, byte: Any) -> Any:
    """Return a word with the high bit of each byte set that equals `byte`; exact up to the first such byte."""
    x = word ^ (_U(byte) * _ONES)
    return (x - _ONES) & ~x & _HIGHS


@kernel
def bytes_below(word: Any, byte: Any) -> Any:
    """Return a word with the high bit of each byte set that is less than `byte` (at most 128).

    Exact up to the first such byte.
    """
    return (word - (_U(byte) * _ONES)) & ~word & _HIGHS


@kernel
def bytes_high(word: Any) -> Any:
    """Return a word with the high bit of each byte set that is 128 or more."""
    return word & _HIGHS
