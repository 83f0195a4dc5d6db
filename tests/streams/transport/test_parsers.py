"""Both parsers over every kind of batch: what is delivered, skipped and refused by name, and that they agree."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.transport import (
    BatchError,
    BatchTooLarge,
    Chunk,
    CorruptBatch,
    UnsupportedMagic,
    batches,
    compiled,
    reference,
)
from tests.streams.transport.record_batches import (
    ABORT,
    COMMIT,
    CONTROL,
    LOG_APPEND_TIME,
    TRANSACTIONAL,
    Batch,
    Row,
    assert_inside,
    assert_same,
    marker,
    random_log,
    rows_of,
    with_right_crcs,
)

Parse = Callable[..., Chunk]
PARSERS = [pytest.param(batches.parse, id="compiled"), pytest.param(reference.parse, id="reference")]
both = pytest.mark.parametrize("parse", PARSERS)
AT: dict[str, Any] = {"topic": "events.v1", "partition": 5}


def offsets(chunk: Chunk) -> list[int]:
    return [int(offset) for offset in chunk.offset]


def contents(chunk: Chunk) -> list[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]]:
    return [(chunk.key(i), chunk.value(i), chunk.headers(i)) for i in range(len(chunk))]


@both
@pytest.mark.parametrize("compression", range(5))
def test_records_come_with_keys_values_headers_and_times(parse: Parse, compression: int) -> None:
    rows = [
        Row(delta=0, key=b"a", value=b"1" * 300, headers=[("schema", b"xinliu.event/1"), ("null", None)], time_delta=5),
        Row(delta=1, key=None, value=b"", time_delta=-3),
        Row(delta=2, key=b"", value=None),
    ]
    batch = Batch(base=40, rows=rows, compression=compression, base_time=1000)
    chunk = parse(batch.encoded(), **AT, start_offset=40)
    assert contents(chunk) == [
        (b"a", b"1" * 300, (("schema", b"xinliu.event/1"), ("null", None))),
        (None, b"", ()),
        (b"", None, ()),
    ]
    assert (chunk.topic, chunk.partition, chunk.start_offset, chunk.next_offset) == ("events.v1", 5, 40, 43)
    assert chunk.timestamp_ms.tolist() == [1005, 997, 1000]
    assert chunk.timestamp_type.tolist() == [0, 0, 0]
    assert not chunk.buffer.flags.writeable


@both
def test_with_log_append_time_all_records_have_the_batchs_max_timestamp(parse: Parse) -> None:
    batch = Batch(rows=rows_of(3), flags=LOG_APPEND_TIME, base_time=1, max_time=77)
    chunk = parse(batch.encoded(), **AT, start_offset=0)
    assert chunk.timestamp_ms.tolist() == [77] * 3
    assert chunk.timestamp_type.tolist() == [1] * 3


@both
def test_a_fetch_may_start_inside_a_batch(parse: Parse) -> None:
    raw = Batch(base=10, rows=rows_of(5)).encoded() + Batch(base=15, rows=rows_of(2)).encoded()
    chunk = parse(raw, **AT, start_offset=13)
    assert offsets(chunk) == [13, 14, 15, 16]
    assert (chunk.start_offset, chunk.next_offset) == (13, 17)


@both
@pytest.mark.parametrize("left", [1, 11, 12, 40, 61, 80])
def test_a_cut_tail_is_left_for_the_next_fetch(parse: Parse, left: int) -> None:
    whole, next_one = Batch(rows=rows_of(3)).encoded(), Batch(base=3, rows=rows_of(3)).encoded()
    chunk = parse(whole + next_one[:left], **AT, start_offset=0)
    assert offsets(chunk) == [0, 1, 2]
    assert chunk.next_offset == 3


@both
def test_a_fetch_without_one_whole_batch_is_refused_not_skipped(parse: Parse) -> None:
    raw = Batch(base=9, rows=rows_of(30)).encoded()
    with pytest.raises(
        BatchTooLarge, match=r"events\.v1\[5\] at offset 9: .* larger than the 100 bytes .* fetch_bytes"
    ):
        parse(raw[:100], **AT, start_offset=9)


@both
def test_compacted_batches_have_gaps_and_keep_their_last_offset(parse: Parse) -> None:
    rows = [Row(delta=2), Row(delta=900)]
    raw = Batch(base=100, rows=rows, last_delta=999).encoded() + Batch(base=1100, last_delta=49).encoded()
    chunk = parse(raw, **AT, start_offset=50)
    assert offsets(chunk) == [102, 1000]
    assert chunk.next_offset == 1150


@both
def test_markers_are_skipped_and_move_the_position(parse: Parse) -> None:
    raw = Batch(rows=rows_of(2), flags=TRANSACTIONAL, producer=7).encoded() + marker(2, 7, COMMIT).encoded()
    chunk = parse(raw, **AT, start_offset=0)
    assert offsets(chunk) == [0, 1]
    assert chunk.next_offset == 3


@both
def test_aborted_transactions_are_skipped_up_to_their_marker(parse: Parse) -> None:
    def batch(base: int, producer: int, flags: int = TRANSACTIONAL) -> bytes:
        return Batch(base=base, rows=rows_of(2), flags=flags, producer=producer).encoded()

    raw = (
        batch(0, 7)  # aborted
        + batch(2, 8)  # committed, between
        + batch(4, 7)  # aborted
        + batch(6, 7, flags=0)  # the same producer outside a transaction
        + marker(8, 7, ABORT).encoded()
        + batch(9, 7)  # its next transaction, committed
        + marker(11, 8, COMMIT).encoded()
        + marker(12, 7, COMMIT).encoded()
    )
    chunk = parse(raw, **AT, start_offset=0, aborted=[(7, 0)])
    assert offsets(chunk) == [2, 3, 6, 7, 9, 10]
    assert chunk.next_offset == 13
    only_aborted = parse(raw[: len(batch(0, 7))], **AT, start_offset=0, aborted=[(7, 0)])
    assert len(only_aborted) == 0
    assert (only_aborted.start_offset, only_aborted.next_offset) == (0, 2)


@both
@pytest.mark.parametrize("magic", [0, 1])
def test_old_formats_are_refused_by_name(parse: Parse, magic: int) -> None:
    from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

    builder = LegacyRecordBatchBuilder(magic=magic, compression_type=0, batch_size=1 << 20)
    builder.append(0, timestamp=1000, key=b"k", value=b"v")
    good = Batch(rows=rows_of(1)).encoded()
    with pytest.raises(UnsupportedMagic, match=rf"events\.v1\[5\] at offset 0: .* magic {magic} ") as caught:
        parse(good + bytes(builder.build()), **AT, start_offset=0)
    assert caught.value.magic == magic


@both
def test_a_format_from_the_future_is_refused_by_name(parse: Parse) -> None:
    with pytest.raises(UnsupportedMagic, match=r"at offset 3: .* magic 3 "):
        parse(Batch(base=3, rows=rows_of(1), magic=3).encoded(), **AT, start_offset=3)


@both
def test_a_wrong_checksum_is_refused_by_name(parse: Parse) -> None:
    raw = Batch(rows=rows_of(2)).encoded() + Batch(base=2, rows=rows_of(2), crc_error=1).encoded()
    with pytest.raises(CorruptBatch, match=r"events\.v1\[5\] at offset 2: .*CRC"):
        parse(raw, **AT, start_offset=0)


LONG = b"\xff" * 9 + b"\x01"
BROKEN = {
    "record_longer_than_batch": Batch(count=1, payload=b"\x7e" + bytes(20)),
    "record_length_negative": Batch(count=1, payload=b"\x01" + bytes(20)),
    "varint_runs_over_the_end": Batch(count=1, payload=b"\xff" * 20),
    "varint_of_more_than_64_bits": Batch(count=1, payload=b"\x28\0" + b"\xff" * 12 + bytes(7)),
    "key_longer_than_record": Batch(count=1, payload=b"\x12\0\0\0\x7e" + bytes(5)),
    "key_length_overflows": Batch(count=1, payload=b"\x20\0\0\0" + b"\xfe" + LONG[1:] + bytes(3)),
    "value_longer_than_record": Batch(count=1, payload=b"\x12\0\0\0\x01\x7e" + bytes(4)),
    "header_count_negative": Batch(count=1, payload=b"\x0e\0\0\0\x01\x01\x01"),
    "header_count_beyond_record": Batch(count=1, payload=b"\x10\0\0\0\x01\x01\x7e\0"),
    "header_name_null": Batch(count=1, payload=b"\x12\0\0\0\x01\x01\x02\x01\0"),
    "header_value_beyond_record": Batch(count=1, payload=b"\x12\0\0\0\x01\x01\x02\0\x7e"),
    "bytes_left_in_record": Batch(count=1, payload=b"\x10\0\0\0\x01\x01\0\0"),
    "bytes_left_in_batch": Batch(rows=rows_of(1), extra=b"\0"),
    "more_records_than_counted": Batch(rows=rows_of(2), count=1),
    "fewer_records_than_counted": Batch(rows=rows_of(2), count=3),
    "not_what_the_codec_says": Batch(compression=1, count=1, payload=b"", extra=b"junk"),
}


@both
@pytest.mark.parametrize("batch", BROKEN.values(), ids=list(BROKEN))
def test_broken_records_are_refused_by_name(parse: Parse, batch: Batch) -> None:
    raw = Batch(rows=rows_of(1), last_delta=41).encoded() + Batch(**{**vars(batch), "base": 42}).encoded()
    with pytest.raises(CorruptBatch, match=r"events\.v1\[5\] at offset 42: "):
        parse(raw, **AT, start_offset=0)


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (Batch(count=-1), "count"),
        (Batch(count=1 << 30, payload=bytes(50)), "count"),
        (Batch(count=1 << 30, compression=4, payload=bytes(50)), "count"),
        (Batch(rows=[Row(delta=1), Row(delta=1)]), "do not rise"),
        (Batch(rows=[Row(delta=5)], last_delta=4), "pass the batch's last"),
        (Batch(rows=rows_of(1), compression=5), "codec 5"),
    ],
)
def test_the_compiled_parser_refuses_what_aiokafka_lets_pass(batch: Batch, reason: str) -> None:
    with pytest.raises(CorruptBatch, match=f"at offset 0: .*{reason}"):
        batches.parse(batch.encoded(), **AT, start_offset=0)


@both
@pytest.mark.parametrize("length", [-1, -2_000_000_000, 0, 4, 48])
def test_an_impossible_batch_length_is_refused(parse: Parse, length: int) -> None:
    good = Batch(rows=rows_of(1)).encoded()
    bad = bytearray(Batch(base=1, rows=rows_of(1)).encoded())
    bad[8:12] = length.to_bytes(4, "big", signed=True)
    with pytest.raises(BatchError, match=r"events\.v1\[5\] at offset"):
        parse(good + bytes(bad), **AT, start_offset=0)


def test_header_names_that_are_no_utf8_do_not_stop_the_compiled_parser() -> None:
    payload = b"\x14\0\0\0\x01\x01\x02\x04\xff\xfe\0"
    chunk = batches.parse(Batch(count=1, payload=payload).encoded(), **AT, start_offset=0)
    assert chunk.headers(0) == (("\ufffd\ufffd", b""),)


def test_an_emptied_control_batch_does_not_stop_the_compiled_parser() -> None:
    raw = Batch(flags=CONTROL | TRANSACTIONAL, producer=7, last_delta=0).encoded()
    chunk = batches.parse(raw, **AT, start_offset=0)
    assert (len(chunk), chunk.next_offset) == (0, 1)


@both
def test_a_batch_of_many_records_loses_none(parse: Parse) -> None:
    n = 120_000
    raw = Batch(rows=[Row(delta=i, key=None, value=b"%d" % i) for i in range(n)], compression=4).encoded()
    chunk = parse(raw, **AT, start_offset=0)
    assert len(chunk) == n
    assert chunk.value(n - 1) == b"%d" % (n - 1)
    assert offsets(chunk)[:: n - 1] == [0, n - 1]


@given(seed=st.integers(0, 2**64))
@settings(max_examples=300)
def test_compiled_and_reference_agree_byte_by_byte(seed: int) -> None:
    raw, start, aborted = random_log(random.Random(seed))
    arguments = {**AT, "start_offset": start, "aborted": aborted, "generation": 3}
    one = batches.parse(raw, **arguments)
    assert_inside(one)
    assert_same(one, reference.parse(raw, **arguments))


def corrupted(rng: random.Random) -> tuple[bytes, int, list[tuple[int, int]]]:
    raw, start, aborted = random_log(rng)
    wrong = bytearray(raw)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(wrong))
        wrong[at] = rng.choice([0, 1, 127, 128, 255, wrong[at] ^ 1 << rng.randrange(8)])
    if rng.random() < 0.1:
        del wrong[rng.randrange(len(wrong)) :]
    return (with_right_crcs(bytes(wrong)) if rng.random() < 0.8 else bytes(wrong)), start, aborted


def check_corrupted(seed: int) -> str:
    raw, start, aborted = corrupted(random.Random(seed))
    arguments = {**AT, "start_offset": start, "aborted": aborted}
    try:
        chunk = batches.parse(raw, **arguments)
    except BatchError as error:
        assert "events.v1[5] at offset" in str(error)  # noqa: PT017
        return type(error).__name__
    assert_inside(chunk)
    try:
        expected = reference.parse(raw, **arguments)
    except BatchError as error:
        # aiokafka also refuses names that are no UTF-8, and reads the records of markers and of emptied batches
        table = batches._whole_batches(np.frombuffer(raw, np.uint8), start)[0]
        unread = (table[:, compiled.ATTRIBUTES] & CONTROL != 0) | (table[:, compiled.COUNT] == 0)
        assert "utf-8" in error.reason or (table[unread, compiled.BASE] >= error.base_offset).any()  # noqa: PT017
        return "only the reference refused"
    assert_same(chunk, expected)
    return "read"


@given(seed=st.integers(0, 2**64))
@settings(max_examples=300)
def test_corrupted_bytes_are_refused_by_name_or_read_alike(seed: int) -> None:
    check_corrupted(seed)


def test_corrupted_bytes_are_never_read_out_of_bounds(tmp_path: Path, seed: int) -> None:
    """The compiled loops again, with numba's bounds checks: reading outside the buffer is an IndexError there."""
    script = (
        "import sys, collections; sys.path.insert(0, sys.argv[1])\n"
        "from tests.streams.transport.test_parsers import check_corrupted\n"
        "seen = collections.Counter(check_corrupted(int(sys.argv[2]) + i) for i in range(3000)); print(dict(seen))\n"
    )
    environment = {
        **os.environ,
        "NUMBA_BOUNDSCHECK": "1",
        "XINLIU_CACHE": str(tmp_path),
    }
    command = [sys.executable, "-c", script, str(Path(__file__).parents[3]), str(seed)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    print(run.stdout)
    assert "CorruptBatch" in run.stdout
    assert "'read'" in run.stdout
