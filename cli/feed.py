"""List the places where feeds were held, or decide how a paused feed goes on.

A feed is held at a batch that cannot be read, at a record of an enterprise beyond the bank's quota of new ones (reason
new_enterprises), or at a record that is refused beyond what an hour may be (refused_records). The place is kept in
quarantine.v1, and the feed is paused: other feeds go on, and days close as with a silent bank. A batch of learn's
requests (model.request.v1) is passed over instead.

list    every such place, and whether its feed is paused there
resume  has the batch fetched again, as after an upgrade; what is read then is applied. Of new enterprises, it grants
        as many more as [ingest] new_enterprises_max from there on, of refused records feed_refused_per_hour_max
skip    has the feed go on after the batch or the record, of which nothing is applied; --to says where, if its header
        does not, or to leave out more
open    writes a batch, as far as it is kept, into a file; it is sealed, and needs [seal] private_key_file

FEED is a bank (code or name) or a topic. Who and why are asked; of open, they are written to audit.v1.

Example: xinliu feed list
         xinliu feed skip 示例银行一 --by zhang --reason "the bank sends the day again"

Exit codes: 0 done; 1 the feed is not paused, Kafka does not answer, or who and why are missing; 2 wrong call or
setting.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from cli.banks import bank_named
from cli.deciding import NotDecided, add_decision_arguments, decide, guarded, signed
from cli.numbers import offset_of
from cli.words import say
from config.settings import Settings
from config.whole_file import write_whole
from domain import topics
from domain.events import Control
from domain.outputs import QuarantinedBatch
from domain.printable import printable
from streams import control_log

ZH = """列出数据流停过的地方，或决定暂停的数据流怎样继续。

有一批读不出，一条记录的企业超出银行的新企业限额（原因 new_enterprises），或拒收的记录超出一小时的额度（原因
refused_records），数据流就停在那里，记入 quarantine.v1；其他银行照常，日终按这家银行沉默处理。学习请求
（model.request.v1）里读不出的一批跳过不停。

list    逐个列出，并说明数据流是否停在那里
resume  把这一批再取一次（例如升级之后），读得出就照常入账；新企业则从那里起再给一份限额
        （[ingest] new_enterprises_max），拒收的记录再给一小时的额度（feed_refused_per_hour_max）
skip    跳过这一批（条）继续，其中的记录一条也不入账；批头没写明到哪里为止，或要多跳过一些的，用 --to 给出
open    把保存下来的一批写入文件；它是密封的，需要 [seal] private_key_file

FEED 是银行（编码或名称）或主题。要写明谁、为什么；open 的记入 audit.v1。

例：xinliu feed list
    xinliu feed skip 示例银行一 --by 张三 --reason "银行将重发当天数据"

退出码：0 已办；1 数据流没有暂停、Kafka 没有应答，或没有写明谁、为什么；2 用法或设置有误。
"""
Place = tuple[str, int]
_OTHERS = topics.GATEWAY, topics.MODEL_REQUEST  # whose unreadable batches are quarantined, besides those of banks
ACTIONS: Mapping[str, Literal["feed_resume", "feed_skip"]] = {"resume": "feed_resume", "skip": "feed_skip"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeds:
    """The batches of quarantine.v1, and what ingest has committed of each feed."""

    batches: tuple[QuarantinedBatch, ...]
    committed: Mapping[Place, int]

    def paused(self) -> dict[Place, QuarantinedBatch]:
        """Return, by feed, the batch that it is paused at: one that ingest has not passed.

        Ingest passes over one of learn's by itself.
        """
        return {(one.topic, one.partition): one for one in self.batches if self.is_ahead(one)}

    def is_ahead(self, batch: QuarantinedBatch) -> bool:
        """Return whether ingest has not passed the batch, and will not by itself."""
        return (
            batch.topic != topics.MODEL_REQUEST
            and self.committed.get((batch.topic, batch.partition), 0) <= batch.offset
        )


def read_feeds(settings: Settings) -> Feeds:
    """Ask Kafka for the feeds. Raise KafkaException or ArtefactMissing where it does not answer."""
    from replay.offsets import Offsets
    from sinks.retriable import ANSWER_S
    from streams.ingest.quarantine import quarantined

    offsets = Offsets(settings.kafka)
    names = (*(topics.bank_events(bank.bank_id) for bank in settings.banks), topics.GATEWAY)
    batches = tuple(quarantined(settings))  # first: what is passed meanwhile is seen as passed
    return Feeds(batches=batches, committed=offsets.committed("ingest", offsets.partitions(names), wait_s=ANSWER_S))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|resume|skip|open")
    listing = actions.add_parser("list", help=say("列出", "list them"))
    listing.add_argument("--json", action="store_true")
    deeds = (
        ("resume", say("再取一次", "fetch the batch again")),
        ("skip", say("跳过", "go on after it")),
        ("open", say("写入文件", "write it into a file")),
    )
    for name, what in deeds:
        sub = actions.add_parser(name, help=what)
        sub.add_argument(
            "feed", metavar="FEED", help=say("银行（编码或名称）或主题", "a bank (code or name) or a topic")
        )
        if name == "skip":
            sub.add_argument(
                "--to", type=offset_of, metavar=say("位点", "OFFSET"), help=say("从哪里继续", "where to go on")
            )
        if name == "open":
            sub.add_argument("offset", type=offset_of, help=say("它的位点", "its offset"))
            sub.add_argument("--out", type=Path, required=True, metavar=say("文件", "FILE"))
        add_decision_arguments(sub)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do it."""
    actions: dict[str, Callable[[], int]] = {
        "list": lambda: _list(args, read_feeds(settings)),
        "resume": lambda: decide(settings, _word(args, settings)),
        "skip": lambda: decide(settings, _word(args, settings)),
        "open": lambda: _open(args, settings),
    }
    return guarded("feed", actions[args.action])


def _list(args: argparse.Namespace, feeds: Feeds) -> int:
    paused = feeds.paused().values()
    if args.json:
        shown = [msgspec.structs.replace(one, sealed=None, batch=b"") for one in feeds.batches]
        rows = [
            msgspec.to_builtins(one) | {"paused": of in paused} for one, of in zip(shown, feeds.batches, strict=True)
        ]
        print(printable(msgspec.json.encode(rows).decode()))
        return 0
    for one in feeds.batches:
        state = say("暂停于此", "paused here") if one in paused else say("已过", "passed")
        after = "?" if one.next_offset is None else one.next_offset
        print(
            printable(
                f"{one.topic}[{one.partition}]@{one.offset}–{after}  {state}  {one.reason}  "
                f"{one.batch_bytes:,} B  CRC-32C {one.batch_crc32c:08x}  {one.detail}"
            )
        )
    count = len(paused)
    print(say(f"{len(feeds.batches)} 处，{count} 条数据流暂停", f"{len(feeds.batches)} places, {count} feeds paused"))
    return 0


def _topic(args: argparse.Namespace, settings: Settings) -> str:
    topic: str | None = args.feed if args.feed in _OTHERS or topics.bank_of(args.feed) else None
    return topic or topics.bank_events(bank_named(settings, args.feed).bank_id)


def _open(args: argparse.Namespace, settings: Settings) -> int:
    from streams.dead_letter_log import note_opening
    from streams.ingest.quarantine import quarantined
    from streams.seal import load_opener, place_of

    topic, where = _topic(args, settings), (args.feed, args.offset)
    found = next((one for one in quarantined(settings) if (one.topic, one.offset) == (topic, args.offset)), None)
    if found is None:
        raise NotDecided(say("quarantine.v1 里没有 %s@%d", "quarantine.v1 has no %s@%d") % where)
    by, reason = signed(args)
    batch = found.batch
    if found.sealed is not None:
        opener = load_opener(settings.seal.private_key_file)
        batch = opener.open(found.sealed, place_of(found.topic, found.partition, found.offset))
    note_opening(settings, [found], by=by, reason=reason)
    try:
        write_whole(args.out, batch, mode=0o600)
    except OSError as error:
        raise NotDecided(f"--out: {error}") from error
    print(printable(f"{args.out}: {len(batch):,} / {found.batch_bytes:,} B"))
    return 0


def _word(args: argparse.Namespace, settings: Settings) -> Control | str:
    topic = _topic(args, settings)
    found = read_feeds(settings).paused().get((topic, 0))
    if found is None:
        raise NotDecided(say(f"{topic} 没有暂停", f"{topic} is not paused"))
    next_offset = None
    if args.action == "skip":
        next_offset = found.next_offset if args.to is None else args.to
        if next_offset is None:
            text = say("批头不可信，不知道到哪里为止：用 --to 给出", "its header does not say where it ends: give --to")
            raise NotDecided(f"{topic}@{found.offset}: {text}")
        if next_offset <= found.offset:
            raise NotDecided(say(f"--to 要大于 {found.offset}", f"--to must be above {found.offset}"))
    said, action = control_log.read(settings), ACTIONS[args.action]
    if (before := said.skipped().get((topic, 0, found.offset))) is not None:
        return say(
            f"先前已跳过（{before.author}：{before.reason}）", f"skipped before ({before.author}: {before.reason})"
        )
    by, reason = signed(args)
    return control_log.next_control(said, action, by=by, reason=reason, batch=found, next_offset=next_offset)
