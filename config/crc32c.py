"""CRC-32C, by which record batches are checked."""

import numpy as np
from numpy.typing import NDArray

from config.kernel import kernel


def _crc_tables() -> NDArray[np.uint32]:
    """Eight tables for CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), eight bytes a step."""
    tables = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        tables[0, byte] = crc
    for k in range(1, 8):
        tables[k] = (tables[k - 1] >> 8) ^ tables[0, tables[k - 1] & 255]
    return tables


_CRC = _crc_tables()


@kernel(nogil=True)
def crc32c(b, start, end):  # type: ignore[no-untyped-def]
    """CRC-32C of b[start:end]."""
    crc = np.uint64(0xFFFFFFFF)
    p = start
    while p + 8 <= end:
        low = (
            np.uint64(b[p])
            | np.uint64(b[p + 1]) << np.uint64(8)
            | np.uint64(b[p + 2]) << np.uint64(16)
            | np.uint64(b[p + 3]) << np.uint64(24)
        ) ^ crc
        crc = np.uint64(
            _CRC[7, low & np.uint64(255)]
            ^ _CRC[6, (low >> np.uint64(8)) & np.uint64(255)]
            ^ _CRC[5, (low >> np.uint64(16)) & np.uint64(255)]
            ^ _CRC[4, (low >> np.uint64(24)) & np.uint64(255)]
            ^ _CRC[3, b[p + 4]]
            ^ _CRC[2, b[p + 5]]
            ^ _CRC[1, b[p + 6]]
            ^ _CRC[0, b[p + 7]]
        )
        p += 8
    while p < end:
        crc = np.uint64(_CRC[0, (crc ^ np.uint64(b[p])) & np.uint64(255)]) ^ (crc >> np.uint64(8))
        p += 1
    return np.int64(crc ^ np.uint64(0xFFFFFFFF))
