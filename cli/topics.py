"""Make, check or list the Kafka topics that these settings need.

create   makes those that are missing, also of each bank; what is there stays as it is
check    says what differs from config/topics.toml, with both values
describe prints every topic with its settings, without asking the broker

Example: xinliu --config site.toml topics create

Exit codes: 0 done, 1 the broker differs or does not answer, 2 wrong call or setting.
"""

import argparse
import json

from confluent_kafka import KafkaException

from cli.words import complain, say
from config.settings import Settings
from streams.topics import create_topics, differences, wanted_topics

ZH = """创建、检查或列出这些设置所需的 Kafka 主题。

create   创建缺少的，包括每家银行的；已有的不动
check    与 config/topics.toml 不同的，连同两边的值
describe 列出每个主题及其设置，不问 Kafka

例：xinliu --config site.toml topics create

退出码：0 已办，1 Kafka 上的不同或没有应答，2 用法或设置有误。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action."""
    parser.add_argument("action", choices=("create", "check", "describe"))
    parser.add_argument(
        "--json",
        action="store_true",
        help=say("describe 和 check：一个 JSON 数组", "describe and check: one JSON array"),
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """0 done, 1 the broker differs or does not answer."""
    if args.action == "describe":
        return _describe(settings, as_json=args.json)
    try:
        return _create(settings) if args.action == "create" else _check(settings, as_json=args.json)
    except KafkaException as error:
        complain("topics", *[f"{settings.kafka.bootstrap}: {error.args[0].str()}"] * 2)
        return 1


def _create(settings: Settings) -> int:
    made = create_topics(settings)
    for name in made:
        print(say(f"创建了 {name}", f"created {name}"))
    there = len(wanted_topics(settings)) - len(made)
    print(say(f"创建 {len(made)} 个主题，{there} 个已有", f"{len(made)} topics created, {there} were there"))
    return 0


def _check(settings: Settings, *, as_json: bool) -> int:
    found = differences(settings)
    if as_json:
        rows = [{"topic": one.topic, "what": one.what, "found": one.found, "wanted": one.wanted} for one in found]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        for one in found:
            print(one)
        print(say("%d 个主题，%d 处不同", "%d topics, %d differences") % (len(wanted_topics(settings)), len(found)))
    return 1 if found else 0


def _describe(settings: Settings, *, as_json: bool) -> int:
    topics = wanted_topics(settings)
    if as_json:
        rows = [
            {
                "topic": topic.name,
                "partitions": topic.partitions,
                "settings": topic.settings,
                "writers": topic.writers,
                "readers": topic.readers,
            }
            for topic in topics
        ]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    for topic in topics:
        plural = "s" if topic.partitions > 1 else ""
        print(f"{topic.name}  " + say(f"{topic.partitions} 个分区", f"{topic.partitions} partition{plural}"))
        print("  " + "  ".join(f"{name}={value}" for name, value in topic.settings.items()))
        writers, readers = ", ".join(topic.writers), ", ".join(topic.readers)
        print(say(f"  写：{writers}；读：{readers}", f"  written by {writers}; read by {readers}"))
    return 0
