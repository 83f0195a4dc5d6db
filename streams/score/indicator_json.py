"""`indicator.v1` written as JSON by compiled code, straight from the output book.

An enterprise has one such record a day. Its bytes are those of `msgspec.json.encode` on domain.outputs.Indicators; a
test holds that.
"""

import numpy as np

from features.indicators import INDICATOR_COUNT, INDICATORS
from features.indicators.activity import ACTIVE_30D, COUNTS_BUSINESS_DAYS
from features.indicators.nulls import NULL_NAMES, VALUE
from features.state.days import day_of
from kernels.decorators import kernel
from streams.score.json_text import id_text, micro, phrases, put_integer, raw, text

_KEYS = phrases(
    (
        '{"enterprise_id":"', '","day":', ',"as_of":', ',"values_micro":{', '},"null_reasons":{', "}", ',"offset":',
        ',"seq":', ",", f',"provisional_calendar":["{COUNTS_BUSINESS_DAYS}"]',
    )
)  # fmt: skip
_ENTERPRISE, _DAY, _AS_OF, _VALUES, _NULL_REASONS, _END, _OFFSET, _SEQ, _COMMA, _PROVISIONAL = np.arange(10)
_NAMES = phrases(tuple(f'"{name}":' for name in INDICATORS))
_REASONS = phrases(tuple(f'"{name}"' for name in NULL_NAMES))
BYTES_MAX = 1_024 + int((_NAMES.size + 1).sum()) + INDICATOR_COUNT * max(20, int(_REASONS.size.max()))


@kernel
def write_indicators(out, p, x, id_words, terms):
    """Write the indicators of row x, of the day that ended at its time, to out[p:]; return where they end.

    They take BYTES_MAX bytes at most. id_words: uint64 (4,), as features.layout.id_words; terms: outputs_json.Terms.
    """
    p = id_text(out, text(out, p, _KEYS, _ENTERPRISE), id_words)
    p = put_integer(out, text(out, p, _KEYS, _DAY), day_of(x.as_of_ms - 1))
    p = put_integer(out, text(out, p, _KEYS, _AS_OF), x.as_of_ms)
    p = _values(out, text(out, p, _KEYS, _VALUES), x)
    p = _null_reasons(out, text(out, p, _KEYS, _NULL_REASONS), x)
    p = raw(out, text(out, p, _KEYS, _END), terms.after_null_reasons)
    if x.provisional_calendar and x.null[ACTIVE_30D] == VALUE:
        p = text(out, p, _KEYS, _PROVISIONAL)
    p = put_integer(out, text(out, p, _KEYS, _OFFSET), x.offset)
    p = put_integer(out, text(out, p, _KEYS, _SEQ), x.seq)
    return text(out, p, _KEYS, _END)


@kernel
def _values(out, p, x):
    first = True
    for i in range(INDICATOR_COUNT):
        if x.null[i] == VALUE:
            p = p if first else text(out, p, _KEYS, _COMMA)
            p = put_integer(out, text(out, p, _NAMES, i), micro(x.value[i]))
            first = False
    return p


@kernel
def _null_reasons(out, p, x):
    first = True
    for i in range(INDICATOR_COUNT):
        if x.null[i] != VALUE:
            p = p if first else text(out, p, _KEYS, _COMMA)
            p = text(out, text(out, p, _NAMES, i), _REASONS, x.null[i])
            first = False
    return p
