"""A recording of a log that tests make from a seed."""

import gzip
from pathlib import Path

import msgspec

from config.settings import Bank
from domain import topics
from replay.log_file import End, Head, Record
from streams.score.version import engine_version
from tests.determinism import log as logs

GAP_EVERY, GAP = 50, 2  # as the markers of transactions leave them


def lines_of(log: logs.Log, version: str | None = None) -> list[bytes]:
    """The lines of its recording: the model that it switches to, then partition after partition, with gaps."""
    banks = tuple(Bank(bank_id=bank_id, name_zh=f"示例银行{i}") for i, bank_id in enumerate(logs.BANKS))
    head = Head(engine_version=version or engine_version(), partitions=len(log.partitions), banks=banks)
    model = Record(
        topic=topics.MODEL, offset=0, key=logs.other_id().encode(), value=logs.other_snapshot().encode(), headers=()
    )
    records = [
        Record(partition=number, offset=i + i // GAP_EVERY * GAP, key=key, value=value, headers=headers)
        for number, rows in enumerate(log.partitions)
        for i, (key, value, headers, _) in enumerate(rows)
    ]
    lines = [head, model, *records, End(records=1 + len(records))]
    return [msgspec.json.encode(line) + b"\n" for line in lines]


def write(path: Path, lines: list[bytes]) -> Path:
    """The file."""
    with gzip.open(path, "wb") as file:
        file.writelines(lines)
    return path
