"""Queries of the first page: grades, open alerts, banks, falls of scores, records that were not applied.

Values from outside are bound by the server, never written into a statement. Times are epoch milliseconds, days are day
numbers. Unavailable or Refused is raised where ClickHouse fails.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.calendar import DAY_MS, date_of, day_of, day_start_ms
from domain.printable import printable
from sinks.clickhouse import Connection

FALLS_OVER_DAYS = 7
FALLS_SHOWN = 12
FOUND_MAX = 20
NAMES_MAX = 200
OPEN_STATES = "('raised', 'upgraded', 'downgraded', 'stale')"
_MS = "toUnixTimestamp64Milli"


def grades(db: Connection) -> dict[str, int]:
    """Return the number of enterprises by shown grade; `withheld`: those without a published score."""
    query = f"""SELECT if(status = 'withheld', 'withheld', published_grade) AS shown, count()
        FROM {db.database}.score_now FINAL GROUP BY shown"""
    return {str(grade): int(count) for grade, count in db.rows(query)}


def open_alerts(db: Connection) -> dict[str, int]:
    """Return the number of open alerts by severity."""
    query = f"""SELECT last_severity, count() FROM
        (SELECT argMax(severity, revision) AS last_severity, argMax(state, revision) AS last_state
         FROM {db.database}.alert GROUP BY alert_id)
        WHERE last_state IN {OPEN_STATES} GROUP BY last_severity"""
    return {str(severity): int(count) for severity, count in db.rows(query)}


def feeds(db: Connection) -> dict[str, dict[str, Any]]:
    """Return the progress of each bank's feed."""
    query = f"""SELECT bank_id, {_MS}(last_event_time), covered_up_to, closed_up_to, stalled, {_MS}(as_of)
        FROM {db.database}.feed FINAL"""
    names = ("last_event_ms", "covered_up_to", "closed_up_to", "stalled", "as_of_ms")
    return {str(bank_id): dict(zip(names, found, strict=True)) for bank_id, *found in db.rows(query)}


def dead_letters(db: Connection) -> list[dict[str, Any]]:
    """Return the number of records that were not applied, by topic and reason, most first."""
    query = f"""SELECT topic, reason, count() AS n FROM {db.database}.dead_letter FINAL
        GROUP BY topic, reason ORDER BY n DESC, topic, reason LIMIT 50"""
    return [{"topic": topic, "reason": reason, "count": count} for topic, reason, count in db.rows(query)]


def falls(db: Connection) -> list[dict[str, Any]]:
    """Return the largest falls of the score over the last days of event time."""
    query = f"""WITH (SELECT max(as_of) FROM {db.database}.score_now) AS reached
        SELECT enterprise_id, argMin(score, (log_offset, seq)) AS first, argMax(score, (log_offset, seq)) AS last,
            argMax(published_grade, (log_offset, seq)) AS last_grade
        FROM {db.database}.score
        WHERE as_of >= reached - toIntervalDay({FALLS_OVER_DAYS}) AND status != 'withheld'
        GROUP BY enterprise_id HAVING last < first ORDER BY last - first, enterprise_id LIMIT {FALLS_SHOWN}"""
    found = db.rows(query)
    found_names = names(db, [row[0] for row in found])
    return [
        {"enterprise_id": one, "name": found_names.get(one), "score_before": first, "score": last, "grade": grade}
        for one, first, last, grade in found
    ]


def names(db: Connection, enterprise_ids: Sequence[str]) -> dict[str, str]:
    """Return the masked names of enterprises with a master record."""
    if not enterprise_ids:
        return {}
    query = f"""SELECT enterprise_id, name_masked FROM {db.database}.enterprise FINAL
        WHERE enterprise_id IN {{ids:Array(String)}} AND name_masked IS NOT NULL"""
    return {str(one): printable(name) for one, name in db.rows(query, {"ids": list(enterprise_ids)[:NAMES_MAX]})}


def search(db: Connection, text: str) -> list[dict[str, Any]]:
    """Return the enterprises whose id starts with `text`, or whose masked name contains it."""
    query = f"""SELECT s.enterprise_id, e.name_masked, s.score, s.published_grade, s.status
        FROM {db.database}.score_now AS s FINAL LEFT JOIN {db.database}.enterprise AS e FINAL USING enterprise_id
        WHERE startsWith(s.enterprise_id, {{text:String}}) OR position(e.name_masked, {{text:String}}) > 0
        ORDER BY s.enterprise_id LIMIT {FOUND_MAX}"""
    return [
        {
            "enterprise_id": one,
            "name": None if name is None else printable(name),
            "score": score,
            "grade": grade,
            "status": status,
        }
        for one, name, score, grade, status in db.rows(query, {"text": text})
    ]


def banks_now(
    banks: Sequence[Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> tuple[int | None, list[dict[str, Any]]]:
    """Return (event time reached in ms, banks with their completeness).

    banks: id, names, mode, deadline_hours. state: complete (covered up to the last whole day), waiting (the day may
    still come in time), late, stalled, or silent (no record yet). behind_days: whole days.
    """
    reached_ms = max((int(feed["as_of_ms"]) for feed in found.values()), default=None)
    rows = []
    for bank in banks:
        feed = found.get(bank["bank_id"])
        state, behind = "silent", None
        if feed is not None and reached_ms is not None:
            state, behind = _completeness(feed, reached_ms, int(bank["deadline_hours"]))
        covered = None if feed is None or feed["covered_up_to"] is None else int(feed["covered_up_to"])
        rows.append(
            {
                **bank,
                "state": state,
                "behind_days": behind,
                "covered_on": None if covered is None else date_of(covered).isoformat(),
                "last_event_ms": None if feed is None else feed["last_event_ms"],
            }
        )
    return reached_ms, rows


def _completeness(feed: Mapping[str, Any], reached_ms: int, deadline_hours: int) -> tuple[str, int | None]:
    last_whole_day = day_of(reached_ms) - 1
    behind = None if feed["covered_up_to"] is None else max(0, last_whole_day - int(feed["covered_up_to"]))
    if feed["stalled"]:
        return "stalled", behind
    if behind == 0:
        return "complete", 0
    in_time = reached_ms < day_start_ms(last_whole_day + 1) + deadline_hours * DAY_MS // 24
    return ("waiting" if in_time and behind in (1, None) else "late"), behind
