"""The report as one page that opens offline: data, texts, style, script and ECharts are all in the file."""

from importlib.resources import files

import msgspec

from replay.backtest.catalogue import names
from replay.backtest.report import Report
from replay.backtest.translations import POLICIES, TRANSLATIONS

# The page loads nothing and sends nothing: what is not in the file does not exist.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


def html(report: Report, echarts: bytes) -> bytes:
    """Return the page as UTF-8; `echarts` is the library's script. The same report gives the same bytes."""
    used = {one.signal for one in report.signals} | {signal for signal, _ in report.silent}
    used |= {moved.indicator for line in (*report.misses, *report.false_alarms) for moved in line.moved}
    data = {
        "report": report,
        "words": TRANSLATIONS,
        "policies": {name: (each["zh"], each["en"]) for name, each in POLICIES.items()},
        "names": {name: names().get(name, (name, name)) for name in sorted(used)},
    }
    parts = {
        b"POLICY": POLICY.encode(),
        b"STYLE": _part("page.css"),
        b"ECHARTS": echarts,
        # Within a script element only "<" could end it.
        b"DATA": msgspec.json.encode(data).replace(b"<", b"\\u003c"),
        b"SCRIPT": _part("page.js"),
    }
    page = _part("page.html")
    pieces = page.split(b"@@")  # every second one is a part's name
    pieces[1::2] = [parts[name] for name in pieces[1::2]]
    return b"".join(pieces)


def _part(name: str) -> bytes:
    return files("replay.backtest").joinpath(name).read_bytes()
