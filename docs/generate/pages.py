"""The generated documents and their generators."""

from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generate import benchmarks, calendar, indicators, schemas, scoring, signals, simulator, sizing, topics

ROOT = Path(__file__).resolve().parents[2]
_PAGES: Mapping[str, Callable[[], str]] = {
    "benchmarks/HISTORY.md": benchmarks.history,
    "benchmarks/README.md": benchmarks.readme,
    "config/spring_festival.csv": calendar.spring_festival,
    "config/workdays.csv": calendar.workdays,
    "docs/asyncapi.json": schemas.asyncapi,
    "docs/indicators.md": indicators.page,
    "docs/scoring.md": scoring.page,
    "docs/signals.md": signals.page,
    "docs/simulator.md": simulator.page,
    "docs/sizing.md": sizing.page,
    "docs/topics.md": topics.english,
    "docs/topics.zh-CN.md": topics.chinese,
}


def documents() -> dict[str, str]:
    """Return the text of every generated file by its path from the root of the repository."""
    return {path: page() for path, page in _PAGES.items()} | schemas.schema_files()
