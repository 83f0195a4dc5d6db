"""What people read: numbers, reasons and alerts in Chinese."""

from config.catalogue import SignalRow, indicators
from detectors import episodes
from domain.outputs import Severity

SEVERITY_ZH: dict[Severity, str] = {"yellow": "黄色", "orange": "橙色", "red": "红色"}
TRANSITION_ZH = {
    episodes.RAISED: "新增", episodes.UPGRADED: "升级", episodes.DOWNGRADED: "降级", episodes.STALE: "暂缓判断",
    episodes.RESUMED: "恢复判断", episodes.LISTED: "存量", episodes.CLOSED: "停止推送",
    episodes.NO_LONGER_APPLIES: "终止", episodes.NOT_IN_RULES: "规则停用", episodes.CLEARED: "解除",
}  # fmt: skip
# What an officer looks into, by the signal's family, and what he does about it, by severity.
CHECK_ZH = {
    "inflow": "核实订单、开票和下游回款，确认是否有结算转移或季节因素",
    "liquidity": "核对各账户余额与近期应付款项，落实下期还款来源",
    "conduct": "调取大额及异常交易凭证，核实资金用途和交易对手",
    "stability": "了解流水波动的原因，比对同行业和历史同期",
    "counterparty": "核实主要客户的合作状况、合同和回款安排",
    "obligations": "核实债务清单、逾期原因和还款计划",
    "proceeds": "检查贷款资金支付凭证，核实是否按约定用途使用",
    "external": "查询司法、行政和征信公开信息，核实影响范围",
    "score": "查看各评分分组的变动，核实主要扣分指标",
}
ACTION_ZH: dict[Severity, str] = {
    "yellow": "列入关注名单，下次例行检查时{check}。",
    "orange": "五个工作日内联系企业，{check}，复核还款来源与授信额度。",
    "red": "立即现场核查，{check}；暂停新增用信，评估风险缓释与分类调整。",
}
OVER_ZH = "本预警已结束，按例行贷后检查安排跟踪。"
# What a bank hears of another bank's loan: that there is something, and no more.
ELSEWHERE: Severity = "yellow"
ELSEWHERE_ZH = {"EWS35_arrears": "他行出现逾期"}
PROVISIONAL_CALENDAR_ZH = "节假日安排尚未公布，评分中的工作日按法定节假日暂定。"
REASON_ZH = {
    "not_applicable": "指标已不适用", "history": "历史不足", "never_seen": "从未发生", "base_too_small": "基数过小",
    "not_reported": "未报送", "not_covered": "数据未覆盖", "feed_stalled": "银行数据中断",
    "spring_festival": "除去春节后周数不足", "not_computable": "数据不足，无法计算",
    "not_in_rules": "现行规则已不含该信号", "suppressed": "符合抑制条件", "loan_closed": "本行贷款已结清",
    "authorization": "企业授权已失效", "feed.stalled": "银行数据中断", "feed.loan_stalled": "贷款数据中断",
    "calendar.spring_festival_window": "处于春节窗口期", "peer.offseason": "处于行业淡季",
}  # fmt: skip
# Numbers of the context that stand as evidence: what they are called, and their unit.
_CONTEXT_ZH = {
    "score.points": ("评分", "points"), "score.delta_30d": ("近30日评分变动", "change"),
    "score.grade_fall_30d": ("近30日等级下降", "grades"), "score.coverage": ("数据覆盖率", "ratio"),
    "ctx.history_days": ("历史天数", "days"), "ctx.covered_months": ("已覆盖月数", "months"),
}  # fmt: skip
# The measure word of what an indicator counts, by what its id says; of all else it is 次.
_MEASURE_ZH = (
    ("months", "个月"), ("weeks", "周"), ("days", "天"), ("banks", "家"), ("lenders", "家"), ("payers", "家"),
    ("payees", "家"), ("parties", "家"), ("credit", "笔"), ("debit", "笔"), ("txn", "笔"), ("gov", "件"),
)  # fmt: skip


def name_zh(name: str) -> str:
    """What an indicator, or a number of the context, is called."""
    return _CONTEXT_ZH[name][0] if name in _CONTEXT_ZH else indicators()[name].name_zh


def value_zh(name: str, value: float | None) -> str:
    """A value in its unit, as an officer would say it."""
    if value is None:
        return "不可计算"
    match _unit(name):
        case "cny":
            return f"{value / 10_000:.1f}万元"
        case "days":
            return f"{value:.1f}天".replace(".0天", "天")
        case "count":
            return f"{value:.0f}{next((word for what, word in _MEASURE_ZH if what in name), '次')}"
        case "flag":
            return "是" if value else "否"
        case "months":
            return f"{value:.0f}个月"
        case "points":
            return f"{value:.0f}分"
        case "change":
            return f"{value:+.0f}分"
        case "grades":
            return f"{value:.0f}级"
        case _ if "_vs_" in name or "_change_" in name:
            return f"{'下降' if value < 0 else '上升'}{abs(value) * 100:.1f}%"
        case _:
            return f"{value * 100:.1f}%"


def band_zh(name: str, value: float | None) -> str | None:
    """The band of an amount, for a bank that must not learn it; None for what is no amount, or null."""
    if value is None or _unit(name) != "cny":
        return None
    for limit, band in ((500_000, "50万元以下"), (2_000_000, "50–200万元"), (5_000_000, "200–500万元")):
        if abs(value) < limit:
            return band
    return "500万元以上"


def reason_zh(indicator: str, value: float | None, baseline: float, points_milli: int) -> str:
    """One reason code as a sentence."""
    median = value_zh(indicator, baseline)
    return f"{name_zh(indicator)}{value_zh(indicator, value)}，同业中位{median}：{points_milli / 1000:+.1f}分"


def alert_zh(
    signal: SignalRow,
    severity: Severity,
    transition: int,
    facts: dict[str, str],
    score: int,
    score_before: int,
    reason: str,
) -> tuple[str, str, str]:
    """(title, text, suggested action) of one revision of an alert; `facts` are its values as people read them."""
    title = f"【{SEVERITY_ZH[severity]}】{signal.name_zh}（{TRANSITION_ZH[transition]}）"
    said = [f"{name_zh(name)}{fact}" for name, fact in facts.items()]
    said.append(f"评分{score_before}→{score}" if score_before != score else f"评分{score}")
    if reason:
        said.append(f"原因：{REASON_ZH.get(reason, REASON_ZH['suppressed'])}")
    over = transition == episodes.CLOSED or episodes.is_over(transition)
    action = OVER_ZH if over else ACTION_ZH[severity].format(check=CHECK_ZH.get(signal.family, CHECK_ZH["score"]))
    return title, "；".join(said) + "。", action


def elsewhere_zh(signal_id: str, state: str) -> tuple[str, str, str]:
    """(title, text, suggested action) of the notice that another bank has an episode of a signal, or has none now."""
    word = {"raised": "新增", "cleared": "解除", "closed": "停止推送"}[state]
    what = ELSEWHERE_ZH[signal_id]
    action = ACTION_ZH[ELSEWHERE].format(check=CHECK_ZH["obligations"]) if state == "raised" else OVER_ZH
    return f"【{SEVERITY_ZH[ELSEWHERE]}】{what}（{word}）", f"{what}。", action


def _unit(name: str) -> str:
    return _CONTEXT_ZH[name][1] if name in _CONTEXT_ZH else indicators()[name].unit
