"""`xinliu rules fit`: points, cut-offs and the curve of a case table, from recorded logs with a truth."""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from cli.numbers import count_of
from cli.progress import Saying
from cli.words import say
from config.errors import SettingsError

EVIDENCE = "fitted on {logs}: {caught:.0%} of defaults caught 60 days ahead, precision {precision:.0%} at 12 months"


def add_fit(actions: Any) -> None:
    """Add the action."""
    parser = actions.add_parser("fit", help=say("由历史拟合案件表", "fit the case table to history"))
    parser.add_argument("logs", metavar="LOG", type=Path, nargs="+", help=say("记录下来的 events.v1", "a recorded log"))
    parser.add_argument(
        "--truth",
        metavar="FILE",
        type=Path,
        action="append",
        required=True,
        help=say("真值文件，每个日志一个，顺序相同", "a truth file, one a log in the same order"),
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        required=True,
        help=say("写 case_points.csv 和 cases.toml 到此文件夹", "a folder for case_points.csv and cases.toml"),
    )
    parser.add_argument("--processes", metavar="N", type=count_of, help=say("进程数", "processes (one a core)"))


def fit(args: argparse.Namespace) -> int:
    """Do it. Raise SettingsError or SourceError with what is wrong."""
    from config.case_table import case_table_of, packaged_texts
    from config.whole_file import write_whole
    from replay.case_points import run, worlds
    from replay.case_points.files import rewritten

    if len(args.logs) != len(args.truth):
        raise SettingsError(f"--truth: {len(args.truth)} files for {len(args.logs)} logs")
    if not args.output.is_dir():
        raise SettingsError(f"--output {args.output}: is no folder")
    texts, progress = packaged_texts(), Saying()
    read = [worlds.read(log, truth, args.processes, progress) for log, truth in zip(args.logs, args.truth, strict=True)]
    table, brings = run.fit(read, case_table_of(texts).table, progress)
    names = ", ".join(log.name for log in args.logs)
    evidence = EVIDENCE.format(logs=names, caught=brings.caught, precision=brings.precision)
    made = rewritten(texts, msgspec.structs.replace(table, evidence=evidence))
    for name, text in (made.points, made.rest):
        write_whole(args.output / name, text.encode())
    print(
        say(
            "每月每千户借款企业：橙红 %.1f（其中红 %.1f）、黄 %.1f；提前60天预警 %.0f%%，12个月准确率 %.0f%%",
            "of 1,000 borrowers a month %.1f orange or red cases, %.1f of them red, and %.1f yellow ones; "
            "%.0f%% of defaults are caught 60 days ahead, precision at 12 months %.0f%%",
        )
        % (brings.orange_red, brings.red, brings.yellow, 100 * brings.caught, 100 * brings.precision)
    )
    print(
        say("引擎实际的件数请用 xinliu backtest 核对", "count the engine's own cases by xinliu backtest"),
        file=sys.stderr,
    )
    return 0
