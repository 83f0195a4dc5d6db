"""Labels: the kinds of label, the day on which each is known, and independence of the order of reading."""

import pytest

from detectors.learning.labels import (
    DEFAULT_12M,
    HORIZON_DAYS,
    SIGHT_DAYS_MAX,
    Close,
    Label,
    Unlabelled,
    label_of,
)
from detectors.learning.loan_history import LoanHistory
from domain.calendar import date_of, day_start_ms, month_of_day
from domain.events import Loan, Outcome
from domain.outputs import Observation
from streams.learn.month_closes import last_day

BANK = "C1010511000099"
DAY = 19_000
GRANTED = DAY - 400


def observation(
    day: int, enterprise: str = "E1", number: str = "o1", offset: int = 0, loan: str | None = None, milli: int = 500_000
) -> Observation:
    return Observation(
        observation_id=id_of(number), enterprise_id=enterprise, kind="grant" if loan else "month", loan_id=loan,
        day=day,
        as_of=day_start_ms(day), score_milli=milli, p_overdue30_90d_ppm=50_000, utilities_ppm={"a": 500_000},
        values_micro={}, model_id="m", offset=offset, seq=0,
    )  # fmt: skip


def id_of(name: str) -> str:
    """Return an observation's id, ordered as the names are."""
    return name.encode().hex().ljust(32, "0")


def loan(
    day: int,
    event: str = "overdue",
    dpd: int | None = None,
    event_id: str = "",
    enterprise: str = "E1",
    *,
    bank: str = BANK,
    outstanding: int = 1,
) -> Loan:
    return Loan(
        event_id=event_id or f"{event}-{day}-{dpd}", bank_id=bank, enterprise_id=enterprise,
        event_time=day_start_ms(day) + 3_600_000, loan_id="L1", event=event, principal_minor=1,  # type: ignore[arg-type]
        outstanding_minor=outstanding, granted_on="2020-01-01", dpd=dpd,
    )  # fmt: skip


def outcome(label: str, matured_on: int, offset_name: str = "x", *, enterprise: str = "E1", **names: str) -> Outcome:
    return Outcome(
        event_id=f"out-{offset_name}", bank_id=BANK, enterprise_id=enterprise, event_time=day_start_ms(matured_on),
        label=label,  # type: ignore[arg-type]
        matured_on=date_of(matured_on).isoformat(), **names,
    )  # fmt: skip


def close(offset: int = 1_000, last: int = DAY + 10_000, *, first: int = GRANTED, bank: str = BANK) -> Close:
    return Close(offset=offset, covered={bank: (first, last)})


def histories(*loans: Loan) -> list[LoanHistory]:
    """Return those of the loans, whose offsets are their places."""
    found: dict[str, LoanHistory] = {}
    for offset, each in enumerate(loans):
        found.setdefault(each.bank_id, LoanHistory(each.bank_id)).add(each, offset)
    return list(found.values())


def kind(*loans: Loan, end_day: int = DAY + 200, at: Close | None = None, definition: object = None) -> str | None:
    """Return the kind of label of an observation of DAY, after a grant and these reports."""
    found = label_of(
        observation(DAY), histories(loan(GRANTED, "granted"), *loans), [], close=at or close(), end_day=end_day,
        **({} if definition is None else {"definition": definition}),  # type: ignore[arg-type]
    )  # fmt: skip
    if isinstance(found, Label):
        return "bad" if found.bad else "good"
    return found.kind if isinstance(found, Unlabelled) else None


@pytest.mark.parametrize(
    ("event", "day", "dpd", "expected"),
    [
        ("overdue", DAY + 50, 31, "bad"),
        ("overdue", DAY + HORIZON_DAYS, 31, "bad"),
        ("overdue", DAY + HORIZON_DAYS + 1, 31, "good"),  # passed 30 a day too late
        ("overdue", DAY + HORIZON_DAYS + 1, 32, "bad"),  # reported late, but was bad on the last day
        ("overdue", DAY, 60, "already_bad"),
        ("overdue", DAY + 1, 31, "bad"),
        ("overdue", DAY + 1, 60, "already_bad"),  # reported late, but was bad on the observation's day
        ("repaid", DAY + 50, 31, "bad"),  # a part of it: 31 days are past due still
        ("classified", DAY + 50, 31, "bad"),
        ("default", DAY + HORIZON_DAYS, None, "bad"),
        ("default", DAY + HORIZON_DAYS + 1, None, "good"),
        ("default", DAY, None, "already_bad"),
        ("default", DAY - 300, None, "already_bad"),
        ("advance", DAY + 1, None, "bad"),
        ("written_off", DAY + 1, None, "bad"),
        ("overdue", DAY + 50, 30, "indeterminate"),  # would have passed 30 on the next day, and no word of that
        ("overdue", DAY + 50, None, "indeterminate"),
        ("overdue", DAY + HORIZON_DAYS - 5, 5, "good"),
        ("instalment_due", DAY + 50, 0, "good"),
        ("repaid", DAY + 50, 0, "good"),
    ],
)
def test_the_kind_of_label_by_one_report(event: str, day: int, dpd: int | None, expected: str) -> None:
    assert kind(loan(day, event, dpd)) == expected


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([(-40, "overdue", 35), (-10, "repaid", 0)], "good"),
        ([(-40, "overdue", 35), (-10, "overdue", 0)], "good"),
        ([(-40, "overdue", 35), (0, "repaid", 0)], "good"),  # cured by the day's end
        ([(-40, "overdue", 35), (1, "repaid", 0)], "already_bad"),
        ([(-40, "overdue", 35), (-10, "repaid", None)], "already_bad"),  # a payment; of arrears it says nothing
        ([(-40, "overdue", 35), (-10, "overdue", 5)], "already_bad"),  # less than all is paid
        ([(-40, "overdue", 35), (-10, "extended", 0)], "already_bad"),  # no payment
        ([(-200, "default", None), (-180, "repaid", 0)], "already_bad"),  # 183 days without arrears are to come
        ([(-200, "default", None), (-183, "repaid", 0)], "good"),
        ([(-250, "overdue", 91), (-183, "repaid", 0)], "good"),
        ([(-250, "overdue", 91), (-182, "repaid", 0)], "already_bad"),
        ([(-200, "default", None), (-190, "repaid", 0), (-100, "overdue", 3), (-95, "repaid", 0)], "already_bad"),
        ([(-40, "overdue", 35), (-10, "repaid", 0), (50, "overdue", 31)], "bad"),  # and again
        ([(10, "overdue", 31), (10, "repaid", 0)], "bad"),  # the same day
        ([(0, "overdue", 31), (0, "repaid", 0)], "good"),
        ([(10, "overdue", 25), (60, "repaid", 0)], "indeterminate"),  # 55 days past due by then: nobody says so
        ([(10, "overdue", 25), (16, "repaid", 0)], "good"),
    ],
)
def test_bad_until_cured_by_the_lenders_own_word(reports: list[tuple[int, str, int | None]], expected: str) -> None:
    assert kind(*(loan(DAY + day, event, dpd) for day, event, dpd in reports)) == expected


def test_a_closed_loan_cures_arrears_and_no_default() -> None:
    at = close(last=DAY + 200)
    other = loan(DAY - 5, "granted", bank="B2")  # another loan, so that the enterprise is observed at all
    both = Close(offset=at.offset, covered={**at.covered, "B2": (GRANTED, DAY + 200)})
    closed = loan(DAY - 10, "closed", outstanding=0)
    assert kind(loan(DAY - 40, "overdue", 35), closed, other, at=both) == "good"
    assert kind(loan(DAY - 40, "default"), closed, other, at=both) == "already_bad"
    assert kind(loan(DAY - 40, "overdue", 35), loan(DAY - 10, "closed"), other, at=both) == "already_bad"


def test_good_needs_the_receipts_of_each_lender_over_the_whole_horizon() -> None:
    end = DAY + HORIZON_DAYS
    late = end + SIGHT_DAYS_MAX
    assert kind(at=close(last=end)) == "good"
    for at in (
        close(last=end - 1), close(first=DAY + 2), close(bank="B2"), Close(offset=9, covered={}),
    ):  # fmt: skip
        assert kind(at=at, end_day=late - 1) is None, "it waits for receipts"
        assert kind(at=at, end_day=late) == "indeterminate"
    second = loan(DAY + 80, "granted", bank="B2")
    assert kind(second, at=close(last=end), end_day=late) == "indeterminate"
    assert kind(loan(end + 1, "granted", bank="B2"), at=close(last=end), end_day=late) == "good"


def test_a_bad_observation_waits_for_sight_like_a_good_one_and_comes_out_bad() -> None:
    bad = loan(DAY + 10, "default")
    blind = close(last=DAY + 5)
    assert kind(bad, at=blind, end_day=DAY + HORIZON_DAYS + SIGHT_DAYS_MAX - 1) is None
    assert kind(bad, at=blind, end_day=DAY + HORIZON_DAYS + SIGHT_DAYS_MAX) == "bad"


def test_a_loan_that_is_repaid_and_closed_is_in_sight_without_receipts() -> None:
    blind, late = close(last=DAY + 5), DAY + HORIZON_DAYS + SIGHT_DAYS_MAX
    repaid = [loan(DAY + 50, "repaid", 0, outstanding=0), loan(DAY + 50, "closed", 0, outstanding=0)]
    assert kind(*repaid, at=blind, end_day=DAY + HORIZON_DAYS) == "good"
    assert kind(loan(DAY + 50, "closed", 0), at=blind, end_day=late) == "indeterminate"
    after = [msg for day in (HORIZON_DAYS + 1,) for msg in (loan(DAY + day, "closed", 0, outstanding=0),)]
    assert kind(*after, at=blind, end_day=late) == "indeterminate"


def test_of_a_loan_that_the_log_does_not_know_nothing_is_seen() -> None:
    found = label_of(observation(DAY), [], [], close=close(), end_day=DAY + 200)
    assert found == Unlabelled("indeterminate")


def test_the_second_label_is_default_within_12_months() -> None:
    def second(*loans: Loan) -> str | None:
        return kind(*loans, end_day=DAY + 400, definition=DEFAULT_12M)

    assert kind(end_day=DAY + 364, definition=DEFAULT_12M) is None
    assert second() == "good"
    assert second(loan(DAY + 365, "default")) == "bad"
    assert second(loan(DAY + 366, "default")) == "good"
    assert second(loan(DAY + 50, "overdue", 90), loan(DAY + 50, "repaid", 0)) == "good"
    assert second(loan(DAY + 50, "overdue", 91)) == "bad"
    assert second(loan(DAY - 10, "overdue", 60), loan(DAY + 5, "repaid", 0)) == "good", "overdue, not in default"
    assert second(loan(DAY - 10, "default")) == "already_bad"


def test_good_and_bad_alike_mature_at_the_horizons_end() -> None:
    for known in ([loan(DAY + 1, "default")], []):
        assert kind(*known, end_day=DAY + HORIZON_DAYS - 1) is None
        assert kind(*known, end_day=DAY + HORIZON_DAYS) is not None


def test_a_label_that_waited_for_receipts_matures_at_the_close_at_which_they_are_there() -> None:
    """So what is learned later never matured before what was learned earlier."""
    end = DAY + HORIZON_DAYS
    months = sorted({last_day(month_of_day(end) + n) for n in range(3)})
    found = [
        label_of(observation(DAY), histories(loan(GRANTED, "granted")), [], close=close(last=last), end_day=end_day)
        for last, end_day in ((end, months[0]), (end - 1, months[0]), (end, months[1]))
    ]
    assert [None if one is None else one.matured_on for one in found] == [end, None, months[1]]  # type: ignore[union-attr]


def test_records_behind_the_closing_tick_are_not_read() -> None:
    assert kind(loan(DAY + 1, "default"), at=close(2)) == "bad"
    assert kind(loan(DAY + 1, "default"), at=close(1)) == "good"
    assert kind(loan(DAY - 90, "default"), loan(DAY - 9, "overdue", 33), at=close(3)) == "already_bad"
    cured = loan(DAY - 40, "overdue", 35), loan(DAY - 9, "repaid", 0)
    assert kind(*cured, at=close(3)) == "good"
    assert kind(*cured, at=close(2)) == "already_bad"
