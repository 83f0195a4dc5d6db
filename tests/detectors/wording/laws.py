"""Laws of every sentence, read from its text alone and from the rule's text by Python's own parser."""

import itertools
import re
from collections import defaultdict
from collections.abc import Mapping

from config.catalogue import indicators
from config.wordings import wordings
from detectors.rules.conditions import Signal
from detectors.wording.alerts import Sentence
from domain.language import Lang
from domain.outputs import SEVERITIES, Alert, Evidence
from tests.detectors.rules.test_machine import HELD_ALL, TODAY, naive

# The words of each standing of an open episode; a sentence has those of one standing, or none.
STANDINGS: Mapping[str, Mapping[Lang, str]] = {
    "true": {"zh": "触发条件仍成立", "en": "its condition still holds"},
    "held": {"zh": "触发条件已不成立，尚未满足解除条件", "en": "no longer holds, but not yet the one that clears it"},
    "level_held": {
        "zh": "；.色条件已不成立，尚未降级",
        "en": r"; its \w+ condition no longer holds, not downgraded yet",
    },
    "level_doubtful": {"zh": "否则.色条件已不成立，尚未降级", "en": r"unless [^;]*, its \w+ condition no longer holds"},
    "doubtful": {
        "zh": "否则触发条件已不成立，尚未解除",
        "en": "unless [^;]*, the condition that raised it no longer holds",
    },
    "unseen": {"zh": "；.色条件为[^；]*，尚未解除", "en": r"; its \w+ condition is [^;]*, not cleared yet"},
    "unknown": {"zh": "；尚未解除；", "en": "; not cleared yet; "},
}
EXPLAINED = ("level_held", "level_doubtful", "held", "doubtful")  # its level is not true, so what is false may be said
ASSERTS = re.compile(r"（(?:新增|再次触发|升级|降级)）|\((?:raised|raised again|upgraded|downgraded)\)")
WAITS = re.compile(r"（(?:存量|恢复判断)(?:，待解除)?）|\((?:opening list|resumed)(?:, not yet cleared)?\)")
_ROUNDED = 5e-7
_WHOLE = {"count", "months", "points", "points_change", "grades", "flag"}
_WHOLE_DAYS = {"dpd_max_days"}
_COMPARED = re.compile(r"([a-z][a-z0-9_.]+) ((?:[<>]=?|[=!]=) -?[0-9.]+)")
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
    up_to = by_level[: level + 1]
    if ASSERTS.search(said.title):
        assert not standing, what
        assert by_level[level] is not False, what
    elif WAITS.search(said.title):
        assert standing, what
        assert (standing == "held") == (up_to == [False] * len(up_to)), what
        assert (standing == "held") == ("待解除" in said.title or "not yet cleared" in said.title), what
        if standing == "true":
            assert True in up_to, what
        assert (standing == "level_held") == (by_level[level] is False and True in up_to), what
        assert standing != "level_doubtful" or (by_level[level] is None and True in up_to), what
        assert standing != "unseen" or by_level[level] is None, what
        if standing in ("doubtful", "unknown"):
            assert True not in up_to, what
            assert None in up_to, what
    else:
        assert not standing, what
    check_facts(signal, alert, said, lang, by_level, asserts=standing not in EXPLAINED)
    check_numbers(alert, said, lang)
    return standing


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
    name = wordings()[number].name.to(lang) + ("" if lang == "zh" else ": ")
    stop = "；" if lang == "zh" else "; "
    for part in said.text.rstrip("。.").split(stop):
        if part.startswith(name):
            return part.removeprefix(name)
    return None
