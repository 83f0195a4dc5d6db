"""Show one enterprise as score sees it: the score in parts that add up, why, indicators, episodes, loans.

It reads the value in Redis, at most one flush old, and evaluates a copy of it under the model and rules in force. The
first call after an upgrade compiles for a while. It may run beside workers and changes nothing.

Example: xinliu inspect 91440300MA5EXAMPLE
         xinliu inspect 91440300MA5EXAMPLE --since 2026-03-31   what has moved since that day's close (from ClickHouse)
         xinliu inspect 91440300MA5EXAMPLE --bank 示例银行一   its case as this bank has it (else the supervisor's)
         xinliu inspect 91440300MA5EXAMPLE --json

Exit codes: 0 shown; 1 no such enterprise, a bank without a loan to it, a value of another version, or a server does not
answer; 2 wrong call or setting.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from cli import numbers
from cli.banks import bank_named
from cli.words import complain, language, say, time_text
from config.settings import Settings
from domain.calendar import date_of, day_of_date
from domain.printable import printable

if TYPE_CHECKING:
    from domain.outputs import CaseLine
    from streams.earlier_score import EarlierScore
    from streams.score.explain import Explanation, Indicator  # with numba: too heavy for `xinliu --help`

ZH = """看一户企业，如评分所见：评分由哪几块加成，为什么，指标，未解除的预警，贷款。

读 Redis 里的状态（至多晚一次写入），按在用的模型和规则对其副本重新计算。升级后第一次调用要编译一会儿。
可以在运行中使用，不改动任何东西。

例：xinliu inspect 91440300MA5EXAMPLE
    xinliu inspect 91440300MA5EXAMPLE --since 2026-03-31   那日日终以来评分因何变动（取自 ClickHouse）
    xinliu inspect 91440300MA5EXAMPLE --bank 示例银行一   这家银行的案件（缺省：监管的）
    xinliu inspect 91440300MA5EXAMPLE --json

退出码：0 已显示；1 没有这户企业、该行对它没有贷款、状态是别的版本的，或服务器没有应答；2 用法或设置有误。
"""
GROUPS = {
    "fund_scale": ("资金规模", "scale of funds"), "flow_stability": ("流水稳定性", "stability of flow"),
    "transaction_activity": ("交易活跃度", "transaction activity"), "income_growth": ("收入增长", "growth of income"),
    "counterparty_structure": ("交易对手结构", "counterparties"),
    "repayment_capacity": ("还款能力", "repayment capacity"),
}  # fmt: skip
STATUS = {
    "published": ("已发布", "published"), "provisional": ("暂定", "provisional"), "withheld": ("不发布", "withheld"),
}  # fmt: skip
MOVED = {
    "model": ("更换模型", "the model was switched"), "cap": ("封顶", "cap"),
    "rest": ("当时记录的尾差", "rounding of that day's record"),
}  # fmt: skip
SEVERITY = {"yellow": ("黄色", "yellow"), "orange": ("橙色", "orange"), "red": ("红色", "red")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the enterprise, and a day."""
    parser.add_argument("enterprise", help=say("统一社会信用代码或其代号", "its unified social credit code, or token"))
    parser.add_argument(
        "--since",
        type=numbers.date_of,
        metavar="YYYY-MM-DD",
        help=say("并说明该日日终以来评分因何变动", "say also what moved the score since that day closed"),
    )
    parser.add_argument(
        "--bank",
        metavar=say("编码或名称", "CODE-or-NAME"),
        help=say("说明这家银行的案件（缺省：监管的）", "explain the case of this bank (default: the supervisor's)"),
    )
    parser.add_argument("--json", action="store_true", help=say("输出一个 JSON 对象", "one JSON object"))


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Find, explain, print."""
    import redis

    from detectors.snapshot import SnapshotError
    from sinks.artefacts import ArtefactMissing
    from sinks.clickhouse import Refused, Unavailable
    from streams.lookup import Lookup, Unknown, Unreadable
    from streams.score.case_now import NoLender

    bank_id = None if args.bank is None else bank_named(settings, args.bank).bank_id
    try:
        before = None if args.since is None else _earlier(settings, args.enterprise, day_of_date(args.since))
        with Lookup.connected(settings) as lookup:
            found = lookup.explain(args.enterprise, before, bank_id)
    except (Refused, Unavailable) as error:
        complain("inspect", *[printable(f"[clickhouse]: {error}")] * 2)
        return 1
    except NotArchived as error:
        complain("inspect", *[printable(str(error))] * 2)
        return 1
    except redis.RedisError as error:
        complain("inspect", *[printable(f"[redis]: {error}")] * 2)
        return 1
    except NoLender:
        words = (f"{args.bank} 对 {args.enterprise} 没有贷款", f"{args.bank} has no loan to {args.enterprise}")
        complain("inspect", *[printable(say(*words))] * 2)
        return 1
    except (ArtefactMissing, SnapshotError) as error:
        complain("inspect", *[printable(str(error))] * 2)
        return 1
    if isinstance(found, Unknown):
        name = found.enterprise_id
        complain("inspect", *[printable(say(f"Redis 里没有企业 {name}", f"Redis has no enterprise {name}"))] * 2)
        return 1
    if isinstance(found, Unreadable):
        complain("inspect", *[printable(found.why)] * 2)
        return 1
    partition, explained = found
    if args.json:
        document = {"partition": partition, **msgspec.to_builtins(explained)}
        print(printable(msgspec.json.encode(document).decode()))
    else:
        for line in _page(explained, partition, settings):
            print(printable(line))
    return 0


class NotArchived(Exception):
    """The archive has no score so early; the message says so."""


def _earlier(settings: Settings, enterprise_id: str, day: int) -> EarlierScore:
    from sinks.clickhouse import connect, target_of
    from streams.earlier_score import earlier_score

    db = connect(target_of(settings.clickhouse))
    try:
        found = earlier_score(db, enterprise_id, day)
    finally:
        db.close()
    if found is None:
        on = date_of(day)
        raise NotArchived(
            say(f"ClickHouse 里没有企业 {enterprise_id} 在 {on} 或之前的评分和指标",
                f"ClickHouse has no score and indicators of enterprise {enterprise_id} on {on} or before")
        )  # fmt: skip
    return found


def _page(one: Explanation, partition: int, settings: Settings) -> Iterator[str]:
    yield say(f"企业 {one.enterprise_id}", f"enterprise {one.enterprise_id}")
    yield say(
        f"截至 {time_text(one.as_of_ms)}，{one.history_days} 天历史；events.v1[{partition}] 位点 {one.applied_offset}",
        f"as of {time_text(one.as_of_ms)}, {one.history_days} days of history; events.v1[{partition}] at offset "
        f"{one.applied_offset}",
    )
    yield ""
    yield from _score(one)
    yield ""
    yield from _reasons(one)
    yield from _counterfactual(one)
    yield from _moved(one)
    yield say("指标", "indicators")
    for indicator in sorted(one.indicators, key=lambda each: each.points_milli is None):
        yield f"  {_indicator(indicator)}"
    yield ""
    yield from _case(one, settings)
    yield from episode_lines(one, settings)
    yield from _loans(one, settings)
    counts = one.counts
    yield say(
        f"记录：入账 {counts['applied']:,}，重复 {counts['duplicate']:,}，内容冲突 {counts['conflict']:,}，"
        f"迟到 {counts['late']:,}，拒绝的处置动作 {counts['refused']:,}",
        f"records: applied {counts['applied']:,}, duplicate {counts['duplicate']:,}, in conflict "
        f"{counts['conflict']:,}, late {counts['late']:,}, refused actions {counts['refused']:,}",
    )


def _score(one: Explanation) -> Iterator[str]:
    status = say(*STATUS[one.status]) + (f" ({one.status_reason})" if one.status_reason else "")
    yield say(
        f"评分 {one.score}　等级 {one.grade}（发布 {one.published_grade}）　{status}",
        f"score {one.score}  grade {one.grade} (published {one.published_grade})  {status}",
    )
    probability, coverage = f"{one.p_overdue30_90d_ppm / 10_000:.2f}%", f"{one.coverage_ppm / 10_000:.0f}%"
    yield say(
        f"未来90天逾期30天以上概率 {probability}　数据覆盖率 {coverage}",
        f"probability of 30 days overdue within 90 days {probability}  coverage {coverage}",
    )
    if one.pd_12m_ppm is not None:
        default = f"{one.pd_12m_ppm / 10_000:.2f}%"
        yield say(f"12 个月违约概率 {default}", f"probability of default within 12 months {default}")
    if one.extrapolated:
        yield say(
            "没有未结清贷款：模型以借款企业为样本，这一评分是外推",
            "no open loan: the model is one of borrowers, so that this score is an extrapolation",
        )
    if one.provisional_calendar:
        yield say(
            "节假日安排尚未公布：评分中的工作日按法定节假日暂定",
            "provisional calendar: the score counts business days by the law alone, until the holidays are published",
        )
    yield f"  {400:>9.3f}  {say('底分', 'floor')}"
    for group, milli in one.groups_milli.items():
        yield f"  {milli / 1_000:>+9.3f}  {say(*GROUPS[group])}"
    if one.cap_milli:
        yield f"  {one.cap_milli / 1_000:>+9.3f}  {say('封顶（逾期或冻结）', 'cap (overdue, or frozen)')}"
    yield f"  {one.score_milli / 1_000:>9.3f}  {say('合计', 'together')}"
    if one.stored_milli != one.score_milli:
        yield say(
            f"  上次评估为 {one.stored_milli / 1_000:.3f}：此后换过模型，下一条记录或日终起按新的",
            f"  it was {one.stored_milli / 1_000:.3f} when last evaluated: the model has changed since",
        )


def _reasons(one: Explanation) -> Iterator[str]:
    from detectors.wording.numbers import reason_text

    if not one.reasons:
        return
    yield say("拉低评分的", "what holds it down")
    for reason in one.reasons:
        said = reason_text(reason.indicator, reason.value, reason.baseline, language(), why=_why(reason.null))
        points = f"{reason.points_milli / 1_000:+.1f}"
        yield say(f"  {said}：{points}分", f"  {said}: {points} points")
    yield ""


def _counterfactual(one: Explanation) -> Iterator[str]:
    from detectors.wording.numbers import name, value_text

    change = one.counterfactual
    if change is None:
        return
    what = name(change.indicator, language())
    now = value_text(change.indicator, change.value, language(), beside=[change.value_needed])
    needed = value_text(change.indicator, change.value_needed, language(), beside=[change.value])
    points = f"{change.points_milli / 1_000:+.1f}"
    yield say(
        f"回到 {change.grade} 级的最小单项变动：{what}由{now}变为{needed}（{points}分）",
        f"the smallest single change that brings grade {change.grade}: {what} from {now} to {needed} ({points} points)",
    )
    yield ""


def _moved(one: Explanation) -> Iterator[str]:
    from detectors.wording.numbers import name

    moved = one.moved
    if moved is None:
        return
    others = {what: say(*words) for what, words in MOVED.items()}
    yield say(f"{date_of(moved.day)} 日终以来的变动", f"what moved it since {date_of(moved.day)} closed")
    yield f"  {moved.before_milli / 1_000:>9.3f}  {say('当时', 'then')}"
    for line in moved.deltas:
        yield f"  {line.points_milli / 1_000:>+9.3f}  {others.get(line.what) or name(line.what, language())}"
    yield f"  {one.score_milli / 1_000:>9.3f}  {say('现在', 'now')}"
    yield ""


def _indicator(one: Indicator) -> str:
    from detectors.wording.numbers import NOT_COMPUTABLE, name, value_text

    points = (
        "" if one.points_milli is None else f"{one.points_milli / 1_000:>7.3f}/{(one.weight_milli or 0) / 1_000:<7.3f}"
    )
    words = value_text(one.id, one.value, language())
    if one.null == "not_applicable":
        words = say("不适用", "not applicable")
    elif one.null:
        words = say(f"{NOT_COMPUTABLE.zh}：{_why(one.null)}", f"{NOT_COMPUTABLE.en}: {_why(one.null)}")
    return f"{points:<15} {name(one.id, language())} {one.id}: {words}"


def _why(null: str) -> str:
    """Return why there is no value, in words; empty where there is one."""
    from detectors.wording.phrases import REASONS

    return REASONS[null].to(language()) if null else ""


def _case(one: Explanation, settings: Settings) -> Iterator[str]:
    case = one.case
    if case is None:
        return
    reader = say("监管", "of the supervisor") if case.bank_id is None else _bank(settings, case.bank_id)
    level = say("无", "none") if case.severity is None else f"{say(*SEVERITY[case.severity])} {case.case_id}"
    default = f"{case.pd_12m_ppm / 10_000:.2f}%"
    yield say(f"案件（{reader}）：{level}", f"case ({reader}): {level}")
    yield say(
        f"  12 个月内逾期 30 天以上的概率 {default}，由以下各项（对数几率）相加",
        f"  probability of arrears over 30 days within 12 months {default}: the sum of these, in logits",
    )
    yield f"  {case.intercept_milli / 1_000:>+9.3f}  {say('基数', 'intercept')}"
    for line in case.lines:
        yield f"  {line.points_milli / 1_000:>+9.3f}  {_line(line)}"
    yield f"  {case.logit_milli / 1_000:>+9.3f}  {say('合计', 'together')}"
    cuts = say("，", ", ").join(f"{say(*SEVERITY[at])} {cut / 1_000:+.3f}" for at, cut in case.cutoffs_milli.items())
    yield say(f"  界线：{cuts}", f"  cut-offs: {cuts}")
    if case.least is not None:
        least = say(*SEVERITY[case.least])
        yield say(f"  有信号单独定级：至少{least}", f"  a signal stands alone: at least {least}")
    if case.closes_below:
        done, needed = case.closes_below, case.closes_to_ease
        yield say(
            f"  已连续 {done} 个日终低于现级，满 {needed} 个即下调",
            f"  below its level at {done} closes in a row: at {needed} it eases",
        )
    yield ""


def _line(line: CaseLine) -> str:
    from detectors.wording.alerts import signal_name
    from detectors.wording.numbers import name

    if line.severity is None or line.opened_at is None:
        return name(line.name, language())
    words = f"{signal_name(line.name, None, language())} {say(*SEVERITY[line.severity])}"
    said = [say(f"自 {time_text(line.opened_at)}", f"since {time_text(line.opened_at)}")]
    if line.stale:
        said.append(say("暂缓", "stale"))
    if line.waits is True:
        said.append(say("条件已消失，待满滞回期，按黄色计", "no level is true, it waits for its hysteresis: as yellow"))
    if line.finding and line.points_milli == 0:
        said.append(say("同一综合发现中已计", "its finding counts already"))
    return f"{words}  {say('，', ', ').join(said)}"


def episode_lines(one: Explanation, settings: Settings) -> Iterator[str]:
    """Yield the open episodes as they are shown, and how many times one found no place."""
    yield say("未解除的预警", "open episodes") + ("" if one.episodes else say("：无", ": none"))
    for episode in one.episodes:
        bank = "" if episode.bank_id is None else f" {_bank(settings, episode.bank_id)}"
        yield (
            f"  {say(*SEVERITY[episode.severity])} {episode.names[language()]}{bank}  "
            f"{say('自', 'since')} {time_text(episode.opened_ms)}"
        )
        yield f"    {episode.sentences[language()]}"
    if one.episode_overflow:
        yield say(
            f"  有信号因位置不足未立为预警：{one.episode_overflow} 次",
            f"  signals that found no place: {one.episode_overflow} times",
        )
    yield ""


def _loans(one: Explanation, settings: Settings) -> Iterator[str]:
    yield say("贷款", "loans") + ("" if one.loans else say("：无", ": none"))
    for loan in one.loans:
        dpd = (
            say("逾期天数未报", "days past due not reported")
            if loan.dpd is None
            else say(f"逾期 {loan.dpd} 天", f"{loan.dpd} days past due")
        )
        closed = "" if loan.open else say("　已结清", "  closed")
        name = say("（借据号未留）", "(id not kept)") if loan.loan_id is None else loan.loan_id
        yield (
            f"  {_bank(settings, loan.bank_id)} {name}  "
            f"{say('余额', 'outstanding')} {loan.outstanding_minor / 100:,.2f}  {dpd}{closed}"
        )
    if one.loan_overflow_day is not None:
        on = date_of(one.loan_overflow_day)
        yield say(
            f"  有贷款因位置不足未保留：{one.loan_overflow} 次，最近 {on}",
            f"  loans that found no place: {one.loan_overflow} times, last on {on}",
        )
    yield ""


def _bank(settings: Settings, bank_id: str | None) -> str:
    names = {bank.bank_id: bank.name_zh for bank in settings.banks}
    return "" if bank_id is None else f"{names.get(bank_id, '')} {bank_id}".strip()
