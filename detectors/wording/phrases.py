"""Fixed words of alerts in both languages, and templates that `alerts.py` fills in."""

from collections.abc import Mapping

from domain.language import Words
from domain.outputs import CaseState, Severity

SEVERITIES: Mapping[Severity, Words] = {
    "yellow": Words("黄色", "yellow"), "orange": Words("橙色", "orange"), "red": Words("红色", "red"),
}  # fmt: skip
LINES: Mapping[Severity, Words] = {
    "yellow": Words("黄线", "yellow line"), "orange": Words("橙线", "orange line"), "red": Words("红线", "red line"),
}  # fmt: skip
LEVEL_TAGS: Mapping[Severity, Words] = {
    "yellow": Words("黄", "Yellow"), "orange": Words("橙", "Orange"), "red": Words("红", "Red"),
}  # fmt: skip
# What a revision says of its episode (revision.phase).
PHASES: Mapping[str, Words] = {
    "new": Words("新增", "raised"),
    "again": Words("再次触发", "raised again"),
    "graver": Words("升级", "upgraded"),
    "eased": Words("降级", "downgraded"),
    "resumed": Words("恢复判断", "resumed"),
    "listed": Words("存量", "opening list"),
    "open": Words("未解除", "open"),  # the episode as it stands: it is no revision, or its case has moved
    "stale": Words("暂缓判断", "on hold"),
    "listed_stale": Words("存量，暂缓判断", "opening list, on hold"),
    "cleared": Words("解除", "cleared"),
    "not_applicable": Words("终止", "ended"),
    "not_in_rules": Words("规则停用", "rule withdrawn"),
    "ended": Words("终止", "ended"),
    "retracted": Words("撤回", "retracted"),
    "closed": Words("停止推送", "delivery ends"),
}
WATCH = Words("观察", "watch")  # of an episode that its hysteresis keeps open
# The tags of titles: {0} is the level, {1} the one before.
TAGS: Mapping[str, Words] = {
    "new": Words("{0}", "{0}"),
    "again": Words("{0}·再次触发", "{0}, raised again"),
    "graver": Words("{1}→{0}", "{1} → {0}"),
    "eased": Words("{1}→{0}", "{1} → {0}"),
    "resumed": Words("{0}·恢复判断", "{0}, resumed"),
    "listed": Words("{0}·存量", "{0}, opening list"),
    "open": Words("{0}", "{0}"),
    "stale": Words("暂缓", "On hold"),
    "listed_stale": Words("暂缓·存量", "On hold, opening list"),
    "cleared": Words("解除", "Cleared"),
    "not_applicable": Words("终止", "Ended"),
    "not_in_rules": Words("规则停用", "Rule withdrawn"),
    "ended": Words("终止", "Ended"),
    "retracted": Words("撤回", "Retracted"),
    "closed": Words("停推", "Delivery ends"),
}
# Where the level before is not known.
TAGS_TO: Mapping[str, Words] = {"graver": Words("升至{0}", "Up to {0}"), "eased": Words("降至{0}", "Down to {0}")}
WATCH_TAGS: Mapping[str, Words] = {"listed": Words("观察·存量", "Watch, opening list")}
WATCH_TAG = Words("观察", "Watch")
BELOW_TAG = Words("结案", "Case closed")  # of a case whose claim is below yellow while signals are open
CURED_TAG = Words("{}→{}·观察", "{} → {}, watch")  # of a case whose signals all wait for their hysteresis
# How the text of an episode that is not new begins.
OPENED = Words("{}首发", "first raised {}")
OPENED_AT = Words("{0}首发的{1}预警", "{1} alert, first raised {0}")  # where the title has no level
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
}
# Whose data has stopped, and the day of its newest transaction.
OWN_BANK = Words("本行", "the own bank")
DATA_UNTIL = Words("{0}流水至{1}", "data of {0} ends on {1}")
STOPPED = Words("{0}停止推送：{1}", "delivery ends on {0}: {1}")
# How the condition of an open episode stands: {0} is its level, {1} what clears it, {2} what its evidence leaves open.
STANDINGS: Mapping[str, Words] = {
    "true": Words("当前仍成立", "it still holds"),
    "level_held": Words("{0}条件已不成立，尚未降级", "its {0} condition no longer holds, not downgraded yet"),
    "held": Words(
        "触发条件已消失，满足解除条件即解除：{1}",
        "the condition that raised it is gone; it clears as soon as what clears it holds: {1}",
    ),
    "level_doubtful": Words(
        "如{2}，{0}条件仍成立，否则已不成立，尚未降级",
        "unless {2}, its {0} condition no longer holds, not downgraded yet",
    ),
    "doubtful": Words(
        "如{2}，触发条件仍成立，否则已消失，尚未解除",
        "unless {2}, the condition that raised it is gone, but it is not cleared yet",
    ),
    "unseen": Words("{0}条件为{2}，尚未解除", "its {0} condition is {2}, not cleared yet"),
    "unknown": Words("尚未解除", "not cleared yet"),
}
CLEARING = Words(
    "触发条件已消失，解除条件已满足，连续{}个日终即解除",
    "the condition that raised it is gone; what clears it holds, and clears it after {} day closes in a row",
)
GONE = Words("触发条件已消失", "the condition that raised it is gone")
PROGRESS = Words("解除条件已达标{}/{}日", "what clears it has held at {} of {} day closes")
NOT_AT_HAND = Words("以规则为准", "as the rules say")
# What became of an instalment or of arrears (outcome.py): {0} are the days past due, {1} is what clears it.
OUTCOMES: Mapping[str, Words] = {
    "awaited": Words(
        "触发条件已消失，还款账户资金补足或足额扣收后解除",
        "the condition that raised it is gone; it clears when the account is funded or the instalment collected",
    ),
    "overdue": Words(
        "应还款项未足额扣收，已转逾期{0}，由贷款逾期预警接续",
        "the instalment was not collected in full and is {0} past due: the alert of arrears takes over",
    ),
    "paid": Words("应还款项已足额扣收", "the instalment was collected in full"),
    "covered": Words("还款账户资金已补足", "the repayment account has been funded"),
    "passed": Words("应还日已过，扣收结果尚未报送", "the due date has passed, and the outcome is not yet reported"),
    "unreported": Words(
        "应还日已过，未报逾期，也未报扣收结果",
        "the due date has passed; neither arrears nor the collection are reported",
    ),
    "observed": Words(
        "现无逾期款项，观察至解除条件满足：{1}", "nothing is past due now; observed until what clears it holds: {1}"
    ),
}
OUTCOME_TAGS: Mapping[str, Words] = {
    "overdue": Words("转逾期", "Past due"),
    "unreported": Words("终止", "Ended"),
    "observed": Words("{0}·观察", "{0}, watch"),
}
OUTCOME_ACTIONS: Mapping[str, Words] = {
    "awaited": Words("到期日核对扣收结果。", "Check on the due date that it is collected."),
    "overdue": Words("本预警不再提示，按贷款逾期预警处置。", "Nothing more here: act on the alert of arrears."),
    "paid": Words("归档，无须处理。", "Close the file: nothing to do."),
    "covered": Words("到期日核对扣收结果。", "Check on the due date that it is collected."),
    "passed": Words(
        "核对扣收结果：已扣收的归档，未扣收的按逾期处置。",
        "Check whether it was collected: if so close the file, if not act on the arrears.",
    ),
    "unreported": Words("核对扣收结果后归档。", "Check that it was collected, and close the file."),
    "observed": Words(
        "核对还款凭证；无须重复现场核查，分类不自动上调。",
        "Check the proof of payment. No second visit; the classification does not rise by itself.",
    ),
}
FOR_REFERENCE = Words("末次数据仅供参考", "the last figures are for reference only")
AT_CLOSE = Words("停推时{}预警未解除", "the {} alert was open then")
RISK_REMAINS = Words("，风险未消除", ": the risk is not gone")  # where the bank still has its loan
SUSTAINED = Words("自{1}起已连续{0}个日终成立", "it has held at {0} day closes in a row, since {1}")
AGAINST = Words("较{usual}{value}", "{value} against {usual}")  # a change, and the usual value that it is against
SHARE_OF = Words("占{usual}的{value}", "{value} of {usual}")  # a share, and its whole
DUE_ON = Words("，{}到期", ", due on {}")
LINE = Words("（{}{}）", " ({}: {})")
BEYOND = Words("（已越{}{}）", " (beyond the {}: {})")
NEGATIVE: Mapping[str, Words] = {  # what a number below zero means
    "dscr_12m_ratio": Words("，经营净流出，无力覆盖", ", a net operating outflow, which covers no debt service"),
    "bal_to_next_instalment_ratio": Words("，账户余额为负", ", the balance is negative"),
    "runway_30d_days": Words("，账户余额为负", ", the balance is negative"),
}
SCORE, SCORE_MOVED = Words("评分{}", "score {}"), Words("评分{}→{}", "score {} → {}")
CAPPED = Words("（{}封顶）", " (capped: {})")
OWN_LOANS = Words("本行贷款余额{}", "own loans outstanding {}")
LISTED_OF = Words("（共{}笔，列出{}笔）", " ({} loans, of which {} are listed)")
NEXT_DUE = Words("，下期{0}应还{1}", ", next instalment {1} on {0}")
OVERDUE = Words("，逾期{}", ", {} past due")
PROVISIONAL_CALENDAR = Words(
    "节假日安排尚未公布，评分中的工作日按法定节假日暂定。",
    " Provisional calendar: the score counts business days by the law alone, until the holidays are published.",
)

CHECK = Words("核实该信号所指情况", "verify what the signal says")  # of a signal that config/checks.csv does not have
# By when: {} are dates. At the end what else the level asks for.
CONTACT = Words("{}前联系企业", "contact the enterprise by {}")
VISIT = Words("{}前现场核查", "visit it by {}")
ROUTINE = Words("列入关注名单，下次例行检查", "put on the watch list; at the next routine check")
LEVEL_ACTIONS: Mapping[Severity, Words] = {
    "yellow": Words("", ""),
    "orange": Words("；复核还款来源与授信额度", "; review source of repayment and limit"),
    "red": Words(
        "；暂停新增用信，评估风险缓释与分类调整", "; stop new drawings, and assess mitigation and classification"
    ),
}
BEFORE_DUE = Words("{}扣款前{}", "before the debit on {}: {}")  # of an instalment that is due
NO_CASE = Words("未达立案线：", "no case: ")  # its signals weigh less than yellow
OTHER_CASE = Words("案件级别为{}，时限按案件：", "the case is {}, and its deadline applies: ")
HELD_ACTION = Words(
    "无须处理，继续观察；条件再次成立即恢复。",
    "Nothing to do: watch on; the alert stands again at once if its condition does.",
)
STALE_ACTION = Words(
    "处置时限暂停；恢复判断前电话联系企业：{}。",
    "Its deadline is suspended; until it is judged again, contact the enterprise by telephone: {}.",
)
STALE_IN_CASE_ACTION = Words(
    "案件时限按其他信号照常；本信号恢复判断前电话联系企业：{}。",
    "The case's deadline stands, by its other signals; until this one is judged again, contact the enterprise by "
    "telephone: {}.",
)
OVER_ACTION = Words("归档，按例行贷后检查跟踪。", "Close the file: follow up in the routine checks.")
NOTICE_OVER_ACTION = Words("无须处理，按例行贷后检查跟踪。", "Nothing to do: follow up in the routine checks.")
RETRACTED_ACTION = Words(
    "本预警已撤回，无须处理；据此采取的措施请复核。",
    "This alert is withdrawn: nothing to do about it; review what was done because of it.",
)
RETRACTED_IN_CASE = Words(
    "本预警已撤回，据此采取的措施请复核；案件其余信号未解除：",
    "this alert is withdrawn, review what was done because of it; other signals of the case are open: ",
)
CLOSED_ACTIONS = {
    "authorization": Words(
        "续办企业授权；授权恢复前转人工检查。", "Renew the authorization; until then check the enterprise by hand."
    ),
    "loan_closed": Words("本行贷款已结清，无须处理。", "The own loans are paid off: nothing to do."),
}

# What a revision did to its reader's case.
CASE_STATES: Mapping[CaseState, Words] = {
    "opened": Words("新立案", "case opened"),
    "graver": Words("案件升级", "case upgraded"),
    "eased": Words("案件降级", "case eased"),
    "resolved": Words("案件解除", "case resolved"),
}
CASE_PHASES: Mapping[CaseState, str] = {"opened": "new", "graver": "graver", "eased": "eased", "resolved": "cleared"}
ABOUT, LEAST = Words("约{}", "about {}"), Words("不足0.1%", "under 0.1%")
CLAIM = Words("未来12个月逾期30天以上的概率{}", "probability of arrears over 30 days within 12 months {}")
CLAIM_LOW = Words(
    "未来12个月逾期30天以上的概率{}，已低于黄线",
    "probability of arrears over 30 days within 12 months {}, below yellow",
)
NONE_OPEN = Words("本案信号已全部解除", "all signals of the case are cleared")
LINE_OF_CASE = Words("{0}（{1}，{2}起）", "{0} ({1}, since {2})")
STALE_LINE = Words("{0}（{1}，{2}起，暂缓）", "{0} ({1}, since {2}, on hold)")
FINDING = Words("{}：{}", "{}: {}")
AND_MORE = Words("，等{}项", ", {} findings in all")
NAME_AND_MORE = Words("{}等{}项", "{} and {} more")
THIS_TIME = Words("本次{}（{}）", "now {} ({})")
LINES_MAX = 3

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
    "reversed": Words("所依据的交易已被冲正", "a transaction that it rests on was reversed"),
    "returned": Words("所依据的交易已被退回", "a transaction that it rests on was returned"),
    "late": Words("补到首发前的数据后，触发条件不成立", "with data of before it that came late, no level is true"),
    "corrected": Words("首发前的数据已更正，触发条件不成立", "data of before it was corrected, and no level is true"),
    "not_in_rules": Words("现行规则已不含该信号", "the rules in force have this signal no more"),
    "suppressed": Words("符合抑制条件", "a condition that suspends it holds"),
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
