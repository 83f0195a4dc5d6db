"""Versions as Maven orders them.

Source: Apache Maven, POM reference, "Version Order Specification". Maven 3.9's own program departs from it where a dot
stands before a qualifier and something behind it, and takes an underscore for a letter: there, this keeps to the
specification.
"""

import re
from functools import total_ordering
from itertools import zip_longest

_TOKEN = re.compile(r"([.\-_]?)(\d+|[^\d.\-_]*)")
_RELEASE = ("", "final", "ga", "release")
_QUALIFIERS = ("alpha", "beta", "milestone", "rc", "snapshot", "", "sp")  # ascending; any other one follows, by name
_SHORT = {"a": "alpha", "b": "beta", "m": "milestone"}  # before a digit
_QUALIFIER, _AFTER_HYPHEN, _AFTER_DOT = range(3)  # ascending, where two tokens are not of one kind
Token = tuple[
    int, int, str
]  # kind; the number, or the qualifier's place; the qualifier's name, where it is none of ours
_NULL: dict[int, Token] = {_QUALIFIER: (_QUALIFIER, _QUALIFIERS.index(""), "")} | {
    kind: (kind, 0, "") for kind in (_AFTER_HYPHEN, _AFTER_DOT)
}


@total_ordering
class MavenVersion:
    """A version of a Maven artifact; any text is one. 1.0, 1 and 1-final are equal."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = _trimmed(_tokens(text.lower()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MavenVersion) and not self < other and not other < self

    def __lt__(self, other: "MavenVersion") -> bool:
        for one, two in zip_longest(self._tokens, other._tokens):
            left, right = one or _NULL[two[0]], two or _NULL[one[0]]
            if left != right:
                return left < right
        return False

    def __hash__(self) -> int:
        return hash(tuple(self._tokens))

    def __str__(self) -> str:
        return self.text


def _tokens(text: str) -> list[Token]:
    """Split at dots, hyphens, underscores, and where digits begin or end, which counts as a hyphen."""
    found = []
    parts = [(mark, word) for mark, word in _TOKEN.findall(text) if mark or word]
    for i, (mark, word) in enumerate(parts):
        if not word or word.isdigit():
            found.append((_AFTER_DOT if mark == "." or not i else _AFTER_HYPHEN, int(word or 0), ""))
            continue
        if word in _SHORT and i + 1 < len(parts) and not parts[i + 1][0] and parts[i + 1][1].isdigit():
            word = _SHORT[word]
        word = "rc" if word == "cr" else "" if word in _RELEASE else word
        known = word in _QUALIFIERS
        found.append((_QUALIFIER, _QUALIFIERS.index(word) if known else len(_QUALIFIERS), "" if known else word))
    return found


def _trimmed(tokens: list[Token]) -> list[Token]:
    """Remove what says nothing, as .0 and -final, from the end and before each hyphen; .qualifier is as -qualifier."""
    kept: list[Token] = []
    for token in tokens:
        if token[0] != _AFTER_DOT:
            _drop_nulls(kept)
        kept.append(token)
    _drop_nulls(kept)
    return kept


def _drop_nulls(tokens: list[Token]) -> None:
    while tokens and tokens[-1] == _NULL[tokens[-1][0]]:
        tokens.pop()
