"""Show what learn holds: the queue of observations, its bounds, and how far it has read.

It reads the newest checkpoint of learn.v1, so it also answers while no learn worker runs.

Example: xinliu model queue
         xinliu model queue --json

Exit codes: 0 shown; 1 there is no checkpoint yet, it is damaged, or Kafka does not answer; 2 wrong call or setting.
"""

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from cli.words import say
from config.settings import Settings
from domain import topics
from domain.calendar import date_of
from domain.printable import printable

ZH = """查看 learn 保存的内容：待到期的观测队列、上限，以及读到何处。

读取 learn.v1 中最新的检查点，因此没有 learn 进程运行时也能查看。

例：xinliu model queue
    xinliu model queue --json

退出码：0 已显示；1 还没有检查点、检查点损坏，或 Kafka 没有应答；2 用法或设置有误。
"""
MB = 1_000_000


def add_actions(actions: Any) -> None:
    """Add `queue`."""
    text = say(ZH, __doc__ or "").strip()
    queue = actions.add_parser(
        "queue", help=text.splitlines()[0], description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    queue.add_argument("--json", action="store_true")
    queue.set_defaults(act=run)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Read the checkpoint and print it."""
    from sinks.checkpoint_topic import CheckpointDamaged, CheckpointUnavailable

    try:
        found = read_queue(settings)
    except (CheckpointDamaged, CheckpointUnavailable) as error:
        print(printable(f"xinliu model queue: {error}"), file=sys.stderr)
        return 1
    if found is None:
        text = say(
            "还没有检查点：learn 没有运行过，或尚未写出", "there is no checkpoint: learn has not run, or written one"
        )
        print(f"xinliu model queue: {text}", file=sys.stderr)
        return 1
    if args.json:
        print(printable(msgspec.json.encode(found).decode()))
    else:
        for name, value in _lines(found):
            print(printable(f"{name}  {value}"))
    return 0


def read_queue(settings: Settings) -> dict[str, Any] | None:
    """Return what the newest checkpoint says, and the ends of the topics; None where there is no checkpoint.

    Raise CheckpointDamaged, CheckpointUnavailable and KafkaException.
    """
    from replay.offsets import Offsets
    from sinks.checkpoint_topic import CheckpointTopic
    from sinks.client import client_settings
    from streams.learn.checkpoint import State

    kafka = settings.kafka
    head = CheckpointTopic(kafka.bootstrap, topics.LEARN, client=client_settings(kafka)).read_head()
    if head is None:
        return None
    state = msgspec.json.decode(head.state, type=State)
    offsets = Offsets(kafka)
    ends = offsets.ends(offsets.partitions([topics.EVENTS, topics.OBSERVATION]))
    return {
        "checkpoint": head.number,
        "holder": head.holder,
        "written_at_ms": head.written_at_ms,
        "segments": len(head.segments),
        "segments_bytes": sum(segment.size for segment in head.segments.values()),
        "held": state.held,
        "held_max": state.observations_held_max,
        "oldest_day": _date(state.oldest_day),
        "newest_day": _date(state.newest_day),
        "labels": dict(state.labels),
        "retained": state.retained,
        "months_retained": state.months_retained,
        "enterprises": state.enterprises,
        "bytes": state.bytes,
        "repeated": state.repeated,
        "outcomes_too_late": state.outcomes_late,
        "outcomes_unknown": state.outcomes_unknown,
        "unreadable": state.counts.get("unreadable", 0),
        "month_learned": _month(state.month),
        "model_id": state.model_id,
        "waits_for": state.waits_for,
        "places": {
            name: {"next": offset, "end": ends.get((name.rpartition(":")[0], int(name.rpartition(":")[2])))}
            for name, offset in sorted(state.positions.items(), key=lambda item: _place(item[0]))
        },
    }


def _lines(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    written = datetime.fromtimestamp(found["written_at_ms"] / 1_000, UTC).astimezone()
    labels, memory_mb, stored_mb = found["labels"], found["bytes"] / MB, found["segments_bytes"] / MB
    kinds = {
        "good": say("正常", "good"),
        "bad": say("不良", "bad"),
        "already_bad": say("观测日已违约", "already bad"),
        "indeterminate": say("结果不明", "indeterminate"),
    }
    behind = {name: place["end"] - place["next"] for name, place in found["places"].items() if place["end"] is not None}
    days = say("无", "none") if found["oldest_day"] is None else f"{found['oldest_day']} – {found['newest_day']}"
    return [
        (say("检查点", "checkpoint"), f"{found['checkpoint']}  {written:%Y-%m-%d %H:%M:%S}"),
        (say("由谁持有", "held by"), found["holder"]),
        (say("等待", "waits for"), found["waits_for"] or say("无", "nothing")),
        (say("待到期观测", "observations held"), f"{found['held']:,} / {found['held_max']:,}"),
        (say("观测日", "days observed"), days),
        (say("标签", "labels"), "  ".join(f"{text} {labels.get(kind, 0):,}" for kind, text in kinds.items())),
        (
            say("保留的已标注观测", "labelled, kept"),
            say(
                f"{found['retained']:,}（{found['months_retained']} 个月）",
                f"{found['retained']:,} ({found['months_retained']} months)",
            ),
        ),
        (say("企业", "enterprises"), f"{found['enterprises']:,}"),
        (
            say("大小", "size"),
            say(
                f"内存 {memory_mb:,.0f} MB，检查点 {stored_mb:,.0f} MB，{found['segments']} 段",
                f"{memory_mb:,.0f} MB of memory, {stored_mb:,.0f} MB in {found['segments']} segments",
            ),
        ),
        (say("已学到的月份", "month learned"), found["month_learned"] or say("无", "none")),
        (
            say("未用上的", "came to nothing"),
            say(
                f"重复观测 {found['repeated']:,}，过晚的结果 {found['outcomes_too_late']:,}，对不上的结果 "
                f"{found['outcomes_unknown']:,}，读不出 {found['unreadable']:,}",
                f"repeats {found['repeated']:,}, outcomes too late {found['outcomes_too_late']:,}, on nothing known "
                f"{found['outcomes_unknown']:,}, unreadable {found['unreadable']:,}",
            ),
        ),
        *((name, _reached(place, behind.get(name))) for name, place in found["places"].items()),
    ]


def _reached(place: Mapping[str, int | None], behind: int | None) -> str:
    at = f"@{place['next']}"
    return at if behind is None else at + say(f"，落后 {behind:,}", f", {behind:,} behind")


def _place(name: str) -> tuple[str, int]:
    topic, _, partition = name.rpartition(":")
    return topic, int(partition)


def _date(day: int | None) -> str | None:
    return None if day is None else date_of(day).isoformat()


def _month(month: int | None) -> str | None:
    return None if month is None else f"{1970 + month // 12}-{month % 12 + 1:02}"
