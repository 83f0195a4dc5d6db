"""The check of one record of a bank, the gateway or an operator: the event, or the reason why it is refused. Pure.

A record with several reasons is refused for the first of them in the order of `domain.reject.Reason`.

Text is stored in Unicode NFC. Free text (memo, names) keeps control and bidirectional characters, which every surface
escapes: a transaction is not dropped for a tab in its memo. Identifiers and codes with such characters are refused.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from domain import topics
from domain.caching import cached_if_short
from domain.calendar import EVENT_TIME_MS_MIN, day_of_text, day_start_ms
from domain.credentials import Forbidden
from domain.events import (
    EVENT_BYTES_MAX,
    HEADERS_BYTES_MAX,
    SCHEMA,
    AnyEvent,
    FromBank,
    FromDesk,
    FromGateway,
    FromOperator,
    Receipt,
    Text128,
    Text256,
)
from domain.ids import ENTERPRISE_ID_BYTES_MAX, DayText
from domain.money import CURRENCIES
from domain.personal import compact, kind_of
from domain.reject import Reason, Rejected, without_values
from domain.relations import is_integer, relations
from domain.strict_json import parse

Writer = Literal["bank", "gateway", "desk", "operator"]
Accepted = FromBank | FromGateway | FromDesk | FromOperator

_SCHEMAS = frozenset({SCHEMA.encode()})
_PRECEDENCE = {reason: rank for rank, reason in enumerate(Reason)}
_MAY_SEND: dict[Writer, Any] = {
    "bank": FromBank,
    "gateway": FromGateway,
    "desk": FromDesk,
    "operator": FromOperator,
}
_KINDS = {kind.__struct_config__.tag: kind for kind in get_args(AnyEvent)}
_KINDS_OF = {writer: frozenset(get_args(union) or (union,)) for writer, union in _MAY_SEND.items()}

# C0, DEL, C1, and what changes the direction or is not seen: never part of an identifier or a code.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
# Printing ASCII but for what escapes. Without it most messages are Chinese words, which are in NFC and hold nothing
# unseen.
_ASCII = bytes(byte for byte in range(0x20, 0x7F) if byte != ord("\\"))
_WORDS_ONLY = re.compile("[\u3001\u3002\u4e00-\u9fff\uff01-\uff5e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The writer of a topic. `bank_id` is the bank's own code, None for the gateway, the desk and operators."""

    writer: Writer
    bank_id: str | None = None


def source_of(topic: str) -> Source:
    """Return the writer of an input topic. Raise ValueError where the topic is none.

    >>> source_of("bank.C1010211000012.events.v1")
    Source(writer='bank', bank_id='C1010211000012')
    """
    if (bank_id := topics.bank_of(topic)) is not None:
        return Source(writer="bank", bank_id=bank_id)
    if topic == topics.GATEWAY:
        return Source(writer="gateway")
    if topic == topics.DESK:
        return Source(writer="desk")
    if topic == topics.CONTROL:
        return Source(writer="operator")
    raise ValueError(f"{topic} is not read by ingest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """Checks the records of one source.

    `future_tolerance_ms`: how far a bank's clock may be ahead of the broker's, in ms.
    """

    source: Source
    forbidden: Forbidden
    future_tolerance_ms: int

    def accept(
        self, message: bytes | None, schema: bytes | None, broker_time_ms: int, *, is_harmless: bool = False
    ) -> Accepted | Rejected:
        """Return the event in `message`, or why it is refused; never raise.

        schema: the record's header of that name. broker_time_ms: when the broker appended the record (ms of the epoch).
        is_harmless: it is known to hold no secret.
        """
        if message is not None and len(message) > EVENT_BYTES_MAX:
            return Rejected(reason=Reason.OVERSIZED, detail=f"{len(message)} bytes, at most {EVENT_BYTES_MAX}")
        if schema not in _SCHEMAS:
            shown = "no header" if schema is None else "another one"
            return Rejected(reason=Reason.UNKNOWN_VERSION, field="schema", detail=f"{shown}, known: {SCHEMA}")
        if message is None:
            return Rejected(reason=Reason.NOT_JSON, detail="null value")
        document = parse(message)
        if isinstance(document, Rejected):
            return document
        if not isinstance(document, dict):
            return Rejected(reason=Reason.NOT_AN_OBJECT, detail=f"a JSON {_json_name(document)}")
        return self._judge(message, document, broker_time_ms + self.future_tolerance_ms, is_harmless)

    def _judge(
        self, message: bytes, document: dict[str, Any], time_ms_max: int, is_harmless: bool
    ) -> Accepted | Rejected:
        kind = _KINDS.get(document["type"]) if isinstance(document.get("type"), str) else None
        if kind is None:
            shown = f"a JSON {_json_name(document['type'])}" if "type" in document else "missing"
            return Rejected(reason=Reason.UNKNOWN_TYPE, field="type", detail=f"{shown}, known: {', '.join(_KINDS)}")
        if kind not in _KINDS_OF[self.source.writer]:
            return Rejected(
                reason=Reason.TYPE_NOT_ALLOWED, field="type", detail=f"{document['type']} from a {self.source.writer}"
            )
        if not is_harmless and (secret := self.forbidden.find(document)) is not None:
            return Rejected(reason=Reason.CREDENTIALS, field=secret, detail="a password, key or biometric")
        is_clear = _is_clear(message)
        fields = document if is_clear else _in_nfc(document)
        event, wrong = _converted(fields, kind)
        findings = list(self._bounds(fields, kind, time_ms_max))
        if wrong is not None or not is_clear:
            findings = [*_schema(fields, kind, wrong, is_clear), *findings]
        return min(findings, key=_rank) if findings else event

    def _bounds(self, fields: Mapping[str, Any], kind: type, time_ms_max: int) -> Iterator[Rejected]:
        """Yield faults that no type shows: dates, currency, times, the writer's identity, relations between fields."""
        for name in _SHAPES[kind].days:
            yield from _day(fields, name, time_ms_max if kind is Receipt else None)
        currency = fields.get("currency", "CNY")
        if isinstance(currency, str) and currency not in CURRENCIES:
            yield Rejected(reason=Reason.UNKNOWN_CURRENCY, field="currency", detail="no known code")
        for name in ("event_time", "ref_event_time"):
            time_ms = fields.get(name)
            if not is_integer(time_ms):
                continue
            if time_ms < EVENT_TIME_MS_MIN:
                yield Rejected(reason=Reason.TIME_TOO_EARLY, field=name, detail="before 1990-01-01")
            if time_ms > time_ms_max:
                detail = _how_far(time_ms - time_ms_max + self.future_tolerance_ms)
                yield Rejected(reason=Reason.TIME_IN_FUTURE, field=name, detail=detail)
        if self.source.bank_id is not None and fields.get("bank_id") != self.source.bank_id:
            yield Rejected(reason=Reason.BANK_MISMATCH, field="bank_id", detail=f"topic of {self.source.bank_id}")
        for name in ("enterprise_id", "succeeds_id"):
            text = fields.get(name)
            if not isinstance(text, str) or len(text) > ENTERPRISE_ID_BYTES_MAX:
                continue
            if (personal := kind_of(compact(text))) is not None:
                yield Rejected(reason=Reason.PERSONAL_ID, field=name, detail=f"a {personal}, not an enterprise")
        yield from relations(fields)


def headers_fault(size: int) -> Rejected | None:
    """Return why a record whose headers take `size` bytes is refused unread; None where they are to be read."""
    if size <= HEADERS_BYTES_MAX:
        return None
    return Rejected(
        reason=Reason.OVERSIZED, field="headers", detail=f"{size} bytes of headers, at most {HEADERS_BYTES_MAX}"
    )


def _how_far(ahead_ms: int) -> str:
    """Return how far a time is ahead of the broker's, so coarse that the time cannot be computed from it."""
    span = next((name for ms, name in _SPANS if ahead_ms < ms), "over a year (milliseconds are expected)")
    return f"ahead of the broker's time by {span}"


_SPANS = ((3_600_000, "less than an hour"), (86_400_000, "hours"), (366 * 86_400_000, "days"))


def _rank(finding: Rejected) -> int:
    return _PRECEDENCE[finding.reason]


def _is_clear(message: bytes) -> bool:
    """Return whether a message that was decoded has no escapes, nothing invisible, and all text in NFC.

    Most are decided, at a fifth of the cost, by what is left without ASCII. That may be valid UTF-8 where the message
    is not, but such a message was not decoded.
    """
    if _WORDS_ONLY.fullmatch(message.translate(None, _ASCII).decode("utf-8")):
        return True
    if b"\\" in message:
        return False
    text = message.decode("utf-8")
    if not text.isprintable() and _UNSEEN.search(text) is not None:
        return False
    return text.isascii() or unicodedata.is_normalized("NFC", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """The fields of one kind of event. `loose`: a struct of them that may all be absent."""

    names: frozenset[str]
    loose: type
    required: tuple[str, ...]
    free_text: frozenset[str]
    days: tuple[str, ...]


def _shape(kind: Any) -> _Shape:
    found = msgspec.structs.fields(kind)
    plain = {field.name: [a for a in _alternatives(field.type) if a is not type(None)] for field in found}
    return _Shape(
        names=frozenset(plain),
        loose=msgspec.defstruct(kind.__name__, [(field.name, field.type, msgspec.UNSET) for field in found]),
        required=tuple(field.name for field in found if field.required),
        free_text=frozenset(name for name, types in plain.items() if types[0] in (Text128, Text256)),
        days=tuple(name for name, types in plain.items() if types[0] == DayText),
    )


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return (annotation,) if hasattr(annotation, "__metadata__") else get_args(annotation) or (annotation,)


_SHAPES = {kind: _shape(kind) for kind in _KINDS.values()}


def _converted(fields: Mapping[str, Any], kind: type) -> tuple[Any, str | None]:
    """Return the fields as a struct, and what msgspec first finds wrong with them, or None."""
    try:
        return msgspec.convert(fields, kind), None
    except msgspec.ValidationError as error:
        return None, str(error)


def _schema(fields: Mapping[str, Any], kind: type, wrong: str | None, is_clear: bool) -> Iterator[Rejected]:
    """Yield the faults of all fields against their types, none hidden by another: a faulty field is left out next time.

    wrong: the first fault found. is_clear: the message is known to hold nothing invisible.
    """
    shape = _SHAPES[kind]
    for name in shape.required:
        if name not in fields:
            yield Rejected(reason=Reason.MISSING_FIELD, field=name, detail="missing")
            return  # nothing comes before that
    rest = dict(fields)
    del rest["type"]
    for name, value in fields.items() if not is_clear or rest.keys() - shape.names else ():
        if name in rest and name not in shape.names:
            yield Rejected(reason=Reason.UNKNOWN_FIELD, field=name[:128], detail="no field of this type of event")
            del rest[name]
        elif not is_clear and name not in shape.free_text and _holds_unseen(value):
            yield Rejected(
                reason=Reason.OUT_OF_RANGE, field=name, detail="control or bidirectional character in a code"
            )
    if len(rest) + 1 < len(fields):
        _, wrong = _converted(rest, shape.loose)
    while wrong is not None:
        name, finding = _explain(wrong)
        yield finding
        del rest[name]
        _, wrong = _converted(rest, shape.loose)


EXPLAINED_MAX, EXPLAINED_CHARS_MAX = 200, 512  # who errs once mostly errs again
_STEP = re.compile(r"[.[]")  # further into an object
# msgspec says what is wrong in words, of which it begins with one of these, as reasons are called, or it is a bound.
_WORDS = re.compile(
    "Object missing required field `(?P<missing_field>[^`]*)`"
    "|Object contains unknown field `(?P<unknown_field>.*)`"
    "|(?P<wrong_type>)Expected `[^`]*`, got `"
    "|(?P<unknown_enum>)Invalid enum value",
    re.DOTALL,
)


@cached_if_short(EXPLAINED_MAX, EXPLAINED_CHARS_MAX)
def _explain(message: str) -> tuple[str, Rejected]:
    """Return the field in which msgspec found a fault in an object, and the fault."""
    text, _, path = message.removesuffix("`").rpartition(" - at `$.")
    reason, inner = Reason.AMOUNT_OUT_OF_RANGE if path.endswith("_minor") else Reason.OUT_OF_RANGE, None
    if (found := _WORDS.match(text)) is not None:
        said = str(found.lastgroup)
        reason, inner = Reason(said), found[said]
    field = (f"{path}.{inner}" if inner else path)[:128]
    finding = Rejected(reason=reason, field=field, detail=without_values(text))
    return _STEP.split(path, maxsplit=1)[0], finding


def _day(fields: Mapping[str, Any], name: str, time_ms_max: int | None) -> Iterator[Rejected]:
    text = fields.get(name)
    if not isinstance(text, str):
        return
    try:
        start_ms = day_start_ms(day_of_text(text))
    except ValueError:
        yield Rejected(reason=Reason.OUT_OF_RANGE, field=name, detail="no date, as YYYY-MM-DD")
        return
    if time_ms_max is None:
        return
    if start_ms < EVENT_TIME_MS_MIN:
        yield Rejected(reason=Reason.TIME_TOO_EARLY, field=name, detail="before 1990-01-01")
    if start_ms > time_ms_max:
        yield Rejected(reason=Reason.TIME_IN_FUTURE, field=name, detail="has not begun at the broker")


def _holds_unseen(value: Any) -> bool:
    if isinstance(value, str):
        return _UNSEEN.search(value) is not None
    return isinstance(value, list) and any(_holds_unseen(inner) for inner in value)


def _in_nfc(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, list):
        return [_in_nfc(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _in_nfc(inner) for name, inner in value.items()}
    return value


def _json_name(value: Any) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")
