"""Closes of months: at which tick, and which days each bank covers by it. The model in force, calibrated anew."""

from datetime import date

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from config.settings import LearnSettings
from detectors.learning.examples import Examples
from detectors.learning.labels import Close
from detectors.learning.ledger import Ledger
from detectors.learning.training import predicted
from detectors.prior import prior_snapshot
from detectors.snapshot import content_id, decode
from domain.calendar import day_of_date, day_start_ms, month_of_day
from domain.events import Feed, Tick
from streams.learn.learner import Learned, Learner
from streams.learn.month_closes import MonthCloses
from tests.model_months import examples

FIRST = day_of_date(date(2024, 1, 20))
JANUARY = month_of_day(FIRST)


def tick(day: int, covered: dict[str, int | None]) -> Tick:
    """A tick at the end of a day."""
    return Tick(
        up_to=day_start_ms(FIRST + day + 1),
        feeds={bank: Feed(covered_up_to=None if to is None else FIRST + to) for bank, to in covered.items()},
    )


def test_a_bank_covers_from_where_it_was_first_seen_to() -> None:
    closes = MonthCloses()
    closes.tick(tick(0, {"A": 0, "B": None}), 10)
    closes.tick(tick(5, {"A": 4, "B": 3}), 20)
    closes.tick(tick(11, {"A": 11, "B": 9, "C": None}), 30)
    assert closes.close_of(JANUARY) == Close(offset=30, covered={"A": (FIRST, FIRST + 11), "B": (FIRST + 3, FIRST + 9)})
    assert closes.close_of(JANUARY + 1) is None


def test_a_bank_that_ticks_left_out_begins_anew() -> None:
    closes = MonthCloses()
    for offset, (day, covered) in enumerate([(0, {"A": 0, "B": 0}), (5, {"B": 5}), (8, {"A": 8, "B": 8})]):
        closes.tick(tick(day, covered), offset)
    closes.tick(tick(12, {"A": 11, "B": 12}), 3)
    found = closes.close_of(JANUARY)
    assert found is not None
    assert found.covered == {"A": (FIRST + 8, FIRST + 11), "B": (FIRST, FIRST + 12)}
    assert found.covers("A", FIRST + 8, FIRST + 11)
    assert not found.covers("A", FIRST + 7, FIRST + 11)
    assert not found.covers("B", FIRST, FIRST + 13)
    assert not found.covers("Z", FIRST, FIRST)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.dictionaries(st.sampled_from("AB"), st.one_of(st.none(), st.integers(0, 3))),
        ),
        max_size=30,
    )
)
def test_ticks_that_tell_nothing_may_be_left_out(steps: list[tuple[int, dict[str, int | None]]]) -> None:
    """As a replay does, which hands on those that tell something alone."""
    every, told = MonthCloses(), MonthCloses()
    day = 0
    for offset, (days, behind) in enumerate(steps):
        day += days
        one = tick(day, {bank: None if gap is None else day - gap for bank, gap in behind.items()})
        every.tick(one, offset)
        if told.is_told_by(one):
            told.tick(one, offset)
        assert every == told


class Kept(Ledger):
    """A ledger that keeps what the test says."""

    kept = examples(0, 0)

    @property
    def retained(self) -> Examples:
        return self.kept


def test_the_model_in_force_gets_probabilities_anew_from_labels_of_after_its_training() -> None:
    ledger = Kept()
    learner = Learner(LearnSettings(), range(1), ledger=ledger)
    prior = prior_snapshot()
    month = month_of_day(19_800)
    learned = Learned(msgspec.structs.replace(prior, log_offsets={"events.v1:0": 9}), month, 50)
    assert learner.calibrated(prior, learned) is None, "nothing was labelled"
    ledger.kept = examples(600, 1)
    found = learner.calibrated(prior, learned)
    assert found is not None
    assert found.snapshot.scores_as(prior)
    assert found.calibrated_on == (600, int(ledger.kept["bad"].sum()))
    assert found.snapshot.intercept_micro != prior.intercept_micro
    assert (found.snapshot.parent_id, found.snapshot.log_offsets) == (content_id(prior.encode()), {"events.v1:0": 9})
    decode(found.snapshot.encode(), content_id(found.snapshot.encode()))
    agreeing = examples(600, 1)
    agreeing["bad"] = np.random.default_rng(1).random(600) < predicted(prior, agreeing)
    ledger.kept = agreeing
    assert learner.calibrated(prior, learned) is None, "as many were bad as it expects"
    later = msgspec.structs.replace(prior, trained_until_day=int(ledger.kept["matured_on"].max()))
    assert learner.calibrated(later, learned) is None, "all of them taught it"
