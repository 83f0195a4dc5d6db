"""Text from outside, made safe to look at: characters that a terminal obeys or a reader cannot see are escaped."""

_SEEN_SPACES = " \u3000"  # the ideographic space is common in Chinese names


def printable(text: str) -> str:
    """`text` with control, bidirectional, invisible and unassigned characters as \\uXXXX escapes, on one line.

    The escapes are those of JSON (a pair of surrogates beyond U+FFFF): a JSON document stays the same document, since
    such characters stand in its strings only.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in _SEEN_SPACES else _escape(one) for one in text)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
