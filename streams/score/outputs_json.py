"""Score records and days' indicators, nearly all of the output, written as JSON by compiled code."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from config.catalogue import catalogue_id
from detectors.scorecard import Scorecard, probabilities_ppm
from detectors.snapshot import Snapshot
from domain.ids import ENTERPRISE_ID_BYTES_MAX
from kernels.decorators import kernel
from streams.score import indicator_json, score_json
from streams.score.json_text import id_text
from streams.score.outbook import SCORE

BYTES_MAX = ENTERPRISE_ID_BYTES_MAX + max(score_json.BYTES_MAX, indicator_json.BYTES_MAX)


class Terms(NamedTuple):
    """The common part of all rows of one time: the artefacts in force, and numbers of the model."""

    after_coverage: npt.NDArray[np.uint8]
    after_reasons: npt.NDArray[np.uint8]
    after_null_reasons: npt.NDArray[np.uint8]
    probability_ppm: npt.NDArray[np.int64]  # by displayed score less 400
    pd_12m_ppm: npt.NDArray[np.int64]  # the same; empty where the model does not say it
    median_milli: npt.NDArray[np.int64]  # points at the median, by indicator
    baseline_micro: npt.NDArray[np.int64]


def terms(snapshot: Snapshot, card: Scorecard, model_id: str, rules_id: str, version: str) -> Terms:
    """Return the terms of a model, its card, rules and engine version."""
    pd_12m_ppm = () if snapshot.default_12m is None else probabilities_ppm(snapshot.default_12m)
    prior = "true" if snapshot.prior else "false"
    ids = f'],"model_id":"{model_id}","rules_id":"{rules_id}","engine_version":"{version}","as_of":'
    catalogue = f',"catalogue_id":"{catalogue_id()}","engine_version":"{version}"'
    return Terms(
        after_coverage=np.frombuffer(f',"prior":{prior},"reason_codes":['.encode(), np.uint8),
        after_reasons=np.frombuffer(ids.encode(), np.uint8),
        after_null_reasons=np.frombuffer(catalogue.encode(), np.uint8),
        probability_ppm=np.array(probabilities_ppm(snapshot), np.int64),
        pd_12m_ppm=np.array(pd_12m_ppm, np.int64),
        median_milli=card.rows["median_milli"].copy(),
        baseline_micro=card.rows["median_micro"].copy(),
    )


@kernel(nogil=True)
def write(rows, order, state_id, terms, out, sizes):
    """Write rows[order], all of one kind, into `out`, each its key and then its value; return the number of bytes.

    rows: ROW; order: int64 (n,); state_id: uint64 (rows, 4), ids by slot; out: uint8, BYTES_MAX for each row; sizes:
    int64 (n, 2), filled with the sizes of key and value.
    """
    p = np.int64(0)
    for i in range(order.shape[0]):
        x, begin = rows[order[i]], p
        key_end = id_text(out, p, state_id[x.slot])
        if x.kind == SCORE:
            p = score_json.write_score(out, key_end, x, state_id[x.slot], terms)
        else:
            p = indicator_json.write_indicators(out, key_end, x, state_id[x.slot], terms)
        sizes[i, 0], sizes[i, 1] = key_end - begin, p - key_end
    return p
