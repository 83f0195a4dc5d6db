"""Pictures of the running pages: `python -m dashboard.screenshots http://127.0.0.1:8710/ docs/images`.

The first page in Chinese and light, and one enterprise with an alert in English and dark. A picture over 300 kB is
refused: it would be carried by every clone. A font with Chinese glyphs must be installed.
"""

import argparse
import sys
import time
from pathlib import Path

from dashboard.browser import Browser, BrowserFailed

BYTES_MAX = 300_000
SETTLE_S = 3.0  # charts are drawn and names have come
SIZE = (1280, 900)
ENTERPRISE = "document.querySelector('#alert-rows a, #fall-rows a')?.pathname ?? ''"
READY = {
    "": "document.querySelectorAll('#alert-rows tr').length > 0",
    "enterprise": "document.querySelectorAll('#part-rows tr').length > 0",
}
PICTURES = (("overview.png", "", "lang=zh&theme=light"), ("enterprise.png", "enterprise", "lang=en&theme=dark"))


def take(address: str, folder: Path) -> list[Path]:
    """The pictures, as files. BrowserFailed where a page does not show what it should, ValueError for a large one."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with Browser(width=SIZE[0], height=SIZE[1]) as browser:
        browser.goto(f"{address}?lang=zh")
        path = browser.wait_for(ENTERPRISE, deadline_s=60)
        for name, page, query in PICTURES:
            browser.goto(f"{address.rstrip('/')}{path if page else '/'}?{query}")
            browser.wait_for(READY[page], deadline_s=60)
            time.sleep(SETTLE_S)
            picture = browser.picture()
            if len(picture) > BYTES_MAX:
                raise ValueError(f"{name} has {len(picture)} bytes, {BYTES_MAX} at most")
            (folder / name).write_bytes(picture)
            written.append(folder / name)
    return written


def main() -> int:
    """Return the command."""
    parser = argparse.ArgumentParser(prog="python -m dashboard.screenshots", description=__doc__)
    parser.add_argument("address", help="of the pages, as the demo prints it")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    args = parser.parse_args()
    try:
        for path in take(args.address, args.folder):
            print(f"{path}  {path.stat().st_size:,} bytes")
    except (BrowserFailed, ValueError) as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
