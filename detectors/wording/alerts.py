"""One revision of an alert as a sentence: what happened, against which threshold, since when, and what to do by when.

Everything is read from the alert and from the rules that raised it; where those are not at hand, thresholds are left
out. The sentence follows the state of the episode: it states a condition as true where the alert does, and says of an
episode that is kept open by its hysteresis that its condition no longer holds.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple

from config.wordings import checks, signal_names
from detectors.rules.grammar import AnyOf, Expression, ExpressionError, parse, timers
from detectors.wording import facts, phrases
from detectors.wording.conditions import condition_text, numbers_in, reduce, thresholds
from detectors.wording.numbers import band_text, fact_text, line_text, value_text
from detectors.wording.revision import Revision, elsewhere_id, phase
from domain.calendar import date_of, day_of
from domain.language import Lang
from domain.outputs import SEVERITIES, LoanOfAlert, LoansMore, Severity

if TYPE_CHECKING:
    from detectors.rules.conditions import Signal  # with numba: too heavy for a command that prints sentences

MICRO = 1_000_000
MOVED_MIN = 3  # points: a score that moved by less is said as it is
_ASSERTED = frozenset({"new", "again", "graver", "eased"})  # the condition of the level is true
_RISEN = frozenset({"new", "again", "graver"})
_WAITING = frozenset({"resumed", "listed", "open"})  # the episode is open, whatever its condition is by now
_ON_HOLD = frozenset({"stale", "listed_stale"})
_SAID_ELSEWHERE = frozenset({"score.points"})  # evidence that is the alert's own score
Standing = Literal["true", "level_held", "level_doubtful", "held", "doubtful", "unseen", "unknown"]
_EXPLAINED = frozenset({"level_held", "level_doubtful", "held", "doubtful"})  # the condition of the level is not true


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
    crossed = facts.crossed(signal, alert.severity, _values(alert)) if signal and now in _ASSERTED | _WAITING else {}
    if now in _ASSERTED | _WAITING | _ON_HOLD | {"cleared"}:
        said += _conditions(alert, now, signal, lang)
        numbers = list(_numbers(alert, _left_out(alert, now, standing, signal), signal, crossed, lang))
        said += [phrases.FOR_REFERENCE.to(lang), *numbers] if numbers and now in _ON_HOLD else numbers
    if now not in ("closed", "not_in_rules"):
        said += [_score(alert, crossed, lang), *_own_loans(alert, lang)]
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

    `level_held`: only a lower level is true; `held`: none is; `level_doubtful`, `doubtful`: so it is unless the
    undecided part is true; `unseen`: the evidence tells nothing of its level.
    """
    if signal is None:
        return "unknown", None
    values, number = _values(alert), SEVERITIES.index(alert.severity)
    levels = signal.bare_levels
    truths = [False if tree is None else reduce(tree, values) for tree in levels]  # graver ones would be raised
    level, is_open = truths[number], True in truths[: number + 1]
    if isinstance(level, bool) and (level or is_open):
        return ("true" if level else "level_held"), None
    left = [truth for truth in ([level] if is_open else truths[number::-1]) if not isinstance(truth, bool)]
    if not left:
        return "held", None
    if level == levels[number] and values.keys().isdisjoint(numbers_in((level,))):
        return "unseen", level
    parts = dict.fromkeys(chain.from_iterable(x.parts if isinstance(x, AnyOf) else (x,) for x in left))
    if any(part in levels for part in parts) or not values.keys().isdisjoint(numbers_in(parts)):
        return ("true" if is_open else "unknown"), None  # a level is not seen, or a number is rounded to its threshold
    return ("level_doubtful" if is_open else "doubtful"), next(iter(parts)) if len(parts) == 1 else AnyOf(tuple(parts))


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
    if now == "closed":
        remains = "" if alert.reason == "loan_closed" else phrases.RISK_REMAINS.to(lang)
        yield phrases.AT_CLOSE.to(lang).format(phrases.SEVERITIES[alert.severity].to(lang)) + remains


def _conditions(alert: Revision, now: str, signal: "Signal | None", lang: Lang) -> Iterator[str]:
    """Yield what is true without a number of the evidence that tells it, and how long a new condition has been true."""
    if signal is None or now not in _ASSERTED | {"cleared"}:
        return
    number = SEVERITIES.index(alert.severity)
    level, condition = signal.levels[number], signal.bare_levels[number]
    if now == "cleared":
        condition = facts.clearing(signal)
    if condition is not None:
        for part in facts.without_numbers(condition, _values(alert)):
            yield condition_text(part, lang)
    if level is not None and now in _RISEN:
        yield from (phrases.SUSTAINED.to(lang).format(held.closes) for held in timers(level))


def _left_out(alert: Revision, now: str, standing: Standing, signal: "Signal | None") -> set[str]:
    """Return the numbers of the evidence that would contradict what the sentence says of its condition."""
    if signal is None:
        return set()
    values, level = _values(alert), signal.bare_levels[SEVERITIES.index(alert.severity)]
    if now == "cleared":
        speaking = facts.that_clear(signal, values)
    elif standing in _EXPLAINED or level is None:
        speaking = facts.that_explain(signal, alert.severity, values)
    else:
        speaking = facts.that_assert(signal, values)
        if reduce(level, values) is False:  # on hold: the numbers of its level, for reference
            speaking |= numbers_in((level,))
    return facts.left_out(signal, values, speaking)


def _numbers(
    alert: Revision,
    left_out: set[str],
    signal: "Signal | None",
    crossed: Mapping[str, tuple[Severity, float]],
    lang: Lang,
) -> Iterator[str]:
    """Yield the evidence, each number with the threshold that it crossed."""
    beside = {} if signal is None else thresholds((*signal.levels, signal.hysteresis))
    for each in alert.evidence:
        if each.name in left_out or each.name in _SAID_ELSEWHERE:
            continue
        if each.band is not None:
            yield fact_text(each.name, band_text(each.name, each.band, lang), lang)
        elif each.value_micro is not None:
            value = value_text(each.name, each.value_micro / MICRO, lang, beside=beside.get(each.name, ()))
            means = (
                phrases.NEGATIVE[each.name].to(lang) if each.value_micro < 0 and each.name in phrases.NEGATIVE else ""
            )
            yield fact_text(each.name, value, lang) + _line(each.name, crossed, lang) + means


def _line(name: str, crossed: Mapping[str, tuple[Severity, float]], lang: Lang) -> str:
    if name not in crossed:
        return ""
    severity, line = crossed[name]
    return phrases.LINE.to(lang).format(phrases.LINES[severity].to(lang), line_text(name, line, lang))


def _score(alert: Revision, crossed: Mapping[str, tuple[Severity, float]], lang: Lang) -> str:
    before = alert.score_before
    if before is None or abs(before - alert.score) < MOVED_MIN:
        said = phrases.SCORE.to(lang).format(alert.score)
    else:
        said = phrases.SCORE_MOVED.to(lang).format(before, alert.score)
    said += _line("score.points", crossed, lang)
    values = _values(alert)
    for what, number, above, score in phrases.CAPS:
        if alert.score == score and values.get(number, 0) > above * MICRO:
            return said + phrases.CAPPED.to(lang).format(what.to(lang))
    return said


def _own_loans(alert: Revision, lang: Lang) -> Iterator[str]:
    """Yield the receiving bank's exposure and how long it is overdue; nothing for the supervisor."""
    of_loans: list[LoanOfAlert | LoansMore] = [*alert.loans]
    if alert.loans_more:
        of_loans.append(alert.loans_more)
    if of_loans:
        outstanding = sum(each.outstanding_minor for each in of_loans) / 100
        said = phrases.OWN_LOANS.to(lang).format(value_text("outstanding_cny", outstanding, lang))
        if alert.loans_more:
            listed = len(alert.loans)
            said += phrases.LISTED_OF.to(lang).format(listed + alert.loans_more.count, listed)
        dpd = max(each.dpd or 0 for each in of_loans)
        yield said + (phrases.OVERDUE.to(lang).format(value_text("dpd_max_days", dpd, lang)) if dpd else "")


def _action(alert: Revision, now: str, standing: Standing, lang: Lang) -> str:
    """Return the action to take, by the deadline of the case's level."""
    check = checks().get(alert.signal, phrases.CHECK).to(lang)
    if now == "closed":
        return phrases.CLOSED_ACTIONS.get(alert.reason, phrases.OVER_ACTION).to(lang)
    if now == "retracted":
        return phrases.RETRACTED_ACTION.to(lang)
    if now in _ON_HOLD:
        return phrases.STALE_ACTION.to(lang).format(check)
    if standing == "held":
        return phrases.HELD_ACTION.to(lang)
    if now not in _ASSERTED and now not in _WAITING:
        return phrases.OVER_ACTION.to(lang)
    case = _case_severity(alert)
    own = phrases.OWN_ACTIONS.get((alert.signal, case), phrases.ACTIONS[case])
    return _graver_case(alert, lang) + own.to(lang).format(check)


def _case_severity(alert: Revision) -> Severity:
    return max(alert.severity, alert.case_severity or alert.severity, key=SEVERITIES.index)


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
