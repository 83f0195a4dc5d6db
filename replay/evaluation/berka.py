"""Berka: each loan judged by the vector at its grant.

A status is known at the loan's end, or on 1998-12-31 where it runs on. `as known` takes it so: the learner is in the
loop of the replay, and each loan is scored by the model in force at its grant. `split`, comparable with the literature,
takes the statuses of the loans of 1993 to 1996 as known on 1997-01-01: these loans are predicted out of fold, those of
1997 and 1998 by the champion that has learned all of them. Nothing is chosen by the latter: their status is not in the
data.
"""

import csv
import io
from collections.abc import Callable
from datetime import date

import numpy as np

from config.settings import LearnSettings
from detectors.learning.examples import EXAMPLE, Examples
from detectors.learning.prequential import AS_SCORED, PRIOR, Prequential
from detectors.learning.statistics import Flags
from domain.calendar import day_of_date
from replay.berka import LABELS, Lent
from replay.evaluation import run
from replay.evaluation.champion import Scored, champion
from replay.evaluation.folds import RESAMPLES, OutOfFold, judge
from replay.evaluation.models import ablations, grouped, models
from replay.evaluation.report import AsKnown, Judged
from replay.evaluation.vectors import Asked, Vectors, of_grant
from replay.log_file import LogFile
from replay.sources import SourceError

SPLIT_DAY = day_of_date(date(1997, 1, 1))
PREDICTIONS = "berka_predictions.csv"
ASKED = Asked(before={})
Say = Callable[[str], None]


def examples_of(loans: list[Lent], vectors: Vectors, known: Callable[[Lent], int]) -> Examples:
    """Return the loans as EXAMPLE, (loans,). known: the day on which a status counts as known.

    Raise SourceError where the engine did not observe a loan at its grant, or more than once.
    """
    rows = []
    for number, one in enumerate(loans):
        seen = vectors.grants.get(one.loan_id, [])
        if len(seen) != 1:
            raise SourceError(f"loan.csv, line {one.line}: the engine observed {one.loan_id} {len(seen)} times")
        rows.append(of_grant(seen[0], number, LABELS.get(one.status) == "bad", known(one)))
    return np.concatenate([np.empty(0, EXAMPLE), *rows])


def split(loans: list[Lent], vectors: Vectors, say: Say) -> tuple[Judged, bytes | None]:
    """Return the figures of the protocol `split`, and the predictions of all loans as CSV; None where there are too few
    statuses to learn from."""
    examples = examples_of(loans, vectors, lambda _: SPLIT_DAY)
    known = np.array([bool(one.status) for one in loans])
    learned = examples[known]
    figures, said = judge("grant", learned, models(), ablations(grouped(learned)), say)
    if said is None:
        return figures, None
    say("the champion learns all loans with a status")
    later = champion(learned, examples[~known])
    return figures, predictions(loans, known, said, later)


def predictions(loans: list[Lent], known: Flags, said: OutOfFold, later: Scored) -> bytes:
    """Return `loan_id,score,p_bad` of all loans in the order of their file, the score in points."""
    score, p = np.empty(len(loans)), np.empty(len(loans))
    score[known], p[known] = said.score_milli.mean(axis=0), said.p.mean(axis=0)
    score[~known], p[~known] = later
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("loan_id", "score", "p_bad"))
    for one, points, bad in zip(loans, (score / 1_000).tolist(), p.tolist(), strict=True):
        writer.writerow((one.loan_id.removeprefix("loan-"), f"{points:.3f}", f"{bad:.6f}"))
    return text.getvalue().encode()


def as_known(log: LogFile, loans: list[Lent], settings: LearnSettings, prior: Examples, say: Say) -> AsKnown:
    """Return how the models did that a learner would have had at each grant. prior: the loans as the prior saw them."""
    say("replaying the log with the learner in the loop")
    vectors, _ = run.replayed(log, ASKED, say, learn=settings)
    with_status = np.array([bool(one.status) for one in loans])
    live = examples_of(loans, vectors, lambda one: one.known)[with_status]
    record = Prequential(resamples=RESAMPLES)
    record.month(0, live, {PRIOR: prior["p_ppm"][with_status] / 1e6})
    found = {one.model: one for one in record.metrics() if one.window == "all"}
    early = [one for one in loans if one.status and one.known < SPLIT_DAY]
    return AsKnown(
        labels_by_1997=len(early),
        bad_by_1997=sum(LABELS[one.status] == "bad" for one in early),
        models=len({one.model_id for each in vectors.grants.values() for one in each}),
        in_force=found[AS_SCORED],
        prior=found[PRIOR],
    )
