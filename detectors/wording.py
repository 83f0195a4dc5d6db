"""What people read: numbers, reasons and alerts in Chinese."""

from config.catalogue import SignalRow, indicators
from domain.outputs import Severity

SEVERITY_ZH: dict[Severity, str] = {"yellow": "黄色", "orange": "橙色", "red": "红色"}
STATE_ZH = {
    "raised": "新增", "upgraded": "升级", "downgraded": "降级", "stale": "数据中断，暂缓判断", "ended": "终止",
    "cleared": "解除", "retracted": "撤回", "closed": "关闭",
}  # fmt: skip
ACTION_ZH: dict[Severity, str] = {
    "yellow": "列入关注名单，下次例行检查时核实原因。",
    "orange": "五个工作日内联系企业核实流水变化原因，复核还款来源与授信额度。",
    "red": "立即现场核查，暂停新增用信，评估风险缓释与分类调整。",
}
NULL_ZH = {
    "not_applicable": "不适用", "history": "历史不足", "never_seen": "从未发生", "base_too_small": "基数过小",
    "not_reported": "未报送", "not_covered": "数据未覆盖",
}  # fmt: skip


# Names of the context that stand as evidence: what they are called, and their unit.
_CONTEXT_ZH = {
    "score.points": ("评分", "points"), "score.delta_30d": ("近30日评分变动", "change"),
    "score.grade_fall_30d": ("近30日等级下降", "grades"), "score.coverage": ("数据覆盖率", "ratio"),
    "ctx.history_days": ("历史天数", "days"),
}  # fmt: skip


def name_zh(name: str) -> str:
    """What an indicator, or a number of the context, is called."""
    return _CONTEXT_ZH[name][0] if name in _CONTEXT_ZH else indicators()[name].name_zh


def _unit(name: str) -> str:
    return _CONTEXT_ZH[name][1] if name in _CONTEXT_ZH else indicators()[name].unit


def value_zh(indicator: str, value: float | None) -> str:
    """A value in its unit, as an officer would say it."""
    if value is None:
        return "不可计算"
    match _unit(indicator):
        case "points":
            return f"{value:.0f}分"
        case "change":
            return f"{value:+.0f}分"
        case "grades":
            return f"{value:.0f}级"
        case "cny":
            return f"{value / 10_000:.1f}万元"
        case "days":
            return f"{value:.1f}天".replace(".0天", "天")
        case "count":
            return f"{value:.0f}笔"
        case _ if "_vs_" in indicator or "_change_" in indicator:
            return f"{'下降' if value < 0 else '上升'}{abs(value) * 100:.1f}%"
        case _:
            return f"{value * 100:.1f}%"


def band_zh(indicator: str, value: float | None) -> str | None:
    """The band of an amount, for a bank that must not learn it; None for what is no amount, or null."""
    if value is None or _unit(indicator) != "cny":
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
    signal: SignalRow, severity: Severity, state: str, facts: dict[str, str], score: int, score_before: int
) -> tuple[str, str, str]:
    """(title, text, suggested action) of one revision of an alert; `facts` are its values as people read them."""
    title = f"【{SEVERITY_ZH[severity]}】{signal.name_zh}（{STATE_ZH[state]}）"
    said = [f"{name_zh(name)}{fact}" for name, fact in facts.items()]
    moved = f"评分{score_before}→{score}" if score_before != score else f"评分{score}"
    return title, "；".join([*said, moved]) + "。", ACTION_ZH[severity]
