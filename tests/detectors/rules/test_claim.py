"""The case table: what it is compiled to, and the place of a mistake in files and artefacts."""

import json

import msgspec
import numpy as np
import pytest

from config.case_table import Texts, case_table_of, packaged_case_table, packaged_texts
from config.catalogue import WHY, signals
from detectors.rules.artefact import V1, RulesArtefact, compiled, decode, packaged, packaged_rules
from detectors.rules.conditions import RuleError
from detectors.snapshot import content_id
from tests.detectors.rules.test_machine import row

OLD = b"""{"closes_to_lower":7,"emission":{"mode":"move","step_milli":3000},"format":"xinliu.rules/1","signals":[
{"enabled":true,"evidence":["op_credit_30d_count"],"family":"inflow","hysteresis":"held(op_credit_30d_count > 5, d=3)",
"id":"T1","levels":["op_credit_30d_count < 3","",""],"min_history":"ctx.history_days >= 30","name_zh":"\xe6\xb5\x8b",
"not_computable_when":"","scope":"platform","suppress_when":""}]}"""
ARREARS = "EWS35_arrears,f,500,1500,3000,yellow,orange,red"
FILES = Texts(
    ("case_points.csv", f"{packaged_texts().points[1].splitlines()[0]}\nEWS01_inflow_collapse,f,1,,,,,\n{ARREARS}\n"),
    ("findings.csv", "id,name_zh,name_en\nf,一,one\n"),
    (
        "cases.toml",
        """intercept_milli = -3
score = [[400000, 5], [700000, -5]]
move = [[0, 0]]
closes_to_ease = 7
cooldown_days = 14
curve = []
evidence = "none"
cutoffs_milli = {yellow = -1700, orange = -700, red = 400}
budget = {orange_red_per_1000_month = 12, yellow_per_1000_month = 30}
deadlines = {yellow = {}, orange = {}, red = {}, head_office_after_days = 1, supervisor_after_days = 3}
""",
    ),
)


def rules_of(changed: dict):
    """Rules with two signals and this change to the packaged table, through the bytes of an artefact."""
    rows = (row(id="T1", levels=("op_credit_30d_count > 1", "", "")), row(id="T2"))
    table = msgspec.to_builtins(packaged_case_table().table.of_signals(frozenset())) | changed
    artefact = msgspec.to_builtins(RulesArtefact(signals=rows)) | {"case": table}
    body = json.dumps(artefact).encode()
    return decode(body, content_id(body))


def types_of(rules):
    return [
        (name, value.dtype, value.ndim, value.shape[1:] if name.startswith("case") else ())
        for name, value in zip(type(rules).__annotations__, rules, strict=True)
        if isinstance(value, np.ndarray | np.generic)
    ]


def test_the_table_is_compiled_signal_by_signal():
    programs = rules_of(
        {
            "points_milli": {"T2": [1, 20, 300]},
            "findings": [{"id": "f0", "name_zh": "一", "name_en": "one", "signals": ["T2"]}],
            "alone": [{"signal": "T2", "from": "orange", "level": "yellow"}],
            "score": [[400_000, 5], [700_000, -5]],
            "move": [[-30, 9]],
            "intercept_milli": -7,
            "cutoffs_milli": {"yellow": -3, "orange": 2, "red": 4},
        }
    ).programs
    assert programs.case_points.tolist() == [[0, 0, 0, 0], [0, 1, 20, 300]]
    assert programs.case_finding.tolist() == [-1, 0]
    assert programs.case_alone.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1]]
    assert programs.case_score_at.tolist() == [400_000, *[700_000] * 7]
    assert programs.case_score_logit.tolist() == [5, *[-5] * 7]
    assert programs.case_move_at.tolist() == [-30] * 8
    assert programs.case_move_logit.tolist() == [9] * 8
    assert programs.case_cut.tolist() == [-(2**31), -3, 2, 4]
    assert (programs.case_intercept, programs.case_claims) == (-7, 1)
    table = packaged_case_table().table
    assert (programs.case_eases, programs.case_cooldown) == (table.closes_to_ease, table.cooldown_days)


def test_rules_without_a_claim_have_the_same_types_so_a_switch_compiles_nothing():
    none = compiled(RulesArtefact(signals=()), "x", row_word="signal", first=1).programs
    assert none.case_claims == 0
    assert types_of(none) == types_of(packaged_rules().programs)


def test_the_packaged_table_says_what_the_files_say():
    rules, points = packaged_rules(), packaged_case_table().table.points_milli
    place_of = {signal.row.id: s for s, signal in enumerate(rules.evaluated)}
    assert points.keys() <= {each.id for each in signals()}
    for signal, s in place_of.items():
        assert tuple(rules.programs.case_points[s]) == (0, *points.get(signal, (0, 0, 0)))
    arrears, collapse = place_of["EWS35_arrears"], place_of["EWS01_inflow_collapse"]
    assert rules.programs.case_alone[arrears].tolist() == [0, 1, 1, 3]
    assert rules.programs.case_alone[collapse].tolist() == [0, 0, 0, 0]
    decline = rules.programs.case_finding == rules.programs.case_finding[collapse]
    assert {rules.evaluated[s].row.id[:5] for s in np.flatnonzero(decline)} == {
        "EWS01", "EWS02", "EWS03", "EWS04",  # EWS06 ships disabled
    }  # fmt: skip


def test_format_1_still_reads_and_claims_nothing():
    rules = decode(OLD, content_id(OLD))
    assert [signal.row.id for signal in rules.evaluated] == ["T1"]
    assert rules.case is None
    assert rules.programs.case_claims == 0
    old = msgspec.json.decode(OLD, type=RulesArtefact)
    assert json.loads(old.encode()) == json.loads(OLD)
    assert msgspec.json.decode(old.encode(), type=RulesArtefact) == old


@pytest.mark.parametrize("name", WHY)
def test_a_format_has_its_own_columns_and_no_other(name):
    lacking = RulesArtefact(signals=(row(), row(id="T2", **{name: ""})))
    with pytest.raises(RuleError, match=rf"signal 2, T2, {name}: missing"):
        compiled(lacking, "x", row_word="signal", first=1)
    bare = dict.fromkeys(WHY, "")
    beyond = RulesArtefact(format=V1, signals=(row(**bare | {name: "text"}),))
    with pytest.raises(RuleError, match=rf"signal 1, T1, {name}: format xinliu.rules/1 has none"):
        compiled(beyond, "x", row_word="signal", first=1)
    with pytest.raises(RuleError, match=r"rules x: format xinliu.rules/1 has no case"):
        compiled(RulesArtefact(format=V1, signals=(), case=packaged().case), "x", row_word="signal", first=1)


FINDING = {"id": "f", "name_zh": "一", "name_en": "one", "signals": ["T1"]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"points_milli": {"T1": [5, 4, 9]}}, r"case.points_milli.T1: .* do not ascend: 5, 4, 9"),
        ({"points_milli": {"T1": [-1, 4, 9]}}, r">= 0 - at `\$.case.points_milli\[...\]\[0\]`"),
        ({"points_milli": {"T9": [1, 4, 9]}}, r"case.points_milli.T9: no signal has this id"),
        ({"cutoffs_milli": {"yellow": 1, "orange": 1, "red": 2}}, r"case.cutoffs_milli: .* do not ascend: 1, 1, 2"),
        ({"cutoffs_milli": {"yellow": 1, "orange": 2}}, r"missing required field `red` - at `\$.case.cutoffs_milli`"),
        ({"score": [[500_000, 1], [500_000, 0]]}, r"case.score: what the logit is read at does not ascend: 500000, 50"),
        ({"score": [[500_000, 1], [600_000, 2]]}, r"case.score: logits rise with the score, .*: 1, 2"),
        ({"score": []}, r"length >= 1 - at `\$.case.score`"),
        ({"move": [[n, 0] for n in range(9)]}, r"length <= 8 - at `\$.case.move`"),
        ({"move": [[0, 1], [1, 2]]}, r"case.move: logits rise with the move"),
        ({"findings": [FINDING, FINDING | {"id": "g"}]}, r"case.findings.g: T1 is in finding f already"),
        ({"findings": [FINDING, FINDING]}, r"case.findings.f: the id stands twice"),
        ({"findings": [FINDING | {"signals": ["T9"]}]}, r"case.findings.f: no signal has the id T9"),
        ({"alone": [{"signal": "T9", "from": "red", "level": "red"}]}, r"case.alone.T9: no signal has this id"),
        ({"alone": [{"signal": "T1", "from": "red", "level": "red"}]}, r"T1: alone_red: the signal has no level red"),
        ({"alone": [{"signal": "T1", "from": "pink", "level": "red"}]}, r"'pink' - at `\$.case.alone\[0\].from`"),
        ({"alone": [{"signal": "T1", "from": "yellow", "level": "red"}] * 2}, r"T1: alone_yellow: stands twice"),
        ({"curve": [[9, 0, 0], [8, 0, 0]]}, r"case.curve: numbers of cases do not ascend: 9, 8"),
        ({"curve": [[8, 0, 0], [9, 0, 0, -2, -1, 0]]}, r"case.curve: points are not all of three numbers, or all of"),
        ({"curve": [[8, 0, 0, 1]]}, r"case.curve: points are not all of three numbers, or all of six"),
        ({"curve": [[8, -1, 0]]}, r"case.curve: not a number of cases up to 1000 and two shares in ppm: 8, -1, 0"),
        ({"curve": [[8, 0, 0, -2, -2, 0]]}, r"case.curve: cut-offs yellow, orange, red do not ascend, or are no"),
        ({"curve": [[8, 0, 0, -2, -1, 0], [9, 0, 0, -2, -1, 1]]}, r"case.curve: a cut-off rises with the number"),
        ({"closes_to_ease": 0}, r">= 1 - at `\$.case.closes_to_ease`"),
        ({"colour": 1}, r"unknown field `colour` - at `\$.case`"),
    ],
)
def test_a_mistake_in_an_artefact_is_named_by_its_key(changed, message):
    with pytest.raises(RuleError, match=message):
        rules_of(changed)


def test_a_graver_level_lifts_no_less():
    rows = (row(levels=("op_credit_30d_count > 1", "op_credit_30d_count > 2", "")),)
    rules = [{"signal": "T1", "from": "yellow", "level": "red"}, {"signal": "T1", "from": "orange", "level": "yellow"}]
    table = msgspec.to_builtins(packaged_case_table().table.of_signals(frozenset())) | {"alone": rules}
    artefact = msgspec.convert(msgspec.to_builtins(RulesArtefact(signals=rows)) | {"case": table}, RulesArtefact)
    with pytest.raises(RuleError, match=r"case.alone.T1: a graver level of the signal lifts its case less"):
        compiled(artefact, "x", row_word="signal", first=1)


@pytest.mark.parametrize(
    ("field", "before", "after", "message"),
    [
        ("points", ARREARS, ARREARS.replace(",500", ",x"), r"points.csv line 3, EWS35_arrears, yellow: 'x' is no wh"),
        ("points", ARREARS, ARREARS.replace(",500", ",-5"), r"points.csv line 3, EWS35_arrears, yellow: .*>= 0"),
        ("points", ARREARS, ARREARS.replace(",f,", ",no,"), r"line 3, EWS35_arrears, finding: findings.csv has no no"),
        ("points", ARREARS, ARREARS.replace("e,red", "e,pink"), r"points.csv line 3, EWS35_arrears: .*'pink'"),
        ("points", ARREARS, ARREARS + ",", r"case_points.csv line 3: more or fewer fields"),
        ("points", ARREARS, f"{ARREARS}\n{ARREARS}", r"line 4, EWS35_arrears: the signal has a line already"),
        ("points", "id,finding", "id,fund", r"case_points.csv line 1: no column finding"),
        ("points", "alone_red\n", "alone_red,mood\n", r"case_points.csv line 1: column mood is none of id, finding"),
        ("findings", "f,", "f?,", r"case_points.csv line 2, EWS01_inflow_collapse, finding: findings.csv has no f"),
        ("findings", "name_en\n", "name_en\nlonely,一,one\n", r"findings.csv line 2, lonely: .*length >= 1"),
        ("rest", "intercept_milli = -3", "intercept_milli = -30_001", r"cases.toml: .*at `\$.intercept_milli`"),
        ("rest", "yellow = -1700", "yellow = x", r"cases.toml: Invalid value \(at line"),
        ("rest", "evidence =", "alone = 3\nevidence =", r"cases.toml: alone stands in the CSV files"),
    ],
)
def test_a_mistake_in_a_file_is_named_by_line_and_column(field, before, after, message):
    name, text = getattr(FILES, field)
    assert before in text
    with pytest.raises(ValueError, match=message):
        case_table_of(FILES._replace(**{field: (name, text.replace(before, after, 1))}))


@pytest.mark.parametrize(
    ("field", "before", "after", "message"),
    [
        (
            "points",
            ARREARS,
            ARREARS.replace(",500", ",9500"),
            r"case_points.csv line 3, EWS35_arrears: .*ascend: 9500",
        ),
        ("points", "EWS35_arrears,", "EWS35_arears,", r"case_points.csv line 3, EWS35_arears: no signal has this id"),
        ("rest", "red = 400", "red = -900", r"cases.toml: cutoffs_milli: .* do not ascend: -1700, -700, -900"),
    ],
)
def test_a_table_that_does_not_fit_its_signals_is_named_by_line_too(field, before, after, message):
    name, text = getattr(FILES, field)
    assert before in text
    source = case_table_of(FILES._replace(**{field: (name, text.replace(before, after, 1))}))
    artefact = RulesArtefact(signals=signals(), case=source.table)
    with pytest.raises(RuleError, match=message):
        compiled(artefact, "x", row_word="signals.csv line", first=2, case_place=source.place_of)
