"""The charts of the report on the models."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from domain.outputs import Figure, ModelMetrics, MonthReport, ScoreOutcome
from replay.model_report.report import MonthLine
from replay.svg import Chart

MICRO, MILLI = 1_000_000, 1_000
SHOWN_MAX = 8  # lines of a chart
_UNIT = (0.0, 1.0)
Text = Callable[[str], str]


def of_month(newest: MonthReport, t: Text) -> Iterator[str]:
    """Yield the curves of the newest month's window as SVG."""
    yield from curves([one for one in newest.models if one.window == "12m"], newest.scores, t)


def curves(models: Iterable[ModelMetrics], scores: Sequence[ScoreOutcome], t: Text) -> Iterator[str]:
    """Yield curves as SVG: ROC, KS of the first model, reliability, score by outcome."""
    recent = [one for one in models if one.roc_ppm]
    if not recent:
        yield f"<p>{t('too_few')}</p>"
        return
    yield '<div class="charts">'
    yield _roc(recent, t)
    yield _ks(recent[0], t)
    yield _reliability(recent, t)
    yield _scores(scores, t)
    yield "</div>"


def over_time(months: Sequence[MonthLine], t: Text) -> Iterator[str]:
    """Yield AUC, PSI and weights by month as SVG."""
    auc = {name: _values([month.auc.get(name) for month in months]) for month in months for name in month.auc}
    psi = _named([month.psi_micro for month in months], MICRO)
    in_force = _named([month.psi_in_force_micro for month in months], MICRO)
    weights = _named([month.weights_milli for month in months], MILLI)
    yield '<div class="charts">'
    yield _lines(t("auc_months"), t, auc, len(months), low=0.5, high=1.0)
    yield _lines(t("psi_months"), t, _largest(psi), len(months), low=0.0, high=0.25)
    if any(month.psi_in_force_micro for month in months):
        yield _lines(t("psi_in_force_months"), t, _largest(in_force), len(months), low=0.0, high=0.25)
    yield _lines(t("weights_months"), t, _largest(weights), len(months), low=0.0, high=30.0)
    yield "</div>"


def _roc(recent: Iterable[ModelMetrics], t: Text) -> str:
    chart = Chart(
        title=t("roc"), x_label=t("share_good"), y_label=t("share_bad"), x=_UNIT, y=_UNIT, legend="lower right"
    )
    for colour, one in enumerate(recent):
        auc = "" if one.auc.value_micro is None else f" {one.auc.value_micro / MICRO:.3f}"
        chart.line([(x / MICRO, y / MICRO) for x, y in one.roc_ppm], colour, t(one.model) + auc)
    chart.line([(0, 0), (1, 1)], 8, dashed=True)
    return chart.text()


def _ks(one: ModelMetrics, t: Text) -> str:
    """Return the shares of good and of bad against the share of all examples, riskiest first."""
    ks = "" if one.ks.value_micro is None else f" {one.ks.value_micro / MICRO:.3f}"
    title = f"{t('ks_curve') if one.model == 'champion' else 'KS ' + t(one.model)}{ks}"
    chart = Chart(title=title, x_label=t("share_worst"), y_label=t("share"), x=_UNIT, y=_UNIT, legend="lower right")
    bad_share = one.bad / one.n
    across = [(x * (1 - bad_share) + y * bad_share) / MICRO for x, y in one.roc_ppm]
    for colour, (at, name) in enumerate(((1, "bad"), (0, "good"))):
        chart.line([(x, point[at] / MICRO) for x, point in zip(across, one.roc_ppm, strict=True)], colour, t(name))
    widest = max(range(len(across)), key=lambda i: abs(one.roc_ppm[i][1] - one.roc_ppm[i][0]))
    good, bad = one.roc_ppm[widest]
    chart.line([(across[widest], good / MICRO), (across[widest], bad / MICRO)], 4, dashed=True)
    return chart.text()


def _reliability(recent: Iterable[ModelMetrics], t: Text) -> str:
    span = (0.001, 1.0)
    chart = Chart(
        title=t("reliability"), x_label=t("expected"), y_label=t("observed"), x=span, y=span,
        is_log=True, is_log_y=True,
    )  # fmt: skip
    for colour, one in enumerate(recent):
        points = [
            (each.expected.value_micro / MICRO, each.observed.value_micro / MICRO)
            for each in one.bins
            if each.expected.value_micro and each.observed.value_micro
        ]
        chart.line(points, colour, t(one.model))
    chart.line([(span[0], span[0]), (span[1], span[1])], 8, dashed=True)
    return chart.text()


def _scores(scores: Sequence[ScoreOutcome], t: Text) -> str:
    good, bad = (max(1, sum(getattr(one, kind) for one in scores)) for kind in ("good", "bad"))
    shares = [(one.from_points, one.good / good, one.bad / bad) for one in scores]
    top = max((max(each[1:]) for each in shares), default=0.0) or 1.0
    chart = Chart(title=t("score_by_outcome"), x_label=t("score"), y_label=t("share"), x=(400.0, 700.0), y=(0.0, top))
    for colour, (at, name) in enumerate(((1, "good"), (2, "bad"))):
        steps = [(x, each[at]) for each in shares for x in (each[0], each[0] + 10)]
        chart.line(steps, colour, t(name))
    return chart.text()


def _lines(
    title: str, t: Text, series: Mapping[str, Sequence[float | None]], months: int, low: float, high: float
) -> str:
    """Return lines over the months; the newest is at 0."""
    values = [one for each in series.values() for one in each if one is not None]
    chart = Chart(
        title=title, x_label=t("months_ago"), y_label="", x=(-float(max(1, months - 1)), 0.0),
        y=(min([low, *values]), max([high, *values])), legend="beside",
    )  # fmt: skip
    for colour, (name, each) in enumerate(series.items()):
        points = [(float(i - months + 1), one) for i, one in enumerate(each) if one is not None]
        if len(points) == 1:
            chart.dots(points, colour, t(name))
        elif points:
            chart.line(points, colour, t(name))
    return chart.text()


def _values(figures: Iterable[Figure | None]) -> list[float | None]:
    return [None if one is None or one.value_micro is None else one.value_micro / MICRO for one in figures]


def _named(months: Sequence[Mapping[str, int]], unit: int) -> dict[str, list[float | None]]:
    names = sorted({name for month in months for name in month})
    return {name: [None if name not in month else month[name] / unit for month in months] for name in names}


def _largest(series: Mapping[str, Sequence[float | None]]) -> dict[str, Sequence[float | None]]:
    """Return the series with the largest newest values."""
    newest = {name: next((one for one in reversed(each) if one is not None), 0.0) for name, each in series.items()}
    return {name: series[name] for name in sorted(series, key=lambda name: (-newest[name], name))[:SHOWN_MAX]}
