"""Compilation of the score role's kernels, or their loading from the cache, before anything waits for them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from detectors.case_life import id_of
from detectors.episodes import RAISED, is_over
from detectors.prior import prior_snapshot
from detectors.rules.artefact import RulesArtefact, RuleSet, decode, packaged_rules
from detectors.scorecard import FLOOR_MILLI, displayed, scorecard
from detectors.snapshot import Snapshot, content_id
from domain.events import SCHEMA, Control, Feed, LogRecord, Tick, Txn
from domain.topics import EVENTS
from features import table
from kernels.cache import folder_of
from streams.score import alerting, loop, outbook, outputs_json
from streams.score.json_text import micro
from streams.score.partition import NEVER, Partition, engine_of
from streams.transport.chunk import Chunk, chunk_of

_BANK = "A0000000000000"
_DAY_MS = 86_400_000
_TXN = Txn(
    event_id="warmup", bank_id=_BANK, enterprise_id="warmup", event_time=365 * _DAY_MS * 25, account="a",
    direction="C", amount_minor=1, currency="CNY",
)  # fmt: skip
_NUMBERED = msgspec.structs.replace(_TXN, event_id="numbered", seq=1)
_TICK = Tick(up_to=_TXN.event_time + 2 * _DAY_MS, feeds={_BANK: Feed()})
_NO_SIGNALS = RulesArtefact(signals=()).encode()
_OPENED = Control(control_id="warmup", action="backfill_open", by="warmup", reason="warmup")
_CLOSED = msgspec.structs.replace(_OPENED, action="backfill_close")
_OTHER_RULES = msgspec.structs.replace(
    _OPENED, action="activate", artefact="rules", artefact_id=content_id(_NO_SIGNALS)
)
_ALL_COMPILED = "all"  # a marker in the folder of this module, whose name holds the hash of all that runs here


def compile_kernels() -> None:
    """Run every kernel once: transactions, a day's close, a backfill, other rules, to bytes and back.

    Where they are not cached, a second process meanwhile compiles those that this one needs last.
    """
    marker = folder_of(Path(__file__)) / _ALL_COMPILED
    if marker.exists() or os.cpu_count() == 1:
        _run_all()
        return
    with _second_process():
        _run_all()
    marker.touch()


def compile_from_the_end() -> None:
    """Run the kernels that `compile_kernels` reaches late, the last ones first."""
    numbers, rows = np.zeros(1, np.int32), np.zeros(1, np.int64)
    partition, copy = (Partition(0, _no_model, names=[b"warmup"]) for _ in range(2))
    partition.residents.add(numbers)
    ((name, value),) = partition.values(rows)
    copy.residents.restore(numbers, [name], [value])
    card, book = scorecard(prior_snapshot()), outbook.empty(outbook.OUTPUTS_PER_EVALUATION_MAX)
    terms = outputs_json.terms(prior_snapshot(), card, "", "", "")
    nothing = np.empty(1, np.uint8), np.empty((0, 2), np.int64)
    outputs_json.write(book.rows, rows[:0], partition.state["id"], terms, *nothing)
    e, engine = partition.state[0], engine_of(card, packaged_rules(), NEVER)
    loop._close_indicators(e, book)
    alerting.follow_signals(e, engine, book, np.int64(0), loop.NO, loop.NO)
    alerting.follow_lenders(e, engine.rules, book, loop.YES)
    for _ in partition.apply(_chunk(_TICK)):
        continue


def _run_all() -> None:
    chunk = _chunk(_TXN, _NUMBERED, _TICK, _OPENED, _CLOSED, _OTHER_RULES)
    partition = Partition(0, _no_model, rules_of=_rules)
    for _ in partition.apply(chunk):
        continue
    for _ in partition.apply(_chunk(_TXN)):  # one record lies in memory as a whole: a type of its own
        continue
    stored = dict(partition.take(partition.dirty_rows()))
    partition.residents.numbers_of(list(stored))
    names = [name.encode() for name in stored]
    copy = Partition(
        0, _no_model, names=names, fetch=lambda names: [stored[name] for name in names], resident_max=1, rules_of=_rules
    )
    for _ in copy.apply(chunk):
        continue
    arena = copy.residents.arena
    copy.residents.make_room_to_remember(len(arena.ids.entry) + 1, len(arena.blocks.entry) + 1)
    copy.take(rows := copy.dirty_rows())
    copy.written(rows)
    copy.residents.evict(1)
    _ = table.with_room(copy.residents.directory, len(copy.residents.directory.entries))
    _ = displayed(FLOOR_MILLI), micro(0.0), is_over(RAISED)  # alerts ask them, by Python's numbers
    _ = id_of(np.zeros(4, np.uint64), np.int64(0), np.uint64(1))


def _chunk(*events: Txn | Tick | Control) -> Chunk:
    records = [LogRecord(event=event, amount_cny_minor=1 if isinstance(event, Txn) else None) for event in events]
    headers = [("schema", SCHEMA.encode())]
    return chunk_of(EVENTS, 0, 0, [(None, msgspec.json.encode(record), headers, 0) for record in records])


@contextmanager
def _second_process() -> Iterator[None]:
    """Run `compile_from_the_end` in a process of its own meanwhile. What it has not done is compiled here."""
    source = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__], env={**os.environ, "PYTHONPATH": source}, stdin=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _rules(rules_id: str) -> RuleSet:
    return decode(_NO_SIGNALS, rules_id)


def _no_model(model_id: str) -> Snapshot:
    raise LookupError(model_id)


if __name__ == "__main__":
    compile_from_the_end()
