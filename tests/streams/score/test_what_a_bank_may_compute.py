"""The numbers that a bank may compute of the others from what it is told: each harm through the real path of score."""

import msgspec
import pytest

from domain.calendar import date_of, day_of, day_start_ms
from domain.events import Feed, Instalment, Tick
from domain.outputs import Alert
from tests.streams.score.kit import BANK, FIRST_DAY, OTHER_BANK, authorization, loan, txn
from tests.streams.score.test_alerts import ARREARS, COLLAPSE, by_bank, days, overdue, run, supervised, two_lenders

pytestmark = pytest.mark.usefixtures("immediate")

THIRD, FOURTH = "C1010311000014", "C1010411000013"
BANKS = (BANK, OTHER_BANK, THIRD, FOURTH)
COVERED, COUNTS = "EWS11_instalment_not_covered", "EWS06_credit_count_fall"


def close(day: int) -> Tick:
    up_to = FIRST_DAY + day
    feed = Feed(covered_up_to=up_to, closed_up_to=up_to, stalled=False)
    return Tick(up_to=day_start_ms(up_to + 1) + 1, feeds=dict.fromkeys(BANKS, feed))


def lender(bank_id=BANK, loan_id="L1", **fields):
    return (
        loan(f"l{loan_id}", "E1", 0, loan_id=loan_id, bank_id=bank_id, **fields),
        authorization(f"a{loan_id}", "E1", to=bank_id),
    )


def shown(alerts: list[Alert], name: str) -> list[tuple[int | None, str | None]]:
    return [(e.value_micro, e.band) for alert in alerts for e in alert.evidence if e.name == name]


def uncovered(*, others, instalment=4 * 10**7):
    """A balance that falls below the reader's own instalment; `others` are the records of a day at other banks."""
    soon = Instalment(due_on=f"{date_of(FIRST_DAY + 25)}", due_minor=instalment)
    yield from lender(schedule=(soon,))
    for day in range(24):
        yield txn(f"s{day}", "E1", day, 5, 10, balance_minor=10**8 if day < 20 else 10**6)
        yield from others(day)
        yield close(day)


def of_other(day: int):
    yield txn(f"o{day}", "E1", day, 6, 10, bank_id=OTHER_BANK, account="z", balance_minor=777_777)


def own_transfer(day: int):
    """A bank where the enterprise only keeps money: it has no flow with others, and no slot."""
    yield txn(
        f"o{day}", "E1", day, 6, 10, bank_id=OTHER_BANK, account="z", balance_minor=777_777, purpose="own_transfer"
    )


@pytest.mark.parametrize("others", [of_other, own_transfer])
def test_a_ratio_to_the_readers_own_instalment_is_not_the_balance_at_other_banks(others):
    _, messages = run(uncovered(others=others))
    told = by_bank(messages, BANK, COVERED)
    assert told
    ratios = shown(told, "bal_to_next_instalment_ratio")
    assert ratios
    for value, band in ratios:
        derived = None if value is None else round(value * 4 * 10**7 / 1e6) - 10**6
        assert derived is None, f"the other bank's balance is {derived} fen"
        assert band is not None


def test_a_bank_that_has_left_hides_nobody():
    """Four banks once had flow, two have it now: less the reader's own, a total is the competitor's."""

    def trade():
        yield from (*lender(), *lender(OTHER_BANK, "L2"))
        for day in range(160):
            yield txn(f"s{day}", "E1", day, 5, 10**6 if day < 120 else 10**4)
            yield txn(f"o{day}", "E1", day, 6, 10**6 if day < 120 else 10**4, bank_id=OTHER_BANK)
            if day < 10:
                yield txn(f"t{day}", "E1", day, 7, 10**5, bank_id=THIRD)
                yield txn(f"f{day}", "E1", day, 8, 10**5, bank_id=FOURTH)
            yield close(day)

    _, messages = run(trade())
    told = by_bank(messages, BANK, COLLAPSE)
    assert told
    for value, band in shown(told, "op_inflow_30d_cny"):
        assert (value, band is not None) == (None, True)


def test_a_count_less_ones_own_is_not_the_competitors():
    def trade():
        yield from (*lender(), *lender(OTHER_BANK, "L2"))
        for day in range(170):
            for i in range(4 if day < 110 else 1):
                yield txn(f"s{day}-{i}", "E1", day, i, 10**6, bank_id=BANK if i % 2 else OTHER_BANK)
            yield close(day)

    _, messages = run(trade())
    told = by_bank(messages, BANK, COUNTS)
    assert told
    for value, band in shown(told, "op_credit_30d_count"):
        assert (value, band is not None) == (None, True)


def test_a_notice_has_a_day_and_no_offset_and_no_move():
    at = 12 * 3_600_000 + 34 * 60_000 + 56_789
    late = msgspec.structs.replace(overdue(40, 45), event_time=day_start_ms(FIRST_DAY + 40) + at)
    _, messages = run([*two_lenders(), *days(0, 40), late, *days(40, 45)])
    (own,) = by_bank(messages, BANK, ARREARS)
    (notice,) = by_bank(messages, OTHER_BANK, ARREARS)
    assert day_of(own.as_of) == day_of(notice.as_of) == FIRST_DAY + 40
    assert own.as_of - 1 == late.event_time
    assert notice.as_of == notice.opened_at == day_start_ms(FIRST_DAY + 40) + 1
    assert (notice.offset, notice.seq) == (-1, 0)
    assert (own.score, notice.score_before) == (499, None)  # the cap of arrears over 30 days
    assert notice.score == own.score_before
    (told,) = supervised(messages, ARREARS)
    assert (told.as_of, told.offset) == (own.as_of, own.offset)


def test_the_numbers_of_notices_count_no_other_signal():
    """The instalment that is not covered at one bank is no notice to the other, and no gap in its numbers."""
    soon = Instalment(due_on=f"{date_of(FIRST_DAY + 25)}", due_minor=4 * 10**7)

    def trade():
        yield from (*lender(schedule=(soon,)), *lender(OTHER_BANK, "L2"))
        for day in range(45):
            fen = 10**6 if 20 <= day < 26 else 10**9
            yield txn(f"s{day}", "E1", day, 5, 100, balance_minor=fen)
            yield txn(f"o{day}", "E1", day, 6, 10, bank_id=OTHER_BANK)
            if day == 40:
                yield overdue(40, 12)
            yield close(day)

    _, messages = run(trade())
    assert by_bank(messages, BANK, COVERED)
    notices = [a for a in by_bank(messages, OTHER_BANK, ARREARS) if not a.evidence]
    assert [a.revision for a in notices] == [1]
