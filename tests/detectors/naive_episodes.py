"""Episodes as docs/signals.md has them, in plain Python: what the compiled ones are compared with.

Of signals whose level n is true where the status is n or higher, and which clear after `held` closes at which none is.
"""

from dataclasses import dataclass

from detectors.rules.program import CLEAR, NOT_APPLICABLE, RED, YELLOW


@dataclass(slots=True)
class Episode:
    """One episode; `ended` counts the closes since its end, None while it is open."""

    opened: int
    level: int
    revision: int = 0
    stale: bool = False
    false_closes: int = 0
    held_closes: int = 0
    ended: int | None = None


class Naive:
    """Episodes of one enterprise, by signal."""

    def __init__(self, *, places: int, cooldown: int, closes_to_lower: int, held: int) -> None:
        self._places, self._cooldown, self._closes_to_lower, self._held = places, cooldown, closes_to_lower, held
        self.known: dict[int, Episode] = {}
        self.overflow = self.forgotten = 0

    def close(self) -> None:
        """Count a day's close, before the signals are evaluated."""
        for name, one in list(self.known.items()):
            if one.ended is not None:
                one.ended += 1
                if one.ended > self._cooldown:
                    del self.known[name]

    def follow(self, name: int, status: int, t: int, *, closing: bool, doubted: bool) -> tuple[str, int]:
        """Return (transition, revision), ("", 0) where nothing moved."""
        one = self.known.get(name)
        if one is None or one.ended is not None:
            moved = self._rise(name, status, t)
        elif doubted and status in (CLEAR, NOT_APPLICABLE):
            moved = "retracted"
        else:
            moved = self._move(one, status, closing)
        if not moved:
            return "", 0
        one = self.known[name]
        one.revision += 1
        if moved == "retracted" or (moved in ("cleared", "ended") and not self._cooldown):
            del self.known[name]
        elif moved in ("cleared", "ended"):
            one.ended = 0
        return moved, one.revision

    def _rise(self, name: int, status: int, t: int) -> str:
        if not YELLOW <= status <= RED:
            return ""
        before = self.known.get(name)
        if before is not None:
            self.known[name] = Episode(opened=before.opened, level=status, revision=before.revision)
            return "raised"
        if len(self.known) == self._places:
            ended = {who: one for who, one in self.known.items() if one.ended is not None}
            if not ended:
                self.overflow += 1
                return ""
            del self.known[min(ended, key=lambda who: (-(ended[who].ended or 0), ended[who].opened))]
            self.forgotten += 1
        self.known[name] = Episode(opened=t, level=status)
        return "raised"

    def _move(self, one: Episode, status: int, closing: bool) -> str:
        if status == NOT_APPLICABLE:
            return "ended" if closing else ""
        if status > RED:
            was_stale, one.stale = one.stale, True
            return "" if was_stale else "stale"
        moved = ""
        if status > one.level:
            one.level, one.false_closes, one.stale, moved = status, 0, False, "upgraded"
        elif closing and one.stale:
            one.stale, moved = False, "raised"
        return (closing and self._lower(one, status)) or moved

    def _lower(self, one: Episode, status: int) -> str:
        one.held_closes = one.held_closes + 1 if status == CLEAR else 0
        if one.held_closes >= self._held:
            return "cleared"
        one.false_closes = 0 if status >= one.level else min(one.false_closes + 1, self._closes_to_lower)
        if one.false_closes == self._closes_to_lower and status >= YELLOW:
            one.level, one.false_closes = status, 0
            return "downgraded"
        return ""
