"""Kafka's own reader as the judge: ours reads no batch that it refuses, and gives the same result where both read.

The table of docs/adr/0021 has the batches that we refuse and Kafka reads; this file shows them.
"""

import dataclasses
import random
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded.jars import class_path
from sinks.batch import write_varint
from streams.transport import BatchError, Chunk, Reason, UnreadableBatch, batches, reference
from tests.examples.test_subscribers import java_with_compiler
from tests.streams.transport.mutations import corpus, damaged
from tests.streams.transport.record_batches import (
    ABORT,
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
    marker,
    rows_of,
    with_payload,
)
from tests.streams.transport.test_parsers import BROKEN

ROWS = rows_of(3)
RECORDS = b"".join(row.encoded() for row in ROWS)


def of_one(body: bytes) -> bytes:
    """A batch of one record with this body behind its length."""
    return Batch(count=1, payload=write_varint(len(body)) + body).encoded()


def compressed(codec: int, packed: bytes) -> bytes:
    return with_payload(Batch(rows=ROWS, compression=codec).encoded(), packed)


def joined(codec: int) -> bytes:
    return compressed(codec, COMPRESS[codec](RECORDS[:20]) + COMPRESS[codec](RECORDS[20:]))


def behind(codec: int, more: bytes) -> bytes:
    return Batch(rows=ROWS, compression=codec, extra=more).encoded()


def old(magic: int) -> bytes:
    from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

    builder = LegacyRecordBatchBuilder(magic=magic, compression_type=0, batch_size=1 << 20)
    builder.append(1, timestamp=1000, key=b"k", value=b"v")
    return bytes(builder.build())


SAME: dict[str, bytes] = {
    "record_attributes_above_127": of_one(b"\xff\0\0\x01\x01\0"),
    "batch_attributes_without_meaning": Batch(rows=ROWS, flags=0x7F80).encoded(),
    "batch_attributes_negative": Batch(rows=ROWS, flags=-0x8000).encoded(),
    "last_offset_behind_the_records": Batch(rows=ROWS, last_delta=10).encoded(),
    "no_records": Batch(last_delta=3).encoded(),
    **{f"no_records_in_{codec}": Batch(compression=codec).encoded() for codec in (GZIP, SNAPPY, LZ4, ZSTD)},
    "a_cut_batch_at_the_end": Batch(rows=ROWS).encoded() + Batch(base=3, rows=ROWS).encoded()[:-1],
    "time_overflows": Batch(base_time=2**63 - 1, rows=[Row(delta=0, time_delta=5)]).encoded(),
    "append_time": Batch(rows=ROWS, flags=LOG_APPEND_TIME).encoded(),
    "varint_longer_than_need_be": of_one(b"\0\0\0\x82\x80\x80\x80\0k\x01\0"),
    "varint_with_bits_beyond_the_32nd": of_one(b"\0\0\0\x82\x80\x80\x80\x70k\x01\0"),
    "varlong_with_bits_beyond_the_64th": of_one(b"\0" + b"\x80" * 9 + b"\x7e\0\x01\x01\0"),
    "key_length_below_minus_1": of_one(b"\0\0\0" + write_varint(-5) + b"\x01\0"),
    "header_name_no_utf8": of_one(b"\0\0\0\x01\x01\x02\x02\xff\x01"),
    "header_value_length_below_minus_1": of_one(b"\0\0\0\x01\x01\x02\x02a" + write_varint(-5)),
    "transactional": Batch(rows=ROWS, flags=TRANSACTIONAL, producer=7).encoded(),
    "control": marker(0, 7, ABORT).encoded(),
    **{f"joined_streams_{codec}": joined(codec) for codec in (GZIP, SNAPPY, ZSTD)},
}
"""Read by all readers, with the same result."""

READ_BY_KAFKA: dict[str, tuple[bytes, Reason]] = {
    **{f"magic_{magic}": (old(magic), Reason.MESSAGE_FORMAT) for magic in (0, 1)},
    "offset_negative": (BROKEN["offset_negative"][0].encoded(), Reason.OFFSET_DELTA),
    "offsets_repeat": (BROKEN["offsets_repeat"][0].encoded(), Reason.OFFSET_DELTA),
    "offsets_fall": (BROKEN["offsets_fall"][0].encoded(), Reason.OFFSET_DELTA),
    "offset_passes_the_last": (BROKEN["offset_passes_the_last"][0].encoded(), Reason.OFFSET_DELTA),
    "offset_of_2_to_the_63_less_1": (Batch(base=2**63 - 1, rows=rows_of(1)).encoded(), Reason.BATCH_OFFSETS),
    "base_offset_negative": (Batch(base=-1, rows=rows_of(1)).encoded(), Reason.BATCH_OFFSETS),
    "bytes_in_an_empty_batch": (BROKEN["bytes_in_an_empty_batch"][0].encoded(), Reason.TRAILING_BYTES),
    "no_bytes_in_zstd": (with_payload(Batch(compression=ZSTD).encoded(), b""), Reason.COMPRESSION),
    "control_record_without_type": (marker(0, 7, b"\0").encoded(), Reason.CONTROL_RECORD),
    "behind_gzip": (behind(GZIP, b"\xff" * 40), Reason.COMPRESSION),
    "behind_lz4": (behind(LZ4, b"\xff" * 40), Reason.COMPRESSION),
    "behind_snappy_less_than_a_length": (behind(SNAPPY, b"\0\0\0"), Reason.COMPRESSION),
    "behind_zstd_the_beginning_of_a_frame": (behind(ZSTD, COMPRESS[ZSTD](RECORDS)[:6]), Reason.COMPRESSION),
    "behind_lz4_a_frame_with_a_record": (behind(LZ4, COMPRESS[LZ4](Row(delta=3).encoded())), Reason.TRAILING_BYTES),
}
"""Read by Kafka's reader, and refused by both of ours."""

REFUSED: dict[str, tuple[bytes, Reason]] = {
    **{
        name: (dataclasses.replace(batch, base=42).encoded(), reason)
        for name, (batch, reason) in BROKEN.items()
        if name not in READ_BY_KAFKA
    },
    "checksum": (Batch(rows=ROWS, crc_error=1).encoded(), Reason.CHECKSUM),
    "magic_3": (Batch(rows=ROWS, magic=3).encoded(), Reason.MESSAGE_FORMAT),
    "behind_snappy": (behind(SNAPPY, b"\xff" * 40), Reason.COMPRESSION),
    "behind_zstd": (behind(ZSTD, b"\xff" * 40), Reason.COMPRESSION),
    **{
        f"no_bytes_in_{codec}": (with_payload(Batch(compression=codec).encoded(), b""), Reason.COMPRESSION)
        for codec in (GZIP, SNAPPY, LZ4)
    },
    **{
        f"no_records_in_{codec}": (with_payload(Batch(flags=codec).encoded(), b""), Reason.CODEC) for codec in (5, 6, 7)
    },
    **{
        f"cut_off_{codec}": (compressed(codec, COMPRESS[codec](RECORDS)[:-1]), Reason.COMPRESSION)
        for codec in (GZIP, SNAPPY, LZ4, ZSTD)
    },
}
"""Refused by all readers."""

ONLY_HERE = {"joined_streams_3": joined(LZ4)}
"""Refused by Kafka's reader, which ends at the first LZ4 frame, and read by ours by the frame format. A broker checks
produced batches with the same reader, so a log has none."""

DAMAGED_MAX = 1_500


@dataclasses.dataclass(frozen=True)
class Judged:
    """Verdict of Kafka's reader ("read" or "refused") and records before it, by fetch; `damaged`: some of these."""

    verdicts: dict[bytes, list[str]]
    damaged: list[bytes]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, module_seed: int, not_shown: Callable[[str, str], None]) -> Judged:
    """All that is judged here, by one run of the program: a Java machine takes a while to start."""
    if (java := java_with_compiler()) is None:
        not_shown("that Kafka's own reader agrees", "no JDK: the embedded broker brings a runtime alone")
    rng, fetches, folder = random.Random(module_seed), corpus(0), tmp_path_factory.mktemp("reads")
    raws = [case.raw for case in (damaged(rng, fetches) for _ in range(DAMAGED_MAX)) if not is_skipped(case.raw)]
    tables = [*SAME.values(), *ONLY_HERE.values(), *(raw for raw, _ in (*READ_BY_KAFKA.values(), *REFUSED.values()))]
    (folder / "fetches").write_text("\n".join(raw.hex() for raw in (*tables, *raws)))
    jars, program = ":".join(map(str, class_path())), Path(__file__).with_name("KafkaReads.java")
    command = [str(java), "-cp", jars, str(program), str(folder / "fetches")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    found = zip((*tables, *raws), (line.split() for line in run.stdout.splitlines()), strict=True)
    return Judged(dict(found), raws)


def is_skipped(raw: bytes) -> bool:
    """Return whether it has a batch of markers, which the program skips, or of LZ4, whose streams may be joined."""
    at = 0
    while at + 61 <= len(raw):
        length, (attributes,) = int.from_bytes(raw[at + 8 : at + 12], "big"), struct.unpack_from(">h", raw, at + 21)
        if attributes & CONTROL or attributes & 7 == LZ4 or length < 0:
            return True
        at += 12 + length
    return False


def we_read(parse: Callable[..., Chunk], raw: bytes) -> list[str] | BatchError:
    try:
        chunk = parse(raw, topic="t", partition=0, start_offset=0)
    except BatchError as error:
        return error.with_traceback(None)

    def sum_of(part: bytes | None) -> int:
        return -1 if part is None else zlib.crc32(part)

    return [
        f"{row.offset}:{row.timestamp_ms}:{sum_of(row.key)}:{sum_of(row.value)}"
        for row in chunk.rows(range(len(chunk)))
    ]


def refused_for(raw: bytes) -> list[Reason | str]:
    found = [we_read(parse, raw) for parse in (batches.parse, reference.parse)]
    return [one.reason if isinstance(one, UnreadableBatch) else "read" for one in found]


@pytest.mark.parametrize("name", SAME)
def test_unusual_readable_batches_are_read_as_by_kafka(judged: Judged, name: str) -> None:
    verdict, *records = judged.verdicts[SAME[name]]
    assert verdict == "read"
    for parse in (batches.parse, reference.parse):
        assert we_read(parse, SAME[name]) == records


@pytest.mark.parametrize("name", READ_BY_KAFKA)
def test_batches_that_kafka_reads_without_a_rule_are_refused(judged: Judged, name: str) -> None:
    raw, reason = READ_BY_KAFKA[name]
    assert (judged.verdicts[raw][0], refused_for(raw)) == ("read", [reason, reason])


@pytest.mark.parametrize("name", REFUSED)
def test_batches_that_kafka_refuses_are_refused(judged: Judged, name: str) -> None:
    raw, reason = REFUSED[name]
    assert (judged.verdicts[raw][0], refused_for(raw)) == ("refused", [reason, reason])


@pytest.mark.parametrize("name", ONLY_HERE)
def test_joined_lz4_frames_are_the_one_thing_that_only_we_read(judged: Judged, name: str) -> None:
    assert (judged.verdicts[ONLY_HERE[name]][0], refused_for(ONLY_HERE[name])) == ("refused", ["read", "read"])


def test_of_damaged_fetches_nothing_is_read_that_kafka_refuses_or_reads_otherwise(judged: Judged) -> None:
    compared = 0
    for raw in judged.damaged:
        verdict, *records = judged.verdicts[raw]
        ours = we_read(batches.parse, raw)
        if isinstance(ours, list):
            assert ours == records[: len(ours)], (verdict, raw.hex())
            compared += len(ours)
    assert compared > DAMAGED_MAX // 2
