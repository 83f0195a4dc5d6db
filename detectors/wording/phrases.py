"""Fixed words of alerts in both languages, and templates that `alerts.py` fills in."""

from collections.abc import Mapping

from domain.language import Words
from domain.outputs import Severity

SEVERITIES: Mapping[Severity, Words] = {
    "yellow": Words("黄色", "yellow"), "orange": Words("橙色", "orange"), "red": Words("红色", "red"),
}  # fmt: skip
LINES: Mapping[Severity, Words] = {
    "yellow": Words("黄线", "yellow line"), "orange": Words("橙线", "orange line"), "red": Words("红线", "red line"),
}  # fmt: skip
# What a revision says of its episode (revision.phase).
PHASES: Mapping[str, Words] = {
    "new": Words("新增", "raised"),
    "again": Words("再次触发", "raised again"),
    "graver": Words("升级", "upgraded"),
    "eased": Words("降级", "downgraded"),
    "resumed": Words("恢复判断", "resumed"),
    "listed": Words("存量", "opening list"),
    "open": Words("未解除", "open"),  # no revision: the episode as it stands now
    "stale": Words("暂缓判断", "on hold"),
    "listed_stale": Words("存量，暂缓判断", "opening list, on hold"),
    "cleared": Words("解除", "cleared"),
    "not_applicable": Words("终止", "ended"),
    "not_in_rules": Words("规则停用", "rule withdrawn"),
    "ended": Words("终止", "ended"),
    "retracted": Words("撤回", "retracted"),
    "closed": Words("停止推送", "delivery ends"),
}
PENDING = Words("待解除", "not yet cleared")  # of an episode that its hysteresis keeps open
# How the text of an episode that is not new begins.
OPENED = Words("{}首发", "first raised {}")
STANDS: Mapping[str, Words] = {
    "listed": Words("非今日新发", "not new today"),
    "listed_stale": Words("非今日新发", "not new today"),
    "again": Words("结束后再次触发", "raised again after it had ended"),
    "cleared": Words("解除条件已满足", "what clears it now holds"),
}
NOT_NEW = ("listed", "listed_stale")  # which say so only of an episode of an earlier day
BECAUSE: Mapping[str, Words] = {
    "stale": Words("{}，暂缓判断", "on hold: {}"),
    "listed_stale": Words("{}，暂缓判断", "on hold: {}"),
    "not_applicable": Words("{}，预警终止", "ended: {}"),
    "not_in_rules": Words("{}，预警终止", "ended: {}"),
    "ended": Words("{}，预警终止", "ended: {}"),
    "retracted": Words("{}，预警撤回", "withdrawn: {}"),
    "closed": Words("{}，停止推送", "delivery ends: {}"),
}
# How the condition of an open episode stands: {0} is its level, {1} what clears it, {2} what its evidence leaves open.
STANDINGS: Mapping[str, Words] = {
    "true": Words("触发条件仍成立", "its condition still holds"),
    "level_held": Words("{0}条件已不成立，尚未降级", "its {0} condition no longer holds, not downgraded yet"),
    "held": Words(
        "触发条件已不成立，尚未满足解除条件（{1}）",
        "the condition that raised it no longer holds, but not yet the one that clears it ({1})",
    ),
    "level_doubtful": Words(
        "除非{2}，否则{0}条件已不成立，尚未降级", "unless {2}, its {0} condition no longer holds, not downgraded yet"
    ),
    "doubtful": Words(
        "除非{2}，否则触发条件已不成立，尚未解除",
        "unless {2}, the condition that raised it no longer holds, but it is not cleared",
    ),
    "unseen": Words("{0}条件为{2}，尚未解除", "its {0} condition is {2}, not cleared yet"),
    "unknown": Words("尚未解除", "not cleared yet"),
}
FOR_REFERENCE = Words("下列数字仅供参考", "the figures are for reference only")
AT_CLOSE = Words("停推时{}预警未解除", "the {} alert was open then")
RISK_REMAINS = Words("，风险未消除", ": the risk is not gone")  # where the bank still has its loan
SUSTAINED = Words("条件已连续{}个日终成立", "its condition has held at {} day closes in a row")
LINE = Words("（{}{}）", " ({}: {})")
NEGATIVE: Mapping[str, Words] = {  # what a number below zero means
    "dscr_12m_ratio": Words(
        "，近12个月经营净流出，无力覆盖", ", a net operating outflow, which covers no debt service"
    ),
    "bal_to_next_instalment_ratio": Words("，账户余额为负", ", the balance is negative"),
    "runway_30d_days": Words("，账户余额为负", ", the balance is negative"),
}
SCORE, SCORE_MOVED = Words("评分{}", "score {}"), Words("评分{}→{}", "score {} → {}")
CAPPED = Words("（{}封顶）", " (capped: {})")
OWN_LOANS = Words("本行贷款余额{}", "own loans outstanding {}")
LISTED_OF = Words("（共{}笔，列出{}笔）", " ({} loans, of which {} are listed)")
OVERDUE = Words("，逾期{}", ", {} past due")
PROVISIONAL_CALENDAR = Words(
    "节假日安排尚未公布，评分中的工作日按法定节假日暂定。",
    " Provisional calendar: the score counts business days by the law alone, until the holidays are published.",
)

CHECK = Words("核实该信号所指情况", "verify what the signal says")  # of a signal that config/checks.csv does not have
ACTIONS: Mapping[Severity, Words] = {
    "yellow": Words("列入关注名单，下次例行检查时{}。", "Put on the watch list. At the next routine check: {}."),
    "orange": Words(
        "五个工作日内联系企业，{}，复核还款来源与授信额度。",
        "Contact the enterprise within five working days: {}; review source of repayment and limit.",
    ),
    "red": Words(
        "一个工作日内联系企业，三个工作日内现场核查：{}；暂停新增用信，评估风险缓释与分类调整。",
        "Contact the enterprise within one working day and visit it within three: {}; stop new drawings, and assess "
        "mitigation and classification.",
    ),
}
# Of signals whose deadline is an earlier one, by the case's level.
OWN_ACTIONS: Mapping[tuple[str, Severity], Words] = {
    ("EWS11_instalment_not_covered", "yellow"): Words("列入关注名单，{}。", "Put on the watch list; {}."),
}
GRAVER_CASE = Words("该户最高预警为{}，时限从严：", "The customer's highest alert is {}, and its deadline applies. ")
HELD_ACTION = Words(
    "暂无须新的处理，继续观察；触发条件再次成立即恢复。",
    "Nothing new to do: watch on; the alert stands again at once if its condition does.",
)
STALE_ACTION = Words(
    "处置时限暂停；恢复判断前可先电话联系企业：{}。",
    "Its deadline is suspended; until it is judged again, contact the enterprise by telephone: {}.",
)
RETRACTED_ACTION = Words(
    "本预警已撤回，无须处理；据此采取的措施请复核。",
    "This alert is withdrawn: nothing to do about it; review what was done because of it.",
)
OVER_ACTION = Words("本预警已结束，按例行贷后检查安排跟踪。", "This alert is over: follow up in the routine checks.")
CLOSED_ACTIONS = {
    "authorization": Words(
        "续办企业授权；授权恢复前转人工检查。", "Renew the authorization; until then check the enterprise by hand."
    ),
    "loan_closed": Words("本行贷款已结清，无须处理。", "The own loans are paid off: nothing to do."),
}

# What a bank hears of another bank's loan: that there is something, and no more. The signals: detectors/cases.py.
ELSEWHERE_SEVERITY: Severity = "yellow"
ELSEWHERE: Mapping[str, Words] = {"EWS35_arrears": Words("他行出现逾期", "Arrears at another bank")}
ELSEWHERE_TEXTS: Mapping[str, Words] = {
    "raised": Words("他行出现逾期", "the enterprise is in arrears at another bank"),
    "cleared": Words("他行的逾期预警已全部解除", "all alerts of arrears at other banks are cleared"),
    "closed": Words("不再提示他行是否逾期", "arrears at other banks are not told any more"),
}
ELSEWHERE_CHECK = Words(
    "核实债务清单、逾期原因和还款计划", "verify the list of debts, why it is overdue and the repayment plan"
)

# Why a number is missing (features.indicators.nulls), or why an alert is stale, over or closed.
REASONS: Mapping[str, Words] = {
    "not_applicable": Words("指标已不适用，没有可衡量的对象", "there is nothing to measure"),
    "history": Words("历史不足", "its history is too short"),
    "never_seen": Words("从未发生", "it has never happened"),
    "base_too_small": Words("基数过小，比例没有意义", "the base is too small for a ratio"),
    "not_reported": Words("未报送", "no bank reports it"),
    "not_covered": Words("数据未覆盖", "receipts or rates of the window are missing"),
    "feed_stalled": Words("银行数据中断", "a bank's data has stopped coming"),
    "spring_festival": Words("除去春节后周数不足", "too few weeks are left beside the Spring Festival"),
    "not_computable": Words("数据不足，无法计算", "data is missing, it cannot be computed"),
    "not_in_rules": Words("现行规则已不含该信号", "the rules in force have this signal no more"),
    "suppressed": Words("符合抑制条件", "a condition that suspends it holds"),
    "reversed": Words("所依据的交易已被冲正", "a transaction that it rests on was reversed"),
    "returned": Words("所依据的交易已被退回", "a transaction that it rests on was returned"),
    "late": Words("补到首发前的数据后，触发条件不成立", "with data of before it that came late, no level is true"),
    "corrected": Words("首发前的数据已更正，触发条件不成立", "data of before it was corrected, and no level is true"),
    "loan_closed": Words("本行贷款已结清", "the own loans are paid off"),
    "authorization": Words("企业授权已失效", "the enterprise's authorization has ended"),
}
# Scores stop at these while the fact holds (detectors.scorecard): what it is, the number that says so, above which, the
# score. The lowest first.
CAPS = (
    (Words("逾期", "overdue"), "dpd_max_days", 90, 449),
    (Words("逾期", "overdue"), "dpd_max_days", 30, 499),
    (Words("司法冻结", "frozen"), "judicial_freeze_active_flag", 0, 499),
)
