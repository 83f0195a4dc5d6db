"""The closed list of reasons not to apply a record, in order of precedence.

A record with several reasons is reported under the first of them in this order.
"""

from enum import StrEnum

import msgspec


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
    CONFLICT = "conflict"  # an event id seen with another body (found by score)
    LATE = "late"  # older than the allowed lateness (found by score)


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An expected failure as a value: the reason, and the field and text that show it."""

    reason: Reason
    field: str | None = None
    detail: str = ""
