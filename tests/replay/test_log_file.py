"""A recording is read whole or refused by file and line."""

import msgspec
import pytest

from domain import topics
from replay.log_file import LogFile
from replay.log_replay import replay_in_process
from replay.outputs import Outputs
from replay.sources import SourceError
from tests.determinism import log as logs
from tests.replay.recordings import lines_of, write


@pytest.fixture(scope="module")
def lines():
    return lines_of(logs.make(5, enterprises=6, partitions=2))


def swap(lines, at, text):
    return [*lines[:at], text, *lines[at + 1 :]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], r"was cut short after \d+ records"),
        (lambda lines: lines[:-9] + lines[-1:], r"line \d+: \d+ records said, \d+ found"),
        (lambda lines: swap(lines, 6, b"{}\n"), r"line 7: .*line"),
        (lambda lines: swap(lines, 3, lines[3].replace(b'"offset":', b'"offset":"x","a":')), r"line 4: .*\$\.offset"),
        (lambda lines: swap(lines, 5, b'{"line":"record","partition":2,"offset":1}\n'), "line 6: partition 2 of 2"),
        (lambda lines: lines[1:], "line 1: no head of a recorded log"),
        (lambda lines: swap(lines, 0, lines[0].replace(b"xinliu.log/1", b"xinliu.log/9")), r"line 1: .*\$\.format"),
        (lambda lines: [], "line 1: no head of a recorded log"),
    ],
)
def test_what_is_not_whole_is_refused_by_its_line(tmp_path, lines, change, said):
    path = write(tmp_path / "log.gz", change(lines))
    with pytest.raises(SourceError, match=said):
        list(LogFile(path).records())


def test_a_file_that_is_no_gzip_or_was_cut_in_its_middle_is_refused_by_name(tmp_path, lines):
    (tmp_path / "plain").write_text("hello")
    with pytest.raises(SourceError, match=r"plain: Not a gzipped file"):
        LogFile(tmp_path / "plain")
    path = write(tmp_path / "log.gz", lines)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"log.gz, after line \d+: Compressed file ended"):
        list(LogFile(path).records())
    with pytest.raises(SourceError, match=r"nowhere: No such file"):
        LogFile(tmp_path / "nowhere")


def test_a_log_that_activates_what_was_not_recorded_is_refused_by_the_id(tmp_path, lines):
    path = write(tmp_path / "log.gz", swap(lines, 1, b'{"line":"record","topic":"model.v1","offset":0}\n'))
    with (
        pytest.raises(SourceError, match=f"activates artefact {logs.other_id()}, which the recording does not hold"),
        Outputs() as outputs,
    ):
        replay_in_process(LogFile(path), outputs, lambda _: None)


def test_a_recording_of_another_engine_says_so_and_one_that_began_late_too(tmp_path, lines):
    strange = lines_of(logs.make(5, enterprises=6, partitions=2), version="0123456789abcdef")
    late = [line for line in strange if b'"offset":0' not in line or topics.MODEL.encode() in line]
    end = msgspec.json.decode(late[-1]) | {"records": len(late) - 2}
    path = write(tmp_path / "log.gz", [*late[:-1], msgspec.json.encode(end) + b"\n"])
    with Outputs() as outputs:
        found = replay_in_process(LogFile(path), outputs, lambda _: None)
    assert found.balanced
    assert any("recorded by engine 0123456789abcdef" in note for note in found.notes)
    assert sum("begins at offset 1:" in note for note in found.notes) == 2


def test_repeats_are_no_outputs_and_the_order_is_that_of_topic_and_key():
    heard = [
        ("score.v1", b"b", b'{"n":1}'), ("score.v1", b"a", b'{"n":2}'), ("dlq.v1", None, b'{"n":9}'),
        ("score.v1", b"b", b'{"n":0}'), ("score.v1", b"b", b'{"n":1}'), ("dlq.v1", None, b'{"n":8}'),
    ]  # fmt: skip
    with Outputs() as one, Outputs() as other:
        for message in heard:
            one.hear(*message)
        for message in (heard[5], heard[2], heard[1], heard[0], heard[3]):
            other.hear(*message)
        assert list(one.lines()) == list(other.lines())
        assert [line for line in one.lines() if b"score" in line] == [
            b'{"topic":"score.v1","key":"a","value":{"n":2}}\n',
            b'{"topic":"score.v1","key":"b","value":{"n":1}}\n',
            b'{"topic":"score.v1","key":"b","value":{"n":0}}\n',
        ]
        assert one.digest() == other.digest()
        assert one.counts() == {"dlq.v1": 2, "score.v1": 3}
