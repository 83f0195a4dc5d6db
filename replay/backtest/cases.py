"""From revisions of alerts to a desk's cases: an enterprise's open alerts are one case, as high as the highest.

Arrays in, arrays out; all are int64. A case is *opened* by the first alert of an enterprise without a case, and *made
graver* by a rise of its level. Both are steps. A fall of the level is no step, nor is an alert that joins at the same
or a lower level.
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


def steps(owner: Ints, moment: Ints, day: Ints, episode: Ints, level: Ints) -> Steps:
    """Return the steps that revisions make; each array has shape (revisions,), in the order of the log.

    owner: an enterprise, or an enterprise at one bank. moment: the offset of the record that caused the revision;
    revisions with the same moment count as one. episode: unique over all owners. level: after the revision, NO_CASE at
    the end of the episode.

    >>> steps(*(np.array(x) for x in ([7, 7, 7], [1, 1, 2], [5, 5, 6], [0, 1, 0], [1, 2, 3])))
    Steps(owner=array([7, 7]), day=array([5, 6]), before=array([0, 2]), after=array([2, 3]))
    """
    order = np.argsort(owner, kind="stable")
    owner, moment, day, episode, level = (column[order] for column in (owner, moment, day, episode, level))
    return steps_of(owner, moment, day, levels_before(episode, level), level)


def steps_of(owner: Ints, moment: Ints, day: Ints, before: Ints, level: Ints) -> Steps:
    """Return the steps of revisions in the order of (owner, time); before: the level of the episode before each."""
    highest = _highest(owner, before, level)
    is_last = np.ones(len(owner), np.bool_)  # of its moment
    is_last[:-1] = (owner[1:] != owner[:-1]) | (moment[1:] != moment[:-1])
    owner, day, highest = owner[is_last], day[is_last], highest[is_last]
    earlier = np.zeros_like(highest)
    earlier[1:] = np.where(owner[1:] == owner[:-1], highest[:-1], NO_CASE)
    rises = highest > earlier
    return Steps(owner[rises], day[rises], earlier[rises], highest[rises])


def levels_at(owner: Ints, day: Ints, episode: Ints, level: Ints, who: Ints, when: Ints) -> Ints:
    """Return the level of the case of each `who` at the end of day `when`, both (n,); the others as in `steps`."""
    order = np.argsort(owner, kind="stable")
    owner, day, episode, level = (column[order] for column in (owner, day, episode, level))
    highest = _highest(owner, levels_before(episode, level), level)
    place = last_at(owner, day, who, when)
    return np.where(place >= 0, highest[np.maximum(place, 0)] if len(highest) else 0, NO_CASE)


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


def levels_before(episode: Ints, level: Ints) -> Ints:
    """Return each episode's level before a revision, NO_CASE before its first."""
    order = np.argsort(episode, kind="stable")
    ordered, previous = episode[order], np.zeros_like(level)
    sorted_level = level[order]
    previous[order[1:]] = np.where(ordered[1:] == ordered[:-1], sorted_level[:-1], NO_CASE)
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
