"""The fate of the enterprises: from a truth file beside the log, or from the log's own loan events and outcomes.

A truth file is CSV or Parquet with a row an enterprise: enterprise_id, scenario, and as dates or nothing onset,
overdue_30 (the first day more than 30 days past due), default, recovery. Three more columns say the same in each row,
where they are there: known_until, the last day that the truth knows; seed and parameters of a simulated world. Other
columns are not looked at. An error names file, line (of CSV) or row (of Parquet, from 1) and column.
"""

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from domain.calendar import EVENT_TIME_MS_MIN, date_of, day_of, day_of_date
from replay.backtest.spans import spans
from replay.backtest.statistics import Flags, Ints
from replay.backtest.world import NEVER, UNKNOWN, World
from replay.sources import SourceError

DATES = ("onset", "overdue_30", "default", "recovery")
COLUMNS = ("enterprise_id", "scenario", *DATES)
OF_ALL = ("known_until", "seed", "parameters")
DAY_MIN, DAY_MAX = day_of(EVENT_TIME_MS_MIN), day_of_date(date(2200, 1, 1))
SHOWN = 5  # ids in a message
SEEN_DAYS = 180  # before its end, of an enterprise with a label and no date
LABELS_HOLD_DAYS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """One enterprise's; day numbers, None: never, or not within what the truth knows."""

    where: str  # file and line
    scenario: str
    onset: int | None
    overdue_30: int | None
    default: int | None
    recovery: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """By enterprise of a world (enterprises,): days, NEVER where there is none.

    bad: the first day over 30 days past due (or worse): what a warning should come before. Nothing is known of those
    that are not `known`.
    """

    source: str
    known: Flags
    bad: Ints
    default: Ints
    onset: Ints
    scenario: tuple[str, ...]
    known_until: int
    is_dated: bool = True
    """False: it is known who is bad and not since when; the day of `bad` is the last on which anything was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthFile:
    """The rows by enterprise id, and what all of them say; seed empty: not of a simulated world."""

    fates: dict[str, Fate]
    known_until: int | None
    seed: str
    parameters: str


def read_truth(path: Path) -> TruthFile:
    """Return a truth file. SourceError names what is wrong with it, and where."""
    found: dict[str, Fate] = {}
    of_all: dict[str, Any] = {}
    is_parquet = path.suffix.lower() == ".parquet"
    for where, row in _parquet_rows(path) if is_parquet else _csv_rows(path):
        enterprise_id = row["enterprise_id"]
        if not isinstance(enterprise_id, str) or not enterprise_id:
            raise SourceError(f"{where}, column enterprise_id: missing")
        if enterprise_id in found:
            raise SourceError(f"{where}: {enterprise_id} has a row already ({found[enterprise_id].where})")
        found[enterprise_id] = _fate(where, row)
        for name in OF_ALL:
            said = row.get(name)
            if of_all.setdefault(name, said) != said:
                raise SourceError(f"{where}, column {name}: {said}, and {of_all[name]} in the rows before")
    if not found:
        raise SourceError(f"{path}: no enterprise is in it")
    if all(fate.overdue_30 is None for fate in found.values()):
        raise SourceError(f"{path}, column overdue_30: no enterprise ever is, so there is nothing to warn of")
    known_until = _day(of_all["known_until"], f"{path}, column known_until")
    for fate in found.values():
        for name in DATES:
            day = getattr(fate, name)
            if known_until is not None and day is not None and day > known_until:
                said = f"{date_of(day)} lies after known_until, {date_of(known_until)}"
                raise SourceError(f"{fate.where}, column {name}: {said}")
    seed, parameters = (str(of_all[name] if of_all[name] is not None else "") for name in ("seed", "parameters"))
    return TruthFile(fates=found, known_until=known_until, seed=seed, parameters=parameters)


def check_ids(fates: Mapping[str, Fate], ids: Sequence[str]) -> None:
    """SourceError where the truth speaks of enterprises that the log does not have."""
    strangers = sorted(fates.keys() - set(ids))
    if strangers:
        named = ", ".join(f"{name} ({fates[name].where})" for name in strangers[:SHOWN])
        more = f" and {len(strangers) - SHOWN:,} more" if len(strangers) > SHOWN else ""
        raise SourceError(f"the log has no enterprise {named}{more}: this truth is of another log")


def from_file(fates: Mapping[str, Fate], world: World, source: str, known_until: int) -> Truth:
    """Return the truth of a file; what it says of days after `known_until` is not known yet."""
    rows = [fates.get(name) for name in world.ids]

    def days(name: str) -> Ints:
        said = (None if row is None else getattr(row, name) for row in rows)
        return np.array([NEVER if day is None or day > known_until else day for day in said], np.int64)

    return Truth(
        source=source,
        known=np.array([row is not None for row in rows], np.bool_),
        bad=days("overdue_30"),
        default=days("default"),
        onset=days("onset"),
        scenario=tuple(UNKNOWN if row is None else row.scenario for row in rows),
        known_until=known_until,
    )


def from_log(world: World) -> Truth:
    """Return the truth that the log's own loan events and outcomes tell."""
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
    """Return the truth of labels without dates, and the world in which each labelled enterprise is judged.

    Each is judged, as if it borrowed, in its last SEEN_DAYS; the labels are known for good.
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


def _fate(where: str, row: Mapping[str, Any]) -> Fate:
    days = {name: _day(row[name], f"{where}, column {name}") for name in DATES}
    if days["default"] is not None and days["overdue_30"] is None:
        raise SourceError(f"{where}, column overdue_30: missing, with a default on {date_of(days['default'])}")
    order = [(name, days[name]) for name in ("onset", "overdue_30", "default") if days[name] is not None]
    for (earlier, first), (later, second) in itertools.pairwise(order):
        if first is not None and second is not None and first > second:
            raise SourceError(f"{where}: {earlier} {date_of(first)} lies after {later} {date_of(second)}")
    if days["recovery"] is not None and order and days["recovery"] < (order[0][1] or 0):
        said = f"recovery {date_of(days['recovery'])} lies before {order[0][0]} {date_of(order[0][1] or 0)}"
        raise SourceError(f"{where}: {said}")
    scenario = row["scenario"]
    if scenario is not None and not isinstance(scenario, str):
        raise SourceError(f"{where}, column scenario: {scenario!r} is no text")
    return Fate(where=where, scenario=scenario or UNKNOWN, **days)


def _day(cell: Any, where: str) -> int | None:
    """A date or its text as a day number; None where there is none."""
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
            names = [name for name in (*COLUMNS, *OF_ALL) if name in file.schema_arrow.names]
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
