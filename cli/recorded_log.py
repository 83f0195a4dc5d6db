"""`xinliu replay log`: record `events.v1` into a file, or replay such a file."""

import argparse
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from cli.numbers import count_of, output_of
from cli.words import reason_of, say
from config.errors import SettingsError
from config.settings import LearnSettings, Settings, load

# What belongs to the replay of a source, and what to that of a log: named where it stands with the other.
ONLY_LOG = ("in_process", "as_recorded", "counts", "learn", "processes", "record", "outputs")
ONLY_IN_PROCESS = ("as_recorded", "counts", "learn", "processes")


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the log alone."""
    group = parser.add_argument_group(say("用于 log，或与 --in-process 同用", "for log, or with --in-process"))
    group.add_argument(
        "--record",
        type=output_of,
        metavar="FILE",
        help=say(
            "把 --config 的 events.v1 记进文件；与 --in-process 同用：留下数据集所成的日志",
            "write events.v1 of --config; with --in-process, keep the log that a data set came to",
        ),
    )
    group.add_argument(
        "--in-process",
        action="store_true",
        help=say("在本机的进程里，每核一个，不用 Kafka 和 Redis", "in a process a core, without Kafka and Redis"),
    )
    group.add_argument(
        "--processes",
        type=count_of,
        metavar="N",
        help=say("与 --in-process 同用：几个进程（缺省每核一个）", "with --in-process: how many (default: one a core)"),
    )
    group.add_argument(
        "--learn",
        action="store_true",
        help=say(
            "与 --in-process 同用：学习在环内，没有暂缓的模型紧接着关月的时钟记录生效",
            "with --in-process: the learner is in the loop; what nothing holds takes effect after its month's tick",
        ),
    )
    group.add_argument(
        "--counts",
        action="store_true",
        help=say(
            "与 --in-process 同用：输出只计数，不生成，更快",
            "with --in-process: count the outputs and make none, which is faster",
        ),
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
        type=output_of,
        metavar="FILE",
        help=say(
            "把全部输出写成 JSON 行，按分区、主题和位点排；以 .lz4 结尾则压缩",
            "write all outputs as JSON lines, by partition, topic and offset; packed where FILE ends in .lz4",
        ),
    )


def refuse_strangers(args: argparse.Namespace) -> None:
    """Raise SettingsError where an option of the log is given with a source that does not go through a log."""
    for name in ONLY_LOG:
        if args.name != "log" and not args.in_process and getattr(args, name):
            option = f"--{name.replace('_', '-')}"
            raise SettingsError(
                say(f"{option} 只用于 replay log 或 --in-process", f"{option} goes with replay log, or --in-process")
            )


def run(args: argparse.Namespace, progress: Any) -> int:
    """Record, or replay and report."""
    _refuse_combinations(args)
    if args.in_process:
        with ExitStack() as exits:
            log, made = _opened(args) if args.name == "log" else _made(args, progress, exits)
            found, episodes_found = _in_process(args, log, progress)
            return _report(args, msgspec.structs.replace(found, made=made), episodes_found)
    if args.record:
        return _record(args, progress)
    from replay.episodes import episodes
    from replay.outputs import Outputs

    log, _ = _opened(args)
    with Outputs(log.head.partitions) as outputs:
        found = _through_servers(args, log, outputs, progress)
        if args.outputs:
            outputs.write(args.outputs)
        return _report(args, found, episodes(outputs.alerts()))


def _opened(args: argparse.Namespace) -> tuple[Any, None]:
    from replay.log_file import LogFile
    from replay.sources import SourceError

    if args.data is None:
        raise SourceError(
            say("log 需要 --data 文件（--record 记出的）", "log needs --data FILE, which --record has written")
        )
    return LogFile(args.data), None


def _made(args: argparse.Namespace, progress: Any, exits: ExitStack) -> tuple[Any, Any]:
    """Make the log of a source, kept where `--record` says, else for the time of the call."""
    from cli.replay import source_of
    from replay.log_file import LogFile
    from replay.source_log import write_log

    source = source_of(args)
    path = args.record or Path(exits.enter_context(TemporaryDirectory(prefix="xinliu-log-"))) / "events.log"
    made = write_log(source, path, say=progress)
    progress(say(f"{made.records:,} 条记录写入 {path}", f"{made.records:,} records written to {path}"))
    return LogFile(path), made


def _refuse_combinations(args: argparse.Namespace) -> None:
    """SettingsError for options that contradict each other, by name."""
    together = (
        ("speed", "name", "--speed", "log"),
        ("counts", "outputs", "--counts", "--outputs"),
        ("in_process", "config", "--in-process", "--config"),
        ("in_process", "state", "--in-process", "--state"),
    )
    for one, other, name, other_name in together:
        if getattr(args, one) is not None and getattr(args, one) is not False and getattr(args, other):
            raise SettingsError(say(f"{name} 与 {other_name} 不能同用", f"{name} does not go with {other_name}"))
    for name in ONLY_IN_PROCESS:
        if getattr(args, name) and not args.in_process:
            option = f"--{name.replace('_', '-')}"
            raise SettingsError(say(f"{option} 要与 --in-process 同用", f"{option} needs --in-process"))
    if args.name == "log":
        for other in ("data", "in_process"):
            if args.record and getattr(args, other):
                option = f"--{other.replace('_', '-')}"
                raise SettingsError(say(f"--record 与 {option} 不能同用", f"--record does not go with {option}"))
    elif args.as_recorded:
        raise SettingsError(say("--as-recorded 只用于 replay log", "--as-recorded goes with replay log"))
    if args.record and not args.config and not args.in_process:
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
        raise ReplayFailed(f"{settings.kafka.bootstrap}: {reason_of(error)}") from error
    progress(say(f"{count:,} 条记录写入 {args.record}", f"{count:,} records written to {args.record}"))
    return 0


def _in_process(args: argparse.Namespace, log: Any, progress: Any) -> Any:
    from replay.log_replay import replay_in_process

    return replay_in_process(
        log,
        progress,
        digest=not args.counts,
        outputs=args.outputs,
        of_alerts=bool(args.expected or args.check),
        as_recorded=args.as_recorded,
        learn=LearnSettings() if args.learn else None,
        processes=args.processes,
        fresh=args.fresh,
    )


def _through_servers(args: argparse.Namespace, log: Any, outputs: Any, progress: Any) -> Any:
    from replay.log_replay import replay_into

    with ExitStack() as exits:
        return replay_into(log, _servers(args, log, progress, exits), outputs, progress)


class _Given:
    """Servers of the operator, whose workers run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def launch_workers(self, roles: Iterable[str]) -> None:
        """Do nothing: they run already."""

    def check(self) -> None:
        """Do nothing: somebody else watches them."""


def _servers(args: argparse.Namespace, log: Any, progress: Any, exits: ExitStack) -> Any:
    from cli.replay import given_servers, started

    if args.config:
        return _Given(given_servers(args, log))
    return exits.enter_context(started(args, log, progress, log_partitions=log.head.partitions))


def _report(args: argparse.Namespace, found: Any, episodes: Any) -> int:
    """Print and write what was asked for; 1 where a record is not accounted for, or the alerts are others."""
    from cli.replay import judged_episodes
    from config.whole_file import write_whole
    from replay.summary import log_markdown

    text = log_markdown(found)
    print(text, end="")
    if path := args.summary:
        write_whole(path, msgspec.json.encode(found) if path.suffix == ".json" else text.encode())
    wrong = judged_episodes(args, episodes)
    return 0 if found.balanced and not wrong else 1
