"""The truth about each enterprise, written beside the log and never read by the engine."""

import csv
import importlib.util
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from config.whole_file import whole
from domain.calendar import date_of, day_of
from replay.province.delivery import Delivering
from replay.province.layout import (
    CUSTOMER_LOSS,
    DEFAULT,
    FACT,
    FAILS,
    NEVER,
    OVERDUE,
    SOUND,
)
from replay.province.parties import enterprise_id

OVERDUE_DPD = 31  # more than 30 days past due
COLUMNS = (
    "enterprise_id", "scenario", "onset", "first_arrears", "overdue_30", "default", "recovery", "known_until",
    "borrows", "industry", "size_class", "banks", "also", "seed", "parameters",
)  # fmt: skip
DATES = ("onset", "first_arrears", "overdue_30", "default", "recovery", "known_until")


@dataclass(frozen=True, slots=True)
class Truth:
    """One row for each enterprise, as columns in the order of COLUMNS; dates are ISO texts, empty for none."""

    columns: dict[str, list[Any]]

    def write_csv(self, path: Path) -> None:
        """Write the truth as UTF-8 CSV."""
        with whole(path, mode=0o600) as file:
            lines = csv.writer(_Text(file), lineterminator="\n")
            lines.writerow(COLUMNS)
            lines.writerows(zip(*(self.columns[name] for name in COLUMNS), strict=True))

    def write_parquet(self, path: Path) -> None:
        """Write the truth as Parquet, dates as date32. Raise ImportError without the extra 'evaluate'."""
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        columns = dict(self.columns)
        for name in DATES:
            columns[name] = [date.fromisoformat(text) if text else None for text in columns[name]]
        types = {name: arrow.date32() for name in DATES}
        table = arrow.table({name: arrow.array(columns[name], types.get(name)) for name in COLUMNS})
        with whole(path, mode=0o600) as file:
            parquet.write_table(table, file, compression="zstd")


class _Text:
    """Encodes the text of a CSV writer."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return int(self._file.write(text.encode()))


def write_truth(truth: Truth, log: Path) -> list[Path]:
    """Write the truth beside a log, as CSV, and as Parquet where pyarrow is installed; return the files."""
    found = [log.with_name(f"{log.name}.truth.csv")]
    truth.write_csv(found[0])
    if importlib.util.find_spec("pyarrow") is not None:
        found.append(log.with_name(f"{log.name}.truth.parquet"))
        truth.write_parquet(found[1])
    return found


def truth_of(delivering: Delivering) -> Truth:
    """Return the truth of a simulation after its last day."""
    population, state = delivering.population, delivering.simulation.state
    firms, n = state.firms, len(state.firms)
    facts = np.concatenate([*delivering.loan_facts, np.zeros(0, FACT)])
    who = state.loans["firm"][facts["loan"]]
    day = np.array([day_of(int(each)) for each in facts["time_ms"].tolist()], np.int64)
    known = population.last_day - 1
    troubled = firms["scenario"] != SOUND
    onset = np.where(troubled, firms["onset"], NEVER)
    over = np.where(troubled & (firms["ending"] != FAILS), firms["over"], NEVER)
    late = facts["event"] == OVERDUE
    dates = {
        "onset": onset,
        "first_arrears": _first(n, who, day - facts["dpd"] + 1, late),
        "overdue_30": _first(n, who, day - facts["dpd"] + OVERDUE_DPD, late & (facts["dpd"] >= OVERDUE_DPD)),
        "default": _first(n, who, day, facts["event"] == DEFAULT),
        "recovery": over,
        "known_until": np.full(n, known),
    }
    columns: dict[str, list[Any]] = {name: [_text(each, known) for each in dates[name].tolist()] for name in DATES}
    columns["enterprise_id"] = [enterprise_id(number, region) for number, region in enumerate(firms["region"].tolist())]
    columns["scenario"] = [population.scenarios[each].name for each in firms["scenario"].tolist()]
    columns["borrows"] = [bool(each) for each in firms["borrows"].tolist()]
    columns["industry"] = [population.industries[each].name for each in firms["industry"].tolist()]
    columns["size_class"] = [population.sizes[each].name for each in firms["size"].tolist()]
    columns["banks"] = _bank_counts(state.accounts, n)
    columns["also"] = _also(state, n, known)
    columns["seed"] = [str(population.seed)] * n
    columns["parameters"] = [population.parameters] * n
    return Truth({name: columns[name] for name in COLUMNS})


def _first(n: int, who: Any, day: Any, which: Any) -> Any:
    found = np.full(n, NEVER, np.int64)
    np.minimum.at(found, who[which], day[which])
    return found


def _text(day: int, known: int) -> str:
    """Return a day as text; empty where it is after the last known day."""
    return "" if day > known else date_of(day).isoformat()


def _bank_counts(accounts: Any, n: int) -> list[int]:
    pairs = np.unique(np.stack([accounts["firm"].astype(np.int64), accounts["bank"].astype(np.int64)], axis=1), axis=0)
    found: list[int] = np.bincount(pairs[:, 0], minlength=n).tolist()
    return found


def _also(state: Any, n: int, known: int) -> list[str]:
    """Return other misfortunes with their days: a move to another bank, a lost customer."""
    found: list[list[str]] = [[] for _ in range(n)]
    for number in np.flatnonzero(state.firms["moves_on"] <= known).tolist():
        found[number].append(f"bank_change {_text(int(state.firms['moves_on'][number]), known)}")
    lost = state.links[(state.links["until"] <= known) & (state.links["pays"] == 0)]
    for number, day in zip(lost["firm"].tolist(), lost["until"].tolist(), strict=True):
        if state.firms["scenario"][number] != CUSTOMER_LOSS:
            found[number].append(f"lost_customer {_text(day, known)}")
    return ["; ".join(each) for each in found]
