"""ClickHouse's `Native` format to and from bytes, by clickhouse-driver's own block reader and writer."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from clickhouse_driver.block import ColumnOrientedBlock
from clickhouse_driver.bufferedreader import BufferedSocketReader
from clickhouse_driver.bufferedwriter import BufferedSocketWriter
from clickhouse_driver.context import Context
from clickhouse_driver.streams.native import BlockInputStream, BlockOutputStream

_BUFFER_BYTES = 1 << 20


def encode_block(names: Sequence[str], types: Sequence[str], columns: Sequence[Sequence[Any]]) -> bytes:
    """Return one block of `columns` (columns[c][r]) as bytes; the lists are not changed."""
    wire = _Memory(b"")
    block = ColumnOrientedBlock(
        columns_with_types=list(zip(names, types, strict=True)),
        data=[list(column) for column in columns],  # the driver writes zeros over nulls in place
        types_check=False,
    )
    BlockOutputStream(BufferedSocketWriter(wire, _BUFFER_BYTES), _context()).write(block)
    return bytes(wire.sent)


def decode_blocks(body: bytes) -> list[tuple[Any, ...]]:
    """Return the rows of all blocks in `body`."""
    reader = BufferedSocketReader(_Memory(body), _BUFFER_BYTES)
    stream = BlockInputStream(reader, _context())
    rows: list[tuple[Any, ...]] = []
    while True:
        try:
            block = stream.read()
        except EOFError:
            return rows
        rows += [tuple(row) for row in block.get_rows()]


class _Memory:
    """Bytes with the two methods of a socket that the driver's buffers call."""

    def __init__(self, body: bytes) -> None:
        self.sent = bytearray()
        self._body = memoryview(body)
        self._at = 0

    def sendall(self, part: bytes) -> None:
        self.sent += part

    def recv_into(self, buffer: memoryview) -> int:
        size = min(len(buffer), len(self._body) - self._at)
        buffer[:size] = self._body[self._at : self._at + size]
        self._at += size
        return size


def _context() -> Context:
    context = Context()
    context.client_settings = {
        "strings_encoding": "utf-8",
        "strings_as_bytes": False,
        "use_numpy": False,
        "opentelemetry_traceparent": None,
    }
    context.settings = {}
    # Revision 0 is the file format: no block info, no custom serialization.
    context.server_info = SimpleNamespace(used_revision=0, get_timezone=lambda: "UTC")
    return context
