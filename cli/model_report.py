"""The action `xinliu model report`: what learn has said of its models, as a page that opens offline and as JSON."""

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cli.deciding import NotDecided
from cli.model_text import short
from cli.words import complain, is_chinese, say
from config.settings import Settings
from config.whole_file import write_whole
from detectors.snapshot import SCORE, Snapshot, SnapshotError, decode
from domain import topics
from domain.outputs import ModelMessage, MonthReport
from domain.printable import printable

if TYPE_CHECKING:
    from replay.model_report.report import PopulationLine

PAGE, NUMBERS = "model.html", "model.json"


def add_actions(actions: Any) -> None:
    """Add `report`."""
    parser = actions.add_parser("report", help=say("模型报告", "the report on the models"))
    parser.set_defaults(act=_report)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=say(f"写到此文件夹：{PAGE} 与 {NUMBERS}", f"a folder for {PAGE} and {NUMBERS}"),
    )
    parser.add_argument("--json", action="store_true", help=say("把 JSON 写到标准输出", "JSON to standard output"))


def _report(args: argparse.Namespace, settings: Settings) -> int:
    from replay.model_report.page import html
    from replay.model_report.report import build, summary

    months, snapshots = _months(settings), _snapshots(settings)
    report = build(months, snapshots, _populations(settings) if months else None)
    body = msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"
    if args.out is not None:
        try:
            write_whole(args.out / PAGE, html(report, chinese=is_chinese()))
            write_whole(args.out / NUMBERS, body)
        except OSError as error:
            raise NotDecided(f"{error.filename}: {error.strerror}") from error
    if args.json:
        sys.stdout.write(body.decode())
    else:
        for line in summary(report, chinese=is_chinese()):
            print(printable(line))
    return 0


def _months(settings: Settings) -> list[MonthReport]:
    """Return what `model.report.v1` says of months. What this engine cannot read is told and passed over."""
    found = []
    decoder: msgspec.json.Decoder[ModelMessage] = msgspec.json.Decoder(ModelMessage)
    for _, body in _records(settings, topics.MODEL_REPORT):
        try:
            said = decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            print(f"xinliu model: {topics.MODEL_REPORT}: {printable(str(error))}", file=sys.stderr)
            continue
        if isinstance(said, MonthReport):
            found.append(said)
    return found


def _snapshots(settings: Settings) -> dict[str, Snapshot]:
    """Return the models of `model.v1` by id. One that this engine cannot score with has no line of its own."""
    found = {}
    for key, body in _records(settings, topics.MODEL):
        name = (key or b"").decode(errors="replace")
        try:
            found[name] = decode(body, name)
        except SnapshotError as error:
            print(f"xinliu model: {printable(str(error))}", file=sys.stderr)
    return found


def _populations(settings: Settings) -> "tuple[PopulationLine, ...] | None":
    """Compare the newest scores in the archive with the population of the model in force, which made them.

    Why that cannot be is told.
    """
    from detectors.prior import prior_id
    from replay.model_report.report import population_lines
    from sinks.clickhouse import Refused, Unavailable, connect, target_of
    from streams.model_history import read_history
    from streams.newest_scores import score_counts

    history = read_history(settings.kafka)
    name = history.in_force_id
    reference = history.snapshot(name).reference.get(SCORE)
    if reference is None:
        named = say("程序自带的", "the packaged one") if name == prior_id() else short(name)
        complain(
            "model",
            f"未与其他企业的评分比较：在用的模型（{named}）没有训练总体",
            f"scores of others are not compared: the model in force, {named}, has no population of training",
        )
        return None
    try:
        with closing(connect(target_of(settings.clickhouse))) as db:
            counts = score_counts(db, reference.edges_micro)
    except (Refused, Unavailable) as error:
        why = printable(f"[clickhouse]: {error}")
        complain("model", f"未与其他企业的评分比较：{why}", f"scores of others are not compared: {why}")
        return None
    return population_lines({"borrowers": counts.borrowers, "others": counts.others}, reference)


def _records(settings: Settings, topic: str) -> list[tuple[bytes | None, bytes]]:
    from sinks.artefacts import records
    from sinks.client import client_settings
    from streams.control_log import READ_S_MAX

    return list(records(settings.kafka.bootstrap, topic, READ_S_MAX, client_settings(settings.kafka)))
