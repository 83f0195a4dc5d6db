"""One consumer group: members, revoked partitions, and valid commits."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

from streams.worker.role import TP

Member = Any  # whatever has a `generation`


class Group:
    """Eager rebalances: all members revoke, then all are assigned; a paused member is expelled.

    Members learn of it one by one, by the scheduler's choice; until then they continue.
    """

    def __init__(self, rng: random.Random, tps: Iterable[TP]) -> None:
        self._rng, self._tps = rng, tuple(tps)
        self.generation = 0
        self.committed: dict[TP, int] = {}
        self.members: list[Member] = []
        self.waiting: list[Member] = []  # to join
        self.to_revoke: list[Member] = []
        self.to_assign: dict[Member, set[TP]] = {}
        self.rebalancing = False

    def join(self, one: Member) -> None:
        """A process wants to be a member."""
        self.waiting.append(one)
        self._rebalance()

    def expel(self, one: Member) -> None:
        """The session of a process has passed; it does not know."""
        self.members.remove(one)
        self._rebalance()

    def replace(self, one: Member, new: Member, tps: Iterable[TP]) -> None:
        """Replace a static member within its session: the new one gets its partitions, and nobody rebalances."""
        self.members[self.members.index(one)] = new
        self.to_assign[new] = set(tps)

    def _rebalance(self) -> None:
        self.rebalancing = True
        self.to_revoke = [one for one in self.members if one not in self.to_assign]
        self.to_assign = {}

    def deal(self) -> None:
        """Once all have given back: a new generation."""
        if not self.rebalancing or self.to_revoke or not self.members + self.waiting:
            return
        self.rebalancing = False
        self.members += self.waiting
        self.waiting.clear()
        self.generation += 1
        order = self._rng.sample(self._tps, len(self._tps))
        self.to_assign = {one: set(order[n :: len(self.members)]) for n, one in enumerate(self.members)}

    def assigned(self, one: Member) -> dict[TP, int]:
        """The partitions that a member is assigned, and the offsets where it goes on."""
        one.generation = self.generation
        return {tp: self.committed.get(tp, 0) for tp in sorted(self.to_assign.pop(one))}

    def commit(self, one: Member, lows: Mapping[TP, int | None]) -> None:
        """Accepted from a member of this generation."""
        if one in self.members and one.generation == self.generation:
            self.committed |= {tp: low for tp, low in lows.items() if low is not None}
