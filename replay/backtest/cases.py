"""From revisions of alerts to the steps of a desk's cases.

Arrays in, arrays out; all are int64. A case is *opened* where an enterprise without one gets a level, and *made graver*
by a rise of it. Both are steps. A fall of the level is no step, nor is an alert that joins without a rise. What desks
get is the level that the engine gave a case (`rises`). Some signals alone are judged as if they were all rules, and a
case as high as the highest of its open alerts (`steps_of`).
"""

from typing import NamedTuple

import numpy as np

from detectors.learning.statistics import Flags, Ints

NO_CASE, YELLOW, ORANGE, RED = range(4)
LEVELS = (YELLOW, ORANGE, RED)


class Steps(NamedTuple):
    """Cases opened or made graver, in the order of (owner, time). All arrays have shape (steps,)."""

    owner: Ints
    day: Ints  # on which the revision was in the log
    before: Ints  # the level, NO_CASE where it was opened
    after: Ints

    def only(self, wanted: Flags) -> "Steps":
        """Return some of the steps."""
        return Steps(*(column[wanted] for column in self))


def steps_of(owner: Ints, moment: Ints, day: Ints, before: Ints, level: Ints) -> Steps:
    """Return the steps of cases as high as their highest episode; each array has shape (revisions,).

    Revisions are in the order of (owner, time). owner: an enterprise, or an enterprise at one bank. moment: the offset
    of the record that caused the revision; revisions with the same moment count as one. before, level: of the episode,
    before and after the revision, NO_CASE at its end.

    >>> steps_of(*(np.array(x) for x in ([7, 7, 7], [1, 1, 2], [5, 5, 6], [0, 0, 1], [1, 2, 3])))
    Steps(owner=array([7, 7]), day=array([5, 6]), before=array([0, 2]), after=array([2, 3]))
    """
    return rises(owner, moment, day, _highest(owner, before, level))


def rises(owner: Ints, moment: Ints, day: Ints, level: Ints) -> Steps:
    """Return the steps of cases by their level after each revision (rows,), in the order of (owner, time).

    >>> rises(*(np.array(x) for x in ([7, 7, 7], [1, 2, 2], [5, 6, 6], [1, 3, 2])))
    Steps(owner=array([7, 7]), day=array([5, 6]), before=array([0, 1]), after=array([1, 2]))
    """
    is_last = np.ones(len(owner), np.bool_)  # of its moment
    is_last[:-1] = (owner[1:] != owner[:-1]) | (moment[1:] != moment[:-1])
    owner, day, level = owner[is_last], day[is_last], level[is_last]
    earlier = np.zeros_like(level)
    earlier[1:] = np.where(owner[1:] == owner[:-1], level[:-1], NO_CASE)
    rose = level > earlier
    return Steps(owner[rose], day[rose], earlier[rose], level[rose])


def levels_at(owner: Ints, day: Ints, level: Ints, who: Ints, when: Ints) -> Ints:
    """Return the level of the case of each `who` at the end of day `when`, both (n,); the others as in `rises`."""
    place = last_at(owner, day, who, when)
    return np.where(place >= 0, level[np.maximum(place, 0)] if len(level) else 0, NO_CASE)


def last_at(owner: Ints, day: Ints, who: Ints, when: Ints) -> Ints:
    """Return the index of the last row of each `who` with a day of at most `when`, both (n,); -1 where there is none.

    `owner`, `day` (rows,) ascend by (owner, day).
    """
    if not len(owner):
        return np.full(len(who), -1, np.int64)
    first = int(min(day.min(), when.min() if len(when) else 0))
    span = int(max(day.max(), when.max() if len(when) else 0)) - first + 1
    place = np.searchsorted(owner * span + (day - first), who * span + (when - first), side="right") - 1
    return np.where((place >= 0) & (owner[np.maximum(place, 0)] == who), place, -1)


def before_each(episode: Ints, value: Ints) -> Ints:
    """Return the value (rows,) that each row's episode had before it, as its level or whether it waits; first 0."""
    order = np.argsort(episode, kind="stable")
    ordered, previous = episode[order], np.zeros_like(value)
    in_order = value[order]
    previous[order[1:]] = np.where(ordered[1:] == ordered[:-1], in_order[:-1], 0)
    return previous


def _highest(owner: Ints, before: Ints, after: Ints) -> Ints:
    """Return the highest level of the owner's open episodes after each revision; `owner` is sorted."""
    highest = np.zeros(len(owner), np.int64)
    starts = np.flatnonzero(np.diff(owner, prepend=owner[:1] - 1))
    sizes = np.diff(np.append(starts, len(owner)))
    for one in LEVELS:
        running = np.cumsum((after == one).astype(np.int64) - (before == one))
        earlier = np.repeat(running[starts - 1] * (starts > 0), sizes)  # of the owners before
        highest[running > earlier] = one
    return highest
