"""The data sets that are judged: their source, the vectors that they need, and the figures that follow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from config.settings import LearnSettings
from replay import berka as berka_source
from replay import cumcm2020c as cumcm_source
from replay.backtest.datasets import Noting
from replay.evaluation import berka, cumcm2020c, run
from replay.evaluation.outcomes import Outcomes
from replay.evaluation.recording import Recorded, compared
from replay.evaluation.report import AsKnown, Evaluation, Judged
from replay.evaluation.vectors import Asked, Vectors
from replay.log_file import LogFile
from replay.source_log import Made
from replay.sources import Source, SourceError

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A data set that was opened. source: it notes each enterprise's last transaction as it is read."""

    name: str
    noting: Noting
    loans: list[berka_source.Lent] = field(default_factory=list)
    bad: Mapping[str, bool] = field(default_factory=dict)

    @property
    def source(self) -> Source:
        """Return the source that is sent."""
        return cast(Source, self.noting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """An evaluation, and files beside it by name."""

    evaluation: Evaluation
    files: dict[str, bytes] = field(default_factory=dict)


def open_data_set(name: str, directory: Path) -> DataSet:
    """Return a data set. Raise SourceError by file, line and column where its labels are wrong."""
    if name == "berka":
        accounts = berka_source.Accounts(directory)
        return DataSet(name=name, noting=Noting(accounts), loans=accounts.loans())
    return DataSet(name=name, noting=Noting(cumcm_source.Invoices(directory)), bad=cumcm_source.defaults(directory))


def demand_all_accepted(made: Made) -> None:
    """Raise SourceError where the log of a data set lacks a delivery."""
    if made.refused:
        raise SourceError(f"{made.refused.total()} deliveries were refused, first {made.shown[0]}")


def evaluate(
    data_set: DataSet,
    log: LogFile,
    live: Recorded | None,
    say: Say,
    settings: LearnSettings,
    processes: int | None = None,
) -> Figures:
    """Return the figures of a data set's log. live: what the engine said of it on Kafka and Redis, where it did."""
    if data_set.loans:
        return _berka(data_set, log, live, say, settings, processes)
    asked = cumcm2020c.asked_for(data_set.bad, data_set.noting.last)
    vectors, records = _replayed(log, asked, live, say, processes)
    views = list(cumcm2020c.views(data_set.bad, data_set.noting.last, vectors))
    judged = cumcm2020c.figures(views, say)
    outcomes = {"read": len(data_set.bad), "bad": sum(data_set.bad.values())}
    return Figures(evaluation=_evaluation(data_set, log, records, live, vectors, outcomes, judged))


def _berka(
    data_set: DataSet, log: LogFile, live: Recorded | None, say: Say, settings: LearnSettings, processes: int | None
) -> Figures:
    loans = data_set.loans
    vectors, records = _replayed(log, berka.ASKED, live, say, processes)
    judged, predictions = berka.split(loans, vectors, say)
    seen = berka.examples_of(loans, vectors, lambda one: one.known)
    known = berka.as_known(log, loans, settings, seen, say)
    with_status = np.array([bool(one.status) for one in loans])
    outcomes = {"read": len(loans), "with_status": int(with_status.sum()), "bad": int(seen["bad"][with_status].sum())}
    found = _evaluation(data_set, log, records, live, vectors, outcomes, [judged], known)
    return Figures(evaluation=found, files={} if predictions is None else {berka.PREDICTIONS: predictions})


def _replayed(
    log: LogFile, asked: Asked, live: Recorded | None, say: Say, processes: int | None
) -> tuple[Vectors, int]:
    return run.replayed(log, asked, say, compared=live is not None, as_recorded=live is not None, processes=processes)


def _evaluation(
    data_set: DataSet,
    log: LogFile,
    records: int,
    live: Recorded | None,
    vectors: Vectors,
    outcomes: dict[str, int],
    judged: list[Judged],
    as_known: AsKnown | None = None,
) -> Evaluation:
    same = None if live is None else compared(live, vectors.sums)
    return run.evaluation(data_set.name, log, records, same, Outcomes(), judged, outcomes=outcomes, as_known=as_known)
