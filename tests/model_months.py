"""Months of learning with a planted effect, measured by the real record, and their reports."""

from collections.abc import Sequence

import numpy as np

from detectors.learning.drift import drift_of, reference_of
from detectors.learning.examples import EXAMPLE, Examples
from detectors.learning.prequential import Prequential
from detectors.learning.reports import month_report
from detectors.prior import prior_id, prior_snapshot
from domain.outputs import MonthReport
from features.indicators import CORE, INDICATOR_COUNT, INDICATORS

FIRST_MONTH = 640
FREEZE = INDICATORS.index("judicial_freeze_active_flag")
SAFER, RISKIER = INDICATORS.index("op_inflow_30d_cny"), INDICATORS.index("non_op_inflow_share_90d_ratio")


def examples(n: int, seed: int, *, effect: float = 1.0, base: float = -2.5, moved: float = 0.0) -> Examples:
    """Examples, EXAMPLE (n,): risk falls with SAFER and rises with RISKIER, as the catalogue has them.

    A tenth of the values are nulls. moved: by how much all values are higher.
    """
    rng = np.random.default_rng(seed)
    made = np.zeros(n, EXAMPLE)
    made["enterprise"], made["day"] = rng.integers(0, max(1, n // 3), n), rng.integers(19_000, 19_360, n)
    made["matured_on"] = made["day"] + 90
    made["value"] = rng.normal(size=(n, INDICATOR_COUNT)) + moved
    logit = base + effect * (made["value"][:, RISKIER] - made["value"][:, SAFER])
    made["bad"] = rng.random(n) < 1 / (1 + np.exp(-logit))
    made["value"][:, FREEZE] = 0.0  # a freeze in force would cap the score
    made["null"] = np.where(rng.random((n, INDICATOR_COUNT)) < 0.1, 2, 0)
    made["value"][made["null"] > 0] = np.nan
    made["score_milli"] = np.clip(560_000 - 30_000 * logit, 400_000, 700_000)
    made["p_ppm"] = 1_000_000 / (1 + np.exp(-logit))
    return made


def months(count: int, *, each: int = 400, moved: Sequence[float] = ()) -> list[MonthReport]:
    """Reports of months, one after the other: champion and prior always speak, `amf` from the third on, `hat` never."""
    record, found = Prequential(resamples=40), []
    reference = reference_of(examples(4_000, 99), CORE)
    for i in range(count):
        seen = examples(each, i, moved=moved[i] if i < len(moved) else 0.0)
        p = seen["p_ppm"] / 1_000_000
        said = {"champion": p, "prior": np.full(each, 0.1), "hat": np.full(each, np.nan)}
        record.month(FIRST_MONTH + i, seen, said | ({"amf": p**1.1} if i >= 2 else {}))
        found.append(
            month_report(
                record,
                month=FIRST_MONTH + i,
                model_id=prior_id(),
                weights_milli=prior_snapshot().weights_milli,
                labels={"good": int((~seen["bad"]).sum()), "bad": int(seen["bad"].sum()), "already_bad": 3},
                drift=drift_of(seen, reference, record.losses("champion"), each),
                psi_max=0.25,
            )
        )
    return found
