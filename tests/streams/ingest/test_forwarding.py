"""The fate of a chunk's records, each judged once; and headers without a bound."""

import tracemalloc
from collections import Counter

import msgspec
import pytest

from domain import topics
from domain.events import HEADERS_BYTES_MAX, LogRecord
from domain.outputs import DeadLetter
from domain.outputs import Refused as RefusedRecord
from domain.reject import Reason
from domain.validate import Validator, source_of
from sinks.batch import encode_headers
from streams.ingest.forwarding import Forwarder, Later, Rest
from streams.seal import key_files, load_opener, load_sealer
from streams.transport.chunk import HEADERS_CACHED_BYTES_MAX, HEADERS_CACHED_MAX, chunk_of
from tests.streams.ingest.kit import BANKS, HEADERS, as_bytes, at, receipt, txn
from tests.streams.ingest.test_fast_path import SEALER, TOKENS

TOPIC = topics.bank_events(BANKS[0])
ANY_MS = 2**62


def validator():
    forbidden = Forwarder(TOKENS, SEALER, compiled=False).forbidden
    return Validator(source=source_of(TOPIC), forbidden=forbidden, future_tolerance_ms=0)


@pytest.mark.parametrize("compiled", [True, False])
def test_each_record_is_judged_once_however_often_its_feed_is_held(monkeypatch, compiled):
    """A receipt, a loan and transactions, with the feed held at each of them twice: the first judgement holds."""
    judged = Counter()
    accept = Validator.accept

    def counted(self, message, *rest, **how):
        judged[message] += 1
        return accept(self, message, *rest, **how)

    monkeypatch.setattr(Validator, "accept", counted)
    loan = {
        "type": "loan", "event_id": "l", "bank_id": BANKS[0], "enterprise_id": "E", "event_time": at(1), "loan_id": "L",
        "event": "granted", "principal_minor": 1, "outstanding_minor": 1, "granted_on": "2024-03-05",
    }  # fmt: skip
    rows = [txn("a", at(0)), receipt(0), loan, txn("b", at(1), memo="\t"), receipt(1), txn("c", at(2))]
    values = [as_bytes(row) for row in rows]
    rest = Rest(chunk_of(TOPIC, 0, 7, [(None, value, HEADERS, at(400)) for value in values]))
    forwarder, found = Forwarder(TOKENS, SEALER, compiled=compiled), []
    while rest:
        for _ in range(2):
            run, after = forwarder.run(validator(), rest, len(values), min(ANY_MS, at(0)))
        found += [*run.records]
        if after is not None:
            found.append(after)
        rest.first = run.until + (after is not None)
    assert judged.total() <= len(values)
    assert set(judged.values()) == {1}
    events = [msgspec.json.decode(one[1], type=LogRecord).event.event_id for one in found[:1]]
    laters = [one for one in found if isinstance(one, Later)]
    events += [
        msgspec.json.decode(value, type=LogRecord).event.event_id for later in laters for _, value in later.record
    ]
    assert (events, [later.time_ms for later in laters]) == (["a", "l", "b", "c"], [at(1), at(1), at(2)])
    assert [one.day for one in found if hasattr(one, "day")] == ["2024-03-04", "2024-03-05"]


@pytest.mark.parametrize(
    "headers", [[("h", b"x" * (12 << 20)), *HEADERS], [("", None)] * 100_000, [("a" * 70_000, b"")]]
)
def test_headers_over_their_bound_are_not_read_and_the_dead_letter_is_cut(headers, tmp_path):
    files = key_files(tmp_path)
    chunk = chunk_of(TOPIC, 0, 7, [(b"k" * (3 << 20), as_bytes(txn("a", at(0))), headers, at(1))])
    run, after = Forwarder(TOKENS, load_sealer(str(files["public_key_file"]))).run(validator(), Rest(chunk), 1, ANY_MS)
    (refused,) = run.refused
    assert (refused.offset, refused.reason, after, len(run.records)) == (7, Reason.OVERSIZED, None, 0)
    assert len(refused.letter) < 2 << 20
    letter = msgspec.json.decode(refused.letter, type=DeadLetter)
    assert letter.field == "headers"
    box = load_opener(str(files["private_key_file"])).open(letter.sealed, f"{TOPIC}[0]@7")
    letter = msgspec.msgpack.decode(box, type=RefusedRecord)
    assert letter.headers_cut.count == len(headers)
    assert letter.headers_cut.size_bytes > HEADERS_BYTES_MAX
    assert [name for name, _ in letter.headers] == [name for name, _ in headers[: len(letter.headers)]]
    assert (letter.key, letter.key_cut.size_bytes) == (b"k" * (64 << 10), 3 << 20)


def test_headers_up_to_their_bound_are_read():
    room = HEADERS_BYTES_MAX - len(encode_headers([("h", b"x" * 60_000), *HEADERS])) + 60_000
    for size, reasons in ((room, []), (room + 1, [Reason.OVERSIZED])):
        headers = [("h", b"x" * size), *HEADERS]
        chunk = chunk_of(TOPIC, 0, 7, [(None, as_bytes(txn("a", at(0))), headers, at(1))])
        run, _ = Forwarder(TOKENS, SEALER).run(validator(), Rest(chunk), 1, ANY_MS)
        assert [refused.reason for refused in run.refused] == reasons
        assert len(run.records) == 1 - len(reasons)


@pytest.mark.parametrize(
    ("size", "records", "mib"), [(HEADERS_CACHED_BYTES_MAX, HEADERS_CACHED_MAX, 24), (4 << 10, 60, 4)]
)
def test_what_is_remembered_of_a_hostile_banks_headers_is_bounded_in_bytes(size, records, mib):
    """Headers of two bytes each take 32 times as much once they are decoded; those of each record differ."""
    forwarder, headers = Forwarder(TOKENS, SEALER, compiled=False), [("", None)] * (size // 2 - 10)
    assert len(encode_headers([*headers, ("1000", b"")])) in range(size - 16, size + 1)
    tracemalloc.start()
    try:
        for i in range(records):
            chunk = chunk_of(TOPIC, 0, i, [(None, b"{}", [*headers, (str(i), b"")], at(1))])
            run, _ = forwarder.run(validator(), Rest(chunk), 1, ANY_MS)
            assert len(run.refused) == 1
        del run, chunk
        assert tracemalloc.get_traced_memory()[0] < mib << 20
    finally:
        tracemalloc.stop()
