"""The language of conditions (docs/signals.md): comparisons, flags, `isnull`, `seen`, `held`, `and or not`, brackets.

payer_top1_share_90d_ratio > 0.50 or payer_top5_share_90d_ratio > 0.80 held(judicial_freeze_active_flag == 0, d=30) and
not seen(gov.judicial_freeze, d=30)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lark

SEEN_DAYS_MAX = 360
HELD_CLOSES_MAX = 360

_GRAMMAR = r"""
?expr: conj | conj (_OR conj)+  -> any_of
?conj: unit | unit (_AND unit)+ -> all_of
?unit: "(" expr ")"
     | _NOT unit                -> negation
     | NAME                      -> flag
     | NAME OP NUMBER            -> comparison
     | "isnull" "(" NAME ")"     -> is_null
     | "held" "(" expr "," "d" "=" WHOLE ")"                            -> held
     | "seen" "(" NAME "," "d" "=" WHOLE ["," "adverse" "=" WHOLE] ")"  -> seen
_OR: /or\b/
_AND: /and\b/
_NOT.2: /not\b/
NAME: /[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?/
OP: /<=|>=|==|!=|<|>/
NUMBER: /-?[0-9]+(\.[0-9]+)?/
WHOLE: /[0-9]{1,3}(?![0-9.])/
%ignore /[ \t]+/
"""


class ExpressionError(ValueError):
    """A text is not a condition of this language; `character` counts from 1."""

    def __init__(self, why: str, character: int) -> None:
        super().__init__(why)
        self.character = character


@dataclass(frozen=True, slots=True)
class Name:
    """A name in a condition, and its position."""

    text: str
    character: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """An input against a number; unknown where the input is null."""

    name: Name
    operator: str
    number: float


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag of the context, true or false or unknown."""

    name: Name


@dataclass(frozen=True, slots=True)
class IsNull:
    """Whether an input is null."""

    name: Name


@dataclass(frozen=True, slots=True)
class Seen:
    """Whether such an event came on one of the last `days` days, today included."""

    event: Name
    days: int
    adverse: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Whether `inner` is true, and was so at each of the last `closes` day closes."""

    inner: "Expression"
    closes: int


@dataclass(frozen=True, slots=True)
class Not:
    """Kleene's negation."""

    inner: "Expression"


@dataclass(frozen=True, slots=True)
class All:
    """Kleene's conjunction."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Kleene's disjunction."""

    parts: tuple["Expression", ...]


Expression = Comparison | Flag | IsNull | Seen | Held | Not | All | AnyOf


def parse(text: str) -> Expression:
    """Return the condition in `text`. Raise ExpressionError where it is none."""
    try:
        return _Builder().transform(_PARSER.parse(text))
    except lark.exceptions.VisitError as error:
        raise error.orig_exc from None
    except lark.exceptions.UnexpectedInput as error:
        if isinstance(error, lark.exceptions.UnexpectedToken) and error.token.type == "$END":
            raise ExpressionError("ends too early", len(text) + 1) from error
        raise ExpressionError(f"{text[error.column - 1 :][:20]!r} is not expected here", error.column) from error


def atoms(node: Expression) -> Iterator[Comparison | Flag | IsNull | Seen]:
    """Yield the leaves of a condition, from left to right."""
    match node:
        case Held(inner) | Not(inner):
            yield from atoms(inner)
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from atoms(part)
        case _:
            yield node


def text_of(node: Expression) -> str:
    """Return a condition as text that `parse` reads."""
    match node:
        case Comparison(name, operator, number):
            return f"{name.text} {operator} {number:g}"
        case Flag(name):
            return name.text
        case IsNull(name):
            return f"isnull({name.text})"
        case Seen(event, days, adverse):
            return f"seen({event.text}, d={days}{', adverse=1' if adverse else ''})"
        case Held(inner, closes):
            return f"held({text_of(inner)}, d={closes})"
        case Not(inner):
            return f"not ({text_of(inner)})"
        case All(parts) | AnyOf(parts):
            return (" and " if isinstance(node, All) else " or ").join(f"({text_of(part)})" for part in parts)


def timers(node: Expression) -> list[Held]:
    """Return the `held` in a condition, outermost first."""
    match node:
        case Held(inner):
            return [node, *timers(inner)]
        case Not(inner):
            return timers(inner)
        case All(parts) | AnyOf(parts):
            return [each for part in parts for each in timers(part)]
        case _:
            return []


def negates_timer(node: Expression) -> bool:
    """Return whether a `held` stands under a `not`."""
    match node:
        case Held(inner):
            return negates_timer(inner)
        case Not(inner):
            return bool(timers(inner))
        case All(parts) | AnyOf(parts):
            return any(map(negates_timer, parts))
        case _:
            return False


def without_timers(node: Expression) -> Expression:
    """Return a condition with each `held` replaced by what it watches."""
    match node:
        case Held(inner):
            return without_timers(inner)
        case Not(inner):
            return Not(without_timers(inner))
        case All(parts) | AnyOf(parts):
            return type(node)(tuple(map(without_timers, parts)))
        case _:
            return node


class _Builder(lark.Transformer[lark.Token, Expression]):
    """lark's tree to the frozen nodes above."""

    def any_of(self, parts: list[Any]) -> Expression:
        return AnyOf(tuple(parts))

    def all_of(self, parts: list[Any]) -> Expression:
        return All(tuple(parts))

    def negation(self, parts: list[Any]) -> Expression:
        return Not(parts[0])

    def flag(self, parts: list[Any]) -> Expression:
        return Flag(_name(parts[0]))

    def comparison(self, parts: list[Any]) -> Expression:
        number = float(parts[2])
        if not math.isfinite(number):
            raise ExpressionError("no number that a float holds", parts[2].column)
        return Comparison(_name(parts[0]), str(parts[1]), number)

    def is_null(self, parts: list[Any]) -> Expression:
        return IsNull(_name(parts[0]))

    def held(self, parts: list[Any]) -> Expression:
        return Held(parts[0], _whole(parts[1], 1, HELD_CLOSES_MAX))

    def seen(self, parts: list[Any]) -> Expression:
        adverse = parts[2] is not None and _whole(parts[2], 1, 1) == 1
        return Seen(_name(parts[0]), _whole(parts[1], 1, SEEN_DAYS_MAX), adverse)


def _name(token: lark.Token) -> Name:
    return Name(str(token), token.column or 1)


def _whole(token: lark.Token, least: int, most: int) -> int:
    number = int(token)
    if not least <= number <= most:
        raise ExpressionError(f"{number} is not within {least} to {most}", token.column or 1)
    return number


_PARSER = lark.Lark(_GRAMMAR, start="expr", parser="lalr")
