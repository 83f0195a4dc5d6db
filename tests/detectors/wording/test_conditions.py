"""Conditions against evidence: decisions equal those of the rules, and every condition has a text."""

import random
import re
from collections.abc import Iterator

import pytest

from config.catalogue import signals
from config.wordings import wordings
from detectors.rules.conditions import Signal, parse_row
from detectors.rules.grammar import Comparison, Expression, IsNull, atoms, parse
from detectors.wording.conditions import condition_text, lines, reduce, thresholds
from domain.language import LANGS
from tests.detectors.rules.test_machine import HELD_ALL, TODAY, naive

ALL = {row.id: parse_row(row, "signals.csv") for row in signals()}
HAN = "[\u4e00-\u9fff]"


def numbers_around(signal: Signal, rnd: random.Random) -> dict[str, int]:
    """A value in millionths of each number that the levels compare: at a threshold, beside it, or anywhere."""
    found = {}
    for name, cuts in thresholds(signal.levels).items():
        cut = rnd.choice(sorted(cuts))
        near = round(cut * 1e6) + rnd.choice((-1, 0, 1, -300_000, 300_000))
        found[name] = rnd.choice((near, near, round(rnd.uniform(-3, 400) * 1e6)))
    return found


def compared(node: Expression) -> Iterator[Comparison]:
    return (atom for atom in atoms(node) if isinstance(atom, Comparison))


@pytest.mark.parametrize("name", sorted(ALL))
def test_decisions_equal_those_of_pythons_own_parser(name: str, seed: int) -> None:
    signal, rnd = ALL[name], random.Random(seed)
    decided = 0
    for _ in range(300):
        values = numbers_around(signal, rnd)
        for missing in rnd.sample(sorted(values), rnd.randrange(len(values) + 1) if rnd.random() < 0.3 else 0):
            del values[missing]
        known = dict.fromkeys({atom.name.text for tree in signal.levels if tree for atom in compared(tree)})
        known |= {each: micro / 1e6 for each, micro in values.items()}
        for text, tree in zip(signal.row.levels, signal.bare_levels, strict=True):
            if tree is None:
                continue
            truth = reduce(tree, values)
            answers = [naive(text, known, dict.fromkeys(_events(text), day), HELD_ALL) for day in (0, TODAY)]
            if isinstance(truth, bool):
                decided += 1
                assert answers == [truth, truth], (text, values)
                continue
            at_a_line = any(values.get(atom.name.text) == round(atom.number * 1e6) for atom in compared(truth))
            asks = any(
                isinstance(atom, IsNull) for atom in atoms(truth)
            )  # a number that is missing may be a null or not
            assert at_a_line or asks or answers[0] != answers[1] or None in answers, (text, values)
            left = {atom.name.text for atom in compared(truth)}
            assert all(each not in values or values[each] == round(_line(truth, each) * 1e6) for each in left)
    assert decided > 0 or all("seen(" in text or not text for text in signal.row.levels)


def _events(text: str) -> list[tuple[str, bool]]:
    return [(event, adverse) for event in wordings() if event in text for adverse in (False, True)]


def _line(node: Expression, name: str) -> float:
    return next(atom.number for atom in compared(node) if atom.name.text == name)


def test_a_line_is_given_of_what_has_crossed_it_alone() -> None:
    tree = ALL["EWS20_payer_concentration"].bare_levels[0]
    assert lines(tree, {"payer_top1_share_90d_ratio": 720_000, "payer_top5_share_90d_ratio": 870_000}) == {
        "payer_top1_share_90d_ratio": 0.7
    }
    assert lines(ALL["EWS45_judicial_freeze"].levels[2], {"judicial_freeze_active_flag": 1_000_000}) == {}, "a flag"
    assert lines(None, {}) == {}


def test_a_value_within_rounding_of_a_line_decides_nothing_unless_it_is_whole() -> None:
    ratio, count = parse("payer_top1_share_90d_ratio > 0.5"), parse("op_credit_30d_count > 3")
    assert reduce(ratio, {"payer_top1_share_90d_ratio": 500_000}) == ratio
    assert reduce(count, {"op_credit_30d_count": 3_000_000}) is False


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_condition_of_the_catalogue_has_a_text_in_both_languages(name: str) -> None:
    signal = ALL[name]
    for tree in (*signal.levels, signal.hysteresis, *signal.suppressions, signal.min_history, signal.not_computable):
        if tree is None:
            continue
        zh, en = (condition_text(tree, lang) for lang in LANGS)
        assert re.search(HAN, zh), zh
        assert not re.search(r"[a-z_]{2}", zh), zh
        assert not re.search(HAN, en), en
        assert "_" not in en, en


@pytest.mark.parametrize(
    ("text", "zh", "en"),
    [
        (
            "op_inflow_30d_vs_prior90d_ratio > -0.20",
            "近30日经营流入较前90日降幅小于20%",
            "operating inflow, 30 days against prior 90 days down less than 20%",
        ),
        (
            "op_inflow_30d_vs_prior90d_ratio <= -0.50",
            "近30日经营流入较前90日降幅达到50%",
            "operating inflow, 30 days against prior 90 days down at least 50%",
        ),
        (
            "bal_drop_from_peak_6m_ratio >= 0.95",
            "余额较6个月内最高月均余额降幅达到95%",
            "balance against its 6-month peak down at least 95%",
        ),
        (
            "weekly_inflow_cv_13w_vs_prior13w_ratio > 1.0",
            "周流入变异系数较前13周增幅超过100%",
            "weekly inflow CV against the prior 13 weeks up more than 100%",
        ),
        ("score.delta_30d > -15", "评分较30日前降幅小于15分", "score against 30 days before down less than 15 points"),
        ("adb_to_debt_ratio < 0.0005", "日均余额占负债低于0.05%", "average balance to total debt below 0.05%"),
        ("dscr_12m_ratio < 1", "近12个月偿债覆盖低于1倍", "debt service coverage ratio, 12 months below 1x"),
        ("judicial_freeze_active_flag == 0", "司法冻结未生效", "judicial freeze not in force"),
        (
            "seen(gov.licence_change, d=90, adverse=1)",
            "近90日有不利的证照变更",
            "adverse licence change within 90 days",
        ),
        ("not seen(loan.default, d=360)", "近360日无贷款违约", "no loan default within 360 days"),
        (
            "held(dpd_max_days == 0, d=30)",
            "逾期为0天，连续30个日终",
            "past due equal to 0 days, at 30 day closes in a row",
        ),
        ("isnull(dpd_max_days)", "逾期不可计算", "past due not computable"),
        (
            "feed.stalled or (calendar.spring_festival_window and dpd_max_days < 30)",
            "银行数据中断或（处于春节窗口期且逾期低于30天）",
            "a bank's data has stopped coming or (it is around the Spring Festival and past due below 30 days)",
        ),
    ],
)
def test_conditions_in_words(text: str, zh: str, en: str) -> None:
    assert (condition_text(parse(text), "zh"), condition_text(parse(text), "en")) == (zh, en)
