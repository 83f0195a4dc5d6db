"""The desk of a bank: list its cases, show one, and act on it: sign, begin, submit, approve, return.

list    the ten customers to deal with today: exposure × level × nearness of the next due day (--all: the whole queue)
show    one case: what happened to it, and its alerts as sentences; --facts: from the archive also the bank's own loans
        (contract, branch, officer, guarantee), the consents in force, and of each alert the own transactions behind it
sign    take the case; begin the check; submit a disposition; approve it, or return it to be checked again
        approve and return are for somebody else than the one who submitted.
submit  --disposition confirmed|false_alarm|known|seasonal|data_fault|to_verify; all but confirmed may hold --until a
        day (to_verify must): before it the alerts of its findings stay away, unless the case is graver. Another
        finding brings it back.

Actions go to desk.events.v1; under the principal of a bank, to that bank's own topic.

Example: xinliu case list --bank 示例银行一
         xinliu case show 3f2a91 --bank 示例银行一 --facts
         xinliu case submit 3f2a91 --bank 示例银行一 --by E1024 --disposition known --until 2026-09-30

Exit codes: 0 done, 1 not applied, not found, or Kafka or the archive does not answer, 2 wrong call or setting.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from cli import case_facts
from cli.banks import bank_named, places_of
from cli.deciding import NotDecided, guarded, one_of
from cli.numbers import count_of, date_of
from cli.words import language, say, time_text
from config.settings import Bank, Settings
from detectors.wording.desk import CHANGES, DISPOSITIONS, ESCALATIONS, LEVELS, STATES
from domain import topics
from domain.calendar import date_of as date_of_day
from domain.calendar import day_of, day_of_date
from domain.cases import OPEN, ORDER
from domain.events import CaseAction, CaseActionKind, Disposition
from domain.outputs import SEVERITIES, Alert, CaseRecord
from domain.printable import printable
from domain.relations import relations

if TYPE_CHECKING:
    from sinks.clickhouse.case_facts import CaseFacts

ZH = """银行的工作台：列出本行案件、查看其一、处置：签收、开始核查、提交、复核通过、退回。

list    今天该处理的10户：按敞口 × 级别 × 距下一期限远近排序（--all 全部）
show    一个案件：经过，及其预警的语句；--facts 另从档案库列出本行借据（合同、网点、客户经理、担保）、有效授权、
        各预警所依据的本行流水
sign    签收；begin 开始核查；submit 提交结论；approve 复核通过，return 退回重新核查
        复核须由提交人以外的人办理。
submit  --disposition confirmed 属实|false_alarm 误报|known 已知|seasonal 季节性|data_fault 数据问题|to_verify 待核实；
        除属实外可给 --until 日期（待核实必给）：到期前不再推送这些问题的同级预警；出现别的问题即重开。

动作写入 desk.events.v1；以某行身份登录时写入该行自己的主题。

例：xinliu case list --bank 示例银行一
    xinliu case show 3f2a91 --bank 示例银行一 --facts
    xinliu case submit 3f2a91 --bank 示例银行一 --by E1024 --disposition known --until 2026-09-30 --measure 加强监测

退出码：0 已办；1 未生效、找不到，或 Kafka、档案库没有应答；2 用法或设置有误。
"""
TODAY_COUNT = 10
WAIT_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs of the desk."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|sign|begin|submit|approve|return")
    listing = actions.add_parser("list", help=say("列出", "list them"))
    listing.add_argument("--all", action="store_true", help=say("全部未办结案件", "every open case"))
    listing.add_argument("--count", type=count_of, default=TODAY_COUNT, metavar="N")
    listing.add_argument(
        "--on", type=date_of, default=None, metavar=say("日期", "DATE"), help=say("视为今天", "as today")
    )
    listing.add_argument("--json", action="store_true")
    showing = actions.add_parser("show", help=say("看一个", "show one"))
    showing.add_argument("--json", action="store_true")
    showing.add_argument(
        "--facts", action="store_true", help=say("另列本行借据、授权、流水", "also own loans, consents, transactions")
    )
    verbs = [actions.add_parser(kind, help=say(*_HELP[kind])) for kind in get_args(CaseActionKind)]
    for verb in (showing, *verbs):
        verb.add_argument("case", metavar=say("案件", "CASE"), help=say("编号或其开头", "its id, or how it begins"))
    for verb in (listing, showing, *verbs):
        verb.add_argument("--bank", required=True, metavar=say("编码或名称", "CODE-or-NAME"))
    for verb in verbs:
        verb.add_argument("--by", required=True, metavar=say("工号", "STAFF"), help=say("谁办的", "who does it"))
        verb.add_argument("--remark", metavar=say("备注", "TEXT"))
        verb.set_defaults(disposition=None, until=None, measure=None)
    submit = verbs[get_args(CaseActionKind).index("submit")]
    submit.add_argument("--disposition", required=True, choices=get_args(Disposition))
    submit.add_argument("--until", type=date_of, metavar=say("日期", "DATE"))
    submit.add_argument("--measure", metavar=say("措施", "TEXT"))


_HELP = {
    "sign": ("签收", "take it"), "begin": ("开始核查", "begin the check"),
    "submit": ("提交结论", "submit a disposition"),
    "approve": ("复核通过", "approve it"), "return": ("退回", "return it"),
}  # fmt: skip


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do it."""
    bank = bank_named(settings, args.bank)
    work = {"list": _list, "show": _show}.get(args.action, _act)

    def reading() -> int:
        places_of(settings, [topics.bank_cases(bank.bank_id)])
        return work(args, settings, bank)

    return guarded("case", reading)


def _list(args: argparse.Namespace, settings: Settings, bank: Bank) -> int:
    from streams import case_desk

    today = day_of(int(time.time() * 1_000)) if args.on is None else day_of_date(args.on)
    entries = case_desk.queue(list(case_desk.newest(settings, bank.bank_id).values()), today)
    shown = entries if args.all else entries[: args.count]
    if args.json:
        for entry in shown:
            row = {"days_left": entry.days_left, "rank": entry.rank, **msgspec.to_builtins(entry.case)}
            print(printable(msgspec.json.encode(row).decode()))
        return 0
    count, when = len(shown), date_of_day(today).isoformat()
    print(say(f"{bank.name_zh} {when}：今天该处理的{count}户，未办结共 {len(entries)}",
              f"{bank.name_en or bank.name_zh} {when}: {count} to deal with today, {len(entries)} open"))  # fmt: skip
    for entry in shown:
        print(printable(line(entry.case, entry.days_left)))
    return 0


def line(case: CaseRecord, days_left: int | None) -> str:
    """Return a case as one line: level, state, enterprise, exposure, the next due day, and who sees to it."""
    waits = case.state in OPEN and case.due is None and (case.contact_due, case.visit_due) != (None, None)
    due = say("时限暂停", "deadlines wait") if waits else say("无期限", "no due day")
    if case.due is not None and days_left is not None:
        day = date_of_day(case.due).isoformat()
        zh = f"逾期{-days_left}天" if days_left < 0 else f"还有{days_left}天"
        en = f"{-days_left} days overdue" if days_left < 0 else f"{days_left} days left"
        due = say(f"期限 {day}（{zh}）", f"due {day} ({en})")
    exposure = say(
        f"敞口 {case.exposure_minor / 1_000_000:,.1f} 万元", f"exposure {case.exposure_minor / 100:,.0f} yuan"
    )
    parts = (
        case.case_id, say(*LEVELS[case.severity]), say(*STATES[case.state]), case.enterprise_id, exposure, due,
        say(*ESCALATIONS[case.escalation]),
    )  # fmt: skip
    return "  ".join(part for part in parts if part)


def _show(args: argparse.Namespace, settings: Settings, bank: Bank) -> int:
    from streams import case_desk
    from streams.sentences import Sentences

    case = _found(settings, bank, args.case)
    places = {(record.offset, record.seq): record for record in case_desk.records(settings, bank.bank_id)}
    history = [record for _, record in sorted(places.items()) if record.case_id == case.case_id]
    told = case_desk.alerts(settings, bank.bank_id, case.case_id)
    facts = _facts(settings, case, told) if args.facts else None
    if args.json:
        rows = {"case": case, "history": history, "alerts": told}
        if facts is not None:
            rows["facts"] = _as_objects(facts)
        print(printable(msgspec.json.encode(rows).decode()))
        return 0
    today = day_of(int(time.time() * 1_000))
    print(printable(line(case, None if case.due is None else case.due - today)))
    for record in history:
        print(printable(f"  {_event(record)}"))
    for text in case_facts.before_the_alerts(facts) if facts else ():
        print(printable(f"  {text}"))
    sentences, worst = Sentences(settings.kafka), SEVERITIES.index
    for alert in sorted(told, key=lambda alert: (-worst(alert.severity), -alert.as_of)):
        said = sentences.of(alert, language())
        print(printable(f"  {time_text(alert.as_of)[:16]} {said.title} {said.text}{say('', ' ')}{said.action}"))
        for text in case_facts.of_an_alert(facts, alert.alert_id) if facts else ():
            print(printable(f"    {text}"))
    return 0


def _facts(settings: Settings, case: CaseRecord, told: list[Alert]) -> CaseFacts:
    """Return what lies beside a case in the archive. Raise NotDecided where that does not answer."""
    from sinks.clickhouse import Refused, Unavailable, connect, target_of
    from sinks.clickhouse.case_facts import case_facts as facts_of

    try:
        with closing(connect(target_of(settings.clickhouse))) as db:
            return facts_of(db, case, told)
    except (Refused, Unavailable) as error:
        raise NotDecided(f"[clickhouse]: {error}") from error


def _as_objects(facts: CaseFacts) -> dict[str, Any]:
    """Return facts with the names of their fields."""
    transactions = {name: [one._asdict() for one in found] for name, found in facts.transactions.items()}
    return facts._asdict() | {"loans": [loan._asdict() for loan in facts.loans], "transactions": transactions}


def _event(record: CaseRecord) -> str:
    parts: Iterator[str | None] = iter((
        time_text(record.as_of)[:16],
        say(*CHANGES[record.change]),
        say(*LEVELS[record.severity]),
        say(*STATES[record.state]),
        say(*DISPOSITIONS[record.disposition]) if record.disposition else None,
        say("至 ", "until ") + date_of_day(record.until).isoformat() if record.until else None,
        record.measure,
        record.remark,
    ))  # fmt: skip
    return "  ".join(part for part in parts if part)


def _act(args: argparse.Namespace, settings: Settings, bank: Bank) -> int:
    from streams import case_desk

    case = _found(settings, bank, args.case)
    if (case.state, args.action) not in ORDER:
        state = STATES[case.state]
        raise NotDecided(
            say(f"案件 {case.case_id} {state[0]}，此时不能 {args.action}",
                f"case {case.case_id} is {state[1]}: {args.action} does not follow from that")
        )  # fmt: skip
    action = CaseAction(
        event_id=uuid.uuid4().hex,
        bank_id=bank.bank_id,
        enterprise_id=case.enterprise_id,
        event_time=int(time.time() * 1_000),
        case_id=case.case_id,
        action=args.action,
        actor=args.by,
        disposition=args.disposition,
        until=None if args.until is None else args.until.isoformat(),
        measure=args.measure,
        remark=args.remark,
    )
    fields = msgspec.to_builtins(action)
    try:
        msgspec.convert(fields, CaseAction)
    except msgspec.ValidationError as error:  # ingest would refuse it
        raise NotDecided(str(error)) from error
    for fault in relations(fields):
        raise NotDecided(f"--{fault.field}: {fault.detail}")
    topic = case_desk.send(settings, action)
    record = case_desk.outcome(settings, action, WAIT_S)
    if record is None:
        raise NotDecided(
            say(f"已写入 {topic}（{action.event_id}），{WAIT_S:g} 秒内未生效：被拒收的在 dlq.v1；提交人不能复核",
                f"written to {topic} ({action.event_id}), not applied within {WAIT_S:g} s: what is refused stands in "
                "dlq.v1, and nobody reviews what he has submitted")
        )  # fmt: skip
    print(printable(line(record, None if record.due is None else record.due - day_of(action.event_time))))
    return 0


def _found(settings: Settings, bank: Bank, text: str) -> CaseRecord:
    """Return the newest record of the bank's case whose id begins with `text`. Raise NotDecided where it is not one."""
    from streams import case_desk

    cases = case_desk.newest(settings, bank.bank_id)
    return cases[one_of(cases, text, topics.bank_cases(bank.bank_id))]
