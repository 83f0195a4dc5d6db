"""The pages as a person sees them: a real browser, over the whole engine in processes of its own."""

import io
import json
import re
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from config.settings import KafkaSettings
from dashboard.browser import Browser
from domain import topics
from domain.calendar import date_of
from domain.events import Receipt
from domain.outputs import Alert
from replay.offsets import Offsets
from replay.stack import Stack
from streams.worker.roles import topics_of
from tests.dashboard.kit import BANKS, ENTERPRISE, HOSTILE_MEMO, HOSTILE_NAME, QUIET, history, overdue, send
from tests.reading import read

pytest.importorskip("chdb")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, Redis and every worker, all of the history applied and archived."""
    with Stack(tmp_path_factory.mktemp("engine"), BANKS, dashboard=True) as stack:
        send(stack.settings.kafka.bootstrap, list(history()))
        stack.launch_workers()
        offsets, roles = Offsets(stack.settings.kafka), topics_of(stack.settings)
        reads = {role: roles[role] for role in ("ingest", "score", "archive")}
        deadline_s = time.monotonic() + 400
        while True:
            stack.check()
            progress = offsets.progress(reads)
            if progress.settled and progress.topic_end(topics.SCORE) > 0:
                break
            assert time.monotonic() < deadline_s, progress.lag
            time.sleep(0.5)
        yield stack


def alerts(kafka: KafkaSettings) -> list[Alert]:
    return [
        msgspec.json.decode(read.value or b"", type=Alert) for read in read(kafka.bootstrap, topics.ALERT_SUPERVISOR)
    ]


def complaints(browser: Browser) -> list[str]:
    """The browser's complaints: violations of the policy, errors, warnings, requests to anybody else."""
    found = []
    for method, body in browser.events:
        if method == "Log.entryAdded" and body["entry"]["level"] in ("error", "warning"):
            found.append(body["entry"]["text"])
        elif method in ("Runtime.exceptionThrown", "Audits.issueAdded"):
            found.append(json.dumps(body)[:400])
        elif method == "Network.requestWillBeSent":
            url = body["request"]["url"]
            if not url.startswith(("http://127.0.0.1:", "about:", "data:")):
                found.append(url)
    return found


def test_an_event_sent_to_a_bank_topic_shows_as_an_alert_with_its_sentence(engine: Stack, browser: Browser) -> None:
    kafka = engine.settings.kafka
    assert engine.dashboard is not None
    assert [alert for alert in alerts(kafka) if alert.signal == "EWS35_arrears"] == [], "alerted too early"
    browser.goto(f"{engine.dashboard}?lang=zh&theme=light")
    browser.wait_for("document.querySelector('.link').dataset.state === 'live'")
    browser.evaluate(
        "new MutationObserver(() => { window.seenAt ??= document.querySelector('[data-alert]') && Date.now(); })"
        ".observe(document.getElementById('alert-rows'), {childList: true})"
    )
    send(kafka.bootstrap, [overdue()])
    row = f"[...document.querySelectorAll('tr[data-alert]')].find(r => r.textContent.includes('{ENTERPRISE}'))"
    browser.wait_for(f"!!({row})", deadline_s=60)
    raised = next(alert for alert in alerts(kafka) if alert.signal == "EWS35_arrears")
    assert raised.severity == "orange"
    said = browser.evaluate(f"({row}).querySelector('.sentence').textContent")
    assert said == raised.text_zh
    assert "逾期8天（橙线7天）" in said
    assert browser.evaluate(f"({row}).querySelector('.pill').textContent") == "橙"
    browser.evaluate("document.getElementById('language').click()")
    english = browser.evaluate(f"({row}).textContent")
    assert "Past due: 8 days (orange line: 7 days)" in english
    action = browser.evaluate(f"({row}).querySelector('.sentence').title")
    assert "at the next routine check: verify the cause of the arrears" in action, "eight days are a yellow case"
    browser.evaluate("document.getElementById('language').click()")
    assert browser.evaluate("document.getElementById('no-alerts').hidden")
    written_ms = next(written for written, alert in written_alerts(kafka) if alert.signal == raised.signal)
    shown_ms = browser.evaluate("window.seenAt") - written_ms
    print(f"shown {shown_ms} ms after the alert record", flush=True)
    assert -50 < shown_ms < 1_000
    assert complaints(browser) == []


def written_alerts(kafka: KafkaSettings) -> list[tuple[int, Alert]]:
    """Alerts with the time at which their records were produced."""
    return [
        (record.timestamp_ms, msgspec.json.decode(record.value or b"", type=Alert))
        for record in read(kafka.bootstrap, topics.ALERT_SUPERVISOR)
    ]


@pytest.mark.parametrize("page", ["", f"enterprise/{ENTERPRISE}", f"enterprise/{QUIET}"])
def test_a_page_in_english_has_no_chinese_but_names_from_outside(engine: Stack, browser: Browser, page: str) -> None:
    browser.goto(f"{engine.dashboard}{page}?lang=en")
    browser.wait_for("document.querySelectorAll('#alert-rows tr, #reason-rows li').length > 0")
    # Names and memos from outside, the class of a loan, the mark of the engine and the way to the other language.
    chinese = browser.evaluate("""(() => {
        const copy = document.body.cloneNode(true);
        for (const each of copy.querySelectorAll('bdi, [lang="zh-CN"], .brand strong, #language')) each.remove();
        return copy.textContent.match(/[\\u4e00-\\u9fff].*/g) ?? [];
    })()""")
    assert chinese == []
    titles = browser.evaluate("[...document.querySelectorAll('.sentence[title]')].map((e) => e.title).join(' ')")
    assert not re.search("[\u4e00-\u9fff]", titles)


def test_hostile_names_stay_text_on_both_pages(engine: Stack, browser: Browser) -> None:
    shown = HOSTILE_NAME.replace("\u202e", "\\u202e")
    assert engine.dashboard is not None
    browser.goto(f"{engine.dashboard}?lang=zh")
    link = f"document.querySelector('#alert-rows a[href=\"/enterprise/{ENTERPRISE}\"] .name')"
    browser.wait_for(f"{link}?.textContent")
    assert browser.evaluate(f"{link}.textContent") == shown
    browser.wait_for("document.querySelectorAll('#bank-rows tr').length === 2")
    assert BANKS[0].name_zh in browser.evaluate("document.getElementById('bank-rows').textContent")
    browser.goto(f"{engine.dashboard}enterprise/{ENTERPRISE}?lang=zh")
    browser.wait_for("document.getElementById('name').textContent")
    assert browser.evaluate("document.getElementById('name').textContent") == shown
    memo = HOSTILE_MEMO.replace("\u2066", "\\u2066")
    assert memo in browser.evaluate("document.getElementById('txn-rows').textContent")
    assert browser.evaluate("window.pwned === undefined")
    assert (
        browser.evaluate("document.querySelectorAll('main script, main img, main svg:not(canvas), main b > b').length")
        == 0
    )
    assert complaints(browser) == []


@pytest.mark.parametrize("enterprise_id", [ENTERPRISE, QUIET])
def test_the_parts_on_an_enterprises_page_add_up_to_its_score(
    engine: Stack, browser: Browser, enterprise_id: str
) -> None:
    browser.goto(f"{engine.dashboard}enterprise/{enterprise_id}?lang=en")
    browser.wait_for("document.querySelectorAll('#part-rows tr').length === 9")
    points = browser.evaluate(
        "[...document.querySelectorAll('#part-rows tr')].map(r => [r.dataset.part, Number(r.dataset.points), "
        "r.querySelector('td').textContent])"
    )
    values = {name: value for name, value, _ in points}
    assert sum(value for name, value in values.items() if name != "total") == values["total"]
    assert all(int(text.replace("−", "-")) == value for _, value, text in points), "what is shown is what adds up"
    assert browser.evaluate("Number(document.getElementById('score').textContent)") == values["total"]
    (answer,) = [fetch(engine, f"api/enterprise/{enterprise_id}")]
    assert values["total"] == answer["score"]["score"]
    assert sum(answer["score"]["parts_milli"].values()) + 400_000 == pytest.approx(values["total"] * 1000, abs=500)


@pytest.mark.parametrize("days", [7, 30, 90])
def test_the_lines_of_what_moved_the_score_add_up_on_the_page(engine: Stack, browser: Browser, days: int) -> None:
    browser.goto(f"{engine.dashboard}enterprise/{ENTERPRISE}?lang=en")
    browser.wait_for("document.querySelectorAll('#move-rows tr').length > 2")
    browser.evaluate(
        f"{{ const e = document.getElementById('days'); e.value = '{days}'; e.dispatchEvent(new Event('change')); }}"
    )
    answer = fetch(engine, f"api/enterprise/{ENTERPRISE}/moves?days={days}")
    close = date_of(answer["days"][0])
    assert answer["days"][1] - answer["days"][0] >= days
    browser.wait_for(f"document.querySelector('#move-rows tr')?.textContent.includes('{close}')")
    rows = browser.evaluate(
        "[...document.querySelectorAll('#move-rows tr')].map(r => [r.dataset.what, r.querySelector('td').textContent])"
    )
    milli = [round(float(text.replace("−", "-")) * 1_000) for _, text in rows]
    assert sum(milli[:-1]) == milli[-1], "what is shown is what adds up"
    assert [milli[0], milli[-1]] == answer["scores_milli"]
    assert [what for what, _ in rows] == ["before", *(line["what"] for line in answer["lines"]), "after"]
    assert len(rows) > 3, "sales have fallen"
    assert complaints(browser) == []


def test_the_course_shows_score_and_balance_of_90_days(engine: Stack, browser: Browser) -> None:
    browser.goto(f"{engine.dashboard}enterprise/{QUIET}?lang=zh")
    browser.wait_for("document.querySelector('#course-chart canvas') !== null")
    answer = fetch(engine, f"api/enterprise/{QUIET}")
    assert answer["days"][1] - answer["days"][0] == 89
    assert len(answer["balances"]) == 90
    assert answer["balances"][-1][1] == 10_000_000 + 129 * 1_000
    assert len(answer["scores"]) > 2
    assert browser.evaluate("document.querySelector('#course-chart [aria-label], #course-chart[aria-label]') !== null")


def test_a_person_with_a_keyboard_finds_an_enterprise(engine: Stack, browser: Browser) -> None:
    browser.goto(f"{engine.dashboard}?lang=en")
    browser.evaluate("document.getElementById('search').focus()")
    browser.call("Input.insertText", text=QUIET[:14])
    browser.wait_for("document.querySelectorAll('.found a').length === 2")
    browser.press("ArrowDown")
    browser.press("ArrowDown")
    assert QUIET in browser.evaluate("document.activeElement.textContent")
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "focus is not seen"
    browser.press("Enter")
    browser.wait_for(f"location.pathname === '/enterprise/{QUIET}'")


def test_language_and_theme_are_changed_in_place_and_kept(engine: Stack, browser: Browser) -> None:
    browser.goto(f"{engine.dashboard}")
    browser.evaluate("localStorage.clear()")
    browser.goto(f"{engine.dashboard}?lang=zh&theme=light")
    assert "最新预警" in browser.evaluate("document.body.textContent")
    light = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    browser.goto(f"{engine.dashboard}")
    browser.evaluate("localStorage.setItem('lang', 'zh'); localStorage.setItem('theme', 'light')")
    browser.goto(f"{engine.dashboard}")
    browser.evaluate("document.getElementById('language').click(); document.getElementById('theme').click()")
    assert "Newest alerts" in browser.evaluate("document.body.textContent")
    assert browser.evaluate("document.documentElement.lang") == "en"
    browser.goto(f"{engine.dashboard}enterprise/{QUIET}")
    assert browser.evaluate("document.documentElement.lang") == "en"
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert complaints(browser) == []


@pytest.mark.parametrize("size", [(1280, 900), (1920, 1080)])
@pytest.mark.parametrize("page", ["", f"enterprise/{ENTERPRISE}"])
def test_nothing_is_cut_off_sideways(engine: Stack, browser: Browser, size: tuple[int, int], page: str) -> None:
    browser.resize(*size)
    browser.goto(f"{engine.dashboard}{page}?lang=en")
    browser.wait_for("document.querySelectorAll('#alert-rows tr').length > 0")
    assert browser.evaluate("document.documentElement.scrollWidth") <= size[0]
    wide = browser.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth + 1)"
        ".map(s => s.parentElement.className)"
    )
    assert wide == []


def test_the_flow_of_events_and_the_lag_are_shown(engine: Stack, browser: Browser) -> None:
    browser.goto(f"{engine.dashboard}?lang=en")
    browser.wait_for("document.querySelectorAll('[data-lag]').length === 3")
    bank, day = BANKS[1].bank_id, "2026-07-11"
    receipt = Receipt(bank_id=bank, day=day, count=0, debit_minor=0, credit_minor=0)
    send(engine.settings.kafka.bootstrap, [(topics.bank_events(bank), receipt)] * 60)
    browser.wait_for("Number(document.getElementById('received').textContent) > 0", deadline_s=30)
    browser.wait_for("[...document.querySelectorAll('[data-lag]')].every(d => d.textContent === '0')", deadline_s=60)


def fetch(engine: Stack, path: str) -> Any:
    with urllib.request.urlopen(f"{engine.dashboard}{path}", timeout=30) as answer:
        return json.load(io.TextIOWrapper(answer, "utf-8"))
