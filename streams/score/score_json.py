"""`score.v1` written as JSON by compiled code, straight from the output book.

Score records are most of what the engine writes. Their bytes are those of `msgspec.json.encode` on
domain.outputs.Score; a test holds that.
"""

import numpy as np

from config.catalogue import indicators
from detectors.scorecard import GRADES, REASONS_MAX, STATUS_NAMES, STATUS_REASONS, displayed, grade_of
from domain.outputs import GROUPS
from features.indicators import CORE, CORE_COUNT
from features.indicators.nulls import VALUE
from kernels.decorators import kernel
from streams.score.json_text import id_text, micro, phrases, put_integer, raw, text

_KEYS = phrases(
    (
        '{"enterprise_id":"', '","score":', ',"score_milli":', ',"p_overdue30_90d_ppm":',
        ',"pd_12m_ppm":', ',"status":"', '","status_reason":"', '","grade":"', '","published_grade":"',
        '","groups_milli":{', '},"cap_milli":', ',"coverage_ppm":', '{"indicator":"', '","points_milli":',
        ',"value_micro":', ',"baseline_micro":', "}", ',"offset":', ',"seq":', ",", "null",
        ',"provisional_calendar":true',
    )
)  # fmt: skip
(
    _ENTERPRISE, _POINTS_SHOWN, _SCORE_MILLI, _PROBABILITY, _PD_12M, _STATUS, _STATUS_REASON, _GRADE, _PUBLISHED,
    _GROUPS_BEGIN, _CAP, _COVERAGE, _INDICATOR, _POINTS, _VALUE, _BASELINE, _END, _OFFSET, _SEQ, _COMMA, _NULL,
    _PROVISIONAL,
) = np.arange(22)  # fmt: skip  # of literals, numba would compile `text` once each
_STATUS_TEXT, _STATUS_REASON_TEXT, _GRADE_TEXT = phrases(STATUS_NAMES), phrases(STATUS_REASONS), phrases(GRADES)
_GROUP_TEXT = phrases(tuple(f'"{group}":' for group in GROUPS))
_INDICATOR_TEXT = phrases(CORE)
_GROUP_OF = np.array([GROUPS.index(indicators()[name].group) for name in CORE], np.int64)
_GROUP_COUNT = len(GROUPS)
BYTES_MAX = 1_024 + 200 * REASONS_MAX + 40 * _GROUP_COUNT


@kernel
def write_score(out, p, x, id_words, terms):
    """Write the score record of row x to out[p:], BYTES_MAX bytes at most; return where it ends.

    id_words: uint64 (4,), as features.layout.id_words; terms: outputs_json.Terms.
    """
    shown = displayed(x.score_milli)
    p = text(out, p, _KEYS, _ENTERPRISE)
    p = id_text(out, p, id_words)
    p = put_integer(out, text(out, p, _KEYS, _POINTS_SHOWN), shown)
    p = put_integer(out, text(out, p, _KEYS, _SCORE_MILLI), x.score_milli)
    p = put_integer(out, text(out, p, _KEYS, _PROBABILITY), terms.probability_ppm[shown - 400])
    p, pd = text(out, p, _KEYS, _PD_12M), terms.pd_12m_ppm
    p = put_integer(out, p, pd[shown - 400]) if pd.shape[0] else text(out, p, _KEYS, _NULL)
    p = text(out, text(out, p, _KEYS, _STATUS), _STATUS_TEXT, x.status)
    p = text(out, text(out, p, _KEYS, _STATUS_REASON), _STATUS_REASON_TEXT, x.status_reason)
    p = text(out, text(out, p, _KEYS, _GRADE), _GRADE_TEXT, grade_of(x.score_milli))
    p = text(out, text(out, p, _KEYS, _PUBLISHED), _GRADE_TEXT, x.published_grade)
    p = _groups(out, text(out, p, _KEYS, _GROUPS_BEGIN), x)
    p = put_integer(out, text(out, p, _KEYS, _CAP), x.cap_milli)
    p = put_integer(out, text(out, p, _KEYS, _COVERAGE), x.coverage_ppm)
    p = raw(out, p, terms.after_coverage)
    p = _reasons(out, p, x, terms)
    p = put_integer(out, raw(out, p, terms.after_reasons), x.as_of_ms)
    p = text(out, p, _KEYS, _PROVISIONAL) if x.provisional_calendar else p
    p = put_integer(out, text(out, p, _KEYS, _OFFSET), x.offset)
    p = put_integer(out, text(out, p, _KEYS, _SEQ), x.seq)
    return text(out, p, _KEYS, _END)


@kernel
def _groups(out, p, x):
    for g in range(_GROUP_COUNT):
        total = 0
        for i in range(CORE_COUNT):
            total += x.points_milli[i] if _GROUP_OF[i] == g else 0
        p = text(out, p, _KEYS, _COMMA) if g else p
        p = put_integer(out, text(out, p, _GROUP_TEXT, g), total)
    return p


@kernel
def _reasons(out, p, x, terms):
    for k in range(REASONS_MAX):
        i = x.reasons[k]
        if i < 0:
            break
        p = text(out, p, _KEYS, _COMMA) if k else p
        p = text(out, text(out, p, _KEYS, _INDICATOR), _INDICATOR_TEXT, i)
        p = put_integer(out, text(out, p, _KEYS, _POINTS), x.points_milli[i] - terms.median_milli[i])
        p = text(out, p, _KEYS, _VALUE)
        p = put_integer(out, p, micro(x.value[i])) if x.null[i] == VALUE else text(out, p, _KEYS, _NULL)
        p = put_integer(out, text(out, p, _KEYS, _BASELINE), terms.baseline_micro[i])
        p = text(out, p, _KEYS, _END)
    return p
