"""Judge the warnings of a recorded log against what became of the borrowers.

The log (`xinliu replay log --record FILE`, or `xinliu simulate --out FILE`) is replayed in process by this engine. What
landed on desks, how many of the borrowers who went over 30 days past due were warned of and how long before, and how
much of it was noise; beside it, what the score alone, the probability alone, each signal, and models that learn from
the same indicators would have given. Every number has its n and an interval.

Without --truth, the log's own loan events say what became of them.

Example: xinliu backtest events.log --truth events.truth.parquet --html report.html --json report.json

Exit codes: 0 the figures are a result, 1 they are none (the report says why), 2 wrong call, file or setting,
130 interrupted.
"""

import argparse
from pathlib import Path
from typing import Any

import msgspec

from cli.numbers import count_of, date_of, offset_of, output_of
from cli.progress import Saying
from cli.words import is_chinese, say
from config.errors import SettingsError
from config.settings import LearnSettings, Settings
from domain.calendar import day_of_date

ZH = """用记录下来的日志评判预警：对照借款企业后来怎样了。

日志（xinliu replay log --record 文件，或 xinliu simulate --out 文件）由本引擎在进程内重放。给出：多少案件落到客户经理
桌上；逾期30天以上的借款企业有多少事先预警、提前多少天；其中多少是噪声；并与只看评分、只看概率、各个信号单独，以及
用同样指标学习的模型对照。每个数字都带样本数和区间。

不给 --truth，则以日志自己的贷款事件为准。

例：xinliu backtest events.log --truth events.truth.parquet --html report.html --json report.json

退出码：0 数字可作为结果；1 不可（报告写明原因）；2 用法、文件或设置有误；130 被打断。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the log, its truth, and what to write."""
    path: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    output: dict[str, Any] = {"type": output_of, "metavar": "FILE"}
    day: dict[str, Any] = {"type": date_of, "metavar": "YYYY-MM-DD"}
    parser.add_argument(
        "log",
        metavar="LOG",
        help=say("记录下来的 events.v1；或 cumcm2020c、berka", "a recorded events.v1; or cumcm2020c, berka"),
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help=say("cumcm2020c、berka：数据文件夹", "cumcm2020c, berka: the folder of their files"),
    )
    parser.add_argument(
        "--truth", help=say("真值文件（.parquet 或 .csv）", "the truth file (.parquet or .csv)"), **path
    )
    parser.add_argument("--html", help=say("报告：离线可开的网页", "the report, a page that opens offline"), **output)
    parser.add_argument("--json", help=say("报告：给程序读", "the report for programs"), **output)
    parser.add_argument(
        "--tuned-on",
        help=say(
            "规则是在哪些世界上调的（缺省：随程序的规则的，见 config/tuned_on.toml）",
            "the worlds that the rules were chosen on (default: those of the packaged rules, config/tuned_on.toml)",
        ),
        **path,
    )
    parser.add_argument(
        "--rules",
        help=say(
            "换上由此表（列同 config/signals.csv）生成的规则来评判，如调规则时",
            "judge with the rules that this table makes (columns of config/signals.csv), as when rules are tuned",
        ),
        **path,
    )
    parser.add_argument(
        "--until", help=say("评判的最后一天（缺省：日志的最后一天）", "the last judged day (default: the log's)"), **day
    )
    parser.add_argument(
        "--known-until",
        help=say("真值知道到哪一天（缺省：真值文件所写，否则日志末）", "how far the truth knows (default: as it says)"),
        **day,
    )
    parser.add_argument(
        "--warm-up",
        type=count_of,
        default=212,
        metavar="DAYS",
        help=say("开头不评判的天数（缺省 212）", "days at the start that are not judged (212)"),
    )
    parser.add_argument(
        "--seed",
        type=offset_of,
        default=1,
        metavar="N",
        help=say("自助抽样的种子（缺省 1）", "seed of the bootstrap (1)"),
    )
    parser.add_argument(
        "--resamples",
        type=count_of,
        default=500,
        metavar="N",
        help=say("自助抽样次数（缺省 500）", "resamples of the bootstrap (500)"),
    )
    parser.add_argument(
        "--without",
        type=_parts,
        default=frozenset(),
        metavar="PART,…",
        help=say(
            "略去的部分：ceilings 上限（LightGBM 与提升树桩）；ranks 全部排序：固定工作量、AUC、校准，含上限；"
            "timelines 最差的漏报与误报。三者全略去，则只剩工作量、案件与各个信号，调规则时快",
            "parts to leave out: ceilings (LightGBM and boosted stumps); ranks (budgets, AUC, calibration, and the "
            "ceilings too); timelines (the worst misses and false alarms). Without all three, load, cases and signals "
            "are left: quick, when rules are tuned",
        ),
    )
    parser.add_argument(
        "--learn",
        nargs="?",
        const="guarded",
        choices=("guarded", "accepted"),
        help=say(
            "学习在环内：月末的概率来自当时生效的模型，标签先到先学。guarded（缺省）：暂缓的候选不生效；"
            "accepted：每个候选都生效",
            "the learner is in the loop: probabilities at month ends are those of the model in force by then. guarded "
            "(default): a candidate that is held does not come into force; accepted: each one does",
        ),
    )
    parser.add_argument(
        "--processes",
        type=count_of,
        metavar="N",
        help=say("进程数（缺省：每核一个）", "processes (default: one a core)"),
    )
    parser.set_defaults(settings_needed=False)


def _parts(text: str) -> frozenset[str]:
    from replay.backtest.measure import PARTS

    found = frozenset(text.split(","))
    if unknown := ", ".join(sorted(found - set(PARTS))):
        known = ", ".join(PARTS)
        said = say(f"没有 {unknown} 这部分，只有 {known}", f"no part is called {unknown}: {known} are")
        raise argparse.ArgumentTypeError(said)
    return found


def run(args: argparse.Namespace, _settings: Settings) -> int:
    """Judge, and write what was asked for."""
    from cli.replay import guarded

    return guarded("backtest", lambda: _run(args, Saying()))


def _run(args: argparse.Namespace, progress: Saying) -> int:
    from contextlib import ExitStack
    from tempfile import TemporaryDirectory

    from config.whole_file import write_whole
    from dashboard import assets
    from replay.backtest.markdown import markdown
    from replay.backtest.page import html
    from replay.backtest.run import Options, backtest

    with ExitStack() as exits:
        folder = Path(exits.enter_context(TemporaryDirectory(prefix="xinliu-backtest-")))
        log, labels = _opened(args, folder, progress)
        options = Options(
            truth=args.truth,
            labels=labels,
            tuned_on=args.tuned_on,
            rules=None if args.rules is None else _rules(args.rules),
            until=None if args.until is None else day_of_date(args.until),
            known_until=None if args.known_until is None else day_of_date(args.known_until),
            warm_up_days=args.warm_up,
            seed=args.seed,
            resamples=args.resamples,
            without=args.without,
            learn=None if args.learn is None else LearnSettings(),
            accepts_all=args.learn == "accepted",
            processes=args.processes,
        )
        report = backtest(log, options, progress)
    print(markdown(report, "zh" if is_chinese() else "en"), end="")
    if args.json:
        write_whole(args.json, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    if args.html:
        write_whole(args.html, html(report, assets.load()[f"vendor/{assets.ECHARTS}"].body))
    return 0 if report.provenance.is_result else 1


def _rules(path: Path) -> bytes:
    """Return the artefact that a table makes."""
    from cli.rules import read_table

    try:
        artefact, _ = read_table(path, "move", 3_000)  # what is emitted of scores decides no figure
    except (OSError, ValueError) as error:
        raise SettingsError(f"--rules: {error}") from error
    return artefact.encode()


def _opened(args: argparse.Namespace, folder: Path, progress: Saying) -> tuple[Any, Any]:
    """Return the log, and its labels where it is a data set with labels and no dates."""
    from replay.backtest.datasets import NAMES, make
    from replay.log_file import LogFile

    if args.data is None:
        return LogFile(Path(args.log)), None
    if args.log not in NAMES:
        raise SettingsError(
            say(f"--data 只用于 {'、'.join(NAMES)}", f"--data goes with {' and '.join(NAMES)}, not with {args.log}")
        )
    for option in ("truth", "until", "known_until"):
        if getattr(args, option) is not None:
            name = f"--{option.replace('_', '-')}"
            raise SettingsError(say(f"{name} 与 {args.log} 不能同用", f"{name} does not go with {args.log}"))
    labels = make(args.log, args.data, folder / "events.log", progress)
    return LogFile(folder / "events.log"), labels
