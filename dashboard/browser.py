"""A headless Chromium over its DevTools protocol, with the calls that tests and pictures of the pages need."""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_S_MAX = 60.0
ANSWER_S_MAX = 60.0
EVENTS_MAX = 20_000
POLL_S = 0.05
_FLAGS = (
    "--headless=new", "--remote-debugging-port=0", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "--mute-audio",
)  # fmt: skip


class BrowserFailed(Exception):
    """Chromium is missing, did not start, or a page failed."""


def find() -> str:
    """Return the path of a Chromium. Raise BrowserFailed with the tried names where there is none."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    raise BrowserFailed(f"none of {', '.join(NAMES)} is installed (on Debian: apt install chromium)")


class Browser:
    """One page of one browser, which ends with the block. Every event of the page is kept in `events`.

    Calls block. Events of the page in between are read by the next call.
    """

    def __init__(self, *, width: int = 1280, height: int = 900) -> None:
        self._size = (width, height)
        self._folder = tempfile.TemporaryDirectory(prefix="xinliu-browser-", ignore_cleanup_errors=True)
        self._loop = asyncio.new_event_loop()
        self._process: subprocess.Popen[bytes] | None = None
        self._http: aiohttp.ClientSession | None = None
        self._wire: aiohttp.ClientWebSocketResponse | None = None
        self._session = ""
        self._number = 0
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __enter__(self) -> Self:
        """Start the browser. Raise BrowserFailed where it does not start."""
        try:
            self._loop.run_until_complete(self._open())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and remove its folder."""
        self._loop.run_until_complete(self._hang_up())
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._loop.close()
        self._folder.cleanup()

    def goto(self, url: str) -> None:
        """Load a page and wait for its scripts. Raise BrowserFailed where it cannot be loaded."""
        answer = self.call("Page.navigate", url=url)
        if error := answer.get("errorText"):
            raise BrowserFailed(f"{url}: {error}")
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression (awaited). Raise BrowserFailed where it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserFailed(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, *, deadline_s: float = 20.0) -> Any:
        """Return the first true value of the expression. Raise BrowserFailed at the deadline."""
        end_s = time.monotonic() + deadline_s
        while not (value := self.evaluate(expression)):
            if time.monotonic() > end_s:
                raise BrowserFailed(f"not true within {deadline_s:g} s: {expression}\n{self._console_output()}")
            time.sleep(POLL_S)
        return value

    def resize(self, width: int, height: int) -> None:
        """Set the size of the viewport in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self, *, whole: bool = False) -> bytes:
        """Return a PNG of the viewport, or of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])

    def press(self, key: str) -> None:
        """Press one key, as Tab or Enter."""
        code = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of one command of the protocol. Raise BrowserFailed where the browser refuses it."""
        return self._loop.run_until_complete(self._call(method, parameters))

    def _console_output(self) -> str:
        shown = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return "\n".join(json.dumps(body)[:600] for method, body in self.events if method in shown)

    async def _open(self) -> None:
        flags = [*_FLAGS, f"--window-size={self._size[0]},{self._size[1]}", f"--user-data-dir={self._folder.name}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # Chromium refuses to run as root with it
        self._process = subprocess.Popen(
            [find(), *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._http = aiohttp.ClientSession()
        self._wire = await self._http.ws_connect(await self._address(), max_msg_size=0)
        target = await self._call("Target.createTarget", {"url": "about:blank"})
        attached = await self._call("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            await self._call(f"{domain}.enable", {})
        width, height = self._size
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self._call("Emulation.setDeviceMetricsOverride", size)

    async def _address(self) -> str:
        assert self._process is not None
        port_file, end_s = Path(self._folder.name) / "DevToolsActivePort", time.monotonic() + START_S_MAX
        while not (port_file.exists() and len(lines := port_file.read_text().splitlines()) == 2):
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise BrowserFailed(f"{find()} did not start (status {self._process.poll()})")
            await asyncio.sleep(POLL_S)
        return f"ws://127.0.0.1:{lines[0]}{lines[1]}"

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        assert self._wire is not None
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        await self._wire.send_str(json.dumps({"id": self._number, "method": method, "params": parameters, **session}))
        while True:
            message = json.loads(await self._wire.receive_str(timeout=ANSWER_S_MAX))
            if message.get("id") == self._number:
                if "error" in message:
                    raise BrowserFailed(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result
            if "method" in message and len(self.events) < EVENTS_MAX:
                self.events.append((message["method"], message["params"]))

    async def _hang_up(self) -> None:
        if self._wire is not None:
            await self._wire.close()
        if self._http is not None:
            await self._http.close()
