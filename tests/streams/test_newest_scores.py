"""The newest scores by population: each enterprise once, an open loan makes a borrower, bins as NumPy has them."""

from typing import Any

import msgspec
import numpy as np
import pytest

from domain.events import LogRecord
from sinks.clickhouse import Connection
from sinks.clickhouse.tables import LOAN, SCORE_NOW
from streams.newest_scores import score_counts
from tests.dashboard.test_questions import score, store
from tests.sinks.test_tables import LOAN_EVENT

pytest.importorskip("chdb")
POINTS, EDGES = (430, 512, 560, 560, 700), (512_000_000, 560_000_000)


def lend(archive: Connection, enterprise_id: str, **fields: Any) -> None:
    event = msgspec.structs.replace(LOAN_EVENT, enterprise_id=enterprise_id, event_id=enterprise_id, **fields)
    store(archive, LOAN, LogRecord(event=event, fingerprint="0" * 16))


def test_scores_are_counted_by_bin_and_by_whether_a_loan_is_open(archive: Connection) -> None:
    for i, points in enumerate(POINTS):
        store(archive, SCORE_NOW, score(points, enterprise_id=f"e{i}", offset=2), score(400, enterprise_id=f"e{i}"))
    lend(archive, "e1", event="granted")
    lend(archive, "e3", event="repaid", outstanding_minor=1)
    lend(archive, "e4", event="closed")
    lend(archive, "of nobody", event="granted")
    counts = score_counts(archive, EDGES)
    micro = np.array(POINTS) * 1_000_000
    bins = np.searchsorted(EDGES, micro, "right")
    assert counts.borrowers == tuple(np.bincount(bins[[1, 3]], minlength=3).tolist()) == (0, 1, 1)
    assert counts.others == tuple(np.bincount(bins[[0, 2, 4]], minlength=3).tolist()) == (1, 0, 2)


def test_a_score_without_edges_has_one_bin(archive: Connection) -> None:
    store(archive, SCORE_NOW, score(512, enterprise_id="e"))
    counts = score_counts(archive, ())
    assert (counts.borrowers, counts.others) == ((0,), (1,))
