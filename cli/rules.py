"""Show which signals are evaluated and what the others wait for, make rules of a table, or fit its case table.

show  the rules packaged here, or those of FILE: an artefact (.json), or a table as make takes it. Every signal with
      what it waits for, its scope, the points that it adds to a case (thousandths of a logit, at yellow, orange, red),
      its finding, the levels at which it stands alone, who answers for it and the source of its thresholds; then the
      case table. --json: for scripts
make  compiles FILE, a CSV with the columns of config/signals.csv, and writes the artefact to --output; a mistake is
      named by line, row, column and character. --emit close: score records at day closes alone; --step: the points
      that a score moves before one goes out. --points, --findings, --cases: files with the columns and keys of
      config/case_points.csv, findings.csv and cases.toml, which make the case table. Without --points, what the
      packaged one says of signals that FILE lacks is left out. --budget: the cut-offs that the curve of the case table
      has at so many orange and red cases of 1,000 borrowers a month, as show lists it; for curves that fit has drawn
fit   replays recorded logs, each with its truth, and fits the points of the packaged case table to what became of the
      borrowers; cut-offs follow from its budget, and those of other budgets stand in its curve. Writes
      case_points.csv and cases.toml to --output

Example: xinliu rules fit events.log --truth events.log.truth.csv --output fitted
         xinliu rules make signals.csv --points fitted/case_points.csv --cases fitted/cases.toml --output rules.json
         xinliu artefact publish rules rules.json

Exit codes: 0 done, 1 the file is no rules, 2 wrong call or setting.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cli.numbers import count_of, output_of, points_of
from cli.rules_fit import add_fit, fit
from cli.rules_show import show
from cli.words import say
from config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.case_table import Source
    from config.catalogue import SignalRow
    from detectors.rules.artefact import RulesArtefact, RuleSet

CasePaths = tuple[Path | None, Path | None, Path | None]
ZH = """查看哪些信号参与评估、其余的还缺什么，由表格生成规则，或由历史拟合案件表。

show  程序自带的规则，或 FILE 的规则：make 写出的 .json，或 make 所读的表格。列出每个信号还缺什么、范围、
      在黄橙红级对案件的贡献（千分之一对数几率）、所属综合发现、单独定级的级别、负责岗位和阈值依据，
      然后是案件表。--json：供脚本使用
make  编译 FILE（CSV，列与 config/signals.csv 相同），写到 --output；有误时指出行、信号、列和字符
      --emit close：只在日终输出评分；--step：评分变动几分才输出一条
      --points、--findings、--cases：案件表，格式同 config/ 中的 case_points.csv、findings.csv 和 cases.toml；
      不给 --points 时用程序自带的分值，FILE 中没有的信号略去
      --budget：每千户借款企业每月橙、红案件的件数，各级界线取案件表曲线在该处的值（曲线须由 fit 算出，show 可见）
fit   重放记录下来的日志（每个配一个真值文件），按借款企业的结果拟合案件表的分值，
      并按其案件预算定出各级界线，其他预算的界线写在曲线里；在 --output 文件夹中写 case_points.csv 和 cases.toml

例：xinliu rules fit events.log --truth events.log.truth.csv --output fitted
    xinliu rules make signals.csv --points fitted/case_points.csv --cases fitted/cases.toml --output rules.json
    xinliu artefact publish rules rules.json

退出码：0 已办，1 文件不是可用的规则，2 用法或设置有误。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and what it needs."""
    parser.set_defaults(settings_needed=False)
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|make|fit")
    listing = actions.add_parser("show", help=say("列出信号", "list the signals"))
    listing.add_argument("file", type=Path, nargs="?")
    listing.add_argument("--json", action="store_true", help=say("输出 JSON", "print JSON"))
    make = actions.add_parser("make", help=say("由表格生成规则", "make rules of a table"))
    make.add_argument("file", type=Path)
    make.add_argument("--output", type=output_of, required=True)
    make.add_argument("--emit", choices=("move", "close"), default="move")
    make.add_argument("--step", type=points_of, default=3.0, metavar="POINTS")
    make.add_argument("--budget", type=count_of, metavar="CASES")
    for option, table in ("--points", "case_points.csv"), ("--findings", "findings.csv"), ("--cases", "cases.toml"):
        said = say("用此文件代替程序自带的 config/%s", "take this file instead of the packaged config/%s") % table
        for action in listing, make:
            action.add_argument(option, type=Path, metavar="FILE", help=said)
    add_fit(actions)


def run(args: argparse.Namespace, _settings: Settings) -> int:
    """Do it."""
    if args.action == "fit":
        from cli.replay import guarded

        return guarded("rules", lambda: fit(args))
    try:
        return show(args) if args.action == "show" else _make(args)
    except (ValueError, OSError) as error:
        print(f"xinliu rules: {error}", file=sys.stderr)
        return 1


def _make(args: argparse.Namespace) -> int:
    from config.whole_file import write_whole

    case = args.points, args.findings, args.cases
    artefact, rules = read_table(args.file, args.emit, round(args.step * 1_000), case, args.budget)
    write_whole(args.output, artefact.encode())
    print(rules.id)
    return 0


def read_table(
    path: Path | None,
    mode: str,
    step_milli: int,
    case: CasePaths = (None, None, None),
    budget: int | None = None,
) -> "tuple[RulesArtefact, RuleSet]":
    """Return the artefact that files make, and the same compiled. A ValueError names the place of a mistake.

    path: signals. case: points, findings and the rest of the case table. The packaged file for each None. budget: of
    orange and red cases, in place of the table's own.
    """
    from config.catalogue import signal_rows, signals
    from detectors.rules.artefact import Emission, RulesArtefact, compiled
    from detectors.snapshot import content_id

    try:
        rows = signals() if path is None else signal_rows(path.read_text(encoding="utf-8"))
        emission = msgspec.convert({"mode": mode, "step_milli": step_milli}, Emission)
    except ValueError as error:
        raise ValueError(f"{path or 'signals.csv'}: {error}") from error
    source = case_source(rows, case)
    table = source.table if budget is None else source.table.at_budget(budget)
    artefact = RulesArtefact(signals=rows, emission=emission, case=table)
    return artefact, compiled(
        artefact,
        content_id(artefact.encode()),
        row_word=f"{path or 'signals.csv'}: line",
        first=2,
        case_place=source.place_of,
    )


def case_source(rows: "Sequence[SignalRow]", paths: CasePaths) -> "Source":
    """Return the case table of the named files; for each that is not named, of the packaged one.

    What packaged files say of signals that `rows` lack is left out.
    """
    from config.case_table import Source, case_table_of, packaged_texts

    texts = packaged_texts()
    named = {
        field: (str(path), path.read_text(encoding="utf-8"))
        for field, path in zip(texts._fields, paths, strict=True)
        if path is not None
    }
    source = case_table_of(texts._replace(**named))
    if "points" in named:
        return source
    return Source(source.table.of_signals(frozenset(row.id for row in rows)), source.places)
