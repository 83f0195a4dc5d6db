"""One evaluation: from a log and its outcomes to the figures.

An id of the list that is a loan's is judged by the vector at its grant; an enterprise's by its vectors just before the
date, and 90 days before that. Each set of vectors is a view, judged by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from config.settings import LearnSettings
from detectors.learning.examples import EXAMPLE, Examples
from domain.calendar import date_of
from features.indicators import CORE, INDICATOR_COUNT, INDICATORS
from replay import in_process
from replay.evaluation.folds import judge
from replay.evaluation.models import RECENCY, ablations, grouped, models
from replay.evaluation.outcomes import Outcome, Outcomes
from replay.evaluation.report import AsKnown, Compared, Evaluation, Judged, counts_of
from replay.evaluation.vectors import COMPARED, Asked, VectorCollector, Vectors, masked, of_close, of_grant
from replay.log_file import LogFile
from streams.score.version import engine_version

LAGS = {"last_day": 0, "days_90": 90}  # days before the date of an enterprise's outcome
STALE_DAYS_MAX = 32  # a backfill says indicators on a month's last day alone
GRANT = "grant"
Say = Callable[[str], None]


@dataclass(slots=True)
class View:
    """The labelled vectors of one kind. ids: of the outcomes, in the order of the examples."""

    name: str
    ids: list[str] = field(default_factory=list)
    rows: list[Examples] = field(default_factory=list)

    @property
    def examples(self) -> Examples:
        """EXAMPLE (n,)."""
        return np.concatenate([np.empty(0, EXAMPLE), *self.rows])


def asked_for(outcomes: Mapping[str, Outcome]) -> Asked:
    """Return the vectors that outcomes need: nobody knows yet which ids are loans'."""
    before = {one.id: tuple(one.day - lag for lag in LAGS.values()) for one in outcomes.values()}
    return Asked(before=before, loans=frozenset(outcomes))


def replayed(
    log: LogFile,
    asked: Asked,
    say: Say,
    *,
    compared: bool = False,
    as_recorded: bool = False,
    learn: LearnSettings | None = None,
    processes: int | None = None,
) -> tuple[Vectors, int]:
    """Replay a log in process; return the vectors asked for, and the number of records.

    compared: hash the outputs too. learn: the learner is in the loop, and each of its models comes into force.

    Raise SourceError where the log cannot be replayed.
    """
    found = in_process.replay(
        log,
        consumer=partial(VectorCollector, asked, compared),
        topics=COMPARED if compared else COMPARED[1:],
        as_recorded=as_recorded,
        learn=learn,
        accepts_all=learn is not None,
        processes=processes,
        say=say,
    )
    vectors = Vectors()
    for number in sorted(found.results):
        vectors.add(found.results[number])
    return vectors, found.records


def matched(outcomes: Outcomes, vectors: Vectors) -> list[View]:
    """Return the views that hold anything.

    Outcomes without a vector are refused, and those without one in a single view are listed, each with its reason.
    """
    views = {name: View(name) for name in (GRANT, *LAGS)}
    numbers: dict[str, int] = {}
    for one in list(outcomes.found.values()):
        grants = vectors.grants.get(one.id, [])
        is_enterprise = one.id in vectors.enterprises
        if len(grants) > 1 or (grants and is_enterprise):
            what = "an enterprise and a loan" if is_enterprise else f"{len(grants)} loans"
            outcomes.refuse(one, "ambiguous", f"{what} of the log bear this id")
        elif grants:
            seen = grants[0]
            number = numbers.setdefault(seen.enterprise_id, len(numbers))
            if one.day <= seen.day:
                outcomes.refuse(one, "date", f"the loan was granted on {date_of(seen.day)}, not before the outcome")
                continue
            views[GRANT].ids.append(one.id)
            views[GRANT].rows.append(of_grant(seen, number, one.bad, one.day))
        elif is_enterprise:
            _take_closes(one, outcomes, vectors, views, numbers.setdefault(one.id, len(numbers)))
        else:
            detail = "no enterprise of the log, and no loan that it observes at the grant, bears this id"
            outcomes.refuse(one, "unknown", detail)
    return [view for view in views.values() if view.ids]


def _take_closes(one: Outcome, outcomes: Outcomes, vectors: Vectors, views: Mapping[str, View], number: int) -> None:
    lacking = []
    for name, lag in LAGS.items():
        said = vectors.closes.get((one.id, one.day - lag))
        if said is not None and one.day - lag - said.day <= STALE_DAYS_MAX:
            views[name].ids.append(one.id)
            views[name].rows.append(of_close(said, number, one.bad, one.day))
        else:
            lacking.append(name)
    told = f"the log has no indicators of it in the {STALE_DAYS_MAX} days before"
    if len(lacking) == len(LAGS):
        outcomes.refuse(one, "no_vector", f"{told} {date_of(one.day)}")
    else:
        for name in lacking:
            outcomes.note(
                one, f"no_vector_{name}", f"{told} {date_of(one.day - LAGS[name])}: it is in the other view alone"
            )


def judged(view: View, say: Say, *, with_ablation: bool = True) -> Judged:
    """Return the figures of a view."""
    examples = view.examples
    return judge(view.name, examples, models(), ablations(grouped(examples)) if with_ablation else {}, say)[0]


def without_recency(view: View, say: Say) -> Judged:
    """Return the figures of a view on which nothing says how long ago something was."""
    rows = masked(view.examples, RECENCY)
    left = INDICATOR_COUNT - sum(name in INDICATORS for name in RECENCY)
    return judge(f"{view.name}_without_recency", rows, models(), {}, say, indicators=left)[0]


def evaluation(
    name: str,
    log: LogFile,
    records: int,
    compared: Compared | None,
    listed: Outcomes,
    judged: list[Judged],
    *,
    outcomes: Mapping[str, int] | None = None,
    as_known: AsKnown | None = None,
) -> Evaluation:
    """Return the report. listed: the list of outcomes, where there is one; else `outcomes` are the counts."""
    counts = {
        "read": listed.lines,
        "judged": len(listed.found),
        "bad": sum(one.bad for one in listed.found.values()),
        **counts_of(listed.problems),
    }
    return Evaluation(
        name=name,
        engine_version=engine_version(),
        recorded_by=log.head.engine_version,
        core=len(CORE),
        records=records,
        compared=compared,
        outcomes=dict(counts if outcomes is None else outcomes),
        problems=sorted(listed.problems, key=lambda one: one.line),
        judged=judged,
        as_known=as_known,
    )
