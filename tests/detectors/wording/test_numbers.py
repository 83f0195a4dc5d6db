"""Numbers as people read them: each in the unit of its kind, in both languages, and nothing else per cent."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalogue import indicators
from config.wordings import checks, signal_names, wordings
from detectors.rules.vocabulary import CONTEXT, CONTEXT_TO_COME, FLAGS
from detectors.wording.numbers import KINDS, band_text, band_zh, line_text, reason_text, value_text
from domain.language import LANGS
from features.state.seen import EVENTS

COUNTED = {
    "个月": {"neg_net_op_months_12m_count", "op_inflow_falling_months_count", "op_inflow_below_avg_months_6m_count",
            "months_since_peak_inflow_count", "limit_violation_months_6m_count"},
    "周": {"zero_op_weeks_26w_count"},
    "天": {"near_zero_balance_days_30d_count", "op_credit_days_30d_count"},
    "家": {"active_banks_90d_count", "active_lenders_count", "payers_3m_count", "payees_3m_count",
          "reciprocal_parties_90d_count"},
    "笔": {"returned_debits_30d_count", "txn_30d_count", "op_credit_30d_count", "op_debit_30d_count"},
    "件": {"adverse_gov_12m_count"},
    "次": {"month_end_spike_6m_count", "transit_events_30d_count", "circular_paths_30d_count",
          "overdue_events_12m_count", "new_lender_inflows_90d_count", "shadow_lender_repay_90d_count",
          "tax_social_missed_3m_count"},
}  # fmt: skip
RATIOS = {"share", "change", "fall", "gap", "percentile", "multiple", "number", "index"}
OF_KIND = {kind: sorted(name for name, says in wordings().items() if says.kind == kind) for kind in KINDS}
NUMBERS = sorted(name for names in OF_KIND.values() for name in names if name not in FLAGS)
values = st.floats(-1e9, 1e9, allow_nan=False)


def test_everything_that_has_a_name_has_a_row() -> None:
    assert set(wordings()) == {*indicators(), *CONTEXT, *CONTEXT_TO_COME, *EVENTS}
    assert {says.kind for says in wordings().values()} == {*KINDS, "event"}
    assert {name for name, says in wordings().items() if says.kind == "event"} == set(EVENTS)
    for name, row in indicators().items():
        assert wordings()[name].kind in (RATIOS if row.unit == "ratio" else {row.unit}), name
    for says in wordings().values():
        assert re.search("[\u4e00-\u9fff]", says.name.zh)
        assert says.name.en.isascii()
    assert set(checks()) == set(signal_names())


def test_a_number_at_the_cap_of_its_formula_is_worded_as_a_cap() -> None:
    capped = {name: says.most for name, says in wordings().items() if says.most is not None}
    assert capped == {
        "runway_30d_days": 365, "payer_tenure_wavg_days": 730, "payee_tenure_wavg_days": 730,
        "net_outflow_run_days": 35, "op_inflow_falling_months_count": 11,
    }  # fmt: skip
    assert [value_text("runway_30d_days", x, "zh") for x in (364.9, 365.0)] == ["364.9天", "365天以上"]
    assert value_text("runway_30d_days", 365.0, "en") == "365 days or more"


def test_every_count_of_the_catalogue_stands_here() -> None:
    assert set().union(*COUNTED.values()) == {name for name, row in indicators().items() if row.unit == "count"}


@pytest.mark.parametrize(("word", "name"), [(word, name) for word, names in COUNTED.items() for name in sorted(names)])
def test_a_count_has_its_measure_word(word: str, name: str) -> None:
    assert value_text(name, 3.0, "zh") == f"3{word}"
    assert value_text(name, 3.0, "en") == "3"


@given(st.sampled_from(OF_KIND["multiple"]), values)
def test_a_multiple_never_carries_per_cent(name: str, value: float) -> None:
    said = [value_text(name, value, lang) for lang in LANGS] + [line_text(name, value, lang) for lang in LANGS]
    assert not any("%" in text for text in said)
    assert said[0].endswith("倍")
    assert said[1].endswith("x")
    assert said[0].startswith("-") <= (value < 0)


@given(st.sampled_from(NUMBERS), values)
def test_only_shares_and_changes_are_per_cent(name: str, value: float) -> None:
    kind = wordings()[name].kind
    for lang in LANGS:
        said = value_text(name, value, lang)
        assert ("%" in said) <= (kind in ("share", "change", "fall")), said
        assert "-0" not in re.sub(r"-0\.\d*[1-9]", "", said), "nothing is minus nought"


@given(
    st.sampled_from(sorted({*OF_KIND["change"], *OF_KIND["fall"], *OF_KIND["gap"], *OF_KIND["points_change"]})), values
)
def test_a_change_says_its_direction_and_no_sign(name: str, value: float) -> None:
    zh, en = (value_text(name, value, lang) for lang in LANGS)
    assert not re.search(r"[-+]", zh + en)
    down = (value > 0) if wordings()[name].kind == "fall" else (value < 0)
    if zh == "持平":
        assert en == "unchanged"
        assert abs(value) < 0.51
        return
    assert zh.startswith(("降", "低") if down else ("增", "升", "高"))
    assert en.startswith("down ") or en.endswith("lower") if down else en.startswith("up ") or en.endswith("higher")


@pytest.mark.parametrize(
    ("name", "value", "zh", "en"),
    [
        ("dscr_12m_ratio", -1.523, "-1.52倍", "-1.52x"),
        ("weekly_inflow_cv_13w_ratio", 1.234, "1.23", "1.23"),
        ("payer_hhi_90d_ratio", 0.4123, "0.41", "0.41"),
        ("debt_service_to_op_inflow_90d_ratio", 0.938, "93.8%", "93.8%"),
        ("op_inflow_30d_vs_prior90d_ratio", -0.57, "降57%", "down 57%"),
        ("op_inflow_30d_vs_prior90d_ratio", 0.572, "增57.2%", "up 57.2%"),
        ("op_inflow_30d_vs_prior90d_ratio", -0.0001, "持平", "unchanged"),
        ("bal_drop_from_peak_6m_ratio", 0.95, "降95%", "down 95%"),
        ("bal_drop_from_peak_6m_ratio", -0.1, "增10%", "up 10%"),
        ("growth_vs_peer_13w_ratio", -0.123, "低12.3个百分点", "12.3 percentage points lower"),
        ("op_inflow_peer_pctl_12m_ratio", 0.35, "第35百分位", "percentile 35"),
        ("op_inflow_30d_cny", 715_000.0, "71.5万元", "CNY 715,000"),
        ("op_inflow_30d_cny", 450.4, "450元", "CNY 450"),
        ("op_inflow_30d_cny", 0.0, "0元", "CNY 0"),
        ("op_inflow_12m_cny", 123_456_789.0, "1.23亿元", "CNY 123,456,789"),
        ("net_op_flow_30d_cny", -12_345.0, "-1.2万元", "-CNY 12,345"),
        ("op_inflow_90d_cny_per_day", 23_456.0, "日均2.3万元", "CNY 23,456 a day"),
        ("runway_30d_days", 5.9, "5.9天", "5.9 days"),
        ("runway_30d_days", 7.0, "7天", "7 days"),
        ("dpd_max_days", 1.0, "1天", "1 day"),
        ("judicial_freeze_active_flag", 1.0, "生效中", "in force"),
        ("score.delta_30d", -63.0, "降63分", "down 63 points"),
        ("op_gap_z_score", 2.5, "2.50", "2.50"),
        ("of_another_engine", 2.5, "2.5", "2.5"),
        ("dscr_12m_ratio", None, "不可计算", "not computable"),
    ],
)
def test_numbers_in_words(name: str, value: float | None, zh: str, en: str) -> None:
    assert (value_text(name, value, "zh"), value_text(name, value, "en")) == (zh, en)


def test_a_value_near_a_line_gets_enough_decimals_to_differ() -> None:
    assert value_text("runway_30d_days", 14.96, "zh") == "15天"
    assert value_text("runway_30d_days", 14.96, "zh", beside=[15.0]) == "14.96天"
    assert value_text("op_inflow_30d_vs_prior90d_ratio", -0.49996, "en", beside=[-0.3, -0.5]) == "down 49.996%"
    assert value_text("op_inflow_30d_vs_prior90d_ratio", -0.5, "en", beside=[-0.3, -0.5]) == "down 50%"


@pytest.mark.parametrize(
    ("name", "line", "zh", "en"),
    [
        ("op_inflow_30d_vs_prior90d_ratio", -0.5, "降50%", "down 50%"),
        ("adb_to_debt_ratio", 0.0005, "0.05%", "0.05%"),
        ("bal_to_next_instalment_ratio", 1.2, "1.2倍", "1.2x"),
        ("days_since_op_credit_days", 15.0, "15天", "15 days"),
        ("returned_debits_30d_count", 2.0, "2笔", "2"),
    ],
)
def test_a_line_has_the_decimals_that_it_needs(name: str, line: float, zh: str, en: str) -> None:
    assert (line_text(name, line, "zh"), line_text(name, line, "en")) == (zh, en)


def test_a_band_hides_the_amount_and_says_the_same_in_english() -> None:
    for amount, en in ((1, "under CNY 500,000"), (7e5, "CNY 500,000–2,000,000"), (-3e6, "CNY 2,000,000–5,000,000"),
                       (9e6, "over CNY 5,000,000")):  # fmt: skip
        band = band_zh("op_inflow_30d_cny", amount)
        assert band is not None
        assert (band_text("op_inflow_30d_cny", band, "zh"), band_text("op_inflow_30d_cny", band, "en")) == (band, en)
    assert band_zh("op_inflow_30d_cny", None) is None
    assert band_text("of_another_engine", "50万元以下", "en") == "50万元以下"


@pytest.mark.parametrize(
    ("name", "value", "zh", "en"),
    [
        ("runway_30d_days", -0.1, "负值", "negative"),
        ("runway_30d_days", 7.0, "7–30天", "7–30 days"),
        ("op_credit_30d_count", 4.0, "不足5笔", "fewer than 5"),
        ("payers_3m_count", 100.0, "100家以上", "100 or more"),
        ("op_inflow_30d_vs_prior90d_ratio", -0.57, "降50%–75%", "down 50%–75%"),
        ("bal_drop_from_peak_6m_ratio", 0.95, "降75%以上", "down 75% or more"),
        ("bal_to_next_instalment_ratio", 0.49, "不足0.5倍", "under 0.5x"),
        ("debt_service_to_op_inflow_90d_ratio", 0.938, "75%–100%", "75%–100%"),
        ("judicial_freeze_active_flag", 1.0, None, None),
        ("score.points", 499.0, None, None),
    ],
)
def test_every_unit_has_bands_but_what_is_public(name: str, value: float, zh: str | None, en: str | None) -> None:
    assert band_zh(name, value) == zh
    assert zh is None or band_text(name, zh, "en") == en


def test_a_reason_of_a_score_says_why_there_is_no_value() -> None:
    zh, en = (
        reason_text("op_inflow_30d_cny", None, 5e5, lang, why=why) for lang, why in (("zh", "历史不足"), ("en", ""))
    )
    assert zh == "近30日经营流入额不可计算（历史不足），同业中位50万元"
    assert en == "Operating inflow, 30 days: not computable, peer median CNY 500,000"
