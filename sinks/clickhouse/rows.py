"""The rows of each table: a column is a name, a ClickHouse type and where its value stands in the record.

A record is (value, partition, offset): the decoded message and the coordinates at which archive read it.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from domain.events import LogRecord
from domain.outputs import GROUPS, Alert, Score
from sinks.clickhouse.connection import Insert

VERSION_OF_FIRST = 2**63
TIME = "DateTime64(3, 'UTC')"  # written as integer milliseconds
WORD = "LowCardinality(String)"
WORD_OR_NULL = "LowCardinality(Nullable(String))"


class Located(NamedTuple):
    """A decoded record and where it was read."""

    value: Any
    partition: int
    offset: int


Read = Callable[[Any], Any]
Column = tuple[str, str, Literal["record", "value", "event"], Read]  # name, type, what is read, how


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the archive; `type` is what its records are decoded to."""

    name: str
    type: type
    columns: tuple[Column, ...]

    def rows(self, records: Sequence[Located]) -> list[list[Any]]:
        """The records as columns: `[c][r]` is column c of record r."""
        sources: dict[str, list[Any]] = {
            "record": list(records),
            "value": [record.value for record in records],
            "event": [record.value.event for record in records] if self.type is LogRecord else [],
        }
        return [list(map(read, sources[source])) for _, _, source, read in self.columns]

    def insert(self, columns: Sequence[Sequence[Any]], token: str) -> Insert:
        """The block of `columns`, as `rows` gave them."""
        names, types = [column[0] for column in self.columns], [column[1] for column in self.columns]
        return Insert(table=self.name, names=names, types=types, columns=columns, token=token)


def _fields(source: Literal["value", "event"], kinds: dict[str, str]) -> tuple[Column, ...]:
    """Columns named as the fields of the value, or of its event."""
    return tuple((name, kind, source, operator.attrgetter(name)) for name, kind in kinds.items())


def _each(list_name: str, field: str) -> Read:
    items, read = operator.attrgetter(list_name), operator.attrgetter(field)
    return lambda value: [read(item) for item in items(value)]


def _group(name: str) -> Read:
    return lambda value: value.groups_milli[name]


_VERSION_LAST: Column = ("version", "UInt64", "record", operator.attrgetter("offset"))

TXN = Table(
    name="txn",
    type=LogRecord,
    columns=(
        *_fields(
            "event",
            {
                "enterprise_id": "String",
                "bank_id": WORD,
                "event_id": "String",
                "event_time": TIME,
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
        *_fields(
            "value",
            {
                "amount_cny_minor": "Nullable(Int64)",
                "rate_micro": "Nullable(Int64)",
                "rate_day": "Nullable(Int32)",
                "fingerprint": "String",
            },
        ),
        ("log_partition", "Int32", "record", operator.attrgetter("partition")),
        ("log_offset", "Int64", "record", operator.attrgetter("offset")),
        ("version", "UInt64", "record", lambda record: VERSION_OF_FIRST - record.offset),
    ),
)

SCORE = Table(
    name="score",
    type=Score,
    columns=(
        *_fields(
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
        ("log_offset", "Int64", "value", operator.attrgetter("offset")),
        ("reason_indicators", "Array(String)", "value", _each("reason_codes", "indicator")),
        ("reason_points_milli", "Array(Int32)", "value", _each("reason_codes", "points_milli")),
        ("reason_values_micro", "Array(Nullable(Int64))", "value", _each("reason_codes", "value_micro")),
        ("reason_baselines_micro", "Array(Int64)", "value", _each("reason_codes", "baseline_micro")),
        _VERSION_LAST,
    ),
)

ALERT = Table(
    name="alert",
    type=Alert,
    columns=(
        *_fields(
            "value",
            {
                "enterprise_id": "String",
                "alert_id": "String",
                "revision": "Int32",
                "episode_id": "String",
                "signal": WORD,
                "severity": WORD,
                "state": WORD,
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
        ("log_offset", "Int64", "value", operator.attrgetter("offset")),
        ("evidence_names", "Array(String)", "value", _each("evidence", "name")),
        ("evidence_values_micro", "Array(Nullable(Int64))", "value", _each("evidence", "value_micro")),
        _VERSION_LAST,
    ),
)
