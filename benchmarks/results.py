"""Results of a benchmark: one JSON document, written by the run itself, and an exit code."""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from streams.score.version import engine_version

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "results"
HISTORY = FOLDER / "history.jsonl"  # a line a run
_OF_A_RUN = ("benchmark", "measured", "commit", "engine_version", "machine", "bounds", "missed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A bound of a figure. `least` and `most` are both included; None: no bound."""

    least: float | None = None
    most: float | None = None

    def holds(self, figure: float | None) -> bool:
        """Return whether a figure keeps the bound; a missing figure does not."""
        if figure is None:
            return False
        return (self.least is None or figure >= self.least) and (self.most is None or figure <= self.most)


def arguments(description: str | None, argv: list[str]) -> argparse.Namespace:
    """Return the options of every benchmark: `--scale`, `--result`."""
    parser = argparse.ArgumentParser(prog="make bench", description=description)
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the size: to see that it runs (default: 1)")
    parser.add_argument("--result", type=Path, help="where to write (default at full size: benchmarks/results)")
    return parser.parse_args(argv)


def report(
    name: str,
    args: argparse.Namespace,
    figures: Mapping[str, Any],
    bounds: Mapping[str, Bound],
    **more: Any,
) -> int:
    """Write the document; return 1 where a bound is missed or the tree differs from its commit.

    A run at another scale than 1 is no measurement, and is written to `--result` only. A measurement of a committed
    tree is also appended to HISTORY.
    """
    missed = [key for key, bound in bounds.items() if not bound.holds(figures.get(key))]
    document = {
        "benchmark": name,
        "measured": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}",
        "commit": machine.commit(ROOT),
        "dirty": machine.is_dirty(ROOT),
        "engine_version": engine_version(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "scale": args.scale,
        **more,
        "bounds": {key: _text(bound) for key, bound in bounds.items()},
        "missed": missed,
        **figures,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    path = args.result or (FOLDER / f"{name}.json" if args.scale == 1.0 else None)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if path.parent == FOLDER and not document["dirty"]:
            remember(document)
    print(text)
    if document["dirty"]:
        print("the tree differs from its commit: these figures are of no version", file=sys.stderr)
    for key in missed:
        print(f"missed: {key} = {figures.get(key)}, should be {_text(bounds[key])}", file=sys.stderr)
    return 1 if missed or document["dirty"] else 0


def remember(document: Mapping[str, Any]) -> None:
    """Append a run's identity and its scalar figures to HISTORY, from which the tables of README.md are made."""
    named = {key: document[key] for key in _OF_A_RUN}
    figures = {
        key: value
        for key, value in document.items()
        if key not in {*_OF_A_RUN, "dirty", "scale"} and isinstance(value, int | float | str)
    }
    with HISTORY.open("a", encoding="utf-8") as history:
        history.write(json.dumps({**named, **figures}, ensure_ascii=False) + "\n")
    print("`make docs` brings it into benchmarks/README.md", file=sys.stderr)


def _text(bound: Bound) -> str:
    parts = [f"{sign} {edge:g}" for sign, edge in ((">=", bound.least), ("<=", bound.most)) if edge is not None]
    return " and ".join(parts)
