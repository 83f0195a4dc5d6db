"""The score of an enterprise as an earlier day closed, from the archive, and what has moved it since."""

from collections.abc import Iterator
from dataclasses import dataclass

from detectors.score_change import Delta, Vector, change, vector_of_day
from detectors.scorecard import CEILING_MILLI
from detectors.snapshot import Snapshot
from sinks.clickhouse import Connection

REST = "rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierScore:
    """A score as a day closed, the model that gave it, and the indicators that it was given for."""

    day: int
    score_milli: int
    model_id: str
    vector: Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How a score has moved since a day closed: `before_milli` + `deltas` = the later score.

    Lines are of indicators, and of MODEL, CAP and REST: what the record of a day does not hold (its values are rounded
    to a millionth, and of nulls it has no last utility).
    """

    day: int
    model_id: str
    before_milli: int
    deltas: tuple[Delta, ...]


def moved(then: EarlierScore, old: Snapshot, score_milli: int, vector: Vector, new: Snapshot) -> Moved:
    """Return how `then`, under model `old`, became a later score: `score_milli`, of `vector` under model `new`.

    Raise SnapshotError where this engine cannot score with one of the models.
    """
    found = change(then.vector, old, vector, new)
    rest = found.before_milli - then.score_milli + score_milli - found.after_milli
    return Moved(
        day=then.day,
        model_id=then.model_id,
        before_milli=then.score_milli,
        deltas=found.deltas + ((Delta(what=REST, points_milli=rest),) if rest else ()),
    )


def earlier_score(db: Connection, enterprise_id: str, day: int) -> EarlierScore | None:
    """Return the newest score up to the close of `day` of which the archive has the indicators; None where it has none.

    Raise Unavailable or Refused where ClickHouse fails.
    """
    return next(_scores(db, enterprise_id, day), None)


def _scores(db: Connection, enterprise_id: str, day: int) -> Iterator[EarlierScore]:
    # A close writes the score, where it has changed, and then the indicators. So it is the last one before them.
    days = f"""SELECT day, names, values_micro, null_reasons, log_offset, seq FROM {db.database}.indicator FINAL
        WHERE enterprise_id = {{id:String}} AND day <= {{day:Int64}} ORDER BY day DESC LIMIT 1"""
    scores = f"""SELECT score_milli, cap_milli, model_id FROM {db.database}.score
        WHERE enterprise_id = {{id:String}} AND (log_offset, seq) <= ({{offset:Int64}}, {{seq:Int64}})
        ORDER BY log_offset DESC, seq DESC LIMIT 1"""
    asked = {"id": enterprise_id, "day": day}
    for closed, names, values, reasons, offset, seq in db.rows(days, asked):
        values_micro = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        for score_milli, cap_milli, model_id in db.rows(scores, {**asked, "offset": offset, "seq": seq}):
            capped_at = int(score_milli) if cap_milli < 0 else CEILING_MILLI
            vector = vector_of_day(values_micro, dict(zip(names, reasons, strict=True)), capped_at)
            yield EarlierScore(day=int(closed), score_milli=int(score_milli), model_id=model_id, vector=vector)
