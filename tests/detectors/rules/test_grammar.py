"""The grammar of rules, and the place of a mistake: row, column, character."""

import msgspec
import pytest

from config.catalogue import indicators, signals
from detectors.rules import vocabulary
from detectors.rules.artefact import RulesArtefact, compiled, decode, packaged, packaged_rules
from detectors.rules.conditions import RuleError, parse_row
from detectors.rules.grammar import All, AnyOf, Comparison, ExpressionError, Not, parse
from detectors.snapshot import content_id
from tests.detectors.rules.test_machine import row


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"levels": ("", "op_credit_30d_count >", "")}, r"line 9, T1, condition_orange, character 22: ends too early"),
        ({"levels": ("op_credit_30d_count 1", "", "")}, r"condition_yellow, character 21: '1' is not expected here"),
        ({"levels": ("", "", "no_such_name > 1")}, r"condition_red, character 1: neither an indicator .* no_such_name"),
        ({"levels": ("", "", "")}, r"line 9, T1: no condition"),
        ({"levels": ("", "feed.stalled > 1", "")}, r"feed.stalled is a flag"),
        ({"levels": ("", "op_credit_30d_count", "")}, r"op_credit_30d_count is a number"),
        ({"levels": ("", "seen(gov.nothing, d=3)", "")}, r"character 6: no event is called gov.nothing"),
        ({"levels": ("", "seen(loan.drawn, d=3, adverse=1)", "")}, r"only government events can be adverse"),
        ({"levels": ("", "seen(loan.drawn, d=361)", "")}, r"character 20: 361 is not within 1 to 360"),
        ({"suppress_when": "held(op_credit_30d_count > 1, d=3)"}, r"held\(\) stands in levels and hysteresis alone"),
        (
            {"levels": ("", "held(op_credit_30d_count > 1, d=3) or held(op_credit_30d_count > 9, d=1)", "")},
            r"condition_orange, character 1: 2 held\(\), it may have one",
        ),
        (
            {"levels": ("", "not (op_credit_30d_count > 9 or held(op_credit_30d_count > 1, d=3))", "")},
            r"condition_orange, character 1: held\(\) stands under a not",
        ),
        ({"hysteresis": "op_credit_30d_count < 1"}, r"hysteresis, character 1: 0 held\(\), it must have one"),
        (
            {"hysteresis": "held(op_credit_30d_count < 1, d=2) and held(op_credit_30d_count < 1, d=3)"},
            r"2 held\(\), it must have one",
        ),
        ({"suppress_when": "feed.stalled or"}, r"suppress_when, character 16: ends too early"),
        ({"min_history": ""}, r"min_history, character 1: ends too early"),
        ({"levels": ("op_credit_30d_count > 1" + "0" * 400, "", "")}, r"no number that a float holds"),
        ({"levels": ("op_credit_30d_count > 1\n", "", "")}, r"character 24"),
    ],
)
def test_a_mistake_is_named_where_it_stands(fields, message):
    with pytest.raises(RuleError, match=message):
        parse_row(row(**fields), "line 9")


def test_names_that_begin_with_a_word_of_the_grammar_are_names():
    assert parse("notable > 1 or order < 2 and android == 3")
    with pytest.raises(ExpressionError):
        parse("a > 1 orb < 2")


def test_and_binds_closer_than_or_and_not_closest():
    outer = parse("a > 1 or b > 1 and not c > 1 and d > 1")
    assert isinstance(outer, AnyOf)
    inner = outer.parts[1]
    assert isinstance(inner, All)
    assert [type(part) for part in inner.parts] == [Comparison, Not, Comparison]
    both = parse("not (a > 1 or b > 1)")
    assert isinstance(both, Not)
    assert isinstance(both.inner, AnyOf)


def test_every_row_of_the_catalogue_is_a_rule_and_stands_or_says_what_it_waits_for():
    rules = packaged_rules()
    assert len(rules.evaluated) + len(rules.waiting) == len(signals()) == 50
    assert all(each.reason for each in rules.waiting)
    for each in rules.waiting:
        names = {name.removesuffix(" of one lender") for name in each.reason.split(", ")}
        assert names <= {"disabled", *indicators(), *vocabulary.CONTEXT_TO_COME, *vocabulary.CONTEXT}


def test_the_vocabulary_is_that_of_the_catalogue():
    contexts = {
        "ctx.history_days", "ctx.covered_months", "ctx.inflow_vs_low_month_ratio",
        "ctx.balance_months", "feed.stalled", "feed.loan_stalled",
        "feed.gov_connected", "loan.five_class_worst", "loan.five_class_fall_90d", "guarantor.red_count",
        "calendar.spring_festival_window", "peer.offseason", "peer.buys_from_persons", "peer.cash_intensive",
        "score.points", "score.delta_30d", "score.grade_fall_30d", "score.coverage", "score.model_changed_30d",
    }  # fmt: skip
    assert {*vocabulary.CONTEXT, *vocabulary.CONTEXT_TO_COME} == contexts


def test_a_rules_artefact_comes_back_as_it_was_and_a_changed_one_is_refused():
    body = packaged().encode()
    rules = decode(body, content_id(body))
    assert rules.id == packaged_rules().id
    assert [s.row for s in rules.evaluated] == [s.row for s in packaged_rules().evaluated]
    with pytest.raises(RuleError, match="hash to"):
        decode(body + b" ", content_id(body))
    bad = body.replace(b'"xinliu.rules/2"', b'"xinliu.rules/9"')
    with pytest.raises(RuleError, match=r"rules/9"):
        decode(bad, content_id(bad))


def test_a_mistake_in_an_artefact_is_named_by_the_number_of_its_row():
    rows = [*signals()[:3], row(levels=("", "nonsense > 1", ""))]
    body = RulesArtefact(signals=tuple(rows)).encode()
    with pytest.raises(RuleError, match=r"signal 4, T1, condition_orange, character 1: .*nonsense"):
        decode(body, content_id(body))
    twice = RulesArtefact(signals=(row(), row()))
    with pytest.raises(RuleError, match="an id stands twice"):
        compiled(twice, "x", row_word="signal", first=1)
    many = RulesArtefact(signals=tuple(msgspec.structs.replace(row(), id=f"T{i}") for i in range(65)))
    with pytest.raises(RuleError, match="at most 64"):
        compiled(many, "x", row_word="signal", first=1)
