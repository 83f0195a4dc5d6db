"""Passwords, keys and biometrics that must not be in an event, found by the names of fields and by PEM blocks."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

_PEM = "-----BEGIN"
_NOT_A_LETTER_NOR_QUOTE = re.compile(r'[^\w"]+')
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_NAME = re.compile(r'"([^"\\]{1,256}+)"\s*+:')


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden:
    """Names of fields that hold a secret: `names` as a whole, `parts` anywhere in the name; both folded (`fold`).

    `harmless`: usual names, as they are written, that hold none and need not be searched.
    """

    names: frozenset[str]
    parts: tuple[str, ...]
    harmless: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: Iterable[str], parts: Iterable[str], usual: Iterable[str] = ()) -> "Forbidden":
        """Return the set made of names as people write them, and of those that most records have (`usual`)."""
        found = cls(names=frozenset(map(fold, names)), parts=tuple(map(fold, parts)))
        return replace(found, harmless=frozenset(name for name in usual if not found.names_secret(name)))

    def names_secret(self, name: str) -> bool:
        """Return whether a field of this name would hold a secret.

        >>> forbidden = Forbidden.of(["pin"], ["password"])
        >>> [forbidden.names_secret(name) for name in ("PIN", "loginPassword", "pinned")]
        [True, True, False]
        """
        folded = fold(name)
        return folded in self.names or any(part in folded for part in self.parts)

    def find(self, value: Any) -> str | None:
        """Return the path of the first secret in a parsed JSON value; None where there is none."""
        names: set[str] = set()
        return self._path(value, "") if _gather(value, names) or self._name_secret(names) else None

    def seen_in(self, message: bytes, *, is_searched: bool = False) -> bool:
        """Return whether bytes, which need not be JSON, look as if they held a secret. Such a payload is not stored.

        is_searched: it is JSON, and `find` finds none in it. Without escapes the names in its bytes are then those that
        `find` has seen, and only a PEM block can be where `find` does not search: in a name.
        """
        if is_searched and b"\\" not in message:
            return _PEM.encode() in message
        text = message.decode("utf-8", "replace")
        if "\\u" in text:
            text = _ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), text)
        return _PEM in text or self._name_secret(set(_NAME.findall(text)))

    def seen_in_headers(self, headers: Iterable[tuple[str, bytes | None]]) -> bool:
        """Return whether a header's name says that it holds a secret, or its value looks as if it did."""
        names, values = set(), []
        for name, value in headers:
            names.add(name)
            values.append(value or b"")
        return self._name_secret(names) or self.seen_in(b"\n".join(values))

    def _name_secret(self, names: set[str]) -> bool:
        """Return whether any of the names holds a secret.

        They are folded at once, with quotes between: there may be thousands.
        """
        names = names - self.harmless
        if not names:
            return False
        folded = _fold_quoted('"'.join(name.replace('"', "") for name in names))
        return any(part in folded for part in self.parts) or not self.names.isdisjoint(folded.split('"'))

    def _path(self, value: Any, path: str) -> str | None:
        if isinstance(value, str):
            return path if _PEM in value else None
        if isinstance(value, dict):
            for name, inner in value.items():
                below = f"{path}.{name[:64]}" if path else name[:64]
                if name not in self.harmless and self.names_secret(name):
                    return below
                if (found := self._path(inner, below)) is not None:
                    return found
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                if (found := self._path(inner, f"{path}[{i}]")) is not None:
                    return found
        return None


def _gather(value: Any, names: set[str]) -> bool:
    """Add the names of all fields in a parsed value; return whether a text in it holds a PEM block."""
    if isinstance(value, dict):
        names.update(value)
        value = value.values()
    elif not isinstance(value, list):
        value = (value,)
    found = False
    for inner in value:
        if isinstance(inner, str):
            found |= _PEM in inner
        elif isinstance(inner, dict | list):
            found |= _gather(inner, names)
    return found


def fold(name: str) -> str:
    """Return a name without case and separators: `Private-Key`, `private_key` and `privateKey` are the same."""
    return _fold_quoted(name.replace('"', ""))


def _fold_quoted(text: str) -> str:
    """Return names with quotes between them folded; the quotes stay."""
    return _NOT_A_LETTER_NOR_QUOTE.sub("", text).replace("_", "").casefold()
