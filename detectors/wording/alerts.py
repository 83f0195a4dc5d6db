"""One revision of an alert as a sentence: what happened, against which threshold, since when, and what to do by when.

Everything is read from the alert and from the rules that raised it; where those are not at hand, thresholds are left
out. The sentence follows the state of the episode: it states a condition as true where the alert does, and says of an
episode that is kept open by its hysteresis that its condition no longer holds.
"""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple

from config.wordings import checks, signal_names
from detectors.rules.grammar import AnyOf, Expression, ExpressionError, Seen, atoms, parse, timers
from detectors.wording import phrases
from detectors.wording.conditions import condition_text, lines, reduce, thresholds
from detectors.wording.numbers import band_text, fact_text, line_text, value_text
from detectors.wording.revision import Revision, elsewhere_id, phase
from domain.calendar import date_of, day_of
from domain.language import Lang
from domain.outputs import SEVERITIES, Severity

if TYPE_CHECKING:
    from detectors.rules.conditions import Signal  # with numba: too heavy for a command that prints sentences

MICRO = 1_000_000
MOVED_MIN = 3  # points: a score that moved by less is said as it is
_ASSERTED = frozenset({"new", "graver", "eased"})  # the condition of the level is true
_RISEN = frozenset({"new", "graver"})
_WAITING = frozenset({"resumed", "listed", "open"})  # the episode is open, whatever its condition is by now
_ON_HOLD = frozenset({"stale", "listed_stale"})
_SAID_ELSEWHERE = frozenset({"score.points"})  # evidence that is the alert's own score
Standing = Literal["true", "level_held", "held", "doubtful", "unknown"]


class Sentence(NamedTuple):
    """The sentence about one revision; `name` and `state` are parts of the title."""

    title: str
    text: str
    action: str
    name: str
    state: str


def sentence(alert: Revision, signal: "Signal | None", lang: Lang, *, now: str = "") -> Sentence:
    """Return the sentence of a revision.

    `signal`: its row of the rules that raised it, None where these are not at hand. `now`: a key of `phrases.PHASES`,
    for an episode that is no revision; by default the revision's own phase.
    """
    if _is_notice(alert):
        return _notice(alert, lang)
    now = now or phase(alert)
    standing, left = _standing(alert, signal) if now in _WAITING else ("true", None)
    state = phrases.PHASES[now].to(lang)
    if standing == "held":
        state = ("，" if lang == "zh" else ", ").join((state, phrases.PENDING.to(lang)))
    said = list(_beginning(alert, now, lang))
    if now in _WAITING:
        conditions = (signal and signal.hysteresis, left)
        words = (
            phrases.SEVERITIES[alert.severity].to(lang),
            *(condition_text(x, lang) if x else "" for x in conditions),
        )
        said.append(phrases.STANDINGS[standing].to(lang).format(*words))
    said += _facts(alert, now, signal, lang)
    if now not in ("closed", "not_in_rules"):
        said += [_score(alert, lang), *_own_loans(alert, lang)]
    name, action = signal_name(alert.signal, signal, lang), _action(alert, now, standing, lang)
    return _sentence(alert, name, state, said, action, lang)


def signal_name(signal_id: str, signal: "Signal | None", lang: Lang) -> str:
    """Return the name of a signal: from the catalogue, else from its own row, else its id."""
    if signal_id in signal_names() and (signal is None or signal.row.name_zh == signal_names()[signal_id].zh):
        return signal_names()[signal_id].to(lang)
    return signal_id if signal is None or lang == "en" else signal.row.name_zh


def reason_words(reason: str, lang: Lang) -> str:
    """Return why an alert is stale, over or closed, in words: the reason's own, or the condition that suppresses it."""
    if not reason:
        return ""
    if reason in phrases.REASONS:
        return phrases.REASONS[reason].to(lang)
    try:
        return condition_text(parse(reason), lang)
    except ExpressionError:
        return reason  # of an engine that knows more reasons


def _standing(alert: Revision, signal: "Signal | None") -> tuple[Standing, Expression | None]:
    """Return how the condition of an open episode stands by its evidence, and the part that is left undecided.

    `level_held`: only a lower level is true; `held`: none is; `doubtful`: none is, unless the undecided part is true.
    """
    if signal is None:
        return "unknown", None
    values, level = _values(alert), SEVERITIES.index(alert.severity)
    levels = signal.bare_levels
    truths = [False if tree is None else reduce(tree, values) for tree in levels]  # graver ones would be raised
    if True in truths[: level + 1]:
        return ("level_held" if truths[level] is False else "true"), None
    left = [truth for truth in truths[level::-1] if not isinstance(truth, bool)]
    if not left:
        return "held", None
    if any(truth in levels for truth in left):
        return "unknown", None  # nothing is known of a level
    parts = dict.fromkeys(chain.from_iterable(x.parts if isinstance(x, AnyOf) else (x,) for x in left))
    return "doubtful", next(iter(parts)) if len(parts) == 1 else AnyOf(tuple(parts))


def _values(alert: Revision) -> dict[str, int]:
    """Return the numbers of the evidence that are known and may be shown, in millionths."""
    return {each.name: each.value_micro for each in alert.evidence if each.value_micro is not None}


def _beginning(alert: Revision, now: str, lang: Lang) -> Iterator[str]:
    """Yield since when it is open, and why it is not evaluated or over; nothing for an episode that has just opened."""
    if now == "new":
        return
    why = reason_words(alert.reason, lang)
    opened, today = day_of(alert.opened_at - 1), day_of(alert.as_of - 1)
    yield phrases.OPENED.to(lang).format(_day(opened, today, lang))
    if now in phrases.STANDS and (opened < today or now not in phrases.NOT_NEW):
        yield phrases.STANDS[now].to(lang)
    if why and now in phrases.BECAUSE:
        yield phrases.BECAUSE[now].to(lang).format(why)
    if now in _ON_HOLD and _values(alert):
        yield phrases.FOR_REFERENCE.to(lang)
    if now == "closed":
        yield phrases.AT_CLOSE.to(lang).format(phrases.SEVERITIES[alert.severity].to(lang))


def _facts(alert: Revision, now: str, signal: "Signal | None", lang: Lang) -> Iterator[str]:
    """Yield facts of a true condition without numbers, then the evidence, each number with the threshold it crossed."""
    may_be_true, number = now in _ASSERTED or now in _WAITING, SEVERITIES.index(alert.severity)
    level = signal.bare_levels[number] if signal is not None and may_be_true else None
    values = _values(alert)
    crossed = lines(level, values)
    beside = {} if signal is None else thresholds((*signal.levels, signal.hysteresis))
    left = True if level is None or now not in _ASSERTED else reduce(level, values)
    if not isinstance(left, bool) and values.keys().isdisjoint(_names(left)):
        yield condition_text(left, lang)
    if signal is not None and now in _RISEN and (whole := signal.levels[number]):
        yield from (phrases.SUSTAINED.to(lang).format(held.closes) for held in timers(whole))
    for each in alert.evidence:
        if each.band is not None:
            yield fact_text(each.name, band_text(each.band, lang), lang)
        elif each.value_micro is not None and each.name not in _SAID_ELSEWHERE:
            value = value_text(each.name, each.value_micro / MICRO, lang, beside=beside.get(each.name, ()))
            yield fact_text(each.name, value, lang) + _line(each.name, crossed.get(each.name), alert.severity, lang)


def _names(node: Expression) -> set[str]:
    return {atom.name.text for atom in atoms(node) if not isinstance(atom, Seen)}


def _line(name: str, line: float | None, severity: Severity, lang: Lang) -> str:
    if line is None:
        return ""
    return phrases.LINE.to(lang).format(phrases.LINES[severity].to(lang), line_text(name, line, lang))


def _score(alert: Revision, lang: Lang) -> str:
    before = alert.score_before
    if before is None or abs(before - alert.score) < MOVED_MIN:
        said = phrases.SCORE.to(lang).format(alert.score)
    else:
        said = phrases.SCORE_MOVED.to(lang).format(before, alert.score)
    values = _values(alert)
    for what, number, above, score in phrases.CAPS:
        if alert.score == score and values.get(number, 0) > above * MICRO:
            return said + phrases.CAPPED.to(lang).format(what.to(lang))
    return said


def _own_loans(alert: Revision, lang: Lang) -> Iterator[str]:
    """Yield the receiving bank's exposure and how long it is overdue; nothing for the supervisor."""
    if alert.loans:
        outstanding = sum(each.outstanding_minor for each in alert.loans) / 100
        said = phrases.OWN_LOANS.to(lang).format(value_text("outstanding_cny", outstanding, lang))
        dpd = max(each.dpd or 0 for each in alert.loans)
        yield said + (phrases.OVERDUE.to(lang).format(value_text("dpd_max_days", dpd, lang)) if dpd else "")


def _action(alert: Revision, now: str, standing: Standing, lang: Lang) -> str:
    """Return the action to take, by the deadline of the case's level."""
    check = checks().get(alert.signal, phrases.CHECK).to(lang)
    if now == "closed":
        return phrases.CLOSED_ACTIONS.get(alert.reason, phrases.OVER_ACTION).to(lang)
    if now in _ON_HOLD:
        return phrases.STALE_ACTION.to(lang).format(check)
    if standing == "held":
        return phrases.HELD_ACTION.to(lang)
    if now not in _ASSERTED and now not in _WAITING:
        return phrases.OVER_ACTION.to(lang)
    return _graver_case(alert, lang) + phrases.ACTIONS[_case_severity(alert)].to(lang).format(check)


def _case_severity(alert: Revision) -> Severity:
    return max(alert.severity, alert.case_severity, key=SEVERITIES.index)


def _graver_case(alert: Revision, lang: Lang) -> str:
    case = _case_severity(alert)
    return "" if case == alert.severity else phrases.GRAVER_CASE.to(lang).format(phrases.SEVERITIES[case].to(lang))


def _is_notice(alert: Revision) -> bool:
    """Return whether the alert tells a bank that there is something at another bank."""
    return alert.signal in phrases.ELSEWHERE and any(
        alert.alert_id == elsewhere_id(alert.enterprise_id, alert.signal, bank_id) for bank_id in alert.banks
    )


def _notice(alert: Revision, lang: Lang) -> Sentence:
    """Return the sentence of a notice: no bank, amount or date."""
    what, is_open = phrases.ELSEWHERE[alert.signal].to(lang), alert.state == "raised"
    state = phrases.PHASES["new" if is_open else alert.state].to(lang)
    action = phrases.OVER_ACTION.to(lang)
    if is_open:
        check = phrases.ELSEWHERE_CHECK.to(lang)
        action = _graver_case(alert, lang) + phrases.ACTIONS[_case_severity(alert)].to(lang).format(check)
    return _sentence(alert, what, state, [phrases.ELSEWHERE_TEXTS[alert.state].to(lang)], action, lang)


def _sentence(alert: Revision, name: str, state: str, said: list[str], action: str, lang: Lang) -> Sentence:
    level = phrases.SEVERITIES[alert.severity].to(lang)
    title = f"【{level}】{name}（{state}）" if lang == "zh" else f"[{level.capitalize()}] {name} ({state})"
    note = phrases.PROVISIONAL_CALENDAR.to(lang) if alert.provisional_calendar is True else ""
    return Sentence(title=title, text=_joined(said, lang) + note, action=action, name=name, state=state)


def _joined(said: list[str], lang: Lang) -> str:
    if lang == "zh":
        return "；".join(said) + "。"
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


def _day(day: int, today: int, lang: Lang) -> str:
    """Return a day number as a date; in Chinese without the year where that is today's."""
    on = date_of(day)
    if lang == "en":
        return on.isoformat()
    said = f"{on.month}月{on.day}日"
    return said if on.year == date_of(today).year else f"{on.year}年{said}"
