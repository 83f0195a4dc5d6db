"""Hand all partitions of the log to the engine of this program.

activate  every partition goes on under this program's engine version (xinliu --version) from the control record on

Each worker of the former engine reads its partitions up to that record, writes everything before it, and stops.
Workers of this one refuse a partition before that: run this with the new program while the old workers run, wait until
`xinliu status` shows all partitions at the record, then start the new workers.

The model and the rules in force stay. Where they came with the former program alone, this refuses, and says what to
publish with it.

The way back is the same with the former program. Where a later record names an engine again, that engine passes over
those before it that named others: so it goes on with what it had been told to leave and nobody else has begun.

Example: xinliu engine activate --by zhang --reason "release 1.4"

Exit codes: 0 done, or it was so already; 1 Kafka does not answer, or who and why are missing; 2 wrong call or setting.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from cli.deciding import NotDecided, add_decision_arguments, decide, guarded, signed
from cli.words import say
from config.settings import Settings
from domain.events import Control
from streams import control_log

if TYPE_CHECKING:
    from streams.score.partition import PartitionState

ZH = """把日志的所有分区交给本程序的引擎。

activate  从这条控制记录起，各分区由本程序的引擎版本（xinliu --version）继续

旧引擎的进程把每个分区读到这条记录，写完之前的一切，然后停下；在此之前，新引擎的进程拒绝接手。所以：旧进程运行着，用新程序
执行本命令，等 xinliu status 显示所有分区都停在这条记录上，再启动新进程。

在用的模型和规则不变。只有旧程序自带、主题里没有的，本命令拒绝，并说明先用旧程序发布什么。

回退也是这条命令，用旧程序执行。后来的记录又指定某个引擎时，它略过之前指定别的引擎的记录：交出去而还没有人接手的分区，由它接着做。

例：xinliu engine activate --by 张三 --reason "升级到 1.4"

退出码：0 已办，或本来就是如此；1 Kafka 没有应答，或没有写明谁、为什么；2 用法或设置有误。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="activate")
    activate = actions.add_parser("activate", help=say("从此由本程序的引擎继续", "go on under this program's engine"))
    add_decision_arguments(activate)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do it."""
    return guarded("engine", lambda: _activate(args, settings))


def _activate(args: argparse.Namespace, settings: Settings) -> int:
    word = _word(args, settings)
    code = decide(settings, word)
    if isinstance(word, Control):
        print(
            say(
                f"引擎 {word.artefact_id}：旧进程读到这里自行停下；xinliu status 显示所有分区都到了之后，启动新进程",
                f"engine {word.artefact_id}: the workers of the former engine stop there by themselves; once "
                "xinliu status shows all partitions there, start workers of this one",
            )
        )
    return code


def _word(args: argparse.Namespace, settings: Settings) -> Control | str:
    from streams.score.version import engine_version

    said, ours = control_log.read(settings), engine_version()
    newest = said.engine
    if newest is not None and newest.artefact_id == ours:
        return say(
            f"引擎 {ours} 已经启用（{newest.author}：{newest.reason}）",
            f"engine {ours} is activated already ({newest.author}: {newest.reason})",
        )
    _demand_artefacts(settings)
    by, reason = signed(args)
    return control_log.next_control(said, "engine_version", artefact_id=ours, by=by, reason=reason)


def _demand_artefacts(settings: Settings) -> None:
    """Raise NotDecided where this engine cannot go on with a model or rules that are in force in a partition."""
    import redis

    from detectors.rules.conditions import RuleError
    from detectors.scorecard import scorecard
    from detectors.snapshot import SnapshotError
    from sinks.artefacts import ArtefactMissing
    from sinks.client import client_settings
    from streams.artefacts import rules_of, snapshot_of

    source = settings.kafka.bootstrap, client_settings(settings.kafka)
    try:
        states = list(_states(settings))
    except redis.RedisError as error:
        raise NotDecided(f"[redis]: {error}") from error
    wanted = {("model", one.model_id) for one in states} | {("rules", one.rules_id) for one in states}
    for kind, name in sorted(wanted):
        try:
            scorecard(snapshot_of(*source, name)) if kind == "model" else rules_of(*source, name)
        except ArtefactMissing as error:
            zh = (
                f"在用的 {kind} {name} 是旧程序自带的，主题里没有："
                f"先用旧程序执行 xinliu artefact publish {kind} packaged"
            )
            en = (
                f"{kind} {name} is in force, came with the former program and is in no topic: run "
                f"`xinliu artefact publish {kind} packaged` with that first"
            )
            raise NotDecided(say(zh, en)) from error
        except (SnapshotError, RuleError) as error:
            zh = f"本引擎不能用在用的 {kind} {name}：{error}；先启用别的"
            en = f"this engine cannot go on with {kind} {name}, in force now: {error}; activate another first"
            raise NotDecided(say(zh, en)) from error


def _states(settings: Settings) -> Iterator[PartitionState]:
    from sinks.redis_store import opened, partition_state
    from streams.score.partition import PartitionState

    with opened(settings.redis) as client:
        for number in range(settings.kafka.log_partitions):
            if (stored := partition_state(client, settings.redis.key_prefix, number)) is not None:
                yield msgspec.json.decode(stored, type=PartitionState)
