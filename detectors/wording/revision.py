"""The input of an alert's sentence: one revision of an episode."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import msgspec

from domain.outputs import (
    AlertState,
    CaseLine,
    CaseState,
    DataDate,
    Evidence,
    LoanOfAlert,
    LoansMore,
    ProvisionalCalendar,
    Severity,
)

# Phases of a revision: the condition of its level is true; the episode is open, whatever its condition is by now.
ASSERTED = frozenset({"new", "again", "graver", "eased"})
WAITING = frozenset({"resumed", "listed", "open"})


class Revision(Protocol):
    """The input of a sentence: an `Alert`, or a row of the archive with the same fields."""

    @property
    def alert_id(self) -> str: ...
    @property
    def enterprise_id(self) -> str: ...
    @property
    def signal(self) -> str: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def case_severity(self) -> Severity | None: ...
    @property
    def state(self) -> AlertState: ...
    @property
    def reason(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def stock(self) -> bool: ...
    @property
    def opened_at(self) -> int: ...
    @property
    def as_of(self) -> int: ...
    @property
    def score(self) -> int: ...
    @property
    def score_before(self) -> int | None: ...
    @property
    def evidence(self) -> Sequence[Evidence]: ...
    @property
    def loans(self) -> Sequence[LoanOfAlert]: ...
    @property
    def loans_more(self) -> LoansMore | msgspec.UnsetType: ...
    @property
    def banks(self) -> Sequence[str]: ...
    @property
    def rules_id(self) -> str: ...
    @property
    def provisional_calendar(self) -> ProvisionalCalendar: ...
    @property
    def case_state(self) -> CaseState | msgspec.UnsetType: ...
    @property
    def case_severity_before(self) -> Severity | msgspec.UnsetType | None: ...
    @property
    def case_pd_12m_ppm(self) -> int | msgspec.UnsetType: ...
    @property
    def case_lines(self) -> Sequence[CaseLine] | msgspec.UnsetType: ...
    @property
    def true_closes(self) -> int | msgspec.UnsetType: ...
    @property
    def clear_closes(self) -> int | msgspec.UnsetType: ...
    @property
    def data_dates(self) -> Sequence[DataDate] | msgspec.UnsetType: ...


def phase(alert: Revision) -> str:
    """Return the phase of the episode that a revision reports, a key of `PHASES`.

    The first revision of an episode raises it; one of an opening list lists it. A later `raised` one says that it rose
    again within the cooldown, resumes it, or states it as it stands, where it is its case that has moved.
    """
    match alert.state:
        case "raised":
            if alert.stock:
                return "listed"
            if alert.reason == "recurred":
                return "again"
            return "new" if alert.revision == 1 else "open" if alert.case_state else "resumed"
        case "upgraded":
            return "graver"
        case "downgraded":
            return "eased"
        case "stale":
            return "listed_stale" if alert.stock else "stale"
        case "ended":
            return alert.reason if alert.reason in ("not_applicable", "not_in_rules") else "ended"
        case state:
            return state


def elsewhere_id(enterprise_id: str, signal_id: str, bank_id: str) -> str:
    """Return the alert_id of the notice to a bank that another bank has an episode of a signal."""
    return hashlib.sha256(f"{enterprise_id}|{signal_id}|elsewhere|{bank_id}".encode()).hexdigest()[:32]
