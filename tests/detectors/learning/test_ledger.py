"""The ledger: what is held, labelled and dropped, in what order, and its durable form."""

import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.learning.examples import UNKNOWN
from detectors.learning.labels import DEFAULT_12M, Label, label_of
from detectors.learning.ledger import Ledger
from detectors.learning.loan_history import LoanHistory
from domain.calendar import month_of_day
from streams.learn.month_closes import last_day
from tests.detectors.learning.test_labels import BANK, DAY, GRANTED, close, id_of, loan, observation, outcome


def test_an_operators_outcome_takes_the_place_of_loan_facts() -> None:
    ledger = Ledger()
    ledger.observe(observation(DAY, number="a", loan="L1", milli=1), 0)
    ledger.observe(observation(DAY, number="b", milli=2), 0)
    ledger.loan(loan(GRANTED, "granted"), 0, 0)
    ledger.loan(loan(DAY + 10, "default"), 1, 0)
    ledger.outcome(outcome("good", DAY + 20, "1", loan_id="L1"), 2, 0)
    (first,) = ledger.matured({0: close(10)}, DAY + 30)
    assert (first["score_milli"], first["bad"], first["matured_on"]) == (1, False, DAY + 20)
    (second,) = ledger.matured({0: close(10)}, DAY + 90)
    assert (second["score_milli"], second["bad"]) == (2, True)
    assert ledger.retained["score_milli"].tolist() == [1, 2]


def test_an_outcome_after_its_label_and_one_on_nothing_that_is_known_are_counted() -> None:
    ledger = Ledger()
    ledger.observe(observation(DAY, number="b"), 0)
    ledger.loan(loan(GRANTED, "granted"), 0, 0)
    assert len(ledger.matured({0: close(10)}, DAY + 90)) == 1
    ledger.outcome(outcome("good", DAY + 95, "2", observation_id=id_of("b")), 11, 0)
    ledger.outcome(outcome("good", DAY + 95, "3", observation_id=id_of("c")), 12, 0)
    ledger.outcome(outcome("good", DAY + 95, "4", loan_id="unknown"), 13, 0)
    ledger.outcome(outcome("good", DAY + 95, "5", enterprise="E2", observation_id=id_of("b")), 14, 0)
    assert not len(ledger.matured({0: close(11)}, DAY + 120))
    assert (ledger.outcomes_late_count, ledger.outcomes_unknown_count) == (0, 0), "they are behind the close"
    for _ in range(2):
        ledger.matured({0: close(15)}, DAY + 150)
        assert (ledger.outcomes_late_count, ledger.outcomes_unknown_count) == (1, 3)


def test_an_outcome_needs_no_loan_events_and_makes_no_label_of_one_who_was_bad() -> None:
    ledger = Ledger()
    ledger.observe(observation(DAY, number="a", milli=1), 0)
    ledger.observe(observation(DAY, "E2", "b"), 0)
    ledger.loan(loan(DAY - 10, "default", enterprise="E2"), 1, 0)
    for name, enterprise in (("a", "E1"), ("b", "E2")):
        given_by = outcome("good", DAY + 20, name, enterprise=enterprise, observation_id=id_of(name))
        ledger.outcome(given_by, 2, 0)
    (label,) = ledger.matured({0: close(10)}, DAY + 30)
    assert label["score_milli"] == 1
    assert ledger.labels == {"good": 1, "bad": 0, "already_bad": 1, "indeterminate": 0}


def test_an_outcome_that_comes_before_its_observation_holds() -> None:
    ledger = Ledger()
    ledger.outcome(outcome("bad", DAY + 20, observation_id=id_of("a")), 2, 0)
    ledger.observe(observation(DAY, number="a"), 0)
    (label,) = ledger.matured({0: close(10)}, DAY + 30)
    assert label["bad"]


def test_a_second_body_of_an_event_id_does_not_count() -> None:
    ledger = Ledger()
    ledger.observe(observation(DAY), 0)
    ledger.loan(loan(DAY - 30, "repaid", 0, event_id="l"), 0, 0)
    ledger.loan(loan(DAY - 20, "default", event_id="l"), 1, 0)
    ledger.outcome(outcome("good", DAY + 5, "1", observation_id=id_of("o1")), 1, 0)
    ledger.outcome(outcome("bad", DAY + 5, "1", observation_id=id_of("o1")), 2, 0)
    (label,) = ledger.matured({0: close(10)}, DAY + 90)
    assert not label["bad"]


def test_the_second_label_is_filled_in_when_its_time_has_come() -> None:
    ledger = Ledger()
    ledger.loan(loan(GRANTED, "granted"), 0, 0)
    ledger.observe(observation(DAY, number="a"), 0)
    ledger.observe(observation(DAY + 200, number="b"), 0)
    ledger.observe(observation(DAY + 420, number="c"), 0)
    ledger.loan(loan(DAY + 400, "default"), 1, 0)
    ledger.matured({0: close()}, DAY + 364)
    assert ledger.retained["default_12m"].tolist() == [UNKNOWN, UNKNOWN]
    ledger.matured({0: close()}, DAY + 365)
    assert ledger.retained["default_12m"].tolist() == [False, UNKNOWN]
    ledger.matured({0: close()}, DAY + 365 + 200)
    assert ledger.retained["default_12m"].tolist() == [False, True]
    ledger.matured({0: close()}, DAY + 2_000)
    assert ledger.labels["already_bad"] == 1, "c"


def test_labelled_observations_beyond_the_months_retained_go_by_whole_years() -> None:
    ledger = Ledger(months_retained=24)
    ledger.loan(loan(DAY, "granted"), 0, 0)
    first = month_of_day(DAY) + 1
    kept = []
    for month in range(first, first + 60):
        ledger.observe(observation(last_day(month), number=f"{month}"), 0)
        ledger.matured({0: close(first=DAY)}, last_day(month))
        matured = {month_of_day(day) for day in ledger.retained["matured_on"].tolist()}
        if matured:
            kept.append(month - min(matured) + 1)
            assert min(matured) == first + 3 or min(matured) % 12 == 0
    assert max(kept) in range(24, 36)
    assert kept[-1] in range(24, 36)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"observation_id": "o1"}, "observation_id is not 32 hex digits"),
        ({"observation_id": "A" * 32}, "observation_id is not 32 hex digits"),
        ({"values_micro": {"of_another_catalogue": 1}}, "values_micro names of_another_catalogue"),
        ({"values_micro": {"dpd_max_days": 2**63}}, "values_micro of dpd_max_days"),
        ({"utilities_ppm": {"dpd_max_days": 1_000_001}}, "utilities_ppm of dpd_max_days = 1000001 is outside 0"),
        ({"utilities_ppm": {"dpd_max_days": -1}}, "utilities_ppm of dpd_max_days = -1 is outside 0"),
        ({"score_milli": -1}, "score_milli = -1"),
        ({"p_overdue30_90d_ppm": 1_000_001}, "p_overdue30_90d_ppm = 1000001"),
        ({"day": 2**40}, "day = 1099511627776"),
        ({"offset": -1}, "offset = -1"),
    ],
)
def test_an_observation_that_no_model_may_see_is_refused_by_the_field(change: dict[str, object], why: str) -> None:
    ledger = Ledger()
    with pytest.raises(ValueError, match=why):
        ledger.observe(msgspec.structs.replace(observation(DAY), **change), 0)
    assert (ledger.seen_count, ledger.held_count, len(ledger.table)) == (0, 0, 0)


REPORTS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.sampled_from(["overdue", "overdue", "repaid", "repaid", "instalment_due", "default", "closed", "extended"]),
        st.sampled_from([None, 0, 0, 0, 3, 20, 31, 60, 95]),
        st.integers(0, 1),  # outstanding
        st.integers(0, 2),  # enterprise
    ),
    max_size=40,
)  # fmt: skip
MONTHS = range(1, 18)
PLACES = 1_000  # of a day, in offsets


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 2)), max_size=12),
    REPORTS,
    st.lists(st.integers(0, 60), min_size=len(MONTHS), max_size=len(MONTHS)),
    st.randoms(use_true_random=False),
)
def test_labels_come_once_in_the_declared_order_whatever_was_read_first(
    observed: list[tuple[int, int]],
    reports: list[tuple[int, str, int | None, int, int]],
    days_behind: list[int],
    rng: random.Random,
) -> None:
    """Naive: each observation by itself, at each close over a log that ends there, without repeats.

    The ledger has read all of the log before the first close, some of it twice, the two topics in any order.
    `days_behind`: how far receipts are behind at each close.
    """
    made = [
        observation(DAY + day, f"E{e}", f"o{i:02}", offset=day * PLACES, milli=i) for i, (day, e) in enumerate(observed)
    ]
    loans = [
        (loan(DAY + on, event, dpd, f"l{i}", f"E{e}", outstanding=outstanding), on * PLACES + i)
        for i, (on, event, dpd, outstanding, e) in enumerate(sorted(reports, key=lambda report: report[0]))
    ]
    closes = [
        (DAY + 30 * month, close(30 * month * PLACES + PLACES - 1, DAY + 30 * month - days, first=DAY - 1))
        for month, days in zip(MONTHS, days_behind, strict=True)
    ]
    expected = list[tuple[int, tuple[int, str, str], bool]]()
    unlabelled = Counter[str]()
    for one in made:
        for end_day, at in closes:
            history = LoanHistory(BANK)
            for each, offset in loans:
                if each.enterprise_id == one.enterprise_id and offset < at.offset:
                    history.add(each, offset)
            found = None if one.offset > at.offset else label_of(one, [history], [], close=at, end_day=end_day)
            if isinstance(found, Label):
                expected.append((end_day, found.order, found.bad))
            elif found is not None:
                unlabelled[found.kind] += 1
            if found is not None:
                break
    ledger = Ledger()
    again = [(each, offset + 10**6) for each, offset in loans if rng.random() < 0.3]  # the same file once more
    observing = [(ledger.observe, (one, 0)) for one in made * 2]
    lending = [(ledger.loan, (*pair, 0)) for pair in loans + again]
    rng.shuffle(observing)
    while observing or lending:
        call, given_to = (observing if not lending or (observing and rng.random() < 0.5) else lending).pop(0)
        call(*given_to)  # type: ignore[arg-type]
    labels = list[tuple[int, tuple[int, str, str], bool]]()
    for end_day, at in closes:
        for row in ledger.matured({0: at}, end_day):
            one = made[row["score_milli"]]
            order = int(row["matured_on"]), one.enterprise_id, one.observation_id
            labels.append((end_day, order, bool(row["bad"])))
    assert labels == sorted(expected)
    assert +ledger.labels == unlabelled + Counter("bad" if bad else "good" for _, _, bad in labels)
    assert (ledger.held_count, ledger.repeated_count, ledger.seen_count) == (0, len(made), len(made))
    of_12m = {made[row["score_milli"]].observation_id: int(row["default_12m"]) for row in ledger.retained}
    assert of_12m == {
        each.observation_id: _of_12m(each, loans, closes) for each in made if each.observation_id in of_12m
    }
    assert len(of_12m) == len(labels)


def _of_12m(one, loans, closes):  # type: ignore[no-untyped-def]
    """Return the second label as `label_of` has it over a log that ends at the close at which it is due."""
    for end_day, at in closes:
        history = LoanHistory(BANK)
        for each, offset in loans:
            if each.enterprise_id == one.enterprise_id and offset < at.offset:
                history.add(each, offset)
        if one.offset > at.offset or label_of(one, [history], [], close=at, end_day=end_day) is None:
            continue
        found = label_of(one, [history], [], close=at, end_day=end_day, definition=DEFAULT_12M)
        if found is not None:
            return int(found.bad) if isinstance(found, Label) else UNKNOWN
    return UNKNOWN
