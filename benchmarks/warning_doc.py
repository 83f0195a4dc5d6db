"""docs/warning.md, from its template and benchmarks/results: `python -m benchmarks.warning_doc`.

warning.json           the newest run on simulated provinces
warning_baseline.json  an earlier one, kept by hand, that it is set beside (`ARGS="--result FILE"` writes one)
warning_data.json      the newest run on the data sets
"""

import json
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from replay.backtest.translations import POLICIES

ROOT = Path(__file__).resolve().parent.parent
RESULTS, DOC = ROOT / "benchmarks/results", ROOT / "docs/warning.md"
TEMPLATE = Path(__file__).with_name("warning.md.in")
BUDGETS = (6, 12, 24, 50)
_NO_BASELINE = "This is the baseline: nothing stands beside it yet."


def write() -> None:
    """Write the document, if provinces have been judged."""
    newest, baseline, data = map(_read, ("warning", "warning_baseline", "warning_data"))
    if newest is None and baseline is None:
        print(f"{DOC} is written once provinces have been judged", file=sys.stderr)
    else:
        DOC.write_text(text(newest, baseline, data), encoding="utf-8")


def text(newest: dict[str, Any] | None, baseline: dict[str, Any] | None, data: dict[str, Any] | None) -> str:
    """Return the document of results, or of the baseline without a newest run. Raise FileNotFoundError without both."""
    document = newest or baseline
    if document is None:
        raise FileNotFoundError(f"{RESULTS}: neither warning.json nor warning_baseline.json is there")
    parts = {
        "measured": _measured(document),
        "before": _NO_BASELINE if newest is None or baseline is None else _before(newest, baseline),
        "data": "They have not been judged yet." if data is None else _data(data),
        "worlds": _table(("", *_names(document)), _worlds(document)),
        "load": _table(("", *_names(document)), _load(document)),
        "cases": _table(("", *_names(document)), _cases(document)),
        "budgets": _budgets(document),
        "separation": _table(("rank, horizon", *_names(document)), _separation(document)),
        "scenarios": _table(("scenario", *_names(document)), _scenarios(document)),
        "signals": _table(("signal", *_names(document)), _signals(document)),
        "seconds": _table(("step", *_names(document)), _seconds(document)),
    }
    found = TEMPLATE.read_text(encoding="utf-8")
    for name, part in parts.items():
        found = found.replace(f"<!-- {name} -->", part)
    return found


def _read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return found


def _before(newest: dict[str, Any], baseline: dict[str, Any]) -> str:
    """Return the load on desks and its worth, before and now, of the worlds that both runs have."""
    pairs = [
        (old, new)
        for new in newest["worlds"]
        for old in baseline["worlds"]
        if old["judged_on"] == new["judged_on"] and old["counts"]["records"] == new["counts"]["records"]
    ]
    if not pairs:
        return "No world of this run is one of the baseline's: of another size, or the simulator has changed since."
    before, now = ({"worlds": list(worlds)} for worlds in zip(*pairs, strict=True))
    runs = " ".join(
        f"{when}: engine {one['engine_version']} at {one['commit']}, {one['measured'][:10]}, {one['machine']}."
        for when, one in (("Before", baseline), ("Now", newest))
    )
    tables = [((f"before → now, {head}", *_names(now)), make) for head, make in (("desks", _load), ("cases", _cases))]
    tables += [(_budget_heads(now, budget), partial(_budget, budget=budget)) for budget in BUDGETS]
    return "\n\n".join((runs, *(_table(heads, _both(make(before), make(now))) for heads, make in tables)))


def _both(before: list[tuple[str, ...]], now: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the rows of two tables as one, joined by their first cell."""
    earlier = {name: cells for name, *cells in before}
    none = ["–"] * (len(now[0]) - 1) if now else []
    return [
        (name, *(f"{old} → {new}" for old, new in zip(earlier.get(name, none), cells, strict=True)))
        for name, *cells in now
    ]


def _data(document: dict[str, Any]) -> str:
    """Return the data sets' part, with the same tables as the provinces."""
    counted = _rows(
        document,
        ("enterprises", lambda w: f"{w['counts']['borrowers']:,}"),
        ("of them bad, by their labels", lambda w: f"{w['counts']['bad']:,}"),
    )
    measured = f"Measured {document['measured'][:10]} at {document['commit']} on {document['machine']}: engine "
    parts = [
        f"{measured}{document['engine_version']}.",
        _table(("", *_names(document)), [*counted, *_load(document), *_cases(document)]),
        _budgets(document),
        _table(("rank, horizon", *_names(document)), _separation(document)),
        _table(("signal", *_names(document)), _signals(document)),
    ]
    for world in document["worlds"]:
        if world["silent"]:
            lacks = "; ".join(f"{signal} (`{'`, `'.join(needs)}`)" for signal, needs in world["silent"])
            parts.append(f"Signals never computable on {world['name']}, with the indicators that they lack: {lacks}.")
        if world["quiet"]:
            parts.append(f"Signals computable on {world['name']} without any alert: {', '.join(world['quiet'])}.")
    return "\n\n".join(parts)


def _policy(name: str) -> str:
    return POLICIES.get(name, {}).get("en", name)


def _at_budget(world: dict[str, Any], policy: str, budget: int) -> str:
    one = next((w for w in world["budgets"] if (w["policy"], w["budget"]) == (policy, budget)), None)
    return "–" if one is None else f"{_share(one['warned']['60'], False)} / {_share(one['precision']['183'], False)}"


def _names(document: dict[str, Any]) -> list[str]:
    return [world["name"] for world in document["worlds"]]


def _measured(document: dict[str, Any]) -> str:
    return (
        f"Measured {document['measured'][:10]} at {document['commit']} on {document['machine']}: engine "
        f"{document['engine_version']}, {document['judging_s'] // 60} min {document['judging_s'] % 60} s for all of it "
        "with the logs at hand."
    )


def _rows(document: dict[str, Any], *rows: tuple[str, Any]) -> list[tuple[str, ...]]:
    return [(name, *(cell(world) for world in document["worlds"])) for name, cell in rows]


def _worlds(document: dict[str, Any]) -> list[tuple[str, ...]]:
    return _rows(
        document,
        ("seed, parameters", lambda w: f"{w['judged_on']['seed']}, `{w['judged_on']['parameters']}`"),
        ("judged days", lambda w: f"{w['parameters']['judged_first']} – {w['parameters']['judged_last']}"),
        ("enterprises / borrowers", lambda w: f"{w['counts']['enterprises']:,} / {w['counts']['borrowers']:,}"),
        (
            "first arrears over 30 days",
            lambda w: f"{w['counts']['bad']:,}, {_share(w['counts']['bad_rate_year'])} a year",
        ),
        ("of them defaulted", lambda w: f"{w['counts']['defaulted']:,}"),
        ("bad at the start, left out", lambda w: f"{w['counts']['bad_at_start']:,}"),
        ("AUC of LightGBM at 12 months", lambda w: _auc(w, "lightgbm_365", 365)),
        ("a result", lambda w: "yes" if w["is_result"] else "no"),
    )


def _load(document: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for number, level in enumerate(("orange and red", "yellow")):

        def of(name: str, number: int = number) -> Any:
            return lambda w: _number(w["load"][number][name])

        rows += _rows(
            document,
            (f"{level}, of 1,000 borrowers a month", of("per_1000_borrowers")),
            (f"{level}, of 1,000 enterprises a month", of("per_1000_enterprises")),
            (f"{level}, a bank and week: mean / most", lambda w, n=number: _week(w["load"][n]["bank_week"])),
            (
                f"borrowers with an open case, {level} or higher",
                lambda w, n=number: _share(w["load"][n]["standing_share"]),
            ),
        )
    return rows


def _cases(document: dict[str, Any]) -> list[tuple[str, ...]]:
    def of(cell: Any) -> Any:
        return lambda w: cell(w["cases"][0])

    return _rows(
        document,
        *(
            (f"warned ≥ {days} days before", of(lambda c, d=days: _share(c["warned"][str(d)])))
            for days in (30, 60, 90, 180)
        ),
        ("lead, quartiles in days (–: none)", of(lambda c: _lead(c["lead"]))),
        ("right within 6 months", of(lambda c: _share(c["precision"]["183"]))),
        ("right within 12 months", of(lambda c: _share(c["precision"]["365"]))),
    )


def _budgets(document: dict[str, Any]) -> str:
    return "\n\n".join(_table(_budget_heads(document, one), _budget(document, one)) for one in BUDGETS)


def _budget_heads(document: dict[str, Any], budget: int) -> tuple[str, ...]:
    return (f"{budget} new cases of 1,000 borrowers a month", *_names(document))


def _budget(document: dict[str, Any], budget: int) -> list[tuple[str, ...]]:
    policies = dict.fromkeys(one["policy"] for world in document["worlds"] for one in world["budgets"])
    return [(_policy(one), *(_at_budget(world, one, budget) for world in document["worlds"])) for one in policies]


def _separation(document: dict[str, Any]) -> list[tuple[str, ...]]:
    ranks = list(dict.fromkeys((o["rank"], o["horizon_days"]) for w in document["worlds"] for o in w["separation"]))
    return [
        (
            f"{_policy(rank)}, {horizon} days",
            *(_auc(w, rank, horizon) for w in document["worlds"]),
        )
        for rank, horizon in ranks
    ]


def _scenarios(document: dict[str, Any]) -> list[tuple[str, ...]]:
    names = sorted({group["group"] for world in document["worlds"] for group in world["groups"]})

    def cell(world: dict[str, Any], name: str) -> str:
        one = next((group for group in world["groups"] if group["group"] == name), None)
        if one is None:
            return "–"
        return f"{_number(one['per_1000_borrowers'], False)} / {one['bad']} / {_share(one['warned_60'], False)}"

    return [(name, *(cell(world, name) for world in document["worlds"])) for name in names]


def _signals(document: dict[str, Any]) -> list[tuple[str, ...]]:
    names = sorted({one["signal"] for world in document["worlds"] for one in world["signals"]})

    def cell(world: dict[str, Any], name: str) -> str:
        one = next((each for each in world["signals"] if each["signal"] == name), None)
        if one is None or "adds" not in one:  # a run of before: its signals were not judged by the claim
            return "–"
        cases, lost, adds = one["fewer_cases"], one["lost_warnings"], one["adds"]
        return f"{_number(cases, False)} / {_share(lost, False)} / {_share(adds)}"

    return [(name, *(cell(world, name) for world in document["worlds"])) for name in names]


def _seconds(document: dict[str, Any]) -> list[tuple[str, ...]]:
    steps = list(dict.fromkeys(step for world in document["worlds"] for step in world["seconds"]))
    return [(step, *(f"{w['seconds'].get(step, 0):,} s" for w in document["worlds"])) for step in steps]


def _auc(world: dict[str, Any], rank: str, horizon: int) -> str:
    one = next((o for o in world["separation"] if (o["rank"], o["horizon_days"]) == (rank, horizon)), None)
    return "–" if one is None else _number(one["auc"], digits=3)


def _week(week: dict[str, Any]) -> str:
    return "–" if week["mean"] is None else f"{week['mean']:.3g} / {week['most']}"


def _lead(lead: dict[str, Any]) -> str:
    values = (lead[name]["value"] for name in ("lower_quartile", "median", "upper_quartile"))
    return " / ".join("–" if value is None else f"{value:.0f}" for value in values)


def _number(figure: dict[str, Any], interval: bool = True, digits: int = 1) -> str:
    if figure["value"] is None:
        return "–"
    between = (
        f" ({figure['low']:.{digits}f}–{figure['high']:.{digits}f})" if interval and figure["low"] is not None else ""
    )
    return f"{figure['value']:.{digits}f}{between}"


def _share(figure: dict[str, Any], interval: bool = True) -> str:
    if figure["value"] is None:
        return "–"
    low, high = figure["low"], figure["high"]
    digits = 1 if abs(figure["value"]) < 0.1 else 0
    between = f" ({100 * low:.{digits}f}–{100 * high:.{digits}f})" if interval and low is not None else ""
    return f"{100 * figure['value']:.{digits}f}%{between}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    write()
    sys.exit(0)
