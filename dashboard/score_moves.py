"""The lines between an enterprise's scores at two closes of days, which add up to the millipoint.

Both closes are in the archive with their indicators; the models that scored them come from `model.v1`. Only names of
lines are words; the page says what `model`, `cap` and `rest` are.
"""

from collections.abc import Callable
from datetime import date
from typing import Any

from detectors.snapshot import Snapshot
from detectors.wording.numbers import name
from domain.calendar import day_of_date
from domain.language import LANGS
from features.indicators import CORE
from sinks.clickhouse import Connection
from streams.earlier_score import EarlierScore, earlier_score, moved

DAYS = (7, 30, 90)  # what a page may ask for

Closes = tuple[EarlierScore, EarlierScore]


def closes(db: Connection, enterprise_id: str, days: int) -> Closes | None:
    """Return the newest close, and the newest at least `days` days before it; None where the archive lacks either.

    Raise Unavailable or Refused where ClickHouse fails.
    """
    now = earlier_score(db, enterprise_id, day_of_date(date.max))
    then = None if now is None else earlier_score(db, enterprise_id, now.day - days)
    return None if now is None or then is None else (then, now)


def moves(found: Closes, snapshot_of: Callable[[str], Snapshot]) -> dict[str, Any]:
    """Return the lines between two closes. The first call after an upgrade compiles for some seconds.

    Raise ArtefactMissing or SnapshotError where a model cannot be fetched or scored with.
    """
    then, now = found
    change = moved(then, snapshot_of(then.model_id), now.score_milli, now.vector, snapshot_of(now.model_id))
    return {
        "days": [then.day, now.day],
        "scores_milli": [then.score_milli, now.score_milli],
        "model_ids": [then.model_id, now.model_id],
        "lines": [
            {
                "what": line.what,
                "points_milli": line.points_milli,
                "said": {lang: name(line.what, lang) for lang in LANGS} if line.what in CORE else None,
            }
            for line in change.deltas
        ],
    }
