"""An officer's next steps about a revision and their dates: checks fit the signal, deadlines the level of the case."""

from msgspec import UNSET

from config.wordings import checks
from detectors.wording import phrases
from detectors.wording.case import Desk, check_of, has_only_watched, is_stale
from detectors.wording.deadlines import Deadline, business_day_after, day_ahead, day_text, due_text
from detectors.wording.outcome import Outcome
from detectors.wording.revision import Revision
from detectors.wording.told import DUE, MICRO
from domain.calendar import day_of
from domain.language import Lang


def action(alert: Revision, now: str, became: Outcome, desk: Desk, lang: Lang, *, is_held: bool) -> str:
    """Return the action to take on a revision in phase `now`. `became`: of its instalment."""
    check = checks().get(check_of(alert), phrases.CHECK).to(lang)
    is_watched = alert.case_state == "eased" and has_only_watched(alert)
    is_work = alert.case_state in ("opened", "graver", "eased") and not is_watched
    if alert.case_state == "resolved" and not became and now != "retracted":
        return phrases.OVER_ACTION.to(lang)
    if now == "closed":
        return phrases.CLOSED_ACTIONS.get(alert.reason, phrases.OVER_ACTION).to(lang)
    if now == "retracted" and not is_work:
        return phrases.RETRACTED_ACTION.to(lang)
    if became and not is_work and (now != "cleared" or alert.case_state in (UNSET, "resolved")):
        return phrases.OUTCOME_ACTIONS[became].to(lang)
    if now in ("stale", "listed_stale") and (is_work or is_stale(alert) or not has_only_watched(alert)):
        return (phrases.STALE_ACTION if is_stale(alert) else phrases.STALE_IN_CASE_ACTION).to(lang).format(check)
    if (is_held or is_watched or now in ("stale", "listed_stale")) and not is_work:
        return phrases.HELD_ACTION.to(lang)
    if now in ("cleared", "ended", "not_applicable", "not_in_rules") and not alert.case_state:
        return phrases.OVER_ACTION.to(lang)
    return by_when(alert, check, desk, lang)


def by_when(alert: Revision, check: str, desk: Desk, lang: Lang) -> str:
    """Return a check with the dates by which the level of the case asks for it.

    A case of another level that has not moved has its dates since an earlier day: they are not said.
    """
    case, today, zh = alert.case_severity or "yellow", day_of(alert.as_of - 1), lang == "zh"
    said, deadlines = "", desk.deadlines[case]
    if alert.case_severity is None:
        said = phrases.NO_CASE.to(lang)
    elif alert.state == "retracted":
        said = phrases.RETRACTED_IN_CASE.to(lang)
    elif case != alert.severity and not alert.case_state:
        said, deadlines = phrases.OTHER_CASE.to(lang).format(phrases.SEVERITIES[case].to(lang)), Deadline()
    is_own = check_of(alert) == alert.signal  # the date is of its own instalment
    days = next((each.value_micro for each in alert.evidence if each.name == DUE and is_own), None)
    due = None if days is None or days < 0 else day_ahead(alert.as_of, days / MICRO)
    contact, visit = (None if count is None else business_day_after(today, count) for count in deadlines)
    steps: list[tuple[int, str]] = []
    if contact is not None and (due is None or contact < due):
        steps.append((contact, phrases.CONTACT.to(lang).format(due_text(contact, today, lang))))
    if due is not None:
        steps.append((due, phrases.BEFORE_DUE.to(lang).format(day_text(due, today, lang), check)))
    if visit is not None:
        steps.append((visit, phrases.VISIT.to(lang).format(due_text(visit, today, lang))))
    routine = "" if deadlines != desk.deadlines[case] else phrases.ROUTINE.to(lang)
    told = ("，" if zh else " and ").join(text for _, text in sorted(steps)) or routine
    said += told
    if due is None:
        said += (("：" if zh else ": ") if told else "") + check
    said += phrases.LEVEL_ACTIONS[case].to(lang)
    return f"{said}。" if zh else f"{said[:1].upper()}{said[1:]}."
