"""Spans of days of enterprises, as arrays."""

from dataclasses import dataclass

import numpy as np

from detectors.learning.statistics import Flags, Ints
from replay.backtest.cases import last_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Half-open spans of days [begin, end) of owners, in the order of (owner, begin); spans of one owner do not touch.

    An owner is an enterprise, or a pair of enterprise and bank.
    """

    owner: Ints
    begin: Ints
    end: Ints

    def holds(self, who: Ints, when: Ints) -> Flags:
        """Return whether each day `when` lies in a span of `who`, bool (n,)."""
        place = last_at(self.owner, self.begin, who, when)
        return (place >= 0) & (self.end[np.maximum(place, 0)] > when) if len(self.owner) else place >= 0

    def end_of(self, who: Ints, when: Ints) -> Ints:
        """Return the end of the span of `who` with each day `when`, int64 (n,); `holds` must be true of all."""
        return self.end[last_at(self.owner, self.begin, who, when)]

    def days(self, owners: int, begin: Ints | int, end: Ints | int) -> Ints:
        """Return by owner (owners,) the number of days of [begin, end) in its spans; bounds may differ by owner."""
        first = np.broadcast_to(np.asarray(begin), (owners,))[self.owner]
        last = np.broadcast_to(np.asarray(end), (owners,))[self.owner]
        lengths = np.maximum(0, np.minimum(self.end, last) - np.maximum(self.begin, first))
        return np.bincount(self.owner, lengths, owners).astype(np.int64)


def spans(owner: Ints, begin: Ints, end: Ints) -> Spans:
    """Return the union of spans by owner; empty ones are left out."""
    kept = end > begin
    owner, begin, end = owner[kept], begin[kept], end[kept]
    order = np.lexsort((begin, owner))
    owner, begin, end = owner[order], begin[order], end[order]
    if not len(owner):
        return Spans(owner=owner, begin=begin, end=end)
    low = int(begin.min())
    width = int(end.max()) - low + 1
    # One axis for all owners, each at a distance of its own: the farthest end so far is then a running maximum.
    reach = np.maximum.accumulate(owner * width + (end - low))
    starts = np.ones(len(owner), np.bool_)
    starts[1:] = owner[1:] * width + (begin[1:] - low) > reach[:-1]
    places = np.flatnonzero(starts)
    ends = reach[np.append(places[1:] - 1, len(owner) - 1)] - owner[places] * width + low
    return Spans(owner=owner[places], begin=begin[places], end=ends)


def shared(one: Spans, other: Spans) -> Spans:
    """Return the intersection of two sets of spans, by owner."""
    edges = np.unique(np.concatenate((one.begin, one.end, other.begin, other.end)))
    if not len(edges) or not len(one.owner):
        return Spans(owner=one.owner[:0], begin=one.begin[:0], end=one.end[:0])
    first = np.searchsorted(edges, one.begin)
    count = np.searchsorted(edges, one.end) - first
    owner = np.repeat(one.owner, count)
    place = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    begin, end = edges[place], edges[place + 1]
    held = other.holds(owner, begin)
    return spans(owner[held], begin[held], end[held])
