"""Both parsers on every kind of batch: delivered, skipped, or refused by name, and always the same."""

import random
import time
from collections.abc import Callable
from typing import Any

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.batch import write_varint
from streams.transport import (
    BatchTooLarge,
    Chunk,
    Reason,
    UnreadableBatch,
    batches,
    reference,
)
from streams.transport.chunk import RECORD_BYTES
from tests.streams.transport.record_batches import (
    ABORT,
    COMMIT,
    COMPRESS,
    CONTROL,
    GZIP,
    LOG_APPEND_TIME,
    LZ4,
    SNAPPY,
    TRANSACTIONAL,
    ZSTD,
    Batch,
    Row,
    assert_inside,
    assert_same,
    marker,
    random_log,
    rows_of,
    with_payload,
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


def refused(parse: Parse, raw: bytes, start_offset: int = 0, **options: Any) -> UnreadableBatch:
    with pytest.raises(UnreadableBatch) as caught:
        parse(raw, **AT, start_offset=start_offset, **options)
    return caught.value


def assert_cut_before(parse: Parse, bad: bytes, base: int, reason: Reason) -> UnreadableBatch:
    """The batches before the bad one come as a chunk; a fetch from there on meets the error at it."""
    good = Batch(rows=rows_of(1), last_delta=base - 1).encoded()
    chunk = parse(good + bad + Batch(base=base + 1000, rows=rows_of(1)).encoded(), **AT, start_offset=0)
    assert (offsets(chunk), chunk.next_offset, chunk.is_cut) == ([0], base, True)
    error = refused(parse, bad, base)
    assert (error.topic, error.partition, error.offset, error.reason) == ("events.v1", 5, base, reason)
    assert str(error).startswith(f"events.v1[5] at offset {base}: ")
    assert error.crc == google_crc32c.value(error.raw)
    return error


@both
@pytest.mark.parametrize("magic", [0, 1])
def test_old_formats_are_refused_by_name(parse: Parse, magic: int) -> None:
    from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

    builder = LegacyRecordBatchBuilder(magic=magic, compression_type=0, batch_size=1 << 20)
    builder.append(1, timestamp=1000, key=b"k", value=b"v")
    error = assert_cut_before(parse, bytes(builder.build()), 1, Reason.MESSAGE_FORMAT)
    assert f"magic {magic}" in error.detail
    assert (error.next_offset, error.raw) == (2, bytes(builder.build()))


@both
def test_a_format_from_the_future_is_refused_by_name(parse: Parse) -> None:
    error = assert_cut_before(parse, Batch(base=3, rows=rows_of(1), magic=3).encoded(), 3, Reason.MESSAGE_FORMAT)
    assert error.next_offset is None


@both
def test_a_wrong_checksum_is_refused_by_name(parse: Parse) -> None:
    bad = Batch(base=2, rows=rows_of(2), crc_error=1)
    error = assert_cut_before(parse, bad.encoded(), 2, Reason.CHECKSUM)
    assert (error.next_offset, error.raw) == (4, bad.encoded())


def one(fields: bytes, *, start: bytes = b"\0\0\0", length: int | None = None, after: bytes = b"") -> Batch:
    """A batch of one record: attributes, time delta and offset delta of 0, then `fields`."""
    body = start + fields
    return Batch(count=1, payload=write_varint(len(body) if length is None else length) + body + after)


NULL, EMPTY, TOO_LONG = b"\x01", b"\0", b"\x7e"  # lengths: -1, 0 and 63
INT_MAX, INT_MIN = b"\xfe\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x0f"
BROKEN = {
    "record_of_no_bytes": (Batch(count=1, payload=bytes(7)), Reason.RECORD_LENGTH),
    "record_longer_than_batch": (one(NULL + NULL + EMPTY, length=7), Reason.RECORD_LENGTH),
    "record_length_negative": (one(NULL + NULL + EMPTY, length=-1), Reason.RECORD_LENGTH),
    "record_length_of_2_gib": (one(NULL + NULL + EMPTY, length=2**31 - 1), Reason.RECORD_LENGTH),
    "varint_of_six_bytes": (Batch(count=1, payload=b"\x8c\x80\x80\x80\x80\0" + bytes(6)), Reason.VARINT),
    "second_length_runs_over_the_end": (
        Batch(rows=[Row(delta=0, key=bytes(20))], count=2, last_delta=1, extra=b"\xff" * 4),
        Reason.VARINT,
    ),
    "time_runs_over_the_end": (one(b"", start=b"\0" + b"\x80" * 6), Reason.VARINT),
    "time_of_more_than_64_bits": (one(bytes(5), start=b"\0" + b"\x80" * 10 + b"\0\0"), Reason.VARINT),
    "offset_of_more_than_32_bits": (one(bytes(5), start=b"\0\0" + b"\x80" * 5 + b"\0"), Reason.VARINT),
    "offset_negative": (one(NULL + NULL + EMPTY, start=b"\0\0\x01"), Reason.OFFSET_DELTA),
    "offsets_repeat": (Batch(rows=[Row(delta=1), Row(delta=1)]), Reason.OFFSET_DELTA),
    "offsets_fall": (Batch(rows=[Row(delta=1), Row(delta=0)]), Reason.OFFSET_DELTA),
    "offset_passes_the_last": (Batch(rows=[Row(delta=5)], last_delta=4), Reason.OFFSET_DELTA),
    "key_longer_than_record": (one(TOO_LONG + NULL + EMPTY), Reason.KEY_LENGTH),
    "key_length_of_2_gib": (one(INT_MAX + NULL + EMPTY), Reason.KEY_LENGTH),
    "key_length_runs_over_the_end": (one(b"\xff" * 4), Reason.VARINT),
    "no_value": (one(NULL + b"", after=b"\x01\x01"), Reason.VARINT),
    "value_longer_than_record": (one(NULL + TOO_LONG + EMPTY), Reason.VALUE_LENGTH),
    "value_length_of_2_gib": (one(NULL + INT_MAX + EMPTY), Reason.VALUE_LENGTH),
    "no_header_count": (one(NULL + NULL, after=b"\0"), Reason.VARINT),
    "header_count_negative": (one(NULL + NULL + b"\x01"), Reason.HEADERS),
    "header_count_of_minus_2_gib": (one(NULL + NULL + INT_MIN), Reason.HEADERS),
    "header_count_beyond_record": (one(NULL + NULL + TOO_LONG), Reason.HEADERS),
    "header_count_of_2_gib": (one(NULL + NULL + INT_MAX + bytes(200)), Reason.HEADERS),
    "one_header_less_than_counted": (one(NULL + NULL + b"\x04" + b"\x02a" + b"\x02b"), Reason.VARINT),
    "header_name_null": (one(NULL + NULL + b"\x02" + NULL + EMPTY), Reason.HEADERS),
    "header_name_beyond_record": (one(NULL + NULL + b"\x02" + TOO_LONG + EMPTY), Reason.HEADERS),
    "header_value_beyond_record": (one(NULL + NULL + b"\x02" + EMPTY + TOO_LONG), Reason.HEADERS),
    "header_value_length_runs_over_the_end": (one(NULL + NULL + b"\x02" + EMPTY + b"\x80"), Reason.VARINT),
    "bytes_left_in_record": (one(NULL + NULL + EMPTY + b"\0"), Reason.RECORD_SIZE),
    "bytes_left_in_batch": (Batch(rows=rows_of(1), extra=b"\0"), Reason.TRAILING_BYTES),
    "bytes_in_an_empty_batch": (Batch(extra=b"\0"), Reason.TRAILING_BYTES),
    "more_records_than_counted": (Batch(rows=rows_of(2), count=1), Reason.TRAILING_BYTES),
    "fewer_records_than_counted": (Batch(rows=rows_of(2), count=3, last_delta=2), Reason.VARINT),
    "count_negative": (Batch(count=-1), Reason.RECORD_COUNT),
    "count_beyond_batch": (Batch(count=1 << 30, payload=bytes(50)), Reason.RECORD_COUNT),
    "count_beyond_unpacked": (Batch(count=2**31 - 1, compression=ZSTD, payload=bytes(50)), Reason.RECORD_COUNT),
    "unknown_codec": (Batch(rows=rows_of(1), compression=5), Reason.CODEC),
}


@both
@pytest.mark.parametrize(("batch", "reason"), BROKEN.values(), ids=list(BROKEN))
def test_broken_records_are_refused_by_name(parse: Parse, batch: Batch, reason: Reason) -> None:
    error = assert_cut_before(parse, Batch(**{**vars(batch), "base": 42}).encoded(), 42, reason)
    assert error.next_offset == 42 + batch.next_offset


@both
@pytest.mark.parametrize(
    ("base", "last_delta"), [(2**63 - 1, 0), (2**63 - 2, 1), (2**63 - 2**31, 2**31 - 1), (2**63 - 1, 2**31 - 1)]
)
def test_offsets_past_the_end_of_their_range_are_refused(parse: Parse, base: int, last_delta: int) -> None:
    """2^63 is no position: the compiled parser once accepted the first such batch, whose last offset is still valid."""
    bad = Batch(base=base, rows=[Row(delta=last_delta)]).encoded()
    error = assert_cut_before(parse, bad, 7, Reason.BATCH_OFFSETS)
    assert error.next_offset is None


@both
def test_the_last_offset_that_has_a_position_behind_it_is_read(parse: Parse) -> None:
    chunk = parse(Batch(base=2**63 - 3, rows=rows_of(2)).encoded(), **AT, start_offset=0)
    assert (offsets(chunk), chunk.next_offset) == ([2**63 - 3, 2**63 - 2], 2**63 - 1)


@both
def test_times_begin_anew_where_they_overflow_as_javas_do(parse: Parse) -> None:
    rows = [Row(delta=0, time_delta=5), Row(delta=1, time_delta=-1)]
    assert parse(Batch(base_time=2**63 - 1, rows=rows).encoded(), **AT, start_offset=0).timestamp_ms.tolist() == [
        -(2**63) + 4,
        2**63 - 2,
    ]


@both
@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_bytes_behind_a_whole_compressed_stream_are_refused(parse: Parse, codec: int) -> None:
    """They are refused within and beyond the estimated size of the unpacked stream, which differs by parser."""
    rows = [Row(delta=i, value=bytes(20_000)) for i in range(3)]
    for more in (b"\0", bytes(3), bytes(4), bytes(20), b"\xff" * 40, COMPRESS[codec](b"\0")[:5]):
        bad = Batch(base=42, rows=rows, compression=codec, extra=more).encoded()
        assert_cut_before(parse, bad, 42, Reason.COMPRESSION)
        for bytes_max in (60_000, 60_300, 1 << 20):
            assert refused(parse, bad, 42, unpacked_bytes_max=bytes_max).reason == (
                Reason.COMPRESSION if bytes_max > 60_000 else Reason.DECOMPRESSED_TOO_LARGE
            )


@both
@pytest.mark.parametrize("codec", [0, GZIP, SNAPPY, LZ4, ZSTD])
def test_a_batch_that_alone_takes_more_than_its_bound_cannot_be_read(parse: Parse, codec: int) -> None:
    """Its records and their places count; the batches beside it do not."""
    small = [Batch(base=base, rows=rows_of(9), compression=codec).encoded() for base in (0, 9)]
    large = Batch(base=18, rows=[Row(delta=i, value=bytes(1_000)) for i in range(40)], compression=codec).encoded()
    whole = parse(large, **AT, start_offset=18)
    takes = len(Batch(base=18, rows=[Row(delta=i, value=bytes(1_000)) for i in range(40)]).encoded()) - 61
    takes += RECORD_BYTES * len(whole)
    assert len(parse(b"".join((*small, large)), **AT, start_offset=0, batch_bytes_max=takes)) == 9 + 9 + 40
    chunk = parse(b"".join((*small, large)), **AT, start_offset=0, batch_bytes_max=takes - 1)
    assert (len(chunk), chunk.next_offset, chunk.is_cut) == (18, 18, True)
    assert refused(parse, large, 18, batch_bytes_max=takes - 1).reason == Reason.DECOMPRESSED_TOO_LARGE


@both
@pytest.mark.parametrize("left", range(1, 16))
def test_a_cut_header_of_a_further_snappy_stream_is_refused(parse: Parse, left: int) -> None:
    """One of eight bytes or more was taken for a whole one."""
    bad = Batch(base=42, rows=rows_of(2), compression=SNAPPY, extra=COMPRESS[SNAPPY](b"")[:left]).encoded()
    assert_cut_before(parse, bad, 42, Reason.COMPRESSION)


@both
@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_streams_behind_each_other_are_read_as_one(parse: Parse, codec: int) -> None:
    pack, payload = COMPRESS[codec], b"".join(row.encoded() for row in rows_of(3))
    for packed in (pack(payload[:20]) + pack(payload[20:]), pack(payload) + pack(b"")):
        raw = with_payload(Batch(rows=rows_of(3), compression=codec).encoded(), packed)
        assert offsets(parse(raw, **AT, start_offset=0)) == [0, 1, 2]
    more = Batch(base=42, rows=rows_of(3), compression=codec, extra=pack(b"\0")).encoded()
    assert_cut_before(parse, more, 42, Reason.TRAILING_BYTES)


@both
@pytest.mark.parametrize("length", [-1, -2_000_000_000, 0, 4, 48])
def test_an_impossible_batch_length_is_refused(parse: Parse, length: int) -> None:
    bad = bytearray(Batch(base=1, rows=rows_of(1)).encoded())
    bad[8:12] = length.to_bytes(4, "big", signed=True)
    error = assert_cut_before(parse, bytes(bad), 1, Reason.BATCH_LENGTH)
    assert (error.next_offset, error.raw) == (None, bytes(bad))


@both
def test_header_names_that_are_no_utf8_do_not_stop_a_reader(parse: Parse) -> None:
    payload = b"\x14\0\0\0\x01\x01\x02\x04\xff\xfe\0"
    chunk = parse(Batch(count=1, payload=payload).encoded(), **AT, start_offset=0)
    assert chunk.headers(0) == (("\ufffd\ufffd", b""),)


@both
@pytest.mark.parametrize("compression", range(5))
def test_a_hundred_thousand_headers_come_through(parse: Parse, compression: int) -> None:
    headers = [("", None), ("头", b"x" * 300)] * 50_000
    raw = Batch(rows=[Row(delta=0, headers=headers), Row(delta=1)], compression=compression).encoded()
    chunk = parse(raw, **AT, start_offset=0)
    assert chunk.headers(0) == tuple(headers)
    assert contents(chunk)[1] == (b"k", b"v", ())


def test_millions_of_headers_take_the_compiled_parser_no_second() -> None:
    """Headers are parsed on demand only; ingest reads 64 KiB of them at most."""
    count = 8_000_000
    payload = one(NULL + NULL + write_varint(count) + (EMPTY + NULL) * count).payload
    raw = Batch(count=1, payload=payload, compression=ZSTD).encoded()
    begin_s = time.thread_time()
    chunk = batches.parse(raw, **AT, start_offset=0)
    assert time.thread_time() - begin_s < 1.0
    assert chunk.header_end[0] - chunk.header_start[0] > 2 * count


@both
def test_an_emptied_control_batch_is_skipped(parse: Parse) -> None:
    raw = Batch(flags=CONTROL | TRANSACTIONAL, producer=7, last_delta=0).encoded()
    chunk = parse(raw, **AT, start_offset=0)
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
