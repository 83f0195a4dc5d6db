"""List the dead letters, show one, or send some back to their topics.

list   how many, by source topic and reason (--each: every one)
show   opens one, by the coordinates of the record it was made of: TOPIC PARTITION OFFSET. Who and why are asked, and
       written to audit.v1 before anything is shown. A record of our own topics is read where it stands.
opened lists who opened which, or sent which without its source, and why
retry  sends records to the feeds they came from, after what made them wrong has been set right; needs --yes.
       A record is sent only where it still stands at its coordinates, byte for byte; where that is past retention
       only with --source-gone WHY and --by, which audit.v1 keeps. What is not sealed, or of control.v1, is not sent.
       A payload with credentials is not held and cannot be sent. Dead letters stay in dlq.v1.
keys   makes the key pair in a folder: ingest seals with the public half, show and retry open with the private one

What banks sent is sealed: show and retry need [seal] private_key_file, which is for operators alone.

Example: xinliu dlq list --reason unknown_currency --each
         xinliu dlq show bank.C1010211000012.events.v1 0 18201 --by zhang --reason "the bank asks which field"

Exit codes: 0 done; 1 nothing found, not confirmed or signed, cannot be opened, or Kafka does not answer; 2 wrong call
or setting.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
from confluent_kafka import KafkaException

from cli.deciding import NotDecided, add_decision_arguments, signed
from cli.numbers import offset_of
from cli.words import complain, reason_of, say, time_text
from config.settings import Settings
from domain.outputs import DeadLetter, Refused, Resent
from domain.printable import printable
from domain.reject import Reason
from sinks.kafka import DeliveryFailed
from streams.dead_letter_log import Contents, Letter, note_opening, openings, read, retry
from streams.seal import CannotOpen, key_files

ZH = """列出死信，看一条，或把一些送回原主题。

list   按来源主题和原因汇总（--each 逐条）
show   按原记录的坐标拆开一条：主题 分区 位点。要写明谁、为什么，先记入 audit.v1，然后才显示。
       本平台主题里的记录，到原处去读。
opened 列出谁、为什么、拆开过哪一条，或没有原记录可核对就送回了哪一条
retry  改正了原因之后，把原记录送回原数据流；需要 --yes。
       只送坐标处仍有、且逐字节相同的记录；已过保留期的，要加 --source-gone 为什么 和 --by，记入 audit.v1。
       没有密封的、control.v1 的，不送。
       含密码等的原文不保存，不能送回。死信仍留在 dlq.v1。
keys   在一个文件夹里生成一对密钥：ingest 用公钥密封，show 和 retry 用私钥拆封

银行发来的内容都是密封的：show 和 retry 需要 [seal] private_key_file，它只归运维人员。

例：xinliu dlq list --reason unknown_currency --each
    xinliu dlq show bank.C1010211000012.events.v1 0 18201 --by 张三 --reason "银行询问是哪个字段"

退出码：0 已办；1 没找到、没有确认或写明谁和为什么、拆不开，或 Kafka 没有应答；2 用法或设置有误。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and the choice of dead letters."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|opened|retry|keys")
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
            sub.add_argument(
                "--source-gone",
                metavar=say("为什么", "WHY"),
                help=say("原记录已过保留期的也送；写明为什么", "send those whose source is past retention, and why"),
            )
            sub.add_argument("--by", metavar=say("谁", "WHO"), help=say("谁决定的", "who decides --source-gone"))
        sub.add_argument("--json", action="store_true")
    show = actions.add_parser("show", help=say("拆开一条", "open one"))
    show.add_argument("topic")
    show.add_argument("partition", type=offset_of)
    show.add_argument("offset", type=offset_of)
    add_decision_arguments(show)
    show.add_argument("--json", action="store_true")
    opened = actions.add_parser("opened", help=say("谁拆开过", "who opened which"))
    opened.add_argument("--json", action="store_true")
    keys = actions.add_parser("keys", help=say("生成密钥", "make the key pair"))
    keys.add_argument("folder", type=Path, metavar=say("文件夹", "DIR"))


def run(args: argparse.Namespace, settings: Settings) -> int:
    """0 done; 1 nothing found, not confirmed or signed, cannot be opened, or the broker does not do it."""
    actions = {"list": _list, "show": _show, "opened": _opened, "retry": _retry, "keys": _keys}
    try:
        return actions[args.action](args, settings)
    except (KafkaException, DeliveryFailed, TimeoutError) as error:
        complain("dlq", *[f"{settings.kafka.bootstrap}: {reason_of(error)}"] * 2)
    except (NotDecided, CannotOpen, OSError, ValueError) as error:
        complain("dlq", *[printable(str(error))] * 2)
    return 1


def _chosen(args: argparse.Namespace, settings: Settings) -> Iterator[Letter]:
    for letter in read(settings):
        head = letter.head
        wanted = (("reason", head.reason), ("topic", head.topic), ("offset", head.offset))
        if all(getattr(args, name) in (None, value) for name, value in wanted):
            yield letter


def _list(args: argparse.Namespace, settings: Settings) -> int:
    if args.each:
        for letter in _chosen(args, settings):
            print(_json(msgspec.structs.replace(letter.head, sealed=None)) if args.json else _line(letter.head))
        return 0
    counts = Counter((letter.head.topic, letter.head.reason) for letter in _chosen(args, settings))
    if args.json:
        print(_json([{"topic": t, "reason": r, "count": n} for (t, r), n in sorted(counts.items())]))
        return 0
    for (topic, reason), count in sorted(counts.items()):
        print(printable(f"{count:>8}  {reason:<20}  {topic}"))
    print(f"{counts.total():>8}  {say('合计', 'in all')}")
    return 0


def _show(args: argparse.Namespace, settings: Settings) -> int:
    where, wanted = f"{args.topic}[{args.partition}]@{args.offset}", (args.topic, args.partition, args.offset)
    found = [one for one in read(settings) if (one.head.topic, one.head.partition, one.head.offset) == wanted]
    if not found:
        complain("dlq", f"没有 {where} 的死信", f"there is no dead letter of {where}")
        return 1
    by, reason = signed(args)
    contents = Contents(settings)
    records = [contents.of(letter) for letter in found]
    note_opening(settings, [letter.head for letter in found], by=by, reason=reason)
    for letter, record in zip(found, records, strict=True):
        if args.json:
            shown = msgspec.structs.replace(letter.head, sealed=None)
            print(_json(msgspec.to_builtins(shown) | {"record": record}))
        else:
            print(_line(letter.head))
            _print_record(letter.head, record)
    return 0


def _print_record(head: DeadLetter, record: Refused | None) -> None:
    """Print as literals: a record may hold anything, and a terminal obeys control characters."""
    digest = f", SHA-256 {record.payload_sha256}" if record is not None and record.payload_sha256 else ""
    print(f"  {say('原文', 'payload')}: {head.payload_bytes} B{digest}")
    for name, what in (("key", say("键", "key")), ("headers", say("头", "headers"))):
        if record is not None and (value := getattr(record, name)):
            print(f"  {what}: {value!a}")
    if record is not None and record.payload:
        print(f"  {record.payload!r}")
    else:
        print(say("  （未保存）", "  (not held)"))


def _opened(args: argparse.Namespace, settings: Settings) -> int:
    for one in openings(settings):
        where, what = f"{one.topic}[{one.partition}]@{one.offset}", ""
        if isinstance(one, Resent):
            what = say("  未核对原记录送回", "  sent without its source")
        line = f"{time_text(one.at)}  {where}  {one.reason_refused}{what}  {one.by}: {one.reason}"
        print(_json(one) if args.json else printable(line))
    return 0


def _keys(args: argparse.Namespace, _settings: Settings) -> int:
    for name, file in key_files(args.folder).items():
        print(printable(f"[seal] {name} = {str(file)!r}"))
    return 0


def _retry(args: argparse.Namespace, settings: Settings) -> int:
    chosen = list(_chosen(args, settings))
    if not args.yes:
        count = len(chosen)
        complain(
            "dlq", f"将送回 {count} 条死信；加 --yes 才送", f"{count} dead letters would be sent; --yes sends them"
        )
        return 1
    unseen = None
    if args.source_gone is not None:
        unseen = signed(argparse.Namespace(by=args.by, reason=args.source_gone))
    done = retry(settings, chosen, unseen=unseen)
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
