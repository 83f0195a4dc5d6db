"""Sentences of alerts: the golden examples, and that none contradicts the state that it is of."""

import itertools
import json
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.wordings import checks, wordings
from detectors.wording import phrases
from detectors.wording.alerts import sentence
from detectors.wording.case import desk_of
from detectors.wording.conditions import thresholds
from detectors.wording.measures import measured
from detectors.wording.numbers import line_text, value_text
from detectors.wording.revision import phase
from domain.language import LANGS
from domain.outputs import SEVERITIES, Alert, CaseLine, CaseState, Severity
from tests.detectors.wording import examples, laws

GOLDEN = Path(__file__).parent / "examples.jsonl"
OPEN_STATES = ("raised", "upgraded", "downgraded", "stale")
STATES = (*OPEN_STATES, "cleared", "closed", "ended", "retracted")


def test_the_examples_have_the_sentences_of_the_golden_file() -> None:
    golden, said = GOLDEN.read_text(encoding="utf-8").splitlines(), list(examples.said())
    for wanted, found in zip(golden, said, strict=True):
        assert json.loads(found) == json.loads(wanted)


def test_every_evaluated_signal_stands_in_every_state_among_the_examples() -> None:
    assert set(examples.TRUE) == set(examples.FALSE) == set(examples.evaluated())
    of_all = {
        "opened", "opening list", "held by hysteresis", "held, and its closes counted", "stale", "cleared",
        "delivery ends", "retracted", "case opened", "case graver", "case eased", "case resolved",
    }  # fmt: skip
    of_levels = {"graver", "eased", "held at its level"}
    for name, signal in examples.evaluated().items():
        levels = [level for level, text in zip(SEVERITIES, signal.row.levels, strict=True) if text]
        assert list(examples.TRUE[name]) == levels
        assert {what for what, alert in examples.cases() if alert.signal == name} >= of_all | (
            of_levels if len(levels) > 1 else set()
        )
    said = {phase(alert) for _, alert in examples.cases()}
    assert said == set(phrases.PHASES) - {"ended"}, "which no engine says yet"


def test_a_sentence_leaves_out_what_only_another_level_or_no_condition_reads() -> None:
    decline = {
        "op_inflow_falling_months_count": 0.0, "op_inflow_13w_vs_prior13w_ratio": -0.41,
        "op_inflow_6m_vs_prior6m_ratio": -0.66,
    }  # fmt: skip
    penalty = {"judicial_freeze_active_flag": 0.0}
    for name, severity, numbers, zh, en in (
        ("EWS03_three_falling_months", "orange", decline, "连续下滑月数", "falling months"),
        ("EWS48_adverse_gov_event", "yellow", penalty, "司法冻结", "freeze"),
        ("EWS50_guarantee_called", "red", {"dpd_max_days": 0.0}, "逾期", "past due"),
    ):
        alert, signal = examples.revision(name, severity, numbers), examples.evaluated()[name]
        assert {each.name for each in alert.evidence} == set(numbers), "the record has it"
        assert zh not in sentence(alert, signal, "zh").text
        assert en not in sentence(alert, signal, "en").text.lower()


def test_a_number_that_is_not_computable_leaves_no_doubt_about_a_condition_that_asks_for_that() -> None:
    numbers = {"next_instalment_days": 2.0, "bal_to_next_instalment_ratio": 0.0, "runway_30d_days": 14.0}
    alert = examples.revision("EWS11_instalment_not_covered", "yellow", {**numbers, "dpd_max_days": None}, stock=True)
    signal = examples.evaluated()[alert.signal]
    assert {laws.check(signal, alert, sentence(alert, signal, lang), lang) for lang in LANGS} == {"true"}


def test_every_example_keeps_the_laws_and_its_language() -> None:
    standings = set()
    for what, alert in examples.cases():
        signal = examples.evaluated().get(alert.signal)
        for lang in LANGS:
            said = sentence(alert, signal, lang, desk=desk_of(examples.TABLE))
            if signal is not None and what != "notice":
                standings.add(laws.check(signal, alert, said, lang))
            if alert.reason == "of another engine" or signal is None:
                continue
            for text in said:
                foreign = r"[a-z]" if lang == "zh" else r"[\u4e00-\u9fff，。；（）]"
                assert not re.search(foreign, text), text
    assert standings == {"", *laws.STANDINGS}


def test_the_measures_of_the_evidence_are_those_that_the_sentence_names() -> None:
    with_lines, with_usual = 0, 0
    for _, alert in examples.cases():
        if (signal := examples.evaluated().get(alert.signal)) is None:
            continue
        said, found = sentence(alert, signal, "zh").text, measured(alert, signal)
        lines = [phrases.LINES[each.line_severity].zh for each in found if each.line_severity]
        assert sorted(re.findall("（(?:已越)?(.线)", said)) == sorted(lines)
        for each in found:
            if each.line_severity:
                line = line_text(each.name, each.line_micro / 1e6, "zh").lstrip("降增升")
                assert f"{phrases.LINES[each.line_severity].zh}{line}）" in said or f"线降{line}" in said
            says = wordings()[each.name]
            if says.usual_of and re.search(re.escape(says.usual.zh).replace(r"\{\}", r"-?\d"), said):
                assert says.usual.zh.format(value_text(says.usual_of, each.usual_micro / 1e6, "zh")) in said
                with_usual += 1
        with_lines += len(lines)
    assert min(with_lines, with_usual) > 9


@pytest.mark.parametrize("signal_id", sorted(examples.evaluated()))
def test_a_check_is_of_the_signal_and_not_of_its_family(signal_id: str) -> None:
    zh, en = checks()[signal_id]
    assert [zh, en] not in [[*words] for other, words in checks().items() if other != signal_id]


@pytest.mark.parametrize(
    ("stale", "said"), [((True, True), "处置时限暂停"), ((True, False), "按其他信号照常"), ((), "处置时限暂停")]
)
def test_deadlines_are_said_to_wait_only_where_none_of_the_case_can_be_told(stale: tuple[bool, ...], said: str) -> None:
    name = "EWS03_three_falling_months"
    alert = examples.revision(name, "orange", examples.FALSE[name], state="stale", reason="feed.stalled", revision=2)
    lines = [
        CaseLine(name=each, finding="", severity="orange", opened_at=1_700_000_000_000, stale=one, points_milli=0)
        for each, one in zip((name, "EWS35_arrears"), stale, strict=False)
    ]
    signal = examples.evaluated()[name]
    told = sentence(msgspec.structs.replace(alert, case_lines=lines), signal, "zh", desk=desk_of(None))
    assert said in told.action


@st.composite
def moves_of_cases(draw: st.DrawFn, name: str, severity: Severity, *, is_open: bool) -> dict[str, object]:
    """The moves of a reader's case that a revision may tell; is_open: of an open episode, which its case lists."""
    state = draw(st.sampled_from(get_args(CaseState)))
    low, high = draw(st.sampled_from(list(itertools.combinations(SEVERITIES, 2))))
    before: dict[str, Severity | None] = {"opened": None, "graver": low, "eased": high, "resolved": low}
    now = {"opened": low, "graver": high, "eased": low, "resolved": low}
    lines = [(name, severity)] if is_open or draw(st.booleans()) else []
    lines += draw(st.lists(st.sampled_from(examples.OTHERS), unique=True)) if state != "opened" else []
    waits = st.sampled_from(draw(st.sampled_from([(msgspec.UNSET,), (True,), (msgspec.UNSET, True)])))
    return {
        "case_state": state, "case_severity": now[state], "case_severity_before": before[state],
        "case_pd_12m_ppm": draw(st.integers(0, 1_000_000)),
        "case_lines": [
            CaseLine(name=each, finding=examples.FINDING_OF.get(each, ""), severity=level, opened_at=1_700_000_000_000,
                     stale=False, points_milli=0, waits=draw(waits))
            for each, level in lines
        ],
    }  # fmt: skip


@st.composite
def revisions(draw: st.DrawFn) -> tuple[str, Alert]:
    """A revision of any evaluated signal in any state, its numbers around the lines of its conditions or anywhere."""
    name = draw(st.sampled_from(sorted(examples.evaluated())))
    signal = examples.evaluated()[name]
    cuts = thresholds((*signal.levels, signal.hysteresis))
    severity = draw(st.sampled_from([s for s, text in zip(SEVERITIES, signal.row.levels, strict=True) if text]))
    numbers: dict[str, float | None] = {}
    for number in examples.FALSE[name]:
        anywhere = st.integers(-3_000_000, 400_000_000).map(lambda micro: micro / 1e6)
        near = st.sampled_from(sorted(cuts.get(number, {0.0}))).flatmap(
            lambda cut: st.sampled_from([cut - 1e-6, cut, cut + 1e-6, cut - 0.0004, cut + 0.0004, -cut])
        )
        value = draw(st.one_of(st.none(), near, near, anywhere))
        is_whole = wordings()[number].kind in ("count", "points", "points_change", "flag") or number == "dpd_max_days"
        numbers[number] = round(value) if is_whole and value is not None else value
    state = draw(st.sampled_from(STATES))
    alert = examples.revision(
        name, severity, {} if state == "closed" else numbers, state=state, stock=draw(st.booleans()),
        revision=draw(st.integers(1, 3)), score=draw(st.sampled_from([449, 487, 499, 511])),
        reason={"stale": "feed.stalled", "ended": "not_applicable", "closed": "loan_closed"}.get(state, ""),
        case_severity=draw(st.sampled_from((*SEVERITIES, None))),
        true_closes=draw(st.sampled_from((msgspec.UNSET, 21))), clear_closes=draw(st.sampled_from((msgspec.UNSET, 3))),
    )  # fmt: skip
    if draw(st.booleans()):
        alert = msgspec.structs.replace(alert, **draw(moves_of_cases(name, severity, is_open=state in OPEN_STATES)))
    hidden = draw(st.sets(st.sampled_from(sorted(examples.FALSE[name])))) if draw(st.booleans()) else set()
    evidence = [
        examples.in_band(each.name, numbers[each.name]) if each.name in hidden else each for each in alert.evidence
    ]
    if alert.case_lines:
        alert = msgspec.structs.replace(alert, case_lines=_as_the_evidence_says(alert))
    return name, msgspec.structs.replace(alert, evidence=evidence)


def _as_the_evidence_says(alert: Alert) -> list[CaseLine]:
    """Return the lines of a case, the alert's own one without a contradiction to its evidence."""
    truths = laws.truths(examples.evaluated()[alert.signal], alert)[: SEVERITIES.index(alert.severity) + 1]
    own: dict[bool, object] = {True in truths: msgspec.UNSET, truths == [False] * len(truths): True}
    return [
        msgspec.structs.replace(line, waits=own[True]) if line.name == alert.signal and True in own else line
        for line in alert.case_lines or ()
    ]


@settings(max_examples=400)
@given(revisions())
def test_no_sentence_contradicts_its_own_state(drawn: tuple[str, Alert]) -> None:
    name, alert = drawn
    signal = examples.evaluated()[name]
    if (
        phase(alert) in ("new", "graver", "eased")
        and laws.truths(signal, alert)[SEVERITIES.index(alert.severity)] is False
    ):
        return  # score says so only of a condition that is true
    for lang in LANGS:
        laws.check(signal, alert, sentence(alert, signal, lang), lang)


@settings(max_examples=200)
@given(revisions())
def test_a_rounded_value_stays_on_its_side_of_the_line(drawn: tuple[str, Alert]) -> None:
    name, alert = drawn
    signal = examples.evaluated()[name]
    said = sentence(alert, signal, "zh")
    cuts = thresholds((*signal.levels, signal.hysteresis))
    for each in alert.evidence:
        words = laws.said_of(each.name, said, "zh")
        if each.name == "score.points":
            continue  # the alert's own score is said in its place
        if words is None or each.value_micro is None or "以上" in words or not re.match(r"[降增升]?-?[\d.]", words):
            continue
        number = float(re.sub(r"[^\d.-]", "", words.split("（")[0]))
        number = -number if words.startswith("降") else number
        number = number / 100 if "%" in words else number
        for cut in cuts.get(each.name, ()):
            exact = each.value_micro / 1e6
            assert (number > cut, number < cut) == (exact > cut, exact < cut), (words, cut)


@pytest.mark.parametrize(("moved", "is_said"), [(2, False), (-2, False), (3, True), (-3, True)])
def test_a_score_that_moved_by_a_point_or_two_has_not_moved(moved: int, is_said: bool) -> None:
    alert = examples.revision("EWS01_inflow_collapse", "red", {}, score=500, score_before=500 - moved)
    assert ("→" in sentence(alert, None, "zh").text) == is_said


def test_a_signal_that_a_bank_has_renamed_keeps_its_own_name() -> None:
    signal = examples.evaluated()["EWS01_inflow_collapse"]
    renamed = signal._replace(row=msgspec.structs.replace(signal.row, name_zh="流入掉头"))
    alert = examples.revision("EWS01_inflow_collapse", "red", {})
    assert "流入掉头" in sentence(alert, renamed, "zh").title
    assert "EWS01_inflow_collapse" in sentence(alert, renamed, "en").title
