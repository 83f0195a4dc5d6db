"""Follow the alerts of a bank, or of the supervisor, as sentences as they come. Ctrl-C ends it.

--bank takes a code or a name and shows what that bank is sent; without it, all alerts as the supervisor gets them, and
once each bank whose data has stopped coming, or comes again.
Sentences are in the language of the locale; --json shows the record itself, with the Chinese text that it carries.
--scores adds scores as they move, for the supervisor: score.v1 is no bank's to read.
--subscription FILE shows what that file of a bank asks for, and says at the end how much it held back and why.

Example: xinliu tail --bank 示例银行一
         xinliu tail --from-start --count 100 --json
         xinliu tail --subscription desk.toml

Exit codes: 0 ended by you or by --count, 1 Kafka or the archive does not answer, 2 wrong call or setting.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cli.banks import bank_named, places_of
from cli.numbers import count_of
from cli.words import complain, language, reason_of, say, time_text
from config.case_table import packaged_case_table
from config.catalogue import signals
from config.errors import SettingsError
from config.settings import Settings
from domain import topics
from domain.outputs import Alert, FeedHealth, FeedMessage, Score
from domain.printable import printable
from sinks.routing import Handler, Router, Subscriptions, load

if TYPE_CHECKING:
    from sinks.clickhouse import Connection
    from streams.sentences import Sentences  # with numba: too heavy for `xinliu --help`

ZH = """随到随印一家银行（或监管）的预警，一条一句。Ctrl-C 结束。

--bank 给机构编码或名称，看的就是发给这家银行的内容；不给则是监管看到的全部，以及哪家银行数据中断或恢复，各印一次。
句子按语言环境用中文或英文；--json 印记录本身及其所带的中文文本。
--scores 同时印评分变化，只限监管：score.v1 不给任何一家银行看。
--subscription 文件：只印这份银行订阅文件要的，结束时写明拦下多少条、为什么。

例：xinliu tail --bank 示例银行一
    xinliu tail --from-start --count 100 --json
    xinliu tail --subscription desk.toml

退出码：0 由你或 --count 结束；1 Kafka 或档案库没有应答；2 用法或设置有误。
"""
AT_ONCE = 500
SEEN_MAX = 200_000  # (alert, revision) pairs that repeats are recognised by
LATEST = 2**62  # offset
Shown = Alert | Score | FeedHealth
KINDS: Mapping[type, str] = {Alert: "alert", Score: "score", FeedHealth: "feed"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the reader, the start and the number."""
    parser.add_argument("--bank", metavar=say("编码或名称", "CODE-or-NAME"), help=say("哪家银行", "which bank"))
    parser.add_argument(
        "--subscription", type=Path, metavar="FILE", help=say("只印这份订阅文件要的", "what this file asks for alone")
    )
    parser.add_argument("--scores", action="store_true", help=say("同时印评分变化", "scores too"))
    parser.add_argument(
        "--from-start", action="store_true", help=say("从主题保留的最早一条起", "from the oldest that the topic holds")
    )
    parser.add_argument(
        "--count", type=count_of, default=None, metavar="N", help=say("印 N 条后结束", "end after N lines")
    )
    parser.add_argument("--json", action="store_true", help=say("每条一行 JSON", "one JSON object a line"))


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print until told to end."""
    from confluent_kafka import KafkaException

    from sinks.clickhouse import Refused, Unavailable, connect, target_of
    from streams.sentences import Sentences

    asked = None
    if args.subscription is not None:
        findings = {finding.id: finding.signals for finding in packaged_case_table().table.findings}
        asked = load(args.subscription, [row.id for row in signals()], findings)
    bank_id = _bank(args, settings, asked)
    if bank_id is not None and args.scores:
        raise SettingsError(
            say("--scores 只限监管，不能与 --bank 同用", "--scores is the supervisor's, not for --bank")
        )
    if bank_id is None:
        names = [topics.ALERT_SUPERVISOR, topics.FEED, *([topics.SCORE] if args.scores else [])]
    else:
        names = [topics.bank_alerts(bank_id)]
    sentences, banks = Sentences(settings.kafka), {bank.bank_id: bank.name_zh for bank in settings.banks}
    router = None if asked is None else Router(asked)
    try:
        with ExitStack() as opened:
            coming = opened.enter_context(closing(_shown(settings, names, from_start=args.from_start)))
            if router is not None:
                opened.callback(_report, router)
                db = (
                    opened.enter_context(closing(connect(target_of(settings.clickhouse))))
                    if router.asks_handlers
                    else None
                )
                coming = opened.enter_context(closing(_routed(coming, router, db, bank_id)))
            for count, one in enumerate(coming, 1):
                print(_json(one) if args.json else printable(sentence(one, sentences, banks)), flush=True)
                if count == args.count:
                    break
    except KafkaException as error:
        complain("tail", *[f"{settings.kafka.bootstrap}: {printable(error.args[0].str())}"] * 2)
        return 1
    except (Refused, Unavailable) as error:
        complain("tail", *[printable(reason_of(error))] * 2)
        return 1
    except KeyboardInterrupt:
        pass  # how one ends it
    return 0


def _bank(args: argparse.Namespace, settings: Settings, asked: Subscriptions | None) -> str | None:
    """Return the code of the bank whose alerts are shown; None: the supervisor's.

    Raise SettingsError where the subscription file is another bank's, or asks for what only a bank's alerts have.
    """
    given, of_file = args.bank, None if asked is None else asked.bank
    bank_id = None if given is None else bank_named(settings, given).bank_id
    if asked is None:
        return bank_id
    if of_file is not None:
        named = bank_named(settings, of_file).bank_id
        if bank_id is not None and bank_id != named:
            raise SettingsError(
                say(f"{args.subscription} 的 bank 是 {named}，--bank 是 {bank_id}",
                    f"{args.subscription} bank is {named}, and --bank is {bank_id}")
            )  # fmt: skip
        bank_id = named
    if bank_id is None and any(one.asks_handlers for one in asked.subscription):
        raise SettingsError(
            say(f"{args.subscription}：branches、managers 只用于一家银行的预警，请写明 bank",
                f"{args.subscription}: branches and managers are of one bank's alerts: say which with bank")
        )  # fmt: skip
    return bank_id


def _routed(
    coming: Iterator[Shown], router: Router, db: Connection | None, bank_id: str | None
) -> Generator[Shown, None, None]:
    """Yield the alerts that are delivered, and all that is no alert. `db`: the archive, if it is asked for handlers."""
    from sinks.clickhouse.loan_facts import handlers

    for one in coming:
        if not isinstance(one, Alert):
            yield one
            continue
        known: list[Handler] = []
        if db is not None and bank_id is not None:
            up_to = LATEST if one.offset < 0 else one.offset  # a notice tells no offset
            known = handlers(db, bank_id, one.enterprise_id, up_to, {loan.loan_id for loan in one.loans})
        if router.decide(one, known).delivered:
            yield one


def _report(router: Router) -> None:
    """Say on stderr how many alerts were shown and held back."""
    held = router.held
    shown = router.counts.total() - sum(held.values())
    print(
        say(f"订阅：印出 {shown} 条预警，拦下 {sum(held.values())} 条（未订阅 {held['not_subscribed']}，"
            f"静默期内重复 {held['quiet']}）",
            f"subscription: {shown} alerts shown, {sum(held.values())} held back ({held['not_subscribed']} not "
            f"subscribed to, {held['quiet']} repeats within quiet_days)"),
        file=sys.stderr,
    )  # fmt: skip


def sentence(one: Shown, sentences: Sentences, banks: Mapping[str, str]) -> str:
    """Return what an officer reads: when, what, about whom, why, and what to do. banks: names by code."""
    when = time_text(one.as_of)[:16]
    if isinstance(one, Score):
        note = say("（日历暂定）", " (provisional calendar)") if one.provisional_calendar is True else ""
        return say(
            f"{when} {one.enterprise_id} 评分 {one.score}，等级 {one.grade}{note}",
            f"{when} {one.enterprise_id} score {one.score}, grade {one.grade}{note}",
        )
    if isinstance(one, FeedHealth):
        return f"{when} {_of_feed(one, ' '.join((*filter(None, [banks.get(one.bank_id)]), one.bank_id)))}"
    said = sentences.of(one, language())
    return say(
        f"{when} {said.title} {one.enterprise_id}：{said.text}{said.action}",
        f"{when} {said.title} {one.enterprise_id}: {said.text} {said.action}",
    )


def _of_feed(feed: FeedHealth, bank: str) -> str:
    last = "—" if feed.last_event_time is None else time_text(feed.last_event_time)[:16]
    if feed.stalled:
        return say(
            f"【数据中断】{bank}：末笔 {last}。主要流水在该行的企业暂缓判断，恢复后再判。请联系该行补送",
            f"[Feed stalled] {bank}: newest event {last}. Signals on enterprises that bank there are held until it is "
            "back. Ask the bank to send what is missing",
        )
    return say(
        f"【数据恢复】{bank}：末笔 {last}。暂缓的预警重新判断",
        f"[Feed back] {bank}: newest event {last}. Signals that were held are judged again",
    )


def _shown(settings: Settings, names: list[str], *, from_start: bool) -> Generator[Shown, None, None]:
    """Yield new lines without repeats.

    Each revision of an alert once, only newer scores of an enterprise, and a bank's feed where it stalls or is back.
    """
    revisions: dict[tuple[str, int], None] = {}
    scores: dict[str, tuple[int, int]] = {}
    stalled: dict[str, bool] = {}
    decode_alert, decode_score = msgspec.json.Decoder(Alert).decode, msgspec.json.Decoder(Score).decode
    decode_feed = msgspec.json.Decoder(FeedMessage).decode
    for topic, value in _records(settings, names, from_start=from_start):
        if topic == topics.SCORE:
            score = decode_score(value)
            at = (score.offset, score.seq)
            if at > scores.get(score.enterprise_id, (-1, -1)):
                scores[score.enterprise_id] = at
                yield score
            continue
        if topic == topics.FEED:
            feed = decode_feed(value)
            if not isinstance(feed, FeedHealth) or feed.last_event_time is feed.covered_up_to is None:
                continue  # a bank that has never sent anything is no dead feed
            if feed.stalled != stalled.get(feed.bank_id, False):
                stalled[feed.bank_id] = feed.stalled
                yield feed
            continue
        alert = decode_alert(value)
        if (alert.alert_id, alert.revision) in revisions:
            continue
        revisions[alert.alert_id, alert.revision] = None
        if len(revisions) > SEEN_MAX:
            del revisions[next(iter(revisions))]
        yield alert


def _records(settings: Settings, names: list[str], *, from_start: bool) -> Iterator[tuple[str, bytes]]:
    """Yield (topic, value) forever.

    Raise KafkaException where the broker does not answer, and SettingsError where a topic is missing.
    """
    from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaException, TopicPartition

    from replay.reading import assign, consumer

    places = places_of(settings, names)
    reading: Any = consumer(settings.kafka)
    try:
        start = OFFSET_BEGINNING if from_start else OFFSET_END
        assign(reading, (TopicPartition(*place, start) for place in places))
        while True:
            for message in reading.consume(AT_ONCE, timeout=0.2):
                if (error := message.error()) is not None:
                    raise KafkaException(error)
                if message.value() is not None:
                    yield message.topic(), message.value()
    finally:
        reading.close()


def _json(one: Shown) -> str:
    return printable(msgspec.json.encode({"kind": KINDS[type(one)], **msgspec.to_builtins(one)}).decode())
