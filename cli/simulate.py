"""Write what a simulated province sends to its banks' topics, or as a recorded log: the same bytes for a seed.

Its banks (Z9000000000001 …) must stand in [[banks]]; --banks-toml prints their entries. What an earlier call with the
same numbers has sent is not sent again; topics that hold anything else are refused. --population FILE is a TOML file of
other parameters (docs/simulator.md has them all).

Example: xinliu simulate --banks-toml --banks 6 >> site.toml
         xinliu --config site.toml topics create
         xinliu --config site.toml simulate --banks 6 --enterprises 500 --months 6 --seed 7 --speed 3600x

With --out FILE nothing is sent: a recorded log is written (`xinliu replay log --data FILE` takes it), and beside it
FILE.truth.csv and FILE.truth.parquet, which say what became of each enterprise and when.

Example: xinliu simulate --out province.log --seed 7 --enterprises 2000 --months 24 --population harder.toml

Exit codes: 0 all is sent or written, 1 Kafka does not answer or the topics hold other records, 2 wrong call or setting,
130 interrupted (a next call goes on).
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from cli.numbers import date_of, output_of
from cli.progress import Saying
from cli.replay import guarded, speed_of
from cli.words import complain, reason_of, say, time_text
from config.errors import SettingsError
from config.settings import Settings

ZH = """把一个模拟的省送出的流水写进银行主题，或写成日志文件：同一种子得到同样的字节。

模拟的银行（Z9000000000001 起）要在 [[banks]] 里；--banks-toml 印出它们的条目。同样参数先前送过的不会再送；
主题里若有别的记录则拒绝。--population 文件 是 TOML，改动其他参数（全部参数见 docs/simulator.md）。

例：xinliu simulate --banks-toml --banks 6 >> site.toml
    xinliu --config site.toml topics create
    xinliu --config site.toml simulate --banks 6 --enterprises 500 --months 6 --seed 7 --speed 3600x

给了 --out 文件 则什么都不送：写成一份日志（xinliu replay log --data 文件 可重放），旁边是 文件.truth.csv 和
文件.truth.parquet：每家企业后来怎样、何时。

例：xinliu simulate --out province.log --seed 7 --enterprises 2000 --months 24 --population harder.toml

退出码：0 全部送出或写完；1 Kafka 没有应答，或主题里有别的记录；2 用法或设置有误；130 被打断（再调用会接着送）。
"""
SAY_S = 2.0
PARTITIONS_MAX = 4096
PARAMETERS = ("banks", "enterprises", "months", "seed", "until")  # of a Population that have an option of their own
ONLY_SENT, ONLY_WRITTEN = ("speed", "banks_toml"), ("partitions",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the population, the pace and the file."""
    number: dict[str, Any] = {"type": int, "metavar": "N"}
    parser.add_argument("--banks", help=say("银行数（缺省 24）", "banks (default 24)"), **number)
    parser.add_argument("--enterprises", help=say("企业数（缺省 2000）", "enterprises (2000)"), **number)
    parser.add_argument("--months", help=say("月数（缺省 24）", "months (24)"), **number)
    parser.add_argument("--seed", help=say("种子（缺省 1）", "seed (1)"), **number)
    parser.add_argument(
        "--until",
        type=date_of,
        metavar="YYYY-MM-DD",
        help=say(
            "最后一天的次日，某月的第一天（缺省 2026-01-01）", "the day after the last, first of a month (2026-01-01)"
        ),
    )
    parser.add_argument(
        "--population", type=Path, metavar="FILE", help=say("其他参数（TOML）", "other parameters (TOML)")
    )
    parser.add_argument(
        "--speed",
        type=speed_of,
        default=None,
        metavar="60x|max",
        help=say("事件时间比墙上时间（缺省 max）", "event time to wall time (max)"),
    )
    parser.add_argument(
        "--banks-toml", action="store_true", help=say("只印 [[banks]] 条目", "print the [[banks]] entries and end")
    )
    group = parser.add_argument_group(say("写进文件", "into a file"))
    group.add_argument("--out", type=output_of, metavar="FILE", help=say("写成日志文件", "write a recorded log"))
    group.add_argument(
        "--partitions", type=int, metavar="N", help=say("日志的分区数（缺省 8）", "partitions of the log (8)")
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Send, or write a file, and say how far."""
    _refuse_strangers(args)
    population = _population(args)
    if args.out:
        return guarded("simulate", lambda: _write(args, population))
    return _send(args, settings, population)


def _refuse_strangers(args: argparse.Namespace) -> None:
    """Raise SettingsError where an option of one way of simulating is given with the other."""
    for name in ONLY_SENT if args.out else ONLY_WRITTEN:
        if getattr(args, name) not in (None, False):
            option = f"--{name.replace('_', '-')}"
            if args.out:
                raise SettingsError(say(f"{option} 与 --out 不能同用", f"{option} does not go with --out"))
            raise SettingsError(say(f"{option} 要与 --out 同用", f"{option} goes with --out"))


def _population(args: argparse.Namespace) -> Any:
    """Return the parameters of the file, overridden by those of the command line."""
    from replay.province.parameters import ParameterError, changed, read_toml
    from replay.province.population import Population

    given = {name: getattr(args, name) for name in PARAMETERS if getattr(args, name) is not None}
    try:
        population = Population() if args.population is None else read_toml(args.population, Population())
        return changed(population, given)
    except ParameterError as error:
        raise SettingsError(str(error)) from error


def _write(args: argparse.Namespace, population: Any) -> int:
    """Write the log and the truth, and say how far."""
    from replay.province.log import PARTITIONS, write_log

    partitions = PARTITIONS if args.partitions is None else args.partitions
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise SettingsError(f"--partitions {partitions}: {say('须在', 'not')} 1 {say('到', 'to')} {PARTITIONS_MAX}")
    progress = Saying()
    written = write_log(population, args.out, partitions=partitions, say=progress)
    progress(
        say(
            f"{written.transactions:,} 笔交易、{written.records:,} 条记录写入 {args.out}，真相：{written.truth_files}",
            f"{written.transactions:,} transactions in {written.records:,} records written to {args.out}, "
            f"the truth to {written.truth_files}",
        )
    )
    return 0


def _send(args: argparse.Namespace, settings: Settings, population: Any) -> int:
    from confluent_kafka import KafkaException

    from replay.province.source import Province
    from replay.sending import ForeignRecords, Sending

    source = Province(population)
    if args.banks_toml:
        print("\n".join(_banks_toml(source)))
        return 0
    if missing := {bank.bank_id for bank in source.banks} - {bank.bank_id for bank in settings.banks}:
        listed = ", ".join(sorted(missing)[:5])
        raise SettingsError(
            say(
                f"[[banks]] 缺少 {listed}；xinliu simulate --banks-toml 印出条目",
                f"[[banks]] lacks {listed}; xinliu simulate --banks-toml prints the entries",
            )
        )
    sending = Sending(source, settings.kafka, speed=args.speed, only_own=True)
    sending.start()
    try:
        while sending.is_alive():
            sending.join(SAY_S)
            _report(sending)
    except KeyboardInterrupt:
        sending.end()
        complain("simulate", "被打断，再调用会接着送", "interrupted; a next call goes on")
        return 130
    if isinstance(sending.failure, KafkaException | ForeignRecords):
        complain("simulate", *[f"{settings.kafka.bootstrap}: {reason_of(sending.failure)}"] * 2)
        return 1
    if sending.failure is not None:
        raise sending.failure
    return 0


def _banks_toml(source: Any) -> list[str]:
    from replay.stack import toml

    return list(toml({"banks": [msgspec.to_builtins(bank) for bank in source.banks]}))


def _report(sending: Any) -> None:
    sent, skipped = sum(sending.sent.values()), sum(sending.skipped.values())
    at = "" if sending.at_ms is None else time_text(sending.at_ms)
    print(
        say(
            f"已送 {sent:,} 条（先前 {skipped:,} 条），到 {at}{'，全部' if sending.finished else ''}",
            f"sent {sent:,} ({skipped:,} before), up to {at}{', all' if sending.finished else ''}",
        ),
        file=sys.stderr,
        flush=True,
    )
