"""What a replay shows of text from outside: the live view and the Markdown summary (fault 15)."""

import io
import re
from types import SimpleNamespace

import msgspec
from rich.console import Console

from detectors.wording.alerts import Sentence
from domain.outputs import Alert
from replay.books import Books, Check, TopicBook
from replay.judging import judge
from replay.summary import markdown
from replay.view import ScoreSeen, Seen, render

HOSTILE = {
    "markup": "[red]x[/red]",
    "broken markup": "[/oops][link=http://a]b",
    "clear screen": "a\x1b[2Jb",
    "C1 control sequence": "a\x9b2Jb",
    "title of the window": "a\x1b]0;b\x07c",
    "direction": "a\u202ecba\u2066",
    "NUL and lines": "a\x00b\nc\r\u2028d",
}
OWN_STYLE = re.compile(r"\x1b\[[0-9;]*m")
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def test_fault_15_the_live_view_shows_names_as_text(fault):
    unseen, shown = 0, 0
    for text in HOSTILE.values():
        seen = Seen()
        for score, seq in ((500, 0), (450, 1)):
            seen.score(ScoreSeen(enterprise_id=text, score=score, grade=text, status="", as_of=0, offset=1, seq=seq))
        seen.alert(alert_of(text), Sentence(title=text, text=text, action=text, name=text, state=text))
        written = console_text(render(seen, look(), 0))
        assert UNSEEN.search(OWN_STYLE.sub("", written)) is None, ascii(written)
        if "[" in text and "\x1b" not in text:
            # The id of the move and of the alert, its title and its text; the grade of the move.
            assert OWN_STYLE.sub("", written).count(text) == 5
            shown += 1
        unseen += UNSEEN.search(text) is not None
    assert shown == 2
    fault(injected=len(HOSTILE), observed=f"{shown} with markup shown as text, {unseen} with controls escaped")


def test_fault_15_the_summary_keeps_its_cells(fault):
    said = {name: f"{text}|`x`\\|y" for name, text in HOSTILE.items()}
    empty = markdown(books({}, "learn"))
    full = markdown(books(dict.fromkeys(said.values(), 1), said["clear screen"]))
    assert UNSEEN.search(full) is None
    assert len(full.splitlines()) == len(empty.splitlines()) + len(said), "a name has begun a line"
    (header,) = [line for line in full.splitlines() if line.startswith("| topic") and "consumed" in line]
    rows = [line for line in full.splitlines() if line.startswith("|") and "dead" not in line and "`x`" in line]
    assert len(rows) == len(said)
    for row in rows:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == len(re.findall(r"\|", header))
    fault(injected=len(said), observed=f"{len(rows)} rows of {header.count('|') - 1} cells, nothing unseen")


def test_the_summary_holds_the_scores_at_the_grants_against_the_outcomes():
    known = {"a": "good", "b": "bad", "c": "bad"}
    judged = msgspec.structs.replace(
        books({"control.v1": 1}, ""), judgement=judge(known, {"a": 612_000, "b": 430_000}), outcomes_sent=3
    )
    lines = [line.replace(" ", "") for line in markdown(judged).splitlines()]
    assert "|600to650|1|0|" in lines
    assert "|400to450|0|1|" in lines
    assert "|(none)|0|1|" in lines
    assert any("1.000ofallpairs" in line for line in lines)
    assert any(line.startswith("Consumed3=") for line in lines), "what operators said beside is not counted"


def console_text(shown):
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=200)
    console.print(shown)
    return console.file.getvalue()


def look():
    return SimpleNamespace(sending=SimpleNamespace(sent={}), progress=SimpleNamespace(lag={}), elapsed_s=0.0)


def alert_of(text):
    return Alert(
        alert_id="a", episode_id="a", case_id="c1", case_severity="red",
        revision=1, enterprise_id=text, signal="s", severity="red", state="raised",
        stock=False, opened_at=0, as_of=0, score=450, score_before=None, evidence=[], event_ids=[], loans=[], banks=[],
        title_zh=text, text_zh=text, suggested_action_zh=text, model_id="m", rules_id="r", offset=0, seq=0,
    )  # fmt: skip


def books(topics, waits_for):
    zero = {field.name: 0 for field in msgspec.structs.fields(Books)}
    given = {
        "source": "sample",
        "engine_version": "v",
        "machine": "m",
        "learn": {"waits_for": waits_for},
        "checks": [Check(what="c", left=1, right=1)],
        "topics": [
            TopicBook(topic=name, sent=1, consumed=1, accepted=count, receipts=0, dead_lettered={})
            for name, count in topics.items()
        ],
    } | {name: {} for name in ("rows", "outcomes", "alerts", "archive", "covered_up_to")}
    return Books(**zero | given)
