"""The static files for browsers: listed here, read once at the start; no other file is served."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

ECHARTS = "echarts-6.1.0.common.min.js"
ECHARTS_SHA256 = "61f13280aba3161f77fc801bf5f9c786f55f10432153a0683fc5cc0700b013d5"
"""SHA-256 of dist/echarts.common.min.js in the npm package echarts 6.1.0 (Apache-2.0; licence and notice beside it)."""

PAGES = {"/": "index.html"}
ENTERPRISE_PAGE = "enterprise.html"
STATIC = (
    "style.css", "page.js", "texts.js", "charts.js", "index.js", "enterprise.js", "icon.svg", f"vendor/{ECHARTS}",
)  # fmt: skip
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file as it is sent."""

    body: bytes
    content_type: str
    etag: str
    lasting: bool  # its name changes with its content


def load() -> Mapping[str, Asset]:
    """Return every file by its name under static/.

    Raise ValueError where ECharts has another digest than ECHARTS_SHA256.
    """
    found = {name: _read(name) for name in (*PAGES.values(), ENTERPRISE_PAGE, *STATIC)}
    if (digest := found[f"vendor/{ECHARTS}"].etag) != ECHARTS_SHA256:
        raise ValueError(f"static/vendor/{ECHARTS} has SHA-256 {digest}, should be {ECHARTS_SHA256}")
    return found


def _read(name: str) -> Asset:
    body = files("dashboard").joinpath("static", *name.split("/")).read_bytes()
    return Asset(
        body=body,
        content_type=_TYPES[name.rsplit(".", 1)[1]],
        etag=hashlib.sha256(body).hexdigest(),
        lasting=name.startswith("vendor/"),
    )
