"""Produce requests made by hand: a client that sends any bytes as a record batch."""

import socket
import struct
import time
from dataclasses import dataclass

TIMEOUT_MS = 30_000
_PASSING = (3, 5, 6)  # unknown topic, leader not available, not the leader


class Refused(Exception):
    """The broker does not take the batch; `code` is that of Kafka's protocol, None where it closed the connection."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        super().__init__(f"refused with error code {code}")


@dataclass(frozen=True, kw_only=True)
class Produced:
    """The place of a produced batch."""

    base_offset: int


def produce(
    bootstrap: str, topic: str, batch: bytes, *, version: int = 7, transactional_id: str | None = None
) -> Produced:
    """Send one batch to partition 0 of a topic with the broker as its leader, and wait for its answer.

    A new topic has its leader a moment later.
    """
    give_up_s = time.monotonic() + TIMEOUT_MS / 1000
    while True:
        try:
            return _produce(bootstrap, topic, batch, version, transactional_id)
        except Refused as refused:
            if refused.code not in _PASSING or time.monotonic() > give_up_s:
                raise
        time.sleep(0.05)


def _produce(bootstrap: str, topic: str, batch: bytes, version: int, transactional_id: str | None) -> Produced:
    host, _, port = bootstrap.rpartition(":")
    body = b"" if version < 3 else _text(transactional_id)
    body += struct.pack(">hi", -1, TIMEOUT_MS)
    body += struct.pack(">i", 1) + _text(topic) + struct.pack(">iii", 1, 0, len(batch)) + batch
    header = struct.pack(">hhi", 0, version, 1) + _text("raw-produce")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_MS / 1000) as connection:
        connection.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        answer = _read(connection, *struct.unpack(">i", _read(connection, 4)))
    (size,) = struct.unpack_from(">h", answer, 8)
    code, base_offset = struct.unpack_from(">hq", answer, 8 + 2 + size + 8)
    if code:
        raise Refused(code)
    return Produced(base_offset=base_offset)


def _text(text: str | None) -> bytes:
    return struct.pack(">h", -1) if text is None else struct.pack(">h", len(text.encode())) + text.encode()


def _read(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        try:
            piece = connection.recv(size - len(found))
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise Refused(None)
        found += piece
    return found
