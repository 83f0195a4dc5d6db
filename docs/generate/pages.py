"""Which documents are generated, and by what."""

from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generate import indicators, scoring, signals

ROOT = Path(__file__).resolve().parents[2]
_PAGES: Mapping[str, Callable[[], str]] = {
    "docs/indicators.md": indicators.page,
    "docs/scoring.md": scoring.page,
    "docs/signals.md": signals.page,
}


def documents() -> dict[str, str]:
    """Return the text of every generated document by its path from the root of the repository."""
    return {path: page() for path, page in _PAGES.items()}
