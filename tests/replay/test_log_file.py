"""A recording is read whole, or refused with file, byte and line; each partition returns its written records."""

import pickle
import struct

import numpy as np
import pytest

from config.settings import Bank
from domain import topics
from replay.log_file import END, ENDING, LogFile
from replay.log_writer import LogWriter
from replay.sources import SourceError
from sinks.batch import Records
from sinks.partitioner import partitions_of
from tests.determinism import log as logs
from tests.replay.recordings import GAP, GAP_EVERY, lines_of, record, write


@pytest.fixture(scope="module")
def log():
    return logs.make(5, enterprises=6, partitions=2)


@pytest.fixture(scope="module")
def lines(log):
    return lines_of(log)


@pytest.fixture
def recording(tmp_path, log):
    return record(tmp_path / "events.log", log)


def swap(lines, at, text):
    return [*lines[:at], text, *lines[at + 1 :]]


def rows_of(chunks):
    return [
        (int(chunk.offset[i]), chunk.key(i), chunk.value(i), chunk.headers(i))
        for chunk in chunks
        for i in range(len(chunk))
    ]


def expected(log, number, *, gaps=True):
    return [
        (i + (i // GAP_EVERY * GAP if gaps else 0), key, value, headers)
        for i, (key, value, headers, _) in enumerate(log.partitions[number])
    ]


def test_each_partition_has_its_records_with_their_offsets_or_from_0(recording, log):
    opened = LogFile(recording)
    assert opened.record_counts() == {number: len(rows) for number, rows in enumerate(log.partitions)}
    assert opened.artefacts() == {logs.other_id(): logs.other_snapshot().encode()}
    for number in range(2):
        assert rows_of(opened.chunks(number)) == expected(log, number)
        assert rows_of(opened.chunks(number, as_recorded=False)) == expected(log, number, gaps=False)
    every = list(opened.records())
    assert every[0].topic == topics.MODEL
    assert sorted((one.partition, *one[2:]) for one in every[1:]) == [
        (number, *row) for number in range(2) for row in expected(log, number)
    ]


def test_it_is_its_owners_alone_and_may_be_handed_to_another_process(recording, log):
    assert recording.stat().st_mode & 0o077 == 0, "every transaction is in it"
    opened = pickle.loads(pickle.dumps(LogFile(recording)))
    assert rows_of(opened.chunks(1)) == expected(log, 1)


def test_the_identity_is_that_of_the_bytes(recording, tmp_path, log):
    assert LogFile(recording).identity == LogFile(record(tmp_path / "again.log", log)).identity
    other = logs.make(6, enterprises=6, partitions=2)
    assert LogFile(recording).identity != LogFile(record(tmp_path / "other.log", other)).identity


def test_records_go_by_their_key_to_where_kafka_puts_it_and_barriers_to_all(tmp_path):
    keys = [f"E{n}".encode() for n in range(500)]
    with LogWriter(tmp_path / "log", banks=[], partitions=7) as writer:
        writer.append(Records.of([(key, b"a" * 3_000) for key in keys]))
        writer.append_to_all(Records.of([(None, b"tick")]))
        writer.append(Records.of([(key, b"b") for key in keys[:9]]))
    opened, places = LogFile(tmp_path / "log"), partitions_of(keys, 7)
    for number in range(7):
        mine = [key for key, place in zip(keys, places, strict=True) if place == number]
        rows = rows_of(opened.chunks(number))
        assert [offset for offset, *_ in rows] == list(range(len(rows)))
        after = [(key, b"b") for key in keys[:9] if key in mine]
        assert [(key, value) for _, key, value, _ in rows] == [(key, b"a" * 3_000) for key in mine] + [
            (None, b"tick"), *after,
        ]  # fmt: skip
    assert writer.record_count == 509 + 7 == sum(opened.record_counts().values())


def test_a_log_without_a_record_is_whole(tmp_path):
    with LogWriter(tmp_path / "log", banks=[Bank(bank_id="C1010211000012", name_zh="示例银行")], partitions=3):
        pass
    opened = LogFile(tmp_path / "log")
    assert opened.record_counts() == {0: 0, 1: 0, 2: 0}
    assert list(opened.records()) == []
    assert opened.banks[0].name_zh == "示例银行"


def test_an_incomplete_log_is_not_left_under_its_name(tmp_path, log):
    def interrupted():
        with LogWriter(tmp_path / "log", banks=[], partitions=1) as writer:
            writer.append(Records.of([(b"E1", b"{}")]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [0, 10, 400, 5_000, -1, -ENDING.size, -ENDING.size - 1])
def test_a_file_that_was_cut_is_refused_at_once(recording, kept):
    body = recording.read_bytes()
    recording.write_bytes(body[:kept])
    with pytest.raises(SourceError, match=r"events\.log(, line 1: no head| was cut short: at byte \d+, its end)"):
        LogFile(recording)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda at: (at, struct.pack(">i", 2)), r"byte \d+: partition 2 of 2"),
        (lambda at: (at, struct.pack(">i", -3)), r"byte \d+: partition -3 of 2"),
        (lambda at: (at + 4, struct.pack(">q", -1)), r"byte \d+: offset -1 of events.v1\[0\] stands behind it"),
        (lambda at: (at + 12, struct.pack(">i", 2**30)), r"byte \d+: no record batch \(magic 2, \d+ bytes"),
        (lambda at: (at + 20, b"\x01"), r"byte \d+: no record batch \(magic 1, "),
        (lambda at: (-16, struct.pack(">q", 99)), r"byte \d+: 99 batches of \d+ records said, \d+ of \d+ found"),
        (lambda at: (0, b"{}"), "line 1: no head of a recorded log"),
    ],
)
def test_bytes_that_are_no_batch_are_refused_by_position_before_any_read(recording, change, said):
    batches = LogFile(recording)._batches.of(0)
    body = bytearray(recording.read_bytes())
    at, other = change(int(batches.at[1]) - 4)
    at %= len(body)
    body[at : at + len(other)] = other
    recording.write_bytes(body)
    with pytest.raises(SourceError, match=said):
        LogFile(recording)


def test_a_format_to_come_is_refused_by_name(recording):
    recording.write_bytes(recording.read_bytes().replace(b"xinliu.log/2", b"xinliu.log/9"))
    with pytest.raises(SourceError, match=r"events.log, line 1: .*xinliu.log/9.*\$\.format"):
        LogFile(recording)


def test_a_byte_that_changed_is_found_by_the_sum_of_its_batch(recording):
    batches = LogFile(recording)._batches.of(1)
    body = bytearray(recording.read_bytes())
    body[int(batches.at[2]) + 80] ^= 1
    recording.write_bytes(body)
    opened = LogFile(recording)
    with pytest.raises(SourceError, match=rf"byte {batches.at[2]}: events.v1\[1\] at offset {batches.base[2]}: wrong"):
        list(opened.chunks(1))


def test_the_end_is_no_place_of_a_batch():
    assert ENDING.unpack(ENDING.pack(END, 1, 2)) == (END, 1, 2)
    assert END not in (-1, -2)


def test_a_recording_of_format_1_is_read_as_one_of_today(tmp_path, recording, log, lines):
    old = LogFile(write(tmp_path / "log.gz", lines))
    assert list(old.records()) == list(LogFile(recording).records())
    assert old.head == LogFile(recording).head
    held = old._read
    assert held.exists()
    del old
    assert not held.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], r"was cut short after \d+ records"),
        (lambda lines: lines[:-9] + lines[-1:], r"line \d+: \d+ records said, \d+ found"),
        (lambda lines: swap(lines, 6, b"{}\n"), r"line 7: .*line"),
        (lambda lines: swap(lines, 3, lines[3].replace(b'"offset":', b'"offset":"x","a":')), r"line 4: .*\$\.offset"),
        (lambda lines: swap(lines, 5, b'{"line":"record","partition":2,"offset":1}\n'), "line 6: partition 2 of 2"),
        (
            lambda lines: swap(lines, 3, lines[3].replace(b'"offset"', b'"topic":"\xff","offset"')),
            "line 4: 'utf-8' codec",
        ),
        (lambda lines: swap(lines, 5, lines[3]), "line 6: offset 1 stands behind it"),
        (lambda lines: lines[1:], "line 1: no head of a recorded log"),
        (lambda lines: swap(lines, 0, lines[0].replace(b"xinliu.log/1", b"xinliu.log/9")), r"line 1: .*\$\.format"),
        (lambda lines: [], "line 1: no head of a recorded log"),
    ],
)
def test_an_incomplete_log_of_format_1_is_refused_by_its_line(tmp_path, lines, change, said):
    path = write(tmp_path / "log.gz", change(lines))
    with pytest.raises(SourceError, match=said):
        LogFile(path)


def test_a_file_that_is_no_log_or_a_gzip_cut_in_its_middle_is_refused_by_name(tmp_path, lines):
    (tmp_path / "plain").write_text("hello")
    with pytest.raises(SourceError, match=r"plain, line 1: no head of a recorded log"):
        LogFile(tmp_path / "plain")
    path = write(tmp_path / "log.gz", lines)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"log.gz, after line \d+: Compressed file ended"):
        LogFile(path)
    with pytest.raises(SourceError, match=r"nowhere: No such file"):
        LogFile(tmp_path / "nowhere")


def test_every_batch_is_counted(recording):
    batches = LogFile(recording)._batches
    assert (np.diff(batches.at) == batches.size[:-1] + 4).all()
    assert batches.at[0] == len(recording.open("rb").readline()) + 4
