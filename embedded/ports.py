"""Free loopback ports, outside the range from which the kernel takes the near ends of connections."""

import random
import socket
from pathlib import Path

_LOWEST = 15_000


def port_is_free(port: int) -> bool:
    """Return whether a server may listen on 127.0.0.1:port now (connections that are fading away do not count)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def port_answers(port: int) -> bool:
    """Return whether something listens on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port(*, besides: tuple[int, ...] = ()) -> int:
    """Return a free port under the ephemeral range; OSError if 1,000 draws find none.

    Port 0 would give an ephemeral one: while the server is down, a client that redials it can get the same number as
    its own near end, reach itself, and hold the port against the server's return.
    """
    draw = random.SystemRandom()
    for _ in range(1_000):
        port = draw.randrange(_LOWEST, _ephemeral_lowest())
        if port not in besides and port_is_free(port):
            return port
    raise OSError(f"no free loopback port found between {_LOWEST} and {_ephemeral_lowest()}")


def _ephemeral_lowest() -> int:
    setting = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(setting.read_text().split()[0]) if setting.exists() else 32_768
    return lowest if lowest > _LOWEST + 1_000 else 65_535
