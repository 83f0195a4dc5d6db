"""Parameters as annotated fields of frozen dataclasses: bounds, meaning and source of each stand beside its default.

One table serves validation, the TOML reader and the table in docs/simulator.md. A parameter without a published
source is marked JUDGED.
"""

import dataclasses
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

JUDGED = "judged"

T = TypeVar("T")


class ParameterError(ValueError):
    """A parameter cannot be; the message names it."""


@dataclass(frozen=True, slots=True)
class Of:
    """The meaning of a parameter: bounds (both included; of a tuple, for each item), text, unit and source."""

    least: float
    most: float
    text: str
    unit: str = ""
    source: str = JUDGED


@dataclass(frozen=True, slots=True)
class Row:
    """A parameter as the documentation shows it."""

    name: str
    value: Any
    of: Of


def specifications(kind: type) -> dict[str, Of]:
    """The annotated fields of a dataclass and what they mean."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = {}
    for field in dataclasses.fields(kind):
        for extra in getattr(hints[field.name], "__metadata__", ()):
            if isinstance(extra, Of):
                found[field.name] = extra
    return found


def check(one: Any, where: str = "") -> None:
    """ParameterError for the first field that is no number within its bounds; `where` stands before its name."""
    for name, of in specifications(type(one)).items():
        value = getattr(one, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, bool) or not isinstance(item, int | float) or not of.least <= item <= of.most:
                raise ParameterError(f"{where}{name} = {value!r}: not {of.least:g} to {of.most:g}")


def rows(one: Any, prefix: str = "") -> Iterator[Row]:
    """The parameters of a dataclass, those of its named parts behind them."""
    for name, of in specifications(type(one)).items():
        yield Row(f"{prefix}{name}", getattr(one, name), of)
    for name, part in _parts(one):
        yield from rows(part, f"{prefix}{name}.")


def read_toml(path: Path, default: T) -> T:
    """`default` with the keys of a TOML file in place of its own. ParameterError names file and key.

    A part of a dataclass that is itself a tuple of named parts is a table of tables: `[scenarios.fraud]`.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: {error}") from error
    return changed(default, document, f"{path}: ")


def changed(default: T, document: Mapping[str, Any], where: str = "") -> T:
    """`default` with other values; ParameterError names the key."""
    kinds = typing.get_type_hints(type(default))
    values: dict[str, Any] = {}
    for key, given in document.items():
        if key not in kinds:
            raise ParameterError(f"{where}{key}: no such key; there are {', '.join(kinds)}")
        before = getattr(default, key)
        if _is_table(before):
            values[key] = _changed_parts(before, given, f"{where}{key}")
        else:
            values[key] = _converted(kinds[key], before, given, f"{where}{key}")
    try:
        return dataclasses.replace(default, **values)  # type: ignore[type-var]
    except ParameterError as error:
        raise ParameterError(f"{where}{error}") from error


def _changed_parts(parts: tuple[Any, ...], given: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(given, Mapping):
        raise ParameterError(f"{where} = {given!r}: not a table of tables")
    names = [part.name for part in parts]
    if unknown := set(given) - set(names):
        raise ParameterError(f"{where}.{min(unknown)}: no such table; there are {', '.join(names)}")
    found = []
    for part in parts:
        own = given.get(part.name, {})
        if not isinstance(own, Mapping):
            raise ParameterError(f"{where}.{part.name} = {own!r}: not a table")
        found.append(changed(part, own, f"{where}.{part.name}."))
    return tuple(found)


def _converted(kind: Any, before: Any, given: Any, where: str) -> Any:
    """A value of a TOML file as a field's type has it: an integer stands for a float, a list for a tuple."""
    if isinstance(before, tuple):
        if not isinstance(given, list) or len(given) != len(before):
            raise ParameterError(f"{where} = {given!r}: not a list of {len(before)}")
        (item, *_) = typing.get_args(kind)
        return tuple(_converted(item, None, one, f"{where}[{i}]") for i, one in enumerate(given))
    if kind is float and type(given) is int:
        return float(given)
    if type(given) is not kind or kind is str:
        wanted = {int: "a whole number", float: "a number", date: "a date"}
        raise ParameterError(f"{where} = {given!r}: not {wanted.get(kind, 'to be changed')}")
    return given


def _is_table(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and hasattr(value[0], "name")


def _parts(one: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(one):
        value = getattr(one, field.name)
        if _is_table(value):
            for part in value:
                yield f"{field.name}.{part.name}", part
