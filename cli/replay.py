"""Replay recorded or simulated events through the whole engine, and print what became of every one.

sample      the simulator's 3 banks, 200 enterprises, 15 months: `xinliu replay sample`
cumcm2020c  invoices of 123 real enterprises: `xinliu replay cumcm2020c --data DIR`
berka       682 real bank accounts up to their loans, and what became of the loans: `xinliu replay berka --data DIR`

Kafka, Redis and the workers are started here, over a state folder that a second run goes on from. With `--config FILE`
(before the verb) the servers of that file are used, and its workers must run: nothing is started.

The expected alerts of the sample are tests/replay/sample_alerts.jsonl; after a meant change of what is raised:
    xinliu replay sample --fresh --expected tests/replay/sample_alerts.jsonl

Example: xinliu replay sample --speed max --summary out.md

Exit codes: 0 the books balance (and the alerts are the expected ones), 1 not, 2 wrong call or setting, 130 interrupted.
"""

import argparse
import re
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from config.settings import Settings, SettingsError

ZH = """把记录的或模拟的事件重放过整个引擎，并印出每一条的下落。

sample      模拟的 3 家银行、200 户企业、15 个月：xinliu replay sample
cumcm2020c  123 户真实企业的发票：xinliu replay cumcm2020c --data 文件夹
berka       682 个真实银行账户放款前的流水，以及贷款的结局：xinliu replay berka --data 文件夹

Kafka、Redis 和工作进程在本机启动，状态在一个文件夹里，再次运行接着做。给了 --config 文件（写在动词之前）则用
那里的服务器，工作进程要已在运行：什么都不启动。

样例的预期预警在 tests/replay/sample_alerts.jsonl；有意改变了预警之后：
    xinliu replay sample --fresh --expected tests/replay/sample_alerts.jsonl

例：xinliu replay sample --speed max --summary out.md

退出码：0 账平（且预警与预期相同），1 不平，2 用法或设置有误，130 被打断。
"""
NAMES = ("sample", "cumcm2020c", "berka")
SAY_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to replay, how fast, and where to."""
    parser.add_argument("name", choices=NAMES, help="what to replay")
    parser.add_argument("--data", type=Path, metavar="DIR", help="cumcm2020c, berka: the folder of its files")
    parser.add_argument("--speed", type=speed_of, default=None, metavar="1x|60x|max", help="event time to wall time")
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help="write the summary too: .md, or .json for programs"
    )
    parser.add_argument("--expected", type=Path, metavar="FILE", help="write the episodes that were raised")
    parser.add_argument("--check", type=Path, metavar="FILE", help="compare the episodes with those in FILE")
    add_state_arguments(parser)
    parser.set_defaults(settings_needed=False)


def add_state_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the state lies, and whether to begin anew."""
    parser.add_argument("--state", type=Path, metavar="DIR", help="state folder (default: the user's, or XINLIU_STATE)")
    parser.add_argument("--fresh", action="store_true", help="remove the state that is there and begin anew")


def speed_of(text: str) -> float | None:
    """`60x` as 60.0, `max` as None."""
    if text == "max":
        return None
    if not re.fullmatch(r"\d+(\.\d+)?x", text) or float(text[:-1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is neither max nor a number above zero with x, as 60x")
    return float(text[:-1])


def run(args: argparse.Namespace, _settings: Settings) -> int:
    """Replay and report."""
    say = Saying()
    return guarded(lambda: replay(args, source_of(args), say, say.look))


def replay(args: argparse.Namespace, source: Any, say: Any, on_look: Any) -> int:
    """Start what is needed, run, write the files that were asked for; the exit code."""
    from replay.run import Replay

    speed = getattr(args, "speed", None)
    with ExitStack() as exits:
        if args.config:
            settings, stack = given_servers(args, source), None
        else:
            stack = exits.enter_context(started(args, source, say))
            settings = stack.settings
        return report(args, Replay(source, settings, stack=stack, speed=speed).run(on_look))


def report(args: argparse.Namespace, outcome: Any) -> int:
    """Print and write the summary and the episodes; 1 where the books do not balance or the alerts are others."""
    from replay import episodes
    from replay.state import write_whole
    from replay.summary import markdown

    text = markdown(outcome.books)
    print(text, end="")
    if path := getattr(args, "summary", None):
        write_whole(path, msgspec.json.encode(outcome.books) if path.suffix == ".json" else text.encode())
    if path := getattr(args, "expected", None):
        episodes.write(path, outcome.episodes)
        print(f"{len(outcome.episodes)} episodes written to {path}")
    wrong: list[str] = []
    if path := getattr(args, "check", None):
        wrong = episodes.differences(episodes.read(path), outcome.episodes)
        for difference in wrong:
            print(f"other than expected: {difference}", file=sys.stderr)
        print(f"{len(outcome.episodes)} episodes, {len(wrong)} differences from {path}")
    return 0 if outcome.books.balanced and not wrong else 1


def source_of(args: argparse.Namespace) -> Any:
    """The source that the call names. SourceError where it cannot be."""
    from replay import berka, cumcm2020c
    from replay.simulate import sample
    from replay.sources import SourceError

    if args.name == "sample":
        return sample()
    files, source = {
        "cumcm2020c": (cumcm2020c.NAMES, cumcm2020c.Invoices),
        "berka": (berka.NAMES, berka.Accounts),
    }[args.name]
    if args.data is None:
        raise SourceError(f"{args.name} needs --data DIR, the folder that holds {' and '.join(files)}")
    return source(args.data)


def started(args: argparse.Namespace, source: Any, say: Any, **stack: Any) -> Any:
    """The stack over the state folder, to be entered."""
    from replay.stack import Stack
    from replay.state import default_directory, open_state

    directory = (args.state or default_directory(source.name)).absolute()
    went_on = open_state(directory, source.identity, fresh=args.fresh)
    say(f"state folder {directory}{': going on' if went_on else ''}")
    return Stack(directory, source.banks, on_progress=say, **stack)


def given_servers(args: argparse.Namespace, source: Any) -> Settings:
    """The settings of `--config`. SettingsError where they lack a bank of the source."""
    from config.settings import load

    if args.fresh or args.state:
        raise SettingsError("--fresh and --state are for servers started here; --config names servers of yours")
    settings = load(Path(args.config))
    if missing := {bank.bank_id for bank in source.banks} - {bank.bank_id for bank in settings.banks}:
        raise SettingsError(
            f"{args.config}: [[banks]] lacks {', '.join(sorted(missing))}, which {source.name} sends for"
        )
    return settings


class Saying:
    """Progress as lines on stderr."""

    def __init__(self) -> None:
        self._began_s = self._said_s = time.monotonic()

    def __call__(self, text: str) -> None:
        """Say one thing."""
        print(f"[{time.monotonic() - self._began_s:6.1f} s] {text}", file=sys.stderr, flush=True)

    def look(self, look: Any) -> None:
        """Say where the replay is, every now and then."""
        if time.monotonic() - self._said_s < SAY_S:
            return
        self._said_s = time.monotonic()
        sent = sum(look.sending.sent.values())
        left = ", ".join(f"{role} {count:,}" for role, count in look.progress.lag.items())
        self(f"sent {sent:,}{' (all)' if look.sending.finished else ''}; left to do: {left}")


def guarded(work: Any) -> int:
    """Run `work`; what an operator can mend is one message and exit code 1 or 2, an interruption is 130."""
    from replay.run import ReplayFailed
    from replay.sources import SourceError
    from replay.state import StateError
    from streams.embedded import ChildFailed, JarRefused, StateDirectoryBusy

    # SIGTERM ends us as Ctrl-C does: children in order, no half-written file.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return int(work())
    except (SourceError, StateError, StateDirectoryBusy) as error:
        print(f"xinliu: {error}", file=sys.stderr)
        return 2
    except (ChildFailed, JarRefused, ReplayFailed) as error:
        print(f"xinliu: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("xinliu: interrupted; all that was started here has ended", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
