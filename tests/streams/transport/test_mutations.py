"""Damaged fetches and bombs: both parsers agree or both refuse for the same reason, within their time and memory."""

import os
import pickle
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.world import feed
from benchmarks.world.log import World
from config.settings import UNPACKED_BYTES_MAX
from streams.transport import Chunk, Reason, UnreadableBatch, batches, driver, reference
from tests.mutating import grown_bytes, in_processes
from tests.streams.recording import quick_options, run_here
from tests.streams.transport.mutations import TINY, bombs, check, corpus, damaged, tiny_records
from tests.streams.transport.record_batches import (
    GZIP,
    LZ4,
    SNAPPY,
    TRANSACTIONAL,
    ZSTD,
    Batch,
    Row,
    marker,
    rows_of,
)
from tests.streams.transport.test_on_kafka import Collecting

MIB = 1 << 20
FETCHES = corpus(0)
PARSERS = [pytest.param(batches.parse, id="compiled"), pytest.param(reference.parse, id="reference")]
both = pytest.mark.parametrize("parse", PARSERS)
AT: dict[str, Any] = {"topic": "bank.Z.events.v1", "partition": 0}


@given(seed=st.integers(0, 2**64))
@settings(max_examples=500)
def test_of_damaged_fetches_both_parsers_make_the_same(seed: int) -> None:
    check(damaged(random.Random(seed), FETCHES))


def test_damaged_fetches_are_never_read_out_of_bounds(tmp_path: Path, seed: int) -> None:
    """The compiled loops again, with numba's bounds checks: reading outside the buffer is an IndexError there."""
    script = (
        "import sys, collections, random\n"
        "from tests.streams.transport.mutations import check, corpus, damaged\n"
        "rng, fetches = random.Random(int(sys.argv[1])), corpus(0)\n"
        "check(damaged(random.Random(0), fetches), cpu_s_max=200.0)  # compiles\n"
        "print(dict(collections.Counter(check(damaged(rng, fetches)) for _ in range(3000))))\n"
    )
    environment = {
        **os.environ,
        "NUMBA_BOUNDSCHECK": "1",
        "XINLIU_CACHE": str(tmp_path),
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    command = [sys.executable, "-c", script, str(seed)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    for outcome in ("read", "cut", "offset_delta", "varint", "headers"):
        assert f"'{outcome}'" in run.stdout, run.stdout


def drained(
    parse: Callable[..., Chunk], log: Sequence[bytes], bases: Sequence[int], aborted: Any, bytes_max: int
) -> tuple[list[Any], UnreadableBatch | None]:
    """All records as a caller gets them that goes on where each chunk ends, and the batch where it cannot."""
    position, rows = bases[0], []
    while position < bases[-1]:
        first = max(i for i, base in enumerate(bases[:-1]) if i == 0 or base <= position)
        raw = b"".join(log[first:])
        try:
            chunk = parse(raw, **AT, start_offset=position, aborted=aborted, unpacked_bytes_max=bytes_max)
        except UnreadableBatch as error:
            return rows, error.with_traceback(None)
        assert position < chunk.next_offset
        rows += chunk.rows(range(len(chunk)))
        position = chunk.next_offset
    return rows, None


@given(seed=st.integers(0, 2**64), bytes_max=st.integers(300, 3_000), parse=st.sampled_from([0, 1]))
def test_a_lower_bound_delivers_the_same_records_in_more_chunks(seed: int, bytes_max: int, parse: int) -> None:
    rng = random.Random(seed)
    log, bases = [], [5]
    for _ in range(rng.randint(1, 8)):
        rows = rows_of(rng.randrange(1, 6))
        batch = Batch(base=bases[-1], rows=rows, compression=rng.randrange(5), producer=7, flags=TRANSACTIONAL)
        log.append(batch.encoded())
        bases.append(batch.next_offset)
    parser = (batches.parse, reference.parse)[parse]
    whole, none = drained(parser, log, bases, [], 1 << 20)
    assert none is None
    assert len(whole) == bases[-1] - 5
    rows, error = drained(parser, log, bases, [], bytes_max)
    assert rows == whole[: len(rows)]
    if error is None:
        assert len(rows) == len(whole)
    else:
        assert error.reason == Reason.DECOMPRESSED_TOO_LARGE
        assert error.offset == 5 + len(rows)


@both
def test_the_bad_batch_is_met_exactly_where_it_is(parse: Callable[..., Chunk]) -> None:
    log = [
        Batch(base=0, rows=rows_of(3), compression=LZ4).encoded(),
        Batch(base=3, rows=rows_of(3), flags=TRANSACTIONAL, producer=9).encoded(),
        Batch(base=6, rows=[Row(delta=1), Row(delta=0)]).encoded(),
        Batch(base=8, rows=rows_of(1)).encoded(),
    ]
    rows, error = drained(parse, log, [0, 3, 6, 8, 9], [(9, 3)], 1 << 20)
    assert [row.offset for row in rows] == [0, 1, 2]
    assert error is not None
    assert (error.offset, error.next_offset, error.reason, error.raw) == (6, 8, Reason.OFFSET_DELTA, log[2])
    rows, error = drained(parse, log[3:], [8, 9], [], 1 << 20)
    assert ([row.offset for row in rows], error) == ([8], None)


# Bombs


@pytest.mark.parametrize(("codec", "mebibytes"), [(GZIP, 1_500), (SNAPPY, 60), (LZ4, 1_500), (ZSTD, 1_500)])
def test_a_bomb_is_refused_within_the_memory_of_its_bound(codec: int, mebibytes: int) -> None:
    small, large = bombs(2, [codec])[0], bombs(mebibytes, [codec])[0]
    assert len(large.raw) < 8 * MIB  # what a topic may take at all
    bytes_max = 32 * MIB
    for parse in (batches.parse, reference.parse):
        with pytest.raises(UnreadableBatch):  # what the library takes once
            parse(small.raw, **AT, start_offset=3, unpacked_bytes_max=1 * MIB)

        def refused(parse: Callable[..., Chunk] = parse) -> None:
            with pytest.raises(UnreadableBatch) as caught:
                parse(large.raw, **AT, start_offset=3, unpacked_bytes_max=bytes_max)
            assert caught.value.reason == Reason.DECOMPRESSED_TOO_LARGE
            assert (caught.value.offset, caught.value.next_offset) == (3, 4)

        assert grown_bytes(refused) < 1.25 * bytes_max + 16 * MIB
        tracemalloc.start()  # NumPy's arrays too: what is held at once, whatever malloc had free
        refused()
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 1.25 * bytes_max


def test_a_batch_of_tiny_records_is_read_within_the_memory_of_its_bound() -> None:
    """Their columns take ten times their bytes."""
    tiny, read = tiny_records(TINY), []
    grown = grown_bytes(lambda: read.append(batches.parse(tiny.raw, **AT, start_offset=3)))
    assert grown < UNPACKED_BYTES_MAX + 16 * MIB
    assert len(read[0]) == TINY
    assert read[0].nbytes > 0.85 * UNPACKED_BYTES_MAX


@both
@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_a_fetch_of_batches_each_within_the_bound_comes_in_chunks_within_it(
    parse: Callable[..., Chunk], codec: int
) -> None:
    rows = [Row(delta=i, value=bytes(3 * MIB)) for i in range(2)]
    raw = b"".join(Batch(base=2 * i, rows=rows, compression=codec).encoded() for i in range(20))
    chunk = parse(raw, **AT, start_offset=0, unpacked_bytes_max=20 * MIB)
    assert (len(chunk), chunk.next_offset, chunk.is_cut) == (6, 6, True)
    assert chunk.buffer.nbytes <= 20 * MIB


@both
def test_places_of_records_count_as_memory(parse: Callable[..., Chunk]) -> None:
    n = 100_000
    tiny = Batch(payload=b"".join(Row(delta=i, key=None, value=None).encoded() for i in range(n)), count=n)
    for codec in (0, ZSTD):
        raw = Batch(**{**vars(tiny), "compression": codec, "last_delta": n}).encoded()
        assert len(parse(raw, **AT, start_offset=0, unpacked_bytes_max=8 * MIB)) == n
        with pytest.raises(UnreadableBatch) as caught:
            parse(raw, **AT, start_offset=0, unpacked_bytes_max=5 * MIB)
        assert caught.value.reason == Reason.DECOMPRESSED_TOO_LARGE


@both
def test_uncompressed_bytes_are_not_counted(parse: Callable[..., Chunk]) -> None:
    """Aborted transactions are not unpacked, and markers are dropped."""
    large = Batch(rows=[Row(delta=0, value=bytes(MIB))], compression=ZSTD, flags=TRANSACTIONAL, producer=4)
    raw = large.encoded() + marker(1, 4, b"\0\0\0\0").encoded() + Batch(base=2, rows=rows_of(2)).encoded()
    chunk = parse(raw, **AT, start_offset=0, aborted=[(4, 0)], unpacked_bytes_max=1_000)
    assert (chunk.offset.tolist(), chunk.next_offset, chunk.is_cut) == ([2, 3], 4, False)


# By the million


def real_fetches(kafka: str, make_topic: Callable[..., str], path: Path) -> Path:
    """A broker's fetches of transactions of the benchmarks' world in each codec, and of others that were aborted."""
    topic, fetches = make_topic("mutated"), []
    sent = [
        one
        for one, _ in zip(
            feed.feed(feed.transactions(World(seed=7, enterprises=200, partitions=2, warm_days=40), 400)),
            range(400),
            strict=False,
        )
    ]
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        plain = Producer({"bootstrap.servers": kafka, "compression.type": codec, "batch.num.messages": 40})
        for one in sent:
            plain.produce(topic, one.value, one.key, headers=[("schema", b"xinliu.event/1")])
        assert plain.flush(30) == 0
        transactional = Producer({"bootstrap.servers": kafka, "transactional.id": topic, "compression.type": codec})
        transactional.init_transactions(30)
        for end in (transactional.abort_transaction, transactional.commit_transaction):
            transactional.begin_transaction()
            for one in sent[:30]:
                transactional.produce(topic, one.value, one.key)
            end(30)

    def keep(raw: bytes, **how: Any) -> Chunk:
        fetches.append((bytes(raw), how["start_offset"], list(how["aborted"])))
        return batches.parse(raw, **how)

    role = Collecting(topic)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(driver.PARSERS, "compiled", keep)
        assert run_here(role, kafka, topic, lambda: role.records >= 5 * 430, options=quick_options({})) == 0
    path.write_bytes(pickle.dumps(fetches))
    return path


@pytest.mark.soak
@pytest.mark.timeout(4 * 3_600)
def test_a_million_damaged_fetches(
    kafka: str, make_topic: Callable[..., str], tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """No crash, no fetch of more than 3 s of CPU, no memory above the bound, and the parsers agree on each."""
    found = in_processes(
        "tests.streams.transport.mutations",
        seed,
        1_000_000,
        str(real_fetches(kafka, make_topic, tmp_path / "fetches")),
        timeout_s=3 * 3_600,
    )
    with capsys.disabled():
        print(f"\n{found}")
    assert found["count"] >= 999_000
    assert {reason.value for reason in Reason} <= found["seen"].keys()
