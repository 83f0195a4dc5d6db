"""An episode's life, step by step."""

import numpy as np
import pytest

from detectors import episodes, retraction, signals
from detectors.rules.conditions import parse_row
from detectors.rules.program import (
    CLEAR,
    NOT_APPLICABLE,
    NOT_COMPUTABLE,
    ORANGE,
    RED,
    SUPPRESSED,
    YELLOW,
    compile_signals,
)
from detectors.rules.vocabulary import CONTEXT, INPUT_COUNT, SLOT_OF, STALLED
from features import fields, layout
from features.indicators import nulls
from features.state import held, seen
from streams.score import outbook
from tests.detectors.rules.test_machine import row

COUNT = SLOT_OF["op_credit_30d_count"]
Y, O, R, NC, SUP, END = YELLOW, ORANGE, RED, NOT_COMPUTABLE, SUPPRESSED, NOT_APPLICABLE  # noqa: E741
RULES = compile_signals(
    [
        parse_row(
            row(
                levels=tuple(f"op_credit_30d_count >= {level}" for level in (1, 2, 3)),
                hysteresis="held(op_credit_30d_count <= 0, d=14)",
                min_history="ctx.history_days >= 0",
                suppress_when="feed.stalled",
            ),
            "line 2",
        )
    ]
)


WAITING = compile_signals(
    [
        parse_row(
            row(
                levels=(
                    "held(op_credit_30d_count >= 1, d=5)",
                    "held(op_credit_30d_count >= 2, d=3)",
                    "op_credit_30d_count >= 3",
                ),
                hysteresis="held(op_credit_30d_count <= 0, d=2)",
                min_history="ctx.history_days >= 0",
                suppress_when="feed.stalled",
            ),
            "line 2",
        )
    ]
)


def follow(e, status, closing, t=0, bank=episodes.EVERY_BANK, rules=RULES, *, doubted=False, cooldown=0, cool=True):
    """Return (transition, revision) after one evaluation with this status.

    doubted: it follows from a record older than the opening, and without it a level is true.
    """
    x = np.zeros(1, outbook.ROW)[0]
    x["value"][COUNT] = status if status <= RED else 0
    x["value"][STALLED] = status == SUPPRESSED
    x["null"][COUNT] = {NC: nulls.BASE_TOO_SMALL, END: nulls.NOT_APPLICABLE}.get(status, nulls.VALUE)
    x["as_of_ms"], x["offset"] = t, t
    cause = np.zeros(1, retraction.CAUSE)[0]
    cause["event_ms"], cause["doubted"][bank] = t, doubted
    if closing and cool:
        episodes.cool(e, cooldown)
    moved, i, got = signals.follow(rules, 0, e, bank, x, cause, e["seen_day"], 20_000, closing, 7)
    assert got & 15 == status or rules is WAITING
    revision = int(e["episode_revision"][i]) if moved else 0
    if episodes.is_over(moved):
        episodes.end(e, i, moved, cooldown)
    return episodes.TRANSITIONS[moved] if moved != episodes.NOTHING else "", revision


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(Y, False)], ["raised"]),
        ([(Y, False), (Y, False)], ["raised", ""]),
        ([(Y, False), (R, False)], ["raised", "upgraded"]),
        ([(R, False)] + [(Y, True)] * 7, ["raised"] + [""] * 6 + ["downgraded"]),
        ([(R, False)] + [(Y, True)] * 6 + [(R, True)] + [(Y, True)] * 6, ["raised"] + [""] * 13),
        ([(R, False)] + [(O, True), (Y, True)] * 3 + [(Y, True)], ["raised"] + [""] * 6 + ["downgraded"]),
        ([(R, False)] + [(Y, False)] * 20, ["raised"] + [""] * 20),  # events alone never lower
        ([(R, False)] + [(CLEAR, True)] * 13, ["raised"] + [""] * 13),  # nothing to fall to: it waits for hysteresis
        ([(Y, False)] + [(CLEAR, True)] * 14, ["raised"] + [""] * 13 + ["cleared"]),
        ([(Y, False), (NC, True), (NC, True), (CLEAR, True)], ["raised", "stale", "", "raised"]),
        ([(Y, False), (NC, False), (R, False)], ["raised", "stale", "upgraded"]),
        (
            [(Y, False)] + [(CLEAR, True)] * 13 + [(SUP, True)] * 3 + [(CLEAR, True)],
            ["raised"] + [""] * 13 + ["stale", "", "", "cleared"],  # the timer stood still meanwhile
        ),
        ([(Y, False), (NC, False), (Y, False), (NC, False), (Y, True)], ["raised", "stale", "", "", "raised"]),
        ([(Y, False), (END, True)], ["raised", "ended"]),
        ([(Y, False), (END, False), (Y, False), (END, True)], ["raised", "", "", "ended"]),  # ends at a close alone
        ([(Y, False), (NC, False), (END, False), (END, True)], ["raised", "stale", "", "ended"]),
        ([(NC, True), (SUP, False), (END, False), (CLEAR, True)], [""] * 4),
        ([(Y, False)] + [(CLEAR, True)] * 14 + [(O, False)], ["raised"] + [""] * 13 + ["cleared", "raised"]),
    ],
)
def test_an_episode_moves_as_the_catalogue_says(steps, expected):
    e = layout.allocate(1)[0]
    moves = [follow(e, status, closing, t) for t, (status, closing) in enumerate(steps)]
    assert [name for name, _ in moves] == expected
    revisions = [number for name, number in moves if name]
    ends = [i for i, (name, _) in enumerate(m for m in moves if m[0]) if name in ("cleared", "ended")]
    first_life = revisions[: ends[0] + 1] if ends else revisions
    assert first_life == list(range(1, len(first_life) + 1))


def test_evaluating_again_with_the_same_status_says_nothing():
    """Evaluating within a band and evaluating an evicted value whole give the same."""
    for status in (Y, O, R, NC, SUP, CLEAR):
        e = layout.allocate(1)[0]
        follow(e, R, False)
        follow(e, status, False)
        before = e.tobytes()
        assert follow(e, status, False) == ("", 0)
        assert e.tobytes() == before


def test_an_end_leaves_no_trace_and_the_others_in_place():
    e, fresh = layout.allocate(2)
    for bank in (0, 1, 2):
        follow(e, Y + bank, False, t=bank + 1, bank=bank)
    follow(e, END, True, t=9, bank=0)
    assert [(int(b), int(t)) for b, t in zip(e["episode_bank"][:2], e["episode_opened_ms"][:2], strict=True)] == [
        (2, 3),
        (1, 2),
    ]
    for bank in (2, 1):
        follow(e, END, True, bank=bank)
    assert trace(e) == trace(fresh)


def trace(e):
    """The fields of a row, but for which parts are to be written, and of which days the cold one holds ids."""
    return {name: e[name].tobytes() for name in layout.ROW.names if name not in ("dirty", "cold_first")}


def test_a_signal_that_finds_no_place_is_counted_and_raised_when_one_is_free():
    e = layout.allocate(1)[0]
    e["episodes_open"] = fields.EPISODES_MAX
    e["episode_key"], e["episode_bank"] = 1, 0
    assert follow(e, R, True) == ("", 0)
    assert int(e["episode_overflow"]) == 1
    episodes.end(e, 0, episodes.CLEARED, 0)
    assert follow(e, R, True) == ("raised", 1)


def test_a_retraction_ends_an_episode_at_once_and_forgets_what_its_levels_have_held():
    e, fresh = layout.allocate(2)
    for t in range(5):
        follow(e, Y, True, t, rules=WAITING)
    assert follow(e, SUP, False, 6, rules=WAITING, doubted=True) == ("stale", 2)  # that cannot be told
    assert follow(e, CLEAR, False, 6, rules=WAITING, doubted=True, cooldown=14) == ("retracted", 3)
    assert trace(e) == trace(fresh)
    assert [follow(e, Y, True, 7 + t, rules=WAITING) for t in range(5)] == [("", 0)] * 4 + [("raised", 1)]
    assert follow(e, R, False, 12, rules=WAITING, doubted=True) == ("upgraded", 2)
    assert follow(e, END, False, 13, rules=WAITING, doubted=True) == ("retracted", 3)


@pytest.mark.parametrize(("after", "expected"), [(2, ("raised", 3)), (3, ("raised", 1))])
def test_one_that_rises_again_within_the_cooldown_goes_on(after, expected):
    e, fresh = layout.allocate(2)
    follow(e, Y, False, 5, cooldown=2)
    for _ in range(14):
        follow(e, CLEAR, True, 6, cooldown=2)
    assert (int(e["episodes_open"]), int(e["episodes_recent"])) == (0, 1)
    for _ in range(after):
        follow(e, CLEAR, True, 7, cooldown=2)
    assert follow(e, O, False, 8, cooldown=2) == expected
    assert int(e["episode_opened_ms"][0]) == (5 if after == 2 else 8)
    assert int(e["episode_level"][0]) == O
    follow(e, CLEAR, False, 9, cooldown=2, doubted=True)
    assert trace(e) == trace(fresh)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(Y, True)] * 5, [""] * 4 + ["raised"]),
        ([(Y, False)] * 9 + [(Y, True)] * 5, [""] * 13 + ["raised"]),  # events do not count
        ([(Y, True)] * 4 + [(CLEAR, True)] + [(Y, True)] * 5, [""] * 9 + ["raised"]),
        ([(Y, True)] * 4 + [(CLEAR, False)] + [(Y, True)], [""] * 5 + ["raised"]),  # only closes break it
        ([(O, True)] * 5, [""] * 2 + ["raised"] + [""] * 2),  # orange waits for three closes, and yellow with it
        ([(Y, True)] * 4 + [(O, True)] * 3, [""] * 4 + ["raised", "", "upgraded"]),
        ([(R, False)], ["raised"]),  # red does not wait
        ([(Y, True)] * 4 + [(SUP, True)] * 3 + [(Y, True)], [""] * 7 + ["raised"]),  # the timer stood still
        ([(Y, True)] * 4 + [(NC, True)] * 3 + [(Y, True)], [""] * 7 + ["raised"]),
        ([(Y, True)] * 4 + [(END, True)] + [(Y, True)] * 5, [""] * 9 + ["raised"]),
        (
            [(Y, True)] * 5 + [(CLEAR, True)] * 2 + [(Y, True)] * 5,
            [""] * 4 + ["raised", "", "cleared"] + [""] * 4 + ["raised"],
        ),
        ([(Y, True)] * 5 + [(CLEAR, True), (Y, True)], [""] * 4 + ["raised", "", ""]),  # it is open still
    ],
)
def test_a_level_that_waits_is_raised_when_it_has_held(steps, expected):
    e = layout.allocate(1)[0]
    assert [follow(e, status, closing, t, rules=WAITING)[0] for t, (status, closing) in enumerate(steps)] == expected


def test_levels_wait_for_each_lender_alone_and_leave_no_trace():
    e, fresh = layout.allocate(2)
    for t in range(4):
        for bank in (0, 1):
            assert follow(e, Y, True, t, bank, WAITING) == ("", 0)
    held.forget_bank(e, 1)
    assert follow(e, Y, True, 5, 0, WAITING) == ("raised", 1)
    assert follow(e, Y, True, 5, 1, WAITING) == ("", 0)
    for bank in (0, 1):
        follow(e, END, True, 6, bank, WAITING)
    assert trace(e) == trace(fresh)


def test_other_rules_forget_what_does_not_wait_any_more():
    e, fresh = layout.allocate(2)
    follow(e, Y, True, rules=WAITING)
    held.forget_all_but(e, WAITING.key, WAITING.has_held)
    assert e["held_closes"].any()
    held.forget_all_but(e, RULES.key, RULES.has_held)
    assert e.tobytes() == fresh.tobytes()


def test_a_level_that_finds_no_place_to_wait_is_raised_at_once():
    e = layout.allocate(1)[0]
    e["held_key"] = 1
    assert follow(e, Y, True, rules=WAITING) == ("raised", 1)


def test_context_names_stand_behind_the_indicators():
    assert SLOT_OF[CONTEXT[-1]] == INPUT_COUNT - 1
    assert seen.place_of("gov.licence_change", adverse=True) == seen.PLACES - 2
