"""CUMCM 2020 C: enterprises without loans, judged by their indicators at the last day and 90 days before it.

The last day is that of the data set: there recency says who has gone silent. Beside it each enterprise's own last day,
at which nobody is silent. The labels carry no date.
"""

from collections.abc import Callable, Iterator, Mapping

from replay.evaluation.report import Judged
from replay.evaluation.run import View, judged, without_recency
from replay.evaluation.vectors import Asked, Vectors, of_close
from replay.sources import SourceError

LAG_DAYS = 90
Say = Callable[[str], None]


def asked_for(bad: Mapping[str, bool], last: Mapping[str, int]) -> Asked:
    """Return the vectors that are judged. last: day number of each enterprise's last invoice.

    Raise SourceError where an enterprise has a label and no invoice.
    """
    if missing := sorted(set(bad) - set(last)):
        raise SourceError(f"a1_labels.csv: {missing[0]} has a label and no invoice ({len(missing)} of them)")
    return Asked(before={one: tuple(_days(one, last).values()) for one in bad}, loans=frozenset())


def views(bad: Mapping[str, bool], last: Mapping[str, int], vectors: Vectors) -> Iterator[View]:
    """Yield the labelled vectors by day. An enterprise whose history had not begun by a day is not among them."""
    found: dict[str, View] = {}
    for number, (one, is_bad) in enumerate(sorted(bad.items())):
        for name, before in _days(one, last).items():
            view = found.setdefault(name, View(name))
            if (said := vectors.closes.get((one, before))) is not None:
                view.ids.append(one)
                view.rows.append(of_close(said, number, is_bad, before))
    yield from found.values()


def figures(all_views: list[View], say: Say) -> list[Judged]:
    """Return the figures of each view, with recency and without."""
    found = []
    for place, view in enumerate(all_views):
        found.append(judged(view, say, with_ablation=place == 0))
        found.append(without_recency(view, say))
    return found


def _days(one: str, last: Mapping[str, int]) -> dict[str, int]:
    """Return by view the day before which an enterprise's newest indicators are taken."""
    end, own = max(last.values()) + 1, last[one] + 1
    return {
        "last_day": end,
        "days_90_before": end - LAG_DAYS,
        "own_last_day": own,
        "days_90_before_own": own - LAG_DAYS,
    }
