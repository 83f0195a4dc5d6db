"""Outputs as lines of JSON: the compiled writer equals the plain one, in the order of the log."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import topics
from domain.outputs import Alert, CaseRecord, Indicators, Observation, Score
from replay.lines import AFTER_ALL, line, lines_of, offset_of, without_notices
from sinks.batch import Records

KEYS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=32).map(str.encode)


def value_of(body, offset, seq):
    return msgspec.json.encode({"body": body, "offset": offset, "seq": seq})


OUTPUTS = st.tuples(KEYS, st.text(max_size=30), st.integers(0, 10**15), st.integers(0, 10**6))


@pytest.mark.parametrize("output", [Score, Indicators, Observation, Alert, CaseRecord])
def test_every_output_ends_with_the_coordinates_that_a_replay_reads(output):
    assert output.__struct_fields__[-2:] == ("offset", "seq")


@given(st.lists(OUTPUTS, max_size=40))
def test_it_is_what_the_plain_writer_says_in_the_order_of_offset_and_key(outputs):
    rows = [(offset, key, value_of(body, offset, seq)) for key, body, offset, seq in outputs]
    expected = [line(topics.SCORE, key, value) for _, key, value in sorted(rows, key=lambda row: row[:2])]
    assert lines_of(topics.SCORE, Records.of([(key, value) for _, key, value in rows])) == b"".join(expected)
    assert [offset_of(topics.SCORE, value) for _, _, value in rows] == [offset for offset, _, _ in rows]


def test_dead_letters_come_in_the_order_of_their_records_and_may_have_no_key():
    letters = [
        (key, msgspec.json.encode({"topic": "events.v1", "partition": 1, "offset": offset, "reason": "late"}))
        for key, offset in ((b"E1", 9), (None, 12), (b"E2", 3))
    ]
    found = lines_of(topics.DEAD_LETTERS, Records.of(letters))
    assert found == b"".join(line(topics.DEAD_LETTERS, *letters[i]) for i in (2, 0, 1))
    assert b'"key":null' in found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, value_of("", 1, 2)),
        (b"E" * 33, value_of("", 1, 2)),
        (b"E", b""),
        (b"E", b"{}"),
        (b"E", b'{"offset":1,"seq":}'),
        (b"E", b'{"offset":,"seq":1}'),
        (b"E", b'{"a":1,"offse":1,"seq":1}'),
        (b"E", b'{"a":1,"offset":1,"sea":1}'),
        (b"E", b'12}'),
    ],
)  # fmt: skip
def test_an_output_that_does_not_say_what_it_follows_from_is_refused(key, value):
    with pytest.raises(ValueError, match=r"score.v1: an output without"):
        lines_of(topics.SCORE, Records.of([(b"E1", value_of("x", 1, 1)), (key, value)]))


def test_a_notice_has_no_offset_and_stands_after_all_others():
    topic = topics.bank_alerts("C1010211000012")
    notice = (b"E2", value_of("n", -1, 0))
    alert = (b"E1", value_of("a", 7, 1))
    placed, notices = without_notices(topic, Records.of([notice, alert]))
    assert (list(placed), notices) == ([alert], [notice])
    assert offset_of(topic, notice[1]) == AFTER_ALL > offset_of(topic, alert[1])
    with pytest.raises(ValueError, match=r"score.v1: an output without"):
        offset_of(topics.SCORE, notice[1])
