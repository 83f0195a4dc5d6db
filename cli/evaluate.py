"""Judge the score by outcomes: of the data sets with real defaults, or of a recorded log with a list of them.

berka       682 real bank accounts up to their loans: each loan at its grant. `berka_predictions.csv` is written too
cumcm2020c  123 real enterprises by their invoices: at the last day, and 90 days before it
LOG         a recorded events.v1 (`xinliu replay log --record FILE`) with --outcomes CSV: id, label, date; a loan is
            judged at its grant, an enterprise just before the date and 90 days before that

A data set goes through the engine on Kafka and Redis, which are started here, and is recorded; the log then goes
through again in process, and must say the same bytes. --in-process leaves the first out. Champion, prior, challengers,
and models that are usual offline (extra `evaluate`) stand beside each other, each predicting borrowers that it has not
learned, with an interval. Lines of --outcomes that cannot be judged are listed with their reasons.

Example: xinliu evaluate berka --data DIR --out report
         xinliu evaluate events.log --outcomes outcomes.csv --out report

Exit codes: 0 judged; 1 no AUC could be said, the bytes differ, or a server fails; 2 wrong call, setting or file;
130 interrupted.
"""

import argparse
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from cli.numbers import count_of
from cli.progress import Saying
from cli.words import is_chinese, say
from config.errors import SettingsError
from config.settings import LearnSettings, Settings

ZH = """用结果检验评分：有真实违约的数据集，或记录下来的日志加一份结果清单。

berka       682 个真实银行账户，至放款为止：每笔贷款在放款时点。另写 berka_predictions.csv
cumcm2020c  123 户真实企业的发票：在最后一日，以及之前90天
日志        记录下来的 events.v1（xinliu replay log --record 文件），加 --outcomes CSV：id、label、date；
            贷款按放款时点，企业按该日期之前最近一日、以及再往前90天检验

数据集先过本机启动的 Kafka 和 Redis 上的整个引擎，并记录日志；日志再在进程内重放一遍，输出字节必须相同。给了
--in-process 则省去前一步。冠军、先验、挑战者与常用的离线模型（附加包 evaluate）并列，都只预测自己没学过的借款企业，
都带区间。--outcomes 里不能检验的行逐行列出原因。

例：xinliu evaluate berka --data 文件夹 --out report
    xinliu evaluate events.log --outcomes outcomes.csv --out report

退出码：0 已检验；1 给不出 AUC，或字节不同，或服务器有故障；2 用法、设置或文件有误；130 被打断。
"""
DATA_SETS = ("berka", "cumcm2020c")
PAGE, NUMBERS, TEXT = "evaluation.html", "evaluation.json", "evaluation.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is judged, by which outcomes, and where the report goes."""
    from cli.replay import add_state_arguments

    parser.add_argument(
        "log", metavar="LOG", help=say("berka、cumcm2020c，或记录下来的日志", "berka, cumcm2020c, or a recorded log")
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help=say("数据集的文件夹", "the folder of the data set's files")
    )
    parser.add_argument(
        "--outcomes", type=Path, metavar="CSV", help=say("结果清单：id、label、date", "the outcomes: id, label, date")
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        required=True,
        help=say(f"报告写到此文件夹：{PAGE}、{TEXT}、{NUMBERS}", f"a folder for {PAGE}, {TEXT} and {NUMBERS}"),
    )
    parser.add_argument(
        "--in-process",
        action="store_true",
        help=say("只在进程内，不启动 Kafka 和 Redis", "in process alone, without Kafka and Redis"),
    )
    parser.add_argument(
        "--processes",
        type=count_of,
        metavar="N",
        help=say("进程内重放用几个进程（缺省每核一个）", "processes of the replay in process (default: one a core)"),
    )
    add_state_arguments(parser)
    parser.set_defaults(settings_needed=False)


def run(args: argparse.Namespace, _settings: Settings) -> int:
    """Judge, and write the report."""
    from cli.replay import guarded

    _refuse_combinations(args)
    return guarded("evaluate", lambda: _run(args, Saying()))


def _refuse_combinations(args: argparse.Namespace) -> None:
    """SettingsError for options that contradict each other, by name."""
    is_data_set = args.log in DATA_SETS
    for option, is_wanted in (("data", is_data_set), ("outcomes", not is_data_set)):
        given = getattr(args, option) is not None
        if given != is_wanted:
            raise SettingsError(
                say(f"{args.log} 需要 --{option}", f"{args.log} needs --{option}")
                if is_wanted
                else say(f"--{option} 与 {args.log} 不能同用", f"--{option} does not go with {args.log}")
            )
    if not is_data_set or args.in_process:
        for option in ("state", "fresh", "redis_server"):
            if getattr(args, option):
                name = f"--{option.replace('_', '-')}"
                raise SettingsError(
                    say(f"{name} 只用于过 Kafka 和 Redis 的数据集", f"{name} is for data sets through Kafka and Redis")
                )


def _run(args: argparse.Namespace, progress: Saying) -> int:
    from config.whole_file import write_whole
    from replay.backtest.ceilings import require
    from replay.evaluation.page import html
    from replay.evaluation.text import markdown

    require()
    args.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as exits:
        found = _judge_data_set(args, progress, exits) if args.log in DATA_SETS else _judge_log(args, progress)
    text = markdown(found, chinese=is_chinese())
    write_whole(args.out / PAGE, html(found, chinese=is_chinese()))
    write_whole(args.out / TEXT, text.encode())
    write_whole(args.out / NUMBERS, msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    print(text, end="")
    is_judged = any(one.models for one in found.judged)
    return 0 if is_judged and (found.compared is None or found.compared.same) else 1


def _judge_log(args: argparse.Namespace, progress: Saying) -> Any:
    from replay.evaluation.outcomes import read_outcomes
    from replay.evaluation.run import asked_for, evaluation, judged, matched, replayed
    from replay.log_file import LogFile

    outcomes = read_outcomes(args.outcomes, datetime.now(UTC).date())
    log = LogFile(Path(args.log))
    vectors, records = replayed(log, asked_for(outcomes.found), progress, processes=args.processes)
    views = matched(outcomes, vectors)
    return evaluation(str(args.log), log, records, None, outcomes, [judged(view, progress) for view in views])


def _judge_data_set(args: argparse.Namespace, progress: Saying, exits: ExitStack) -> Any:
    from config.whole_file import write_whole
    from replay.evaluation import datasets
    from replay.log_file import LogFile
    from replay.source_log import write_log

    data_set = datasets.open_data_set(args.log, args.data)
    path = Path(exits.enter_context(TemporaryDirectory(prefix="xinliu-evaluate-"))) / "events.log"
    live = None
    if args.in_process:
        made = write_log(data_set.source, path, say=progress)
        datasets.demand_all_accepted(made)
        progress(say(f"{made.records:,} 条记录写入 {path}", f"{made.records:,} records written to {path}"))
    else:
        live = _through_servers(args, data_set.source, path, progress)
    figures = datasets.evaluate(data_set, LogFile(path), live, progress, LearnSettings(), args.processes)
    for name, body in figures.files.items():
        write_whole(args.out / name, body)
    return figures.evaluation


def _through_servers(args: argparse.Namespace, source: Any, path: Path, progress: Saying) -> Any:
    from cli.replay import started
    from replay.evaluation.recording import record

    # What an earlier engine has said stays in the topics: it is neither judged nor compared.
    with started(args, source, progress) as stack:
        return record(source, stack, path, progress, progress.look)
