"""The record of a month of learning."""

from collections.abc import Mapping

from detectors.learning.drift import Drift, drift_reasons
from detectors.learning.prequential import Prequential
from domain.outputs import MonthReport


def month_report(
    prequential: Prequential,
    *,
    month: int,
    model_id: str,
    weights_milli: Mapping[str, int],
    labels: Mapping[str, int],
    drift: Drift,
    psi_max: float,
) -> MonthReport:
    """Return what a month said, after `Prequential.month` has taken it in.

    model_id, weights_milli: of the champion that was tested. labels: the month's, by kind. Most of its time is spent in
    kernels that leave other threads alone: a caller with an event loop runs it in a thread.
    """
    return MonthReport(
        month=month,
        model_id=model_id,
        labels=dict(labels),
        weights_milli=dict(weights_milli),
        models=tuple(prequential.metrics()),
        differences=tuple(prequential.differences()),
        grades=tuple(prequential.grades()),
        scores=tuple(prequential.scores()),
        psi_micro=dict(drift.psi_micro),
        concept_drift=drift.concept,
        drift=tuple(drift_reasons(drift, psi_max=psi_max)),
    )
