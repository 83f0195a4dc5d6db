"""Parameters as annotated fields of frozen dataclasses: bounds, meaning and source beside each default.

One table serves validation, the TOML reader and the table in docs/simulator.md. A parameter without a published source
is marked JUDGED.
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
    """A parameter is not valid; the message has its name."""


@dataclass(frozen=True, slots=True)
class Of:
    """Annotation of a parameter: bounds (both included; of a tuple, for each item), meaning, unit and source."""

    least: float
    most: float
    text: str
    unit: str = ""
    source: str = JUDGED


@dataclass(frozen=True, slots=True)
class Row:
    """A parameter as in the documentation."""

    name: str
    value: Any
    of: Of


def specifications(kind: type) -> dict[str, Of]:
    """Return the annotations of a dataclass's fields, by name."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = {}
    for field in dataclasses.fields(kind):
        for extra in getattr(hints[field.name], "__metadata__", ()):
            if isinstance(extra, Of):
                found[field.name] = extra
    return found


def check(one: Any, where: str = "") -> None:
    """Raise ParameterError for the first field that is no number within its bounds; `where`: prefix of its name."""
    for name, of in specifications(type(one)).items():
        value = getattr(one, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, bool) or not isinstance(item, int | float) or not of.least <= item <= of.most:
                raise ParameterError(f"{where}{name} = {value!r}: not {of.least:.10g} to {of.most:.10g}")


def rows(one: Any, prefix: str = "") -> Iterator[Row]:
    """Yield the parameters of a dataclass, then those of its named parts."""
    for name, of in specifications(type(one)).items():
        yield Row(f"{prefix}{name}", getattr(one, name), of)
    for name, part in _parts(one):
        yield from rows(part, f"{prefix}{name}.")


def read_toml(path: Path, default: T) -> T:
    """Return `default` with the values of a TOML file. Raise ParameterError with file and key where one is wrong.

    A tuple of named parts is a table of tables: `[scenarios.fraud]`.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: {error}") from error
    return changed(default, document, f"{path}: ")


def changed(default: T, document: Mapping[str, Any], where: str = "") -> T:
    """Return `default` with other values. Raise ParameterError with the key where one is wrong."""
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
    """Return a TOML value as the field's type: an integer as a float, a list as a tuple."""
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
