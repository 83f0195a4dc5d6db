"""The stack machine against Kleene's tables read off Python's own parser: nothing but the vocabulary is shared."""

import ast
import functools
import re

import msgspec
import numpy as np
import pytest

from config.catalogue import SignalRow, signals
from detectors.rules import machine, vocabulary
from detectors.rules.conditions import parse_row
from detectors.rules.program import (
    CLEAR,
    NOT_APPLICABLE,
    NOT_COMPUTABLE,
    RED,
    STATUS_BITS,
    SUPPRESSED,
    TOO_YOUNG,
    TRUE,
    UNKNOWN,
    YELLOW,
    compile_signals,
)
from features.fields import INPUTS_MAX, LENDER_INPUTS_MAX
from features.indicators import nulls as null_codes
from features.state import seen

TODAY = 20_000
VECTORS = 1_000
HELD_ALL = np.int64((1 << 30) - 1)  # every level has held long enough


def row(**fields) -> SignalRow:
    default = {
        "id": "T1", "name_zh": "测试", "family": "inflow", "levels": ("", "op_credit_30d_count > 1", ""),
        "hysteresis": "held(op_credit_30d_count <= 1, d=3)", "min_history": "ctx.history_days >= 30",
        "not_computable_when": "", "suppress_when": "", "evidence": (), "scope": "platform", "enabled": True,
        "name_en": "Test", "false_alarm_note": "none", "source": "proposed", "owner": "nobody", "rationale": "a test",
    }  # fmt: skip
    return SignalRow(**default | fields)


class Renamed(ast.NodeTransformer):
    """Names that no input has yet → some that have, so that every row of the catalogue can run."""

    def __init__(self):
        spare = [n for n in vocabulary.INPUTS if n not in vocabulary.FLAGS]
        self.spare, self.used = spare, {}

    def __call__(self, name):
        if name in vocabulary.SLOT_OF:
            return name
        return self.used.setdefault(name, self.spare[len(self.used) % len(self.spare)])


def runnable(each: SignalRow, renamed: Renamed) -> SignalRow:
    """The row with every waiting name replaced by a standing one."""
    texts = (*each.levels, each.hysteresis, each.min_history, each.not_computable_when, each.suppress_when)
    found = re.findall(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)?", " ".join(texts))
    names = {name for name in found if vocabulary.is_known(name)}

    def text(condition):
        for name in sorted(names, key=len, reverse=True):
            condition = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.])", renamed(name), condition)
        return condition

    return msgspec.structs.replace(
        each, levels=tuple(map(text, each.levels)), hysteresis=text(each.hysteresis),
        min_history=text(each.min_history), not_computable_when=text(each.not_computable_when),
        suppress_when=text(each.suppress_when), evidence=(), enabled=True,
    )  # fmt: skip


@functools.cache
def tree(text: str) -> ast.Expression:
    """Python's own parse of a condition."""
    return ast.parse(text, mode="eval")


def naive(text: str, known: dict, days: dict, held: int = 0):
    """True, False or None: Kleene's logic over the tree of Python's own parser."""

    def value(node):
        match node:
            case ast.BoolOp():
                strong = isinstance(node.op, ast.Or)
                parts = [value(part) for part in node.values]
                return strong if strong in parts else None if None in parts else not strong
            case ast.UnaryOp(op=ast.Not()):
                inner = value(node.operand)
                return None if inner is None else not inner
            case ast.Compare(ops=[operator]):
                a, b = known[ast.unparse(node.left)], ast.literal_eval(node.comparators[0])
                if a is None:
                    return None
                return {
                    ast.Lt: a < b, ast.LtE: a <= b, ast.Gt: a > b, ast.GtE: a >= b, ast.Eq: a == b, ast.NotEq: a != b
                }[type(operator)]  # fmt: skip
            case ast.Call(func=ast.Name(id="isnull")):
                return known[ast.unparse(node.args[0])] is None
            case ast.Call(func=ast.Name(id="seen")):
                d, *adverse = (k.value.value for k in node.keywords)
                day = days[ast.unparse(node.args[0]), bool(adverse)]
                return day > 0 and TODAY - day < d
            case ast.Call(func=ast.Name(id="held")):
                inner = value(node.args[0])
                return inner and held >= node.keywords[0].value.value
            case _:
                flag = known[ast.unparse(node)]
                return None if flag is None else bool(flag)

    return value(tree(text).body)


def naive_status(each: SignalRow, known, days, nulls):
    if each.suppress_when and naive(each.suppress_when, known, days):
        return SUPPRESSED
    if not naive(each.min_history, known, days):
        return TOO_YOUNG
    levels = [naive(text, known, days, HELD_ALL) if text else False for text in each.levels]
    if True in levels:
        return max(level for level, true in enumerate(levels, 1) if true)
    unknown = bool(each.not_computable_when) and naive(each.not_computable_when, known, days) is not False
    if None not in levels and not unknown:
        return CLEAR
    asked = " ".join((*each.levels, each.not_computable_when))
    why = {
        nulls[node_text]
        for node_text in (
            ast.unparse(n)
            for text in (*each.levels, each.not_computable_when)
            if text
            for n in ast.walk(tree(text))
            if isinstance(n, ast.Name | ast.Attribute)
        )
        if node_text in nulls and node_text in asked
    } - {null_codes.VALUE}
    return NOT_APPLICABLE if why == {null_codes.NOT_APPLICABLE} else NOT_COMPUTABLE


@pytest.fixture(scope="module")
def catalogue():
    renamed = Renamed()
    return [runnable(each, renamed) for each in signals()]


@pytest.fixture(scope="module")
def rules(catalogue):
    return compile_signals([parse_row(each, f"line {line}") for line, each in enumerate(catalogue, 2)])


def vectors(rules, rng, count):
    """Values on, just beside and far from the thresholds; nulls of both kinds; a long history in half of the rows."""
    value = rng.normal(0, 50, (count, vocabulary.INPUT_COUNT))
    for gate in (rules.common, rules.lender):
        for first, end, slot in zip(gate.first, [*gate.first[1:], len(gate.upper)], gate.slot, strict=True):
            cuts = gate.upper[first:end][gate.lower[first:end] == gate.upper[first:end]]
            if len(cuts):
                aside = rng.choice([0, 0, 0, 1e-9, -1e-9, 0.3, -0.3, 40, -40], count)
                value[:, slot] = rng.choice(cuts, count) + aside
    for name in vocabulary.FLAGS:
        value[:, vocabulary.SLOT_OF[name]] = rng.random(count) < 0.15
    value[: count // 2, vocabulary.HISTORY_DAYS] = 1_000
    codes = [null_codes.VALUE] * 8 + [null_codes.NOT_APPLICABLE, null_codes.BASE_TOO_SMALL]
    null = rng.choice(codes, value.shape).astype(np.uint8)
    null[: count // 2, vocabulary.HISTORY_DAYS] = null_codes.VALUE
    last_day = rng.choice([0, TODAY, TODAY - 6, TODAY - 7, TODAY - 29, TODAY - 30, TODAY - 89, TODAY - 90, TODAY - 359],
                          (count, seen.PLACES)).astype(np.uint16)  # fmt: skip
    return value, null, last_day


def as_env(value, null, last_day):
    known = {n: None if null[i] else float(value[i]) for n, i in vocabulary.SLOT_OF.items()}
    days = {(e, a): int(last_day[seen.place_of(e, adverse=a)]) for e in seen.EVENTS for a in (False, True)
            if not a or e.startswith("gov.")}  # fmt: skip
    return known, days, {n: int(null[i]) for n, i in vocabulary.SLOT_OF.items()}


def test_every_signal_of_the_catalogue_gives_the_status_of_a_naive_interpreter(catalogue, rules, module_seed):
    value, null, last_day = vectors(rules, np.random.default_rng(module_seed), VECTORS)
    met = set()
    for r in range(VECTORS):
        env = as_env(value[r], null[r], last_day[r])
        for s, each in enumerate(catalogue):
            got = machine.status(rules, s, value[r], null[r], last_day[r], TODAY, HELD_ALL) & ((1 << STATUS_BITS) - 1)
            expected = naive_status(each, *env)
            assert got == expected, (module_seed, r, each.id)
            met.add(got)
    assert met == set(range(CLEAR, NOT_APPLICABLE + 1))


def test_hysteresis_timers_and_single_levels_agree_too(catalogue, rules, module_seed):
    rng = np.random.default_rng(module_seed + 1)
    value, null, last_day = vectors(rules, rng, VECTORS // 4)
    truth = {True: TRUE, None: UNKNOWN, False: 0}
    for r in range(len(value)):
        known, days, _ = as_env(value[r], null[r], last_day[r])
        held = int(rng.choice([0, 1, 7, 13, 14, 29, 30, 60, 90]))
        for s, each in enumerate(catalogue):
            args = (value[r], null[r], last_day[r], TODAY)
            cleared = machine.run(rules, rules.clear_at[s], *args, held)
            assert cleared == truth[naive(each.hysteresis, known, days, held)]
            for level, text in enumerate(each.levels):
                at = rules.level_at[s, level]
                assert (at < 0) == (not text)
                if text:
                    assert machine.run(rules, at, *args, 0) == truth[naive(text, known, days, HELD_ALL)]


def test_a_signal_whose_inputs_stay_in_their_bands_keeps_its_status(rules, module_seed):
    """Bands skip only evaluations that change nothing, and most of those."""
    rng = np.random.default_rng(module_seed + 2)
    count = len(rules.key)
    value, null, last_day = vectors(rules, rng, 2_000)
    skipped = evaluated = 0
    common, of_one = np.zeros(INPUTS_MAX, np.uint8), np.zeros(LENDER_INPUTS_MAX, np.uint8)
    status = np.zeros(count, np.int64)
    x, why = value[0].copy(), null[0].copy()
    for r in range(1, len(value)):
        mask = machine.moved(rules.common, x, why, common, len(rules.common.slot))
        mask |= machine.moved(rules.lender, x, why, of_one, len(rules.lender.slot))
        for s in range(count):
            now = machine.status(rules, s, x, why, last_day[0], TODAY, HELD_ALL)
            if machine.has(mask, s):
                status[s] = now
                evaluated += 1
            else:
                assert now == status[s], (module_seed, r, s)
                skipped += 1
        some = rng.random(len(x)) < 0.05
        x[some], why[some] = value[r][some], null[r][some]
    assert skipped > 2 * evaluated


def test_a_suppression_says_which_of_its_terms_was_true():
    each = row(suppress_when="feed.stalled or calendar.spring_festival_window")
    rules = compile_signals([parse_row(each, "line 2")])
    value, null = np.zeros(vocabulary.INPUT_COUNT), np.zeros(vocabulary.INPUT_COUNT, np.uint8)
    value[vocabulary.SPRING_FESTIVAL] = 1
    got = machine.status(rules, 0, value, null, np.zeros(seen.PLACES, np.uint16), TODAY, HELD_ALL)
    assert (got & 15, got >> STATUS_BITS) == (SUPPRESSED, 1)


def test_an_unknown_suppression_does_not_suppress():
    each = row(suppress_when="peer.offseason", levels=("", "", "op_credit_30d_count > 1"))
    rules = compile_signals([parse_row(each, "line 2")])
    value, null = np.full(vocabulary.INPUT_COUNT, 100.0), np.zeros(vocabulary.INPUT_COUNT, np.uint8)
    last_day = np.zeros(seen.PLACES, np.uint16)
    assert machine.status(rules, 0, value, null, last_day, TODAY, HELD_ALL) & 15 == SUPPRESSED
    null[vocabulary.OFFSEASON] = null_codes.NOT_REPORTED
    assert machine.status(rules, 0, value, null, last_day, TODAY, HELD_ALL) == RED


@pytest.mark.parametrize(("coverage", "raised"), [(0.59, False), (0.60, True)])
def test_a_score_that_falls_for_want_of_data_is_no_fall(coverage, raised):
    (drop,) = (each for each in signals() if each.id == "EWS47_score_drop")
    rules = compile_signals([parse_row(drop, "line 1")])
    value, null = np.zeros(vocabulary.INPUT_COUNT), np.zeros(vocabulary.INPUT_COUNT, np.uint8)
    known = {"score.delta_30d": -60.0, "score.points": 500.0, "score.coverage": coverage, "ctx.history_days": 400.0}
    for name, x in known.items():
        value[vocabulary.SLOT_OF[name]] = x
    got = machine.status(rules, 0, value, null, np.zeros(seen.PLACES, np.uint16), TODAY, HELD_ALL)
    assert got & ((1 << STATUS_BITS) - 1) == (YELLOW if raised else NOT_COMPUTABLE)
