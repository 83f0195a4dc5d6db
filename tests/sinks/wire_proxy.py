"""A proxy that loses the answers of a server."""

import socket
import threading
from collections.abc import Callable


class Proxy:
    """Carries one TCP connection after another; `swallow_after_bytes` set, answers are lost once that much was sent."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.swallow_after_bytes: int | None = None
        self.swallowed = 0

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._to)
            sent = [0]
            threading.Thread(
                target=self._carry, args=(near, far, lambda part, s=sent: self._count(s, part)), daemon=True
            ).start()
            threading.Thread(
                target=self._carry, args=(far, near, lambda part, s=sent: self._let(s, part)), daemon=True
            ).start()

    def _count(self, sent: list[int], part: bytes) -> bool:
        if self.swallow_after_bytes is not None:
            sent[0] += len(part)
        return True

    def _let(self, sent: list[int], part: bytes) -> bool:
        if self.swallow_after_bytes is not None and sent[0] >= self.swallow_after_bytes:
            self.swallowed += len(part)
            return False
        return True

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket, may_pass: Callable[[bytes], bool]) -> None:
        try:
            while part := source.recv(65_536):
                if may_pass(part):
                    sink.sendall(part)
        except OSError:
            pass  # either side has gone, and so goes the other
        for end in (source, sink):
            end.close()
