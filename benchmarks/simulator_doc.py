"""`python -m benchmarks.simulator_doc`: draws the charts of docs/simulator.md, a province beside published figures."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.results import ROOT
from domain.calendar import month_of_day
from replay.province.layout import DEFAULT, FACT, IS_CREDIT, NEVER, OPEN, OWN_IN, OWN_OUT, SALE, SALE_PLATFORM, SOUND
from replay.province.population import Population
from replay.province.simulation import Simulation
from replay.svg import Chart

IMAGES = ROOT / "docs/images"
ENTERPRISES, SEED = 4_000, 20_260_101
MONTHS_BEFORE = 18
BUFFER_QUARTILES = (14.0, 27.0, 61.0)  # JPMorgan Chase Institute (2016): two weeks, 27 days, two months
TRANSACTIONS_A_MONTH = 470e6 / 597_000 / 9  # the same: all transactions of nine months over all businesses
LOAN_YUAN = 0.54e6  # PBoC, Q1 2024
# Quantiles of real credits: sales invoices of 68 sound enterprises that are in business throughout 2018 and 2019 (CUMCM
# 2020, problem C), and the last year before their loans of 352 accounts, most of them of households (PKDD'99, Berka).
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
VARIATION = {"CUMCM 2020 C, invoices": (0.38, 0.53, 0.90, 1.14, 1.41), "PKDD'99 Berka": (0.17, 0.17, 0.23, 0.81, 1.13)}
AGAINST_SIX = {"CUMCM 2020 C, invoices": (0.0, 0.43, 0.92, 1.54, 2.68), "PKDD'99 Berka": (0.18, 0.84, 0.92, 1.27, 1.8)}
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Distributions:
    """The values behind the charts. Shapes: enterprises, or enterprises by months (sales)."""

    buffer_days: Floats
    transactions: Floats
    sales: Floats
    base: Floats
    principal: Floats
    default_month: npt.NDArray[np.int64]  # index of the month; NEVER: none
    industry: npt.NDArray[np.int64]
    is_sound: npt.NDArray[np.bool_]


def distributions(population: Population) -> Distributions:
    """Return the distributions of a simulated province."""
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
        industry=w.firms["industry"].astype(np.int64),
        is_sound=w.firms["scenario"] == SOUND,
    )


def plots(found: Distributions, population: Population) -> dict[str, Chart]:
    """Return the charts by name."""
    return {
        "buffer": _buffer(found),
        "activity": _activity(found),
        "loans": _loans(found),
        "before-default": _before_default(found),
        "noise": _noise(found),
        "months": _months(found),
        "seasons": _seasons(found, population),
    }


def _ranked(values: Floats) -> list[tuple[float, float]]:
    """Return (value, share of enterprises below it) at a hundred points."""
    shares = np.linspace(0.005, 0.995, 100)
    return list(zip(np.quantile(values, shares).tolist(), shares.tolist(), strict=True))


def _share_below(title: str, x_label: str, x: tuple[float, float]) -> Chart:
    return Chart(title=title, x_label=x_label, y_label="share below", x=x, y=(0.0, 1.0), is_log=True)


def _buffer(found: Distributions) -> Chart:
    chart = _share_below("Cash buffer", "days of outflow that the mean balance covers", (1.0, 1000.0))
    chart.line(_ranked(found.buffer_days), 0, "simulated")
    chart.dots(zip(BUFFER_QUARTILES, (0.25, 0.5, 0.75), strict=True), 1, "JPMorgan Chase Institute (2016)")
    return chart


def _activity(found: Distributions) -> Chart:
    chart = _share_below("Activity", "transactions a month", (1.0, 1000.0))
    chart.line(_ranked(found.transactions), 0, "simulated")
    chart.upright(float(found.transactions.mean()), 0, "simulated mean", dashed=True)
    chart.upright(TRANSACTIONS_A_MONTH, 1, "mean of JPMorgan Chase Institute (2016)")
    return chart


def _loans(found: Distributions) -> Chart:
    chart = _share_below("Loans", "principal, yuan", (1e4, 5e7))
    chart.line(_ranked(found.principal), 0, "simulated")
    chart.upright(float(found.principal.mean()), 0, "simulated mean", dashed=True)
    chart.upright(LOAN_YUAN, 1, "mean of a borrower, PBoC (2024)")
    return chart


def _before_default(found: Distributions) -> Chart:
    """Return the chart of sales before a default against the usual ones, beside those of other enterprises."""
    chart = Chart(
        title="Sales before a default", x_label="months before the default", y_label="sales against the usual",
        x=(-float(MONTHS_BEFORE), 0.0), y=(0.0, 2.0),
    )  # fmt: skip
    back = np.arange(MONTHS_BEFORE, -1, -1)
    who = np.flatnonzero((found.default_month >= MONTHS_BEFORE) & (found.default_month < found.sales.shape[1]))
    some = np.array([found.sales[each, found.default_month[each] - back] / max(found.base[each], 1.0) for each in who])
    relative = found.sales / np.maximum(np.median(found.sales, axis=1, keepdims=True), 1.0)
    sound = relative[found.default_month >= NEVER][:, -MONTHS_BEFORE - 1 :]
    for values, colour, label in ((some, 0, "defaulting"), (sound, 2, "not defaulting (calendar months)")):
        low, middle, high = (
            list(zip((-back).tolist(), row.tolist(), strict=True))
            for row in np.quantile(values, (0.25, 0.5, 0.75), axis=0)
        )
        chart.band(low, high, colour)
        chart.line(middle, colour, f"{label}, median and quartiles")
    chart.upright(-12.0, 1, "abnormal from here: Norden and Weber (2010)", dashed=True)
    return chart


def _noise(found: Distributions) -> Chart:
    """Return the chart of the variation of an enterprise's monthly sales, beside real ones."""
    sales = found.sales[found.is_sound]
    simulated = sales.std(axis=1) / np.maximum(sales.mean(axis=1), 1.0)
    return _beside("Noise of sound enterprises", "standard deviation of monthly sales over mean", simulated, VARIATION)


def _months(found: Distributions) -> Chart:
    """Return the chart of monthly sales against the mean of the six months before, beside real ones."""
    sales = found.sales[found.is_sound]
    before = np.stack([sales[:, i - 6 : i].mean(axis=1) for i in range(6, sales.shape[1])], axis=1)
    ratio = (sales[:, 6:] / np.maximum(before, 1.0))[before > 0.0]
    return _beside(
        "Months of sound enterprises", "sales of a month against the mean of the six before", ratio, AGAINST_SIX
    )


def _beside(title: str, x_label: str, simulated: Floats, real: Mapping[str, Sequence[float]]) -> Chart:
    chart = Chart(title=title, x_label=x_label, y_label="share below", x=(0.0, 3.0), y=(0.0, 1.0))
    chart.line(_ranked(simulated), 0, "simulated, payments")
    for colour, (label, values) in enumerate(real.items(), 1):
        chart.dots(zip(values, QUANTILES, strict=True), colour, label)
    return chart


def _seasons(found: Distributions, population: Population) -> Chart:
    chart = Chart(
        title="Seasons", x_label="month of the log", y_label="sales against the mean month",
        x=(1.0, float(population.months)), y=(0.0, 2.0),
    )  # fmt: skip
    for colour, name in enumerate("CEFH"):
        (section,) = (i for i, row in enumerate(population.industries) if row.name == name)
        total = found.sales[found.industry == section].sum(axis=0)
        chart.line(zip(range(1, len(total) + 1), (total / total.mean()).tolist(), strict=True), colour, name)
    return chart


def main(argv: Sequence[str]) -> int:
    """Draw the charts."""
    argparse.ArgumentParser(prog="python -m benchmarks.simulator_doc", description=__doc__).parse_args(argv)
    population = Population(seed=SEED, enterprises=ENTERPRISES)
    for name, chart in plots(distributions(population), population).items():
        (IMAGES / f"simulator-{name}.svg").write_text(chart.text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
