"""Write a simulated stream to the banks' topics, or a whole province as a recorded log: the same bytes for a seed.

Its banks (Z9000000000001 …) must stand in [[banks]]; --banks-toml prints their entries. What an earlier call with the
same numbers has sent is not sent again; topics that hold anything else are refused.

Example: xinliu simulate --banks-toml >> site.toml
         xinliu --config site.toml topics create
         xinliu --config site.toml simulate --enterprises 500 --months 6 --seed 7 --speed 3600x

With --out FILE nothing is sent: a province is written as a recorded log (`xinliu replay log --data FILE` takes it), and
beside it FILE.truth.csv and FILE.truth.parquet, which say what became of each enterprise and when. --population FILE
is a TOML file of other parameters (docs/simulator.md has them all).

Example: xinliu simulate --out province.log --seed 7 --enterprises 2000 --months 24 --population harder.toml

Exit codes: 0 all is sent or written, 1 Kafka does not answer or the topics hold other records, 2 wrong call or setting,
130 interrupted (a next call goes on).
"""

import argparse
import sys
from datetime import date
from typing import Any

import msgspec

from cli import simulated_log
from cli.numbers import date_of
from cli.replay import guarded, speed_of
from cli.words import complain, reason_of, say, time_text
from config.errors import SettingsError
from config.settings import Settings
from domain.calendar import day_of_date

ZH = """把模拟的流水写进银行主题，或把一个省写成日志文件：同一种子得到同样的字节。

模拟的银行（Z9000000000001 起）要在 [[banks]] 里；--banks-toml 印出它们的条目。同样参数先前送过的不会再送；
主题里若有别的记录则拒绝。

例：xinliu simulate --banks-toml >> site.toml
    xinliu --config site.toml topics create
    xinliu --config site.toml simulate --enterprises 500 --months 6 --seed 7 --speed 3600x

给了 --out 文件 则什么都不送：一个省写成一份日志（xinliu replay log --data 文件 可重放），旁边是 文件.truth.csv 和
文件.truth.parquet：每家企业后来怎样、何时。--population 文件 是 TOML，改动其他参数（全部参数见 docs/simulator.md）。

例：xinliu simulate --out province.log --seed 7 --enterprises 2000 --months 24 --population harder.toml

退出码：0 全部送出或写完；1 Kafka 没有应答，或主题里有别的记录；2 用法或设置有误；130 被打断（再调用会接着送）。
"""
SAY_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the population and the pace."""
    number: dict[str, Any] = {"type": int, "metavar": "N"}
    parser.add_argument("--banks", help=say("银行数（缺省 3）", "banks (default 3)"), **number)
    parser.add_argument("--enterprises", help=say("企业数（缺省 200）", "enterprises (200)"), **number)
    parser.add_argument("--months", help=say("月数（缺省 15）", "months (15)"), **number)
    parser.add_argument("--seed", help=say("种子", "seed"), **number)
    parser.add_argument(
        "--until",
        type=date_of,
        metavar="YYYY-MM-DD",
        help=say("最后一天的次日（缺省 2025-07-01）", "the day after the last (2025-07-01)"),
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
    simulated_log.add_out_arguments(parser)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Send, or write a file, and say how far."""
    simulated_log.refuse_strangers(args)
    if args.out:
        return guarded("simulate", lambda: simulated_log.write(args))
    return _send(args, settings)


def _send(args: argparse.Namespace, settings: Settings) -> int:
    from confluent_kafka import KafkaException

    from replay.sending import ForeignRecords, Sending
    from replay.simulate import Simulation

    source = Simulation(_population(args))
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


def _population(args: argparse.Namespace) -> Any:
    from replay.population import Population

    try:
        return Population(
            seed=20_250_701 if args.seed is None else args.seed,
            bank_count=3 if args.banks is None else args.banks,
            enterprise_count=200 if args.enterprises is None else args.enterprises,
            month_count=15 if args.months is None else args.months,
            end_day=day_of_date(args.until or date(2025, 7, 1)),
        )
    except ValueError as error:
        raise SettingsError(str(error)) from error


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
