"""Decompression of record batches into a buffer of fixed size.

Each codec writes straight into the buffer, so that memory is bounded by its size, whatever a batch claims to hold.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

import cramjam

from streams.transport.errors import Reason

_FULL = "failed to write whole buffer"  # what cramjam says where the output does not fit
_FRAMED, _FRAME_HEADER = b"\x82SNAPPY\0", 16  # snappy-java's magic; bytes of it, version and compatible version
_BLOCK_SIZE = struct.Struct(">i")
_Decompress = Callable[[memoryview, memoryview], int]


class Refusal(Exception):
    """The records of a batch cannot be read, for `reason`."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason, detail)


def unpack(codec: int, packed: memoryview, out: memoryview) -> int:
    """Decompress `packed` to the beginning of `out` and return the number of bytes written.

    Raise Refusal with CODEC, COMPRESSION or DECOMPRESSED_TOO_LARGE; the content of `out` then has no meaning.
    """
    decompress = _DECOMPRESS.get(codec)
    if decompress is None:
        raise Refusal(Reason.CODEC, str(codec))
    try:
        return decompress(packed, out)
    except cramjam.DecompressionError as error:
        if _FULL in str(error):
            raise Refusal(Reason.DECOMPRESSED_TOO_LARGE) from None
        raise Refusal(Reason.COMPRESSION, str(error)) from None


def _copy(packed: memoryview, out: memoryview) -> int:
    if len(packed) > len(out):
        raise Refusal(Reason.DECOMPRESSED_TOO_LARGE)
    out[: len(packed)] = packed
    return len(packed)


def _snappy(packed: memoryview, out: memoryview) -> int:
    """Decompress one block, or blocks in the framing of snappy-java: a header, then each block after its size."""
    if packed[: len(_FRAMED)] != _FRAMED:
        return _snappy_block(packed, out)
    at = size = 0
    while at < len(packed):
        if packed[at : at + len(_FRAMED)] == _FRAMED:  # may come again, as streams may be joined
            at += _FRAME_HEADER
            if at > len(packed):
                raise Refusal(Reason.COMPRESSION, "snappy: the header of a stream is cut off")
            continue
        if len(packed) - at < _BLOCK_SIZE.size:
            raise Refusal(Reason.COMPRESSION, "snappy: the size of a block is cut off")
        (length,) = _BLOCK_SIZE.unpack_from(packed, at)
        at += _BLOCK_SIZE.size
        if not 0 < length <= len(packed) - at:
            raise Refusal(Reason.COMPRESSION, f"snappy: a block of {length} bytes where {len(packed) - at} are left")
        size += _snappy_block(packed[at : at + length], out[size:])
        at += length
    return size


def _snappy_block(packed: memoryview, out: memoryview) -> int:
    if cramjam.snappy.decompress_raw_len(packed) > len(out):
        raise Refusal(Reason.DECOMPRESSED_TOO_LARGE)
    return int(cramjam.snappy.decompress_raw_into(packed, out))


_DECOMPRESS: Mapping[int, _Decompress] = {
    0: _copy,
    1: cramjam.gzip.decompress_into,
    2: _snappy,
    3: cramjam.lz4.decompress_into,
    4: cramjam.zstd.decompress_into,
}
