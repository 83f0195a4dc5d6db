"""Hand all partitions of the log to the engine of this program.

activate  every partition goes on under this program's engine version (xinliu --version) from the control record on

Each worker of the former engine reads its partitions up to that record, writes everything before it, and stops.
Workers of this one refuse a partition before that: run this with the new program while the old workers run, wait until
`xinliu status` shows all partitions at the record, then start the new workers.

The way back is the same with the former program. Where a later record names an engine again, that engine passes over
those before it that named others: so it goes on with what it had been told to leave and nobody else has begun.

Example: xinliu engine activate --by zhang --reason "release 1.4"

Exit codes: 0 done, or it was so already; 1 Kafka does not answer, or who and why are missing; 2 wrong call or setting.
"""

import argparse

from cli.deciding import add_decision_arguments, decide, guarded, signed
from cli.words import say
from config.settings import Settings
from domain.events import Control
from streams import control_log

ZH = """把日志的所有分区交给本程序的引擎。

activate  从这条控制记录起，各分区由本程序的引擎版本（xinliu --version）继续

旧引擎的进程把每个分区读到这条记录，写完之前的一切，然后停下；在此之前，新引擎的进程拒绝接手。所以：旧进程运行着，用新程序
执行本命令，等 xinliu status 显示所有分区都停在这条记录上，再启动新进程。

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
    by, reason = signed(args)
    return control_log.next_control(said, "engine_version", artefact_id=ours, by=by, reason=reason)
