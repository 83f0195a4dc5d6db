"""The life of a bank's case, step by step and against a naive reference."""

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.case_table import packaged_case_table
from detectors import case_life as life
from detectors.case_life import (
    ACCEPTED,
    APPROVE,
    BEGIN,
    BY_MAKER,
    FINISHED,
    NOTHING,
    OUT_OF_ORDER,
    RETURN,
    SIGN,
    SUBMIT,
)
from detectors.rules.claim import deadlines_of
from domain.calendar import day_of_text
from features import layout
from features.indicators.days import is_business_day
from features.state import lives
from features.state.hashing import keyed_siphash, siphash_of_words

DEADLINES = deadlines_of(packaged_case_table().table.deadlines)
ANN, BEN = 11, 12
KNOWN, FALSE_ALARM, CONFIRMED = (1 + life.DISPOSITIONS.index(one) for one in ("known", "false_alarm", "confirmed"))
MONDAY = day_of_text("2026-06-01")
B = 2


def enterprise(key=7):
    e = layout.allocate(1)[0]
    e["id"] = layout.id_words("91310000MA1K00001X")
    e["bank"][B], e["case_key"][B] = 31010211000012, key
    return e


def follow(
    e, level, day=MONDAY, *, rest=None, told=True, stale=False, watched=False, new=False, closing=False,
    deadlines=DEADLINES,
):  # fmt: skip
    level, rest = np.int64(level), np.int64(level if rest is None else rest)
    day = np.int64(day)
    return life.follow(e, B, level, rest, told, stale, watched, new, closing, day, day * 1000, deadlines)


def act(e, action, actor=ANN, disposition=0, until=0, offset=0):
    return life.act(e, B, action, np.uint64(actor), disposition, until, offset)


def disposed(level=2, *, disposition=KNOWN, until=0):
    e = enterprise()
    assert follow(e, level) == life.OPENED
    steps = [(SIGN, ANN), (BEGIN, ANN), (SUBMIT, ANN), (APPROVE, BEN)]
    found = [act(e, step, who, *((disposition, until) if step == SUBMIT else ())) for step, who in steps]
    assert found == [ACCEPTED] * 4
    return e


def test_a_case_is_signed_checked_submitted_and_approved_by_another_one():
    e = disposed(disposition=FALSE_ALARM)
    assert (e["life_stage"][B], e["life_disposition"][B], e["life_maker"][B]) == (lives.CLOSED, FALSE_ALARM, ANN)
    assert life.stage_name(lives.CLOSED, FALSE_ALARM, life.ACTED + APPROVE) == "false_alarm"
    assert act(e, SIGN) == FINISHED
    assert follow(e, 2, rest=0) == NOTHING
    assert follow(e, 2, MONDAY + 400, rest=0, closing=True) == NOTHING, "it was disposed of as it still is"
    assert follow(e, 2, MONDAY + 401, rest=1) == life.REOPENED, "another finding makes a case by itself"


@pytest.mark.parametrize(
    ("before", "action", "actor", "why"),
    [
        ([], BEGIN, ANN, OUT_OF_ORDER),
        ([], APPROVE, BEN, OUT_OF_ORDER),
        ([SIGN], SIGN, BEN, OUT_OF_ORDER),
        ([SIGN], SUBMIT, ANN, OUT_OF_ORDER),
        ([SIGN, BEGIN], APPROVE, BEN, OUT_OF_ORDER),
        ([SIGN, BEGIN, SUBMIT], SUBMIT, BEN, OUT_OF_ORDER),
        ([SIGN, BEGIN, SUBMIT], APPROVE, ANN, BY_MAKER),
        ([SIGN, BEGIN, SUBMIT], RETURN, ANN, BY_MAKER),
    ],
)
def test_a_refused_action_changes_nothing(before, action, actor, why):
    e = enterprise()
    follow(e, 3)
    for step in before:
        assert act(e, step, ANN, *((KNOWN, 0) if step == SUBMIT else ())) == ACCEPTED
    was = e.tobytes()
    assert act(e, action, actor) == why
    assert e.tobytes() == was


def test_a_return_takes_the_disposition_back():
    e = enterprise()
    follow(e, 3)
    for step in (SIGN, BEGIN, SUBMIT):
        act(e, step, ANN, *((KNOWN, MONDAY + 30) if step == SUBMIT else ()))
    assert act(e, RETURN, BEN) == ACCEPTED
    assert (e["life_stage"][B], e["life_disposition"][B], e["life_until_day"][B]) == (lives.CHECKING, 0, 0)


def test_what_nobody_signed_ends_when_all_has_cleared_and_what_somebody_signed_does_not():
    e = enterprise()
    follow(e, 1)
    assert follow(e, 0) == life.RESOLVED
    assert follow(e, 0) == NOTHING
    assert life.stage_name(lives.CLOSED, 0, life.RESOLVED) == "resolved"
    e = enterprise()
    follow(e, 1)
    act(e, SIGN)
    assert follow(e, 0) == life.EASED
    assert e["life_stage"][B] == lives.SIGNED
    assert life.is_worked_on(e, B)


def test_a_bank_that_is_told_no_more_has_no_unsigned_case_and_keeps_a_signed_one_as_it_was():
    e = enterprise()
    follow(e, 2)
    assert follow(e, 3, told=False) == life.UNDELIVERED
    assert life.stage_name(lives.CLOSED, 0, life.UNDELIVERED) == "undelivered"
    assert follow(e, 2) == life.OPENED, "told again: a new life"
    act(e, SIGN)
    assert follow(e, 3, told=False) == NOTHING
    assert e["life_level"][B] == 2


def test_a_case_comes_back_by_what_is_not_disposed_of_on_its_day_or_graver():
    e = disposed(2, until=MONDAY + 30)
    e["case_key"][B] = 9
    assert follow(e, 1, MONDAY + 29, rest=0) == NOTHING
    assert follow(e, 3, MONDAY + 29) == life.OPENED, "under another key it is another case"
    e = disposed(2, until=MONDAY + 30)
    assert follow(e, 2, MONDAY + 30, closing=True) == life.RESUMED
    e = disposed(2, until=MONDAY + 30)
    assert follow(e, 3, MONDAY + 3) == life.REOPENED
    assert (e["life_stage"][B], e["life_until_day"][B], e["life_disposition"][B]) == (lives.AWAITING, 0, 0)


def test_deadlines_count_working_days_and_what_is_overdue_goes_up_at_closes():
    e = enterprise()
    friday = MONDAY + 4
    follow(e, 3, friday)
    assert e["life_contact_day"][B] == friday + 3, "the Monday after"
    assert life.due_day(e, B) == friday + 3
    found = {day: follow(e, 3, friday + day, closing=True) for day in range(1, 12)}
    assert [day for day, change in found.items() if change == life.OVERDUE] == [4, 7]
    assert e["life_escalation"][B] == life.AT_SUPERVISOR
    act(e, SIGN)
    act(e, BEGIN)
    assert (e["life_escalation"][B], life.due_day(e, B)) == (life.AT_DESK, friday + 5)
    assert follow(e, 3, friday + 12) == NOTHING, "only closes tell the time"
    assert follow(e, 3, friday + 12, closing=True) == life.OVERDUE


@pytest.mark.parametrize(
    ("level", "watched", "contact", "due"), [(2, False, 7, 7), (2, True, 7, 0), (1, False, 0, 0), (0, False, 0, 0)]
)
def test_a_case_that_eases_has_the_deadlines_of_its_new_level_and_they_wait_while_it_is_watched(
    level, watched, contact, due
):
    friday, e = MONDAY + 4, enterprise()
    follow(e, 3)
    act(e, SIGN)
    assert follow(e, 3, MONDAY + 2, closing=True) == life.OVERDUE
    assert follow(e, level, friday, watched=watched, closing=True) == life.EASED
    assert (e["life_contact_day"][B], e["life_visit_day"][B]) == (contact and friday + contact, 0)
    assert life.due_day(e, B) == (due and friday + due)
    assert (e["life_escalation"][B], e["life_level"][B]) == (life.AT_DESK, level)
    later = [follow(e, level, friday + day, watched=watched, closing=True) for day in range(1, 30)]
    assert (life.OVERDUE in later) == (due > 0)
    assert follow(e, 3, friday + 30) == life.GRAVER
    assert e["life_contact_day"][B] == life.working_day_after(np.int64(friday + 30), 1)


def test_a_case_that_comes_back_only_to_be_watched_is_not_due():
    for level, watched, contact in ((2, True, 0), (2, False, MONDAY + 39), (3, True, MONDAY + 35)):
        e = disposed(2, until=MONDAY + 30)
        assert follow(e, level, MONDAY + 32, watched=watched, closing=True) in (life.RESUMED, life.REOPENED)
        assert life.due_day(e, B) == contact, (level, watched)
        assert follow(e, level, MONDAY + 33, watched=watched, closing=True) == NOTHING


def test_what_becomes_graver_in_review_goes_back_to_its_maker():
    e = enterprise()
    follow(e, 1)
    for step in (SIGN, BEGIN, SUBMIT):
        act(e, step, ANN, *((FALSE_ALARM, MONDAY + 90) if step == SUBMIT else ()))
    assert follow(e, 3, MONDAY + 1) == life.GRAVER
    assert (e["life_stage"][B], e["life_disposition"][B], e["life_until_day"][B]) == (lives.CHECKING, 0, 0)
    assert act(e, APPROVE, BEN) == OUT_OF_ORDER


def test_deadlines_wait_while_nothing_of_a_case_can_be_told():
    e = enterprise()
    follow(e, 3)
    contact, visit = int(e["life_contact_day"][B]), int(e["life_visit_day"][B])
    assert follow(e, 3, stale=True) == NOTHING, "only closes tell the time"
    assert follow(e, 3, closing=True, stale=True) == life.PAUSED
    assert (life.due_day(e, B), follow(e, 3, closing=True, stale=True)) == (0, NOTHING)
    for day in range(MONDAY + 1, MONDAY + 11):
        life.wait(e, B, np.int64(day))
        wanted = NOTHING if day < MONDAY + 10 else life.CONTINUED
        assert follow(e, 3, day, closing=True, stale=day < MONDAY + 10) == wanted
    assert e["life_escalation"][B] == life.AT_DESK
    assert life.working_day_after(np.int64(contact), 8) == e["life_contact_day"][B] == life.due_day(e, B)
    assert life.working_day_after(np.int64(visit), 8) == e["life_visit_day"][B]
    life.wait(e, B, np.int64(MONDAY + 11))
    assert life.working_day_after(np.int64(contact), 8) == e["life_contact_day"][B], "it waits no more"


def test_what_is_cured_at_its_level_waits_and_is_due_again_once_a_signal_is_true():
    e = enterprise()
    follow(e, 2)
    due = int(life.due_day(e, B))
    assert follow(e, 2, MONDAY, watched=True) == NOTHING, "only closes tell the time"
    assert follow(e, 2, MONDAY, watched=True, closing=True) == life.WATCHED
    assert (life.due_day(e, B), follow(e, 2, MONDAY, watched=True, closing=True)) == (0, NOTHING)
    life.wait(e, B, np.int64(MONDAY + 1))
    assert follow(e, 2, MONDAY + 1, closing=True) == life.CONTINUED
    assert life.due_day(e, B) == life.working_day_after(np.int64(due), 1)
    assert follow(e, 2, MONDAY + 2, stale=True, watched=True, closing=True) == life.PAUSED
    assert follow(e, 2, MONDAY + 3, watched=True, closing=True) == life.WATCHED
    assert follow(e, 2, MONDAY + 4, closing=True) == life.CONTINUED


def test_what_became_graver_while_it_was_watched_is_due_until_it_is_cured_again():
    e = enterprise()
    follow(e, 2)
    assert follow(e, 2, MONDAY, watched=True, closing=True) == life.WATCHED
    assert follow(e, 3, MONDAY + 1, watched=True) == life.GRAVER
    assert life.due_day(e, B) == MONDAY + 2
    assert follow(e, 3, MONDAY + 1, watched=True, closing=True) == NOTHING
    assert follow(e, 3, MONDAY + 2, closing=True) == NOTHING, "a signal is true again"
    assert follow(e, 3, MONDAY + 2, watched=True, closing=True) == life.WATCHED


def test_what_became_graver_while_it_was_watched_is_work_over_a_silence_and_until_it_eases():
    e = enterprise()
    follow(e, 2)
    assert follow(e, 2, MONDAY, watched=True, closing=True) == life.WATCHED
    assert follow(e, 3, MONDAY + 1, watched=True) == life.GRAVER
    assert follow(e, 3, MONDAY + 1, stale=True, watched=True, closing=True) == life.PAUSED
    assert follow(e, 3, MONDAY + 2, watched=True, closing=True) == life.CONTINUED
    assert life.due_day(e, B) > 0
    assert follow(e, 2, MONDAY + 3, watched=True, closing=True) == life.EASED
    assert (life.due_day(e, B), follow(e, 2, MONDAY + 4, watched=True, closing=True)) == (0, NOTHING)


@pytest.mark.parametrize("new", [False, True])
def test_what_comes_by_its_score_alone_is_work_and_what_is_shown_to_a_bank_later_is_not(new):
    e = enterprise()
    assert follow(e, 2, watched=True, new=new) == life.OPENED
    assert follow(e, 2, watched=True, new=new, closing=True) == NOTHING
    assert follow(e, 2, MONDAY + 1, watched=True, closing=True) == NOTHING
    assert (life.due_day(e, B) > 0) == new
    life.restart(e, B, True, np.int64(MONDAY + 2), DEADLINES)
    assert life.due_day(e, B) == 0, "its bank is told that nothing is to be done"


@pytest.mark.parametrize("watched", [False, True])
def test_a_bank_that_is_told_no_more_does_not_hear_whether_its_case_is_cured(watched):
    e = enterprise()
    follow(e, 2)
    act(e, SIGN)
    if watched:
        assert follow(e, 2, watched=True, closing=True) == life.WATCHED
    due = life.due_day(e, B)
    for now in (not watched, watched):
        assert follow(e, 2, MONDAY, told=False, watched=now, closing=True) == NOTHING
        assert life.due_day(e, B) == due
    assert follow(e, 2, MONDAY, watched=not watched, closing=True) in (life.WATCHED, life.CONTINUED), "told again"


def test_a_case_without_a_deadline_has_none_that_could_wait():
    e = enterprise()
    follow(e, 1)
    found = [follow(e, 1, MONDAY + 1, closing=True, **{of: True}) for of in ("stale", "watched")]
    assert [*found, follow(e, 1, MONDAY + 2, closing=True)] == [NOTHING] * 3


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(("true", "watched", "stale")), min_size=1, max_size=40), st.integers(0, 6))
def test_deadlines_run_on_working_days_that_do_not_wait_however_often_it_is_cured(days, first):
    e, start = enterprise(), MONDAY + first
    follow(e, 2, start)
    contact, patience = DEADLINES[2][0], DEADLINES[0][0]
    was, ran, due_since = "true", 0, None
    for day, now in enumerate(days, start + 1):
        ran += was == "true" and bool(is_business_day(day))
        life.wait(e, B, np.int64(day))
        found = set()
        of = {"stale": now == "stale", "watched": now == "watched"}
        while (change := follow(e, 2, day, closing=True, **of)) != NOTHING:
            found.add(change)
        if now == was:
            assert found <= {life.OVERDUE}
        else:
            assert {"true": life.CONTINUED, "watched": life.WATCHED, "stale": life.PAUSED}[now] in found
        if now == "true" and due_since is None and ran >= contact + patience:
            due_since = day
            assert life.OVERDUE in found
        elif due_since is None:
            assert life.OVERDUE not in found
        assert (life.due_day(e, B) == 0) == (now != "true")
        was = now


def test_the_packaged_deadlines_are_those_of_the_desk_and_rules_without_a_table_have_none():
    assert DEADLINES.tolist() == [[1, 3], [-1, -1], [5, -1], [1, 3]]
    assert (deadlines_of(None) == life.NO_DATE).all()
    e = enterprise()
    follow(e, 3, deadlines=deadlines_of(None))
    assert (life.due_day(e, B), follow(e, 3, MONDAY + 99, closing=True)) == (0, NOTHING)


def test_a_holiday_is_no_working_day():
    before = day_of_text("2025-09-30")  # the National Day holiday lasts until October 8
    assert life.working_day_after(before, 1) == day_of_text("2025-10-09")


def test_an_id_is_found_by_its_bank_alone_and_is_siphash_over_the_words():
    e = enterprise()
    follow(e, 1)
    e["bank"][4], e["life_key"][4] = 41010211000012, 7
    own, other = (int(life.case_id(e, e["bank"][b], e["life_key"][b])) for b in (B, 4))
    assert life.find(e, e["bank"][B], np.uint64(own)) == (B, ACCEPTED)
    assert life.find(e, e["bank"][B], np.uint64(other)) == (-1, life.FOREIGN)
    assert life.find(e, e["bank"][B], np.uint64(own ^ 1)) == (-1, life.UNKNOWN)
    assert life.case_id(e, 0, np.uint64(0)) == 0
    words = np.array([*e["id"], 5, 6], np.uint64)
    key = np.uint64(3), np.uint64(4)
    assert siphash_of_words(e["id"], words[4], words[5], *key) == keyed_siphash(words.view(np.uint8), 0, 48, *key)


class Reference:
    """The same by names and sets, as the documents tell it."""

    ORDER: ClassVar = {
        "awaiting": {SIGN: "signed"},
        "signed": {BEGIN: "checking"},
        "checking": {SUBMIT: "in_review"},
        "in_review": {APPROVE: "closed", RETURN: "checking"},
    }

    def __init__(self):
        self.stage, self.level, self.maker, self.key, self.until = None, 0, None, None, 0
        self.disposed = self.pending = False

    def act(self, action, actor, until):
        if self.stage == "closed":
            return FINISHED
        if action not in self.ORDER.get(self.stage, {}):
            return OUT_OF_ORDER
        if action in (APPROVE, RETURN) and actor == self.maker:
            return BY_MAKER
        if action in (SIGN, BEGIN, SUBMIT):
            self.maker = actor
        if action == SUBMIT:
            self.until = until
        if action == RETURN:
            self.until = 0
        if action == APPROVE:
            self.level = self.level or 1
        self.stage = self.ORDER[self.stage][action]
        return ACCEPTED

    def follow(self, key, level, rest, day, *, told):
        seen, found = level if told else 0, []
        if self.stage == "awaiting" and (seen == 0 or key != self.key):
            self.stage, self.level = "closed", 0
            found.append(life.RESOLVED if told else life.UNDELIVERED)
        if self.stage in self.ORDER:
            if seen > self.level:
                found.append(life.GRAVER)
                if self.stage == "in_review":
                    self.stage, self.until = "checking", 0
            elif told and seen < self.level:
                found.append(life.EASED)
            if told:
                self.level = seen
            return found
        if seen == 0 or rest == 0:
            return found
        back = self.stage == "closed" and key == self.key and self.level > 0
        on_its_day = self.until and day >= self.until and seen <= self.level
        change = life.OPENED if not back else life.RESUMED if on_its_day else life.REOPENED
        self.stage, self.key, self.level, self.until = "awaiting", key, seen, 0
        return [*found, change]


STAGES = ("awaiting", "signed", "checking", "in_review", "closed")
STEP = st.one_of(
    st.tuples(st.just("act"), st.integers(SIGN, RETURN), st.sampled_from((ANN, BEN)), st.sampled_from((0, 3, 9))),
    st.tuples(st.just("follow"), st.integers(0, 3), st.booleans(), st.sampled_from((7, 8)), st.integers(0, 3)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=40))
def test_it_does_what_a_naive_reference_does(steps):
    e, plain, day = enterprise(), Reference(), MONDAY
    for kind, first, second, third, *rest in steps:
        day += 1
        if kind == "act":
            until = day + third if third else 0
            assert act(e, first, second, KNOWN, until) == plain.act(first, second, until)
        else:
            key = plain.key if plain.stage in STAGES[1:4] else third  # cases.ended keeps the key of what is worked on
            e["case_key"][B] = key
            found = []
            while (change := follow(e, first, day, rest=rest[0], told=second)) != NOTHING:
                found.append(change)
                assert len(found) < 4
            assert found == plain.follow(key, first, rest[0], day, told=second)
        stage = e["life_stage"][B]
        assert (STAGES[stage - 1] if stage else None) == plain.stage
        assert (e["life_level"][B], e["life_until_day"][B]) == (plain.level, plain.until)
        assert lives.is_live(e, B) == (plain.stage in STAGES[:4])
