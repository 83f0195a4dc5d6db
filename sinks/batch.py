"""A record batch on its way out: aiokafka's builder, packed with LZ4 at its fastest level.

aiokafka packs at level 9: of our JSON that is five times the work for a tenth of the bytes.
"""

import struct
from typing import Any

import cramjam
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c

BYTES_MAX = 512 * 1024  # before packing; a larger record is a batch by itself
PLAIN, LZ4 = 0, 3  # codecs of the record batch format, https://kafka.apache.org/documentation/#recordbatch
_LENGTH_AT, _CRC_AT, _ATTRIBUTES_AT, _RECORDS_AT = 8, 17, 21, 61
_AFTER_LENGTH = 12  # what the length counts begins here
_LEVEL = 1

Headers = list[tuple[str, bytes | None]]


class Stretch:
    """Outputs that follow each other: so many were sent, says who sends them, and so many landed, says the sender.

    Each counts in a thread of its own.
    """

    __slots__ = ("landed", "sent")

    def __init__(self) -> None:
        self.sent = self.landed = 0

    @property
    def is_open(self) -> bool:
        """Whether some are not acknowledged."""
        return self.landed < self.sent


class Batch(BatchBuilder):
    """Records of one partition.

    of: [stretch, how many of it] in their order. payload: bytes of their keys and values.
    """

    def __init__(self) -> None:
        super().__init__(BYTES_MAX, PLAIN)
        self.of: list[list[Any]] = []
        self.payload = 0
        self._packed: bytes | bytearray | None = None

    def add(self, time_ms: int, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
        """Add a record; False where there is no room for it."""
        if self._builder.append(self._relative_offset, time_ms, key, value, headers) is None:
            return False
        self._relative_offset += 1
        self.payload += (len(key) if key else 0) + (len(value) if value else 0)
        return True

    def belongs_to(self, stretch: Stretch) -> None:
        """The record that was added last is of this stretch."""
        if self.of and self.of[-1][0] is stretch:
            self.of[-1][1] += 1
        else:
            self.of.append([stretch, 1])

    def _build(self) -> bytes | bytearray:
        """What goes to the broker; called once more for each new attempt."""
        if self._packed is None:
            self._packed = packed(super()._build())
        return self._packed


def packed(plain: bytearray) -> bytes | bytearray:
    """A batch with its records packed; as it was where that does not make it smaller."""
    compressor = cramjam.lz4.Compressor(level=_LEVEL, content_checksum=False, block_linked=False)  # as brokers want it
    compressor.compress(bytes(memoryview(plain)[_RECORDS_AT:]))
    records = bytes(compressor.finish())
    if _RECORDS_AT + len(records) >= len(plain):
        return plain
    head = plain[:_RECORDS_AT]
    struct.pack_into(">i", head, _LENGTH_AT, _RECORDS_AT - _AFTER_LENGTH + len(records))
    (attributes,) = struct.unpack_from(">h", head, _ATTRIBUTES_AT)
    struct.pack_into(">h", head, _ATTRIBUTES_AT, attributes | LZ4)
    batch = b"".join((head, records))
    crc = struct.pack(">I", calc_crc32c(memoryview(batch)[_ATTRIBUTES_AT:]))
    return batch[:_CRC_AT] + crc + batch[_ATTRIBUTES_AT:]
