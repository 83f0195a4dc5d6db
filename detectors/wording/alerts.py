"""One revision of an alert as a sentence: what happened, against which threshold, since when, and what to do by when.

Everything is read from the alert and from the rules that raised it; where those are not at hand, thresholds are left
out. The sentence follows the state of the episode: it states a condition as true where the alert does, and says of an
episode that is kept open by its hysteresis that its condition no longer holds.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple

from config.wordings import signal_names
from detectors.rules.grammar import AnyOf, Expression, ExpressionError, parse, timers
from detectors.wording import case, facts, phrases
from detectors.wording.actions import action, by_when
from detectors.wording.case import DESK, Desk
from detectors.wording.conditions import condition_text, numbers_in, reduce
from detectors.wording.deadlines import day_text
from detectors.wording.measures import crossed_by, values_of
from detectors.wording.numbers import value_text
from detectors.wording.outcome import Outcome, outcome
from detectors.wording.revision import ASSERTED, WAITING, Revision, elsewhere_id, phase
from detectors.wording.titles import tagged, title
from detectors.wording.told import MICRO, SCORE, Crossed, facts_of, line_text_of
from domain.calendar import day_of, day_of_text
from domain.language import Lang
from domain.outputs import SEVERITIES, LoanOfAlert, LoansMore

if TYPE_CHECKING:
    from detectors.rules.conditions import Signal  # with numba: too heavy for a command that prints sentences

MOVED_MIN = 3  # points: a score that moved by less is said as it is
_RISEN = frozenset({"new", "again", "graver"})
_ON_HOLD = frozenset({"stale", "listed_stale"})
_IN_TITLE = ASSERTED | WAITING  # the title has the level
Standing = Literal["true", "level_held", "level_doubtful", "held", "doubtful", "unseen", "unknown"]
_EXPLAINED = frozenset({"level_held", "level_doubtful", "held", "doubtful"})  # the condition of the level is not true


class Sentence(NamedTuple):
    """The sentence about one revision; `name` and `state` are of its title."""

    title: str
    text: str
    action: str
    name: str
    state: str


def sentence(alert: Revision, signal: "Signal | None", lang: Lang, *, desk: Desk = DESK, now: str = "") -> Sentence:
    """Return the sentence of a revision.

    `signal`: its row of the rules that raised it, None where these are not at hand. `desk`: what these rules say of
    cases. `now`: a key of `phrases.PHASES`, for an episode that is no revision; by default the revision's own phase.
    """
    if _is_notice(alert):
        return _notice(alert, desk, lang)
    now = now or phase(alert)
    standing, left = _standing(alert, signal) if now in WAITING else ("true", None)
    may_be_known = now in WAITING | _ON_HOLD | {"cleared"}
    became = outcome(alert, signal, values_of(alert), is_over=now == "cleared") if may_be_known else ""
    if became == "awaited" and standing != "held":
        became = ""
    is_held = standing == "held" and became in ("", "awaited")
    name, state = signal_name(alert.signal, signal, lang), phrases.PHASES[now].to(lang)
    if is_held or became == "observed":
        state = phrases.WATCH.to(lang) if now == "open" else _listed((state, phrases.WATCH.to(lang)), lang)
    said = [*case.claim(alert, desk, lang), phrases.THIS_TIME.to(lang).format(name, state)] if alert.case_state else []
    said += _beginning(alert, now, became, lang)
    if became:
        dpd = value_text("dpd_max_days", values_of(alert).get("dpd_max_days", 0) / MICRO, lang)
        clears = condition_text(signal.hysteresis, lang) if signal else phrases.NOT_AT_HAND.to(lang)
        said.append(phrases.OUTCOMES[became].to(lang).format(dpd, clears))
    elif now in WAITING:
        said.append(_standing_text(alert, standing, left, signal, lang))
    if now in WAITING and standing != "true" and became in ("", "observed"):
        said += _progress(alert, signal, lang)
    crossed = crossed_by(alert, signal, now)
    if now in ASSERTED | WAITING | _ON_HOLD | {"cleared"}:
        left_out = _left_out(alert, now, standing, signal)
        told = list(facts_of(alert, left_out, signal, crossed, lang))
        numbers = [each.text for each in told]
        if now in _ON_HOLD:
            said += [phrases.FOR_REFERENCE.to(lang), *numbers] if numbers else []
        else:
            first = [each.text for each in told if each.is_crossed or now == "cleared"]
            said += [*first, *_conditions(alert, now, signal, crossed, lang)]
            said += [text for text in numbers if text not in first]
    if now not in ("closed", "not_in_rules"):
        said += [_score(alert, crossed, lang), *_own_loans(alert, lang)]
    todo = action(alert, now, became, desk, lang, is_held=is_held)
    heading = title(alert, now, became, signal, desk, name, lang, is_held=is_held)
    return _sentence(alert, heading, name, state, said, todo, lang)


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
    values, number = values_of(alert), SEVERITIES.index(alert.severity)
    levels = signal.bare_levels
    nulls = _nulls(alert)
    truths = [False if tree is None else reduce(tree, values, nulls) for tree in levels]  # graver ones would be raised
    waits, up_to = case.waits(alert), truths[: number + 1]  # what the engine saw, where the evidence does not tell
    is_undecided = not all(isinstance(truth, bool) for truth in up_to)
    if waits and True not in up_to:
        return "held", None
    if waits is False and is_undecided and not any(truths[:number]):
        return "true", None  # some level is: this one
    level, is_open = truths[number], True in up_to or (waits is False and is_undecided)
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


def _nulls(alert: Revision) -> set[str]:
    """Return the numbers of the evidence that are not computable: without a value, and without a band in its place."""
    return {each.name for each in alert.evidence if each.value_micro is None and each.band is None}


def _standing_text(
    alert: Revision, standing: Standing, left: Expression | None, signal: "Signal | None", lang: Lang
) -> str:
    if standing == "held" and signal and reduce(facts.clearing(signal), values_of(alert)) is True:
        told = phrases.CLEARING if not alert.clear_closes else phrases.GONE
        return told.to(lang).format(timers(signal.hysteresis)[0].closes)
    conditions = (signal and signal.hysteresis, left)
    return (
        phrases.STANDINGS[standing]
        .to(lang)
        .format(
            phrases.SEVERITIES[alert.severity].to(lang), *(condition_text(x, lang) if x else "" for x in conditions)
        )
    )


def _progress(alert: Revision, signal: "Signal | None", lang: Lang) -> Iterator[str]:
    """Yield at how many closes, of how many, what clears it has held, unless a number says that it does not."""
    if signal and alert.clear_closes and reduce(signal.watched, values_of(alert)) is not False:
        least = timers(signal.hysteresis)[0].closes
        yield phrases.PROGRESS.to(lang).format(min(alert.clear_closes, least), least)


def _beginning(alert: Revision, now: str, became: Outcome, lang: Lang) -> Iterator[str]:
    """Yield since when it is open, and why it is not evaluated or over; nothing for an episode that has just opened."""
    if now == "new":
        return
    why, level = reason_words(alert.reason, lang), phrases.SEVERITIES[alert.severity].to(lang)
    opened, today = day_of(alert.opened_at - 1), day_of(alert.as_of - 1)
    since = day_text(opened, today, lang)
    begins_with = phrases.OPENED if now in _IN_TITLE and not alert.case_state else phrases.OPENED_AT
    yield begins_with.to(lang).format(since, level)
    if now in phrases.STANDS and not (became and now == "cleared") and (opened < today or now not in phrases.NOT_NEW):
        yield phrases.STANDS[now].to(lang)
    if why and now in phrases.BECAUSE:
        yield phrases.BECAUSE[now].to(lang).format(why)
    if now in _ON_HOLD:
        for one in alert.data_dates or ():
            if one.stalled and one.newest_on:
                who = phrases.OWN_BANK.to(lang) if alert.banks == [one.bank_id] and alert.loans else one.bank_id
                yield phrases.DATA_UNTIL.to(lang).format(who, day_text(day_of_text(one.newest_on), today, lang))
    if now == "closed":
        yield phrases.STOPPED.to(lang).format(day_text(today, today, lang), why)
        remains = "" if alert.reason == "loan_closed" else phrases.RISK_REMAINS.to(lang)
        yield phrases.AT_CLOSE.to(lang).format(level) + remains


def _conditions(alert: Revision, now: str, signal: "Signal | None", crossed: Crossed, lang: Lang) -> Iterator[str]:
    """Yield what is true without a number of the evidence that tells it, and since when a new condition is true."""
    if signal is None or now not in ASSERTED | {"cleared"}:
        return
    number = SEVERITIES.index(alert.severity)
    level, condition = signal.levels[number], signal.bare_levels[number]
    if now == "cleared":
        condition = facts.clearing(signal)
    if condition is not None:
        banded = {each.name for each in alert.evidence if each.band is not None}
        for part in facts.without_numbers(condition, values_of(alert), banded & crossed.keys()):
            yield condition_text(part, lang)
    if level is not None and now in _RISEN:
        last = day_of(alert.as_of) - 1  # the newest day that has closed
        for held in timers(level):
            closes = alert.true_closes or held.closes
            since = day_text(last - closes + 1, day_of(alert.as_of - 1), lang)
            yield phrases.SUSTAINED.to(lang).format(closes, since)


def _left_out(alert: Revision, now: str, standing: Standing, signal: "Signal | None") -> set[str]:
    """Return the numbers of the evidence that would contradict what the sentence says of its condition."""
    if signal is None:
        return set()
    values, level = values_of(alert), signal.bare_levels[SEVERITIES.index(alert.severity)]
    if now == "cleared":
        speaking = facts.that_clear(signal, values)
    elif standing in _EXPLAINED or level is None:
        speaking = facts.that_explain(signal, alert.severity, values)
    else:
        speaking = facts.that_assert(signal, values)
        if now in ASSERTED:
            speaking -= facts.of_other_levels(signal, alert.severity, values)
        if reduce(level, values) is False:  # on hold: the numbers of its level, for reference
            speaking |= numbers_in((level,))
    return facts.left_out(signal, values, speaking, is_true=now in ASSERTED)


def _score(alert: Revision, crossed: Crossed, lang: Lang) -> str:
    before = alert.score_before
    if before is None or abs(before - alert.score) < MOVED_MIN:
        said = phrases.SCORE.to(lang).format(alert.score)
    else:
        said = phrases.SCORE_MOVED.to(lang).format(before, alert.score)
    said += line_text_of(SCORE, said, crossed, lang)
    values = values_of(alert)
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
        if dpd:
            said += phrases.OVERDUE.to(lang).format(value_text("dpd_max_days", dpd, lang))
        yield said + _next_due(alert, lang)


def _next_due(alert: Revision, lang: Lang) -> str:
    """Return the next instalment of the listed loans, where their bank reports one ahead; empty otherwise."""
    due = [(loan.next_due_on, loan.next_due_minor) for loan in alert.loans if loan.next_due_on and loan.next_due_minor]
    if not due:
        return ""
    on, today = min(day for day, _ in due), day_of(alert.as_of - 1)
    minor = sum(minor for day, minor in due if day == on)
    amount = value_text("outstanding_cny", minor / 100, lang)
    return phrases.NEXT_DUE.to(lang).format(day_text(day_of_text(on), today, lang), amount)


def _is_notice(alert: Revision) -> bool:
    """Return whether the alert tells a bank that there is something at another bank."""
    return alert.signal in phrases.ELSEWHERE and any(
        alert.alert_id == elsewhere_id(alert.enterprise_id, alert.signal, bank_id) for bank_id in alert.banks
    )


def _notice(alert: Revision, desk: Desk, lang: Lang) -> Sentence:
    """Return the sentence of a notice: no bank, amount or date."""
    what, is_open = phrases.ELSEWHERE[alert.signal].to(lang), alert.state == "raised"
    now = "new" if is_open else alert.state
    todo = phrases.NOTICE_OVER_ACTION.to(lang)
    if is_open:
        todo = by_when(alert, phrases.ELSEWHERE_CHECK.to(lang), desk, lang)
    tag = phrases.TAGS[now].to(lang).format(phrases.LEVEL_TAGS[alert.severity].to(lang))
    heading, state = tagged(tag, what, lang), phrases.PHASES[now].to(lang)
    return _sentence(alert, heading, what, state, [phrases.ELSEWHERE_TEXTS[alert.state].to(lang)], todo, lang)


def _sentence(alert: Revision, heading: str, name: str, state: str, said: list[str], todo: str, lang: Lang) -> Sentence:
    note = phrases.PROVISIONAL_CALENDAR.to(lang) if alert.provisional_calendar is True else ""
    return Sentence(title=heading, text=_joined(said, lang) + note, action=todo, name=name, state=state)


def _listed(words: Iterable[str], lang: Lang) -> str:
    return ("，" if lang == "zh" else ", ").join(words)


def _joined(said: list[str], lang: Lang) -> str:
    if lang == "zh":
        return "；".join(said) + "。"
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."
