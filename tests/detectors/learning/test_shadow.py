"""Months in shadow: every model is asked before it learns, and a restart goes on as if there had been none."""

import msgspec
import numpy as np
import pytest

from detectors.learning.challengers import CHALLENGERS
from detectors.learning.drift import reference_of
from detectors.learning.examples import Examples
from detectors.learning.prequential import MICRO, Prequential
from detectors.learning.rescoring import scores_milli
from detectors.learning.shadow import Shadow
from detectors.prior import prior_id, prior_snapshot
from domain.outputs import MonthReport
from features.indicators import CORE
from tests.model_months import FIRST_MONTH, examples

EACH = 150
CHAMPION = msgspec.structs.replace(prior_snapshot(), reference=reference_of(examples(2_000, 99, effect=3.0), CORE))


def matured(i: int) -> Examples:
    return examples(EACH, i, effect=3.0, base=-3.0)


def month(shadow: Shadow, i: int) -> MonthReport:
    seen = matured(i)
    said = {"champion": seen["p_ppm"] / MICRO, "prior": np.full(EACH, 0.1)}
    labels = {"good": int((~seen["bad"]).sum()), "bad": int(seen["bad"].sum())}
    return shadow.month(
        FIRST_MONTH + i, seen, said, observed=seen, champion=CHAMPION, model_id=prior_id(), labels=labels
    )


def begun(record: Prequential | None = None) -> Shadow:
    return Shadow(psi_max=0.25, record=Prequential(resamples=20) if record is None else record)


def test_a_month_is_predicted_before_it_is_learned() -> None:
    shadow = begun()
    first, *later = [month(shadow, i) for i in range(5)]
    by_name = {one.model: one for one in first.models if one.window == "all"}
    assert set(by_name) == {"champion", "prior", "as_scored", *CHALLENGERS}
    assert [by_name[name].silent for name in CHALLENGERS] == [EACH] * len(CHALLENGERS), "they had learned nothing"
    last = {one.model: one for one in later[-1].models if one.window == "all"}
    for name, kind in CHALLENGERS.items():
        assert last[name].n + last[name].silent == 5 * EACH
        assert last[name].n >= (5 * EACH - EACH - max(EACH, kind.silent_until)) // EACH * EACH
    assert last["stumps"].auc.value_micro > 0.75 * MICRO
    assert later[-1].weights_milli == CHAMPION.weights_milli
    assert set(later[-1].psi_micro) == {*CORE, "score"}
    assert {one.model for one in later[-1].differences} == {"prior", "as_scored", *CHALLENGERS}


def test_after_a_restart_the_next_month_says_the_same() -> None:
    one = begun()
    for i in range(4):
        month(one, i)
    kept = one.record.to_bytes()
    other = begun(Prequential.from_bytes(kept, resamples=20))
    other.rebuild(np.concatenate([matured(i) for i in range(4)]), FIRST_MONTH)
    assert month(one, 4) == month(other, 4)


def test_when_a_year_drops_out_both_record_and_challengers_forget_it() -> None:
    one = begun()
    for i in range(4):
        month(one, i)
    one.rebuild(np.concatenate([matured(i) for i in (2, 3)]), FIRST_MONTH + 2)
    assert len(one.record) == 2 * EACH
    other = begun(Prequential.from_columns(one.record.to_columns(), resamples=20))
    other.rebuild(np.concatenate([matured(i) for i in (2, 3)]), FIRST_MONTH + 2)
    assert month(one, 4) == month(other, 4)


def test_the_score_that_may_drift_is_the_champions_whatever_model_was_in_force() -> None:
    population, newest = examples(2_000, 99, effect=3.0), examples(2_000, 98, effect=3.0)
    population["score_milli"] = scores_milli(CHAMPION, population)
    champion = msgspec.structs.replace(CHAMPION, reference=reference_of(population, CORE))
    newest["score_milli"] = 690_000  # a model in force that finds everybody safe
    seen = matured(0)
    said = {"champion": np.full(EACH, 0.1)}
    found = begun().month(FIRST_MONTH, seen, said, observed=newest, champion=champion, model_id=prior_id(), labels={})
    assert found.psi_micro["score"] < 0.05 * MICRO


def test_without_a_reference_there_is_no_psi_and_no_drift_is_called() -> None:
    seen = matured(0)
    found = begun().month(
        FIRST_MONTH, seen, {}, observed=seen, champion=prior_snapshot(), model_id=prior_id(), labels={}
    )
    assert (found.psi_micro, found.drift, found.concept_drift) == ({}, (), False)
    with pytest.raises(ValueError, match="champion says"):
        begun().month(
            FIRST_MONTH, seen, {"champion": [2.0] * EACH}, observed=seen, champion=CHAMPION, model_id="", labels={}
        )
