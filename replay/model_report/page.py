"""The report on the models as one page that opens offline: tables and charts, without a script."""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.resources import files

from config.catalogue import indicators
from domain.outputs import Figure, ModelMetrics, MonthReport
from replay.model_report import charts
from replay.model_report.report import Report, disposed_text, month_text, psi_text
from replay.model_report.words import WORDS

MICRO, MILLI = 1_000_000, 1_000
POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # the page loads nothing and runs nothing
_STYLE = ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:12px}svg{max-width:100%}"
_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>xinliu {title}</title>
<style>{style}</style>
</head>
<body>
<header><strong>xinliu 信流</strong><h1>{title}</h1></header>
<main>
{main}
</main>
</body>
</html>
"""
Cells = Sequence[str]


def html(report: Report, *, chinese: bool) -> bytes:
    """Return the page as UTF-8. The same report gives the same bytes."""
    return _Page(chinese).whole(report)


def document(title: str, sections: Iterable[str], *, chinese: bool) -> bytes:
    """Return a page as UTF-8, whose sections are HTML."""
    style = files("replay.backtest").joinpath("page.css").read_text(encoding="utf-8")
    return _PAGE.format(
        language="zh-CN" if chinese else "en",
        policy=POLICY,
        title=escape(title),
        style=style + _STYLE,
        main="\n".join(sections),
    ).encode()


def _fraction(micro: int) -> str:
    return f"{micro / MICRO:.4f}"


def _percent(micro: int) -> str:
    return f"{100 * micro / MICRO:.2f}%"


class _Page:
    def __init__(self, chinese: bool) -> None:
        self._at = 0 if chinese else 1

    def t(self, key: str) -> str:
        """Return a word of the page, or the name of an indicator."""
        if key in WORDS:
            return WORDS[key][self._at]
        known = None if self._at else indicators().get(key)
        return key if known is None else known.name_zh

    def whole(self, report: Report) -> bytes:
        newest = report.newest
        sections = [f"<section>{escape(self.t('nothing'))}</section>"] if newest is None else self._sections(report)
        title = self.t("title") + ("" if newest is None else f" {month_text(newest.month)}")
        return document(title, sections, chinese=self._at == 0)

    def _sections(self, report: Report) -> list[str]:
        newest = report.newest
        assert newest is not None
        return [
            self._drift(newest),
            self._metrics(newest),
            self._differences(newest),
            self._section("curves", charts.of_month(newest, self.t)),
            self._grades(newest),
            self._section("over_time", charts.over_time(report.months, self.t)),
            self._indicators(newest),
            *self._populations(report),
            self._versions(report),
            f'<section class="say">{escape(self.t("boundary"))}</section>',
        ]

    def _drift(self, newest: MonthReport) -> str:
        called = self.t("drift_called") + "; ".join(newest.drift) + self.t("stop")
        said = called if newest.drift else self.t("drift_none")
        labels = ", ".join(f"{self.t(kind)} {count:,}" for kind, count in newest.labels.items())
        if newest.dispositions:
            labels += f" · {self.t('dispositions')}: {disposed_text(newest, self.t)}"
        if newest.moved:
            said += f" {self.t('moved')}{', '.join(map(self.t, newest.moved))}{self.t('stop')}"
        tone = "verdict none" if newest.drift or newest.moved else "verdict"
        return f'<section class="{tone}">{escape(said)} {escape(self.t("labels"))}: {escape(labels)}</section>'

    def _metrics(self, newest: MonthReport) -> str:
        heads = ["model", "window", "n", "bad", "silent", "AUC", "KS", "Gini", "log_loss", "Brier"]
        return self._section("metrics", [table(map(self.t, heads), map(self._line, newest.models))], "about_metrics")

    def _line(self, one: ModelMetrics) -> Cells:
        figures = (one.auc, one.ks, one.gini, one.log_loss, one.brier)
        counts = (f"{one.n:,}", f"{one.bad:,}", f"{one.silent:,}")
        return escape(self.t(one.model)), escape(self.t(one.window)), *counts, *map(_figure, figures)

    def _differences(self, newest: MonthReport) -> str:
        rows = (
            (escape(self.t(one.model)), f"{one.n:,}", f"{one.bad:,}", _figure(one.auc), _figure(one.log_loss))
            for one in newest.differences
        )
        heads = map(self.t, ("model", "n", "bad", "AUC", "log_loss"))
        return self._section("differences", [table(heads, rows)], "about_differences")

    def _grades(self, newest: MonthReport) -> str:
        rows = (
            (one.grade, f"{one.n:,}", f"{one.bad:,}", _figure(one.expected, _percent), _figure(one.observed, _percent))
            for one in newest.grades
        )
        return self._section("grades", [table(map(self.t, ("grade", "n", "bad", "expected", "observed")), rows)])

    def _indicators(self, newest: MonthReport) -> str:
        psi, in_force = newest.psi_micro, newest.psi_in_force_micro
        names = sorted(
            {*psi, *in_force, *newest.weights_milli}, key=lambda one: -max(psi.get(one, -1), in_force.get(one, -1))
        )
        rows = []
        for name in names:
            weight = newest.weights_milli.get(name)
            rows.append(
                (
                    escape(self.t(name)),
                    psi_text(psi.get(name)),
                    psi_text(in_force.get(name)),
                    "–" if weight is None else f"{weight / MILLI:.1f}",
                )
            )
        return self._section("psi", [table(map(self.t, ("indicator", "psi_champion", "psi_in_force", "weight")), rows)])

    def _populations(self, report: Report) -> list[str]:
        if report.populations is None:
            return []
        rows = (
            (
                escape(self.t(one.population)),
                f"{one.enterprises:,}",
                psi_text(one.psi_micro),
            )
            for one in report.populations
        )
        heads = map(self.t, ("population", "enterprises", "PSI"))
        return [self._section("populations", [table(heads, rows)], "about_populations")]

    def _versions(self, report: Report) -> str:
        rows = (
            (
                escape(self.t("prior") if one.prior else one.model_id[:12]),
                f"{one.months[0]} – {one.months[-1]}" if len(one.months) > 1 else one.months[0],
                *("–" if value is None else f"{value:,}" for value in (one.labels, one.bad)),
                one.trained_until or "–",
            )
            for one in report.models
        )
        heads = map(self.t, ("model", "tested_in", "labels", "bad", "trained_until"))
        return self._section("versions", [table(heads, rows)])

    def _section(self, title: str, parts: Iterable[str], about: str = "") -> str:
        said = f'<p class="say">{escape(self.t(about))}</p>' if about else ""
        return f"<section><h2>{escape(self.t(title))}</h2>{said}{''.join(parts)}</section>"


def table(heads: Iterable[str], rows: Iterable[Cells]) -> str:
    """Return a table; cells are HTML."""
    top = "".join(f"<th{' class=n' if i else ''}>{escape(head)}</th>" for i, head in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{' class=n' if i else ''}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(one: Figure, show: Callable[[int], str] = _fraction) -> str:
    if one.value_micro is None:
        return "–"
    if one.low_micro is None or one.high_micro is None:
        return show(one.value_micro)
    return f"{show(one.value_micro)}<small>({show(one.low_micro)} – {show(one.high_micro)})</small>"
