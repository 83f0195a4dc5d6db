"""Replay recorded or simulated events through the whole engine, and print what became of every one.

sample      a simulated province of 4 banks and 60 enterprises, 12 months: `xinliu replay sample`
cumcm2020c  invoices of 123 real enterprises: `xinliu replay cumcm2020c --data DIR`
berka       682 real bank accounts up to their loans, and what became of the loans: `xinliu replay berka --data DIR`
events      files of your own, in xinliu.event/1 (docs/events.md): `xinliu replay events --data DIR`
log         a recorded events.v1, through score alone: `xinliu replay log --data FILE`

Kafka, Redis and the workers are started here, over a state folder that a second run goes on from. With `--config FILE`
(before the verb) the servers of that file are used, and its workers must run: nothing is started.

A log is recorded by `xinliu --config site.toml replay log --record FILE`. It goes into fresh topics, or with
--in-process through a process a core, without Kafka and Redis: the outputs are the same, which --outputs FILE lets you
compare. Broken off, such a call goes on after the partitions that it has done. The other sources go the same way with
--in-process: a log is made of them first, which --record FILE keeps.

The expected alerts of the sample are tests/replay/sample_alerts.jsonl; after a meant change of what is raised:
    xinliu replay sample --fresh --expected tests/replay/sample_alerts.jsonl

Example: xinliu replay sample --speed max --summary out.md
         xinliu replay log --data events.log.gz --in-process

Exit codes: 0 the books balance (and the alerts are the expected ones), 1 not, or a server fails, 2 wrong call, setting
or file, 130 interrupted.
"""

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from cli import recorded_log
from cli.numbers import output_of
from cli.progress import Saying
from cli.words import complain, reason_of
from cli.words import say as said
from config.errors import SettingsError
from config.settings import Settings

ZH = """把记录的或模拟的事件重放过整个引擎，并印出每一条的下落。

sample      模拟的 4 家银行、60 户企业、12 个月：xinliu replay sample
cumcm2020c  123 户真实企业的发票：xinliu replay cumcm2020c --data 文件夹
berka       682 个真实银行账户放款前的流水，以及贷款的结局：xinliu replay berka --data 文件夹
events      自己的文件，格式 xinliu.event/1（docs/events.md）：xinliu replay events --data 文件夹
log         一份记录下来的 events.v1，只过 score：xinliu replay log --data 文件

Kafka、Redis 和工作进程在本机启动，状态在一个文件夹里，再次运行接着做。给了 --config 文件（写在动词之前）则用
那里的服务器，工作进程要已在运行：什么都不启动。

日志由 xinliu --config site.toml replay log --record 文件 记下。重放时写进全新的主题；给了 --in-process 则在本机每核
一个进程里过一遍，不用 Kafka 和 Redis：两者的输出相同，用 --outputs 文件 可以比对；中断后再次调用，做完的分区不再重做。
其他数据集加 --in-process 也走这条路：先做成日志，--record 文件 可以留下它。

样例的预期预警在 tests/replay/sample_alerts.jsonl；有意改变了预警之后：
    xinliu replay sample --fresh --expected tests/replay/sample_alerts.jsonl

例：xinliu replay sample --speed max --summary out.md
    xinliu replay log --data events.log.gz --in-process

退出码：0 账平（且预警与预期相同），1 不平，或服务器有故障，2 用法、设置或文件有误，130 被打断。
"""
NAMES = ("sample", "cumcm2020c", "berka", "events", "log")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the source, the speed and the destination."""
    parser.add_argument("name", choices=NAMES, help=said("重放什么", "what to replay"))
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help=said(
            "cumcm2020c、berka、events：数据文件夹；log：文件",
            "cumcm2020c, berka, events: the folder of its files; log: the file",
        ),
    )
    parser.add_argument(
        "--speed",
        type=speed_of,
        default=None,
        metavar="1x|60x|max",
        help=said("事件时间比墙上时间（缺省 max）", "event time to wall time (default max)"),
    )
    parser.add_argument(
        "--summary",
        type=output_of,
        metavar="FILE",
        help=said("摘要也写进文件：.md，或给程序读的 .json", "write the summary too: .md, or .json for programs"),
    )
    parser.add_argument(
        "--expected",
        type=output_of,
        metavar="FILE",
        help=said("写下发出过的各段预警", "write the episodes that were raised"),
    )
    parser.add_argument(
        "--check",
        type=Path,
        metavar="FILE",
        help=said("与文件里的各段预警比对", "compare the episodes with those in FILE"),
    )
    recorded_log.add_log_arguments(parser)
    add_state_arguments(parser)
    parser.set_defaults(settings_needed=False)


def add_state_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the state folder, and whether to begin anew."""
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help=said("状态文件夹（缺省：用户的，或 XINLIU_STATE）", "state folder (default: the user's, or XINLIU_STATE)"),
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help=said("删去已有的状态，重新开始", "remove the state that is there and begin anew"),
    )
    parser.add_argument(
        "--redis-server",
        metavar="PROGRAM",
        help=said(
            "用这个 Redis 或 Valkey 服务器（缺省：随包的，或 XINLIU_REDIS_SERVER）",
            "run this server of Redis or Valkey (default: the bundled one, or XINLIU_REDIS_SERVER)",
        ),
    )


def speed_of(text: str) -> float | None:
    """`60x` as 60.0, `max` as None."""
    if text == "max":
        return None
    if not re.fullmatch(r"\d+(\.\d+)?x", text) or float(text[:-1]) == 0:
        raise argparse.ArgumentTypeError(
            said(
                f"{text!r} 既不是 max，也不是大于零的数加 x，如 60x",
                f"{text!r} is neither max nor a number above zero with x, as 60x",
            )
        )
    return float(text[:-1])


def run(args: argparse.Namespace, _settings: Settings) -> int:
    """Replay and report."""
    recorded_log.refuse_strangers(args)
    if args.check:
        expected_episodes(args.check)  # before minutes of work, not after them
    progress = Saying()
    if args.name == "log" or args.in_process:
        return guarded("replay", lambda: recorded_log.run(args, progress))
    return guarded("replay", lambda: replay(args, checked(args, progress), progress, progress.look))


def replay(args: argparse.Namespace, source: Any, progress: Any, on_look: Any) -> int:
    """Start what is needed, run, write the files that were asked for; the exit code."""
    from replay.run import Replay

    with ExitStack() as exits:
        if args.config:
            settings, stack = given_servers(args, source), None
        else:
            stack = exits.enter_context(started(args, source, progress))
            settings = stack.settings
        return report(args, Replay(source, settings, stack=stack, speed=args.speed).run(on_look))


def report(args: argparse.Namespace, outcome: Any) -> int:
    """Print and write the summary and the episodes; 1 where the books do not balance or the alerts are others."""
    from config.whole_file import write_whole
    from replay.summary import markdown

    text = markdown(outcome.books)
    print(text, end="")
    if path := args.summary:
        write_whole(path, msgspec.json.encode(outcome.books) if path.suffix == ".json" else text.encode())
    wrong = judged_episodes(args, outcome.episodes)
    return 0 if outcome.books.balanced and not wrong else 1


def judged_episodes(args: argparse.Namespace, found: Any) -> list[str]:
    """Write the episodes where `--expected` asks for it, and compare them with `--check`: how they differ."""
    from replay import episodes

    if path := args.expected:
        episodes.write(path, found)
        print(said(f"{len(found)} 段预警写入 {path}", f"{len(found)} episodes written to {path}"))
    wrong: list[str] = []
    if path := args.check:
        wrong = episodes.differences(expected_episodes(path), found)
        for difference in wrong:
            print(said(f"与预期不同：{difference}", f"other than expected: {difference}"), file=sys.stderr)
        print(
            said(
                f"{len(found)} 段预警，与 {path} 有 {len(wrong)} 处不同",
                f"{len(found)} episodes, {len(wrong)} differences from {path}",
            )
        )
    return wrong


def expected_episodes(path: Path) -> Any:
    """Return what `--expected` once wrote. Raise SettingsError with the line that is wrong."""
    from replay import episodes

    try:
        return episodes.read(path)
    except OSError as error:
        raise SettingsError(f"--check {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"--check {error}") from error


def source_of(args: argparse.Namespace) -> Any:
    """Return the source that the call names. Raise SourceError where it cannot be read."""
    from replay import berka, cumcm2020c, events
    from replay.province.source import sample
    from replay.sources import SourceError

    if args.name == "sample":
        if args.data is not None:
            raise SettingsError(said("sample 不需要 --data", "sample takes no --data"))
        return sample()
    files, source = {
        "cumcm2020c": (cumcm2020c.NAMES, cumcm2020c.Invoices),
        "berka": (berka.NAMES, berka.Accounts),
        "events": ((events.TERMS, "*.jsonl / *.parquet"), events.Events),
    }[args.name]
    if args.data is None:
        raise SourceError(
            said(
                f"{args.name} 需要 --data 文件夹，里面有 {' 和 '.join(files)}",
                f"{args.name} needs --data DIR, the folder that holds {' and '.join(files)}",
            )
        )
    return source(args.data)


def checked(args: argparse.Namespace, progress: Any) -> Any:
    """Return the source as `source_of` does, read through where possible, before anything is sent."""
    source = source_of(args)
    if args.name == "events":
        count = source.check()
        progress(said(f"{args.data} 有 {count:,} 条", f"{args.data} holds {count:,} events, receipts among them"))
    return source


def started(args: argparse.Namespace, source: Any, progress: Any, **stack: Any) -> Any:
    """Return the stack over the state folder, to be entered: only the engine that began it goes on with it."""
    from replay.stack import Stack
    from replay.state import default_directory, open_state
    from streams.score.version import engine_version

    binary = redis_binary(args.redis_server or os.environ.get("XINLIU_REDIS_SERVER"))
    directory = (args.state or default_directory(source.name)).absolute()
    went_on = open_state(directory, f"{source.identity}, engine {engine_version()}", fresh=args.fresh)
    progress(
        said(
            f"状态文件夹 {directory}{'：接着做' if went_on else ''}",
            f"state folder {directory}{': going on' if went_on else ''}",
        )
    )
    return Stack(directory, source.banks, redis_binary=binary, on_progress=progress, **stack)


def redis_binary(name: str | None) -> Path | None:
    """Return the server that `--redis-server` names, None by default. Raise SettingsError where there is none."""
    from embedded import PartMissing
    from embedded.redis import named_binary

    try:
        return None if name is None else named_binary(name)
    except PartMissing as error:
        raise SettingsError(f"--redis-server: {error}") from error


def given_servers(args: argparse.Namespace, source: Any) -> Settings:
    """Return the settings of `--config`. Raise SettingsError where they lack a bank of the source."""
    from config.settings import load

    if args.fresh or args.state or args.redis_server:
        raise SettingsError(
            said(
                "--fresh、--state 和 --redis-server 用于在本机启动的服务器；--config 指的是你的服务器",
                "--fresh, --state and --redis-server are for servers started here; --config names servers of yours",
            )
        )
    settings = load(Path(args.config))
    if missing := {bank.bank_id for bank in source.banks} - {bank.bank_id for bank in settings.banks}:
        listed = ", ".join(sorted(missing))
        raise SettingsError(
            said(
                f"{args.config}：[[banks]] 缺少 {listed}，{source.name} 要以其名义送数据",
                f"{args.config}: [[banks]] lacks {listed}, which {source.name} sends for",
            )
        )
    return settings


def guarded(verb: str, work: Callable[[], int]) -> int:
    """Run `work`; what an operator can mend is one message and exit code 1 or 2, an interruption is 130."""
    import redis
    from confluent_kafka import KafkaException

    from embedded import ChildFailed, JarRefused, PartMissing, StateDirectoryBusy, StateUnreadable
    from replay.processes import ProcessEnded
    from replay.reading import ReadingFailed
    from replay.run import ReplayFailed
    from replay.sources import SourceError
    from replay.state import StateError
    from sinks.kafka import DeliveryFailed

    # SIGTERM ends us as Ctrl-C does: children in order, no half-written file.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return int(work())
    except (SourceError, StateError, StateDirectoryBusy, StateUnreadable) as error:
        complain(verb, *[str(error)] * 2)
        return 2
    except (ChildFailed, JarRefused, PartMissing, ProcessEnded, ReplayFailed, ReadingFailed) as error:
        complain(verb, *[str(error)] * 2)
        return 1
    except (KafkaException, DeliveryFailed) as error:
        complain(verb, *[f"Kafka: {reason_of(error)}"] * 2)
        return 1
    except redis.RedisError as error:
        complain(verb, *[f"Redis: {error}"] * 2)
        return 1
    except OSError as error:  # a file that cannot be written, a disk that is full
        complain(verb, *[str(error)] * 2)
        return 1
    except KeyboardInterrupt:
        complain(verb, "被打断；在此启动的都已结束", "interrupted; all that was started here has ended")
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
