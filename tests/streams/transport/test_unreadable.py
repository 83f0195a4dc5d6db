"""A worker at a batch that cannot be read, on a real broker."""

import gc
import weakref
from collections.abc import Callable, Mapping

import pytest

from streams.transport import Chunk, Unreadable, UnreadableBatch, batches, reference
from streams.worker.role import TP
from tests import brokers
from tests.streams.ingest.raw_produce import produce
from tests.streams.recording import quick_options, run_here
from tests.streams.transport.record_batches import Batch, Row
from tests.streams.transport.test_on_kafka import Collecting

BAD = Batch(rows=[Row(delta=0), Row(delta=0)], last_delta=1).encoded()


class GoingOn(Collecting):
    """Skips an unreadable batch after the second request."""

    def __init__(self, *topics: str) -> None:
        super().__init__(*topics)
        self.met: list[UnreadableBatch] = []
        self._rewinds: dict[TP, int] = {}

    @property
    def paused(self) -> frozenset[TP]:
        return frozenset()

    async def unreadable(self, tp: TP, batch: UnreadableBatch) -> None:
        self.met.append(batch)
        again = sum(one.offset == batch.offset for one in self.met) < 2
        self._rewinds[tp] = batch.offset if again else batch.next_offset or 0

    def rewinds(self) -> Mapping[TP, int]:
        rewinds, self._rewinds = self._rewinds, {}
        return rewinds


@pytest.fixture
def topics(kafka: str, make_topic: Callable[..., str]) -> tuple[str, str]:
    """Topics of seven batches: of one the first, third and last cannot be read; the other has none but good ones."""
    names = make_topic("unreadable"), make_topic("readable")
    producer = brokers.producer(kafka)
    for n in range(7):
        if n in (2, 6):
            produce(kafka, names[0], BAD)
        for name in names:
            if name == names[1] or n not in (2, 6):
                producer.produce(name, b"%d" % n)
                assert producer.flush(30) == 0
    return names


@pytest.mark.parametrize("parser", ["compiled", "reference"])
def test_a_partition_goes_on_where_the_role_says_and_others_are_not_touched(
    kafka: str, topics: tuple[str, str], parser: str
) -> None:
    """Each batch comes in its place, once for each time that its partition is sought."""
    role = GoingOn(*topics)
    done = lambda: len(role.met) == 4 and role.records == 12  # noqa: E731
    assert run_here(role, kafka, f"{topics[0]}.{parser}", done, options=quick_options({"parser": parser})) == 0
    values = {tp.topic: [c.value(i) for c in cs for i in range(len(c))] for tp, cs in role.chunks.items()}
    assert values[topics[1]] == [b"%d" % n for n in range(7)]
    assert values[topics[0]] == [b"%d" % n for n in (0, 1, 3, 4, 5)]
    assert [(one.topic, one.offset, one.next_offset) for one in role.met] == [
        (topics[0], offset, offset + 2) for offset in (2, 2, 7, 7)
    ]


def test_a_role_that_does_not_say_what_to_do_is_stopped(
    kafka: str, topics: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    role = Collecting(*topics)
    assert run_here(role, kafka, topics[0], lambda: False) == 1
    assert f"stopped by UnreadableBatch: {topics[0]}[0] at offset 2" in capsys.readouterr().err


@pytest.mark.parametrize("parse", [batches.parse, reference.parse])
def test_an_error_in_place_of_a_chunk_holds_nothing_of_the_fetch(parse: Callable[..., Chunk]) -> None:
    """A worker runs no garbage collection, so an error whose frames hold the fetch would keep it for good."""

    class Fetched(bytearray):
        """Something that can be weakly referenced."""

    def met() -> tuple[Unreadable, weakref.ref[Fetched]]:
        raw = Fetched(BAD)
        try:
            parse(raw, topic="t", partition=0, start_offset=0)
        except UnreadableBatch as batch:
            return Unreadable(batch, 0, 1), weakref.ref(raw)
        raise AssertionError("it was read")

    gc.disable()
    try:
        item, fetched = met()
        assert item.batch.raw == BAD
        assert (item.batch.__traceback__, item.batch.__context__, item.batch.__cause__) == (None, None, None)
        assert fetched() is None
    finally:
        gc.enable()
