"""Follow the alerts of a bank, or of the supervisor, as sentences as they come. Ctrl-C ends it.

--bank takes a code or a name and shows what that bank is sent; without it, all alerts as the supervisor gets them.
Sentences are in the language of the locale; --json shows the record itself, with the Chinese text that it carries.
--scores adds scores as they move, for the supervisor: score.v1 is no bank's to read.

Example: xinliu tail --bank 示例银行一
         xinliu tail --from-start --count 100 --json

Exit codes: 0 ended by you or by --count, 1 Kafka does not answer, 2 wrong call or setting.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec

from cli.banks import bank_named
from cli.numbers import count_of
from cli.words import complain, language, say, time_text
from config.errors import SettingsError
from config.settings import Settings
from domain import topics
from domain.outputs import Alert, Score
from domain.printable import printable

if TYPE_CHECKING:
    from streams.sentences import Sentences  # with numba: too heavy for `xinliu --help`

ZH = """随到随印一家银行（或监管）的预警，一条一句。Ctrl-C 结束。

--bank 给机构编码或名称，看的就是发给这家银行的内容；不给则是监管看到的全部。
句子按语言环境用中文或英文；--json 印记录本身及其所带的中文文本。
--scores 同时印评分变化，只限监管：score.v1 不给任何一家银行看。

例：xinliu tail --bank 示例银行一
    xinliu tail --from-start --count 100 --json

退出码：0 由你或 --count 结束；1 Kafka 没有应答；2 用法或设置有误。
"""
AT_ONCE = 500
SEEN_MAX = 200_000  # (alert, revision) pairs that repeats are recognised by
Shown = Alert | Score


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the reader, the start and the number."""
    parser.add_argument("--bank", metavar=say("编码或名称", "CODE-or-NAME"), help=say("哪家银行", "which bank"))
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

    from streams.sentences import Sentences

    if args.bank is not None and args.scores:
        raise SettingsError(
            say("--scores 只限监管，不能与 --bank 同用", "--scores is the supervisor's, not for --bank")
        )
    if args.bank is None:
        names = [topics.ALERT_SUPERVISOR, *([topics.SCORE] if args.scores else [])]
    else:
        names = [topics.bank_alerts(bank_named(settings, args.bank).bank_id)]
    sentences = Sentences(settings.kafka)
    try:
        with closing(_shown(settings, names, from_start=args.from_start)) as coming:
            for count, one in enumerate(coming, 1):
                print(_json(one) if args.json else printable(sentence(one, sentences)), flush=True)
                if count == args.count:
                    break
    except KafkaException as error:
        complain("tail", *[f"{settings.kafka.bootstrap}: {printable(error.args[0].str())}"] * 2)
        return 1
    except KeyboardInterrupt:
        pass  # how one ends it
    return 0


def sentence(one: Shown, sentences: Sentences) -> str:
    """Return what an officer reads: when, what, about whom, why, and what to do."""
    when = time_text(one.as_of)[:16]
    if isinstance(one, Score):
        note = say("（日历暂定）", " (provisional calendar)") if one.provisional_calendar is True else ""
        return say(
            f"{when} {one.enterprise_id} 评分 {one.score}，等级 {one.grade}{note}",
            f"{when} {one.enterprise_id} score {one.score}, grade {one.grade}{note}",
        )
    said = sentences.of(one, language())
    return say(
        f"{when} {said.title} {one.enterprise_id}：{said.text}{said.action}",
        f"{when} {said.title} {one.enterprise_id}: {said.text} {said.action}",
    )


def _shown(settings: Settings, names: list[str], *, from_start: bool) -> Generator[Shown, None, None]:
    """Yield new lines without repeats: each revision of an alert once, only newer scores of an enterprise."""
    revisions: dict[tuple[str, int], None] = {}
    scores: dict[str, tuple[int, int]] = {}
    decode_alert, decode_score = msgspec.json.Decoder(Alert).decode, msgspec.json.Decoder(Score).decode
    for topic, value in _records(settings, names, from_start=from_start):
        if topic == topics.SCORE:
            score = decode_score(value)
            at = (score.offset, score.seq)
            if at > scores.get(score.enterprise_id, (-1, -1)):
                scores[score.enterprise_id] = at
                yield score
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

    from replay.offsets import Offsets
    from replay.reading import assign, consumer

    places = Offsets(settings.kafka).partitions(names)
    if missing := set(names) - {topic for topic, _ in places}:
        raise SettingsError(say(f"没有主题 {'、'.join(missing)}", f"there is no topic {', '.join(missing)}"))
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
    kind = "alert" if isinstance(one, Alert) else "score"
    return printable(msgspec.json.encode({"kind": kind, **msgspec.to_builtins(one)}).decode())
