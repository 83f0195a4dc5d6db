"""The HTTP server: a few named routes, all of them read-only; every other one is refused.

There is no sign-in yet, so it listens on the loopback only, and answers to the loopback's names only: a foreign page
whose own name points at 127.0.0.1 gets nothing.
"""

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.http import StreamWriter

from dashboard import assets, enterprise, overview, score_moves
from dashboard.archive_view import ArchiveView, Busy
from dashboard.live import Hub, TooManyClients
from detectors.snapshot import Snapshot, SnapshotError
from domain.ids import ENTERPRISE_ID_PATTERN
from sinks.artefacts import ArtefactMissing
from sinks.clickhouse import Connection, Refused, Unavailable
from streams.sentences import Sentences

log = logging.getLogger(__name__)

HOSTS = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
STATUS_S, FALLS_S = 3.0, 20.0  # for how long all pages share an answer of the archive
HEARTBEAT_S = 15.0
STUCK_S = 30.0  # a page that reads nothing for so long is disconnected
SEND_BUFFER_BYTES = 64 * 1024
TEXT_CHARS_MAX = 64
HUB, ARCHIVE, SENTENCES, BANKS, FILES = (
    web.AppKey("hub", Hub),
    web.AppKey("archive", ArchiveView),
    web.AppKey("sentences", Sentences),
    web.AppKey("banks", list),
    web.AppKey("files", dict),
)
SNAPSHOTS: web.AppKey[Callable[[str], Snapshot]] = web.AppKey("snapshots")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_encode = msgspec.json.Encoder().encode
_ENTERPRISE_ID = re.compile(ENTERPRISE_ID_PATTERN)


def application(
    hub: Hub,
    archive: ArchiveView,
    sentences: Sentences,
    banks: Sequence[dict[str, Any]],
    snapshot_of: Callable[[str], Snapshot],
) -> web.Application:
    """Return the application. `snapshot_of` brings a model by its content id.

    Raise ValueError where a file of the package has a wrong digest.
    """
    app = web.Application(middlewares=[_guard])
    app[HUB], app[ARCHIVE], app[SENTENCES] = hub, archive, sentences
    app[BANKS], app[FILES] = list(banks), dict(assets.load())
    app[SNAPSHOTS] = snapshot_of
    app.router.add_get("/", _page(assets.PAGES["/"]))
    app.router.add_get("/enterprise/{id}", _page(assets.ENTERPRISE_PAGE))
    for name in assets.STATIC:
        app.router.add_get(f"/static/{name}", _page(name))
    app.router.add_get("/api/stream", _stream)
    app.router.add_get("/api/status", _status)
    app.router.add_get("/api/names", _names)
    app.router.add_get("/api/search", _search)
    app.router.add_get("/api/enterprise/{id}", _enterprise)
    app.router.add_get("/api/enterprise/{id}/moves", _moves)
    return app


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse unknown hosts, routes and methods; answer errors without their details."""
    try:
        host = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
        if host not in HOSTS:
            raise web.HTTPMisdirectedRequest(text="unknown host\n")
        return await handler(request)
    except web.HTTPException as error:
        return web.Response(status=error.status, text=f"{error.reason}\n")
    except Busy as error:
        return _refusal("busy", error)
    except (Unavailable, Refused) as error:
        log.warning("dashboard: %s", error)
        return _refusal("archive", error)
    except (ArtefactMissing, SnapshotError) as error:
        log.warning("dashboard: %s", error)
        return _refusal("model", error)


class PagesRunner(web.AppRunner):
    """Runs the application, with the security headers on every answer that leaves.

    So also on those that the server makes by itself: to an error that nobody expected, and to a request that it cannot
    read, which no handler, middleware or signal of the application comes to see.
    """

    async def setup(self) -> None:
        """Set up, and give each request a writer that adds the headers."""
        await super().setup()
        assert self.server is not None
        make = self.server.request_factory

        def request(message: Any, payload: Any, protocol: Any, _writer: Any, task: Any) -> Any:
            return make(message, payload, protocol, _Writer(protocol, asyncio.get_running_loop()), task)

        self.server.request_factory = request


class _Writer(StreamWriter):
    async def write_headers(self, status_line: str, headers: Any) -> None:
        headers.update(HEADERS)
        await super().write_headers(status_line, headers)


def _refusal(what: str, error: Exception) -> web.Response:
    """Return status 503 with an error code for the page; the details are in the log only."""
    return web.json_response({"error": what, "kind": type(error).__name__}, status=503)


def _page(name: str) -> Handler:
    async def send(request: web.Request) -> web.StreamResponse:
        asset: assets.Asset = request.app[FILES][name]
        headers = {
            "ETag": f'"{asset.etag}"',
            "Cache-Control": "public, max-age=31536000, immutable" if asset.lasting else "no-cache",
        }
        if request.headers.get("If-None-Match") == f'"{asset.etag}"':
            return web.Response(status=304, headers=headers)
        return web.Response(body=asset.body, content_type=asset.content_type, charset="utf-8", headers=headers)

    return send


def _json(body: Any) -> web.Response:
    return web.Response(body=_encode(body), content_type="application/json", headers={"Cache-Control": "no-store"})


async def _status(request: web.Request) -> web.StreamResponse:
    archive, banks = request.app[ARCHIVE], request.app[BANKS]

    def ask(db: Connection) -> dict[str, Any]:
        reached_ms, rows = overview.banks_now(banks, overview.feeds(db))
        return {
            "reached_ms": reached_ms,
            "banks": rows,
            "grades": overview.grades(db),
            "open_alerts": overview.open_alerts(db),
            "dead_letters": overview.dead_letters(db),
        }

    status = await archive.shared("status", STATUS_S, ask)
    falls = await archive.shared("falls", FALLS_S, overview.falls)
    return _json({**status, "falls": falls})


async def _names(request: web.Request) -> web.StreamResponse:
    ids = request.query.get("ids", "").split(",")
    if len(ids) > overview.NAMES_MAX or not all(map(_ENTERPRISE_ID.fullmatch, ids)):
        raise web.HTTPBadRequest
    return _json(await request.app[ARCHIVE].ask(lambda db: overview.names(db, ids)))


async def _search(request: web.Request) -> web.StreamResponse:
    text = request.query.get("q", "").strip()
    if not 2 <= len(text) <= TEXT_CHARS_MAX or "\0" in text:
        raise web.HTTPBadRequest
    return _json(await request.app[ARCHIVE].ask(lambda db: overview.search(db, text)))


def _asked(request: web.Request) -> str:
    enterprise_id = request.match_info["id"]
    if not _ENTERPRISE_ID.fullmatch(enterprise_id):
        raise web.HTTPNotFound
    return enterprise_id


async def _enterprise(request: web.Request) -> web.StreamResponse:
    enterprise_id = _asked(request)
    sentences = request.app[SENTENCES]
    found = await request.app[ARCHIVE].ask(lambda db: enterprise.enterprise(db, enterprise_id, sentences))
    if found is None:
        raise web.HTTPNotFound
    names = {bank["bank_id"]: bank for bank in request.app[BANKS]}
    held = {loan["bank_id"] for loan in found["loans"]} | {txn["bank_id"] for txn in found["txns"]}
    return _json({**found, "banks": {bank_id: names[bank_id] for bank_id in held if bank_id in names}})


async def _moves(request: web.Request) -> web.StreamResponse:
    """Answer what moved the score within some days; null where the archive has no close so old."""
    enterprise_id, days = _asked(request), request.query.get("days", "")
    if days not in map(str, score_moves.DAYS):
        raise web.HTTPBadRequest
    found = await request.app[ARCHIVE].ask(lambda db: score_moves.closes(db, enterprise_id, int(days)))
    if found is None:
        return _json(None)
    # In a thread: a model may have to be fetched, and what scores with it compiled.
    return _json(await asyncio.to_thread(score_moves.moves, found, request.app[SNAPSHOTS]))


async def _stream(request: web.Request) -> web.StreamResponse:
    """Send server-sent events: hello, then alert, flow and gap as they come."""
    hub = request.app[HUB]
    try:
        client, hello = hub.join()
    except TooManyClients:
        raise web.HTTPServiceUnavailable from None
    try:
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        transport = request.transport
        if transport is not None and (handle := transport.get_extra_info("socket")) is not None:
            # Messages for a slow page wait in its queue, where they are bounded and counted.
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        sent = hello
        while True:
            await asyncio.wait_for(response.write(sent), STUCK_S)
            try:
                sent = await asyncio.wait_for(client.take(), HEARTBEAT_S)
            except TimeoutError:
                sent = b": still here\n\n"
    except (TimeoutError, ConnectionError):
        if request.transport is not None:
            request.transport.abort()
        return response
    finally:
        hub.leave(client)
