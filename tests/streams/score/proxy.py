"""A TCP proxy before Redis that cuts and slows."""

import contextlib
import socket
import threading
import time

import redis


class Proxy:
    """Between a worker and its Redis. `cut` "before": the next EXEC does not get through, "after": its reply."""

    def __init__(self, url):
        found = redis.connection.parse_url(url)
        self._to = found["host"], found["port"]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.cut, self.cuts, self.delay_s = "", 0, 0.0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._to)
                for source, sink, is_request in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._carry, args=(source, sink, is_request), daemon=True).start()

    def _carry(self, source, sink, is_request):
        with contextlib.suppress(OSError):
            while part := source.recv(65_536):
                if is_request and self.cut and b"\r\nEXEC\r\n" in part:
                    self.cuts += 1
                    cut, self.cut = self.cut, ""
                    source.shutdown(socket.SHUT_RDWR)  # first: no reply may get through
                    if cut == "after":
                        sink.sendall(part)
                        time.sleep(0.05)  # Redis reads it before it sees that we are gone
                    break
                if is_request:
                    time.sleep(self.delay_s)
                sink.sendall(part)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
