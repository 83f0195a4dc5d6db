"""The dashboard: consumers of Kafka, the view of the archive, and the web server, in one event loop."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Self

import msgspec
from aiohttp import web

from config.errors import SettingsError
from config.settings import DashboardSettings, Settings
from dashboard.archive_view import ArchiveView
from dashboard.flow import Flow
from dashboard.live import Hub
from dashboard.newest_alerts import NewestAlerts
from dashboard.web import PagesRunner, application
from sinks.clickhouse import connect, target_of
from sinks.client import client_settings
from streams import artefacts
from streams.sentences import Sentences

log = logging.getLogger(__name__)

ANSWER_S_MAX = 15.0
START_S_MAX = 30.0
MODEL_S_MAX = 5.0
LEAVE_S_MAX = 2.0


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """Serve within the block; yield the address. Raise SettingsError where it cannot listen on it."""
    loop = asyncio.get_running_loop()
    hub = Hub(clients_max=settings.dashboard.clients_max)
    target = target_of(settings.clickhouse)
    archive = ArchiveView(partial(connect, target, answer_s_max=ANSWER_S_MAX))
    banks = [msgspec.to_builtins(bank) for bank in settings.banks]
    sentences = Sentences(settings.kafka)
    snapshot_of = partial(
        artefacts.snapshot_of, settings.kafka.bootstrap, client_settings(settings.kafka), timeout_s=MODEL_S_MAX
    )
    app = application(hub, archive, sentences, banks, snapshot_of)
    runner = PagesRunner(app, access_log=None, shutdown_timeout=LEAVE_S_MAX)
    alerts = NewestAlerts(settings.kafka, sentences, lambda found: _call_in_loop(loop, partial(hub.alerts, found)))
    flow = Flow(settings, lambda state: _call_in_loop(loop, partial(hub.flow, state)))
    await runner.setup()
    try:
        await _listen(runner, settings.dashboard)
        alerts.start()
        flow.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    finally:
        await asyncio.gather(*(asyncio.to_thread(follower.end) for follower in (alerts, flow)))
        await runner.cleanup()
        await asyncio.to_thread(archive.close)


async def serve(settings: Settings, ending: asyncio.Event, on_address: Callable[[str], None]) -> None:
    """Serve until `ending` is set."""
    async with serving(settings) as address:
        on_address(address)
        await ending.wait()


class DashboardThread:
    """The dashboard beside a role, in a thread and event loop of its own: only one process may open chdb's folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="dashboard", daemon=True)
        self.address = ""

    def __enter__(self) -> Self:
        """Wait until it listens. Raise the error of the start, or TimeoutError after START_S_MAX."""
        self._thread.start()
        if not self._started.wait(START_S_MAX):
            raise TimeoutError(f"the dashboard did not start in {START_S_MAX:g} s")
        if self._failure is not None:
            raise self._failure from self._failure.__cause__
        return self

    def __exit__(self, *_error: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join()

    def _run(self) -> None:
        def listening(address: str) -> None:
            self.address = address
            log.info("dashboard on %s", address)
            self._started.set()

        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(serve(self._settings, self._ending, listening))
        except Exception as error:
            log.exception("the dashboard has ended")
            self._failure = error
        finally:
            self._started.set()
            self._loop.close()


async def _listen(runner: web.AppRunner, where: DashboardSettings) -> None:
    try:
        await web.TCPSite(runner, where.host, where.port).start()
    except OSError as error:
        raise SettingsError(f"[dashboard] host = {where.host}, port = {where.port}: {error.strerror}") from error


def _call_in_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call in the event loop from a consumer's thread; a loop that has ended has no pages to serve."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call)
