"""Queries of reports to the archive: each is cut to one bank by a parameter, or is the supervisor's, of all.

`bank` is a bank's code, empty for the supervisor. `up_to` is a day number: what is of a later day is left out, so that
a report of the past says what was known then. Unavailable or Refused is raised where ClickHouse fails.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from domain.calendar import DAY_MS, ZONE_OFFSET_MS, day_of
from domain.cases import OPEN
from domain.events import Disposition, LoanEvent
from domain.outputs import CaseChange, CaseStage, Escalation, Severity
from sinks.clickhouse import Connection
from sinks.clickhouse.case_lives import OF_BANK, case_lives, day_before
from sinks.clickhouse.open_loans import open_loans

_MS = "toUnixTimestamp64Milli"
_LOAN_DAY = f"intDiv({_MS}(event_time) + {ZONE_OFFSET_MS}, {DAY_MS})"
_PLACE = "(event_time, log_offset)"
_EVER = 2**31 - 1  # a day number after every other
CaseKey = tuple[str, str]  # bank, case_id
LifeKey = tuple[str, str, int]  # and when the life was opened, ms
Borrower = tuple[str, str]  # bank, enterprise


class Life(NamedTuple):
    """One life of a case as it stood at the end of a day (view `case_life`). Days are day numbers, None: not yet."""

    bank_id: str
    case_id: str
    enterprise_id: str
    opened_ms: int
    state: CaseStage
    severity: Severity | None
    escalation: Escalation
    exposure_minor: int
    due: int | None
    disposition: Disposition | None
    until: int | None
    maker: str | None
    checker: str | None
    measure: str | None
    remark: str | None
    begun: int | None
    submitted: int | None
    closed: int | None
    contact_kept: bool | None
    visit_kept: bool | None
    offset: int

    @property
    def key(self) -> CaseKey:
        return self.bank_id, self.case_id

    @property
    def life_key(self) -> LifeKey:
        return self.bank_id, self.case_id, self.opened_ms

    @property
    def borrower(self) -> Borrower:
        return self.bank_id, self.enterprise_id

    @property
    def opened(self) -> int:
        return day_of(self.opened_ms - 1)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


class Move(NamedTuple):
    """One record of a case."""

    bank_id: str
    case_id: str
    enterprise_id: str
    day: int
    change: CaseChange
    state: CaseStage
    severity: Severity | None
    opened_ms: int
    contact_due: int | None
    visit_due: int | None
    due: int | None
    escalation: Escalation
    exposure_minor: int
    maker: str | None
    checker: str | None
    disposition: Disposition | None
    until: int | None
    measure: str | None
    remark: str | None
    acted_ms: int | None
    offset: int


class Customer(NamedTuple):
    """A borrower as its lender knows it, by the newest word on each. partition: of `events.v1`."""

    partition: int
    customer_no: str | None
    branch_code: str | None
    manager_no: str | None


class LoanReport(NamedTuple):
    """One event of a loan, as far as it says whether that is bad."""

    bank_id: str
    enterprise_id: str
    loan_id: str
    event_ms: int
    event: LoanEvent
    dpd: int | None
    ends: bool
    is_repaid: bool
    partition: int
    offset: int


class Overdue(NamedTuple):
    """An open loan that is past due by its lender's newest word on that. five_class: None, it was never reported."""

    bank_id: str
    enterprise_id: str
    loan_id: str
    outstanding_minor: int
    dpd: int
    five_class: str | None
    partition: int
    offset: int


class LoanNow(NamedTuple):
    """A loan of one borrower by its lender's newest words; None: never reported. schedule: (day, minor units)."""

    loan_id: str
    event: LoanEvent
    outstanding_minor: int
    limit_minor: int | None
    revolving: bool
    matures_on: str | None
    dpd: int | None
    schedule: Sequence[tuple[str, int]]
    partition: int
    offset: int


class TellingOfCase(NamedTuple):
    """The newest revision of an alert that a bank was told of a case, as it was told."""

    signal: str
    severity: Severity
    as_of_ms: int
    title_zh: str
    text_zh: str
    action_zh: str
    offset: int


NOBODY = Customer(-1, None, None, None)


def closed_up_to(db: Connection, bank: str) -> int | None:
    """Return the last day that the bank's feed has closed (of the supervisor: that any has); None where none has."""
    query = f"SELECT max(closed_up_to) FROM {db.database}.feed FINAL WHERE {OF_BANK}"
    ((day,),) = db.rows(query, {"bank": bank})
    return None if day is None else int(day)


def lives(db: Connection, bank: str, up_to: int) -> list[Life]:
    """Return the lives of cases as of the end of a day, in the order of bank, case and opening."""

    def day(time: str) -> str:
        """Return a day number, null of a moment that has not come."""
        return f"if({_MS}({time}) = 0, NULL, {day_before(time)})"

    query = f"""SELECT bank_id, case_id, enterprise, {_MS}(opened_at), state_now, severity_now, escalation_now,
            exposure, due_now, disposition_now, until_now, maker_now, checked_by, measure_taken, remark_made,
            {day("begun_at")}, {day("submitted_at")}, {day("closed_at")}, contact_kept, visit_kept, newest.1
        FROM ({case_lives(db.database)}) ORDER BY bank_id, case_id, opened_at"""
    return [
        Life(*row)._replace(contact_kept=_judged(row[18]), visit_kept=_judged(row[19]))
        for row in db.rows(query, {"bank": bank, "up_to": up_to})
    ]


def moves(
    db: Connection, bank: str, up_to: int, *, enterprises: Collection[str], due: tuple[int, int] = (1, 0)
) -> dict[CaseKey, list[Move]]:
    """Return the records of the cases of some enterprises, by case, in the order of the log.

    due: also those of enterprises with a case that had a due day from the first to the second day.
    """
    between = "BETWEEN {from:Int32} AND {to:Int32}"
    query = f"""SELECT bank_id, case_id, enterprise_id, {day_before("as_of")} AS day, change, state, severity,
            {_MS}(opened_at), contact_due, visit_due, due, escalation, exposure_minor, maker, checker, disposition,
            until, measure, remark, {_MS}(acted_at), log_offset
        FROM {db.database}.case_record FINAL
        WHERE {OF_BANK} AND day <= {{up_to:Int32}} AND (enterprise_id IN {{enterprises:Array(String)}}
            OR enterprise_id IN (SELECT enterprise_id FROM {db.database}.case_record
                WHERE {OF_BANK} AND (contact_due {between} OR visit_due {between})))
        ORDER BY bank_id, case_id, log_offset, seq"""
    asked = {"bank": bank, "up_to": up_to, "enterprises": sorted(enterprises), "from": due[0], "to": due[1]}
    found: dict[CaseKey, list[Move]] = {}
    for row in db.rows(query, asked):
        found.setdefault((row[0], row[1]), []).append(Move(*row))
    return found


def signals_told(db: Connection, bank: str, up_to: int) -> dict[LifeKey, list[str]]:
    """Return, by life of a case, the signals that the bank was told of in it, in the order of the first time.

    Of a revision these are its own signal, and those that the case was made of. Notices of other banks are left out.
    """
    query = f"""SELECT bank_id, case_id, {_MS}(life_opened_at) AS opened, name FROM (
            SELECT bank_id, case_id, life_opened_at, as_of, arrayJoin(arrayConcat([toString(signal)],
                arrayFilter(one -> NOT startsWith(one, 'score.'), arrayMap(one -> toString(one), case_names))
            )) AS name
            FROM {db.database}.told_in_life WHERE {OF_BANK} AND {day_before("as_of")} <= {{up_to:Int32}}
        ) GROUP BY bank_id, case_id, opened, name ORDER BY bank_id, case_id, opened, min(as_of), name"""
    found: dict[LifeKey, list[str]] = {}
    for bank_id, case_id, opened_ms, name in db.rows(query, {"bank": bank, "up_to": up_to}):
        found.setdefault((bank_id, case_id, opened_ms), []).append(name)
    return found


def customers(db: Connection, bank: str, up_to: int) -> Mapping[Borrower, Customer]:
    """Return the borrowers as their lenders know them, by bank and enterprise."""
    facts = ", ".join(
        f"argMaxIf({name}, {_PLACE}, {name} IS NOT NULL)" for name in ("customer_no", "branch_code", "manager_no")
    )
    query = f"""SELECT bank_id, enterprise_id, any(log_partition), {facts} FROM {db.database}.loan FINAL
        WHERE {OF_BANK} AND {_LOAN_DAY} <= {{up_to:Int32}} GROUP BY bank_id, enterprise_id"""
    return {(row[0], row[1]): Customer(*row[2:]) for row in db.rows(query, {"bank": bank, "up_to": up_to})}


def loan_reports(db: Connection, bank: str, up_to: int) -> list[LoanReport]:
    """Return the events of loans of which one says that it is bad, by loan, in the order of their time."""
    known = f"{OF_BANK} AND {_LOAN_DAY} <= {{up_to:Int32}}"
    query = f"""SELECT bank_id, enterprise_id, loan_id, {_MS}(event_time), event, dpd,
            event = 'closed' OR (event = 'repaid' AND outstanding_minor = 0
                AND NOT (revolving AND ifNull(limit_minor, 0) > 0)) AS ends,
            outstanding_minor = 0 AS is_repaid, log_partition, log_offset
        FROM {db.database}.loan FINAL
        WHERE {known} AND (bank_id, enterprise_id, loan_id) IN (
            SELECT bank_id, enterprise_id, loan_id FROM {db.database}.loan FINAL
            WHERE {known} AND (dpd > 30 OR event IN ('default', 'advance', 'written_off')))
        ORDER BY bank_id, enterprise_id, loan_id, event_time, log_offset"""
    return [
        LoanReport(*row)._replace(ends=bool(row[6]), is_repaid=bool(row[7]))
        for row in db.rows(query, {"bank": bank, "up_to": up_to})
    ]


def overdue_loans(db: Connection, bank: str, up_to: int, enterprise: str = "") -> list[Overdue]:
    """Return the open loans that are past due (of one enterprise, where one is given), the longest first."""
    known = f"{OF_BANK} AND {_LOAN_DAY} <= {{up_to:Int32}}"
    query = f"""SELECT bank_id, enterprise_id, loan_id, argMax(outstanding_minor, {_PLACE}),
            ifNull(argMaxIf(dpd, {_PLACE}, dpd IS NOT NULL), 0) AS days,
            argMaxIf(five_class, {_PLACE}, five_class IS NOT NULL),
            any(log_partition), max(log_offset)
        FROM {db.database}.loan FINAL
        WHERE {known} AND ({{one:String}} = '' OR enterprise_id = {{one:String}})
            AND (enterprise_id, bank_id, loan_id) IN ({open_loans(db.database, known)})
        GROUP BY bank_id, enterprise_id, loan_id HAVING days > 0
        ORDER BY days DESC, bank_id, enterprise_id, loan_id"""
    return [Overdue(*row) for row in db.rows(query, {"bank": bank, "up_to": up_to, "one": enterprise})]


def case_ids(db: Connection, bank: str) -> list[str]:
    """Return the ids of a bank's cases."""
    query = f"SELECT DISTINCT case_id FROM {db.database}.case_record WHERE bank_id = {{bank:String}} ORDER BY case_id"
    return [str(row[0]) for row in db.rows(query, {"bank": bank})]


def moves_of(db: Connection, bank: str, case_id: str) -> list[Move]:
    """Return all records of a bank's case, in the order of the log."""
    query = f"""SELECT any(enterprise_id) FROM {db.database}.case_record
        WHERE bank_id = {{bank:String}} AND case_id = {{case:String}}"""
    ((enterprise,),) = db.rows(query, {"bank": bank, "case": case_id})
    return moves(db, bank, _EVER, enterprises=[enterprise])[bank, case_id]


def told_of(db: Connection, bank: str, case_id: str) -> list[TellingOfCase]:
    """Return the newest revision of each alert that the bank was told of a case, the newest first."""
    query = f"""SELECT signal, severity, {_MS}(as_of), title_zh, text_zh, suggested_action_zh, log_offset
        FROM {db.database}.alert_told FINAL
        WHERE bank_id = {{bank:String}} AND case_id = {{case:String}}
        ORDER BY revision DESC, log_offset DESC LIMIT 1 BY alert_id"""
    found = [TellingOfCase(*row) for row in db.rows(query, {"bank": bank, "case": case_id})]
    return sorted(found, key=lambda one: (-one.as_of_ms, -one.offset, one.signal))


def claim_of(db: Connection, bank: str, case_id: str) -> tuple[int, int] | None:
    """Return (ppm, day) of the newest probability of a default that the bank was told of a case; None: of none."""
    query = f"""SELECT case_pd_12m_ppm, {day_before("as_of")} FROM {db.database}.alert_told FINAL
        WHERE bank_id = {{bank:String}} AND case_id = {{case:String}} AND case_pd_12m_ppm IS NOT NULL
        ORDER BY log_offset DESC, seq DESC LIMIT 1"""
    found = db.rows(query, {"bank": bank, "case": case_id})
    return (int(found[0][0]), int(found[0][1])) if found else None


def loans_of(db: Connection, bank: str, enterprise: str) -> list[LoanNow]:
    """Return a bank's loans to an enterprise, by id."""
    query = f"""SELECT loan_id, argMax(event, {_PLACE}), argMax(outstanding_minor, {_PLACE}),
            argMaxIf(limit_minor, {_PLACE}, limit_minor IS NOT NULL), argMax(revolving, {_PLACE}),
            argMaxIf(due_on, {_PLACE}, due_on IS NOT NULL AND event != 'instalment_due'),
            argMaxIf(dpd, {_PLACE}, dpd IS NOT NULL),
            argMaxIf(arrayZip(schedule_due_on, schedule_due_minor), {_PLACE}, notEmpty(schedule_due_on)),
            any(log_partition), max(log_offset)
        FROM {db.database}.loan FINAL WHERE bank_id = {{bank:String}} AND enterprise_id = {{one:String}}
        GROUP BY loan_id ORDER BY loan_id"""
    return [LoanNow(*row) for row in db.rows(query, {"bank": bank, "one": enterprise})]


def profiles(db: Connection) -> dict[str, tuple[str, str]]:
    """Return (industry, region) of each enterprise. For the supervisor: it is no bank's."""
    query = f"SELECT enterprise_id, industry, region FROM {db.database}.enterprise FINAL"
    return {row[0]: (row[1], row[2]) for row in db.rows(query)}


def versions(db: Connection, first: int, last: int) -> list[tuple[str, str, int, int, int]]:
    """Return (rules, model, alerts, first day, last day) of those that alerts of some days rest on."""
    day = day_before("as_of")
    query = f"""SELECT rules_id, model_id, count(), min({day}), max({day}) FROM {db.database}.alert FINAL
        WHERE {day} BETWEEN {{first:Int32}} AND {{last:Int32}}
        GROUP BY rules_id, model_id ORDER BY min({day}), rules_id, model_id"""
    return [tuple(row) for row in db.rows(query, {"first": first, "last": last})]


def _judged(kept: Any) -> bool | None:
    return None if kept is None else bool(kept)
