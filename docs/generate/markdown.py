"""Markdown tables, and templates whose `{{name}}` are replaced by generated text."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_TEMPLATES = Path(__file__).parent
_PLACEHOLDER = re.compile(r"\{\{([a-z_]+)\}\}")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table. Raise ValueError where a row has another number of cells than the head."""
    lines = [_line(head), "|" + "---|" * len(head)]
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"a row of {len(row)} cells under a head of {len(head)}: {row}")
        lines.append(_line(row))
    return "\n".join(lines)


def code(text: str) -> str:
    """Return `text` as inline code; nothing for nothing."""
    return f"`{text}`" if text else ""


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Return the text of a template file with its placeholders replaced. KeyError for one without a part, or unused."""
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    named = set(_PLACEHOLDER.findall(text))
    if odd := sorted(named ^ set(parts)):
        raise KeyError(f"{template}: placeholders and parts differ in {', '.join(odd)}")
    return _PLACEHOLDER.sub(lambda match: parts[match[1]], text)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
