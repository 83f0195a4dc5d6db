"""From a row of the output book to the revisions of one alert, each as its reader may see it.

The supervisor sees everything. A bank sees an alert while it has an open loan and consent: numbers out of which another
bank's could be subtracted as bands (disclosure.py), events of its own alone, and of other banks' loans only the notice
that there is an episode.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np

from config.catalogue import SignalRow
from detectors import cases, episodes, retraction
from detectors.episodes import EVERY_BANK, TRANSITIONS
from detectors.rules.artefact import RuleSet
from detectors.rules.conditions import Signal
from detectors.rules.grammar import text_of
from detectors.rules.program import NOT_COMPUTABLE, STATUS_BITS, SUPPRESSED, TOO_YOUNG
from detectors.rules.vocabulary import SLOT_OF
from detectors.scorecard import displayed
from detectors.wording import phrases
from detectors.wording.alerts import sentence
from detectors.wording.case import Desk, desk_of
from detectors.wording.measures import measured
from detectors.wording.numbers import band_zh
from detectors.wording.revision import elsewhere_id
from domain import topics
from domain.calendar import day_of, day_start_ms
from domain.outputs import (
    SEVERITIES,
    Alert,
    AlertState,
    Evidence,
    LoanOfAlert,
    LoansMore,
    ProvisionalCalendar,
    Severity,
)
from features.indicators.activity import COUNTS_BUSINESS_DAYS
from features.indicators.nulls import NOT_APPLICABLE, NULL_NAMES, VALUE
from streams.score import case_of
from streams.score.disclosure import contributors
from streams.score.json_text import micro
from streams.score.loan_lines import loan_of_alert, reported_dpd
from streams.score.outbook import HELD, TO_ALL
from streams.score.records import bank_text
from streams.score.standing import standing_fields

# What evidence moves with the calendar of business days: the indicator that counts them, and the score made of it.
_BY_BUSINESS_DAYS = frozenset({COUNTS_BUSINESS_DAYS, "score.points", "score.delta_30d", "score.grade_fall_30d"})
NO_OFFSET = -1  # of a notice


class Addressed(NamedTuple):
    """A revision: the topic that it goes to, and a function that makes it."""

    topic: str
    make: Callable[[], Alert]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Facts of a revision beside its row."""

    enterprise_id: str
    model_id: str
    rules_id: str
    rules: RuleSet  # whose signals the rows number
    backfill: bool
    sender: tuple[str, str] | None  # (bank, event id) of the record that it follows from


@dataclass(slots=True)
class _Lender:
    """A bank with an open loan to the enterprise, as of the row."""

    slot: int
    authorized: bool
    loans: list[LoanOfAlert] = field(default_factory=list)
    more: LoansMore | msgspec.UnsetType = msgspec.UNSET


def addressed(b: Any, sources: Sources) -> Iterator[Addressed]:
    """Yield the revisions of row `b` (outbook.ROW), one a reader, each with its sentence in Chinese."""
    signal, desk = sources.rules.evaluated[b["signal"]], desk_of(sources.rules.case)
    for topic, make in _revisions(b, sources, signal):
        yield Addressed(topic, partial(_with_sentence, make, signal, desk))


def _with_sentence(make: Callable[[], Alert], signal: Signal, desk: Desk) -> Alert:
    alert = make()
    said = sentence(alert, signal, "zh", desk=desk)
    return msgspec.structs.replace(
        alert, evidence=measured(alert, signal), title_zh=said.title, text_zh=said.text, suggested_action_zh=said.action
    )


def _revisions(b: Any, sources: Sources, signal: Signal) -> Iterator[Addressed]:
    """Yield the revisions of row `b`, without their sentences."""
    lenders, about, to = _lenders(b), int(b["episode_bank"]), int(b["to_bank"])
    if sources.backfill:
        if to == TO_ALL:
            yield Addressed(topics.ALERT_BACKFILL, partial(_alert, b, sources, signal, _concerned(b, lenders)))
        return
    if to == TO_ALL:
        yield Addressed(topics.ALERT_SUPERVISOR, partial(_to_supervisor, b, sources, signal, lenders))
    for bank_id, lender in sorted(lenders.items()):
        may_hear = lender.authorized and (to < 0 or to == lender.slot) and about in (EVERY_BANK, lender.slot)
        if may_hear and b["held"][lender.slot] != HELD and case_of.is_told(b, sources.rules, lender.slot):
            yield Addressed(topics.bank_alerts(bank_id), partial(_to_bank, b, sources, signal, bank_id, lender))
    if b["transition"] == episodes.CLOSED and about in (EVERY_BANK, to):
        bank_id = bank_text(int(b["bank"][to]))
        why = "authorization" if bank_id in lenders else "loan_closed"
        make = partial(_alert, b, sources, signal, [bank_id], view=to, reason=why)
        yield Addressed(topics.bank_alerts(bank_id), make)
    if signal.row.id in phrases.ELSEWHERE:
        yield from _notices(b, sources, signal, lenders)


def _concerned(b: Any, lenders: dict[str, _Lender]) -> list[str]:
    """Return the banks that an episode concerns: all lenders, or the one that it is about."""
    about = int(b["episode_bank"])
    return sorted(lenders) if about == EVERY_BANK else [bank_text(int(b["bank"][about]))]


def _to_supervisor(b: Any, sources: Sources, signal: Signal, lenders: dict[str, _Lender]) -> Alert:
    told = _alert(b, sources, signal, _concerned(b, lenders))
    event_ids = [sources.sender[1]] if sources.sender else []
    return msgspec.structs.replace(told, event_ids=event_ids)


def _to_bank(b: Any, sources: Sources, signal: Signal, bank_id: str, lender: _Lender) -> Alert:
    known = contributors(b, lender.slot)
    shows = partial(known.shows, of_lender=signal.is_lender)
    of_this_bank = sources.sender is not None and sources.sender[0] == bank_id  # another bank's events are not shown
    is_of_others = b["transition"] == episodes.RETRACTED and not of_this_bank
    reason = retraction.CORRECTED if is_of_others else None
    alert = _alert(b, sources, signal, [bank_id], view=lender.slot, shows=shows, reason=reason)
    event_ids = [sources.sender[1]] if sources.sender and of_this_bank else []
    return msgspec.structs.replace(alert, loans=lender.loans, loans_more=lender.more, event_ids=event_ids)


def _notices(b: Any, sources: Sources, signal: Signal, lenders: dict[str, _Lender]) -> Iterator[Addressed]:
    """Yield a notice to each bank that is due one: another bank has such an episode, or none has any more."""
    for slot in np.flatnonzero(b["elsewhere"]).tolist():
        bank_id, closes = bank_text(int(b["bank"][slot])), b["transition"] == episodes.CLOSED
        lender = lenders.get(bank_id)
        if closes or (lender is not None and lender.authorized):
            over: AlertState = "closed" if closes else "cleared" if episodes.is_over(b["transition"]) else "raised"
            make = partial(_notice, b, sources, signal, slot, bank_id, lender, over)
            yield Addressed(topics.bank_alerts(bank_id), make)


def _notice(
    b: Any, sources: Sources, signal: Signal, slot: int, bank_id: str, lender: _Lender | None, over: AlertState
) -> Alert:
    """Return a notice.

    It names no bank and no amount, and of the record that it follows from only the day: no time, no offset, and the
    score as it stood before.
    """
    name = elsewhere_id(sources.enterprise_id, signal.row.id, bank_id)
    day_ms, severity = _day_ms(int(b["as_of_ms"])), case_of.severity(b, slot) or phrases.ELSEWHERE_SEVERITY
    return Alert(
        alert_id=name, episode_id=name, case_id=case_of.id_of(b, sources.enterprise_id, slot, bank_id) or name,
        case_severity=severity,
        revision=int(b["elsewhere"][slot]), enterprise_id=sources.enterprise_id, signal=signal.row.id,
        severity=phrases.ELSEWHERE_SEVERITY, state=over, stock=bool(b["stock"]), opened_at=day_ms, as_of=day_ms,
        score=displayed(int(b["score_before_milli"])), score_before=None, evidence=[], event_ids=[],
        loans=lender.loans if lender else [], banks=[bank_id], title_zh="", text_zh="", suggested_action_zh="",
        model_id=sources.model_id, rules_id=sources.rules_id, offset=NO_OFFSET, seq=0,
        provisional_calendar=provisional(b), loans_more=lender.more if lender else msgspec.UNSET,
    )  # fmt: skip


def _day_ms(as_of_ms: int) -> int:
    """Return the first time as of which something of the same business day is known: times are exclusive."""
    return day_start_ms(day_of(as_of_ms - 1)) + 1


def _alert(
    b: Any,
    sources: Sources,
    signal: Signal,
    banks: list[str],
    *,
    view: int = cases.SUPERVISOR,
    shows: Callable[[str], bool] = lambda _: True,
    reason: str | None = None,
) -> Alert:
    """Return the alert of row `b` as the reader of `view` may see it.

    `shows` says of a number whether this reader is shown it; of others it gets the band.
    An alert that closes has its reason, and nothing that it rests on.
    """
    row, transition = signal.row, int(b["transition"])
    severity: Severity = SEVERITIES[b["level"] - 1]
    rests_on_nothing = transition in (episodes.CLOSED, episodes.NOT_IN_RULES)
    values = {} if rests_on_nothing else values_of(b, row.evidence)
    hidden = {name for name in values if not shows(name)}
    reason = reason or _reason(b, signal, view)
    score, earlier = displayed(int(b["score_milli"])), displayed(int(b["score_before_milli"]))
    # Where it closes, consent or loan had ended before the record: how that moved the score is not told.
    score, before = (earlier, None) if transition == episodes.CLOSED else (score, earlier)
    name = _episode(b, sources.enterprise_id, row)
    return Alert(
        alert_id=name,
        episode_id=name,
        case_id=case_of.id_of(b, sources.enterprise_id, view, banks[0] if view != cases.SUPERVISOR else ""),
        case_severity=case_of.severity(b, view),
        revision=int(b["revision"]),
        enterprise_id=sources.enterprise_id,
        signal=row.id,
        severity=severity,
        state=TRANSITIONS[transition],
        reason=reason,
        stock=bool(b["stock"]),
        opened_at=int(b["opened_ms"]),
        as_of=int(b["as_of_ms"]),
        score=score,
        score_before=before,
        evidence=[
            Evidence(
                name=name,
                value_micro=None if x is None or name in hidden else int(micro(x)),
                band=band_zh(name, x) if name in hidden else None,
                provisional_calendar=provisional(b) if name in _BY_BUSINESS_DAYS else msgspec.UNSET,
            )
            for name, x in values.items()
        ],
        event_ids=[],
        loans=[],
        banks=banks,
        title_zh="",
        text_zh="",
        suggested_action_zh="",
        model_id=sources.model_id,
        rules_id=sources.rules_id,
        offset=int(b["offset"]),
        seq=int(b["seq"] if view == cases.SUPERVISOR else b["revision"]),  # the row's counts what others were told
        provisional_calendar=provisional(b),
        **case_of.fields(b, sources.rules, view),
        **({} if rests_on_nothing else standing_fields(b, view)),
    )


def provisional(b: Any) -> ProvisionalCalendar:
    """Return whether the score of row `b` counts business days of a year whose holidays are not published yet."""
    return True if b["provisional_calendar"] else msgspec.UNSET


def values_of(b: Any, names: tuple[str, ...]) -> dict[str, float | None]:
    """Return the inputs `names` of an evaluation as row `b` has them; None where null."""
    slots = [(name, SLOT_OF[name]) for name in names if name in SLOT_OF]
    return {name: float(b["value"][i]) if b["null"][i] == VALUE else None for name, i in slots}


def _reason(b: Any, signal: Signal, view: int) -> str:
    """Return why an episode is stale or over, or that it rose again, as this reader may know it; empty otherwise."""
    transition, why = int(b["transition"]), int(b["why"])
    if transition == episodes.RECURRED:
        return "recurred"
    if transition == episodes.RETRACTED:
        return retraction.REASONS[why]
    if transition == episodes.NO_LONGER_APPLIES:
        return "not_applicable"
    if transition == episodes.NOT_IN_RULES:
        return "not_in_rules"
    if transition != episodes.STALE or not why:
        return ""
    status = why & (1 << STATUS_BITS) - 1
    if status == SUPPRESSED:
        knows = view == cases.SUPERVISOR or b["entitled"][view]
        return text_of(signal.suppressions[why >> STATUS_BITS]) if knows else "suppressed"
    if status == TOO_YOUNG:
        return "history"
    assert status == NOT_COMPUTABLE
    nulls = (int(b["null"][slot]) for slot in signal.needs())
    return next((NULL_NAMES[null] for null in nulls if null not in (VALUE, NOT_APPLICABLE)), "not_computable")


def _episode(b: Any, enterprise_id: str, row: SignalRow) -> str:
    about = int(b["episode_bank"])
    bank = "" if about == EVERY_BANK else f"|{bank_text(int(b['bank'][about]))}"
    text = f"{enterprise_id}|{row.id}|{b['opened_ms']}|{b['opened_offset']}{bank}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _lenders(b: Any) -> dict[str, _Lender]:
    """Return the banks with an open loan, by their code: each with its loans in slots, and the sum of the others."""
    lenders: dict[str, _Lender] = {}
    for i in np.flatnonzero(b["loan_open"]).tolist():
        _lender(lenders, b, int(b["loan_bank"][i])).loans.append(loan_of_alert(b, i))
    for slot in np.flatnonzero(b["more_count"]).tolist():
        _lender(lenders, b, slot).more = LoansMore(
            count=int(b["more_count"][slot]),
            outstanding_minor=int(b["more_outstanding"][slot]),
            dpd=reported_dpd(b["more_dpd"][slot]),
        )
    return lenders


def _lender(lenders: dict[str, _Lender], b: Any, slot: int) -> _Lender:
    new = _Lender(slot=slot, authorized=bool(b["authorized"][slot]))
    return lenders.setdefault(bank_text(int(b["bank"][slot])), new)
