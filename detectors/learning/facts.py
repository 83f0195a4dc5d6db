"""The facts about each enterprise from which labels follow: its lenders' reports, and operators' outcomes."""

import hashlib
import struct

import msgspec

from detectors.learning.labels import Verdict, verdict
from detectors.learning.loan_history import LoanHistory
from domain.calendar import day_of
from domain.events import Loan, Outcome

IDS_KEPT_DAYS = 400  # of the enterprise's event time: an older repeat of the same content changes nothing either
_SEEN = struct.Struct("<i8s")  # day of an event, hash of its id


class Placed(msgspec.Struct, array_like=True):
    """An operator's outcome, and what it is about: the id of an observation (16 bytes), or a loan's key (8).

    is_placed: the observations that it is about were looked up.
    """

    about: bytes
    partition: int
    verdict: Verdict
    is_placed: bool = False


class Facts:
    """One enterprise.

    number: the same in all its examples, a hash of its id. segment: of the checkpoint, that holds it; -1: none does.
    """

    __slots__ = ("loans", "name", "newest_day", "number", "outcomes", "partition", "seen", "segment")

    def __init__(self, name: str, partition: int) -> None:
        self.name, self.number, self.partition = name, number_of(name), partition
        self.loans: list[LoanHistory] = []
        self.outcomes: tuple[Placed, ...] = ()
        self.seen = bytearray()
        self.newest_day = -(2**31)
        self.segment = -1

    def loan(self, loan: Loan, offset: int) -> bool:
        """Take in a loan event; return whether it is the first body of its id, else it is dropped."""
        if not self._is_first(loan):
            return False
        for history in self.loans:
            if history.loan_id == loan.loan_id and history.bank_id == loan.bank_id:
                break
        else:
            self.loans.append(history := LoanHistory(loan.bank_id, loan.loan_id))
        history.add(loan, offset)
        return True

    def outcome(self, outcome: Outcome, offset: int, partition: int) -> bool:
        """Take in an operator's outcome; return whether it is the first body of its id, else it is dropped.

        Raise ValueError where its `matured_on` is no date, or its `observation_id` cannot be one.
        """
        taken = verdict(outcome, offset)
        about = [] if outcome.observation_id is None else [bytes.fromhex(outcome.observation_id)]
        if outcome.loan_id is not None:
            about.append(loan_key(outcome.enterprise_id, outcome.loan_id))
        if not self._is_first(outcome):
            return False
        self.outcomes += tuple(Placed(about=each, partition=partition, verdict=taken) for each in about)
        return True

    def verdicts(self, observation_id: bytes, loan: int) -> list[Verdict]:
        """Return the operators' outcomes on an observation: those that name it, or its loan."""
        keys = (observation_id, loan.to_bytes(8, "little") if loan else b"")
        return [each.verdict for each in self.outcomes if each.about in keys]

    def _is_first(self, event: Loan | Outcome) -> bool:
        """Return whether this is the first body of its id. Score refuses a second one: the first one holds."""
        day = day_of(event.event_time)
        digest = hashlib.blake2b(f"{event.bank_id}\0{event.event_id}".encode(), digest_size=8).digest()
        if day >= self.newest_day - IDS_KEPT_DAYS and any(digest == known for _, known in self._known()):
            return False
        if day > self.newest_day:
            self.newest_day = day
            oldest = day - IDS_KEPT_DAYS
            if self.seen and _SEEN.unpack_from(self.seen)[0] < oldest:
                self.seen[:] = b"".join(_SEEN.pack(*one) for one in self._known() if one[0] >= oldest)
        self.seen += _SEEN.pack(day, digest)
        return True

    def _known(self) -> list[tuple[int, bytes]]:
        return list(_SEEN.iter_unpack(self.seen))


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """An enterprise's facts in a checkpoint."""

    name: str
    partition: int
    newest_day: int
    seen: bytes
    loans: tuple[tuple[str, str, bytes, int, bool], ...]
    outcomes: tuple[Placed, ...]

    @classmethod
    def of(cls, facts: Facts) -> "Stored":
        """Return them as they are."""
        return cls(
            name=facts.name,
            partition=facts.partition,
            newest_day=facts.newest_day,
            seen=bytes(facts.seen),
            loans=tuple(each.stored for each in facts.loans),
            outcomes=facts.outcomes,
        )

    def facts(self) -> Facts:
        """Return the facts."""
        found = Facts(self.name, self.partition)
        found.newest_day, found.seen = self.newest_day, bytearray(self.seen)
        found.loans = [LoanHistory.restored(*each) for each in self.loans]
        found.outcomes = self.outcomes
        return found


def number_of(enterprise_id: str) -> int:
    """Return the number of an enterprise, 63 bits: a function of its id, so that readers in any order agree."""
    return int.from_bytes(hashlib.blake2b(enterprise_id.encode(), digest_size=8).digest(), "little") >> 1


def loan_key(enterprise_id: str, loan_id: str) -> bytes:
    """Return the key of a loan, as outcomes name it: without the bank. 8 bytes, not all zero."""
    return hashlib.blake2b(f"{enterprise_id}\0{loan_id}".encode(), digest_size=8).digest()
