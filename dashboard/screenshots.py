"""Take the pictures of the READMEs from running parts.

    python -m dashboard.screenshots docs/images pages http://127.0.0.1:8710/
    python -m dashboard.screenshots docs/images desk site.toml 示例银行1 31
    python -m dashboard.screenshots docs/images report report.html

pages: the first page in Chinese and light, and one enterprise with an alert in English and dark, of running pages.
desk: the last few of a bank's first 31 alerts as `xinliu tail` prints them, in Chinese, from a running broker.
report: the page of `xinliu backtest --html`.
A picture over its bound is refused, since every clone carries it. A font with Chinese glyphs must be installed.
"""

import argparse
import html
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from dashboard.browser import Browser, BrowserFailed

PAGE_BYTES_MAX, PICTURE_BYTES_MAX = 300_000, 150_000
SETTLE_S = 3.0  # charts are drawn and names have come
SIZE, WIDTH = (1280, 900), 1100
TAIL_S_MAX = 120.0
ALERTS = 4
ENTERPRISE = "document.querySelector('#alert-rows a, #fall-rows a')?.pathname ?? ''"
READY = {
    "": "document.querySelectorAll('#alert-rows tr').length > 0",
    "enterprise": "document.querySelectorAll('#part-rows tr').length > 0",
}
PICTURES = (("overview.png", "", "lang=zh&theme=light"), ("enterprise.png", "enterprise", "lang=en&theme=dark"))
TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #11161c; }}
pre {{ margin: 0; padding: 18px 22px; white-space: pre-wrap; color: #d8dee6;
       font: 15px/1.65 "DejaVu Sans Mono", "Noto Sans Mono CJK SC", "Noto Sans CJK SC", monospace; }}
b {{ color: #7fd1a0; font-weight: normal; }}
</style><pre><b>$ {command}</b>
{lines}</pre>"""


def pages(browser: Browser, address: str) -> Iterator[tuple[str, bytes]]:
    """Yield (file name, PNG) of the pages at `address`. Raise BrowserFailed where a page lacks its contents."""
    browser.resize(*SIZE)
    browser.goto(f"{address}?lang=zh")
    path = browser.wait_for(ENTERPRISE, deadline_s=60)
    for name, page, query in PICTURES:
        browser.goto(f"{address.rstrip('/')}{path if page else '/'}?{query}")
        browser.wait_for(READY[page], deadline_s=60)
        time.sleep(SETTLE_S)
        yield name, _within(name, browser.picture(), PAGE_BYTES_MAX)


def desk(browser: Browser, config: str, bank: str, count: str) -> Iterator[tuple[str, bytes]]:
    """Yield the picture of ALERTS alerts of a bank in a terminal, as for its risk desk.

    Raise subprocess.SubprocessError where the command fails, or the bank has fewer than `count` alerts.
    """
    shown = ("tail", "--bank", bank, "--from-start", "--count", count)
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "--config", config, *shown],
        env={**os.environ, "LC_ALL": "zh_CN.UTF-8", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=TAIL_S_MAX,
        check=True,
    )
    command = " ".join(("xinliu", *shown, "| tail -n", str(ALERTS)))
    lines = "\n\n".join(done.stdout.splitlines()[-ALERTS:])
    page = TERMINAL.format(command=html.escape(command), lines=html.escape(lines))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "terminal.html")
        file.write_text(page, encoding="utf-8")
        yield "desk.png", _whole(browser, "desk.png", file)


def report(browser: Browser, file: str) -> Iterator[tuple[str, bytes]]:
    """Yield the picture of the first screen of a backtest's report."""
    browser.resize(*SIZE)
    browser.goto(Path(file).resolve().as_uri())
    time.sleep(SETTLE_S)
    yield "backtest.png", _within("backtest.png", browser.picture(), PICTURE_BYTES_MAX)


def _whole(browser: Browser, name: str, file: Path) -> bytes:
    """Return the picture of a whole small page. Raise ValueError where it has too many bytes."""
    browser.resize(WIDTH, 100)
    browser.goto(file.as_uri())
    browser.resize(WIDTH, browser.evaluate("document.documentElement.scrollHeight"))
    return _within(name, browser.picture(), PICTURE_BYTES_MAX)


def _within(name: str, picture: bytes, bytes_max: int) -> bytes:
    if len(picture) > bytes_max:
        raise ValueError(f"{name} has {len(picture)} bytes, {bytes_max} at most")
    return picture


_TAKE: Mapping[str, Callable[..., Iterator[tuple[str, bytes]]]] = {"pages": pages, "desk": desk, "report": report}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboard.screenshots",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("of", choices=_TAKE, help="what is taken")
    parser.add_argument("what", nargs="+", help="address; settings file, bank and number of alerts; report file")
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    try:
        with Browser(width=SIZE[0], height=SIZE[1]) as browser:
            for name, picture in _TAKE[args.of](browser, *args.what):
                (args.folder / name).write_bytes(picture)
                print(f"{args.folder / name}  {len(picture):,} bytes")
    except (BrowserFailed, ValueError, subprocess.SubprocessError) as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
