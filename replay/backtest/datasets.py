"""The data sets that have an adapter, as a log and labels without dates: `xinliu backtest berka --data DIR`.

cumcm2020c  123 enterprises with their invoices, 27 of them defaulted; judged on the last 180 days of each.
berka       682 accounts up to the grant of their loans; judged on the last 180 days before it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from domain.calendar import day_of
from domain.events import Loan, Txn
from replay import berka, cumcm2020c
from replay.source_log import write_log
from replay.sources import Delivery, Source

NAMES = ("cumcm2020c", "berka")
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """By enterprise id: whether it is bad, and the last day number of its data."""

    name: str
    bad: Mapping[str, bool]
    ends: Mapping[str, int]


def make(name: str, directory: Path, path: Path, on_progress: Progress) -> Labels:
    """Write the log of a data set to `path`, and return its labels. Raise SourceError with file, line and column."""
    labels = None if name == "berka" else cumcm2020c.defaults(directory)
    source = Noting(berka.Accounts(directory) if name == "berka" else cumcm2020c.Invoices(directory))
    made = write_log(cast(Source, source), path, say=on_progress)
    on_progress(f"{made.records:,} records of {name}")
    if labels is None:
        outcomes = source.outcomes()
        labels = {one: outcomes[loan] == "bad" for one, (loan, _) in source.granted.items() if loan in outcomes}
        ends = {one: day for one, (_, day) in source.granted.items()}
    else:
        ends = source.last
    return Labels(name=name, bad=labels, ends=ends)


class Noting:
    """A source that records each enterprise's last transaction and the grant of its loan."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.last: dict[str, int] = {}
        self.granted: dict[str, tuple[str, int]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def deliveries(self) -> Iterator[Delivery]:
        """Yield the deliveries of the source."""
        for delivery in self._source.deliveries():
            event = delivery.event
            if isinstance(event, Txn):
                day = day_of(event.event_time)
                self.last[event.enterprise_id] = max(day, self.last.get(event.enterprise_id, day))
            elif isinstance(event, Loan) and event.event == "granted":
                self.granted[event.enterprise_id] = event.loan_id, day_of(event.event_time)
            yield delivery
