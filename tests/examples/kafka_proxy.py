"""A TCP proxy before Kafka that holds back the commit of an offset."""

import contextlib
import socket
import struct
import threading

OFFSET_COMMIT = 8  # the key of the request in Kafka's protocol


class CommitHeldBack:
    """Between a subscriber and its broker. While `armed`, a commit does not get through; `seen` is set by the first.

    A broker that advertises `port` is reached through it by all its clients.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.broker_port = 0  # known once the broker runs
        self.armed, self.seen = False, threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self.broker_port))
                threading.Thread(target=self._carry_requests, args=(near, far), daemon=True).start()
                threading.Thread(target=self._carry_replies, args=(far, near), daemon=True).start()

    def _carry_requests(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (size := _exactly(near, 4)) and (request := _exactly(near, struct.unpack(">i", size)[0])):
                if self.armed and struct.unpack(">h", request[:2])[0] == OFFSET_COMMIT:
                    self.seen.set()
                    continue
                far.sendall(size + request)
        _end(near, far)

    def _carry_replies(self, far: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := far.recv(65_536):
                near.sendall(part)
        _end(far, near)


def _exactly(source: socket.socket, count: int) -> bytes:
    """Return `count` bytes; fewer where the connection has ended."""
    read = b""
    while len(read) < count and (part := source.recv(count - len(read))):
        read += part
    return read if len(read) == count else b""


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
