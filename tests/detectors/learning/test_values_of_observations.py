"""Values and reasons that examples take from observations, new ones and old ones."""

import msgspec
import numpy as np

from detectors.learning.examples import values_of
from detectors.snapshot import MICRO
from domain.outputs import Observation
from features.indicators import CORE, EXTENDED, INDICATORS, SLOT
from features.indicators.nulls import NOT_APPLICABLE, NOT_REPORTED, NULL_NAMES, VALUE

WHOLE = Observation(
    observation_id="o", enterprise_id="E1", kind="month", loan_id=None, day=20_000, as_of=1, score_milli=500_000,
    p_overdue30_90d_ppm=1, utilities_ppm=dict.fromkeys(CORE, 1), values_micro=dict.fromkeys(INDICATORS, 2 * MICRO),
    model_id="m", offset=1, seq=0,
)  # fmt: skip


def with_nulls(nulls: dict[str, str], **fields: object) -> Observation:
    values = WHOLE.values_micro | dict.fromkeys(nulls)
    return msgspec.structs.replace(WHOLE, values_micro=values, nulls=nulls, **fields)


def test_every_indicator_has_its_value_or_its_reason() -> None:
    reasons = dict(zip(INDICATORS, NULL_NAMES[1:], strict=False))
    values, codes = values_of(with_nulls(reasons))
    for name in INDICATORS:
        i = SLOT[name]
        assert codes[i] == (NULL_NAMES.index(reasons[name]) if name in reasons else VALUE)
        assert np.isnan(values[i]) == (name in reasons)
        assert name in reasons or values[i] == 2.0


def test_a_utility_of_a_half_is_no_reason_where_reasons_are_kept() -> None:
    half = dict.fromkeys(CORE, MICRO // 2)
    _, codes = values_of(with_nulls({CORE[0]: "history"}, utilities_ppm=half))
    assert NULL_NAMES[codes[SLOT[CORE[0]]]] == "history"


def test_a_utility_that_is_missing_is_not_missed() -> None:
    values, codes = values_of(with_nulls({CORE[0]: "history"}, utilities_ppm={}))
    assert (values[1:] == 2.0).all()
    assert [NULL_NAMES[code] for code in codes[:1]] == ["history"]
    old = msgspec.structs.replace(WHOLE, utilities_ppm={}, values_micro={CORE[1]: MICRO})
    _, codes = values_of(old)
    assert [codes[SLOT[name]] for name in CORE[:2]] == [NOT_REPORTED, VALUE], "of before the reasons were kept"


def test_a_reason_of_another_engine_counts_as_not_reported() -> None:
    _, codes = values_of(with_nulls({CORE[0]: "eclipse"}))
    assert codes[SLOT[CORE[0]]] == NOT_REPORTED


def test_a_record_of_before_the_reasons_is_read_and_tells_by_the_neutral_utility_what_was_not_applicable() -> None:
    document = msgspec.to_builtins(WHOLE)
    del document["nulls"]
    document["values_micro"] = dict.fromkeys(CORE, 2 * MICRO) | {CORE[0]: None, CORE[1]: None}
    document["utilities_ppm"] |= {CORE[0]: MICRO // 2, CORE[1]: 350_000}
    old = msgspec.json.decode(msgspec.json.encode(document), type=Observation)
    values, codes = values_of(old)
    assert [codes[SLOT[name]] for name in CORE[:3]] == [NOT_APPLICABLE, NOT_REPORTED, VALUE]
    assert [codes[SLOT[name]] for name in EXTENDED] == [NOT_REPORTED] * len(EXTENDED)
    assert np.isnan(values[[SLOT[name] for name in (*CORE[:2], *EXTENDED)]]).all()
