"""`xinliu replay log`: record `events.v1` into a file, or replay such a file."""

import argparse
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from cli.words import say
from config.errors import SettingsError
from config.settings import Settings, load

# What belongs to the replay of a source, and what to that of a log: named where it stands with the other.
ONLY_LOG = ("in_process", "as_recorded", "record", "outputs")


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the log alone."""
    group = parser.add_argument_group(say("只用于 log", "log only"))
    group.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help=say("把 --config 的 events.v1 记进文件", "write events.v1 of --config"),
    )
    group.add_argument(
        "--in-process",
        action="store_true",
        help=say("就在本进程里，不用 Kafka 和 Redis", "in this process, without Kafka and Redis"),
    )
    group.add_argument(
        "--as-recorded",
        action="store_true",
        help=say(
            "与 --in-process 同用：沿用记录时的位点，输出就是当时的字节",
            "with --in-process: keep the recorded offsets; outputs are then the bytes of that time",
        ),
    )
    group.add_argument(
        "--outputs",
        type=Path,
        metavar="FILE",
        help=say("把全部输出写成 JSON 行，按主题和键排", "write all outputs as JSON lines, by topic and key"),
    )


def refuse_strangers(args: argparse.Namespace) -> None:
    """SettingsError where an option of the log stands with another source."""
    for name in ONLY_LOG:
        if args.name != "log" and getattr(args, name):
            option = f"--{name.replace('_', '-')}"
            raise SettingsError(say(f"{option} 只用于 replay log", f"{option} goes with replay log"))


def run(args: argparse.Namespace, progress: Any) -> int:
    """Record, or replay and report."""
    _refuse_combinations(args)
    if args.record:
        return _record(args, progress)
    from replay.log_file import LogFile
    from replay.outputs import Outputs
    from replay.sources import SourceError

    if args.data is None:
        raise SourceError(
            say("log 需要 --data 文件（--record 记出的）", "log needs --data FILE, which --record has written")
        )
    log = LogFile(args.data)
    with Outputs() as outputs:
        return _report(args, _replay(args, log, outputs, progress), outputs)


def _refuse_combinations(args: argparse.Namespace) -> None:
    """SettingsError for options that contradict each other, by name."""
    together = (
        ("record", "data", "--record", "--data"),
        ("record", "in_process", "--record", "--in-process"),
        ("speed", "name", "--speed", "log"),
    )
    for one, other, name, other_name in together:
        if getattr(args, one) is not None and getattr(args, one) is not False and getattr(args, other):
            raise SettingsError(say(f"{name} 与 {other_name} 不能同用", f"{name} does not go with {other_name}"))
    if args.as_recorded and not args.in_process:
        raise SettingsError(
            say(
                "--as-recorded 要与 --in-process 同用：新主题从 0 编号",
                "--as-recorded needs --in-process: a fresh topic counts from 0",
            )
        )
    if args.record and not args.config:
        raise SettingsError(say("--record 需要 --config（写在动词之前）", "--record needs --config, before the verb"))


def _record(args: argparse.Namespace, progress: Any) -> int:
    from confluent_kafka import KafkaException

    from replay.log_writer import record_log
    from replay.reading import ReadingFailed
    from replay.run import ReplayFailed

    settings = load(Path(args.config))
    try:
        count = record_log(settings, args.record)
    except (KafkaException, ReadingFailed) as error:
        raise ReplayFailed(f"{settings.kafka.bootstrap}: {error}") from error
    progress(say(f"{count:,} 条记录写入 {args.record}", f"{count:,} records written to {args.record}"))
    return 0


def _replay(args: argparse.Namespace, log: Any, outputs: Any, progress: Any) -> Any:
    from replay.log_replay import replay_in_process, replay_into
    from replay.run import ReplayFailed
    from streams.score.partition import EngineVersionChanged

    try:
        if args.in_process:
            return replay_in_process(log, outputs, progress, as_recorded=args.as_recorded)
        with ExitStack() as exits:
            return replay_into(log, _servers(args, log, progress, exits), outputs, progress)
    except EngineVersionChanged as error:
        raise ReplayFailed(str(error)) from error


class _Given:
    """Servers of the operator, whose workers run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def launch_workers(self, roles: Iterable[str]) -> None:
        """They run."""

    def check(self) -> None:
        """They are not ours to look after."""


def _servers(args: argparse.Namespace, log: Any, progress: Any, exits: ExitStack) -> Any:
    from cli.replay import given_servers, started

    if args.config:
        return _Given(given_servers(args, log))
    return exits.enter_context(started(args, log, progress, log_partitions=log.head.partitions))


def _report(args: argparse.Namespace, found: Any, outputs: Any) -> int:
    """Print and write what was asked for; 1 where a record is not accounted for, or the alerts are others."""
    from cli.replay import judged_episodes
    from replay.episodes import episodes
    from replay.state import write_whole
    from replay.summary import log_markdown

    text = log_markdown(found)
    print(text, end="")
    if path := args.summary:
        write_whole(path, msgspec.json.encode(found) if path.suffix == ".json" else text.encode())
    if path := args.outputs:
        outputs.write(path)
    wrong = judged_episodes(args, episodes(outputs.alerts()))
    return 0 if found.balanced and not wrong else 1
