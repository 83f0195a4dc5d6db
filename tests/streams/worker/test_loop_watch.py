"""A role that blocks its event loop: the group keeps its partitions, and the block is reported."""

import logging
import time
from pathlib import Path

from confluent_kafka import ConsumerGroupState, Producer
from confluent_kafka.admin import AdminClient

from streams.transport import Chunk
from streams.worker.role import TP
from tests.streams.recording import Recording, quick_options, recorded, run_here

BLOCKED_S = 5.0


class Blocking(Recording):
    """Blocks in the first chunk: a computation without a turn for anybody else."""

    blocked, given = 0, 0

    async def assigned(self, tps: set[TP]):
        self.given += 1
        return await super().assigned(tps)

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        if not self.blocked:
            self.compute_without_a_turn()
        await super().apply(tp, chunk)

    def compute_without_a_turn(self) -> None:
        until = time.monotonic() + BLOCKED_S
        while time.monotonic() < until:
            sum(range(1_000))
        self.blocked += 1


def test_fault_25_a_blocked_loop_keeps_its_session_and_raises_an_alarm(
    kafka, make_topic, tmp_path: Path, caplog, fault
):
    """Blocked for more than twice the session timeout: heartbeats go on in a thread of their own, so nothing is
    taken away and applied twice; the alarm names the place, and then that it goes on."""
    topic = make_topic("blocked")
    producer = Producer({"bootstrap.servers": kafka})
    for i in range(200):
        producer.produce(topic, b"%d" % i)
    assert producer.flush(30) == 0
    role = Blocking(tmp_path / "base", (topic,))
    options = quick_options(session_timeout_s=2.0, heartbeat_interval_s=0.4, blocked_s=1.0)
    with caplog.at_level(logging.WARNING, "streams.worker.loop_watch"):
        done = lambda: role.applied >= 200 and "goes on" in caplog.text  # noqa: E731
        assert run_here(role, kafka, topic, done, options=options) == 0
    assert role.blocked == 1
    assert role.given == 1, "the group gave its partitions away"
    assert {times for _, times in recorded(tmp_path / "base").values()} == {1}
    told = [record for record in caplog.records if record.name == "streams.worker.loop_watch"]
    alarms = [record.getMessage() for record in told if record.levelname == "ERROR"]
    assert [alarm for alarm in alarms if "compute_without_a_turn" in alarm] == alarms
    assert 2 <= len(alarms) <= 4  # after 1 s, and each time that it has doubled
    admin = AdminClient({"bootstrap.servers": kafka})
    state = admin.describe_consumer_groups([topic])[topic].result(30).state
    assert state == ConsumerGroupState.EMPTY  # it has left as one that was well
    fault(injected=role.blocked, observed=f"session kept over {BLOCKED_S} s, {len(alarms)} alarms with the place")
