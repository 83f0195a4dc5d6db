"""The page of a report: one file that opens offline, in both languages, for any data."""

import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest

from dashboard import assets
from dashboard.browser import Browser, BrowserFailed, find
from replay.backtest.markdown import markdown
from replay.backtest.page import html
from replay.backtest.report import Figure, Report
from replay.backtest.translations import POLICIES, TRANSLATIONS

HOSTILE = "</script><img src=x onerror=alert(1)><!--"
ONE, NONE = Figure(value=0.5, low=0.25, high=0.75, n=40), Figure(value=None, low=None, high=None, n=0)


def example(kind: Any, text: str) -> Any:
    """A value of a struct with something in every field: `text` for text, ONE and NONE in turns for figures."""
    return msgspec.convert(
        {field.name: _example(field.type, text, n) for n, field in enumerate(msgspec.structs.fields(kind))}, kind
    )


def _example(kind: Any, text: str, n: int) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Figure:
        return msgspec.to_builtins(ONE if n % 3 else NONE)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return msgspec.to_builtins(example(kind, text))
    if origin is list:
        return [_example(parts[0], text, n)] * 2
    if origin is tuple:
        return [_example(part, text, n) for part in parts]
    if origin is dict:
        return {key: _example(parts[1], text, i) for i, key in enumerate(("1", "30", "60", "90", "180", "183", "365"))}
    if origin in (Union, UnionType):
        return _example(parts[0], text, n)
    return {str: text, int: 3, float: 0.5, bool: False}[kind]


def report_with(text: str) -> Report:
    """A report with something in every part; `text` wherever text comes from outside."""
    one, replace = example(Report, text), msgspec.structs.replace
    signal, days = "EWS01_inflow_collapse", ["2025-01-06", "2025-02-03", "2025-05-26"]
    line = replace(
        one.misses[0],
        bad_on="2025-06-01",
        default_on=None,
        onset_on="2025-01-01",
        lead_days=None,
        scores=[(day, 560.5 - 20 * i) for i, day in enumerate(days)],
        moved=[
            replace(one.misses[0].moved[0], indicator="op_inflow_30d_cny", values=[(days[0], 1e5), (days[1], None)])
        ],
        episodes=[
            replace(one.misses[0].episodes[0], signal=signal, levels=[(day, 2 - i) for i, day in enumerate(days)])
        ],
        events=[("2025-05-02", "overdue 1")],
    )
    policies = ["cases", "score", "lot", "lightgbm", f"alone {signal}", f"without {signal}"]
    groups = [("all", ""), ("month", "2025-01"), ("scenario", text)]
    calibrated = [("probability", "all"), ("probability", "month"), ("score", "all")]
    return replace(
        one,
        parameters=replace(one.parameters, truth="file"),
        load=[replace(one.load[0], level=level) for level in ("orange_red", "yellow")],
        cases=[replace(one.cases[0], policy=policy) for policy in ("orange_red", "all")],
        signals=[replace(one.signals[0], signal=signal)],
        dispositions=[
            replace(
                one.dispositions[0],
                signal=name,
                severity="red",
                disposed={"confirmed": 1, "false_alarm": 2},
                went_bad={"confirmed": ONE},
            )
            for name in ("", signal)
        ],
        silent=[("EWS10_short_runway", ["runway_30d_days"])],
        budgets=[replace(one.budgets[0], policy=p, budget=budget) for p in policies for budget in (6, 12, 24, 50)],
        groups=[replace(one.groups[0], by="scenario")],
        separation=[
            replace(one.separation[0], rank=rank, horizon_days=horizon, by=by, group=group)
            for rank, horizon in (("score", 95), ("score", 365), ("lightgbm_365", 365))
            for by, group in groups
        ],
        calibration=[replace(one.calibration[0], of=of, by=by, horizon_days=95, ratio=ONE) for of, by in calibrated],
        misses=[line],
        false_alarms=[line],
        notes=[("注", text)],
    )


def page_of(report: Report) -> bytes:
    return html(report, assets.load()[f"vendor/{assets.ECHARTS}"].body)


def test_the_same_report_gives_the_same_page_and_holds_all_of_it() -> None:
    report = report_with("plain")
    page = page_of(report)
    assert page == page_of(msgspec.json.decode(msgspec.json.encode(report), type=Report))
    own = page.replace(assets.load()[f"vendor/{assets.ECHARTS}"].body, b"")
    assert b"default-src 'none'" in own
    assert not re.search(rb"(src|href)\s*=|https?://|@import|url\(", own), "nothing is loaded from anywhere"


def test_every_text_of_the_page_is_in_both_languages() -> None:
    script = files("replay.backtest").joinpath("page.js").read_text(encoding="utf-8")
    used = set(re.findall(r'\bt\("(\w+)"\)', script))
    for title, about in re.findall(r'section\("(\w+)"(?:, "(\w+)")?', script):
        used |= {title, about} - {""}
    for listed in re.findall(r"\[([^\]]*)\]\.map\(t\)", script):
        used |= set(re.findall(r'"(\w+)"', listed)) - {"AUC", "KS"}
    assert len(used) > 40
    assert used <= set(TRANSLATIONS), used - set(TRANSLATIONS)
    for name, (zh, en) in TRANSLATIONS.items():
        assert re.search(r"[\u4e00-\u9fff]", zh), name
        assert not re.search(r"[\u4e00-\u9fff]", en), name
    assert all(set(names) == {"zh", "en"} for names in POLICIES.values())


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_parts_that_were_left_out_have_no_heading_without_a_table(lang: str) -> None:
    replace, whole = msgspec.structs.replace, report_with("plain")
    part = replace(
        whole,
        parameters=replace(whole.parameters, truth="labels", without=["ranks", "timelines"]),
        budgets=[], separation=[], calibration=[], misses=[], false_alarms=[],
    )  # fmt: skip
    text = markdown(part, lang)
    assert "ranks, timelines" in text
    assert TRANSLATIONS["budgets"][lang == "en"] not in text
    assert TRANSLATIONS["separation"][lang == "en"] not in text
    assert TRANSLATIONS["bad_labels"][lang == "en"] in text


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_tables_of_text_say_the_verdict_first(lang: str) -> None:
    lines = markdown(report_with("plain"), lang).splitlines()
    assert lines[2] == "**plain**"
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert len(widths) > 3
    assert any("–" in line for line in lines), "what is not defined is shown as such"


@pytest.fixture(scope="module")
def browser(not_shown: Callable[[str, str], None]) -> Iterator[Browser]:
    try:
        find()
    except BrowserFailed as error:
        not_shown("the page of a backtest in a browser", str(error))
    with Browser(width=1280, height=900) as one:
        yield one


def test_it_opens_offline_and_draws_everything_in_both_languages(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(page_of(report_with("plain")))
    browser.events.clear()
    browser.goto(path.as_uri())
    charts = browser.wait_for("document.querySelectorAll('canvas').length")
    assert charts >= 5
    titles = []
    for _ in range(2):
        titles.append(browser.evaluate("document.querySelector('h1').textContent"))
        assert browser.evaluate("document.querySelectorAll('section').length") >= 10
        assert (
            browser.evaluate("document.body.innerText.includes('undefined') || document.body.innerText.includes('NaN')")
            is False
        )
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"
        browser.evaluate("document.getElementById('language').click()")
        browser.wait_for("document.querySelectorAll('canvas').length")
    assert sorted(titles) == sorted(TRANSLATIONS["title"])
    asked = [body["request"]["url"] for method, body in browser.events if method == "Network.requestWillBeSent"]
    assert {url.split("#")[0] for url in asked} == {path.as_uri()}
    loud = [method for method, _ in browser.events if method in ("Runtime.exceptionThrown", "Log.entryAdded")]
    assert not loud


def test_text_from_outside_stays_text(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    path.write_bytes(page_of(report_with(HOSTILE)))
    browser.events.clear()
    browser.goto(path.as_uri())
    browser.wait_for("document.querySelectorAll('canvas').length")
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    assert browser.evaluate(f"document.body.innerText.includes({msgspec.json.encode(HOSTILE).decode()})")
    assert not [method for method, _ in browser.events if method == "Page.javascriptDialogOpening"]
