"""The figures of an evaluation. JSON is the same with names."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from domain.outputs import Figure, ModelDifference, ModelMetrics, ScoreOutcome
from replay.evaluation.outcomes import Problem


class AblationRow(msgspec.Struct, frozen=True, kw_only=True):
    """The champion with one thing taken from it: its AUC on the same folds, and that less the whole champion's."""

    what: str
    auc: Figure
    less: Figure


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Models judged on one set of vectors with a label, each vector predicted by models that never saw its borrower.

    An AUC is the mean of those of all folds of all repeats: probabilities of two models are not on one scale. Its
    interval is by bootstrap over borrowers, who are resampled with all that was said of them. All other metrics are of
    all predictions together.

    silent_reason: why there is no AUC, where there is none.
    """

    view: str
    n: int
    bad: int
    indicators: int  # of those that the models may use
    folds: int
    repeats: int
    seed: int
    silent_reason: str = ""
    models: list[ModelMetrics] = []
    differences: list[ModelDifference] = []
    scores: list[ScoreOutcome] = []  # of the champion, out of fold
    ablation: list[AblationRow] = []


class AsKnown(msgspec.Struct, frozen=True, kw_only=True):
    """Berka where a status is known no earlier than it was: loans scored by the model in force at their grant.

    labels_by_1997, bad_by_1997: what a learner knew by the end of 1996. models: that were in force at some grant.
    """

    labels_by_1997: int
    bad_by_1997: int
    models: int
    in_force: ModelMetrics
    prior: ModelMetrics


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The outputs of the engine on Kafka and Redis, and of the same log in process. messages: by topic."""

    messages: dict[str, int]
    same: bool
    different: list[str]  # partitions and topics whose bytes differ


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation. `compared` is None where the log did not go through Kafka and Redis in this run."""

    name: str
    engine_version: str
    recorded_by: str  # engine version
    core: int  # core indicators that stand
    records: int
    compared: Compared | None
    outcomes: dict[str, int]  # read, judged, bad, and by kind what is not judged
    problems: list[Problem]
    judged: list[Judged]
    as_known: AsKnown | None = None


def counts_of(problems: Iterable[Problem]) -> dict[str, int]:
    """Return how many lines are not judged, by kind."""
    return dict(sorted(Counter(one.kind for one in problems).items()))


def auc_text(one: Figure) -> str:
    """Return a figure with its interval.

    >>> auc_text(Figure(value_micro=812_345, low_micro=700_000, high_micro=None))
    '0.812'
    """
    if one.value_micro is None:
        return "–"
    whole = f"{one.value_micro / 1e6:.3f}"
    if one.low_micro is None or one.high_micro is None:
        return whole
    return f"{whole} ({one.low_micro / 1e6:.3f}–{one.high_micro / 1e6:.3f})"
