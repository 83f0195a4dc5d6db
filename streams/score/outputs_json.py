"""Score records and days' indicators, nearly all of the output, written as JSON by compiled code."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from config.catalogue import catalogue_id
from detectors.snapshot import Snapshot
from domain.ids import ENTERPRISE_ID_BYTES_MAX
from features.indicators import CORE
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
    median_milli: npt.NDArray[np.int64]  # points at the peer median, by indicator
    baseline_micro: npt.NDArray[np.int64]


def terms(snapshot: Snapshot, probability_ppm: tuple[int, ...], model_id: str, rules_id: str, version: str) -> Terms:
    """Return the terms of a model, rules and engine version. probability_ppm: by displayed score, from 400 on."""
    prior = "true" if snapshot.prior else "false"
    ids = f'],"model_id":"{model_id}","rules_id":"{rules_id}","engine_version":"{version}","as_of":'
    catalogue = f',"catalogue_id":"{catalogue_id()}","engine_version":"{version}"'
    return Terms(
        after_coverage=np.frombuffer(f',"prior":{prior},"reason_codes":['.encode(), np.uint8),
        after_reasons=np.frombuffer(ids.encode(), np.uint8),
        after_null_reasons=np.frombuffer(catalogue.encode(), np.uint8),
        probability_ppm=np.array(probability_ppm, np.int64),
        median_milli=np.array([snapshot.weights_milli[name] // 2 for name in CORE], np.int64),
        baseline_micro=np.array([snapshot.anchors_micro[name][2] for name in CORE], np.int64),
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
