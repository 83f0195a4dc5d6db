"""Laws of a case's claim against a naive reference: monotone, of no order, above its hard rules, easing at closes."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.case_table import Cutoffs, Finding, StandsAlone
from detectors import cases
from detectors.episodes import EVERY_BANK
from detectors.rules.artefact import RulesArtefact, RuleSet, compiled, packaged
from detectors.rules.vocabulary import DELTA_30D, POINTS
from domain.outputs import SEVERITIES, Severity
from features import layout
from features.fields import EPISODES_MAX
from features.indicators import nulls
from features.state.case_views import NEVER
from streams.score import outbook
from streams.score.case_of import pd_ppm

YELLOW, ORANGE, RED = 1, 2, 3
SIGNALS = ("S1", "S2", "S3", "S4", "S5")
POINTS_OF = {"S1": (500, 1_500, 3_000), "S2": (700, 1_400, 1_400), "S3": (300, 900, 2_000), "S4": (400, 400, 2_500)}
DECLINES = ("S1", "S2")
ALONE = {("S4", ORANGE): ORANGE, ("S4", RED): RED, ("S5", RED): RED}
CUT, EASES = (-1_700, -700, 400), 3
SCORE = ((400_000, 3_466), (550_000, 0), (700_000, -3_466))
MOVE = ((-60, 800), (-30, 401), (0, 0))
READERS = (0, 1, cases.SUPERVISOR)  # those that there are: banks in two slots


def rules_of(*, claims: bool = True, cured: Severity = "yellow") -> RuleSet:
    usual = packaged()
    assert usual.case is not None
    like = next(row for row in usual.signals if row.id == "EWS48_adverse_gov_event")
    levels = tuple(f"op_credit_30d_count > {number}" for number in SEVERITIES_AT)
    rows = tuple(msgspec.structs.replace(like, id=name, levels=levels, not_computable_when="") for name in SIGNALS)
    table = msgspec.structs.replace(
        usual.case,
        intercept_milli=-2_996, score=SCORE, move=MOVE, closes_to_ease=EASES, cured_to=cured,
        cutoffs_milli=Cutoffs(**dict(zip(SEVERITIES, CUT, strict=True))),
        findings=(Finding(id="declines", name_zh="经营下滑", name_en="declines", signals=DECLINES),),
        points_milli=POINTS_OF,
        alone=tuple(
            StandsAlone(signal=signal, at=SEVERITIES[at - 1], level=SEVERITIES[level - 1])
            for (signal, at), level in ALONE.items()
        ),
    )  # fmt: skip
    return compiled(RulesArtefact(signals=rows, case=table if claims else None), "r", row_word="row", first=1)


SEVERITIES_AT = (1, 2, 3)
CLAIM, PLAIN = rules_of(), rules_of(claims=False)
OF_CURED = {RED: rules_of(cured="red"), ORANGE: rules_of(cured="orange"), YELLOW: CLAIM}


@dataclass(frozen=True)
class Open:
    """An open episode."""

    signal: str
    bank: int
    level: int
    waits: bool = False
    opened_ms: int = 7


@dataclass(frozen=True)
class Step:
    """An evaluation: what is open after it, and the score."""

    episodes: tuple[Open, ...]
    points: int = 550
    delta: int | None = 0
    closing: bool = False
    corrected: bool = False  # an episode of the platform is retracted
    stalled: bool = False  # the feed of a main bank is dead
    risen: bool = False  # an episode of the platform has risen


def between(anchors: tuple[tuple[int, int], ...], x: int) -> int:
    if x <= anchors[0][0]:
        return anchors[0][1]
    for (low, at_low), (high, at_high) in pairwise(anchors):
        if low <= x < high:
            return at_low + (at_high - at_low) * (x - low) // (high - low)
    return anchors[-1][1]


def claim_of(step: Step, view: int) -> tuple[int, int]:
    """Return (logit, level) of the claim."""
    logit = -2_996 + between(SCORE, step.points * 1_000)
    logit += 0 if step.delta is None else between(MOVE, step.delta)
    groups: dict[str, int] = {}
    least = 0
    for one in seen(step, view):
        level = YELLOW if one.waits else one.level
        group = "declines" if one.signal in DECLINES else one.signal
        groups[group] = max(groups.get(group, 0), POINTS_OF.get(one.signal, (0, 0, 0))[level - 1])
        least = max(least, alone(one.signal, level))
    logit += sum(groups.values())
    return logit, max(least, sum(logit >= cut for cut in CUT))


def alone(signal: str, level: int) -> int:
    return max((to for (name, at), to in ALONE.items() if name == signal and at <= level), default=0)


def seen(step: Step, view: int) -> list[Open]:
    return [one for one in step.episodes if view == cases.SUPERVISOR or one.bank in (EVERY_BANK, view)]


@dataclass
class Reference:
    """The levels of cases by the words of docs/adr/0038."""

    cured: int = YELLOW
    level: dict[int, int] = field(default_factory=lambda: dict.fromkeys(READERS, 0))
    below: dict[int, int] = field(default_factory=lambda: dict.fromkeys(READERS, 0))

    def take(self, step: Step, *, claims: bool = True) -> None:
        for view in READERS:
            self.level[view] = self.after(step, view, claims=claims)
            if not self.level[view]:
                self.below[view] = 0

    def after(self, step: Step, view: int, *, claims: bool) -> int:
        level, mine = self.level[view], seen(step, view)
        if not mine:
            return 0
        claimed = claim_of(step, view)[1] if claims else max(one.level for one in mine)
        if step.stalled and not step.risen and not step.corrected:
            claimed = min(claimed, level)
        if not claims:
            return claimed
        if claimed > level or step.corrected:
            self.below[view] = 0
            return claimed
        if not step.closing:
            return level
        self.below[view] = self.below[view] + 1 if claimed < level else 0
        if all(one.waits for one in mine) and level > self.cured and claimed < level:
            self.below[view] = 0
            return max(claimed, self.cured)
        if self.below[view] >= EASES:
            self.below[view] = 0
            return claimed
        return level


class Engine:
    """The kernels over one enterprise with two banks."""

    def __init__(self, rules: RuleSet = CLAIM) -> None:
        self.rules = rules
        self.e = layout.allocate(1)[0]
        self.e["bank"][:2] = 11, 12
        self.x = np.zeros(1, outbook.ROW)[0]
        self.lines = np.zeros(EPISODES_MAX, cases.LINE)
        self.offset = 0

    def take(self, step: Step) -> int:
        """Take a step and return the logit without signals."""
        e, x, programs = self.e, self.x, self.rules.programs
        self.offset += 1
        names = [signal.row.id for signal in self.rules.evaluated]
        e["episodes_open"] = len(step.episodes)
        for i, one in enumerate(step.episodes):
            e["episode_key"][i], e["episode_bank"][i] = programs.key[names.index(one.signal)], one.bank
            e["episode_level"][i], e["episode_waits"][i], e["episode_opened_ms"][i] = (
                one.level,
                one.waits,
                one.opened_ms,
            )
        e["stalled"] = step.stalled
        x["offset"], x["as_of_ms"] = self.offset, self.offset
        x["value"][POINTS], x["value"][DELTA_30D] = step.points, step.delta or 0
        x["null"][DELTA_30D] = nulls.SHORT_HISTORY if step.delta is None else nulls.VALUE
        base = int(cases.base_of(programs, x))
        cases.weigh(programs, e, self.lines)
        corrected, risen = (np.int64(2**cases.VIEWS - 1 if each else 0) for each in (step.corrected, step.risen))
        cases.judge(programs, e, self.lines, np.int64(base), step.closing, corrected, risen, x)
        return base

    @property
    def levels(self) -> dict[int, int]:
        return {view: int(self.e["case_level"][view]) for view in READERS}


opens = st.builds(
    Open, signal=st.sampled_from(SIGNALS), bank=st.sampled_from((EVERY_BANK, 0, 1)), level=st.integers(1, 3),
    waits=st.booleans(), opened_ms=st.integers(1, 3),
)  # fmt: skip
several = st.lists(opens, max_size=6, unique_by=lambda one: (one.signal, one.bank)).map(tuple)
steps = st.builds(
    Step, episodes=several, points=st.integers(400, 700), delta=st.none() | st.integers(-120, 60),
    closing=st.booleans(), corrected=st.sampled_from((False, False, False, True)),
    stalled=st.sampled_from((False, False, False, True)), risen=st.booleans(),
)  # fmt: skip
LAWS = settings(max_examples=150, deadline=None)


@LAWS
@given(taken=st.lists(steps, min_size=1, max_size=12), cured=st.sampled_from((None, YELLOW, ORANGE, RED)))
def test_cases_move_as_the_reference_says(taken: list[Step], cured: int | None) -> None:
    """Under a claim that eases at once to `cured`; None: under none."""
    claims = cured is not None
    engine, reference = Engine(OF_CURED.get(cured, PLAIN)), Reference(cured or YELLOW)
    for step in taken:
        before = dict(reference.level)
        keys = engine.e["case_key"].copy()
        reference.take(step, claims=claims)
        base = engine.take(step)
        assert engine.levels == reference.level
        for view in READERS:
            level, was, moved = reference.level[view], before[view], int(engine.x["case_moved"][view])
            wanted = (
                cases.UNMOVED if level == was else cases.OPENED if not was else cases.RESOLVED if not level
                else cases.GRAVER if level > was else cases.EASED
            )  # fmt: skip
            assert moved == wanted
            assert int(engine.x["case_before"][view]) == was
            assert int(engine.x["case_level"][view]) == level
            assert bool(engine.x["case_key"][view]) == bool(level or was)
            assert bool(engine.e["case_key"][view]) == bool(level)
            if was and level:
                assert engine.e["case_key"][view] == keys[view], "a case keeps its key until it is resolved"
            assert engine.e["case_below_closes"][view] == (reference.below[view] if claims else 0)
        if not step.stalled:
            assert_it_says_when_a_case_rises(engine, step, base)
    assert not engine.e["case_level"][2 : cases.SUPERVISOR].any(), "slots without a bank have no case"


def assert_it_says_when_a_case_rises(engine: Engine, step: Step, base: int) -> None:
    """Below case_rises_at an event changes nothing; at it a case rises."""
    rises_at = int(engine.e["case_rises_at"])
    programs, held = engine.rules.programs, engine.e.copy()
    assert base < rises_at
    if rises_at == NEVER:
        return
    for logit, rises in ((rises_at - 1, False), (rises_at, True)):
        again = held.copy()
        cases.judge(programs, again, engine.lines, np.int64(logit), False, np.int64(0), np.int64(0), engine.x)
        assert (again["case_level"] > held["case_level"]).any() == rises
        if not rises:
            assert again == held


@LAWS
@given(step=steps, data=st.data())
def test_no_order_of_episodes_changes_a_claim(step: Step, data: st.DataObject) -> None:
    one, other = Engine(), Engine()
    one.take(step)
    other.take(replace(step, episodes=tuple(data.draw(st.permutations(step.episodes)))))
    assert one.levels == other.levels
    assert one.e["case_rises_at"] == other.e["case_rises_at"]


@LAWS
@given(step=steps, data=st.data(), worse=st.integers(0, 60))
def test_a_graver_signal_and_a_worse_score_ease_no_case(step: Step, data: st.DataObject, worse: int) -> None:
    mild, grave = Engine(), Engine()
    episodes = list(step.episodes)
    if episodes:
        i = data.draw(st.integers(0, len(episodes) - 1))
        episodes[i] = replace(episodes[i], level=data.draw(st.integers(episodes[i].level, RED)), waits=False)
    delta = None if step.delta is None else step.delta - worse
    mild.take(step)
    grave.take(replace(step, risen=True, episodes=tuple(episodes), points=max(400, step.points - worse), delta=delta))
    assert all(grave.levels[view] >= mild.levels[view] for view in READERS)


@LAWS
@given(step=steps)
def test_a_case_is_never_below_its_hard_rules(step: Step) -> None:
    engine = Engine()
    engine.take(replace(step, points=700, delta=60, risen=True))
    for view in READERS:
        for one in seen(step, view):
            if not one.waits:
                assert engine.levels[view] >= alone(one.signal, one.level)


@LAWS
@given(step=steps, of_others=several)
def test_what_another_bank_alone_has_moves_no_case_of_this_one(step: Step, of_others: tuple[Open, ...]) -> None:
    one, other = Engine(), Engine()
    mine = tuple(each for each in step.episodes if each.bank != 1)
    one.take(replace(step, episodes=mine))
    other.take(replace(step, episodes=(*mine, *(each for each in of_others if each.bank == 1))))
    assert one.levels[0] == other.levels[0]
    for name in ("case_key", "case_level", "case_moved", "case_before"):
        assert one.x[name][0] == other.x[name][0], name


def test_what_is_cured_eases_at_the_close_and_rises_again_with_the_first_signal() -> None:
    engine = Engine()
    red = Open("S4", 0, RED)
    waiting = replace(red, waits=True)
    moves = []
    for step in (
        Step((red,), 640), Step((waiting,), 640), Step((waiting,), 640, closing=True), Step((red,), 640),
        Step((waiting,), 640, closing=True), *[Step((waiting,), 640, closing=True)] * EASES,
    ):  # fmt: skip
        engine.take(step)
        moves.append((cases.STATES.get(int(engine.x["case_moved"][0])), engine.levels[0]))
    assert moves == [
        ("opened", RED), (None, RED), ("eased", YELLOW), ("graver", RED), ("eased", YELLOW),
        *[(None, YELLOW)] * (EASES - 1), ("resolved", 0),
    ]  # fmt: skip


def test_the_leading_line_has_the_most_points_then_the_highest_level_then_the_earliest() -> None:
    engine = Engine()
    engine.take(Step((Open("S3", 0, RED), Open("S1", EVERY_BANK, ORANGE), Open("S2", 1, RED))))
    leading = [int(cases.leading(engine.lines, np.int64(3), view)) for view in READERS]
    assert leading == [0, 1, 0]
    engine.take(Step((Open("S5", 1, RED, opened_ms=9), Open("S5", EVERY_BANK, RED, opened_ms=8))))
    assert int(cases.leading(engine.lines, np.int64(2), 1)) == 1
    assert int(cases.leading(engine.lines, np.int64(0), 1)) == cases.NO_LINE


@pytest.mark.parametrize(("logit", "ppm"), [(0, 500_000), (-2_996, 47_607), (30_000, 1_000_000), (-30_000, 0)])
def test_the_probability_of_a_claim(logit: int, ppm: int) -> None:
    assert pd_ppm(logit) == ppm


def test_a_dead_feed_makes_a_case_graver_by_its_signals_alone_and_what_the_score_said_counts_once_it_is_back() -> None:
    engine = Engine()
    yellow = Open("S2", 0, YELLOW)
    engine.take(Step((yellow,), 560, closing=True))
    assert engine.levels[0] == YELLOW - 1
    low = Step((yellow,), 420, closing=True, stalled=True)
    levels = []
    for step in (low, replace(low, closing=False), replace(low, risen=True), replace(low, points=400), low):
        engine.take(step)
        levels.append(engine.levels[0])
    red = engine.levels[0]
    assert levels == [0, 0, red, red, red]
    assert red == RED
    fresh = Engine()
    fresh.take(low)
    fresh.take(replace(low, stalled=False))
    assert fresh.levels[0] == RED


def test_the_rest_of_a_case_is_its_level_without_what_is_hidden_and_none_where_nothing_else_is_seen() -> None:
    engine = Engine()
    base = np.int64(engine.take(Step((Open("S4", 0, RED), Open("S5", EVERY_BANK, RED), Open("S3", 1, RED)), 640)))

    def rest(*hidden: int) -> int:
        bits = np.int64(sum(1 << each for each in hidden))
        return int(cases.rest_of(engine.rules.programs, engine.e, 0, engine.lines, base, bits))

    assert (rest(), rest(0), rest(1), rest(0, 1)) == (RED, RED, RED, 0)
    engine.take(Step((Open("S4", 0, RED), Open("S3", EVERY_BANK, YELLOW)), 640))
    assert (rest(), rest(0), rest(1)) == (RED, 0, RED)


def test_the_reference_counts_each_part() -> None:
    step = Step((Open("S1", EVERY_BANK, RED), Open("S2", EVERY_BANK, RED), Open("S3", 0, YELLOW)), 550, -30)
    assert claim_of(step, 0)[0] == -2_996 + 3_000 + 300 + 401
