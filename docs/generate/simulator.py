"""`docs/simulator.md`: the parameters of the simulated province, what they mean, and how hard it is."""

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from docs.generate.markdown import fill
from docs.generate.markdown import table as markdown_table
from replay.province.parameters import JUDGED, Row, rows
from replay.province.population import Population

HARDNESS = Path(__file__).resolve().parents[2] / "benchmarks/results/hardness.json"
_RANKS = {
    "lightgbm_365": "LightGBM, 12 months",
    "stumps_365": "boosted stumps, 12 months",
    "lightgbm_95": "LightGBM, 95 days",
    "stumps_95": "boosted stumps, 95 days",
    "score": "the score, 95 days",
}


def page() -> str:
    """Return the page."""
    population = Population()
    return fill(
        "simulator.md.in",
        {
            "hardness": hardness(),
            "hidden": f"{_hidden(population):.0%}",
            "parameters": parameters(population),
            "columns": columns(population),
        },
    )


def _hidden(population: Population) -> float:
    """Return the share of failures that show little or nothing before."""
    weights = {row.name: row.fails for row in population.scenarios}
    return (weights["fraud"] + weights["sudden_stop"]) / sum(weights.values())


def hardness() -> str:
    """Return the table of measured worlds."""
    if not HARDNESS.exists():
        return "Not measured on this version."
    worlds = json.loads(HARDNESS.read_text(encoding="utf-8"))["worlds"]
    lines = [
        ("enterprises, borrowers", *(f"{world['enterprises']:,}, {world['borrowers']:,}" for world in worlds)),
        ("over 30 days past due, of these", *(f"{world['bad']:,}" for world in worlds)),
        ("of a hundred borrowers a year", *(_interval(world["bad_rate_year"], 100, 1) for world in worlds)),
        *((f"AUC: {title}", *(_interval(world[rank], 1, 3) for world in worlds)) for rank, title in _RANKS.items()),
    ]
    return markdown_table(("", *(f"seed {world['seed']}, `{world['parameters']}`" for world in worlds)), lines)


def _interval(figure: dict[str, float] | None, scale: int, digits: int) -> str:
    if figure is None:
        return ""
    value, low, high = (f"{figure[name] * scale:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def parameters(population: Population) -> str:
    """Return the parameters as a table; a table's rows stand in one line of it each."""
    found = ["| parameter | default | unit | meaning | source |", "|---|---|---|---|---|"]
    for name, some in groupby(rows(population), key=_heading):
        found += [_line(name, list(some))]
    return "\n".join(found)


def _heading(row: Row) -> str:
    """Return the heading of a row of a table: the table's name and the column, so that equal columns stand together."""
    parts = row.name.split(".")
    return row.name if len(parts) == 1 else f"{parts[0]}.{parts[1]}"


def _line(name: str, some: Sequence[Row]) -> str:
    if len(some) == 1 and "." not in some[0].name:
        of = some[0].of
        return f"| `{name}` | {_value(some[0].value)} | {of.unit} | {of.text} | {of.source} |"
    values = ", ".join(f"{row.name.rsplit('.', 1)[1]} {_value(row.value)}" for row in some)
    sources = sorted({row.of.source for row in some} - {JUDGED})
    return f"| `{name}` | {values} | | | {'; '.join([*sources, JUDGED])} |"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return " … ".join(_value(one) for one in value) if len(value) < 4 else " ".join(_value(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else f"{value:,}"


def columns(population: Population) -> str:
    """Return the meaning of the tables' columns, a line each."""
    found = ["| column | unit | meaning | source |", "|---|---|---|---|"]
    seen = set()
    for row in rows(population):
        parts = row.name.split(".")
        column = f"{parts[0]}.*.{parts[-1]}"
        if len(parts) > 1 and column not in seen:
            seen.add(column)
            found.append(f"| `{column}` | {row.of.unit} | {row.of.text} | {row.of.source} |")
    return "\n".join(found)
