"""Laws of every sentence, read from its text alone and from the rule's text by Python's own parser."""

import itertools
import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import date

from config.catalogue import indicators
from config.wordings import wordings
from detectors.rules.conditions import Signal
from detectors.wording.alerts import Sentence
from domain.calendar import date_of, day_of
from domain.language import Lang
from domain.outputs import SEVERITIES, Alert, Evidence
from tests.detectors.rules.test_machine import HELD_ALL, TODAY, naive

# The words of each standing of an open episode; a sentence has those of one standing, or none.
STANDINGS: Mapping[str, Mapping[Lang, str]] = {
    "true": {"zh": "；当前仍成立", "en": "; it still holds"},
    "held": {"zh": "；触发条件已消失", "en": "; the condition that raised it is gone;"},
    "level_held": {"zh": "；.色条件已不成立，尚未降级", "en": r"; its \w+ condition no longer holds, not down"},
    "level_doubtful": {
        "zh": "；如[^；]*，.色条件仍成立，否则已不成立", "en": r"unless [^;]*, its \w+ condition no longer holds",
    },
    "doubtful": {
        "zh": "；如[^；]*，触发条件仍成立，否则已消失", "en": "unless [^;]*, the condition that raised it is gone",
    },
    "unseen": {"zh": "；.色条件为[^；]*，尚未解除", "en": r"; its \w+ condition is [^;]*, not cleared yet"},
    "unknown": {"zh": "；尚未解除；", "en": "; not cleared yet; "},
    "observed": {"zh": "；现无逾期款项，观察至", "en": "; nothing is past due now; observed"},
    "passed": {"zh": "；应还日已过，扣收结果尚未报送", "en": "; the due date has passed, and the outcome is not"},
    "overdue": {"zh": "；应还款项未足额扣收，已转逾期", "en": "; the instalment was not collected in full and is"},
}  # fmt: skip
BY_OUTCOME = ("observed", "passed", "overdue")  # said in place of how the condition stands
EXPLAINED = ("level_held", "level_doubtful", "held", "doubtful", *BY_OUTCOME)  # what is false may be said
ASSERTS = {"新增", "再次触发", "升级", "降级", "raised", "raised again", "upgraded", "downgraded"}
WAITS = {
    *("存量", "恢复判断", "未解除", "存量，观察", "恢复判断，观察", "观察"),
    *("opening list", "resumed", "open", "opening list, watch", "resumed, watch", "watch"),
}
DEADLINE = {
    "zh": r"(?:(\d{4})年)?(\d{1,2})月(\d{1,2})日(?:（[^）]*）)?(?:前|扣款前)",
    "en": r"(?:by|debit on) (\d{4})-(\d\d)-(\d\d)",
}
_OF_CASE = {"zh": r"(?:^|；)本次[^；]*；", "en": r"(?:^N|; n)ow [^;]*\); "}  # before it the text is of the case
_TAG = re.compile(r"^(?:【(.*?)】|\[(.*?)\])")
_LEVELS = {"黄": 0, "橙": 1, "红": 2, "Yellow": 0, "Orange": 1, "Red": 2}
_ROUNDED = 5e-7
_WHOLE = {"count", "months", "points", "points_change", "grades", "flag"}
_WHOLE_DAYS = {"dpd_max_days"}
_COMPARED = re.compile(r"([a-z][a-z0-9_.]+) ((?:[<>]=?|[=!]=) -?[0-9.]+)")
_IS_NULL = re.compile(r"isnull\(([a-z0-9_.]+)\)")
_SAID_AS_SCORE = "score.points"
_KINDS_OF_SHARES = {"share", "change", "fall", "gap"}


def truths(signal: Signal, alert: Alert) -> list[bool | None]:
    """Return, for each level, whether the evidence makes it true: None where the alert does not carry enough.

    That is any event that the level asks for, and which side of a line a rounded value was on.
    """
    return [truth(text, alert) if text else False for text in signal.row.levels]


def _unrounded(each: Evidence) -> tuple[float, ...]:
    """Return what a value may have been before it was rounded: each has its own rounding."""
    value = (each.value_micro or 0) / 1e6
    is_whole = wordings()[each.name].kind in _WHOLE or each.name in _WHOLE_DAYS
    return (value,) if is_whole else (value - _ROUNDED, value + _ROUNDED)


def truth(text: str, alert: Alert) -> bool | None:
    """Return whether the evidence makes a condition true: None where the alert does not carry enough."""
    answers = set()
    told = [each for each in alert.evidence if each.value_micro is not None]
    shown = {each.name for each in alert.evidence if each.value_micro is not None or each.band is None}
    text = _IS_NULL.sub(lambda found: found[0] if found[1] in shown else "unknown", text)
    for day in (0, TODAY) if "seen(" in text else (0,):
        for values in itertools.product(*(_unrounded(each) for each in told)):
            known = defaultdict[str, float | None](lambda: None)
            known.update(zip((each.name for each in told), values, strict=True))
            answers.add(naive(text, known, defaultdict(lambda: day), HELD_ALL))  # noqa: B023
    return answers.pop() if len(answers) == 1 else None


def says_of_its_condition(said: Sentence, lang: Lang) -> set[str]:
    """Return the standings whose texts are in the sentence."""
    return {name for name, words in STANDINGS.items() if re.search(words[lang], said.text)}


def check(signal: Signal, alert: Alert, said: Sentence, lang: Lang) -> str:
    """Assert the laws of every sentence; return the standing that it names, empty where it names none."""
    what = f"{said.title} {said.text} {alert.evidence}"
    named = says_of_its_condition(said, lang)
    assert len(named) <= 1, what
    standing = named.pop() if named else ""
    level, by_level = SEVERITIES.index(alert.severity), truths(signal, alert)
    waits = {line.waits is True for line in alert.case_lines or () if line.name == alert.signal}
    if said.state in WAITS and waits == {True} and True not in by_level[: level + 1]:
        by_level[: level + 1] = [False] * (level + 1)
    elif said.state in WAITS and waits == {False} and by_level[: level + 1] == [*[False] * level, None]:
        by_level[level] = True
    up_to = by_level[: level + 1]
    is_open = True in up_to or (waits == {False} and None in up_to)  # its case says that some level is true
    if said.state in ASSERTS:
        assert not standing, what
        assert by_level[level] is not False, what
    elif said.state in WAITS and standing not in BY_OUTCOME:
        assert standing, what
        assert (standing == "held") == (up_to == [False] * len(up_to)), what
        assert (standing == "held") == said.state.endswith(("观察", "watch")), what
        if standing == "true":
            assert is_open, what
        assert (standing == "level_held") == (by_level[level] is False and is_open), what
        assert standing != "level_doubtful" or (by_level[level] is None and is_open), what
        assert standing != "unseen" or by_level[level] is None, what
        if standing in ("doubtful", "unknown"):
            assert not is_open, what
            assert None in up_to, what
    else:
        assert not standing or standing in BY_OUTCOME, what
    check_title(alert, said, standing)
    check_deadlines(alert, said, lang)
    check_facts(signal, alert, said, lang, by_level, asserts=standing not in EXPLAINED)
    check_numbers(alert, said, lang)
    return standing


def only_watched(alert: Alert) -> bool:
    """Return whether all open signals of the alert's case only wait for their hysteresis."""
    lines = [line for line in alert.case_lines or () if line.severity]
    return bool(lines) and all(line.waits is True for line in lines)


def check_title(alert: Alert, said: Sentence, standing: str) -> None:
    """Assert that the tag of the title is of what the alert says, and contradicts neither its text nor its evidence."""
    what = f"{said.title} {said.text} {alert}"
    found = _TAG.match(said.title)
    assert found, what
    tag = found[1] or found[2]
    before, arrow, after = re.split(r"( ?→ ?)", tag) if "→" in tag else ("", "", tag)
    is_watched = only_watched(alert)
    is_listed = alert.stock and alert.state in ("raised", "stale")
    moved = alert.state if is_listed else alert.case_state or alert.state
    rises, falls = moved in ("upgraded", "graver"), moved in ("downgraded", "eased")
    level = _LEVELS.get(re.split("[·,]", after)[0])
    if arrow:
        assert rises or falls, what
        assert level is not None, what
        assert (_LEVELS[before] < level) == rises, what
        assert after.endswith(("观察", "watch")) == (falls and is_watched and bool(alert.case_state)), what
    assert not tag.startswith(("升", "Up")) or rises, what
    assert not tag.startswith(("降", "Down")) or falls, what
    past_due = next((each.value_micro or 0 for each in alert.evidence if each.name == "dpd_max_days"), 0)
    is_over = tag in ("解除", "Cleared")
    assert not is_over or moved in ("cleared", "resolved"), what
    assert not is_over or standing not in ("true", "level_held"), what
    assert (tag in ("转逾期", "Past due")) == (
        alert.signal.startswith("EWS11") and past_due > 0 and alert.state in ("raised", "stale", "cleared")
        and (not alert.case_state or alert.case_state == "resolved" or is_listed) and said.state not in ASSERTS
    ), what  # fmt: skip
    for words in ("已足额扣收", "collected in full;", "现无逾期", "nothing is past due now"):
        assert words not in said.text or past_due <= 0, what
    of_case = alert.case_state and (arrow or not tag.endswith(("观察", "watch")))
    assert level in (None, SEVERITIES.index((of_case and alert.case_severity) or alert.severity)), what


def check_deadlines(alert: Alert, said: Sentence, lang: Lang) -> None:
    """Assert that no deadline is before the alert, that they ascend, and that what is over or observed has none."""
    today = date_of(day_of(alert.as_of - 1))
    dates = [date(int(year or today.year), int(m), int(d)) for year, m, d in re.findall(DEADLINE[lang], said.action)]
    assert all(each >= today for each in dates), (said, alert)
    assert dates == sorted(dates), (said, alert)
    is_over = alert.state in ("cleared", "ended", "closed", "retracted", "stale") and alert.case_state != "opened"
    is_watched = only_watched(alert)
    is_work = alert.case_state in ("opened", "graver") or (alert.case_state == "eased" and not is_watched)
    is_work = is_work and alert.state != "closed"
    if (is_over and not alert.case_state) or alert.case_state == "resolved":
        assert not dates, (said, alert)
    if said.state.endswith(("观察", "watch")) and not is_work:
        assert not dates, (said, alert)
    for words in ("无须", "othing to do", "No second visit"):
        assert words not in said.action or not (dates or is_work), (said, alert)
    if alert.case_severity not in (None, alert.severity) and not alert.case_state:
        debit = any(each.name == "next_instalment_days" for each in alert.evidence)
        assert len(dates) <= debit, "of a case that has not moved its dates are of an earlier day"


def check_facts(
    signal: Signal, alert: Alert, said: Sentence, lang: Lang, by_level: list[bool | None], *, asserts: bool
) -> None:
    """Assert that the sentence states no number that speaks against it, and each one that makes its level true.

    `asserts`: it does not say that the condition of its level is no longer true.
    """
    row, what = signal.row, f"{said.title} {said.text} {alert.evidence}"
    level = SEVERITIES.index(alert.severity)
    stated = {each.name for each in alert.evidence if said_of(each.name, said, lang) is not None} - {_SAID_AS_SCORE}
    if alert.state in ("closed", "ended", "retracted"):
        assert not stated, what
        return

    def speaks(name: str, text: str, *, wanted: bool = True) -> bool | None:
        """Return whether a comparison of the condition may have that truth; None where none reads the number."""
        found = [truth(f"{number} {than}", alert) for number, than in _COMPARED.findall(text) if number == name]
        return any(each is not (not wanted) for each in found) if found else None

    for name in stated:
        of_levels = [speaks(name, text) and true is not False for text, true in zip(row.levels, by_level, strict=True)]
        clears, suppresses = speaks(name, row.hysteresis), speaks(name, row.suppress_when)
        if alert.state == "cleared":
            is_right = clears or {*of_levels, clears, suppresses} == {None}
        elif asserts and by_level[level] is not False:
            keeps_open = speaks(name, row.hysteresis, wanted=False)
            beside = {*of_levels} == {None} and (keeps_open or {keeps_open, suppresses} == {None})
            is_right = any(of_levels) or suppresses or beside
        elif alert.state == "stale":  # for reference: the numbers of its level
            explains = of_levels[level] is not None or not row.levels[level]
            is_right = any(of_levels) or suppresses or explains or {*of_levels, suppresses} == {None}
        else:
            explains = {*of_levels[: level + 1], clears} != {None}
            is_right = any(of_levels) or suppresses or explains or {*of_levels, suppresses} == {None}
        assert is_right, (name, what)
        if {*of_levels, clears, suppresses} == {None} and indicators()[name].higher_is_riskier:
            assert next(each.value_micro for each in alert.evidence if each.name == name) != 0, (name, what)
    text = row.levels[level]
    if alert.state != "cleared" and by_level[level] is not False and not (" and " in text and " or " in text):
        known = {each.name for each in alert.evidence if each.value_micro is not None} - {_SAID_AS_SCORE}
        known -= set(re.findall(r"([a-z][a-z0-9_.]+) == 0", text)) - {"judicial_freeze_active_flag"}  # no news
        assert {name for name in known if speaks(name, text)} <= stated, what


def check_numbers(alert: Alert, said: Sentence, lang: Lang) -> None:
    """Assert that each number of the evidence has the unit of its kind, and a change its direction."""
    for each in alert.evidence:
        words = said_of(each.name, said, lang)
        if words is None or each.value_micro is None:
            continue
        kind, value = wordings()[each.name].kind, each.value_micro / 1e6
        assert ("%" in words or "百分点" in words or "percentage" in words) == (
            kind in _KINDS_OF_SHARES and not words.startswith(("持平", "unchanged"))
        ), words
        if kind in ("change", "fall", "points_change"):
            down, up = ("降", ("增", "升")) if lang == "zh" else ("down ", ("up ",))
            falls = (value > 0) if kind == "fall" else (value < 0)
            assert words.startswith((down, "持平", "unchanged") if falls else (*up, "持平", "unchanged")), words
        if kind == "multiple":
            assert re.match(r"-?[\d,]+\.\d+(倍|x)", words), words


def said_of(number: str, said: Sentence, lang: Lang) -> str | None:
    """Return the text about a number, up to the next fact; None where it does not name it."""
    stop, comma = ("；", "，") if lang == "zh" else ("; ", ", ")
    of_signal = re.split(_OF_CASE[lang], said.text)[-1]
    parts = of_signal.rstrip("。.").split(stop)
    for part in parts:
        if part.startswith(_name(number, lang)):
            return part.removeprefix(_name(number, lang)).split(comma)[0]
    says = wordings()[number]
    if not says.usual_of:
        return None
    amount = r"-?(?:CNY )?[\d,.]+[万亿]?元?"
    usual = re.escape(says.usual.to(lang)).replace(r"\{\}", amount)
    of = _name(says.usual_of, lang)
    shapes = (f"较{usual}(.*)", f"占{usual}的(.*)") if lang == "zh" else (f"(.*) against {usual}", f"(.*) of {usual}")
    for part in parts:
        for segment in part.removeprefix(of).split(comma) if part.startswith(of) else ():
            for shape in shapes:
                if found := re.fullmatch(shape, segment):
                    return found[1]
    return None


def _name(number: str, lang: Lang) -> str:
    return wordings()[number].name.to(lang) + ("" if lang == "zh" else ": ")
