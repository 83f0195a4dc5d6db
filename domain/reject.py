"""The closed list of reasons not to apply a record, in order of precedence.

A record with several reasons is reported under the first of them in this order.
"""

import re
from enum import StrEnum

import msgspec

# A name as programs write it, alone or as a path. What does not look like one may be a value that stands in its place.
_NAME = re.compile(r"(?!.*\d{5})[A-Za-z_][A-Za-z0-9_.\[\]-]{0,63}", re.ASCII)
HIDDEN = "…"


class Reason(StrEnum):
    """The reasons why a record goes to `dlq.v1` (all but LATE) or `late.v1` (LATE)."""

    OVERSIZED = "oversized"  # value over 64 KiB, or all headers together
    UNKNOWN_VERSION = "unknown_version"  # header `schema` absent or of a version that this engine does not know
    NOT_JSON = "not_json"  # null value, broken UTF-8 or JSON, nesting over the limit
    DUPLICATE_KEY = "duplicate_key"
    NOT_FINITE = "not_finite"  # NaN, Infinity, or a number beyond float64
    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_TYPE = "unknown_type"
    TYPE_NOT_ALLOWED = "type_not_allowed"  # a known type that this topic's writer may not send
    CREDENTIALS = "credentials"  # a password, key or biometric in a field: the payload itself is not kept
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_ENUM = "unknown_enum"
    OUT_OF_RANGE = "out_of_range"  # length, pattern or number outside its bounds, amount apart
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"  # zero, negative or over 10^15 minor units
    UNKNOWN_CURRENCY = "unknown_currency"
    TIME_TOO_EARLY = "time_too_early"  # before 1990-01-01
    TIME_IN_FUTURE = "time_in_future"  # over 5 minutes ahead of the broker's timestamp
    BANK_MISMATCH = "bank_mismatch"  # bank_id is not the topic's bank
    PERSONAL_ID = "personal_id"  # an enterprise id that is a person's number, a passport or a card
    CONFLICT = "conflict"  # an event id seen with another body (found by score)
    CASE_UNKNOWN = "case_unknown"  # an action on a case that the enterprise does not have (this and the next: by score)
    CASE_FOREIGN = "case_foreign"  # on a case of another bank
    CASE_FINISHED = "case_finished"  # on a case that is closed
    CASE_OUT_OF_ORDER = "case_out_of_order"  # that does not follow from the case's state
    CASE_BY_MAKER = "case_by_maker"  # a review by who submitted it
    ACTIVATION_OFF = "activation_off"  # learn asks, and a person has to accept (this and the next five: by ingest)
    MODEL_UNKNOWN = "model_unknown"  # it is no candidate of learn's that is published
    MODEL_HELD = "model_held"  # the guard holds it, or this engine cannot score with it
    MODEL_PAUSED = "model_paused"  # an operator went back to an earlier model
    MODEL_OVERTAKEN = "model_overtaken"  # by a newer candidate, or a decision on models that learn did not know of
    MODEL_TOO_SOON = "model_too_soon"  # after the last switch
    LATE = "late"  # older than the allowed lateness (found by score)


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An expected failure as a value: the reason, the field, and a text of our own that quotes no value."""

    reason: Reason
    field: str | None = None
    detail: str = ""


def shown_name(field: str | None) -> str | None:
    """Return the name or path of a field where it looks like one, else HIDDEN: it may be a value in a name's place.

    >>> [shown_name(one) for one in ("schedule[0].due_on", "6222020012345678901", "张三", None)]
    ['schedule[0].due_on', '…', '…', None]
    """
    return field if field is None or _NAME.fullmatch(field) else HIDDEN


def without_values(said: str) -> str:
    """Return a decoder's message without the value that it quotes; its path is left out too, since it may hold names.

    >>> without_values("Invalid enum value 'hunter2' - at `$.purpose`")
    'Invalid enum value'
    >>> without_values("Expected `int`, got `str` - at `$.seq`")
    'Expected `int`, got `str`'
    """
    text = said.rpartition(" - at `$")[0] or said
    for begin, plain in _QUOTING.items():
        if text.startswith(begin):
            return plain
    return text[:200]


_QUOTING = {
    "Invalid enum value": "Invalid enum value",
    "Invalid value": "Invalid value",
    "Object contains unknown field": "Object contains unknown field",
}
