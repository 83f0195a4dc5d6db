"""Alerts folded to episodes: what a replay is expected to raise, at a level that does not hang on a log's interleaving.

Replaying bank topics anew makes a new log: banks' records interleave differently and revisions may carry other numbers.
But a replay at full speed into servers of its own lets no feed past midnight before the others (replay/stack.py): which
episodes there are, when and how high stays. What hangs on the score is left out: signals on it, and by which episode a
bank hears that a case has moved. At full speed learn switches its models at other records in each run, and the score
moves at other records of a day.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from config.catalogue import signals
from config.whole_file import write_whole
from domain.calendar import date_of, day_of
from domain.ids import DayText
from domain.outputs import SEVERITIES, Alert, AlertState, Severity

OF_THE_SCORE = frozenset(row.id for row in signals() if any("score." in level for level in row.levels))
ENDINGS: frozenset[AlertState] = frozenset({"ended", "cleared", "retracted", "closed"})


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One episode of a signal; days are business days as YYYY-MM-DD."""

    enterprise_id: str
    signal: str
    opened_on: DayText
    severity: Severity  # the highest reached
    end_state: AlertState | None  # None: open at the end
    ended_on: DayText | None
    banks: tuple[str, ...]  # that received at least one revision; not compared


def episodes(alerts: Iterable[tuple[str | None, Alert]]) -> list[Episode]:
    """Return the episodes of alerts in a stable order.

    Each alert comes with its receiving bank, None for the supervisor.
    """
    by_id: dict[str, dict[int, Alert]] = defaultdict(dict)
    banks: dict[str, set[str]] = defaultdict(set)
    for bank_id, alert in alerts:
        if alert.signal in OF_THE_SCORE:
            continue
        if bank_id is not None:
            banks[alert.episode_id].add(bank_id)
        else:
            by_id[alert.episode_id].setdefault(alert.revision, alert)
    found = [_episode([life[number] for number in sorted(life)], banks[episode]) for episode, life in by_id.items()]
    return in_order(found)


def in_order(found: Iterable[Episode]) -> list[Episode]:
    """Those of several partitions together."""
    return sorted(found, key=lambda each: (each.enterprise_id, each.signal, each.opened_on))


def write(path: Path, found: Sequence[Episode]) -> None:
    """Write the episodes, one JSON object a line."""
    write_whole(path, b"".join(msgspec.json.encode(each) + b"\n" for each in found))


def read(path: Path) -> list[Episode]:
    """Return what `write` wrote. Raise ValueError with the line that is none."""
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            found.append(msgspec.json.decode(line, type=Episode))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    return found


def differences(expected: Sequence[Episode], found: Sequence[Episode]) -> list[str]:
    """Return how the episodes found differ from those expected, a sentence each; none where they agree."""
    groups: dict[tuple[str, str], tuple[list[Episode], list[Episode]]] = defaultdict(lambda: ([], []))
    for side, each in [*((0, one) for one in expected), *((1, one) for one in found)]:
        groups[each.enterprise_id, each.signal][side].append(each)
    said = []
    for (enterprise_id, signal), (wanted, got) in sorted(groups.items()):
        name = f"{enterprise_id} {signal}"
        if len(wanted) != len(got):
            said.append(f"{name}: {len(wanted)} episodes expected, {len(got)} found{_days(wanted)} →{_days(got)}")
            continue
        for one, other in zip(wanted, got, strict=True):
            said += [f"{name} of {one.opened_on}: {what}" for what in _differences(one, other)]
    return said


def _differences(one: Episode, other: Episode) -> list[str]:
    return [
        f"{field} {getattr(other, field)}, expected {getattr(one, field)}"
        for field in ("opened_on", "severity", "end_state", "ended_on")
        if getattr(one, field) != getattr(other, field)
    ]


def _episode(life: Sequence[Alert], banks: set[str]) -> Episode:
    first, last = life[0], life[-1]
    ended = last.state in ENDINGS
    return Episode(
        enterprise_id=first.enterprise_id,
        signal=first.signal,
        opened_on=_day(first.opened_at),
        severity=max((each.severity for each in life), key=SEVERITIES.index),
        end_state=last.state if ended else None,
        ended_on=_day(last.as_of) if ended else None,
        banks=tuple(sorted(banks)),
    )


def _day(time_ms: int) -> str:
    # `t` is exclusive: a close of day D stands at 00:00 of D + 1.
    return date_of(day_of(time_ms - 1)).isoformat()


def _days(found: Sequence[Episode]) -> str:
    return "".join(f" {each.opened_on}" for each in found)
