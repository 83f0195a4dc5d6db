"""Dispositions beside labels: borrowers of whose cases a bank's desk has said something, and what they then did.

A disposition is no label (docs/adr/0041): it says what a desk found, and a label what the borrower then did. So it is
counted by the label of the observation that it came with, and teaches nothing.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from detectors.learning.labels import Kind
from domain.events import Disposition


class Dispositions(msgspec.Struct):
    """Observations with dispositions that wait for their label, by id, and how many there were by both."""

    waiting: dict[bytes, tuple[Disposition, ...]] = {}
    counts: dict[Disposition, dict[Kind, int]] = {}

    def observe(self, name: bytes, said: Sequence[Disposition]) -> None:
        """Take in an observation with what desks said in its month."""
        if said:
            self.waiting[name] = tuple(said)

    def label(self, name: bytes, kind: Kind) -> None:
        """Take in the label of an observation."""
        for said in self.waiting.pop(name, ()):
            of_kind = self.counts.setdefault(said, {})
            of_kind[kind] = of_kind.get(kind, 0) + 1

    def since(self, before: "dict[Disposition, dict[Kind, int]]") -> dict[str, dict[str, int]]:
        """Return what was counted since `before`, which was `taken` then."""
        found: dict[str, dict[str, int]] = {}
        for said, kinds in self.counts.items():
            newly = Counter[str](kinds)
            newly.subtract(before.get(said, {}))
            if more := {kind: count for kind, count in newly.items() if count}:
                found[said] = more
        return found

    def taken(self) -> "dict[Disposition, dict[Kind, int]]":
        """Return a copy of the counts."""
        return {said: dict(kinds) for said, kinds in self.counts.items()}

    def to_bytes(self) -> bytes:
        """Return all of it, for a checkpoint."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, body: bytes) -> "Dispositions":
        """Return what a checkpoint holds."""
        return msgspec.msgpack.decode(body, type=cls)
