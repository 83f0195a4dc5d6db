"""A loan by its reports: laws of its bad spells, and that thinning changes nothing."""

import random

from hypothesis import given
from hypothesis import strategies as st

from detectors.learning.loan_history import (
    CURES,
    DPD_DEFAULT_MIN,
    NEVER,
    LoanHistory,
    Report,
    bad_since,
    ends,
    standing,
)
from domain.calendar import DAY_MS, day_of, day_start_ms
from domain.events import Loan

DAY = 19_000
EVENTS = ("overdue", "overdue", "repaid", "repaid", "instalment_due", "default", "closed", "extended", "classified")
DPDS = (None, 0, 0, 0, 3, 31, 60, 95)
ONE = st.tuples(st.integers(0, 40), st.sampled_from(EVENTS), st.sampled_from(DPDS), st.integers(0, 1))


def loan(at_ms: int, event: str, dpd: int | None, outstanding: int) -> Loan:
    return Loan(
        event_id="l", bank_id="B", enterprise_id="E", event_time=at_ms, loan_id="L", event=event,  # type: ignore[arg-type]
        principal_minor=1, outstanding_minor=outstanding, granted_on="2020-01-01", dpd=dpd,
    )  # fmt: skip


def report(one: Loan, offset: int) -> Report:
    day = day_of(one.event_time)
    return Report(one.event_time, offset, day, one.event, one.dpd, ends(one), one.outstanding_minor == 0)


@given(st.lists(ONE, min_size=1, max_size=25))
def test_a_bad_spell_lasts_from_a_report_of_bad_to_a_cure(steps: list[tuple[int, str, int | None, int]]) -> None:
    day, reports = DAY, list[Report]()
    for offset, (days, event, dpd, outstanding) in enumerate(steps):
        day += days
        reports.append(report(loan(day_start_ms(day) + 1, event, dpd, outstanding), offset))
    found = standing(reports)
    bad = [(since, each) for each in reports if (since := bad_since(each.day, each.event, each.dpd)) is not None]
    assert all(any(spell.begin <= since <= spell.end for spell in found.bad) for since, _ in bad)
    assert all(any(spell.begin <= each.day <= spell.end for spell in found.bad) for _, each in bad)
    for spell in found.bad:
        within = [each for since, each in bad if spell.begin <= since and each.day < spell.end]
        assert spell.begin in {since for since, _ in bad}
        if spell.end == NEVER:
            continue
        in_default = any(each.event == "default" or (each.dpd or 0) >= DPD_DEFAULT_MIN for each in within)
        cured = spell.end - CURES[in_default].days
        assert any(each.day == cured and each.event in CURES[in_default].events for each in reports)
        assert not any(each.dpd and cured < each.day < spell.end for each in reports), "arrears while it was on trial"


@given(st.lists(ONE, min_size=1, max_size=6), st.integers(20, 120), st.randoms(use_true_random=False))
def test_what_is_dropped_changes_no_standing_as_of_any_offset(
    meanings: list[tuple[int, str, int | None, int]], count: int, rng: random.Random
) -> None:
    """Runs of few meanings, so that much is dropped; each report up to seven days late.

    A history that is restored from what is stored of it, now and then, stays the same.
    """
    history, again, reports = LoanHistory("B"), LoanHistory("B"), list[Report]()
    newest_ms, (_, event, dpd, outstanding) = day_start_ms(DAY), meanings[0]
    for offset in range(count):
        if rng.random() < 0.2:
            _, event, dpd, outstanding = rng.choice(meanings)
        newest_ms += rng.randrange(20 * DAY_MS)
        late_ms = rng.randrange(7 * DAY_MS) if rng.random() < 0.3 else 0
        one = loan(newest_ms - late_ms, event, dpd, outstanding)
        history.add(one, offset)
        if rng.random() < 0.2:
            again = LoanHistory.restored(*again.stored)
        again.add(one, offset)
        assert again.stored == history.stored
        reports.append(report(one, offset))
    for before in range(1, count + 1):
        for dpd_max in (30, 90):
            known = sorted(each for each in reports if each.offset < before)
            assert history.standing(before_offset=before, dpd_max=dpd_max) == standing(known, dpd_max)
    assert history.standing(before_offset=0) is None


def test_a_loan_in_good_order_keeps_few_reports_however_long_it_lasts() -> None:
    history = LoanHistory("B")
    for month in range(600):
        for offset, event in ((2 * month, "instalment_due"), (2 * month + 1, "repaid")):
            history.add(loan(day_start_ms(DAY + 30 * month), event, 0, 1), offset)
    assert len(history) < 30
