"""Conditions of rules against the evidence of an alert, and in words.

An alert carries the numbers that it rests on, not everything that its rule read. So a condition is evaluated as far as
the evidence goes: it is true, or false, or a part of it is left, which is another condition.
"""

import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain

from config.wordings import wordings
from detectors.rules.grammar import All, AnyOf, Comparison, Expression, Flag, Held, IsNull, Not, Seen, atoms
from detectors.wording.numbers import line_text, name, value_text
from domain.language import Lang, Words

_WHOLE = frozenset(
    {"count", "months", "points", "points_change", "grades", "flag"}
)  # kinds that evidence holds exactly
_WHOLE_DAYS = frozenset({"dpd_max_days"})  # of a kind that is not whole: counted, not measured
_MICRO = 1_000_000
Atom = Comparison | Flag | IsNull | Seen
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_BOUND_ZH = {"<": "低于{}", "<=": "不高于{}", ">": "高于{}", ">=": "不低于{}", "==": "为{}", "!=": "不为{}"}
_BOUND_EN = {
    "<": "below {}", "<=": "at most {}", ">": "above {}", ">=": "at least {}", "==": "equal to {}", "!=": "not {}",
}  # fmt: skip
# Bounds of changes, by how far the change goes in its direction.
_FAR_ZH = {"<": "{}幅小于{}", "<=": "{}幅不超过{}", ">": "{}幅超过{}", ">=": "{}幅达到{}"}
_FAR_EN = {"<": "{} less than {}", "<=": "{} at most {}", ">": "{} more than {}", ">=": "{} at least {}"}
_CHANGES = {"change": Words("增", "up"), "fall": Words("增", "up"), "points_change": Words("升", "up")}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def reduce(node: Expression, values: Mapping[str, int], nulls: Collection[str] = frozenset()) -> bool | Expression:
    """Return the truth of a condition by `values` (in millionths), or the condition that is left of it.

    nulls: names of numbers that are not computable. A value within rounding of a threshold decides nothing, unless it
    is a whole number.
    """
    match node:
        case Comparison(left, sign, number):
            value, line = values.get(left.text), number * _MICRO
            if value is None or (value == round(line) and not _is_whole(left.text)):
                return node
            return _COMPARE[sign](value, line)
        case IsNull(left) if left.text in values:
            return False
        case IsNull(left) if left.text in nulls:
            return True
        case Not(inner):
            truth = reduce(inner, values, nulls)
            return not truth if isinstance(truth, bool) else Not(truth)
        case All(parts) | AnyOf(parts):
            decides = isinstance(node, AnyOf)  # the truth of a part that decides the whole
            truths = [reduce(part, values, nulls) for part in parts]
            if decides in truths:
                return decides
            undecided = tuple(truth for truth in truths if not isinstance(truth, bool))
            if not undecided:
                return not decides
            return undecided[0] if len(undecided) == 1 else type(node)(undecided)
        case _:
            return node


def carrying(node: Expression, values: Mapping[str, int], *, truth: bool = True) -> Iterator[Atom]:
    """Yield the atoms by which a condition has that truth, or may have it; none where `values` decide otherwise."""
    if reduce(node, values) is (not truth):
        return
    match node:
        case Held(inner):
            yield from carrying(inner, values, truth=truth)
        case Not(inner):
            yield from carrying(inner, values, truth=not truth)
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from carrying(part, values, truth=truth)
        case _:
            yield node


def lines(node: Expression | None, values: Mapping[str, int]) -> dict[str, float]:
    """Return the thresholds by which a condition is true, or may be, by name; a number that is asked for is none."""
    return {
        atom.name.text: atom.number
        for atom in (() if node is None else carrying(node, values))
        if isinstance(atom, Comparison) and atom.operator not in ("==", "!=")
    }


def numbers_in(nodes: Iterable[Atom | Expression | None]) -> set[str]:
    """Return the names that conditions read, without events."""
    read = chain.from_iterable(atoms(node) for node in nodes if node is not None)
    return {atom.name.text for atom in read if not isinstance(atom, Seen)}


def thresholds(nodes: Iterable[Expression | None]) -> dict[str, set[float]]:
    """Return all numbers that conditions compare with, by name."""
    found: dict[str, set[float]] = {}
    for atom in chain.from_iterable(atoms(node) for node in nodes if node is not None):
        if isinstance(atom, Comparison):
            found.setdefault(atom.name.text, set()).add(atom.number)
    return found


def condition_text(node: Expression, lang: Lang) -> str:
    """Return a condition in words."""
    zh = lang == "zh"
    match node:
        case Comparison(left, sign, number):
            bound = _bound(left.text, sign, number, lang)
            return f"{name(left.text, 'zh')}{bound}" if zh else f"{_inside(name(left.text, 'en'))} {bound}"
        case Flag(flag):
            return name(flag.text, lang)
        case IsNull(number):
            return f"{name(number.text, 'zh')}不可计算" if zh else f"{_inside(name(number.text, 'en'))} not computable"
        case Seen():
            return _event(node, lang)
        case Not(Seen() as seen):
            return _event(seen, lang, negated=True)
        case Not(Flag() as flag) if zh and condition_text(flag, lang).startswith("已"):
            return condition_text(flag, lang).replace("已", "未", 1)
        case Not(inner):
            return f"并非{condition_text(inner, lang)}" if zh else f"it is not so that {condition_text(inner, lang)}"
        case Held(inner, closes):
            said = condition_text(inner, lang)
            return f"{said}，连续{closes}个日终" if zh else f"{said}, at {closes} day closes in a row"
        case All(parts) | AnyOf(parts):
            join = ("且" if isinstance(node, All) else "或") if zh else (" and " if isinstance(node, All) else " or ")
            return join.join(_part(part, lang) for part in parts)


def _is_whole(number: str) -> bool:
    return number in _WHOLE_DAYS or wordings()[number].kind in _WHOLE


def _part(node: Expression, lang: Lang) -> str:
    said = condition_text(node, lang)
    if not isinstance(node, All | AnyOf | Held):
        return said
    return f"（{said}）" if lang == "zh" else f"({said})"


def _event(seen: Seen, lang: Lang, *, negated: bool = False) -> str:
    event = name(seen.event.text, lang)
    if lang == "zh":
        return f"近{seen.days}日{'无' if negated else '有'}{'不利的' if seen.adverse else ''}{event}"
    return f"{'no ' if negated else ''}{'adverse ' if seen.adverse else ''}{event} within {seen.days} days"


def _bound(number: str, sign: str, line: float, lang: Lang) -> str:
    kind, zh = wordings()[number].kind, lang == "zh"
    if kind == "flag" and sign == "==":
        return value_text(number, line, lang)
    if kind in _CHANGES and sign in _MIRRORED and line:
        down = (line < 0) != (kind == "fall")
        size = line_text(number, line, lang).lstrip("降增升").removeprefix("down ").removeprefix("up ")
        far = sign if line > 0 else _MIRRORED[sign]
        direction = _CHANGES[kind] if not down else Words("降", "down")
        return (_FAR_ZH if zh else _FAR_EN)[far].format(direction.to(lang), size)
    return (_BOUND_ZH if zh else _BOUND_EN)[sign].format(line_text(number, line, lang))


def _inside(text: str) -> str:
    """Return a name as it stands inside a sentence: in lower case, unless it begins with an abbreviation."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
