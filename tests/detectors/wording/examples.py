"""Examples of every evaluated signal in every state with their sentences: the golden file `examples.jsonl`.

After an intended change of sentences: `python -m tests.detectors.wording.examples >
tests/detectors/wording/examples.jsonl`.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache

import msgspec

from config.case_table import packaged_case_table
from config.catalogue import signals
from detectors.rules.conditions import Signal, parse_row, waits_for
from detectors.rules.grammar import timers
from detectors.wording.alerts import sentence
from detectors.wording.case import desk_of
from detectors.wording.numbers import band_zh
from detectors.wording.revision import elsewhere_id
from domain.calendar import DAY_MS, day_start_ms
from domain.language import LANGS
from domain.outputs import Alert, CaseLine, DataDate, Evidence, LoanOfAlert, Severity

OPENED_DAY, TODAY = 20_100, 20_200  # 2025-01-12 and 2025-04-22
BANK = "C1010211000012"
Numbers = Mapping[str, float | None]

# Of each signal the numbers with which its levels are true, and those with which none is although it has not cleared.
TRUE: Mapping[str, Mapping[Severity, Numbers]] = {
    "EWS01_inflow_collapse": {
        "yellow": {
            "op_inflow_30d_cny": 715_000.0, "op_inflow_30d_vs_prior90d_ratio": -0.57,
            "op_inflow_13w_vs_prior13w_ratio": -0.21, "ctx.inflow_vs_low_month_ratio": -0.33,
        },
        "orange": {
            "op_inflow_30d_cny": 334_000.0, "op_inflow_30d_vs_prior90d_ratio": -0.4,
            "op_inflow_13w_vs_prior13w_ratio": -0.62, "ctx.inflow_vs_low_month_ratio": -0.68,
        },
    },
    "EWS02_yoy_same_season_drop": {
        "yellow": {"op_inflow_yoy_2m_ratio": -0.905, "op_inflow_13w_vs_prior13w_ratio": -0.44}
    },
    "EWS03_three_falling_months": {
        "yellow": {
            "op_inflow_falling_months_count": 3.0, "op_inflow_13w_vs_prior13w_ratio": -0.27,
            "op_inflow_6m_vs_prior6m_ratio": -0.18,
        },
        "orange": {
            "op_inflow_falling_months_count": 2.0, "op_inflow_13w_vs_prior13w_ratio": -0.41,
            "op_inflow_6m_vs_prior6m_ratio": -0.66,
        },
    },
    "EWS04_no_operating_credit": {
        "yellow": {"days_since_op_credit_days": 15.0, "ctx.inflow_vs_low_month_ratio": -0.52},
        "orange": {"days_since_op_credit_days": 45.25, "ctx.inflow_vs_low_month_ratio": -1.0},
    },
    "EWS05_sales_not_routed": {"yellow": {"sales_routed_12m_ratio": 0.449, "op_inflow_12m_cny": 123_456_789.0}},
    "EWS06_credit_count_fall": {
        "yellow": {
            "op_credit_count_60d_vs_prior60d_ratio": -0.501, "op_credit_30d_count": 9.0,
            "ctx.inflow_vs_low_month_ratio": -0.12,
        }
    },
    "EWS10_short_runway": {
        "yellow": {"runway_30d_days": 5.9, "score.points": 544.0},
        "orange": {"runway_30d_days": 2.96, "score.points": 487.0},
    },
    "EWS11_instalment_not_covered": {
        "yellow": {
            "next_instalment_days": 1.9, "bal_to_next_instalment_ratio": 0.4996, "runway_30d_days": 6.2,
            "dpd_max_days": 0.0,
        }
    },
    "EWS15_inflow_cv_jump": {
        "yellow": {"weekly_inflow_cv_13w_ratio": 0.645, "weekly_inflow_cv_13w_vs_prior13w_ratio": 1.922}
    },
    "EWS20_payer_concentration": {
        "yellow": {
            "payer_top1_share_90d_ratio": 0.72, "payer_top5_share_90d_ratio": 0.87, "payer_hhi_90d_ratio": 0.5123,
        }
    },
    "EWS21_top_payer_lost": {
        "yellow": {
            "top3_payer_silence_max_days": 109.4, "ctx.inflow_vs_low_month_ratio": -0.44,
            "payer_top1_share_90d_ratio": 0.207,
        }
    },
    "EWS24_non_operating_inflow": {"yellow": {"non_op_inflow_share_90d_ratio": 0.71}},
    "EWS26_corp_to_personal": {
        "yellow": {"corp_to_personal_share_30d_ratio": 0.41, "op_inflow_13w_vs_prior13w_ratio": -0.3}
    },
    "EWS28_returned_debits": {"orange": {"returned_debits_30d_count": 2.0}},
    "EWS34_debt_service_burden": {
        "yellow": {"debt_service_to_op_inflow_90d_ratio": 0.62, "dscr_12m_ratio": None},
        "orange": {"debt_service_to_op_inflow_90d_ratio": 0.938, "dscr_12m_ratio": -1.523},
    },
    "EWS35_arrears": {
        "yellow": {"dpd_max_days": 0.0, "bal_to_next_instalment_ratio": 2.5},  # by interest overdue
        "orange": {"dpd_max_days": 8.0, "bal_to_next_instalment_ratio": 0.15},
        "red": {"dpd_max_days": 31.0, "bal_to_next_instalment_ratio": None},
    },
    "EWS40_cash_withdrawal": {
        "yellow": {"cash_withdrawal_share_30d_ratio": 0.24, "corp_to_personal_share_30d_ratio": 0.05}
    },
    "EWS45_judicial_freeze": {"red": {"judicial_freeze_active_flag": 1.0}},
    "EWS47_score_drop": {"yellow": {"score.points": 487.0, "score.delta_30d": -31.0, "score.coverage": 0.83}},
    "EWS48_adverse_gov_event": {
        "yellow": {"judicial_freeze_active_flag": 0.0},
        "orange": {"judicial_freeze_active_flag": 0.0},
        "red": {"judicial_freeze_active_flag": 1.0},
    },
    "EWS50_guarantee_called": {"red": {"dpd_max_days": 0.0}},
}  # fmt: skip
FALSE: Mapping[str, Numbers] = {
    "EWS01_inflow_collapse": {
        "op_inflow_30d_cny": 2_000_000.0, "op_inflow_30d_vs_prior90d_ratio": 0.572,
        "op_inflow_13w_vs_prior13w_ratio": -0.1, "ctx.inflow_vs_low_month_ratio": 0.11,
    },
    "EWS02_yoy_same_season_drop": {"op_inflow_yoy_2m_ratio": 0.0, "op_inflow_13w_vs_prior13w_ratio": 0.02},
    "EWS03_three_falling_months": {
        "op_inflow_falling_months_count": 2.0, "op_inflow_13w_vs_prior13w_ratio": 0.07,
        "op_inflow_6m_vs_prior6m_ratio": -0.45,
    },
    "EWS04_no_operating_credit": {"days_since_op_credit_days": 0.5, "ctx.inflow_vs_low_month_ratio": -0.7},
    "EWS05_sales_not_routed": {"sales_routed_12m_ratio": 0.55, "op_inflow_12m_cny": 9_876_543.0},
    "EWS06_credit_count_fall": {
        "op_credit_count_60d_vs_prior60d_ratio": 0.04, "op_credit_30d_count": 41.0,
        "ctx.inflow_vs_low_month_ratio": 0.4,
    },
    "EWS10_short_runway": {"runway_30d_days": 365.0, "score.points": 530.0},
    "EWS11_instalment_not_covered": {
        "next_instalment_days": 5.0, "bal_to_next_instalment_ratio": 1.1, "runway_30d_days": 19.0, "dpd_max_days": 0.0,
    },
    "EWS15_inflow_cv_jump": {"weekly_inflow_cv_13w_ratio": 0.554, "weekly_inflow_cv_13w_vs_prior13w_ratio": 0.491},
    "EWS20_payer_concentration": {
        "payer_top1_share_90d_ratio": 0.184, "payer_top5_share_90d_ratio": 0.775, "payer_hhi_90d_ratio": 0.147,
    },
    "EWS21_top_payer_lost": {
        "top3_payer_silence_max_days": 3.0, "ctx.inflow_vs_low_month_ratio": 0.2, "payer_top1_share_90d_ratio": 0.3,
    },
    "EWS24_non_operating_inflow": {"non_op_inflow_share_90d_ratio": 0.46},
    "EWS26_corp_to_personal": {
        "corp_to_personal_share_30d_ratio": 0.39999, "op_inflow_13w_vs_prior13w_ratio": -0.3,
    },
    "EWS28_returned_debits": {"returned_debits_30d_count": 1.0},
    "EWS34_debt_service_burden": {"debt_service_to_op_inflow_90d_ratio": 0.258, "dscr_12m_ratio": 1.2},
    "EWS35_arrears": {"dpd_max_days": 0.0, "bal_to_next_instalment_ratio": 3.0},
    "EWS40_cash_withdrawal": {"cash_withdrawal_share_30d_ratio": 0.15, "corp_to_personal_share_30d_ratio": 0.05},
    "EWS45_judicial_freeze": {"judicial_freeze_active_flag": 0.0},
    "EWS47_score_drop": {"score.points": 540.0, "score.delta_30d": 12.0, "score.coverage": 0.83},
    "EWS48_adverse_gov_event": {"judicial_freeze_active_flag": 0.0},
    "EWS50_guarantee_called": {"dpd_max_days": 0.0},
}  # fmt: skip
# And those with which it has cleared, where they differ from them.
CLEARED: Mapping[str, Numbers] = {
    "EWS03_three_falling_months": {
        "op_inflow_falling_months_count": 0.0, "op_inflow_13w_vs_prior13w_ratio": -0.31,
        "op_inflow_6m_vs_prior6m_ratio": -0.12,
    },
    "EWS05_sales_not_routed": {"sales_routed_12m_ratio": 0.62, "op_inflow_12m_cny": 9_876_543.0},
    "EWS11_instalment_not_covered": {
        "next_instalment_days": 2.0, "bal_to_next_instalment_ratio": 1.3, "runway_30d_days": 9.0, "dpd_max_days": 0.0,
    },
    "EWS24_non_operating_inflow": {"non_op_inflow_share_90d_ratio": 0.41},
    "EWS26_corp_to_personal": {
        "corp_to_personal_share_30d_ratio": 0.11, "op_inflow_13w_vs_prior13w_ratio": -0.3,
    },
    "EWS28_returned_debits": {"returned_debits_30d_count": 0.0},
    "EWS40_cash_withdrawal": {"cash_withdrawal_share_30d_ratio": 0.08, "corp_to_personal_share_30d_ratio": 0.05},
}  # fmt: skip


@cache
def evaluated() -> dict[str, Signal]:
    """The packaged signals that this engine can evaluate, by id: those that ship disabled too."""
    parsed = [parse_row(row, "signals.csv") for row in signals()]
    return {signal.row.id: signal for signal in parsed if not waits_for(signal)}


def revision(signal_id: str, severity: Severity, numbers: Numbers, **fields: object) -> Alert:
    """One revision to the supervisor, of an episode that opened on OPENED_DAY, as of the close of TODAY."""
    whole = Alert(
        alert_id="a", episode_id="a", case_id="c", case_severity=severity, revision=1, enterprise_id="E1",
        signal=signal_id, severity=severity, state="raised", stock=False, opened_at=day_start_ms(OPENED_DAY + 1),
        as_of=day_start_ms(TODAY + 1), score=487, score_before=512, event_ids=[], loans=[], banks=[BANK], title_zh="",
        text_zh="", suggested_action_zh="", model_id="m", rules_id="r", offset=0, seq=0,
        evidence=[
            Evidence(name=name, value_micro=None if x is None else round(x * 1e6)) for name, x in numbers.items()
        ],
    )  # fmt: skip
    return msgspec.structs.replace(whole, **fields)


def cases() -> Iterator[tuple[str, Alert]]:
    """Yield (name, revision) of every evaluated signal in every state."""
    for name in evaluated():
        levels, none = TRUE[name], FALSE[name]
        mild, grave = next(iter(levels)), next(reversed(levels))
        for severity, numbers in levels.items():
            yield "opened", revision(name, severity, numbers)
        if mild != grave:
            yield "graver", revision(name, grave, levels[grave], state="upgraded", revision=2)
            yield "eased", revision(name, mild, levels[mild], state="downgraded", revision=3, score=510)
            yield "held at its level", revision(name, grave, levels[mild], stock=True, revision=3)
        yield "opening list", revision(name, grave, levels[grave], stock=True, revision=2, score_before=486)
        yield "held by hysteresis", revision(name, grave, none, stock=True, revision=2, score=512)
        closes = timers(evaluated()[name].hysteresis)[0].closes * 9 // 14
        clear = CLEARED.get(name, none)
        yield (
            "held, and its closes counted",
            revision(name, grave, clear, stock=True, revision=2, score=512, clear_closes=closes),
        )
        yield "stale", revision(name, grave, levels[grave], state="stale", reason="feed.stalled", revision=2)
        yield (
            "cleared",
            revision(name, grave, CLEARED.get(name, none), state="cleared", revision=5, score=530, score_before=529),
        )
        yield (
            "delivery ends",
            revision(name, grave, {}, state="closed", reason="authorization", revision=6),
        )
        yield "retracted", revision(name, grave, levels[grave], state="retracted", reason="reversed", revision=2)
        yield "case opened", of_a_case(name, mild, levels[mild], case_state="opened", case_severity="yellow")
        yield "case graver", of_a_case(name, grave, levels[grave], case_state="graver", case_severity="red", others=3)
        yield (
            "case eased",
            of_a_case(
                name, grave, CLEARED.get(name, none), state="cleared", revision=5, score=530, case_state="eased",
                case_severity="yellow", case_severity_before="red", others=1, own=False,
            ),
        )  # fmt: skip
        yield (
            "case resolved",
            of_a_case(
                name, grave, CLEARED.get(name, none), state="cleared", revision=5, score=530, case_state="resolved",
                case_severity="yellow", case_severity_before="yellow", case_pd_12m_ppm=4_000, own=False,
            ),
        )  # fmt: skip
    yield from _of_instalments()
    yield from _once()


OTHERS: tuple[tuple[str, Severity], ...] = (
    ("EWS35_arrears", "orange"), ("EWS10_short_runway", "yellow"), ("EWS34_debt_service_burden", "orange"),
    ("EWS48_adverse_gov_event", "yellow"), ("EWS20_payer_concentration", "yellow"),
)  # fmt: skip
TABLE = packaged_case_table().table
FINDING_OF = {signal_id: finding.id for finding in TABLE.findings for signal_id in finding.signals}


LOAN = LoanOfAlert(
    loan_id="L1", outstanding_minor=30_000_000, dpd=None, next_due_on="2025-05-15", next_due_minor=12_600_000
)


def of_a_case(
    name: str,
    severity: Severity,
    numbers: Numbers,
    *,
    others: int = 0,
    own: bool = True,
    waiting: int = 0,
    **fields: object,
) -> Alert:
    """A revision that has moved its bank's case, with the lines of `others` signals and, where `own`, of its own.

    waiting: so many lines, from the first on, only wait for their hysteresis.
    """
    opened_at = {"opened_at": day_start_ms(TODAY + 1)} if fields.get("revision", 1) == 1 else {}
    alert = revision(name, severity, numbers, case_pd_12m_ppm=82_345, case_severity_before=None, **opened_at)
    alert = msgspec.structs.replace(alert, loans=[LOAN])
    lines = [(name, severity)] if own else []
    lines += [line for line in OTHERS if line[0] != name][:others]
    case_lines = [
        CaseLine(name=each, finding=FINDING_OF.get(each, ""), severity=level, opened_at=alert.opened_at - i * DAY_MS,
                 stale=i == 2, points_milli=3_000 - i, waits=True if i < waiting else msgspec.UNSET)
        for i, (each, level) in enumerate(lines)
    ]  # fmt: skip
    case_lines.append(
        CaseLine(name="score.points", finding="", severity=None, opened_at=None, stale=False, points_milli=900)
    )
    moved = {"case_severity_before": "yellow"} if fields.get("case_state") == "graver" else {}
    return msgspec.structs.replace(alert, case_lines=case_lines, **moved | fields)


def _of_instalments() -> Iterator[tuple[str, Alert]]:
    """Outcomes of an instalment, by what is known; and of arrears."""
    name = "EWS11_instalment_not_covered"
    after = {"next_instalment_days": 28.5, "bal_to_next_instalment_ratio": 0.3, "runway_30d_days": 9.0,
             "dpd_max_days": 0.0}  # fmt: skip
    funded = after | {"next_instalment_days": 2.0, "bal_to_next_instalment_ratio": 1.3}
    over = {"state": "cleared", "revision": 2}
    lately = {"opened_at": day_start_ms(TODAY - 1)}
    yield "collected", revision(name, "yellow", after, **over, **lately)
    yield "not reported", revision(name, "yellow", after, **over)
    yield "funded", revision(name, "yellow", funded, **over, **lately)
    yield "past due", revision(name, "yellow", after | {"dpd_max_days": 1.0}, **over, **lately)
    yield "date passed", revision(name, "yellow", after, stock=True, revision=2, **lately)
    yield "due today", revision(name, "yellow", TRUE[name]["yellow"] | {"next_instalment_days": 0.0})
    orange = {"case_severity": "orange"}
    yield "in a graver case", revision(name, "yellow", TRUE[name]["yellow"], **orange)
    yield "repaid", revision("EWS35_arrears", "red", {"dpd_max_days": 0.0}, stock=True, revision=4)
    eased = {"revision": 4, "case_state": "eased", "case_severity_before": "red"}
    repaid = {"dpd_max_days": 0.0}
    yield "repaid", of_a_case("EWS35_arrears", "red", repaid, waiting=1, case_severity="orange", **eased)
    yield (
        "repaid, another waits",
        of_a_case("EWS35_arrears", "red", repaid, others=1, waiting=2, case_severity="orange", **eased),
    )
    yield (
        "repaid, another stands",
        of_a_case("EWS35_arrears", "red", repaid, others=2, waiting=1, case_severity="orange", **eased),
    )
    yield "by the score", of_a_case("EWS35_arrears", "orange", repaid, others=1, waiting=1, revision=5,
                                    case_state="graver", case_severity="orange")  # fmt: skip
    freeze = {"judicial_freeze_active_flag": 0.0}
    for waiting in (1, 0):
        yield "as its case tells", of_a_case("EWS45_judicial_freeze", "red", freeze, waiting=waiting, stock=True,
                                             revision=5, case_severity="red")  # fmt: skip
    yield "corrected", of_a_case(
        "EWS45_judicial_freeze", "red", {}, state="retracted", reason="reversed", own=False, others=1,
        case_severity="orange", **eased,
    )  # fmt: skip
    yield "past due, by another signal", of_a_case(
        name, "yellow", funded, state="cleared", own=False, others=1, revision=2, case_state="graver",
        case_severity="red",
    )  # fmt: skip


def _once() -> Iterator[tuple[str, Alert]]:
    """States and readers that say the same of every signal."""
    collapse, arrears = "EWS01_inflow_collapse", "EWS35_arrears"
    numbers = TRUE[collapse]["orange"]
    steep = numbers | {"op_inflow_30d_vs_prior90d_ratio": -0.57}
    yield "a lower level is true too", revision(collapse, "orange", steep)
    yield "held at its level", revision(arrears, "red", {"dpd_max_days": 8.0}, stock=True, revision=3)
    yield "opening list", revision(arrears, "yellow", {"dpd_max_days": 1.0}, stock=True, revision=2)
    yield "by its other term", revision("EWS45_judicial_freeze", "red", {"judicial_freeze_active_flag": 0.0})
    yield "by its other term", revision(
        "EWS20_payer_concentration", "yellow",
        {"payer_top1_share_90d_ratio": 0.31, "payer_top5_share_90d_ratio": 0.97, "payer_hhi_90d_ratio": 0.21},
    )  # fmt: skip
    yield "overdue beside it", revision("EWS50_guarantee_called", "red", {"dpd_max_days": 45.0})
    overdrawn = TRUE["EWS11_instalment_not_covered"]["yellow"] | {"bal_to_next_instalment_ratio": -0.15}
    yield "overdrawn", revision("EWS11_instalment_not_covered", "yellow", overdrawn)
    yield "overdrawn", revision("EWS10_short_runway", "orange", {"runway_30d_days": -3.2, "score.points": 487.0})
    yield "in a graver case", revision("EWS11_instalment_not_covered", "yellow", overdrawn, case_severity="red")
    yield "stale", revision(
        "EWS11_instalment_not_covered", "yellow", overdrawn | {"dpd_max_days": 2.0}, state="stale",
        reason="dpd_max_days > 0", revision=2,
    )  # fmt: skip
    recovered = {"op_inflow_falling_months_count": 0.0, "op_inflow_13w_vs_prior13w_ratio": 0.04,
                 "op_inflow_6m_vs_prior6m_ratio": -0.45}  # fmt: skip
    yield (
        "stale",
        revision("EWS03_three_falling_months", "orange", recovered, state="stale", reason="feed.stalled", revision=2),
    )
    stalled = {"data_dates": [DataDate(bank_id=BANK, newest_on="2025-04-19", stalled=True)]}
    for to in ({}, {"loans": [LOAN]}):
        yield "stale", revision(collapse, "orange", numbers, state="stale", reason="feed.stalled", revision=2,
                                **stalled, **to)  # fmt: skip
    yield "raised again", revision(collapse, "orange", numbers, reason="recurred", revision=6)
    yield "resumed", revision(collapse, "orange", numbers, revision=3)
    for reason in ("returned", "late", "corrected"):
        yield "retracted", revision(collapse, "orange", numbers, state="retracted", reason=reason, revision=6)
    yield "no case", revision("EWS20_payer_concentration", "yellow", TRUE["EWS20_payer_concentration"]["yellow"],
                              case_severity=None)  # fmt: skip
    yield "held by hysteresis", revision(collapse, "orange", FALSE[collapse], revision=4)
    yield "delivery ends", revision(collapse, "orange", {}, state="closed", reason="loan_closed", revision=6)
    yield "not in the rules", revision(collapse, "red", {}, state="ended", reason="not_in_rules", revision=6)
    yield "not applicable", revision(collapse, "red", {}, state="ended", reason="not_applicable", revision=6)
    yield "listed while stale", revision(collapse, "red", numbers, state="stale", stock=True, revision=2)
    for reason in ("history", "not_computable", "suppressed", "(feed.stalled) and (not (feed.gov_connected))",
                   "seen(loan.drawn, d=30)", "(calendar.spring_festival_window) and (days_since_op_credit_days < 30)",
                   "of another engine"):  # fmt: skip
        yield "stale", revision(collapse, "red", numbers, state="stale", reason=reason, revision=2)
    yield (
        "opened the year before",
        revision(collapse, "red", numbers, state="stale", reason="history", opened_at=day_start_ms(19_900)),
    )
    yield "listed on its own day", revision(collapse, "orange", numbers, stock=True, opened_at=day_start_ms(TODAY) + 1)
    yield "in a graver case", revision(collapse, "orange", numbers, case_severity="red")
    banded = [Evidence(name="op_inflow_30d_cny", value_micro=None, band="50–200万元"), Evidence(
        name="op_inflow_30d_vs_prior90d_ratio", value_micro=-570_000)]  # fmt: skip
    loans = [LoanOfAlert(loan_id="L1", outstanding_minor=30_000_000, dpd=None),
             LoanOfAlert(loan_id="L2", outstanding_minor=5_000_050, dpd=12)]  # fmt: skip
    yield "to a bank", revision(collapse, "orange", {}, evidence=banded, loans=loans)
    for name, by_level in TRUE.items():
        for severity, true in by_level.items():
            yield "in bands", revision(name, severity, {}, evidence=[in_band(*each) for each in true.items()])
        yield "in bands", revision(name, severity, {}, evidence=[in_band(*each) for each in true.items()], stock=True)
    for score, dpd in ((499, 31), (449, 91), (449, 31)):
        yield (
            "capped" if (score, dpd) != (449, 31) else "not capped",
            revision(arrears, "red", {"dpd_max_days": float(dpd)}, score=score),
        )
    notice = {"alert_id": elsewhere_id("E1", arrears, BANK), "evidence": [], "score_before": None}
    for state in ("raised", "cleared", "closed"):
        yield "notice", revision(arrears, "yellow", {}, state=state, **notice)
    yield "notice", revision(arrears, "yellow", {}, case_severity="red", **notice)
    yield "provisional", revision(collapse, "orange", numbers, provisional_calendar=True)
    yield "by the score", of_a_case(collapse, "orange", numbers, revision=3, case_state="graver", case_severity="red",
                                    others=4)  # fmt: skip
    yield "cured", of_a_case(
        collapse, "orange", FALSE[collapse], waiting=1, revision=4, case_state="eased", case_severity="yellow",
        case_severity_before="orange",
    )  # fmt: skip
    yield "by the score", of_a_case(
        collapse, "orange", FALSE[collapse], waiting=1, revision=4, case_state="resolved", case_severity="yellow",
        case_severity_before="yellow", case_pd_12m_ppm=400,
    )  # fmt: skip
    yield "of rules that are lost", revision("T1", "red", {"op_credit_30d_count": 4.0, "of_another_engine": 1.5})


def in_band(name: str, value: float | None) -> Evidence:
    """A number as a bank gets it that may not see it; as it is where its kind has no bands."""
    band = band_zh(name, value)
    shown = None if value is None or band is not None else round(value * 1e6)
    return Evidence(name=name, value_micro=shown, band=band)


def said() -> Iterator[str]:
    """The lines of the golden file."""
    for what, alert in cases():
        line: dict[str, object] = {"case": what, "signal": alert.signal}
        for lang in LANGS:
            one = sentence(alert, evaluated().get(alert.signal), lang, desk=desk_of(TABLE))
            line[lang] = [one.title, one.text, one.action]
        yield json.dumps(line, ensure_ascii=False)


if __name__ == "__main__":
    for each in said():
        print(each)
