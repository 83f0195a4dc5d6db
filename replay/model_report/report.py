"""The report on the models, out of the months that `model.report.v1` holds and the snapshots of `model.v1`. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from detectors.learning.drift import psi_of_counts
from detectors.prior import prior_id
from detectors.snapshot import Reference, Snapshot
from domain.calendar import date_of
from domain.outputs import Figure, MonthReport
from replay.model_report.words import WORDS


class MonthLine(msgspec.Struct, frozen=True, kw_only=True):
    """One month of learning, for what is shown over time."""

    month: str  # YYYY-MM
    model_id: str  # of the champion that was tested
    labels: dict[str, int]
    weights_milli: dict[str, int]
    psi_micro: dict[str, int]
    psi_in_force_micro: dict[str, int]
    auc: dict[str, Figure]  # by model, over the last twelve months
    log_loss: dict[str, Figure]
    concept_drift: bool
    drift: tuple[str, ...]


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was the champion, and what it was trained on."""

    model_id: str
    months: tuple[str, ...]  # in which it was tested
    labels: int | None = None  # None: its snapshot is not there
    bad: int | None = None
    trained_until: str | None = None
    prior: bool | None = None
    intercept_micro: int | None = None
    slope_micro: int | None = None


class PopulationLine(msgspec.Struct, frozen=True, kw_only=True):
    """How far the newest scores of some enterprises are from the scores of the population that a model learned from."""

    population: str  # borrowers, others
    enterprises: int
    psi_micro: int | None  # None where there are no enterprises


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The newest month whole, and all months as lines. Nothing that is not in the months is concluded.

    populations: against the population of the model in force; None where the archive was not asked.
    """

    newest: MonthReport | None  # None: no month has been learned yet
    months: tuple[MonthLine, ...]
    models: tuple[ModelLine, ...]
    populations: tuple[PopulationLine, ...] | None = None


def population_lines(counts: Mapping[str, Sequence[int]], reference: Reference) -> tuple[PopulationLine, ...]:
    """Return a line for each population. `counts`: its enterprises by bin of the score; every enterprise has one."""
    return tuple(
        PopulationLine(
            population=name,
            enterprises=sum(bins),
            psi_micro=psi_of_counts(bins, 0, reference) if any(bins) else None,
        )
        for name, bins in counts.items()
    )


def build(
    months: Iterable[MonthReport],
    snapshots: Mapping[str, Snapshot] | None = None,
    populations: tuple[PopulationLine, ...] | None = None,
) -> Report:
    """Return the report. Of several records of a month the last one counts: a restart says a month again."""
    by_month = {one.month: one for one in months}
    ordered = [by_month[month] for month in sorted(by_month)]
    return Report(
        newest=ordered[-1] if ordered else None,
        months=tuple(map(_line, ordered)),
        models=tuple(_models(ordered, snapshots or {})),
        populations=populations,
    )


def summary(report: Report, *, chinese: bool) -> Iterator[str]:
    """Yield the newest month as lines of a terminal: a model a line, over the last twelve months."""
    newest, at = report.newest, 0 if chinese else 1
    if newest is None:
        yield WORDS["nothing"][at]
        return
    labels = ", ".join(f"{WORDS.get(kind, (kind, kind))[at]} {count:,}" for kind, count in newest.labels.items())
    yield f"{month_text(newest.month)}  {WORDS['labels'][at]}: {labels}"
    if newest.dispositions:
        yield f"{WORDS['dispositions'][at]}: {disposed_text(newest, lambda name: WORDS[name][at])}"
    yield f"{'':<12} {'AUC':>7} {'KS':>7} {'log loss':>9} {'Brier':>8} {'n':>10} {'bad':>8}"
    for one in newest.models:
        if one.window == "12m":
            figures = [
                "–" if each.value_micro is None else f"{each.value_micro / 1_000_000:.4f}"
                for each in (one.auc, one.ks, one.log_loss, one.brier)
            ]
            auc, ks, loss, brier = figures
            yield f"{one.model:<12} {auc:>7} {ks:>7} {loss:>9} {brier:>8} {one.n:>10,} {one.bad:>8,}"
    for line in report.populations or ():
        psi = psi_text(line.psi_micro)
        yield f"{WORDS['psi_scores'][at]}, {WORDS[line.population][at]} ({line.enterprises:,}): {psi}"
    if newest.moved:
        yield WORDS["moved"][at] + ", ".join(newest.moved)
    yield WORDS["drift_called"][at] + "; ".join(newest.drift) if newest.drift else WORDS["drift_none"][at]


def disposed_text(newest: MonthReport, word: Callable[[str], str]) -> str:
    """Return what desks had said of the month's observations, by label. word: returns one of WORDS in a language."""
    return "; ".join(
        f"{word(said)} " + ", ".join(f"{word(kind)} {count:,}" for kind, count in kinds.items())
        for said, kinds in newest.dispositions.items()
    )


def psi_text(micro: int | None) -> str:
    """Return a PSI, given in millionths, as it is read; a dash for none.

    >>> psi_text(250_400)
    '0.250'
    """
    return "–" if micro is None else f"{micro / 1_000_000:.3f}"


def month_text(month: int) -> str:
    """Return a month, counted from January 1970, as YYYY-MM.

    >>> month_text(647)
    '2023-12'
    """
    return f"{1970 + month // 12}-{month % 12 + 1:02d}"


def _line(one: MonthReport) -> MonthLine:
    recent = [metrics for metrics in one.models if metrics.window == "12m"]
    return MonthLine(
        month=month_text(one.month),
        model_id=one.model_id,
        labels=one.labels,
        weights_milli=one.weights_milli,
        psi_micro=one.psi_micro,
        psi_in_force_micro=one.psi_in_force_micro,
        auc={metrics.model: metrics.auc for metrics in recent},
        log_loss={metrics.model: metrics.log_loss for metrics in recent},
        concept_drift=one.concept_drift,
        drift=one.drift,
    )


def _models(months: Sequence[MonthReport], snapshots: Mapping[str, Snapshot]) -> Iterable[ModelLine]:
    tested: dict[str, list[str]] = {}
    for one in months:
        tested.setdefault(one.model_id, []).append(month_text(one.month))
    for model_id, its in tested.items():
        known = snapshots.get(model_id)
        if known is None:
            yield ModelLine(model_id=model_id, months=tuple(its), prior=True if model_id == prior_id() else None)
            continue
        until = known.trained_until_day
        yield ModelLine(
            model_id=model_id,
            months=tuple(its),
            labels=known.trained_labels_count,
            bad=known.trained_bad_count,
            trained_until=None if until is None else str(date_of(until)),
            prior=known.prior,
            intercept_micro=known.intercept_micro,
            slope_micro=known.slope_micro,
        )
