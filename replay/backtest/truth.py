"""The truth about each enterprise: from a truth file beside the log, or from the log's own loan events and outcomes.

A truth file is CSV or Parquet with a row an enterprise: enterprise_id, scenario, and as dates or nothing onset,
overdue_30 (the first day more than 30 days past due), default, recovery. Three optional columns have one value in all
rows: known_until, the last day that the truth covers; seed and parameters of a simulated world. Other columns are
ignored. An error names file, line (of CSV) or row (of Parquet, from 1) and column.
"""

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from detectors.learning.statistics import Flags, Ints
from domain.calendar import EVENT_TIME_MS_MIN, date_of, day_of, day_of_date
from replay.backtest.spans import spans
from replay.backtest.world import NEVER, UNKNOWN, World
from replay.sources import SourceError

DATES = ("onset", "overdue_30", "default", "recovery")
COLUMNS = ("enterprise_id", "scenario", *DATES)
SHARED_COLUMNS = ("known_until", "seed", "parameters")
DAY_MIN, DAY_MAX = day_of(EVENT_TIME_MS_MIN), day_of_date(date(2200, 1, 1))
SHOWN = 5  # ids in a message
SEEN_DAYS = 180  # before its end, of an enterprise with a label and no date
LABELS_HOLD_DAYS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthRow:
    """One enterprise; day numbers, None: never, or after the days that the truth covers."""

    where: str  # file and line
    scenario: str
    onset: int | None
    overdue_30: int | None
    default: int | None
    recovery: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """By enterprise of a world (enterprises,): day numbers, NEVER where there is none.

    bad: the first day over 30 days past due or worse, which a warning should precede. known: false where the truth has
    no row of the enterprise.
    """

    source: str
    known: Flags
    bad: Ints
    default: Ints
    onset: Ints
    scenario: tuple[str, ...]
    known_until: int
    is_dated: bool = True
    """False: labels without dates; `bad` is then the last day with data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthFile:
    """The rows by enterprise id, and the values common to all; an empty seed: the world is not simulated."""

    rows: dict[str, TruthRow]
    known_until: int | None
    seed: str
    parameters: str


def read_truth(path: Path) -> TruthFile:
    """Return a truth file. Raise SourceError with file, line or row, and column where it is wrong."""
    found: dict[str, TruthRow] = {}
    shared: dict[str, Any] = {}
    is_parquet = path.suffix.lower() == ".parquet"
    for where, row in _parquet_rows(path) if is_parquet else _csv_rows(path):
        enterprise_id = row["enterprise_id"]
        if not isinstance(enterprise_id, str) or not enterprise_id:
            raise SourceError(f"{where}, column enterprise_id: missing")
        if enterprise_id in found:
            raise SourceError(f"{where}: {enterprise_id} has a row already ({found[enterprise_id].where})")
        found[enterprise_id] = _row(where, row)
        for name in SHARED_COLUMNS:
            cell = row.get(name)
            if shared.setdefault(name, cell) != cell:
                raise SourceError(f"{where}, column {name}: {cell}, and {shared[name]} in the rows before")
    if not found:
        raise SourceError(f"{path}: no enterprise is in it")
    if all(row.overdue_30 is None for row in found.values()):
        raise SourceError(f"{path}, column overdue_30: no enterprise ever is, so there is nothing to warn of")
    known_until = _day(shared["known_until"], f"{path}, column known_until")
    for fact in found.values():
        for name in DATES:
            day = getattr(fact, name)
            if known_until is not None and day is not None and day > known_until:
                message = f"{date_of(day)} lies after known_until, {date_of(known_until)}"
                raise SourceError(f"{fact.where}, column {name}: {message}")
    seed, parameters = (str(shared[name] if shared[name] is not None else "") for name in ("seed", "parameters"))
    return TruthFile(rows=found, known_until=known_until, seed=seed, parameters=parameters)


def check_ids(rows: Mapping[str, TruthRow], ids: Sequence[str]) -> None:
    """Raise SourceError where the truth has enterprises that the log does not have."""
    strangers = sorted(rows.keys() - set(ids))
    if strangers:
        named = ", ".join(f"{name} ({rows[name].where})" for name in strangers[:SHOWN])
        more = f" and {len(strangers) - SHOWN:,} more" if len(strangers) > SHOWN else ""
        raise SourceError(f"the log has no enterprise {named}{more}: this truth is of another log")


def from_file(rows: Mapping[str, TruthRow], world: World, source: str, known_until: int) -> Truth:
    """Return the truth of a file. Days after `known_until` are not known yet."""
    world_rows = [rows.get(name) for name in world.ids]

    def days(name: str) -> Ints:
        cells = (None if row is None else getattr(row, name) for row in world_rows)
        return np.array([NEVER if day is None or day > known_until else day for day in cells], np.int64)

    return Truth(
        source=source,
        known=np.array([row is not None for row in world_rows], np.bool_),
        bad=days("overdue_30"),
        default=days("default"),
        onset=days("onset"),
        scenario=tuple(UNKNOWN if row is None else row.scenario for row in world_rows),
        known_until=known_until,
    )


def from_log(world: World) -> Truth:
    """Return the truth by the log's own loan events and outcomes."""
    n, last = len(world.ids), world.last_day
    bad = np.where(world.bad_day <= last, world.bad_day, NEVER)
    default = np.where(world.default_day <= last, world.default_day, NEVER)
    return Truth(
        source="",
        known=np.ones(n, np.bool_),
        bad=np.minimum(bad, default),
        default=default,
        onset=np.full(n, NEVER, np.int64),
        scenario=(UNKNOWN,) * n,
        known_until=last,
    )


def from_labels(bad: Mapping[str, bool], ends: Mapping[str, int], world: World) -> tuple[Truth, World]:
    """Return the truth of labels without dates, and the world with the judged days of each labelled enterprise.

    Each is judged, as if it borrowed, in its last SEEN_DAYS. All labels count as known.
    """
    who = np.array([i for i, name in enumerate(world.ids) if name in bad], np.int64)
    end = np.array([ends[world.ids[i]] for i in who.tolist()], np.int64)
    n = len(world.ids)
    is_bad = np.array([bad[world.ids[i]] for i in who.tolist()], np.bool_)
    known = np.zeros(n, np.bool_)
    known[who] = True
    never = np.full(n, NEVER, np.int64)
    bad_day = never.copy()
    bad_day[who[is_bad]] = end[is_bad]
    seen = spans(who, np.maximum(end - SEEN_DAYS, world.first_day), end)
    truth = Truth(
        source="labels", known=known, bad=bad_day, default=bad_day, onset=never,
        scenario=(UNKNOWN,) * n, known_until=world.last_day + LABELS_HOLD_DAYS, is_dated=False,
    )  # fmt: skip
    return truth, replace(world, borrows=seen)


def _row(where: str, row: Mapping[str, Any]) -> TruthRow:
    days = {name: _day(row[name], f"{where}, column {name}") for name in DATES}
    if days["default"] is not None and days["overdue_30"] is None:
        raise SourceError(f"{where}, column overdue_30: missing, with a default on {date_of(days['default'])}")
    order = [(name, days[name]) for name in ("onset", "overdue_30", "default") if days[name] is not None]
    for (earlier, first), (later, second) in itertools.pairwise(order):
        if first is not None and second is not None and first > second:
            raise SourceError(f"{where}: {earlier} {date_of(first)} lies after {later} {date_of(second)}")
    if days["recovery"] is not None and order and days["recovery"] < (order[0][1] or 0):
        message = f"recovery {date_of(days['recovery'])} lies before {order[0][0]} {date_of(order[0][1] or 0)}"
        raise SourceError(f"{where}: {message}")
    scenario = row["scenario"]
    if scenario is not None and not isinstance(scenario, str):
        raise SourceError(f"{where}, column scenario: {scenario!r} is no text")
    return TruthRow(where=where, scenario=scenario or UNKNOWN, **days)


def _day(cell: Any, where: str) -> int | None:
    """Return a date or its text as a day number; None where there is none."""
    if cell is None or cell == "":
        return None
    try:
        when = cell.date() if isinstance(cell, datetime) else cell
        day = day_of_date(when if isinstance(when, date) else date.fromisoformat(when))
    except (TypeError, ValueError):
        raise SourceError(f"{where}: {cell!r} is no date as YYYY-MM-DD") from None
    if not DAY_MIN <= day < DAY_MAX:
        raise SourceError(f"{where}: {date_of(day)} is not between {date_of(DAY_MIN)} and {date_of(DAY_MAX)}")
    return day


def _csv_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = reader.fieldnames or ()
            _demand_columns(path, names)
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row or None in row.values():
                    raise SourceError(f"{where}: the row has not {len(names)} columns")
                yield where, row
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not a CSV file that can be read: {error}") from error


def _parquet_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise SourceError(f"{path}: Parquet needs the extra 'evaluate' (pyarrow); or give the truth as CSV") from None
    try:
        with parquet.ParquetFile(path) as file:
            _demand_columns(path, file.schema_arrow.names)
            number = 0
            names = [name for name in (*COLUMNS, *SHARED_COLUMNS) if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=names):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (arrow.ArrowException, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise SourceError(f"{path} is not a Parquet file that can be read: {why}") from error


def _demand_columns(path: Path, names: Sequence[str]) -> None:
    if missing := [name for name in COLUMNS if name not in names]:
        raise SourceError(f"{path} has no column {', '.join(missing)} (it has {', '.join(names)})")
