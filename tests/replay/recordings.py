"""A recording of a log that tests make from a seed, in the format of today and in format 1."""

import gzip
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import msgspec

from config.settings import Bank
from domain import topics
from replay.log_file_1 import End, Head, Record
from replay.log_writer import LogWriter, runs
from sinks.batch import Records
from streams.score.version import engine_version
from tests.determinism import log as logs

GAP_EVERY, GAP = 50, 2  # as the markers of transactions leave them


def record(path: Path, log: logs.Log, version: str | None = None) -> Path:
    """The file: the model that it switches to, then partition after partition, with gaps."""
    with LogWriter(path, banks=_banks(), partitions=len(log.partitions), version=version) as writer:
        writer.artefact(topics.MODEL, logs.other_id().encode(), logs.other_snapshot().encode(), 0)
        for number in range(len(log.partitions)):
            for (_, headers), some in groupby(_records(log, number), key=lambda one: (one.topic, one.headers)):
                for run in runs(some, 500):
                    records = Records.of([(one.key, one.value) for one in run])
                    writer.append(records, number, headers=headers, offset=run[0].offset)
    return path


def lines_of(log: logs.Log, version: str | None = None) -> list[bytes]:
    """The lines of its recording in format 1: the model, then partition after partition, with gaps."""
    head = Head(engine_version=version or engine_version(), partitions=len(log.partitions), banks=_banks())
    model = Record(
        topic=topics.MODEL, offset=0, key=logs.other_id().encode(), value=logs.other_snapshot().encode(), headers=()
    )
    records = [one for number in range(len(log.partitions)) for one in _records(log, number)]
    lines = [head, model, *records, End(records=1 + len(records))]
    return [msgspec.json.encode(line) + b"\n" for line in lines]


def write(path: Path, lines: list[bytes]) -> Path:
    """The file."""
    with gzip.open(path, "wb") as file:
        file.writelines(lines)
    return path


def _banks() -> tuple[Bank, ...]:
    return tuple(Bank(bank_id=bank_id, name_zh=f"示例银行{i}") for i, bank_id in enumerate(logs.BANKS))


def _records(log: logs.Log, number: int) -> Iterator[Record]:
    for i, (key, value, headers, _) in enumerate(log.partitions[number]):
        yield Record(partition=number, offset=i + i // GAP_EVERY * GAP, key=key, value=value, headers=headers)
