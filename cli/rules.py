"""Show which signals are evaluated and what the others wait for, or make rules of a table.

show  the rules packaged here, or those that FILE makes
make  compiles FILE, a CSV with the columns of config/signals.csv, and writes the artefact to --output; a mistake is
      named by line, row, column and character. --emit close: score records at day closes alone; --step: the points
      that a score moves before one goes out

Example: xinliu rules make signals.csv --output rules.json
         xinliu artefact publish rules rules.json

Exit codes: 0 done, 1 the file is no rules, 2 wrong call or setting.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cli.numbers import output_of, points_of
from cli.words import say
from config.settings import Settings

if TYPE_CHECKING:
    from detectors.rules.artefact import RulesArtefact, RuleSet

ZH = """查看哪些信号参与评估、其余的还缺什么，或由表格生成规则。

show  程序自带的规则，或由 FILE 生成的规则
make  编译 FILE（CSV，列与 config/signals.csv 相同），写到 --output；有误时指出行、信号、列和字符
      --emit close：只在日终输出评分；--step：评分变动几分才输出一条

例：xinliu rules make signals.csv --output rules.json
    xinliu artefact publish rules rules.json

退出码：0 已办，1 文件不是可用的规则，2 用法或设置有误。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and what it needs."""
    parser.set_defaults(settings_needed=False)
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|make")
    show = actions.add_parser("show", help=say("列出信号", "list the signals"))
    show.add_argument("file", type=Path, nargs="?")
    make = actions.add_parser("make", help=say("由表格生成规则", "make rules of a table"))
    make.add_argument("file", type=Path)
    make.add_argument("--output", type=output_of, required=True)
    make.add_argument("--emit", choices=("move", "close"), default="move")
    make.add_argument("--step", type=points_of, default=3.0, metavar="POINTS")


def run(args: argparse.Namespace, _settings: Settings) -> int:
    """Do it."""
    try:
        return _show(args.file) if args.action == "show" else _make(args)
    except (ValueError, OSError) as error:
        print(f"xinliu rules: {error}", file=sys.stderr)
        return 1


def _show(file: Path | None) -> int:
    from detectors.rules.artefact import packaged_rules  # with it comes numba, which other verbs do without

    rules = packaged_rules() if file is None else read_table(file, "move", 3_000)[1]
    for signal in rules.evaluated:
        print(f"{signal.row.id:32} {signal.row.scope:8} {signal.row.name_zh}")
    for waiting in rules.waiting:
        print(f"{waiting.id:32} {say('等待', 'waits for')} {waiting.reason}")
    counts = len(rules.evaluated), len(rules.waiting)
    print(f"{rules.id}: {say('%d 个参与评估，%d 个等待', '%d are evaluated, %d wait') % counts}")
    return 0


def _make(args: argparse.Namespace) -> int:
    from config.whole_file import write_whole

    artefact, rules = read_table(args.file, args.emit, round(args.step * 1_000))
    write_whole(args.output, artefact.encode())
    print(rules.id)
    return 0


def read_table(path: Path, mode: str, step_milli: int) -> "tuple[RulesArtefact, RuleSet]":
    """Return the artefact that a file makes, and the same compiled. A ValueError names the place of a mistake."""
    from config.catalogue import signal_rows
    from detectors.rules.artefact import Emission, RulesArtefact, compiled
    from detectors.snapshot import content_id

    try:
        rows = signal_rows(path.read_text(encoding="utf-8"))
        emission = msgspec.convert({"mode": mode, "step_milli": step_milli}, Emission)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    artefact = RulesArtefact(signals=rows, emission=emission)
    return artefact, compiled(artefact, content_id(artefact.encode()), row_word=f"{path}: line", first=2)
