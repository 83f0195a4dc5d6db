"""Episodes under noise: as the naive ones, and within the law of how often they may move.

The law, of one episode: at a close it has at most one revision; between two closes it only rises, with at most one
revision a level and one `stale` before the first rise and after each. To fall takes as many closes as `closes_to_lower`
and its hysteresis say, and a rise needs a fall before it, so noise between two results moves it at most twice in so
many closes.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from detectors import episodes
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
from features import fields, layout
from tests.detectors.naive_episodes import Naive
from tests.detectors.rules.test_machine import row
from tests.detectors.test_episodes import follow

HELD, TO_LOWER = 3, 7
RULES = compile_signals(
    [
        parse_row(
            row(
                levels=tuple(f"op_credit_30d_count >= {level}" for level in (1, 2, 3)),
                hysteresis=f"held(op_credit_30d_count <= 0, d={HELD})",
                min_history="ctx.history_days >= 0",
                suppress_when="feed.stalled",
            ),
            "line 2",
        )
    ]
)
STATUSES = (CLEAR, YELLOW, ORANGE, RED, NOT_COMPUTABLE, SUPPRESSED, NOT_APPLICABLE)


class Step(NamedTuple):
    """One evaluation of a signal of the lender in `bank`, or (None) a close, at which all are evaluated."""

    bank: int | None
    status: int
    doubted: bool = False


def steps(banks: int, statuses: tuple[int, ...] = STATUSES, *, doubts: bool = True) -> st.SearchStrategy[list[Step]]:
    some = st.sampled_from(statuses)
    event = st.builds(Step, st.integers(0, banks - 1), some, st.booleans() if doubts else st.just(False))
    return st.lists(st.one_of(event, event, st.builds(Step, st.none(), some, st.just(False))), max_size=100)


def lives(drawn: list[Step], places: int, cooldown: int) -> Iterator[tuple[int, bool, int, str, int]]:
    """Yield (number of closes so far, whether at one, bank, transition, revision) of what moved; hold all to Naive."""
    e = layout.allocate(1)[0]
    others = fields.EPISODES_MAX - places
    e["episodes_open"], e["episode_key"][:others] = others, 1
    naive = Naive(places=places, cooldown=cooldown, closes_to_lower=TO_LOWER, held=HELD)
    status, closes = {}, 0
    for t, step in enumerate(drawn, 1):
        closing = step.bank is None
        status |= dict.fromkeys(range(8) if closing else [step.bank], step.status)
        if closing:
            closes += 1
            naive.close()
            episodes.cool(e, cooldown)
        for bank in range(8) if closing else [step.bank]:
            of = {"closing": closing, "doubted": step.doubted}
            wanted = naive.follow(bank, status[bank], 8 * t + bank, **of)
            got = follow(e, status[bank], t=8 * t + bank, bank=bank, rules=RULES, cooldown=cooldown, cool=False, **of)
            assert got == wanted, (t, bank)
            if got[0]:
                yield closes, closing, bank, *got
    taken = int(e["episodes_open"]) + int(e["episodes_recent"])
    assert taken - others == len(naive.known)
    assert not e["episode_key"][taken:].any()
    assert (int(e["episode_overflow"]), int(e["cooldown_overflow"])) == (naive.overflow, naive.forgotten)
    place = {int(e["episode_bank"][i]): i for i in range(others, taken)}
    for bank, one in naive.known.items():
        assert (int(e["episode_opened_ms"][place[bank]]), int(e["episode_level"][place[bank]])) == (
            one.opened, one.level,
        )  # fmt: skip


@given(steps(8), st.sampled_from([2, 4, 8]), st.sampled_from([0, 1, 5]))
def test_episodes_move_as_the_naive_ones_however_few_places_there_are(drawn, places, cooldown):
    for _ in lives(drawn, places, cooldown):
        continue


@given(steps(1), st.sampled_from([0, 5]))
def test_between_two_closes_an_episode_only_rises(drawn, cooldown):
    moves = list(lives(drawn, 8, cooldown))
    for _, some in itertools.groupby((m for m in moves if m[1]), key=lambda m: (m[0], m[2])):
        assert len(list(some)) == 1, "at a close one revision"
    for _, some in itertools.groupby((m for m in moves if not m[1]), key=lambda m: (m[0], m[2])):
        said = "".join({"raised": "^", "upgraded": "^", "stale": "?", "retracted": "|"}[m[3]] for m in some)
        for one in said.split("|"):  # what rises after a retraction is another episode
            assert "??" not in one
            assert one.count("^") <= RED - CLEAR
            assert len(one) <= 2 * one.count("^") + 1


@given(
    st.sampled_from(list(itertools.combinations((CLEAR, YELLOW, ORANGE, RED), 2))).flatmap(
        lambda pair: steps(1, pair, doubts=False)
    )
)
def test_noise_around_a_threshold_moves_an_episode_twice_in_the_closes_that_a_fall_takes(drawn):
    moves = [m for m in lives(drawn, 8, 14) if m[2] == 0]
    closes = sum(step.bank is None for step in drawn)
    assert len(moves) <= 1 + 2 * (1 + closes // min(HELD, TO_LOWER))
    assert len({m[4] for m in moves}) == len(moves), "it is one episode all along"
