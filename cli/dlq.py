"""List the dead letters, show one, or send some back to their topics.

list   how many, by source topic and reason (--each: every one)
show   one by the coordinates of the record it was made of: TOPIC PARTITION OFFSET
retry  sends payloads to the topics they came from, after what made them wrong has been set right; needs --yes.
       A payload with credentials is not held and cannot be sent. Dead letters stay in dlq.v1.

Example: xinliu dlq list --reason unknown_currency --each

Exit codes: 0 done; 1 nothing found, not confirmed, or Kafka does not answer; 2 wrong call or setting.
"""

import argparse
from collections import Counter
from collections.abc import Iterator

import msgspec
from confluent_kafka import KafkaException

from cli.numbers import offset_of
from cli.words import complain, reason_of, say
from config.settings import Settings
from domain.outputs import DeadLetter
from domain.printable import printable
from domain.reject import Reason
from sinks.kafka import DeliveryFailed
from streams.dead_letter_log import read, retry

ZH = """列出死信，看一条，或把一些送回原主题。

list   按来源主题和原因汇总（--each 逐条）
show   按原记录的坐标看一条：主题 分区 位点
retry  改正了原因之后，把原文送回原主题；需要 --yes。
       含密码等的原文不保存，不能送回。死信仍留在 dlq.v1。

例：xinliu dlq list --reason unknown_currency --each

退出码：0 已办；1 没找到、没有确认，或 Kafka 没有应答；2 用法或设置有误。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and the choice of dead letters."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|retry")
    for name, what in (("list", say("列出", "list them")), ("retry", say("送回原主题", "send them again"))):
        sub = actions.add_parser(name, help=what)
        sub.add_argument("--reason", choices=[reason.value for reason in Reason])
        sub.add_argument("--topic", help=say("来源主题", "source topic"))
        sub.add_argument("--offset", type=offset_of, help=say("在来源主题里的位点", "offset in the source topic"))
        if name == "list":
            sub.add_argument(
                "--each", action="store_true", help=say("逐条，不带原文", "every dead letter, without its payload")
            )
        else:
            sub.add_argument("--yes", action="store_true", help=say("真的送回", "really send them"))
        sub.add_argument("--json", action="store_true")
    show = actions.add_parser("show", help=say("看一条", "show one"))
    show.add_argument("topic")
    show.add_argument("partition", type=offset_of)
    show.add_argument("offset", type=offset_of)
    show.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """0 done; 1 nothing found, not confirmed, or the broker does not do it."""
    actions = {"list": _list, "show": _show, "retry": _retry}
    try:
        return actions[args.action](args, settings)
    except (KafkaException, DeliveryFailed, TimeoutError) as error:
        complain("dlq", *[f"{settings.kafka.bootstrap}: {reason_of(error)}"] * 2)
        return 1


def _chosen(args: argparse.Namespace, settings: Settings) -> Iterator[DeadLetter]:
    for letter in read(settings):
        wanted = (("reason", letter.reason), ("topic", letter.topic), ("offset", letter.offset))
        if all(getattr(args, name) in (None, value) for name, value in wanted):
            yield letter


def _list(args: argparse.Namespace, settings: Settings) -> int:
    if args.each:
        for letter in _chosen(args, settings):
            print(_json(msgspec.structs.replace(letter, payload=b"")) if args.json else _line(letter))
        return 0
    counts = Counter((letter.topic, letter.reason) for letter in _chosen(args, settings))
    if args.json:
        print(_json([{"topic": t, "reason": r, "count": n} for (t, r), n in sorted(counts.items())]))
        return 0
    for (topic, reason), count in sorted(counts.items()):
        print(printable(f"{count:>8}  {reason:<20}  {topic}"))
    print(f"{counts.total():>8}  {say('合计', 'in all')}")
    return 0


def _show(args: argparse.Namespace, settings: Settings) -> int:
    wanted = (args.topic, args.partition, args.offset)
    found = [one for one in read(settings) if (one.topic, one.partition, one.offset) == wanted]
    if not found:
        where = f"{args.topic}[{args.partition}]@{args.offset}"
        complain("dlq", f"没有 {where} 的死信", f"there is no dead letter of {where}")
        return 1
    for letter in found:
        if args.json:
            print(_json(letter))
            continue
        print(_line(letter))
        print(f"  {say('原文', 'payload')}: {letter.payload_bytes} B, SHA-256 {letter.payload_sha256}")
        # As a literal: a payload may hold anything, and a terminal obeys control characters.
        print(f"  {letter.payload!r}" if letter.payload else say("  （未保存）", "  (not held)"))
    return 0


def _retry(args: argparse.Namespace, settings: Settings) -> int:
    chosen = list(_chosen(args, settings))
    if not args.yes:
        count = len(chosen)
        complain(
            "dlq", f"将送回 {count} 条死信；加 --yes 才送", f"{count} dead letters would be sent; --yes sends them"
        )
        return 1
    done = retry(settings, chosen)
    if args.json:
        print(_json({"sent": done.sent, "refused": [{"letter": _line(one), "why": why} for one, why in done.refused]}))
    else:
        for letter, why in done.refused:
            print(f"{say('不能送回', 'refused')} {_line(letter)}: {printable(why)}")
        counts = done.sent, len(done.refused)
        print(say("送回 %d 条，不能送回 %d 条", "%d sent, %d refused") % counts)
    return 0


def _line(letter: DeadLetter) -> str:
    where = f"{letter.topic}[{letter.partition}]@{letter.offset}"
    return printable(f"{where}  {letter.reason}  {letter.field or ''}  {letter.detail}")


def _json(value: object) -> str:
    # JSON itself escapes C0 alone: not DEL, C1 (U+009B begins a control sequence too) or what turns the direction.
    return printable(msgspec.json.encode(value).decode("utf-8"))
