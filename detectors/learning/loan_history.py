"""The lender's reports on one loan: when it was bad by them, when it was cured, when it ended.

A loan is bad from the day on which it was more than so many days past due, in default, advanced for or written off, and
stays so without any further word until a report of its lender cures it (CURES). Days are day numbers.
"""

import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

from domain.calendar import DAY_MS, day_of
from domain.events import Loan, LoanEvent

DPD_GOOD_MAX = 30
DPD_DEFAULT_MIN = 91
NEVER = 2**31
DEFAULTS: frozenset[LoanEvent] = frozenset({"default", "advance", "written_off"})
LATENESS_MS = 7 * DAY_MS  # of an accepted event (ADR 7)
REPORTS_THINNED_AT = 16  # and at each multiple: by what there is alone, so that a restored history stays the same
EVENTS: tuple[LoanEvent, ...] = get_args(LoanEvent)
"""The events by the code under which they are kept: new ones are appended."""
_PAYMENTS: frozenset[LoanEvent] = frozenset({"drawn", "instalment_due", "overdue", "repaid"})
_LAST_PAYMENTS: frozenset[LoanEvent] = frozenset({"repaid", "closed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """The events that cure, with 0 days past due (or as the last payment), and the days without arrears that follow."""

    events: frozenset[LoanEvent]
    days: int


# By whether the loan was in default. The measures for the classification of banks' financial assets (order 1 of 2023 of
# CBIRC and PBC, 商业银行金融资产风险分类办法) let a non-performing asset rise once its arrears are paid in full and it
# has been served for two periods or six months, whichever is longer; periods being months as a rule, six months are
# taken. They ask for no such time of an asset that was overdue and performing. A loan in default that is closed without
# a payment was sold, called or written off: that cures nothing.
CURES: Mapping[bool, Cure] = {
    False: Cure(events=_PAYMENTS | {"closed"}, days=0),
    True: Cure(events=_PAYMENTS, days=183),
}


class Spell(NamedTuple):
    """Days from `begin` up to, not including, `end` (NEVER: as far as is known). One that ends as it begins counts."""

    begin: int
    end: int

    def holds(self, day: int) -> bool:
        """Return whether the day lies in it."""
        return self.begin <= day < self.end


class Report(NamedTuple):
    """The content of a loan event. Reports are ordered by event time, then by offset."""

    event_ms: int
    offset: int
    day: int
    event: LoanEvent
    dpd: int | None
    ends: bool  # nothing is owed or may be drawn any more, by this
    is_repaid: bool  # nothing is outstanding


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A loan by its reports. opened: the day of the first one. ended: NEVER while open.

    doubtful: days on which it was more days past due than is good if its arrears ran on, but no report says so.
    """

    opened: int
    ended: int
    is_repaid: bool
    bad: tuple[Spell, ...]
    doubtful: tuple[Spell, ...]


def bad_since(day: int, event: LoanEvent, dpd: int | None, dpd_max: int = DPD_GOOD_MAX) -> int | None:
    """Return the day from which a loan is bad by an event of `day`; None where the event does not say that it is.

    A report of n days past due dates it back to the day on which `dpd_max` were passed.
    """
    if dpd is not None and dpd > dpd_max:
        return day - (dpd - dpd_max - 1)
    return day if event in DEFAULTS else None


def ends(loan: Loan) -> bool:
    """Return whether a loan is over by this event: closed, or repaid and not to be drawn again."""
    is_drawable = loan.revolving and (loan.limit_minor or 0) > 0
    return loan.event == "closed" or (loan.event == "repaid" and loan.outstanding_minor == 0 and not is_drawable)


class LoanHistory:
    """The reports on one loan. What only repeats the report before it is dropped once nothing can come in between.

    packed: the reports as bytes, _PACKED each, in their order: a tenth of what objects take.
    """

    __slots__ = ("_is_plain", "_last_offset", "bank_id", "loan_id", "packed")

    def __init__(self, bank_id: str, loan_id: str = "") -> None:
        self.bank_id, self.loan_id = sys.intern(bank_id), loan_id  # a few banks have all loans
        self.packed = bytearray()
        self._last_offset, self._is_plain = -1, True

    @classmethod
    def restored(cls, bank_id: str, loan_id: str, packed: bytes, last_offset: int, is_plain: bool) -> "LoanHistory":
        """Return the history whose `stored` this is."""
        found = cls.__new__(cls)
        found.bank_id, found.loan_id, found.packed = sys.intern(bank_id), loan_id, bytearray(packed)
        found._last_offset, found._is_plain = last_offset, is_plain
        return found

    @property
    def stored(self) -> tuple[str, str, bytes, int, bool]:
        """The history in a checkpoint. The last two follow from the others, and cost most of the time to restore it."""
        return self.bank_id, self.loan_id, bytes(self.packed), self._last_offset, self._is_plain

    def __len__(self) -> int:
        return len(self.packed) // _PACKED.size

    def add(self, loan: Loan, offset: int) -> None:
        """Take in an event of this loan."""
        at_ms, is_repaid = loan.event_time, loan.outstanding_minor == 0
        new = Report(at_ms, offset, day_of(at_ms), loan.event, loan.dpd, ends(loan), is_repaid)
        size = len(self.packed)
        if size and _ORDER.unpack_from(self.packed, size - _PACKED.size) > (at_ms, offset):
            self._keep(sorted([*_unpacked(self.packed), new]))
        else:
            self.packed += _packed(new)
            self._last_offset = max(self._last_offset, offset)
            self._is_plain = self._is_plain and _says_nothing_bad(new)
        if len(self) % REPORTS_THINNED_AT == 0:
            self._keep(_thinned(list(_unpacked(self.packed))))

    def standing(self, *, before_offset: int, dpd_max: int = DPD_GOOD_MAX) -> Standing | None:
        """Return the standing by the reports before an offset; None where there are none."""
        if self._is_plain and self._last_offset < before_offset and self.packed:
            return self._plain_standing()
        known = [report for report in _unpacked(self.packed) if report.offset < before_offset]
        return standing(known, dpd_max) if known else None

    def forget(self, before_offset: int) -> None:
        """Drop the reports before an offset."""
        self._keep([report for report in _unpacked(self.packed) if report.offset >= before_offset])

    def _plain_standing(self) -> Standing:
        """Return what `standing` does where no report speaks of arrears: most loans, at a tenth of the time."""
        last = next(_unpacked(self.packed[-_PACKED.size :]))
        if last.ends:
            return standing(list(_unpacked(self.packed)))
        opened = day_of(_ORDER.unpack_from(self.packed)[0])
        return Standing(opened=opened, ended=NEVER, is_repaid=False, bad=(), doubtful=())

    def _keep(self, reports: Sequence[Report]) -> None:
        self.packed[:] = b"".join(map(_packed, reports))
        self._last_offset = max((report.offset for report in reports), default=-1)
        self._is_plain = all(map(_says_nothing_bad, reports))


_PACKED = struct.Struct("<qqBiB")  # event_ms, offset, event, dpd or -1, ends + 2 * is_repaid
_ORDER = struct.Struct("<qq")


def _packed(report: Report) -> bytes:
    dpd = -1 if report.dpd is None else report.dpd
    flags = report.ends + 2 * report.is_repaid
    return _PACKED.pack(report.event_ms, report.offset, EVENTS.index(report.event), dpd, flags)


def _unpacked(packed: bytes | bytearray) -> Iterator[Report]:
    for at_ms, offset, event, dpd, flags in _PACKED.iter_unpack(packed):
        yield Report(
            at_ms, offset, day_of(at_ms), EVENTS[event], None if dpd < 0 else dpd, bool(flags & 1), bool(flags & 2)
        )


def _says_nothing_bad(report: Report) -> bool:
    return not report.dpd and report.event != "overdue" and report.event not in DEFAULTS


def standing(reports: Sequence[Report], dpd_max: int = DPD_GOOD_MAX) -> Standing:
    """Return the standing of a loan by its reports, at least one, in their order."""
    bad, doubtful = list[Spell](), list[Spell]()
    arrears: int | None = None  # since when, as the lender last said
    begin: int | None = None  # of the running bad spell …
    cured: int | None = None  # … and the report that cures it, if no arrears follow
    in_default = False
    for report in reports:
        if begin is not None and cured is not None and report.day >= cured + CURES[in_default].days:
            bad.append(Spell(begin, cured + CURES[in_default].days))
            begin, cured, in_default = None, None, False
        owed = _arrears_since(report, arrears)
        if arrears is not None and owed != arrears and arrears + dpd_max + 1 < report.day:
            doubtful.append(Spell(arrears + dpd_max + 1, report.day))
        arrears = owed
        since = bad_since(report.day, report.event, report.dpd, dpd_max)
        if since is not None:
            begin, cured = since if begin is None else min(begin, since), None
            in_default |= report.event in DEFAULTS or (report.dpd or 0) >= DPD_DEFAULT_MIN
        elif begin is not None and arrears is not None:
            cured = None
        elif begin is not None and cured is None and _cures(report, in_default):
            cured = report.day
    if begin is not None:
        bad.append(Spell(begin, NEVER if cured is None else cured + CURES[in_default].days))
    if arrears is not None:
        doubtful.append(Spell(arrears + dpd_max + 1, NEVER))
    ended = NEVER
    for report in reversed(reports):
        if not report.ends:
            break
        ended = report.day
    return Standing(
        opened=reports[0].day,
        ended=ended,
        is_repaid=reports[-1].ends and reports[-1].is_repaid,
        bad=tuple(bad),
        doubtful=tuple(doubtful),
    )


def _arrears_since(report: Report, before: int | None) -> int | None:
    """Return since when a loan is in arrears after a report, or None. `before`: the same before it.

    Where the lender says "overdue" without days, they are counted from its first such word.
    """
    if report.dpd:
        return report.day - report.dpd
    if _is_settled(report):
        return None
    if report.event == "overdue":
        return report.day if before is None else before
    return before


def _is_settled(report: Report) -> bool:
    return report.dpd == 0 or (report.is_repaid and report.event in _LAST_PAYMENTS)


def _cures(report: Report, in_default: bool) -> bool:
    return _is_settled(report) and report.event in CURES[in_default].events


def _thinned(reports: list[Report]) -> list[Report]:
    """Return the reports without those that say what the one before them says.

    Those of the last LATENESS_MS stay, since a late report may come before them, and so does one that stands before its
    predecessor in the log: a reader of the log up to there has only that one.
    """
    kept = reports[:1]
    for report in reports[1:]:
        is_settled = report.event_ms + LATENESS_MS < reports[-1].event_ms
        if not (is_settled and kept[-1].offset < report.offset and _meaning(kept[-1]) == _meaning(report)):
            kept.append(report)
    return kept


def _meaning(report: Report) -> tuple[object, ...]:
    """Return all that `standing` reads of a report, but for its day."""
    dpd = report.dpd or 0
    arrears = (report.day - dpd, dpd > DPD_GOOD_MAX, dpd >= DPD_DEFAULT_MIN) if dpd else None
    says_overdue = report.event == "overdue" and report.dpd is None
    cures = tuple(_cures(report, in_default) for in_default in CURES)
    return (
        arrears, says_overdue, _is_settled(report), cures, report.event in DEFAULTS, report.ends, report.is_repaid,
    )  # fmt: skip
