"""`python -m benchmarks.simulator_doc`: writes the tables of docs/simulator.md, and its plots.

The plots set a simulated province beside published figures. They need the extra `evaluate`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.results import ROOT
from domain.calendar import month_of_day
from replay.province.layout import DEFAULT, FACT, IS_CREDIT, NEVER, OPEN, OWN_IN, OWN_OUT, SALE, SALE_PLATFORM
from replay.province.parameters import JUDGED, Row, rows
from replay.province.population import Population
from replay.province.simulation import Simulation

DOCUMENT, IMAGES = ROOT / "docs/simulator.md", ROOT / "docs/images"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
ENTERPRISES, SEED = 4_000, 20_260_101
MONTHS_BEFORE = 18
BUFFER_QUARTILES = (13.0, 27.0, 62.0)  # JPMorgan Chase Institute (2016)
TRANSACTIONS_A_MONTH = 470e6 / 597_000 / 9  # the same: all transactions of nine months over all businesses
LOAN_YUAN = 0.54e6  # PBoC, Q1 2024
Floats = npt.NDArray[np.float64]


def table(population: Population) -> str:
    """The parameters as a table of Markdown; a table's rows stand in one line of it each."""
    found = ["| parameter | default | unit | meaning | source |", "|---|---|---|---|---|"]
    for name, some in groupby(rows(population), key=_heading):
        found += [_line(name, list(some))]
    return "\n".join(found) + "\n"


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


def meanings(population: Population) -> str:
    """Return the meaning of the tables' columns, a line each."""
    found = ["| column | unit | meaning | source |", "|---|---|---|---|"]
    seen = set()
    for row in rows(population):
        parts = row.name.split(".")
        column = f"{parts[0]}.*.{parts[-1]}"
        if len(parts) > 1 and column not in seen:
            seen.add(column)
            found.append(f"| `{column}` | {row.of.unit} | {row.of.text} | {row.of.source} |")
    return "\n".join(found) + "\n"


@dataclass(frozen=True, slots=True)
class Distributions:
    """The values behind the plots. Shapes: enterprises, or enterprises by months (monthly sales, all postings)."""

    buffer_days: Floats
    transactions: Floats
    sales: Floats
    base: Floats
    principal: Floats
    default_month: npt.NDArray[np.int64]  # index of the month; NEVER: none
    borrows: npt.NDArray[np.bool_]
    industry: npt.NDArray[np.int64]


def survey(population: Population) -> Distributions:
    """Go through a province."""
    simulation = Simulation(population)
    w, n = simulation.state, population.enterprises
    start, end = population.start_day, population.end_day
    months = population.months
    first = month_of_day(start)
    firm, yuan = w.accounts["firm"], w.accounts["dollars"] == 0
    held, out, count = np.zeros(n), np.zeros(n), np.zeros((n, months))
    sales = np.zeros((n, months))
    default = np.full(n, NEVER, np.int64)
    for today in simulation.days():
        at = month_of_day(today.day) - first
        for fact in today.facts[today.facts["event"] == DEFAULT] if len(today.facts) else np.zeros(0, FACT):
            number = w.loans["firm"][fact["loan"]]
            default[number] = min(default[number], at)
        if not start <= today.day < end:
            continue
        moves = today.moves[yuan[today.moves["account"]]]
        owner, kind, amount = firm[moves["account"]], moves["kind"], moves["amount"] / 100
        count[:, at] += np.bincount(owner, minlength=n)
        outside = ~IS_CREDIT[kind] & (kind != OWN_OUT)
        out += np.bincount(owner[outside], amount[outside], n)
        sold = (kind >= SALE) & (kind <= SALE_PLATFORM) & (kind != OWN_IN)
        sales[:, at] += np.bincount(owner[sold], amount[sold], n)
        held += np.bincount(firm[yuan], w.accounts["balance"][yuan] / 100.0, n)
    loans = w.loans[w.loans["state"] == OPEN]
    return Distributions(
        buffer_days=held / np.maximum(out, 1.0),
        transactions=count.mean(axis=1),
        sales=sales,
        base=w.firms["base"] / 100,
        principal=loans["principal"] / 100,
        default_month=default,
        borrows=w.firms["borrows"] > 0,
        industry=w.firms["industry"].astype(np.int64),
    )


def plots(found: Distributions, population: Population) -> None:
    """Write the images."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "simulator", "font.size": 8, "figure.dpi": 72, "svg.fonttype": "none"})
    _buffer(found)
    _activity(found)
    _loans(found)
    _before_default(found)
    _seasons(found, population)


def _figure(name: str, title: str, x: str, y: str) -> tuple[Any, Any, Path]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes, IMAGES / f"simulator-{name}.svg"


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})


def _ranked(axes: Any, values: Floats, label: str) -> None:
    """Shares of enterprises below a value, at a hundred points."""
    shares = np.linspace(0.005, 0.995, 100)
    axes.plot(np.quantile(values, shares), shares, label=label)


def _buffer(found: Distributions) -> None:
    figure, axes, path = _figure("buffer", "Cash buffer", "days of outflow that the mean balance covers", "share below")
    _ranked(axes, found.buffer_days, "simulated")
    axes.plot(BUFFER_QUARTILES, (0.25, 0.5, 0.75), "o", label="JPMorgan Chase Institute (2016)")
    axes.set_xscale("log")
    axes.legend()
    _save(figure, path)


def _activity(found: Distributions) -> None:
    figure, axes, path = _figure("activity", "Activity", "transactions a month", "share below")
    _ranked(axes, found.transactions, "simulated")
    axes.axvline(float(found.transactions.mean()), linestyle=":", label="simulated mean")
    axes.axvline(TRANSACTIONS_A_MONTH, color="C1", label="mean of JPMorgan Chase Institute (2016)")
    axes.set_xscale("log")
    axes.legend()
    _save(figure, path)


def _loans(found: Distributions) -> None:
    figure, axes, path = _figure("loans", "Loans", "principal, yuan", "share below")
    _ranked(axes, found.principal, "simulated")
    axes.axvline(float(found.principal.mean()), linestyle=":", label="simulated mean")
    axes.axvline(LOAN_YUAN, color="C1", label="mean of a borrower, PBoC (2024)")
    axes.set_xscale("log")
    axes.legend()
    _save(figure, path)


def _before_default(found: Distributions) -> None:
    """Sales of the months before a default against the mean of the months before those, and of the others."""
    figure, axes, path = _figure(
        "before-default",
        "Sales before a default",
        "months before the default",
        "sales against the usual, median and quartiles",
    )
    relative = found.sales / np.maximum(np.median(found.sales, axis=1, keepdims=True), 1.0)
    who = np.flatnonzero((found.default_month >= MONTHS_BEFORE) & (found.default_month < found.sales.shape[1]))
    back = np.arange(MONTHS_BEFORE, -1, -1)
    some = np.array([found.sales[each, found.default_month[each] - back] / max(found.base[each], 1.0) for each in who])
    if len(some):
        low, middle, high = np.quantile(some, (0.25, 0.5, 0.75), axis=0)
        axes.plot(-back, middle, label="defaulting")
        axes.fill_between(-back, low, high, alpha=0.2)
    sound = relative[found.default_month >= NEVER]
    low, middle, high = np.quantile(sound[:, -MONTHS_BEFORE - 1 :], (0.25, 0.5, 0.75), axis=0)
    axes.plot(-back, middle, color="C2", label="not defaulting (calendar months)")
    axes.fill_between(-back, low, high, color="C2", alpha=0.15)
    axes.axvline(-12, linestyle=":", color="C1", label="abnormal from here: Norden and Weber (2010)")
    axes.legend(fontsize=6)
    _save(figure, path)


def _seasons(found: Distributions, population: Population) -> None:
    figure, axes, path = _figure("seasons", "Seasons", "month of the log", "sales against the mean month")
    for i, industry in enumerate(population.industries):
        if industry.name in "CEFH":
            total = found.sales[found.industry == i].sum(axis=0)
            axes.plot(np.arange(1, len(total) + 1), total / total.mean(), label=industry.name)
    axes.legend(ncols=4, fontsize=6)
    _save(figure, path)


def main(argv: Sequence[str]) -> int:
    """Write the tables, and the plots unless told not to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulator_doc", description=__doc__)
    parser.add_argument("--tables-only", action="store_true", help="leave the plots as they are")
    args = parser.parse_args(argv)
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(with_tables(text), encoding="utf-8")
    if not args.tables_only:
        population = Population(seed=SEED, enterprises=ENTERPRISES)
        plots(survey(population), population)
    return 0


def with_tables(text: str) -> str:
    """The document with the tables of the defaults between its marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    population = Population()
    return f"{head}{BEGIN}\n\n{table(population)}\n{meanings(population)}\n{END}{tail}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
