"""Labels: the definition of bad, the day on which it is known, and independence of the order of reading."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.labels import HORIZON_DAYS, BadFact, Ledger, bad_fact, label_of
from domain.calendar import date_of, day_start_ms
from domain.events import Loan, Outcome
from domain.outputs import Observation

BANK = "C1010511000099"


def observation(
    day: int, enterprise: str = "E1", number: str = "o1", offset: int = 0, loan: str | None = None
) -> Observation:
    return Observation(
        observation_id=number, enterprise_id=enterprise, kind="grant" if loan else "month", loan_id=loan, day=day,
        as_of=day_start_ms(day), score_milli=500_000, p_overdue30_90d_ppm=50_000, utilities_ppm={"a": 500_000},
        values_micro={}, model_id="m", offset=offset, seq=0,
    )  # fmt: skip


def loan(
    day: int, event: str = "overdue", dpd: int | None = None, event_id: str = "l1", enterprise: str = "E1"
) -> Loan:
    return Loan(
        event_id=event_id, bank_id=BANK, enterprise_id=enterprise, event_time=day_start_ms(day) + 3_600_000,
        loan_id="L1", event=event, principal_minor=1, outstanding_minor=1, granted_on="2020-01-01", dpd=dpd,  # type: ignore[arg-type]
    )  # fmt: skip


def outcome(label: str, matured_on: int, offset_name: str = "x", **names: str) -> Outcome:
    return Outcome(
        event_id=f"out-{offset_name}", bank_id=BANK, enterprise_id="E1", event_time=day_start_ms(matured_on),
        label=label,  # type: ignore[arg-type]
        matured_on=date_of(matured_on).isoformat(), **names,
    )  # fmt: skip


DAY = 19_000


@pytest.mark.parametrize(
    ("event", "day", "dpd", "bad"),
    [
        ("overdue", DAY + 50, 30, False),
        ("overdue", DAY + 50, 31, True),
        ("overdue", DAY + HORIZON_DAYS, 31, True),
        ("overdue", DAY + HORIZON_DAYS + 1, 31, False),  # passed 30 a day too late
        ("overdue", DAY + HORIZON_DAYS + 1, 32, True),  # reported late, but was bad on the last day
        ("overdue", DAY, 60, False),  # bad before, and no word that it went on
        ("overdue", DAY + 1, 60, True),
        ("overdue", DAY + 50, None, False),
        ("default", DAY + HORIZON_DAYS, None, True),
        ("default", DAY + HORIZON_DAYS + 1, None, False),
        ("default", DAY, None, False),
        ("advance", DAY + 1, None, True),
        ("written_off", DAY + 1, None, True),
        ("repaid", DAY + 1, 90, False),
        ("classified", DAY + 1, 31, False),
    ],
)
def test_bad_is_more_than_30_days_past_due_or_default_in_the_horizon(
    event: str, day: int, dpd: int | None, bad: bool
) -> None:
    fact = bad_fact(loan(day, event, dpd), offset=5)
    label = label_of(observation(DAY), [fact] if fact else [], [], before_offset=6, end_day=DAY + 200)
    assert label is not None
    assert (label.bad, label.matured_on) == (bad, DAY + HORIZON_DAYS)


def test_good_and_bad_alike_mature_at_the_horizons_end() -> None:
    facts = [BadFact(since=DAY + 1, until=DAY + 1, offset=1)]
    for known in (facts, []):
        assert label_of(observation(DAY), known, [], before_offset=9, end_day=DAY + HORIZON_DAYS - 1) is None
        assert label_of(observation(DAY), known, [], before_offset=9, end_day=DAY + HORIZON_DAYS) is not None


def test_records_behind_the_closing_tick_are_not_read() -> None:
    facts = [BadFact(since=DAY + 1, until=DAY + 1, offset=7)]
    label = label_of(observation(DAY), facts, [], before_offset=7, end_day=DAY + 200)
    assert label is not None
    assert not label.bad


def test_an_operators_outcome_takes_the_place_of_loan_facts() -> None:
    ledger = Ledger()
    ledger.observe(observation(DAY, number="a", loan="L1"), 0)
    ledger.observe(observation(DAY, number="b"), 0)
    ledger.loan(loan(DAY + 10, "default", event_id="d"), 1)
    ledger.outcome(outcome("good", DAY + 20, "1", loan_id="L1"), 2)
    (first,) = ledger.matured({0: 10}, DAY + 30)
    assert (first.observation.observation_id, first.bad, first.matured_on) == ("a", False, DAY + 20)
    (second,) = ledger.matured({0: 10}, DAY + 90)
    assert (second.observation.observation_id, second.bad) == ("b", True)
    ledger.outcome(outcome("good", DAY + 95, "2", observation_id="b"), 11)
    assert ledger.verdict_too_late_count == 1


def test_a_second_body_of_an_event_id_does_not_count() -> None:
    ledger = Ledger()
    ledger.observe(observation(DAY), 0)
    ledger.outcome(outcome("good", DAY + 5, "1", observation_id="o1"), 1)
    ledger.outcome(outcome("bad", DAY + 5, "1", observation_id="o1"), 2)
    (label,) = ledger.matured({0: 10}, DAY + 90)
    assert not label.bad


@given(
    st.lists(st.tuples(st.integers(DAY, DAY + 60), st.integers(0, 5)), max_size=30),
    st.lists(st.tuples(st.integers(DAY, DAY + 200), st.sampled_from([20, 31, 60]), st.integers(0, 5)), max_size=20),
    st.randoms(use_true_random=False),
)
def test_labels_come_once_in_the_declared_order_whatever_was_read_first(
    observed: list[tuple[int, int]], facts: list[tuple[int, int, int]], rng: random.Random
) -> None:
    """Naive: every observation by itself, over all facts; then sorted. The ledger: shuffled, repeated, by month."""
    made = [observation(day, f"E{e}", f"o{i}", offset=i) for i, (day, e) in enumerate(observed)]
    loans = [(loan(day, "overdue", dpd, f"l{i}", f"E{e}"), i) for i, (day, dpd, e) in enumerate(facts)]
    expected = sorted(
        (o.day + 90, o.enterprise_id, o.observation_id,
         any(n.enterprise_id == o.enterprise_id and n.dpd > 30
             and o.day < _day(n) and _day(n) - n.dpd + 31 <= o.day + 90 for n, _ in loans))
        for o in made
    )  # fmt: skip
    ledger = Ledger()
    calls = [(ledger.observe, (o, 0)) for o in made * 2] + [(ledger.loan, pair) for pair in loans]
    rng.shuffle(calls)
    for call, args in calls:
        call(*args)  # type: ignore[arg-type]
    labels = [
        (label.matured_on, label.observation.enterprise_id, label.observation.observation_id, label.bad)
        for end_day in range(DAY, DAY + 240, 30)
        for label in ledger.matured({0: 1_000}, end_day)
    ]
    assert labels == expected
    assert (ledger.held_count, ledger.repeated_count, ledger.seen_count) == (0, len(made), len(made))


def _day(event: Loan) -> int:
    return (event.event_time + 8 * 3_600_000) // 86_400_000
