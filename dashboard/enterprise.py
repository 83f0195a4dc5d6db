"""One enterprise for its page: score with its parts and reasons, time series, alerts, loans, transactions.

Values from outside are bound by the server, never written into a statement. Money is in minor units (CNY), times are
epoch milliseconds, days are day numbers. Unavailable or Refused is raised where ClickHouse fails.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType

from dashboard.parts import whole_parts
from dashboard.sentences import alert_shown, claim_shown, reason_texts
from domain.calendar import day_of, day_start_ms
from domain.outputs import (
    GROUPS,
    AlertState,
    CaseLine,
    CaseState,
    DataDate,
    Evidence,
    LoanOfAlert,
    LoansMore,
    ProvisionalCalendar,
    Severity,
)
from domain.printable import printable
from sinks.clickhouse import Connection
from sinks.clickhouse.open_loans import open_loans
from streams.sentences import Sentences

MICRO = 1_000_000
DAYS_SHOWN = 90
ALERTS_SHOWN, TXNS_SHOWN, LOANS_SHOWN = 100, 50, 50
_MS = "toUnixTimestamp64Milli"
_DAY = f"intDiv({_MS}(event_time) + 28800000, 86400000)"  # domain.calendar.day_of


class Revised(NamedTuple):
    """One revision of an alert from the archive: the supervisor's, with all amounts and without loans."""

    alert_id: str
    revision: int
    enterprise_id: str
    signal: str
    severity: Severity
    case_severity: Severity | None
    state: AlertState
    reason: str
    stock: bool
    opened_at: int
    as_of: int
    score: int
    score_before: int | None
    evidence: Sequence[Evidence]
    banks: Sequence[str]
    rules_id: str
    provisional_calendar: ProvisionalCalendar
    true_closes: int | UnsetType
    clear_closes: int | UnsetType
    loans: Sequence[LoanOfAlert]
    loans_more: LoansMore | UnsetType
    case_state: CaseState | UnsetType = UNSET
    case_severity_before: Severity | UnsetType | None = UNSET
    case_pd_12m_ppm: int | UnsetType = UNSET
    case_lines: Sequence[CaseLine] | UnsetType = UNSET
    data_dates: Sequence[DataDate] | UnsetType = UNSET


def enterprise(db: Connection, enterprise_id: str, sentences: Sentences) -> dict[str, Any] | None:
    """Return everything about one enterprise; None where it never had a score."""
    asked = {"id": enterprise_id}
    now = _score_now(db, asked)
    if now is None:
        return None
    day = day_of(now["as_of_ms"] - 1)
    return {
        "enterprise_id": enterprise_id,
        "profile": _profile(db, asked),
        "score": {**now, "extrapolated": not _has_open_loan(db, asked)},
        "days": [day - DAYS_SHOWN + 1, day],
        "scores": _scores(db, asked, day),
        "balances": _balances(db, asked, day),
        "alerts": _alerts(db, asked, sentences),
        "loans": _loans(db, asked),
        "txns": _txns(db, asked),
    }


def _score_now(db: Connection, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    groups = ", ".join(f"{name}_milli" for name in GROUPS)
    query = f"""SELECT {_MS}(as_of), score, p_overdue30_90d_ppm, pd_12m_ppm, status, status_reason, grade,
            published_grade, coverage_ppm, prior, provisional_calendar, model_id, rules_id, engine_version,
            reason_indicators, reason_points_milli, reason_values_micro, reason_baselines_micro, cap_milli, {groups}
        FROM {db.database}.score_now FINAL WHERE enterprise_id = {{id:String}}"""
    found = db.rows(query, asked)
    if not found:
        return None
    fields = (
        "as_of_ms", "score", "p_overdue30_90d_ppm", "pd_12m_ppm", "status", "status_reason", "grade",
        "published_grade", "coverage_ppm", "prior", "provisional_calendar", "model_id", "rules_id", "engine_version",
    )  # fmt: skip
    row = found[0]
    now: dict[str, Any] = dict(zip(fields, row, strict=False))
    reasons, (cap_milli, *group_milli) = row[len(fields) : len(fields) + 4], row[len(fields) + 4 :]
    milli = {**dict(zip(GROUPS, group_milli, strict=True)), "cap": cap_milli}
    now["parts_milli"], now["parts"] = milli, whole_parts(now["score"], milli)
    now["reasons"] = [_reason(*reason) for reason in zip(*reasons, strict=True)]
    return now


def _reason(indicator: str, points_milli: int, value_micro: int | None, baseline_micro: int) -> dict[str, Any]:
    value, baseline = None if value_micro is None else value_micro / MICRO, baseline_micro / MICRO
    texts = reason_texts(indicator, value, baseline)
    return {"indicator": indicator, "value": value, "baseline": baseline, "points_milli": points_milli, "said": texts}


def _profile(db: Connection, asked: Mapping[str, Any]) -> dict[str, Any]:
    query = f"""SELECT name_masked, industry, region, size_class, opened_on FROM {db.database}.enterprise FINAL
        WHERE enterprise_id = {{id:String}}"""
    found = db.rows(query, asked)
    if not found:
        return {}
    name, industry, region, size_class, opened_on = found[0]
    return {
        "name": None if name is None else printable(name),
        "industry": industry,
        "region": region,
        "size_class": size_class,
        "opened_on": opened_on,
    }


def _scores(db: Connection, asked: Mapping[str, Any], last_day: int) -> list[list[int]]:
    """Return [time, score] of emitted scores in the shown days, at most one an hour, and of the last before."""
    since_ms = day_start_ms(last_day - DAYS_SHOWN + 1)
    query = f"""SELECT {_MS}(max(as_of)), argMax(score, (log_offset, seq))
        FROM {db.database}.score WHERE enterprise_id = {{id:String}}
        GROUP BY if({_MS}(as_of) < {{since:Int64}}, -1, intDiv({_MS}(as_of), 3600000)) AS hour ORDER BY hour"""
    found = db.rows(query, {**asked, "since": since_ms})
    return [[max(int(at_ms), since_ms), int(score)] for at_ms, score in found]


def _balances(db: Connection, asked: Mapping[str, Any], last_day: int) -> list[list[int | None]]:
    """Return [day, sum over accounts of the booked balance at its end] of the shown days."""
    query = f"""SELECT {_DAY} AS day, bank_id, account, argMax(balance_minor, (event_time, log_offset))
        FROM {db.database}.txn FINAL
        WHERE enterprise_id = {{id:String}} AND balance_minor IS NOT NULL AND day <= {{last:Int64}}
        GROUP BY day, bank_id, account ORDER BY day"""
    rows = db.rows(query, {**asked, "last": last_day})
    found = [(int(on), (bank, account), int(balance)) for on, bank, account, balance in rows]
    return daily_totals(found, last_day - DAYS_SHOWN + 1, last_day)


def daily_totals(
    last_of_day: Sequence[tuple[int, tuple[str, str], int]], first_day: int, last_day: int
) -> list[list[int | None]]:
    """Return the total over accounts at the end of each day; an account keeps its balance until the next one.

    last_of_day: (day, account, balance) ascending by day. A total is None before the first balance.

    >>> daily_totals([(1, ("b", "x"), 5), (3, ("b", "y"), 7), (3, ("b", "x"), 1)], 0, 3)
    [[0, None], [1, 5], [2, 5], [3, 8]]
    """
    balances: dict[tuple[str, str], int] = {}
    left = list(reversed(last_of_day))
    totals: list[list[int | None]] = []
    for day in range(first_day, last_day + 1):
        while left and left[-1][0] <= day:
            _, account, balance = left.pop()
            balances[account] = balance
        totals.append([day, sum(balances.values()) if balances else None])
    return totals


def _alerts(db: Connection, asked: Mapping[str, Any], sentences: Sentences) -> list[dict[str, Any]]:
    """Return every revision, newest first; those held back by a backfill are marked."""
    columns = f"""alert_id, revision, enterprise_id, signal, severity, case_severity, state, reason, stock,
        {_MS}(opened_at) AS opened_ms, {_MS}(as_of) AS as_of_ms, score, score_before, evidence_names,
        evidence_values_micro, banks, rules_id, provisional_calendar, true_closes, clear_closes, case_pd_12m_ppm,
        case_names, case_points_milli"""
    query = f"""SELECT * FROM (
            SELECT {columns}, 0 AS backfill FROM {db.database}.alert FINAL WHERE enterprise_id = {{id:String}}
            UNION ALL
            SELECT {columns}, 1 AS backfill FROM {db.database}.alert_backfill FINAL WHERE enterprise_id = {{id:String}}
        ) ORDER BY as_of_ms DESC, alert_id, revision DESC LIMIT {ALERTS_SHOWN}"""
    return [_alert(sentences, *row) for row in db.rows(query, asked)]


def _alert(sentences: Sentences, *row: Any) -> dict[str, Any]:
    *front, names, values, banks, rules_id, is_provisional, true, clear, pd_ppm, case_names, case_points, back = row
    evidence = [Evidence(name=name, value_micro=x) for name, x in zip(names, values, strict=True)]
    provisional: ProvisionalCalendar = True if is_provisional else UNSET
    alert = Revised(*(*front, evidence, banks, rules_id, provisional, true, clear, (), UNSET))
    if not alert.case_severity:  # it belonged to no case
        alert = alert._replace(case_severity=None)
    shown = alert_shown(sentences, alert, backfill=back)
    # A sentence would say what stands in no column: which of the case's signals is in which finding, since when.
    claim = claim_shown(alert._replace(case_pd_12m_ppm=pd_ppm), zip(case_names, case_points, strict=True))
    return {**shown, "claim": claim}


def _loans(db: Connection, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the newest facts of each loan."""
    last = "(event_time, log_offset)"
    query = f"""SELECT bank_id, loan_id, argMax(event, {last}), argMax(principal_minor, {last}),
            argMax(outstanding_minor, {last}), argMax(tuple(due_on), {last}).1, argMax(tuple(dpd), {last}).1,
            argMaxIf(five_class, {last}, five_class IS NOT NULL), any(granted_on), {_MS}(max(event_time)) AS at_ms
        FROM {db.database}.loan FINAL WHERE enterprise_id = {{id:String}}
        GROUP BY bank_id, loan_id ORDER BY at_ms DESC, loan_id LIMIT {LOANS_SHOWN}"""
    fields = (
        "bank_id", "loan_id", "event", "principal_minor", "outstanding_minor", "due_on", "dpd", "five_class",
        "granted_on", "at_ms",
    )  # fmt: skip
    return [dict(zip(fields, row, strict=True)) for row in db.rows(query, asked)]


def _has_open_loan(db: Connection, asked: Mapping[str, Any]) -> bool:
    loans = open_loans(db.database, "enterprise_id = {id:String}")
    return bool(db.rows(f"SELECT count() FROM ({loans})", asked)[0][0])


def _txns(db: Connection, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the newest transactions."""
    query = f"""SELECT {_MS}(event_time) AS at_ms, bank_id, direction, amount_minor, currency, balance_minor, purpose,
            counterparty_kind, status, memo
        FROM {db.database}.txn FINAL WHERE enterprise_id = {{id:String}}
        ORDER BY event_time DESC, log_offset DESC LIMIT {TXNS_SHOWN}"""
    fields = (
        "at_ms", "bank_id", "direction", "amount_minor", "currency", "balance_minor", "purpose", "counterparty_kind",
        "status", "memo",
    )  # fmt: skip
    found = [dict(zip(fields, row, strict=True)) for row in db.rows(query, asked)]
    return [{**txn, "memo": None if txn["memo"] is None else printable(txn["memo"])} for txn in found]
