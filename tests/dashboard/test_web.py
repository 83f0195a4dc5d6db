"""The routes: named ones alone, for the loopback's names alone, with every header, and nothing from elsewhere."""

import asyncio
import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, web

from config.errors import SettingsError
from config.settings import DashboardSettings, KafkaSettings, Settings
from dashboard import assets
from dashboard.archive_view import WAITING_MAX, ArchiveView, Busy
from dashboard.live import Hub
from dashboard.serve import DashboardThread
from dashboard.web import HEADERS, PagesRunner, application
from sinks.clickhouse import Connection, Unavailable
from sinks.clickhouse.tables import INDICATOR, SCORE
from streams.sentences import Sentences
from tests.dashboard.kit import no_models
from tests.dashboard.test_questions import ONE, close, score, store

STATIC = Path(str(files("dashboard"))) / "static"


def away() -> Any:
    raise Unavailable("away")


def ask(
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    clients_max: int = 1,
    connect: Callable[[], Any] = away,
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and first line of an answer of an application whose archive is unavailable."""

    async def story() -> tuple[int, dict[str, str], bytes]:
        archive = ArchiveView(connect)
        hub, sentences = Hub(clients_max=clients_max), Sentences(KafkaSettings())
        runner = PagesRunner(application(hub, archive, sentences, [], no_models))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
        try:
            async with ClientSession() as session, session.request(method, url, headers=headers) as answer:
                is_stream = answer.content_type == "text/event-stream"
                body = await (answer.content.readline() if is_stream else answer.read())
                return answer.status, dict(answer.headers), body
        finally:
            await runner.cleanup()
            archive.close()

    return asyncio.run(story())


@pytest.mark.parametrize(
    "path",
    [
        "/admin", "/static/", "/static/vendor/", "/static/../web.py", "/static/%2e%2e/web.py", "/static/texts.js/x",
        "/api/", "/api/enterprise/", "/enterprise/a/b", "/api/enterprise/a%27b", "/api/enterprise/" + "a" * 33,
        "//evil.example/", "/index.html", "/.git/config",
    ],
)  # fmt: skip
def test_unknown_routes_are_refused_with_every_header(path: str) -> None:
    status, headers, body = ask(path)
    assert status in (404, 400)
    assert headers.items() >= HEADERS.items()
    assert b"evil" not in body
    assert b"'" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(method: str) -> None:
    status, headers, _ = ask("/api/status", method=method)
    assert status == 405
    assert headers.items() >= HEADERS.items()


@pytest.mark.parametrize("accepts", ["text/html", "application/json"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/status", "/api/search?q=abc", "/api/enterprise/91450100TEST00001X",
        "/api/enterprise/91450100TEST00001X/moves?days=30",
    ],
)  # fmt: skip
def test_an_error_that_nobody_expects_is_answered_with_every_header_and_without_details(
    path: str, accepts: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Any:
        raise KeyError("a detail of ours")

    status, headers, body = ask(path, headers={"Accept": accepts}, connect=broken)
    assert status == 500
    assert headers.items() >= HEADERS.items()
    assert b"detail" not in body
    assert "a detail of ours" in caplog.text, "operators find it in the log"


def test_an_error_in_the_guard_itself_is_answered_with_every_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.web.HOSTS", None)
    status, headers, _ = ask("/")
    assert status == 500
    assert headers.items() >= HEADERS.items()


def test_a_request_that_the_server_cannot_read_is_answered_with_every_header() -> None:
    status, headers, body = ask("/" + "<script>" * 2_000)
    assert status == 400
    assert b"more than" in body, "the server's own answer, which quotes the address"
    assert headers.items() >= HEADERS.items()


@pytest.mark.parametrize(("clients_max", "status"), [(1, 200), (0, 503)])
def test_a_stream_has_every_header_begun_or_refused(clients_max: int, status: int) -> None:
    found, headers, body = ask("/api/stream", clients_max=clients_max)
    assert found == status
    assert headers.items() >= HEADERS.items()
    assert body


def test_what_is_refused_before_any_route_has_every_header() -> None:
    status, headers, _ = ask("/", headers={"Expect": "the-unexpected"})
    assert status == 417
    assert headers.items() >= HEADERS.items()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200),
        ("localhost", 200),
        ("[::1]:8710", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
    ],
)
def test_only_names_of_the_loopback_are_answered(host: str, status: int) -> None:
    assert ask("/", headers={"Host": host})[0] == status


@pytest.mark.parametrize("path", ["/", "/enterprise/91450100TEST00001X", "/static/page.js"])
def test_pages_come_with_a_policy_that_lets_no_inline_script_run(path: str) -> None:
    status, headers, body = ask(path)
    assert status == 200
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert b"unsafe" not in headers["Content-Security-Policy"].encode()
    again = ask(path, headers={"If-None-Match": headers["Etag"]})
    assert (again[0], again[2]) == (304, b"")
    assert body


def test_an_archive_that_is_away_is_reported_without_its_address() -> None:
    status, headers, body = ask("/api/status")
    assert status == 503
    assert msgspec.json.decode(body) == {"error": "archive", "kind": "Unavailable"}
    assert headers.items() >= HEADERS.items()


@pytest.mark.parametrize("query", ["q=", "q=a", "q=" + "a" * 65, "q=%00%00"])
def test_a_search_that_cannot_be_meant_is_refused(query: str) -> None:
    assert ask(f"/api/search?{query}")[0] == 400


@pytest.mark.parametrize("days", ["", "0", "31", "-7", "7;", "９０"])
def test_moves_over_days_that_the_page_does_not_offer_are_refused(days: str) -> None:
    assert ask(f"/api/enterprise/91450100TEST00001X/moves?days={days}")[0] == 400


def test_a_model_that_cannot_be_had_is_said_and_no_more_of_it(archive: Connection) -> None:
    store(archive, INDICATOR, close(20_000, {}, offset=1), close(20_007, {}, offset=2))
    store(archive, SCORE, score(512, model_id="f" * 64), score(500, model_id="f" * 64, offset=2))
    shared = SimpleNamespace(rows=archive.rows, database=archive.database, close=lambda: None)
    status, headers, body = ask(f"/api/enterprise/{ONE}/moves?days=7", connect=lambda: shared)
    assert (status, msgspec.json.decode(body)) == (503, {"error": "model", "kind": "ArtefactMissing"})
    assert headers.items() >= HEADERS.items()
    assert ask(f"/api/enterprise/{ONE}/moves?days=30", connect=lambda: shared)[::2] == (200, b"null")


def test_echarts_is_the_named_file_of_the_named_version() -> None:
    body = (STATIC / "vendor" / assets.ECHARTS).read_bytes()
    assert hashlib.sha256(body).hexdigest() == assets.ECHARTS_SHA256
    assert b"Licensed to the Apache Software Foundation" in body[:200]
    assert b'version="6.1.0"' in body.replace(b" ", b"") or b'"6.1.0"' in body
    assert {path.name for path in (STATIC / "vendor").iterdir()} == {
        assets.ECHARTS, "echarts-LICENSE.txt", "echarts-LICENSE-d3.txt", "echarts-NOTICE.txt",
    }  # fmt: skip


def test_every_file_is_listed_and_none_makes_markup_of_text_or_fetches_from_elsewhere() -> None:
    ours = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file()}
    assert {name for name in ours if not name.startswith("vendor/")} == {
        name for name in (*assets.PAGES.values(), assets.ENTERPRISE_PAGE, *assets.STATIC) if "vendor/" not in name
    }
    for name in ours:
        text = (STATIC / name).read_text(encoding="utf-8")
        if name.startswith("vendor/"):
            continue
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), name
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", text), name
        if name.endswith(".html"):
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son\w+=", text), name


def test_both_languages_say_the_same_things() -> None:
    text = (STATIC / "texts.js").read_text(encoding="utf-8")
    zh, en = text.split("\n  en: {")
    keys = [re.findall(r"(?<![\w\"])(\w+): \"", part) for part in (zh, en)]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == len(keys[0])
    for name in ("index", "enterprise"):
        used = re.findall(r'data-t(?:-label)?="(\w+)"', (STATIC / f"{name}.html").read_text(encoding="utf-8"))
        assert set(used) <= set(keys[0])
    for name in ("index", "enterprise", "page", "charts"):
        used = re.findall(r'\bt\("(\w+)"', (STATIC / f"{name}.js").read_text(encoding="utf-8"))
        assert set(used) <= set(keys[0])


def test_a_port_that_is_taken_names_the_setting(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(Settings(), dashboard=DashboardSettings(port=0))
    kafka = msgspec.structs.replace(settings.kafka, bootstrap="127.0.0.1:1")
    settings = msgspec.structs.replace(settings, kafka=kafka)
    with DashboardThread(settings) as one:
        with urllib.request.urlopen(one.address, timeout=10) as answer:
            assert answer.status == 200
        port = int(one.address.rsplit(":", 1)[1].rstrip("/"))
        taken = msgspec.structs.replace(settings, dashboard=DashboardSettings(port=port))
        with (
            pytest.raises(SettingsError, match=rf"\[dashboard\] host = 127.0.0.1, port = {port}"),
            DashboardThread(taken),
        ):
            pass
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(one.address, timeout=2)


def test_answers_are_shared_failures_are_not_and_waiting_is_bounded(eventually: Callable[..., None]) -> None:
    asked: list[int] = []

    def question(_db: Any) -> int:
        asked.append(len(asked))
        if len(asked) == 1:
            raise Unavailable("away")
        return len(asked)

    async def story() -> None:
        archive = ArchiveView(lambda: None)  # type: ignore[arg-type,return-value]
        with pytest.raises(Unavailable):
            await archive.shared("x", 60.0, question)
        answers = await asyncio.gather(*(archive.shared("x", 60.0, question) for _ in range(5)))
        assert answers == [2] * 5
        assert await archive.shared("x", 0.0, question) == 3
        waiting = [asyncio.create_task(archive.ask(question)) for _ in range(WAITING_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await archive.ask(question)
        await asyncio.gather(*waiting)

    asyncio.run(story())
