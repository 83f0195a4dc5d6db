"""`docs/indicators.md`: the catalogue of indicators, with the terms in which its formulas are written."""

import csv
from collections.abc import Iterable
from pathlib import Path

from cli.inspect import GROUPS
from config.wordings import wordings
from detectors.wording.phrases import REASONS
from docs.generate.markdown import code, fill, table
from domain import outputs
from features.indicators import CORE, INDICATORS
from features.indicators.nulls import NULL_NAMES

_CONFIG = Path(__file__).resolve().parents[2] / "config"
_HEAD = ("id", "name", "formula", "window", "unit", "update", "state", "null when", "riskier", "tier", "computed")
_RISKIER = {"higher_is_riskier": "higher", "lower_is_riskier": "lower", "u_shaped": "both ends", "context": ""}

CALENDAR_ADR = "docs/adr/0015-a-provisional-calendar.md"

Row = dict[str, str]


def rows(name: str) -> list[Row]:
    """Return the rows of a table of `config/`."""
    return list(csv.DictReader((_CONFIG / name).read_text(encoding="utf-8").splitlines()))


def calendar_adr() -> str:
    """Return the link to the decision on business days of years that are not published."""
    path = Path(CALENDAR_ADR)
    return f"[ADR {int(path.name[:4])}](adr/{path.name})"


def page() -> str:
    """Return the page."""
    catalogue = rows("indicators.csv")
    core = [row for row in catalogue if row["tier"] == "core"]
    return fill(
        "indicators.md.in",
        {
            "total": str(len(catalogue)),
            "computed": str(len(INDICATORS)),
            "core": str(len(core)),
            "core_computed": str(len(CORE)),
            "calendar_adr": calendar_adr(),
            "counts": _counts(catalogue),
            "nulls": table(
                ("reason", "meaning", "中文"),
                ((code(name), REASONS[name].en, REASONS[name].zh) for name in NULL_NAMES if name),
            ),
            "groups": "\n\n".join(_group(group, catalogue) for group in outputs.GROUPS),
        },
    )


def _counts(catalogue: Iterable[Row]) -> str:
    """Return indicators by group: all, core, computed."""
    lines = []
    for group in outputs.GROUPS:
        of_group = [row for row in catalogue if row["group"] == group]
        core = sum(row["tier"] == "core" for row in of_group)
        computed = sum(row["id"] in INDICATORS for row in of_group)
        lines.append((code(group), GROUPS[group][0], str(len(of_group)), str(core), str(computed)))
    return table(("group", "中文", "indicators", "core", "computed"), lines)


def _group(group: str, catalogue: Iterable[Row]) -> str:
    chinese, english = GROUPS[group]
    lines = [_line(row) for row in catalogue if row["group"] == group]
    return f"## {group}: {english} {chinese}\n\n{table(_HEAD, lines)}"


def _unit(row: Row) -> str:
    """Return the unit, with the kind of number as which sentences say a ratio."""
    kind = wordings()[row["id"]].kind
    return row["unit"] if kind == row["unit"] else f"{row['unit']}: {kind}"


def _line(row: Row) -> tuple[str, ...]:
    return (
        code(row["id"]),
        f"{row['name_en']} {row['name_zh']}",
        code(row["formula"]),
        row["window"],
        _unit(row),
        row["update"],
        row["state"],
        row["null_when"],
        _RISKIER[row["risk_direction"]],
        row["tier"],
        "yes" if row["id"] in INDICATORS else "",
    )
