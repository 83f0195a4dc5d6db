"""The tables of the archive: which records of which topic make a row of which table, and the columns of each.

A row can come again (a restart repeats): rows of one sorting key are one logical row, that of the highest `version`.
"""

import functools
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from config.settings import Bank
from domain import topics
from domain.events import Authorization, Loan, LogRecord, Profile, Txn
from domain.outputs import (
    GROUPS,
    Alert,
    CaseRecord,
    DeadLetter,
    FeedHealth,
    FeedMessage,
    Indicators,
    ModelMessage,
    MonthReport,
    Score,
)
from sinks.clickhouse.rows import TIME, WORD, WORD_OR_NULL, Column, Read, Records, Table, each, fields

VERSION_OF_FIRST = 2**63
SEQ_BITS = 16


def _first_wins(records: Records) -> list[int]:
    return [VERSION_OF_FIRST - offset for offset in records.offsets]


def _partition(records: Records) -> list[int]:
    return [records.partition] * len(records)


def _by_log(score: Score) -> int:
    """Return (offset, seq) as one number: a record gives an enterprise far fewer than 2^16 outputs."""
    return score.offset << SEQ_BITS | min(score.seq, 2**SEQ_BITS - 1)


def _bank_told(records: Records) -> list[str]:
    return [topics.alerted_bank(records.topic)] * len(records)


def _group(name: str) -> Read:
    return lambda value: value.groups_milli[name]


def _listed(field: str) -> Read:
    read = operator.attrgetter(field)
    return lambda value: tuple(read(value))


def _names(indicators: Indicators) -> tuple[str, ...]:
    """Return the indicators with a value and those without, in one order for every row."""
    return _sorted((*indicators.values_micro, *indicators.null_reasons))


@functools.lru_cache(maxsize=1_024)
def _sorted(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names sorted. Most rows have the same names as others, and so share one tuple."""
    return tuple(sorted(names))


def _values_micro(indicators: Indicators) -> tuple[int | None, ...]:
    return tuple(map(indicators.values_micro.get, _names(indicators)))


def _null_reasons(indicators: Indicators) -> tuple[str, ...]:
    """Return, for each name, why the value is null, or empty."""
    return tuple([indicators.null_reasons.get(name, "") for name in _names(indicators)])


def _is_provisional(value: Score | Alert) -> bool:
    return value.provisional_calendar is True


def _provisional_names(indicators: Indicators) -> tuple[str, ...]:
    names = indicators.provisional_calendar
    return () if names is msgspec.UNSET else tuple(names)


def _by_name(field: str, names: str, values: str) -> tuple[Column, ...]:
    """Return two columns of a field with integers by name: the names, sorted, and their values."""
    read = operator.attrgetter(field)
    return (
        (names, f"Array({WORD})", "value", lambda value: tuple(sorted(read(value)))),
        (values, "Array(Int64)", "value", lambda value: tuple(number for _, number in sorted(read(value).items()))),
    )


def _or_empty(field: str) -> Read:
    """Return a reader of a word that is absent or null where there is none."""
    read = operator.attrgetter(field)
    return lambda value: read(value) or ""


def _or_zero(field: str) -> Read:
    """Return a reader of a number that is absent where it is zero."""
    read = operator.attrgetter(field)
    return lambda value: read(value) or 0


def _case_pd(alert: Alert) -> int | None:
    return None if alert.case_pd_12m_ppm is msgspec.UNSET else alert.case_pd_12m_ppm


def _case_lines(field: str) -> Read:
    read = operator.attrgetter(field)
    return lambda value: tuple(map(read, value.case_lines or ()))


_FIGURES = "Array(Nullable(Int64))"
_PROVISIONAL: Column = ("provisional_calendar", "UInt8", "value", _is_provisional)
_OF_EVENT = {"enterprise_id": "String", "bank_id": WORD, "event_id": "String", "event_time": TIME}
_READ_AT: tuple[Column, ...] = (
    ("log_partition", "Int32", "records", _partition),
    ("log_offset", "Int64", "records", operator.attrgetter("offsets")),
    ("log_time", TIME, "records", operator.attrgetter("times_ms")),
)
_FIRST_WINS: Column = ("version", "UInt64", "records", _first_wins)
_LAST_WINS: Column = ("version", "UInt64", "records", operator.attrgetter("offsets"))

TXN = Table(
    name="txn",
    columns=(
        *fields(
            "fact",
            {
                **_OF_EVENT,
                "date_only": "UInt8",
                "account": "String",
                "direction": WORD,
                "amount_minor": "Int64",
                "currency": WORD,
                "balance_minor": "Nullable(Int64)",
                "counterparty_id": "Nullable(String)",
                "counterparty_account": "Nullable(String)",
                "counterparty_bank_code": WORD_OR_NULL,
                "counterparty_kind": WORD_OR_NULL,
                "purpose": WORD_OR_NULL,
                "summary_code": WORD_OR_NULL,
                "channel": WORD_OR_NULL,
                "status": WORD,
                "ref_event_id": "Nullable(String)",
                "ref_event_time": f"Nullable({TIME})",
                "return_reason": "Nullable(String)",
                "memo": "Nullable(String)",
            },
        ),
        *fields(
            "value",
            {
                "amount_cny_minor": "Nullable(Int64)",
                "rate_micro": "Nullable(Int64)",
                "rate_day": "Nullable(Int32)",
                "fingerprint": "String",
            },
        ),
        *_READ_AT,
        _FIRST_WINS,
    ),
)

LOAN = Table(
    name="loan",
    columns=(
        *fields(
            "fact",
            {
                **_OF_EVENT,
                "loan_id": "String",
                "event": WORD,
                "principal_minor": "Int64",
                "outstanding_minor": "Int64",
                "limit_minor": "Nullable(Int64)",
                "revolving": "UInt8",
                "repayment_method": WORD,
                "granted_on": "String",
                "due_on": "Nullable(String)",
                "due_minor": "Nullable(Int64)",
                "dpd": "Nullable(Int32)",
                "five_class": WORD_OR_NULL,
                "classified_on": "Nullable(String)",
                "renews_loan_id": "Nullable(String)",
                "declared_use": "Nullable(String)",
                "entrusted_payee_id": "Nullable(String)",
                "guarantee_type": WORD_OR_NULL,
                "customer_no": "Nullable(String)",
                "contract_no": "Nullable(String)",
                "product_code": WORD_OR_NULL,
                "branch_code": WORD_OR_NULL,
                "manager_no": WORD_OR_NULL,
                "first_loan": "UInt8",
                "reason": "Nullable(String)",
            },
        ),
        ("guarantors", "Array(String)", "fact", _listed("guarantors")),
        *each(
            "fact",
            "schedule",
            {"schedule_due_on": ("Array(String)", "due_on"), "schedule_due_minor": ("Array(Int64)", "due_minor")},
        ),
        *_READ_AT,
        _FIRST_WINS,
    ),
)

CONSENT = Table(
    name="consent",
    columns=(
        *fields(
            "fact",
            {
                **_OF_EVENT,
                "to_bank_id": WORD,
                "purpose": WORD,
                "valid_from": TIME,
                "valid_to": TIME,
                "authorization_id": "String",
                "consent_hash": "String",
                "confirmed_by_enterprise_at": TIME,
                "revoked": "UInt8",
            },
        ),
        *_READ_AT,
        _FIRST_WINS,
    ),
)

ENTERPRISE = Table(
    name="enterprise",
    newest_only=True,
    columns=(
        *fields(
            "fact",
            {
                "enterprise_id": "String",
                "event_time": TIME,
                "industry": WORD,
                "region": WORD,
                "size_class": WORD,
                "registered_capital_minor": "Nullable(Int64)",
                "paid_in_capital_minor": "Nullable(Int64)",
                "opened_on": "Nullable(String)",
                "declared_annual_sales_minor": "Nullable(Int64)",
                "name_masked": "Nullable(String)",
                "succeeds_id": "Nullable(String)",
            },
        ),
        ("related_party_ids", "Array(String)", "fact", _listed("related_party_ids")),
        *_READ_AT,
        _LAST_WINS,
    ),
)

_POINTS: tuple[Column, ...] = (
    *fields(
        "value",
        {
            "enterprise_id": "String",
            "seq": "Int32",
            "as_of": TIME,
            "score": "Int32",
            "score_milli": "Int32",
            "p_overdue30_90d_ppm": "Int32",
            "pd_12m_ppm": "Nullable(Int32)",
            "status": WORD,
            "status_reason": "String",
            "grade": WORD,
            "published_grade": WORD,
            "cap_milli": "Int32",
            "coverage_ppm": "Int32",
            "prior": "UInt8",
            "model_id": WORD,
            "rules_id": WORD,
            "engine_version": WORD,
        },
    ),
    *((f"{name}_milli", "Int32", "value", _group(name)) for name in GROUPS),
    _PROVISIONAL,
    ("log_offset", "Int64", "value", operator.attrgetter("offset")),
    *each(
        "value",
        "reason_codes",
        {
            "reason_indicators": ("Array(String)", "indicator"),
            "reason_points_milli": ("Array(Int32)", "points_milli"),
            "reason_values_micro": ("Array(Nullable(Int64))", "value_micro"),
            "reason_baselines_micro": ("Array(Int64)", "baseline_micro"),
        },
    ),
)
SCORE = Table(name="score", columns=(*_POINTS, _LAST_WINS))
SCORE_NOW = Table(name="score_now", newest_only=True, columns=(*_POINTS, ("version", "UInt64", "value", _by_log)))

_REVISION: tuple[Column, ...] = (
    *fields(
        "value",
        {
            "enterprise_id": "String",
            "alert_id": "String",
            "revision": "Int32",
            "episode_id": "String",
            "case_id": "String",
            "signal": WORD,
            "severity": WORD,
            "state": WORD,
            "reason": WORD,
            "stock": "UInt8",
            "opened_at": TIME,
            "as_of": TIME,
            "score": "Int32",
            "score_before": "Nullable(Int32)",
            "event_ids": "Array(String)",
            "banks": "Array(String)",
            "title_zh": "String",
            "text_zh": "String",
            "suggested_action_zh": "String",
            "model_id": WORD,
            "rules_id": WORD,
            "seq": "Int32",
        },
    ),
    ("case_severity", WORD, "value", _or_empty("case_severity")),
    ("case_state", WORD, "value", _or_empty("case_state")),
    ("case_severity_before", WORD, "value", _or_empty("case_severity_before")),
    ("case_pd_12m_ppm", "Nullable(Int32)", "value", _case_pd),
    ("true_closes", "UInt16", "value", _or_zero("true_closes")),
    ("clear_closes", "UInt16", "value", _or_zero("clear_closes")),
    _PROVISIONAL,
    ("log_offset", "Int64", "value", operator.attrgetter("offset")),
    ("log_time", TIME, "records", operator.attrgetter("times_ms")),
    *each(
        "value",
        "evidence",
        {
            "evidence_names": ("Array(String)", "name"),
            "evidence_values_micro": ("Array(Nullable(Int64))", "value_micro"),
        },
    ),
    ("case_names", f"Array({WORD})", "value", _case_lines("name")),
    ("case_points_milli", "Array(Int32)", "value", _case_lines("points_milli")),
    _LAST_WINS,
)
ALERT = Table(name="alert", columns=_REVISION)
ALERT_BACKFILL = Table(name="alert_backfill", columns=_REVISION)
ALERT_TOLD = Table(name="alert_told", columns=(("bank_id", WORD, "records", _bank_told), *_REVISION))

CASE_RECORD = Table(
    name="case_record",
    columns=(
        *fields(
            "value",
            {
                "bank_id": WORD,
                "case_id": "String",
                "enterprise_id": "String",
                "state": WORD,
                "change": WORD,
                "severity": WORD_OR_NULL,
                "opened_at": TIME,
                "as_of": TIME,
                "contact_due": "Nullable(Int32)",
                "visit_due": "Nullable(Int32)",
                "due": "Nullable(Int32)",
                "escalation": WORD,
                "exposure_minor": "Int64",
                "maker": "Nullable(String)",
                "checker": "Nullable(String)",
                "disposition": WORD_OR_NULL,
                "until": "Nullable(Int32)",
                "measure": "Nullable(String)",
                "remark": "Nullable(String)",
                "event_id": "Nullable(String)",
                "acted_at": f"Nullable({TIME})",
                "seq": "Int32",
            },
        ),
        ("log_offset", "Int64", "value", operator.attrgetter("offset")),
        ("log_time", TIME, "records", operator.attrgetter("times_ms")),
        _LAST_WINS,
    ),
)

INDICATOR = Table(
    name="indicator",
    columns=(
        *fields(
            "value",
            {
                "enterprise_id": "String",
                "day": "Int32",
                "as_of": TIME,
                "catalogue_id": WORD,
                "engine_version": WORD,
                "seq": "Int32",
            },
        ),
        ("log_offset", "Int64", "value", operator.attrgetter("offset")),
        ("names", f"Array({WORD})", "value", _names),
        ("values_micro", "Array(Nullable(Int64))", "value", _values_micro),
        ("null_reasons", f"Array({WORD})", "value", _null_reasons),
        ("provisional_calendar", f"Array({WORD})", "value", _provisional_names),
        ("log_time", TIME, "records", operator.attrgetter("times_ms")),
        _LAST_WINS,
    ),
)

DEAD_LETTER = Table(
    name="dead_letter",
    columns=(
        *fields(
            "value",
            {
                "topic": WORD,
                "partition": "Int32",
                "offset": "Int64",
                "reason": WORD,
                "field": WORD_OR_NULL,
                "payload_bytes": "Int64",
            },
        ),
        ("log_time", TIME, "records", operator.attrgetter("times_ms")),
        _LAST_WINS,
    ),
)

FEED = Table(
    name="feed",
    newest_only=True,
    columns=(
        *fields(
            "value",
            {
                "bank_id": "String",
                "last_event_time": f"Nullable({TIME})",
                "covered_up_to": "Nullable(Int32)",
                "closed_up_to": "Nullable(Int32)",
                "stalled": "UInt8",
                "oldest_unread_event_time": f"Nullable({TIME})",
                "as_of": TIME,
            },
        ),
        ("log_time", TIME, "records", operator.attrgetter("times_ms")),
        _LAST_WINS,
    ),
)

MODEL_MONTH = Table(
    name="model_month",
    columns=(
        *fields("value", {"month": "Int32", "model_id": WORD, "in_force_id": WORD, "concept_drift": "UInt8"}),
        ("drift", "Array(String)", "value", _listed("drift")),
        *_by_name("labels", "label_kinds", "label_counts"),
        *_by_name("weights_milli", "weight_names", "weights_milli"),
        *_by_name("psi_micro", "psi_names", "psi_micro"),
        *_by_name("psi_in_force_micro", "psi_in_force_names", "psi_in_force_micro"),
        *each(
            "value",
            "models",
            {
                "models": (f"Array({WORD})", "model"),
                "windows": (f"Array({WORD})", "window"),
                "examples": ("Array(Int64)", "n"),
                "bad": ("Array(Int64)", "bad"),
                "silent": ("Array(Int64)", "silent"),
                "auc_micro": (_FIGURES, "auc.value_micro"),
                "auc_low_micro": (_FIGURES, "auc.low_micro"),
                "auc_high_micro": (_FIGURES, "auc.high_micro"),
                "ks_micro": (_FIGURES, "ks.value_micro"),
                "gini_micro": (_FIGURES, "gini.value_micro"),
                "log_loss_micro": (_FIGURES, "log_loss.value_micro"),
                "brier_micro": (_FIGURES, "brier.value_micro"),
            },
        ),
        ("log_time", TIME, "records", operator.attrgetter("times_ms")),
        _LAST_WINS,
    ),
)

ALL = (
    TXN, LOAN, CONSENT, ENTERPRISE, SCORE, SCORE_NOW, ALERT, ALERT_BACKFILL, ALERT_TOLD, CASE_RECORD, INDICATOR,
    DEAD_LETTER, FEED, MODEL_MONTH,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """The tables of a topic.

    Topics that share one of these share blocks: the alerts of all banks are one block a second. kind: type that records
    are decoded to. tables: by class, where a record goes; a record of another class makes no row.
    """

    kind: Any
    tables: Mapping[type[msgspec.Struct], tuple[Table, ...]]


_LETTERS = Stored(kind=DeadLetter, tables={DeadLetter: (DEAD_LETTER,)})
_ALERT_CONTEXT = Stored(kind=Alert, tables={Alert: (ALERT_TOLD,)})
_OF_TOPIC: Mapping[str, Stored] = {
    topics.EVENTS: Stored(
        kind=LogRecord, tables={Txn: (TXN,), Loan: (LOAN,), Authorization: (CONSENT,), Profile: (ENTERPRISE,)}
    ),
    topics.SCORE: Stored(kind=Score, tables={Score: (SCORE, SCORE_NOW)}),
    topics.ALERT_SUPERVISOR: Stored(kind=Alert, tables={Alert: (ALERT,)}),
    topics.CASE_SUPERVISOR: Stored(kind=CaseRecord, tables={CaseRecord: (CASE_RECORD,)}),
    topics.ALERT_BACKFILL: Stored(kind=Alert, tables={Alert: (ALERT_BACKFILL,)}),
    topics.INDICATOR: Stored(kind=Indicators, tables={Indicators: (INDICATOR,)}),
    topics.DEAD_LETTERS: _LETTERS,
    topics.LATE: _LETTERS,
    topics.MODEL_REPORT: Stored(kind=ModelMessage, tables={MonthReport: (MODEL_MONTH,)}),
    topics.FEED: Stored(kind=FeedMessage, tables={FeedHealth: (FEED,)}),
}


def stored_of(banks: Iterable[Bank]) -> Mapping[str, Stored]:
    """Return, by topic that archive reads, what is stored of it."""
    return {**_OF_TOPIC, **{topics.bank_alerts(bank.bank_id): _ALERT_CONTEXT for bank in banks}}
