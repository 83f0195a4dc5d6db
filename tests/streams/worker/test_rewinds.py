"""A role that loses a partition's memory reads it again from its rewind offset: complete and in order."""

import random
from collections.abc import Callable, Mapping

from streams.transport import Chunk
from streams.worker.role import TP, Role, RoleContext
from tests import brokers
from tests.streams.recording import quick_options, run_here

PARTITIONS, RECORDS = 3, 4_000


class Forgetful(Role):
    """Holds the values that it applied; now and then it goes back, at once or after a pause."""

    name = "forgetful"

    def __init__(self, topic: str, rnd: random.Random) -> None:
        self.topics = (topic,)
        self._rnd = rnd
        self.held: dict[TP, list[bytes | None]] = {}
        self._lost: dict[TP, int] = {}  # ticks left until it comes back
        self._back: dict[TP, int] = {}
        self.rewinds_count = self.paused_count = self.let_go = 0

    async def start(self, _context: RoleContext) -> None:
        pass

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        self.held = {tp: [] for tp in tps}
        return dict.fromkeys(tps, 0)

    async def revoked(self, tps: set[TP]) -> None:
        pass

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        if tp in self._lost:
            self.let_go += 1
            return
        assert chunk.start_offset == len(self.held[tp])
        self.held[tp] += [chunk.value(i) for i in range(len(chunk))]
        if self.rewinds_count < 30 and self._rnd.random() < 0.5:
            del self.held[tp][self._rnd.randint(0, len(self.held[tp])) :]
            self._lost[tp] = self._rnd.choice([0, 0, 1, 3])
            self._come_back()

    def _come_back(self) -> None:
        for tp in [tp for tp, ticks in self._lost.items() if ticks == 0]:
            del self._lost[tp]
            self._back[tp] = len(self.held[tp])

    def low_offset(self, tp: TP) -> int | None:
        return None if tp in self._lost else len(self.held[tp])

    @property
    def paused(self) -> frozenset[TP]:
        return frozenset(self._lost)

    def rewinds(self) -> Mapping[TP, int]:
        back, self._back = self._back, {}
        self.rewinds_count += len(back)
        return back

    async def tick(self) -> None:
        self.paused_count += len(self._lost)
        self._lost = {tp: max(0, ticks - 1) for tp, ticks in self._lost.items()}
        self._come_back()

    async def stop(self) -> None:
        pass


def test_rewound_records_come_again_in_order(kafka: str, make_topic: Callable[..., str], seed: int) -> None:
    topic = make_topic("rewinds", partitions=PARTITIONS)
    # Idempotent: to a topic just made, what a broker refuses at first would else come behind what was sent later.
    producer = brokers.producer(kafka, linger_ms=5)
    for i in range(RECORDS):
        producer.produce(topic, b"%d" % i, partition=i % PARTITIONS)
    assert producer.flush(30) == 0
    role = Forgetful(topic, random.Random(seed))
    done = lambda: role.rewinds_count >= 30 and sum(map(len, role.held.values())) == RECORDS  # noqa: E731
    options = quick_options({"chunk_records_max": 100, "fetch_wait_ms_max": 20})
    assert run_here(role, kafka, topic, done, options=options, deadline_s=60) == 0
    for tp, values in role.held.items():
        assert values == [b"%d" % i for i in range(tp.partition, RECORDS, PARTITIONS)]
    print(f"seed {seed}: {role.rewinds_count} rewinds, {role.paused_count} ticks paused, {role.let_go} chunks let go")
    assert role.paused_count
