"""Sources of a replay: each yields deliveries in the order in which they are handed over."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec

from config.settings import Bank
from domain.events import Authorization, Gov, Loan, Outcome, Profile, Receipt, Txn
from replay.judging import Label

Sendable = Txn | Loan | Receipt | Gov | Profile | Authorization | Outcome


class SourceError(Exception):
    """The recorded events are not what they should be; the message names file and column."""


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One event and when its sender hands it over, on the axis of event time (late: well after its own time)."""

    at_ms: int
    topic: str
    event: Sendable


class Source(Protocol):
    """Recorded or simulated events."""

    @property
    def name(self) -> str:
        """The name of the source."""

    @property
    def banks(self) -> tuple[Bank, ...]:
        """The banks that send."""

    @property
    def is_history(self) -> bool:
        """Whether all of it is past, and replayed as a backfill: nobody is to be alerted of it."""

    @property
    def identity(self) -> str:
        """The same for the same events: a state folder belongs to one."""

    def deliveries(self) -> Iterator[Delivery]:
        """Return all events by `at_ms`; each call starts from the beginning.

        Raise SourceError where they cannot be read.
        """

    def rows(self) -> Mapping[str, int]:
        """Return counts of the last `deliveries`: `read`, `made` (of no row, such as receipts), and
        `dropped: <reason>`; read + made = deliveries + dropped."""

    def outcomes(self) -> Mapping[str, Label]:
        """Return the outcome of each loan of the last `deliveries`, where the source knows it."""
