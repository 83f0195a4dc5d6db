"""Check the ledger: recount the log, and compare it with what Redis and the committed offsets say.

check  for each partition of events.v1 up to its low offset: records of enterprises against the counts in their values,
       ticks, controls and unreadable records against the partition's counts, letters against conflict and late; for
       each input: consumed = accepted + receipts + dead-lettered + quarantined (offsets of unreadable batches that were
       skipped)

It may run beside workers.

Example: xinliu ledger check --json

Exit codes: 0 everything is accounted for; 1 something is not (each line names topic, partition and by how much), or a
server does not answer; 2 wrong call or setting.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from cli.words import complain, reason_of, say
from config.settings import Settings

ZH = """对账：从头数一遍日志，与 Redis 和已提交的位点所说的比较。

check  events.v1 的每个分区，到其低位点为止：企业记录数对各企业状态里的计数，时钟、控制和读不懂的记录对分区计数，
       死信对冲突和迟到；每个输入：读入 = 接受 + 回执 + 死信 + 隔离（读不出而已跳过的批次所占的位点）

可以在运行中使用。

例：xinliu ledger check --json

退出码：0 全部对得上；1 有对不上的（每行写明主题、分区、差几条），或服务器没有应答；2 用法或设置有误。
"""


WHAT_ZH = {
    "consumed = accepted + receipts + dead-lettered + quarantined": "读入 = 接受 + 回执 + 死信 + 隔离",
    "the low offset lies in the log": "低位点在日志之内",
    "records (those that are gone too) = outcomes, ticks, controls, unreadable": (
        "记录（连同已删的）= 各结果、时钟、控制、读不懂的"
    ),
    "records of enterprises = applied + duplicate + conflict + late + refused": (
        "企业记录 = 入账 + 重复 + 冲突 + 迟到 + 拒绝的处置动作"
    ),
    "enterprises whose count differs": "计数不同的企业",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action."""
    parser.add_argument("action", choices=("check",), help=say("对账", "recount and compare"))
    parser.add_argument("--json", action="store_true", help=say("输出一个 JSON 对象", "one JSON object"))


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Recount, print, and say whether all of it holds."""
    import redis
    from confluent_kafka import KafkaException

    from features.layout import LayoutError
    from replay.ledger import take_stock
    from replay.reading import ReadingFailed
    from sinks.redis_store import opened

    try:
        with opened(settings.redis) as client:
            ledger = take_stock(settings, client)
    except (KafkaException, ReadingFailed) as error:
        complain("ledger", *[f"{settings.kafka.bootstrap}: {reason_of(error)}"] * 2)
        return 1
    except (redis.RedisError, LayoutError) as error:
        complain("ledger", *[f"redis: {error}"] * 2)
        return 1
    if args.json:
        print(msgspec.json.encode(_document(ledger)).decode())
    elif sys.stdout.isatty():
        _show(ledger)
    else:
        for line in _lines(ledger):
            print(line)
    return 0 if ledger.balanced else 1


def _document(ledger: Any) -> dict[str, Any]:
    checks = [
        {**msgspec.structs.asdict(check), "difference": check.right - check.left, "holds": check.holds}
        for check in ledger.checks
    ]
    return {"balanced": ledger.balanced, "inputs": ledger.inputs, "checks": checks, "notes": ledger.notes}


def _lines(ledger: Any) -> Iterator[str]:
    for count in ledger.inputs:
        dead = " ".join(f"{reason}={number}" for reason, number in count.dead_lettered.items()) or say("无", "none")
        yield say(
            f"{count.topic}[{count.partition}]  自 {count.first_offset}：读入 {count.consumed}，接受 {count.accepted}，"
            f"回执 {count.receipts}，死信 {dead}，隔离 {count.quarantined}",
            f"{count.topic}[{count.partition}]  from {count.first_offset}: consumed {count.consumed}, "
            f"accepted {count.accepted}, receipts {count.receipts}, dead-lettered {dead}, "
            f"quarantined {count.quarantined}",
        )
    for check in ledger.checks:
        verdict = say("平", "ok") if check.holds else say("不平", "WRONG")
        yield f"{verdict:<6}{check.where}  {_what(check)}: {_said(check)}"
    yield from (f"{say('注', 'note')}  {note}" for note in ledger.notes)
    yield _verdict(ledger)


def _show(ledger: Any) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    inputs = Table(title=say("输入", "inputs"), title_justify="left")
    columns: tuple[tuple[Literal["left", "right"], str], ...] = (
        ("left", say("主题", "topic")), ("right", say("自", "from")), ("right", say("读入", "consumed")),
        ("right", say("接受", "accepted")), ("right", say("回执", "receipts")), ("left", say("死信", "dead-lettered")),
        ("right", say("隔离", "quarantined")),
    )  # fmt: skip
    for justify, name in columns:
        inputs.add_column(name, justify=justify)
    for count in ledger.inputs:
        dead = ", ".join(f"{reason} {number:,}" for reason, number in count.dead_lettered.items())
        inputs.add_row(
            escape(f"{count.topic}[{count.partition}]"),
            *(f"{number:,}" for number in (count.first_offset, count.consumed, count.accepted, count.receipts)),
            escape(dead),
            f"{count.quarantined:,}",
        )
    checks = Table(title=say("核对", "checks"), title_justify="left")
    for name in ("", say("何处", "where"), say("什么", "what"), say("数得，声称", "counted, said")):
        checks.add_column(name)
    for check in ledger.checks:
        verdict = f"[green]{say('平', 'ok')}[/]" if check.holds else f"[bold red]{say('不平', 'WRONG')}[/]"
        checks.add_row(verdict, escape(check.where), escape(_what(check)), escape(_said(check)))
    console.print(inputs, checks)
    for note in ledger.notes:
        console.print(escape(note))
    console.print(escape(_verdict(ledger)))


def _what(check: Any) -> str:
    """Return the name of a comparison; `<outcome> = its dead letters in <topic>` besides those of the table."""
    outcome, _, topic = check.what.partition(" = its letters in ")
    return say(f"{outcome} = {topic} 里的死信" if topic else WHAT_ZH.get(check.what, check.what), check.what)


def _said(check: Any) -> str:
    if check.holds:
        return f"{check.left:,}"
    note = f" ({ascii(check.note)[1:-1]})" if check.note else ""
    left, right, more = f"{check.left:,}", f"{check.right:,}", f"{check.right - check.left:+,}{note}"
    return say(f"数得 {left}，声称 {right}：{more}", f"counted {left}, said {right}: {more}")


def _verdict(ledger: Any) -> str:
    wrong = sum(not check.holds for check in ledger.checks)
    return say(f"{len(ledger.checks)} 项核对，{wrong} 项不平", f"{len(ledger.checks)} checks, {wrong} wrong")
