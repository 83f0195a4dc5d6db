"""Rules between the fields of one event. They read plain fields, so that they can be checked beside a wrong type."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from domain.calendar import day_of, day_of_text, day_start_ms
from domain.reject import Reason, Rejected

Fields = Mapping[str, Any]


def relations(fields: Fields) -> Iterator[Rejected]:
    """Yield every rule between fields that `fields` (of any known type of event, its values not yet checked) breaks."""
    if fields.get("date_only") is True:
        yield from _date_only(fields)
    rule = _RULES.get(fields["type"])
    if rule is not None:
        yield from rule(fields)


def _date_only(fields: Fields) -> Iterator[Rejected]:
    """Yield a refusal where an event without a time of day is not at the instant that stands for its day.

    Else one event could have many fingerprints.
    """
    time_ms = fields.get("event_time")
    if is_integer(time_ms) and abs(time_ms) <= 2**53 and time_ms != day_start_ms(day_of(time_ms)):
        yield _out("event_time", "a date_only event stands at 00:00 of its business day")


def _txn(fields: Fields) -> Iterator[Rejected]:
    status = fields.get("status", "booked")
    if status in ("returned", "reversed"):
        yield from _needs(fields, f"status {status}", "ref_event_id", "ref_event_time")
        original_ms, time_ms = fields.get("ref_event_time"), fields.get("event_time")
        if is_integer(original_ms) and is_integer(time_ms) and original_ms > time_ms:
            yield _out("ref_event_time", "the original is later than what undoes it")
    elif status == "booked":
        for name in ("ref_event_id", "ref_event_time", "return_reason"):
            if fields.get(name) is not None:
                yield Rejected(reason=Reason.UNKNOWN_FIELD, field=name, detail="no field of a booked transaction")


def _loan(fields: Fields) -> Iterator[Rejected]:
    if fields.get("event") == "classified":
        yield from _needs(fields, "event classified", "five_class")
    granted, due = _day(fields.get("granted_on")), _day(fields.get("due_on"))
    if granted is not None and due is not None and due < granted:
        yield _out("due_on", "before granted_on")
    schedule = fields.get("schedule")
    for i, line in enumerate(schedule if isinstance(schedule, list) else ()):
        text = line.get("due_on") if isinstance(line, dict) else None
        if isinstance(text, str) and _day(text) is None:
            yield _out(f"schedule[{i}].due_on", "no date, as YYYY-MM-DD")


def _gov(fields: Fields) -> Iterator[Rejected]:
    if fields.get("event") == "fact":
        yield from _needs(fields, "event fact", "item", "value")


def _authorization(fields: Fields) -> Iterator[Rejected]:
    begin_ms, end_ms = fields.get("valid_from"), fields.get("valid_to")
    if is_integer(begin_ms) and is_integer(end_ms) and begin_ms >= end_ms:
        yield _out("valid_to", "not after valid_from")


def _outcome(fields: Fields) -> Iterator[Rejected]:
    if fields.get("observation_id") is None and fields.get("loan_id") is None:
        yield from _needs(fields, "an outcome without loan_id", "observation_id")


HOLD_DAYS_MAX = 366
_HOLDING = {"confirmed": False, "to_verify": True}  # whether a disposition must hold until a day; the others may


def _case_action(fields: Fields) -> Iterator[Rejected]:
    if fields.get("action") != "submit":
        for name in ("disposition", "until"):
            if fields.get(name) is not None:
                yield Rejected(reason=Reason.UNKNOWN_FIELD, field=name, detail="no field of any action but submit")
        return
    yield from _needs(fields, "action submit", "disposition")
    disposition, until = fields.get("disposition"), fields.get("until")
    must_hold = _HOLDING.get(disposition) if isinstance(disposition, str) else None
    if must_hold:
        yield from _needs(fields, f"disposition {disposition}", "until")
    elif must_hold is False and until is not None:
        yield Rejected(reason=Reason.UNKNOWN_FIELD, field="until", detail=f"no field of disposition {disposition}")
    last, time_ms = _day(until), fields.get("event_time")
    if last is not None and is_integer(time_ms) and abs(time_ms) <= 2**53:
        days = last - day_of(time_ms)
        if not 0 < days <= HOLD_DAYS_MAX:
            yield _out("until", f"not within {HOLD_DAYS_MAX} days after event_time")


def _control(fields: Fields) -> Iterator[Rejected]:
    if fields.get("action") == "activate":
        yield from _needs(fields, "action activate", "artefact", "artefact_id")
    if fields.get("action") in ("feed_resume", "feed_skip"):
        yield from _needs(fields, f"action {fields['action']}", "topic", "partition", "offset")
    if fields.get("action") == "feed_skip":
        yield from _needs(fields, "action feed_skip", "next_offset")
        offset, next_offset = fields.get("offset"), fields.get("next_offset")
        if is_integer(offset) and is_integer(next_offset) and next_offset <= offset:
            yield _out("next_offset", "not after offset")


_RULES = {
    "txn": _txn,
    "loan": _loan,
    "gov": _gov,
    "authorization": _authorization,
    "case_action": _case_action,
    "outcome": _outcome,
    "control": _control,
}


def _needs(fields: Fields, what: str, *names: str) -> Iterator[Rejected]:
    for name in names:
        if fields.get(name) is None:
            yield Rejected(reason=Reason.MISSING_FIELD, field=name, detail=f"{what} needs it")


def _out(name: str, detail: str) -> Rejected:
    return Rejected(reason=Reason.OUT_OF_RANGE, field=name, detail=detail)


def _day(text: Any) -> int | None:
    try:
        return day_of_text(text) if isinstance(text, str) else None
    except ValueError:
        return None


def is_integer(value: Any) -> TypeGuard[int]:
    """Return whether a value is a JSON integer, which `true` is not."""
    return isinstance(value, int) and not isinstance(value, bool)
