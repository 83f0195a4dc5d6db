"""A province goes live here: Kafka, Redis, ClickHouse and the engine, 15 months of history, then day after day.

141 banks (half of them deliver a file the next morning) and 2,000 enterprises (a setting) are simulated, with the same
parameters as the worlds on which warnings are judged (docs/simulator.md). The banks deliver the history at once and the
engine takes it in as a backfill, so that no bank is alerted of what is long past; what is still open then comes as an
opening list. After it a day passes every half minute. The address of the pages is printed at the start. Ctrl-C ends all
of it.

A worker that ends (try `kill -9` with the process id that is printed) is started again; it is said after how many
seconds scores came again, and that the ledger balances.

Models that learn makes come into force by themselves unless the guard holds them ([learn] activation = "auto"), since
nobody is here to accept them; elsewhere an operator does (xinliu model).

Nothing but this package is needed: at the first start Kafka's jars are fetched and the kernels are compiled.
A second start goes on from the state of the first; `--fresh` begins anew.

Example: xinliu demo --enterprises 500

Exit codes: 0 ended as it should, 1 a part failed, 2 wrong call or setting, 130 interrupted before the history was in.
"""

import argparse
import sys
from typing import Any

from cli import dates
from cli.progress import Saying
from cli.replay import add_state_arguments, guarded, speed_of, started
from cli.words import language
from cli.words import say as words
from config.errors import SettingsError
from config.settings import IngestSettings, Settings

ZH = """一个省在本机上线：Kafka、Redis、ClickHouse 和引擎，先接入 15 个月历史，再一天天过。

模拟 141 家银行（一半次日早晨送文件）和 2000 家企业（可设），参数与评判预警所用的世界相同（docs/simulator.md）。各银行
一次送来历史，引擎作为补录接入，陈年旧事不惊动任何银行；仍未解除的随后作为存量清单发出。此后每半分钟过一天。网页地址在
启动时打印。Ctrl-C 全部结束。

工作进程若结束（不妨用印出的进程号 kill -9），会重新启动，并报告几秒后又有评分、账是否平。

这里没有人来验收，学习得到的模型没有被暂缓就自动启用（[learn] activation = "auto"）；别处由操作人员启用
（xinliu model）。

除本软件包外什么都不需要：首次启动时取 Kafka 的 jar、编译内核。再次启动接着上次的状态；--fresh 重新开始。

例：xinliu demo --enterprises 500

退出码：0 正常结束，1 某个部件失败，2 用法或设置有误，130 补录未完即被打断。
"""

REDRAWS_A_SECOND = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add size, pace, end, and the folder of the state."""
    parser.add_argument(
        "--enterprises",
        type=int,
        default=2_000,
        metavar="N",
        help=words("多少家企业（缺省 2000）", "how many enterprises live there (default 2000)"),
    )
    parser.add_argument(
        "--banks",
        type=int,
        default=141,
        metavar="N",
        help=words("多少家银行（缺省 141）", "how many banks deliver (default 141)"),
    )
    parser.add_argument(
        "--speed",
        type=speed_of,
        default=2_880.0,
        metavar="2880x",
        help=words("上线后：事件时间比墙上时间", "live: event time to wall time"),
    )
    parser.add_argument(
        "--exit",
        action="store_true",
        help=words(
            "过完第一天就结束（没有终端时总是如此）", "leave after the first live day (always so without a terminal)"
        ),
    )
    add_state_arguments(parser)
    parser.set_defaults(settings_needed=False)


def run(args: argparse.Namespace, _settings: Settings) -> int:
    """Return the demo."""
    return guarded("demo", lambda: _demo(args))


def _demo(args: argparse.Namespace) -> int:
    from replay.going_live import GoingLive
    from replay.province.parameters import ParameterError
    from replay.province.source import demo

    try:
        source = demo(args.enterprises, args.banks)
    except ParameterError as error:
        raise SettingsError(f"--{error}") from error  # which begins with the parameter's name: that of the option
    say = Saying()
    for table, left in dates.ending(dates.days_left()).items():
        say(words(*dates.what(table, left)) + words("：", ": ") + words(*dates.todo(table)))
    with started(args, source, say, dashboard=True, align_ms_max=IngestSettings().align_ms_max, restarts=True) as stack:
        say(words(f"网页：{stack.dashboard}", f"the pages: {stack.dashboard}"))
        going = GoingLive(source, stack, live_from_ms=source.live_from_ms, speed=args.speed or 1e9)
        try:
            done = _backfill(going, source, say)
            say(
                words(
                    f"历史已接入：{done.events:,} 条，{done.seconds:.1f} 秒",
                    f"history is in: {done.events:,} events in {done.seconds:.1f} s",
                )
            )
            leave = args.exit or not sys.stdout.isatty()
            if leave:
                events = going.live(say.look, days=1)
                say(words(f"上线后的一天过完：{events:,} 条", f"a live day has passed: {events:,} events"))
                stack.await_recoveries()
            else:
                pid = stack.pid_of("score")
                say(
                    words(
                        f"试一试：在另一个终端 kill -9 {pid}，杀掉 score；它会重新启动",
                        f"try it: in another terminal, kill -9 {pid} ends score, and it starts again",
                    )
                )
                _show(going, stack)
        finally:
            going.end()
        stack.stop_workers()
        where = stack.directory, stack.settings_file
        print(words("\n状态和日志：%s\n设置：%s", "\nState and logs: %s\nSettings: %s") % where)
        print(
            words(
                "再次 `make demo` 从这里接着做；`--fresh` 重新开始。接下来看 docs/、ARCHITECTURE.md。",
                "A second `make demo` goes on from here; `--fresh` begins anew. Next: docs/, ARCHITECTURE.md.",
            )
        )
    return 0


def _backfill(going: Any, source: Any, say: Any) -> Any:
    """Return the history, with a bar where there is a terminal and lines where there is none."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    if not sys.stdout.isatty():
        return going.backfill(say.look)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task("补录历史 history", total=1.0)

        def draw(look: Any) -> None:
            bar.update(task, completed=_fraction(look, source.start_ms, source.live_from_ms), description=_said(look))

        return going.backfill(draw)


def _fraction(look: Any, start_ms: int, end_ms: int) -> float:
    """Return a third for the days sent, the rest for the part of what was sent that score has applied."""
    sent = 1.0 if look.sending.history_sent else ((look.sending.at_ms or start_ms) - start_ms) / (end_ms - start_ms)
    left = look.progress.lag["ingest"] + look.progress.lag["score"]
    applied = look.progress.done["score"]
    return float((max(0.0, min(1.0, sent)) + 2.0 * applied / max(1, applied + left)) / 3.0)


def _said(look: Any) -> str:
    from domain.calendar import date_of, day_of

    day = "…" if look.sending.at_ms is None else date_of(day_of(look.sending.at_ms)).isoformat()
    sent, left = sum(look.sending.sent.values()), look.progress.lag
    if not look.sending.history_sent:
        return f"银行送历史 banks deliver  {day}  {sent:,}"
    return f"引擎补录 engine, left  接入 ingest {left['ingest']:,}  评分 score {left['score']:,}"


def _show(going: Any, stack: Any) -> None:
    """Show the live view until Ctrl-C."""
    from rich.live import Live

    from replay.view import Rate, Watching, render

    watching, rate = Watching(stack.settings.kafka, language()), Rate()
    watching.start()
    try:
        with Live(refresh_per_second=REDRAWS_A_SECOND) as live:

            def draw(look: Any) -> None:
                live.update(render(watching.seen, look, rate.add(look.elapsed_s, look.progress.done["ingest"])))

            going.live(draw)
            while True:  # the simulated months are over: the pages stay until Ctrl-C
                stack.rest(1.0)
    except KeyboardInterrupt:
        pass
    finally:
        watching.end()
