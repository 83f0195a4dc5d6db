"""Titles of alerts: a tag with the state and the level, and the name of the signal, or of the case that has moved."""

from typing import TYPE_CHECKING

from detectors.wording import case, phrases
from detectors.wording.case import Desk
from detectors.wording.outcome import Outcome
from detectors.wording.revision import Revision
from domain.language import Lang
from domain.outputs import SEVERITIES, Severity

if TYPE_CHECKING:
    from detectors.rules.conditions import Signal  # with numba: too heavy for a command that prints sentences

_LISTED = frozenset({"listed", "listed_stale"})


def title(
    alert: Revision,
    now: str,
    became: Outcome,
    signal: "Signal | None",
    desk: Desk,
    name: str,
    lang: Lang,
    *,
    is_held: bool,
) -> str:
    """Return the title: of the case where it has moved, else of the signal."""
    is_outcome = became in phrases.OUTCOME_TAGS
    shown = case.title_name(alert, desk, name, lang)
    is_end = alert.case_state == "resolved" and (is_outcome or now == "retracted")  # said by its own name
    if alert.case_state and now not in _LISTED and not is_end:
        before = alert.case_severity_before or None
        if alert.case_state == "eased" and before and case.has_only_watched(alert):
            levels = (phrases.LEVEL_TAGS[each].to(lang) for each in (before, alert.case_severity or before))
            return tagged(phrases.CURED_TAG.to(lang).format(*levels), shown, lang)
        if alert.case_state == "resolved" and case.has_open(alert):
            return tagged(phrases.BELOW_TAG.to(lang), shown, lang)
        level = alert.case_severity or alert.severity
        tag = _tag(phrases.CASE_PHASES[alert.case_state], level, before, lang)
        return tagged(tag, shown, lang)
    if is_outcome:
        own = phrases.LEVEL_TAGS[alert.severity].to(lang)
        return tagged(phrases.OUTCOME_TAGS[became].to(lang).format(own), name, lang)
    if is_held:
        return tagged(phrases.WATCH_TAGS.get(now, phrases.WATCH_TAG).to(lang), name, lang)
    level = (alert.case_severity if alert.case_state else None) or alert.severity
    return tagged(_tag(now, level, _level_before(alert, now, signal), lang), name, lang)


def _tag(now: str, level: Severity, before: Severity | None, lang: Lang) -> str:
    tags = phrases.TAGS if before or now not in phrases.TAGS_TO else phrases.TAGS_TO
    to = phrases.LEVEL_TAGS[level].to(lang)
    if tags is phrases.TAGS_TO and lang == "en":
        to = to.lower()
    return tags[now].to(lang).format(to, phrases.LEVEL_TAGS[before].to(lang) if before else "")


def _level_before(alert: Revision, now: str, signal: "Signal | None") -> Severity | None:
    """Return the level that a signal had before it rose or fell, where it has one such level alone."""
    if signal is None:
        return None
    number = SEVERITIES.index(alert.severity)
    others = range(number) if now == "graver" else range(number + 1, len(SEVERITIES))
    had = [SEVERITIES[i] for i in others if signal.levels[i] is not None]
    return had[0] if len(had) == 1 else None


def tagged(tag: str, name: str, lang: Lang) -> str:
    return f"【{tag}】{name}" if lang == "zh" else f"[{tag}] {name}"
