"""JSON as RFC 8259 means it: one reading of a message, or a reason why there is none.

Usual decoders take the last of two equal keys, and Python's reads NaN, lone surrogates and nesting until the stack
overflows. Here each of these is refused, in the order of `domain.reject.Reason`, with time linear in the message.
"""

import json
import math
import re
import threading
from collections.abc import Iterator
from typing import Any

import msgspec

from domain.reject import Reason, Rejected

NESTING_MAX = 8  # events nest three deep
_FLOAT_DIGITS_MAX = 309  # from here an integer may be beyond float64; int() itself refuses over 4,300 digits

# A string (to the end of the message where it is not closed, so that no position is scanned twice) or a bracket.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
_LONG, _AS_ZEROS = b"0" * _FLOAT_DIGITS_MAX, bytes.maketrans(b"123456789", b"0" * 9)
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNUSUAL = object()
_CONTAINERS = frozenset({dict, list})


def parse(message: bytes) -> Any | Rejected:
    """Return the JSON value of `message`, or why it has none: NOT_JSON, DUPLICATE_KEY or NOT_FINITE.

    >>> parse(b'{"a": 1}')
    {'a': 1}
    >>> parse(b'{"a": 1, "\\\\u0061": 2}').reason
    <Reason.DUPLICATE_KEY: 'duplicate_key'>
    """
    usual = _usual(message)
    return _whole(message) if usual is _UNUSUAL else usual


def strings_of(value: Any) -> Iterator[str]:
    """Yield every string of a parsed value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from strings_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_of(inner)


def _usual(message: bytes) -> Any:
    """Return the value of a message where a usual decoder gives the same, at a fifth of the cost; else _UNUSUAL.

    Such a message has no escapes, no deep nesting and no digits of a number beyond float64. Each key has a colon of its
    own, so where there are no more colons than keys, no key comes twice.
    """
    objects = message.count(b"{")
    if b"\\" in message or objects + message.count(b"[") > NESTING_MAX:
        return _UNUSUAL
    if _may_have_long(message):
        return _UNUSUAL
    try:
        document = msgspec.json.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _UNUSUAL
    keys = len(document) if objects == 1 and isinstance(document, dict) else _keys(document)
    return document if message.count(b":") == keys else _UNUSUAL


def _may_have_long(message: bytes) -> bool:
    """Return whether a message has enough digits for an integer beyond float64."""
    digits = len(message) - len(message.translate(None, b"0123456789"))
    return digits >= _FLOAT_DIGITS_MAX and _LONG in message.translate(_AS_ZEROS)


def _keys(value: Any) -> int:
    """Return the number of keys in a value, at all depths."""
    if isinstance(value, dict):
        return len(value) + sum([_keys(inner) for inner in value.values() if type(inner) in _CONTAINERS])
    return sum([_keys(inner) for inner in value if type(inner) in _CONTAINERS]) if isinstance(value, list) else 0


def _whole(message: bytes) -> Any | Rejected:
    try:
        text = message.decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejected(reason=Reason.NOT_JSON, detail=f"not UTF-8: {error.reason} at byte {error.start}")
    if _is_deep(text):
        return Rejected(reason=Reason.NOT_JSON, detail=f"nested more than {NESTING_MAX} deep")
    try:
        document = _READING.value(text, _may_have_long(message))
    except ValueError as error:
        return Rejected(reason=Reason.NOT_JSON, detail=str(error)[:200])
    if "\\u" in text and any(_SURROGATE.search(part) for part in strings_of(document)):
        return Rejected(reason=Reason.NOT_JSON, detail="half of a surrogate pair")
    if (repeated := _READING.repeated) is not None:
        return Rejected(reason=Reason.DUPLICATE_KEY, field=repeated[:128], detail="the key stands twice")
    if _READING.is_infinite:
        return Rejected(reason=Reason.NOT_FINITE, detail="NaN, infinite, or beyond float64")
    return document


class _Reading(threading.local):
    """Python's decoder, and what it met in the last text: the first repeated key, and whether a number is infinite.

    There is one for each thread: making a decoder costs as much as reading an event.
    """

    def __init__(self) -> None:
        self.repeated: str | None = None
        self.is_infinite = False
        self._decoder, self._decoder_of_long = (
            json.JSONDecoder(
                object_pairs_hook=self._pairs, parse_int=integer, parse_float=self._fraction,
                parse_constant=self._constant,
            )
            for integer in (None, self._integer)
        )  # fmt: skip

    def value(self, text: str, has_long: bool) -> Any:
        """Return the value of a text that is not nested deep. Raise ValueError where it is no JSON.

        has_long: whether there may be an integer beyond float64 in it. A call for each integer is a third of the cost.
        """
        self.repeated, self.is_infinite = None, False
        if text.startswith("\ufeff"):
            return json.loads(text)  # which tells of the mark
        return (self._decoder_of_long if has_long else self._decoder).decode(text)

    def _pairs(self, items: list[tuple[str, Any]]) -> dict[str, Any]:
        unique = dict(items)
        if len(unique) != len(items) and self.repeated is None:
            seen: set[str] = set()
            again = (name for name, _ in items if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            self.repeated = next(again)
        return unique

    def _integer(self, digits: str) -> int:
        if len(digits) >= _FLOAT_DIGITS_MAX and math.isinf(float(digits)):
            return int(self._constant(digits))
        return int(digits)

    def _fraction(self, digits: str) -> float:
        number = float(digits)
        return self._constant(digits) if math.isinf(number) else number

    def _constant(self, _name: str) -> float:
        self.is_infinite = True
        return 0.0


_READING = _Reading()


def _is_deep(text: str) -> bool:
    """Return whether brackets are nested more than NESTING_MAX deep.

    Texts with few brackets are not scanned one by one. Where more are closed than were opened, no JSON parser reads
    further.
    """
    if text.count("[") + text.count("{") <= NESTING_MAX:
        return False
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        mark = text[found.start()]
        if mark in "[{":
            depth += 1
            if depth > NESTING_MAX:
                return True
        elif mark in "]}":
            depth -= 1
            if depth < 0:
                return False
    return False
