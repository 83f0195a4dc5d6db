"""Open or close a backfill: while it is open, state advances and banks get no alerts.

At its end, every episode that is still open is raised once, as an opening list. What would have been raised meanwhile
stands in backfill.alert.v1. Saying the same twice changes nothing.

Example: xinliu backfill open --by zhang --reason "three years of bank 1"

Exit codes: 0 done, or it was so already; 1 Kafka does not answer, or who and why are missing; 2 wrong call or setting.
"""

import argparse

from cli.deciding import add_decision_arguments, decide, guarded, signed
from cli.words import say
from config.settings import Settings
from domain.events import Control
from domain.printable import printable
from streams import control_log

ZH = """打开或关闭补录：补录期间状态照常前进，不向银行发预警。

关闭时，仍未解除的预警作为存量清单一次发出。补录期间本会发出的预警在 backfill.alert.v1。同一件事说两遍只算一遍。

例：xinliu backfill open --by 张三 --reason "接入某某银行三年历史"

退出码：0 已办，或本来就是如此；1 Kafka 没有应答，或没有写明谁、为什么；2 用法或设置有误。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action."""
    parser.add_argument(
        "action", choices=("open", "close", "list"), help=say("打开、关闭，或列出历次", "open, close, or list them all")
    )
    add_decision_arguments(parser)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Write the word, unless it stands already."""
    if args.action == "list":
        return guarded("backfill", lambda: _list(control_log.read(settings)))
    return guarded("backfill", lambda: decide(settings, _word(args, control_log.read(settings))))


def _word(args: argparse.Namespace, said: control_log.ControlHistory) -> Control | str:
    opened = said.backfill
    if args.action == "open" and opened is not None:
        return say(
            f"补录已开着（{opened.author}：{opened.reason}）",
            f"a backfill is open already ({opened.author}: {opened.reason})",
        )
    if args.action == "close" and opened is None:
        return say("没有开着的补录", "no backfill is open")
    by, reason = signed(args)
    return control_log.next_control(
        said, "backfill_open" if args.action == "open" else "backfill_close", by=by, reason=reason
    )


def _list(said: control_log.ControlHistory) -> int:
    words = [one for one in said.controls if one.action in ("backfill_open", "backfill_close")]
    for one in words:
        what = say("打开", "open ") if one.action == "backfill_open" else say("关闭", "close")
        print(printable(f"{what}  {one.author}: {one.reason}"))
    if not words:
        print(say("从未补录", "there never was one"))
    return 0
