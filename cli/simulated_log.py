"""`xinliu simulate --out FILE`: a simulated province as a recorded log, and the truth beside it."""

import argparse
from pathlib import Path
from typing import Any

from cli.numbers import output_of
from cli.progress import Saying
from cli.words import say
from config.errors import SettingsError

PARTITIONS_MAX = 4096
# Options and the parameters of a Population that they stand for.
PARAMETERS = {"seed": "seed", "enterprises": "enterprises", "months": "months", "banks": "banks", "until": "until"}
ONLY_SENT = ("speed", "banks_toml")


def add_out_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the file alone."""
    group = parser.add_argument_group(say("写进文件", "into a file"))
    group.add_argument(
        "--out", type=output_of, metavar="FILE", help=say("把一个省写成日志文件", "write a province as a recorded log")
    )
    group.add_argument(
        "--population", type=Path, metavar="FILE", help=say("其他参数（TOML）", "other parameters (TOML)")
    )
    group.add_argument(
        "--partitions", type=int, metavar="N", help=say("日志的分区数（缺省 8）", "partitions of the log (8)")
    )


def refuse_strangers(args: argparse.Namespace) -> None:
    """Raise SettingsError where an option of one way of simulating is given with the other."""
    for name in ONLY_SENT if args.out else ("population", "partitions"):
        if getattr(args, name) not in (None, False):
            option = f"--{name.replace('_', '-')}"
            if args.out:
                raise SettingsError(say(f"{option} 与 --out 不能同用", f"{option} does not go with --out"))
            raise SettingsError(say(f"{option} 要与 --out 同用", f"{option} goes with --out"))


def write(args: argparse.Namespace) -> int:
    """Write the log and the truth, and say how far."""
    from replay.province.log import PARTITIONS, write_log

    partitions = PARTITIONS if args.partitions is None else args.partitions
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise SettingsError(f"--partitions {partitions}: {say('须在', 'not')} 1 {say('到', 'to')} {PARTITIONS_MAX}")
    population = _population(args)
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


def _population(args: argparse.Namespace) -> Any:
    """Return the parameters of the file, overridden by those of the command line."""
    from replay.province.parameters import ParameterError, changed, read_toml
    from replay.province.population import Population

    given = {name: getattr(args, option) for option, name in PARAMETERS.items() if getattr(args, option) is not None}
    try:
        population = Population() if args.population is None else read_toml(args.population, Population())
        return changed(population, given)
    except ParameterError as error:
        raise SettingsError(str(error)) from error
