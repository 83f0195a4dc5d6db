"""Open pages: bounded queues, a marker for dropped messages, and the first message of a new page."""

import asyncio
import json
import socket
import time
from typing import Any

import pytest
from aiohttp import web

from config.settings import KafkaSettings
from dashboard.archive_view import ArchiveView
from dashboard.live import ALERTS_KEPT, QUEUE_MAX, Client, Hub, TooManyClients
from dashboard.web import application
from streams.sentences import Sentences
from tests.dashboard.kit import no_models
from tests.faults import Fault


def alert(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": f"a{number}", "revision": 1, "text": "经营流入骤降" * 20, **changes}


def events(raw: bytes) -> list[tuple[str, Any]]:
    """(name, data) of each whole event."""
    found = []
    for part in raw.split(b"\n\n")[:-1]:
        if not part.startswith(b":"):
            name, data = part.split(b"\n", 1)
            found.append((name.removeprefix(b"event: ").decode(), json.loads(data.removeprefix(b"data: "))))
    return found


def test_frames_are_taken_in_the_order_of_their_offers() -> None:
    async def story() -> list[tuple[str, Any]]:
        hub = Hub(clients_max=2)
        client, _ = hub.join()
        hub.alerts([alert(1), alert(2), alert(1)])
        hub.flow({"at_ms": 1})
        hub.flow({"at_ms": 2})
        return events(await client.take())

    found = asyncio.run(story())
    assert [(name, body.get("id", body.get("at_ms"))) for name, body in found] == [
        ("alert", "a1"), ("alert", "a2"), ("flow", 2),
    ]  # fmt: skip


def test_a_full_queue_drops_its_oldest_and_says_how_many_first() -> None:
    async def story() -> tuple[int, list[tuple[str, Any]]]:
        client = Client()
        for number in range(QUEUE_MAX + 10):
            client.offer_alert(b"event: alert\ndata: %d\n\n" % number)
        return len(client), events(await client.take())

    length, found = asyncio.run(story())
    assert length == QUEUE_MAX
    assert found[0] == ("gap", {"missed": 10})
    assert [body for _, body in found[1:]] == list(range(10, QUEUE_MAX + 10))


def test_a_new_page_receives_the_newest_alerts_and_the_flow() -> None:
    async def story() -> list[tuple[str, Any]]:
        hub = Hub(clients_max=2, flow_kept=3)
        hub.alerts(alert(number) for number in range(ALERTS_KEPT + 5))
        for at_ms in range(5):
            hub.flow({"at_ms": at_ms})
        return events(hub.join()[1])

    ((name, body),) = asyncio.run(story())
    assert name == "hello"
    assert [each["id"] for each in body["alerts"]] == [f"a{number}" for number in range(5, ALERTS_KEPT + 5)]
    assert [state["at_ms"] for state in body["flow"]] == [2, 3, 4]


def test_places_are_bounded_and_come_back() -> None:
    async def story() -> None:
        hub = Hub(clients_max=1)
        client, _ = hub.join()
        with pytest.raises(TooManyClients):
            hub.join()
        hub.leave(client)
        hub.join()

    asyncio.run(story())


def test_fault_32_a_slow_page_costs_its_queue_alone_and_gets_a_gap_marker(fault: Fault) -> None:
    """One page does not read, another does: the hub goes on, and the slow page gets its number of missed alerts."""
    count = 20_000

    async def story() -> tuple[list[tuple[str, Any]], list[tuple[str, Any]], int]:
        hub = Hub(clients_max=4)
        served = application(
            hub, ArchiveView(lambda: pytest.fail("not asked")), Sentences(KafkaSettings()), [], no_models
        )
        runner = web.AppRunner(served, shutdown_timeout=0.1)  # both streams are still open at the end
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        slow, quick = [await opened(port) for _ in range(2)]
        while hub.client_count < 2:
            await asyncio.sleep(0.01)
        reading = asyncio.create_task(read_until(quick, f"a{count - 1}", 60.0))
        queued = 0
        for number in range(count):
            hub.alerts([alert(number)])
            if number % 50 == 0:
                await asyncio.sleep(0)
                queued = max(queued, *(len(client) for client in hub._clients))
                await asyncio.sleep(0.002)  # the quick page reads about as fast as alerts come
        quick_seen = await reading
        slow_seen = await read_until(slow, f"a{count - 1}", 60.0)
        await runner.cleanup()
        return quick_seen, slow_seen, queued

    quick_seen, slow_seen, queued = asyncio.run(story())
    assert queued <= QUEUE_MAX
    missed = {name: sum(body["missed"] for kind, body in seen if kind == "gap") for name, seen in
              (("slow", slow_seen), ("quick", quick_seen))}  # fmt: skip
    got = [body["id"] for kind, body in slow_seen if kind == "alert"]
    assert missed["slow"] > 0, "the page was never too slow"
    assert missed["slow"] + len(got) == count
    assert got == sorted(got, key=lambda each: int(each[1:])), "out of order"
    assert missed["quick"] == 0
    assert sum(kind == "alert" for kind, _ in quick_seen) == count
    fault(injected=missed["slow"], observed=f"{len(got)} of {count} shown with a gap marker, queue of {queued} at most")


async def opened(port: int) -> socket.socket:
    """A page that has asked for the stream, with a small buffer of its own and nothing read."""
    page = socket.socket()
    page.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    page.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(page, ("127.0.0.1", port))
    await loop.sock_sendall(page, f"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    return page


async def read_until(page: socket.socket, last_id: str, deadline_s: float) -> list[tuple[str, Any]]:
    """Everything up to the alert `last_id`."""
    loop, raw, end_s = asyncio.get_running_loop(), bytearray(), time.monotonic() + deadline_s
    while f'"{last_id}"'.encode() not in raw[-4096:]:
        assert time.monotonic() < end_s, "the last alert did not come"
        raw += await asyncio.wait_for(loop.sock_recv(page, 1 << 16), deadline_s)
    page.close()
    return events(unchunked(bytes(raw)))


def unchunked(raw: bytes) -> bytes:
    """The body of a chunked HTTP answer, as far as it is there."""
    _, _, rest = raw.partition(b"\r\n\r\n")
    body = bytearray()
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        count = int(size, 16)
        body += rest[:count]
        rest = rest[count + 2 :]
    return bytes(body)
