"""The newest score of every enterprise, from the archive: borrowers', and others', for whom a model extrapolates."""

from collections.abc import Sequence
from dataclasses import dataclass

from sinks.clickhouse import Connection
from sinks.clickhouse.open_loans import open_loans


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCounts:
    """Enterprises by bin of their newest score: those with a loan open, and all others."""

    borrowers: tuple[int, ...]
    others: tuple[int, ...]


def score_counts(db: Connection, edges_micro: Sequence[int]) -> ScoreCounts:
    """Count the newest scores by bin; a score on an edge is in the bin above it.

    edges_micro: the inner edges, ascending, of points in millionths. Raise Unavailable or Refused where ClickHouse
    fails.
    """
    query = f"""SELECT enterprise_id IN (SELECT enterprise_id FROM ({open_loans(db.database)})) AS borrows,
            arrayCount(edge -> edge <= toInt64(score_milli) * 1000, {{edges:Array(Int64)}}) AS bin, count()
        FROM {db.database}.score_now FINAL GROUP BY borrows, bin"""
    counts = [[0] * (len(edges_micro) + 1) for _ in range(2)]
    for borrows, at, count in db.rows(query, {"edges": list(edges_micro)}):
        counts[int(borrows)][int(at)] = int(count)
    others, borrowers = map(tuple, counts)
    return ScoreCounts(borrowers=borrowers, others=others)
