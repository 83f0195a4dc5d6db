"""`score.v1` written as JSON by compiled code, straight from the output book.

Score records are most of what the engine writes. Their bytes equal what `msgspec.json.encode` makes of a
domain.outputs.Score; a test holds the two together.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from config.catalogue import indicators
from config.kernel import copy, kernel
from detectors.scorecard import GRADES, REASONS_MAX, STATUS_NAMES, STATUS_REASONS, displayed, grade_of
from detectors.snapshot import MICRO, Snapshot
from domain.ids import ENTERPRISE_ID_BYTES_MAX
from domain.outputs import GROUPS
from features.indicators import CORE, CORE_COUNT
from features.indicators.nulls import VALUE
from streams.score.outbook import SCORE

MICRO_MAX = 9_000_000_000_000_000_000  # where a value times 10^6 would leave int64


class Phrases(NamedTuple):
    """Byte strings of one kind: uint8 (n, longest) and their sizes (n,)."""

    text: npt.NDArray[np.uint8]
    size: npt.NDArray[np.int64]


class Terms(NamedTuple):
    """What is the same in every row of one time: artefacts in force, and numbers that come from the model."""

    after_coverage: npt.NDArray[np.uint8]
    after_reasons: npt.NDArray[np.uint8]
    probability_ppm: npt.NDArray[np.int64]  # by displayed score less 400
    median_milli: npt.NDArray[np.int64]  # points at the peer median, by indicator
    baseline_micro: npt.NDArray[np.int64]


def _phrases(words: tuple[str, ...]) -> Phrases:
    raw = [np.frombuffer(word.encode(), np.uint8) for word in words]
    text = np.zeros((len(raw), max(len(word) for word in raw)), np.uint8)
    for row, word in zip(text, raw, strict=True):
        row[: len(word)] = word
    return Phrases(text, np.array([len(word) for word in raw], np.int64))


_KEYS = _phrases(
    (
        '{"enterprise_id":"', '","score":', ',"score_milli":', ',"p_overdue30_90d_ppm":',
        ',"pd_12m_ppm":null,"status":"', '","status_reason":"', '","grade":"', '","published_grade":"',
        '","groups_milli":{', '},"cap_milli":', ',"coverage_ppm":', '{"indicator":"', '","points_milli":',
        ',"value_micro":', ',"baseline_micro":', "}", ',"offset":', ',"seq":', ",", "null",
    )
)  # fmt: skip
(
    _ENTERPRISE, _POINTS_SHOWN, _SCORE_MILLI, _PROBABILITY, _STATUS, _STATUS_REASON, _GRADE, _PUBLISHED, _GROUPS_BEGIN,
    _CAP, _COVERAGE, _INDICATOR, _POINTS, _VALUE, _BASELINE, _END, _OFFSET, _SEQ, _COMMA, _NULL,
) = np.arange(20)  # fmt: skip  # of literals, numba would compile _text once each
_STATUS_TEXT, _STATUS_REASON_TEXT, _GRADE_TEXT = _phrases(STATUS_NAMES), _phrases(STATUS_REASONS), _phrases(GRADES)
_GROUP_TEXT = _phrases(tuple(f'"{group}":' for group in GROUPS))
_INDICATOR_TEXT = _phrases(CORE)
_GROUP_OF = np.array([GROUPS.index(indicators()[name].group) for name in CORE], np.int64)
_GROUP_COUNT = len(GROUPS)
BYTES_MAX = 1_024 + 200 * REASONS_MAX + 40 * _GROUP_COUNT


def terms(snapshot: Snapshot, probability_ppm: tuple[int, ...], model_id: str, rules_id: str, version: str) -> Terms:
    """The terms of a model, rules and engine version."""
    prior = "true" if snapshot.prior else "false"
    ids = f'],"model_id":"{model_id}","rules_id":"{rules_id}","engine_version":"{version}","as_of":'
    return Terms(
        after_coverage=np.frombuffer(f',"prior":{prior},"reason_codes":['.encode(), np.uint8),
        after_reasons=np.frombuffer(ids.encode(), np.uint8),
        probability_ppm=np.array(probability_ppm, np.int64),
        median_milli=np.array([snapshot.weights_milli[name] // 2 for name in CORE], np.int64),
        baseline_micro=np.array([snapshot.anchors_micro[name][2] for name in CORE], np.int64),
    )


@kernel(nogil=True)
def write(rows, used, state_id, terms, out, end):
    """Write each SCORE row of rows[:used] into `out` (BYTES_MAX a row); end[i] is where row i's bytes end."""
    p = np.int64(0)
    for i in range(used):
        if rows[i].kind == SCORE:
            p = _write_score(out, p, rows[i], state_id[rows[i].slot], terms)
        end[i] = p


@kernel
def micro(x):
    """A value times 10^6, half to even, held within int64."""
    scaled = np.rint(x * MICRO)
    if scaled >= MICRO_MAX:
        return np.int64(MICRO_MAX)
    if scaled <= -MICRO_MAX:
        return np.int64(-MICRO_MAX)
    return np.int64(scaled)


@kernel
def _write_score(out, p, x, id_words, terms):
    shown = displayed(x.score_milli)
    p = _text(out, p, _KEYS, _ENTERPRISE)
    p = _id(out, p, id_words)
    p = put_integer(out, _text(out, p, _KEYS, _POINTS_SHOWN), shown)
    p = put_integer(out, _text(out, p, _KEYS, _SCORE_MILLI), x.score_milli)
    p = put_integer(out, _text(out, p, _KEYS, _PROBABILITY), terms.probability_ppm[shown - 400])
    p = _text(out, _text(out, p, _KEYS, _STATUS), _STATUS_TEXT, x.status)
    p = _text(out, _text(out, p, _KEYS, _STATUS_REASON), _STATUS_REASON_TEXT, x.status_reason)
    p = _text(out, _text(out, p, _KEYS, _GRADE), _GRADE_TEXT, grade_of(x.score_milli))
    p = _text(out, _text(out, p, _KEYS, _PUBLISHED), _GRADE_TEXT, x.published_grade)
    p = _groups(out, _text(out, p, _KEYS, _GROUPS_BEGIN), x)
    p = put_integer(out, _text(out, p, _KEYS, _CAP), x.cap_milli)
    p = put_integer(out, _text(out, p, _KEYS, _COVERAGE), x.coverage_ppm)
    p = _bytes(out, p, terms.after_coverage)
    p = _reasons(out, p, x, terms)
    p = put_integer(out, _bytes(out, p, terms.after_reasons), x.as_of_ms)
    p = put_integer(out, _text(out, p, _KEYS, _OFFSET), x.offset)
    p = put_integer(out, _text(out, p, _KEYS, _SEQ), x.seq)
    return _text(out, p, _KEYS, _END)


@kernel
def _groups(out, p, x):
    for g in range(_GROUP_COUNT):
        total = 0
        for i in range(CORE_COUNT):
            total += x.points_milli[i] if _GROUP_OF[i] == g else 0
        p = _text(out, p, _KEYS, _COMMA) if g else p
        p = put_integer(out, _text(out, p, _GROUP_TEXT, g), total)
    return p


@kernel
def _reasons(out, p, x, terms):
    for k in range(REASONS_MAX):
        i = x.reasons[k]
        if i < 0:
            break
        p = _text(out, p, _KEYS, _COMMA) if k else p
        p = _text(out, _text(out, p, _KEYS, _INDICATOR), _INDICATOR_TEXT, i)
        p = put_integer(out, _text(out, p, _KEYS, _POINTS), x.points_milli[i] - terms.median_milli[i])
        p = _text(out, p, _KEYS, _VALUE)
        p = put_integer(out, p, micro(x.value[i])) if x.null[i] == VALUE else _text(out, p, _KEYS, _NULL)
        p = put_integer(out, _text(out, p, _KEYS, _BASELINE), terms.baseline_micro[i])
        p = _text(out, p, _KEYS, _END)
    return p


@kernel
def _text(out, p, phrases, k):
    for i in range(phrases.size[k]):
        out[p + i] = phrases.text[k, i]
    return p + phrases.size[k]


@kernel
def _bytes(out, p, text):
    copy(text, out[p : p + text.shape[0]])
    return p + text.shape[0]


@kernel
def _id(out, p, words):
    """The id's bytes up to its padding; the alphabet of ids needs no escape."""
    for i in range(ENTERPRISE_ID_BYTES_MAX):
        byte = np.uint8((words[i // 8] >> np.uint64(8 * (i % 8))) & np.uint64(255))
        if byte == 0:
            break
        out[p] = byte
        p += 1
    return p


@kernel
def put_integer(out, p, number):
    """Write an integer in decimal digits from p on; returns where it ended."""
    value = np.int64(number)
    if value < 0:
        out[p] = 45
        p += 1
        value = -value
    size, rest = 1, value
    while rest >= 10:
        rest //= 10
        size += 1
    for i in range(size - 1, -1, -1):
        out[p + i] = 48 + value % 10
        value //= 10
    return p + size
