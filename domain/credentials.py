"""Passwords, keys and biometrics that do not belong in an event: found by the names of fields, and by PEM blocks."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_PEM = "-----BEGIN"
_NOT_A_LETTER = re.compile(r"[\W_]+")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_NAME = re.compile(r'"([^"\\]{1,256}+)"\s*+:')


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden:
    """Names of fields that hold a secret: `names` as a whole, `parts` anywhere in the name; both folded (`fold`)."""

    names: frozenset[str]
    parts: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str], parts: Iterable[str]) -> "Forbidden":
        """From names as people write them."""
        return cls(names=frozenset(map(fold, names)), parts=tuple(map(fold, parts)))

    def names_secret(self, name: str) -> bool:
        """True where a field of this name would hold a secret.

        >>> forbidden = Forbidden.of(["pin"], ["password"])
        >>> [forbidden.names_secret(name) for name in ("PIN", "loginPassword", "pinned")]
        [True, True, False]
        """
        folded = fold(name)
        return folded in self.names or any(part in folded for part in self.parts)

    def find(self, value: Any, path: str = "") -> str | None:
        """The path of the first secret in a parsed JSON value; None where there is none."""
        if isinstance(value, str):
            return path if _PEM in value else None
        if isinstance(value, dict):
            for name, inner in value.items():
                below = f"{path}.{name[:64]}" if path else name[:64]
                if self.names_secret(name):
                    return below
                if (found := self.find(inner, below)) is not None:
                    return found
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                if (found := self.find(inner, f"{path}[{i}]")) is not None:
                    return found
        return None

    def seen_in(self, message: bytes) -> bool:
        """True where bytes that need not be JSON look as if they held a secret: such a payload is not stored."""
        text = _ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), message.decode("utf-8", "replace"))
        return _PEM in text or any(self.names_secret(found.group(1)) for found in _NAME.finditer(text))


def fold(name: str) -> str:
    """A name without case and separators: `Private-Key`, `private_key` and `privateKey` are the same."""
    return _NOT_A_LETTER.sub("", name).casefold()
