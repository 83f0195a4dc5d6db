"""List the records that came too late to be applied by themselves, or admit some.

list   how many, by bank and day of the event (--each: every one, with its coordinates)
admit  admits the record at these coordinates of events.v1: ingest appends it to the log again, and score applies it
       however late it is. Sums over days, weeks and months are exact as far as they reach back, what depends on order
       is approximate. Who and why are asked; a record is admitted once.

Example: xinliu late list --bank 示例银行一
         xinliu late admit 3 18201 --by zhang --reason "confirmed by the bank"

Exit codes: 0 done, or admitted already; 1 not found, Kafka does not answer, or who and why are missing; 2 wrong call or
setting.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from cli.banks import bank_named
from cli.deciding import NotDecided, add_decision_arguments, decide, guarded, signed
from cli.numbers import offset_of
from cli.words import say, time_text
from config.settings import Settings
from domain import topics
from domain.calendar import date_of, day_of
from domain.events import Control
from domain.outputs import EventName
from domain.printable import printable
from streams import control_log
from streams.dead_letter_log import Letter, of_old, read
from streams.dead_letters import name_of

ZH = """列出来得太迟、没有自动入账的记录，或补入其中的。

list   按银行和事件日期汇总（--each 逐条，带坐标）
admit  准予补入 events.v1 这一坐标的记录：ingest 把它再次写入日志，score 不论多迟都予入账。
       日、周、月的合计在其可及范围内精确，依赖先后次序的量近似。要写明谁、为什么；一条记录只补入一次。

例：xinliu late list --bank 示例银行一
    xinliu late admit 3 18201 --by 张三 --reason "银行已确认"

退出码：0 已办，或先前已补入；1 找不到、Kafka 没有应答，或没有写明谁、为什么；2 用法或设置有误。
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """One record of late.v1: where it stands in events.v1, and what it says."""

    partition: int
    offset: int
    event: EventName


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and the choice of records."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|admit")
    listing = actions.add_parser("list", help=say("列出", "list them"))
    listing.add_argument("--bank", metavar=say("编码或名称", "CODE-or-NAME"))
    listing.add_argument("--each", action="store_true", help=say("逐条", "every one"))
    listing.add_argument("--json", action="store_true")
    admit = actions.add_parser("admit", help=say("补入一条", "admit one"))
    admit.add_argument("partition", type=offset_of)
    admit.add_argument("offset", type=offset_of)
    add_decision_arguments(admit)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do it."""
    actions: dict[str, Callable[[], int]] = {
        "list": lambda: _list(args, settings),
        "admit": lambda: decide(settings, _word(args, settings)),
    }
    return guarded("late", actions[args.action])


def late_records(settings: Settings) -> Iterator[Late]:
    """Return the records of late.v1, each once."""
    seen: set[tuple[int, int]] = set()
    for letter in read(settings, topics.LATE):
        head = letter.head
        at = (head.partition, head.offset)
        if head.topic == topics.EVENTS and at not in seen:
            seen.add(at)
            yield Late(partition=head.partition, offset=head.offset, event=head.event or _event_of_old(letter))


def _event_of_old(letter: Letter) -> EventName:
    """Return the event in a letter of before they named it."""
    record = of_old(letter)
    if record is None or not record.payload:
        where = f"{topics.EVENTS}[{letter.head.partition}]@{letter.head.offset}"
        raise NotDecided(f"{topics.LATE}: the letter of {where} does not say which event it is")
    return name_of(record.payload)


def _list(args: argparse.Namespace, settings: Settings) -> int:
    bank_id = None if args.bank is None else bank_named(settings, args.bank).bank_id
    admitted = control_log.read(settings).admitted()
    chosen = [one for one in late_records(settings) if bank_id in (None, one.event.bank_id)]
    if args.each:
        for one in chosen:
            word = admitted.get(control_log.coordinates(one.partition, one.offset))
            print(printable(_json(one, word) if args.json else _line(one, word)))
        return 0
    counts = Counter((one.event.bank_id, day_of(one.event.event_time)) for one in chosen)
    rows = [(bank, date_of(day).isoformat(), count) for (bank, day), count in sorted(counts.items())]
    if args.json:
        print(msgspec.json.encode([{"bank_id": b, "day": d, "count": n} for b, d, n in rows]).decode())
        return 0
    for bank, day, count in rows:
        print(printable(f"{count:>8}  {day}  {bank}"))
    print(say(f"{counts.total():>8}  合计", f"{counts.total():>8}  in all"))
    return 0


def _word(args: argparse.Namespace, settings: Settings) -> Control | str:
    where = control_log.coordinates(args.partition, args.offset)
    said = control_log.read(settings)
    if (before := said.admitted().get(where)) is not None:
        return say(
            f"先前已补入（{before.author}：{before.reason}）", f"admitted before ({before.author}: {before.reason})"
        )
    if not any((one.partition, one.offset) == (args.partition, args.offset) for one in late_records(settings)):
        raise NotDecided(say(f"late.v1 里没有 {where}", f"late.v1 has no {where}"))
    by, reason = signed(args)
    return control_log.next_control(said, "admit", artefact_id=where, by=by, reason=reason)


def _line(one: Late, word: Control | None) -> str:
    done = "" if word is None else say(f"  已补入（{word.author}）", f"  admitted ({word.author})")
    return (
        f"{one.partition} {one.offset}  {time_text(one.event.event_time)}  {one.event.bank_id}  "
        f"{one.event.enterprise_id}  {one.event.type}  {one.event.event_id}{done}"
    )


def _json(one: Late, word: Control | None) -> str:
    row = {
        "partition": one.partition,
        "offset": one.offset,
        "bank_id": one.event.bank_id,
        "enterprise_id": one.event.enterprise_id,
        "type": one.event.type,
        "event_id": one.event.event_id,
        "event_time": one.event.event_time,
        "admitted_by": None if word is None else word.author,
    }
    return msgspec.json.encode(row).decode()
