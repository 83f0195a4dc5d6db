"""Fan-out to open pages: a bounded queue each, and a marker where messages were dropped.

Everything here runs in one event loop. A page that does not read costs its queue and nothing else.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

ALERTS_KEPT = 500
QUEUE_MAX = 256
_encode = msgspec.json.Encoder().encode


class TooManyClients(Exception):
    """The maximum of open pages is reached."""


def frame(name: str, body: Any) -> bytes:
    """Return one server-sent event; JSON holds no line ends.

    >>> frame("gap", {"missed": 3})
    b'event: gap\\ndata: {"missed":3}\\n\\n'
    """
    return b"event: " + name.encode() + b"\ndata: " + _encode(body) + b"\n\n"


class Client:
    """The queue of one open page: alerts in order, and of the flow only the newest state."""

    def __init__(self, queue_max: int = QUEUE_MAX) -> None:
        self._alerts: deque[bytes] = deque()
        self._queue_max = queue_max
        self._flow: bytes | None = None
        self._something = asyncio.Event()
        self.missed = 0  # alerts dropped since the last marker

    def __len__(self) -> int:
        return len(self._alerts)

    def offer_alert(self, sent: bytes) -> None:
        """Append a frame; a full queue drops its oldest one and counts it."""
        if len(self._alerts) >= self._queue_max:
            self._alerts.popleft()
            self.missed += 1
        self._alerts.append(sent)
        self._something.set()

    def offer_flow(self, sent: bytes) -> None:
        """Replace the flow's frame by a newer one."""
        self._flow = sent
        self._something.set()

    async def take(self) -> bytes:
        """Wait for frames and return them, behind a gap marker where some were dropped."""
        await self._something.wait()
        self._something.clear()
        taken = [frame("gap", {"missed": self.missed})] if self.missed else []
        taken += self._alerts
        if self._flow is not None:
            taken.append(self._flow)
        self._alerts.clear()
        self._flow, self.missed = None, 0
        return b"".join(taken)


class Hub:
    """The open pages, and the first message of a new one: the newest alerts, and the flow of the last minutes."""

    def __init__(self, *, clients_max: int, flow_kept: int = 900) -> None:
        self._clients: set[Client] = set()
        self._clients_max = clients_max
        self._alerts: deque[Mapping[str, Any]] = deque(maxlen=ALERTS_KEPT)
        self._seen: deque[tuple[str, int]] = deque()
        self._seen_set: set[tuple[str, int]] = set()
        self._flow: deque[Mapping[str, Any]] = deque(maxlen=flow_kept)

    @property
    def client_count(self) -> int:
        """Return the number of open pages."""
        return len(self._clients)

    def join(self) -> tuple[Client, bytes]:
        """Return a new page and its first message. Raise TooManyClients where the maximum is reached."""
        if len(self._clients) >= self._clients_max:
            raise TooManyClients(f"{self._clients_max} pages are open")
        client = Client()
        self._clients.add(client)
        return client, frame("hello", {"alerts": list(self._alerts), "flow": list(self._flow)})

    def leave(self, client: Client) -> None:
        """Remove a closed page."""
        self._clients.discard(client)

    def alerts(self, alerts: Iterable[Mapping[str, Any]]) -> None:
        """Send new revisions to all pages, in the order of the topic; repeats, by (alert, revision), are dropped."""
        for alert in alerts:
            identity = (alert["id"], alert["revision"])
            if identity in self._seen_set:
                continue
            self._seen.append(identity)
            self._seen_set.add(identity)
            if len(self._seen) > 10 * ALERTS_KEPT:
                self._seen_set.discard(self._seen.popleft())
            self._alerts.append(alert)
            sent = frame("alert", alert)
            for client in self._clients:
                client.offer_alert(sent)

    def flow(self, state: Mapping[str, Any]) -> None:
        """Send the newest state of the flow to all pages."""
        self._flow.append(state)
        sent = frame("flow", state)
        for client in self._clients:
            client.offer_flow(sent)
