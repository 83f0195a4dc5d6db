"""The cost of compiled and hand-made code beside a library or plain Python on the same bytes.

    make bench B=compiled-parts

One process, in memory, CPU time of the thread. All variants of a part run in turns, as the machine's speed changes from
minute to minute. A figure is the median, least and most of the rounds. The conclusions:
docs/adr/0024-what-compiled-code-buys.md.
"""

import hmac
import itertools
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import orjson
from aiokafka.record import MemoryRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from rich.console import Console
from rich.table import Table

from benchmarks import machine, results
from benchmarks.world import mixed
from benchmarks.world.feed import Sent
from benchmarks.world.log import HEADERS, World
from benchmarks.world.state_sums import OUTCOMES
from domain.validate import Validator, source_of
from features.indicators import CORE_COUNT, INDICATOR_COUNT
from features.indicators.nulls import VALUE
from features.layout import id_words
from sinks.batch import BY_KEY, MS_FIRST, PARTITION, AckGroup, Batch, Outputs, Records, open_batches, write
from sinks.partitioner import partitions_of
from streams.ingest.fast_path import block
from streams.ingest.fast_path.secret_scan import harmless
from streams.ingest.forwarding import Forwarder, Rest
from streams.ingest.role import RECORDS_AT_ONCE
from streams.ingest.tokens import Tokens
from streams.score import outbook, outputs_json
from streams.seal import new_sealer
from streams.transport import batches, reference
from streams.transport.chunk import Chunk, ChunkBuilder, chunk_of
from streams.worker.role import TP
from tests.streams.score import test_daily_indicators, test_score_json

ROUNDS = 9
TRANSACTIONS, ROWS, MESSAGES = 40_000, 1_000, 20_000
IN_A_ROW = 37  # times that a bank sends a bad record's case, as in a million of the mix
PARTITIONS, LIVE_BATCH = 64, 8  # records of a partition that 50 ms bring at 10,000 a second
ANY_MS, TOLERANCE_MS = 2**62, 300_000
_KEY = b"k" * 32
_print = Console(stderr=True).print
Variant = Callable[[], object]


def run(argv: list[str]) -> int:
    """Measure all parts and write the result."""
    args = results.arguments(__doc__, argv)
    figures: dict[str, Any] = {"rounds": ROUNDS}
    world = World(seed=7, enterprises=2_000, partitions=2, warm_days=40)
    count = max(500, round(TRANSACTIONS * args.scale))
    sent = [
        record
        for record, _ in itertools.islice(mixed.records(mixed.transactions(world, count), count, mixed=False), count)
    ]
    for name, (count, variants) in {
        **_fetches(sent),
        **_writers(sent),
        **_rows(max(50, round(ROWS * args.scale))),
        **_hmacs(max(100, round(MESSAGES * args.scale))),
    }.items():
        figures[name] = _in_turns(name, count, variants)
    figures |= _ingest(world, count)
    return results.report("compiled_parts", args, figures, {})


def _in_turns(name: str, count: int, variants: dict[str, Variant]) -> dict[str, list[float]]:
    """Return µs a record of each variant: median, least, most."""
    spent: dict[str, list[float]] = {variant: [] for variant in variants}
    for step in variants.values():
        step()  # caches and code are warm
    for _ in range(ROUNDS):
        for variant, step in variants.items():
            began_ns = time.thread_time_ns()
            step()
            spent[variant].append((time.thread_time_ns() - began_ns) / count / 1_000)
    return _table_of(name, spent)


def _table_of(name: str, spent: dict[str, list[float]]) -> dict[str, list[float]]:
    table = Table("variant", "µs a record", "least", "most", title=f"{name} ({machine.describe()})")
    found = {
        variant: [round(one, 3) for one in (statistics.median(us), min(us), max(us))] for variant, us in spent.items()
    }
    for variant, us in found.items():
        table.add_row(variant, *map(str, us))
    _print(table)
    return found


# Fetches


def _fetches(sent: Sequence[Sent]) -> dict[str, tuple[int, dict[str, Variant]]]:
    """Return the fetch parts: full batches as in a backlog, and small ones as live."""
    found: dict[str, tuple[int, dict[str, Variant]]] = {}
    for name, of_batch in (("fetch_backlog", len(sent)), ("fetch_live", LIVE_BATCH)):
        some = sent[: len(sent) if of_batch == len(sent) else len(sent) // 10]
        raw = _batches(some, of_batch)
        found[name] = (
            len(some),
            {
                "compiled": lambda raw=raw: batches.parse(raw, topic="t", partition=0, start_offset=0),
                "aiokafka, a record each": lambda raw=raw: _by_aiokafka(raw),
                "aiokafka, into a chunk": lambda raw=raw: _into_chunk(raw),
                "reference": lambda raw=raw: reference.parse(raw, topic="t", partition=0, start_offset=0),
            },
        )
        assert len(batches.parse(raw, topic="t", partition=0, start_offset=0)) == len(some)
    return found


def _batches(sent: Sequence[Sent], of_batch: int) -> bytes:
    """Return the bytes of one partition's batches as the engine writes them."""
    raw, offset = [], 0
    for first in range(0, len(sent), of_batch):
        records = Records.of([(one.key, one.value) for one in sent[first : first + of_batch]])
        outputs = Outputs("t", records, 0, HEADERS, AckGroup(), 1_700_000_000_000)
        for cells, piece in write([outputs], open_batches(1), 0):
            batch = Batch(cells[MS_FIRST])
            batch.add(cells, piece, outputs.ack_group)
            raw.append(batch.placed(offset))
            offset += batch.count
    return b"".join(raw)


def _by_aiokafka(raw: bytes) -> list[Any]:
    """Return the records as aiokafka's consumer makes them, before it wraps them once more."""
    records, found = MemoryRecords(raw), []
    while (batch := records.next_batch()) is not None:
        assert batch.validate_crc()
        found += [(one.offset, one.timestamp, one.key, one.value, one.headers) for one in batch]
    return found


def _into_chunk(raw: bytes) -> Chunk:
    builder = ChunkBuilder("t", 0, 0)
    records = _by_aiokafka(raw)
    for offset, timestamp, key, value, headers in records:
        builder.add(offset, key, value, headers, timestamp)
    return builder.build(records[-1][0] + 1)


# Batches that are written


def _writers(sent: Sequence[Sent]) -> dict[str, tuple[int, dict[str, Variant]]]:
    """Return the writer part: outputs of all partitions into batches for the broker."""
    pairs = [(one.key or b"", one.value) for one in sent[:20_000]]
    outputs = Outputs("t", Records.of(pairs), BY_KEY, HEADERS, AckGroup(), 1_700_000_000_000)
    of_partition: dict[int, list[tuple[bytes, bytes | None]]] = {}
    for place, pair in zip(partitions_of([key for key, _ in pairs], PARTITIONS).tolist(), pairs, strict=True):
        of_partition.setdefault(place, []).append(pair)

    def compiled() -> None:
        made: dict[int, Batch] = {}
        for cells, piece in write([outputs], open_batches(PARTITIONS), 0):
            made.setdefault(cells[PARTITION], Batch(cells[MS_FIRST])).add(cells, piece, outputs.ack_group)
        for batch in made.values():
            batch._build()

    def by_aiokafka(codec: int) -> None:
        for some in of_partition.values():
            builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 24)
            for i, (key, value) in enumerate(some):
                builder.append(i, 1_700_000_000_000, key, value, list(HEADERS))
            builder.build()

    variants: dict[str, Variant] = {
        "compiled, LZ4 at level 1": compiled,
        "aiokafka, LZ4 at level 9": lambda: by_aiokafka(3),
        "aiokafka, not packed": lambda: by_aiokafka(0),
    }
    return {"batches_written": (len(pairs), variants)}


# JSON


def _rows(count: int) -> dict[str, tuple[int, dict[str, Variant]]]:
    """Return the JSON parts: scores, and daily indicators, of the output book."""
    found: dict[str, tuple[int, dict[str, Variant]]] = {}
    for name, kind, module in (
        ("json_scores", outbook.SCORE, test_score_json),
        ("json_indicators", outbook.INDICATORS, test_daily_indicators),
    ):
        found[name] = count, _json_variants(kind, module, [_cells(random.Random(i)) for i in range(count)])
    return found


def _json_variants(kind: int, module: Any, cells: Sequence[dict[str, Any]]) -> dict[str, Variant]:
    structs = [module.reference(one, "C" * 18) for one in cells]
    dictionaries = [msgspec.to_builtins(one) for one in structs]
    book, count = np.zeros(len(cells), outbook.ROW), len(cells)
    book["kind"] = kind
    for i, one in enumerate(cells):
        for field, cell in one.items():
            if isinstance(cell, list):
                book[field][i, : len(cell)] = cell
            else:
                book[field][i] = cell
    out, sizes = np.empty(count * outputs_json.BYTES_MAX, np.uint8), np.empty((count, 2), np.int64)
    ids, order = id_words("C" * 18).reshape(1, 4), np.arange(count)
    return {
        "compiled": lambda: outputs_json.write(book, order, ids, module.TERMS, out, sizes),
        "structs made and encoded by msgspec": lambda: [
            msgspec.json.encode(module.reference(one, "C" * 18)) for one in cells
        ],
        "msgspec alone, structs at hand": lambda: [msgspec.json.encode(one) for one in structs],
        "orjson alone, dictionaries at hand": lambda: [orjson.dumps(one) for one in dictionaries],
    }


def _cells(rng: random.Random) -> dict[str, Any]:
    """Return a row of the output book with six of seven indicators computable."""
    nulls = [VALUE if rng.random() < 0.86 else 1 + VALUE for _ in range(INDICATOR_COUNT)]
    return {
        "score_milli": rng.randrange(400_000, 700_000), "coverage_ppm": rng.randrange(10**6), "published_grade": 2,
        "value": [rng.lognormvariate(0, 5) for _ in range(INDICATOR_COUNT)], "null": nulls, "cap_milli": -1_000,
        "points_milli": [rng.randrange(30_000) for _ in range(CORE_COUNT)], "status": 1, "status_reason": 1,
        "reasons": rng.sample(range(CORE_COUNT), 5), "as_of_ms": 1_709_700_000_000, "offset": rng.randrange(10**9),
        "seq": rng.randrange(10**5), "provisional_calendar": 0,
    }  # fmt: skip


# Tokens


def _hmacs(count: int) -> dict[str, tuple[int, dict[str, Variant]]]:
    """Return the token parts: HMAC-SHA256 of an account number, and tokens of new and of known accounts."""
    messages = [b"account\0%019d" % i for i in range(count)]
    keyed = hmac.new(_KEY, digestmod="sha256")

    def copied(message: bytes) -> bytes:
        one = keyed.copy()
        one.update(message)
        return one.digest()

    accounts, met = [(0, message[8:]) for message in messages], Tokens(_KEY)
    return {
        "hmac": (
            count,
            {
                "hmac.new once, copied": lambda: [copied(message) for message in messages],
                "hmac.digest": lambda: [hmac.digest(_KEY, message, "sha256") for message in messages],
            },
        ),
        "tokens": (
            count,
            {"new": lambda: Tokens(_KEY).tokens(accounts), "met before": lambda: met.tokens(accounts)},
        ),
    }


# Ingest


def _ingest(world: World, count: int) -> dict[str, dict[str, list[float]]]:
    """Return µs of a clean record, and µs of a bad record in a mix with clean ones."""
    tokens = Tokens(_KEY)
    sealer = new_sealer()
    compiled, by_reference = Forwarder(tokens, sealer), Forwarder(tokens, sealer, compiled=False)
    clean, _ = _chunks(world, count, mixed=False)
    variants: dict[str, Variant] = {
        "compiled": lambda: _forward(compiled, clean),
        "reference": lambda: _forward(by_reference, clean),
    }
    found = {"ingest_clean": _in_turns("ingest_clean", count, variants)}
    scans = {"secret scan": harmless, "none": lambda _chunk, which: [False] * len(which)}
    for name, run in (("ingest_bad_in_runs", IN_A_ROW), ("ingest_bad_no_two_alike", 1)):
        chunks, bad = _chunks(world, count, mixed=True, run=run)
        spent: dict[str, list[float]] = {scan: [] for scan in scans}
        for round_ in range(1 + ROUNDS):
            for scan, function in scans.items():
                with mock.patch.object(block, "harmless", function):
                    us_of_clean, us_of_mix = _us_of(compiled, clean), _us_of(compiled, chunks)
                if round_:
                    spent[scan].append((us_of_mix - us_of_clean * (count - bad) / count) / bad)
        found[name] = _table_of(name, spent)
    return found


def _chunks(world: World, count: int, **which: Any) -> tuple[list[Chunk], int]:
    """Return `count` records of all banks in chunks of one bank, as ingest takes them, and the number of bad ones."""
    of_topic: dict[str, list[Sent]] = {}
    transactions, bad = mixed.transactions(world, count), 0
    for record, outcome in itertools.islice(mixed.records(transactions, count, **which), count):
        of_topic.setdefault(record.topic, []).append(record)
        bad += outcome not in OUTCOMES
    now_ms = int(transactions.events["event_ms"].max())
    return [
        chunk_of(
            topic,
            0,
            first,
            [(one.key, one.value, one.headers, now_ms) for one in some[first : first + RECORDS_AT_ONCE]],
        )
        for topic, some in of_topic.items()
        for first in range(0, len(some), RECORDS_AT_ONCE)
    ], bad


def _forward(forwarder: Forwarder, chunks: Sequence[Chunk]) -> None:
    """Forward all records up to the point where the role would send them."""
    for chunk in chunks:
        validator = Validator(
            source=source_of(chunk.topic), forbidden=forwarder.forbidden, future_tolerance_ms=TOLERANCE_MS
        )
        rest = Rest(chunk)
        while rest:
            done, after = forwarder.run(validator, rest, len(chunk), ANY_MS)
            rest.first = done.until + (after is not None)
            forwarder.count(TP(chunk.topic, 0), "forwarded", len(done.records))


def _us_of(forwarder: Forwarder, chunks: Sequence[Chunk]) -> float:
    began_ns = time.thread_time_ns()
    _forward(forwarder, chunks)
    return (time.thread_time_ns() - began_ns) / 1_000
