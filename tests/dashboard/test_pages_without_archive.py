"""Pages without an archive: their banner, in both languages, and the one connection of an open page."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from config.settings import KafkaSettings
from dashboard.archive_view import ArchiveView
from dashboard.browser import Browser
from dashboard.live import Hub
from dashboard.web import application
from sinks.clickhouse import Unavailable
from streams.sentences import Sentences
from tests.dashboard.kit import no_models
from tests.patience import eventually

SAID = {
    "zh": "档案库无应答，下列数字不是最新",
    "en": "The archive does not answer: figures below are not the newest",
}
# Of every element of the head: what is wider or higher inside than outside, or lies beside the head or the window.
CUT_OFF = """[...document.querySelectorAll('#bar, #bar *')].filter((e) => {
    const own = e.getBoundingClientRect(), bar = document.getElementById('bar').getBoundingClientRect();
    return e.checkVisibility() && e.tagName !== 'INPUT' && (
        e.scrollWidth > e.clientWidth && getComputedStyle(e).display !== 'inline'
        || e.scrollHeight > e.clientHeight && getComputedStyle(e).display !== 'inline'
        || own.top < bar.top || own.bottom > bar.bottom || own.left < 0 || own.right > innerWidth);
}).map((e) => `${e.className}: ${e.scrollWidth} x ${e.scrollHeight} in ${e.clientWidth} x ${e.clientHeight}`)"""


def away() -> Any:
    raise Unavailable("away")


@pytest.fixture(scope="module")
def hub() -> Hub:
    return Hub(clients_max=4)


@pytest.fixture(scope="module")
def address(hub: Hub) -> Iterator[str]:
    """Yield the address of pages whose archive is unavailable."""
    loop, listening = asyncio.new_event_loop(), threading.Event()
    archive = ArchiveView(away)
    runner = web.AppRunner(application(hub, archive, Sentences(KafkaSettings()), [], no_models), shutdown_timeout=1.0)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        listening.set()

    def run() -> None:
        loop.run_until_complete(start())
        loop.run_forever()

    thread = threading.Thread(target=run)
    thread.start()
    assert listening.wait(30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dashboard.web.HEARTBEAT_S", 0.05)  # which is how the server comes to know of a closed connection
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    archive.close()


@pytest.mark.parametrize("page", ["/", "/enterprise/91450100TEST00001X"])
@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("width", [1440, 1024])
def test_the_banner_names_an_archive_that_is_away(
    address: str, browser: Browser, width: int, lang: str, page: str
) -> None:
    browser.resize(width, 900)
    browser.goto(f"{address}{page}?lang={lang}")
    browser.wait_for("document.querySelector('.link').dataset.state === 'warning'")
    # The time of the newest event stands in the head as well, from before the archive went away.
    reached = {"zh": "事件时间", "en": "Event time"}[lang]
    browser.evaluate(f"document.querySelector('.reached').textContent = '{reached} 2026-06-30 14:05'")
    assert browser.evaluate("document.querySelector('.link').textContent") == SAID[lang]
    assert browser.evaluate(CUT_OFF) == []
    assert browser.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_page_that_is_left_holds_no_connection_and_one_come_back_to_is_live(
    address: str, hub: Hub, browser: Browser
) -> None:
    for _ in range(8):  # two more than a browser opens connections to one host
        browser.goto(f"{address}/")
        browser.goto("about:blank")
        eventually(lambda: hub.client_count == 0, 5, "the connection ends with its page")
    browser.evaluate("history.back()")
    browser.wait_for("document.querySelector('.link')?.dataset.state === 'warning'")
    eventually(lambda: hub.client_count == 1, 5, "one connection")
