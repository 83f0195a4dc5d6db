"""Compiles the kernels of the score role, or reads them from numba's cache, before anything waits for them."""

import msgspec

from detectors.snapshot import Snapshot
from domain.events import SCHEMA, Feed, LogRecord, Tick, Txn
from domain.topics import EVENTS
from streams.score.partition import Partition
from streams.transport.chunk import chunk_of

_BANK = "A0000000000000"
_DAY_MS = 86_400_000


def compile_kernels() -> None:
    """Take two transactions through a day's close, to bytes and back: every kernel runs once."""
    txn = Txn(
        event_id="warmup", bank_id=_BANK, enterprise_id="warmup", event_time=365 * _DAY_MS * 25, account="a",
        direction="C", amount_minor=1, currency="CNY",
    )  # fmt: skip
    tick = Tick(up_to=txn.event_time + 2 * _DAY_MS, feeds={_BANK: Feed()})
    numbered = msgspec.structs.replace(txn, event_id="numbered", seq=1)
    records = [LogRecord(event=event, amount_cny_minor=1) for event in (txn, numbered)] + [LogRecord(event=tick)]
    headers = [("schema", SCHEMA.encode())]
    chunk = chunk_of(EVENTS, 0, 0, [(None, msgspec.json.encode(record), headers, 0) for record in records])
    partition = Partition(0, _no_model)
    for _ in partition.apply(chunk):
        continue
    stored = dict(partition.take(partition.dirty_rows()))
    names = [name.encode() for name in stored]
    copy = Partition(0, _no_model, names=names, fetch=lambda names: [stored[name] for name in names], resident_max=1)
    for _ in copy.apply(chunk):
        continue
    arena = copy.residents.arena
    copy.residents.make_room_to_remember(len(arena.ids.entry) + 1, len(arena.blocks.entry) + 1)
    copy.take(rows := copy.dirty_rows())
    copy.written(rows)
    copy.residents.evict(1)


def _no_model(model_id: str) -> Snapshot:
    raise LookupError(model_id)
