"""A checkpoint in a topic: whole or not at all, one writer, and no byte of it believed that was not written."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from sinks.checkpoint_topic import CheckpointDamaged, CheckpointFenced, CheckpointTopic
from tests.brokers import ANSWER_S, make_topics

COMPACTED = {"cleanup.policy": "compact", "max.message.bytes": "8388608"}


class Interrupted(Exception):
    """Stands for a death between two steps."""


def opened(broker: str, topic: str, holder: str = "a", dies_at: str = "") -> CheckpointTopic:
    def step(name: str) -> None:
        if name == dies_at:
            raise Interrupted(name)

    return CheckpointTopic(broker, topic, writer=topic, holder=holder, step=step)


def content(store: CheckpointTopic) -> tuple[dict[str, bytes], Any]:
    head = store.read_head()
    assert head is not None
    return dict(store.read(head)), msgspec.json.decode(head.state)


def test_a_checkpoint_is_what_was_put_last_and_not_dropped(kafka: str, make_topic: Any) -> None:
    topic = make_topic("checkpoint", **COMPACTED)
    store = opened(kafka, topic)
    assert store.claim() is None
    store.commit({"a": b"1" * 5_000_000, "b": b"2"}, frozenset(), b'{"n":1}')
    store.commit({"b": b"3", "c": b""}, frozenset({"a"}), b'{"n":2}')
    store.verify()
    assert content(opened(kafka, topic)) == ({"b": b"3", "c": b""}, {"n": 2})
    again = opened(kafka, topic, "b")
    head = again.claim()
    assert head is not None
    assert (head.number, head.holder) == (2, "a")
    again.commit({"d": b"4"}, frozenset(), b'{"n":3}')
    again.verify()
    assert content(opened(kafka, topic)) == ({"b": b"3", "c": b"", "d": b"4"}, {"n": 3})


@pytest.mark.parametrize("step", ["segments", "commit"])
def test_fault_22_of_a_checkpoint_that_is_broken_off_nothing_is_read(
    kafka: str, make_topic: Any, step: str, fault: Any
) -> None:
    topic = make_topic("checkpoint", **COMPACTED)
    store = opened(kafka, topic)
    store.claim()
    store.commit({"a": b"1"}, frozenset(), b'{"n":1}')
    broken = opened(kafka, topic, "b", dies_at=step)
    broken.claim()
    with pytest.raises(Interrupted):
        fault.inject(broken.commit, {"a": b"2", "b": b"2"}, frozenset(), b'{"n":2}')
    last = opened(kafka, topic, "c")
    assert last.claim() is not None
    assert content(last) == ({"a": b"1"}, {"n": 1})
    last.commit({"b": b"3"}, frozenset(), b'{"n":3}')
    last.verify()
    assert content(last) == ({"a": b"1", "b": b"3"}, {"n": 3})
    fault(observed=f"broken off before {step}: the checkpoint before it holds")


def test_fault_23_who_was_fenced_commits_nothing(kafka: str, make_topic: Any, fault: Any) -> None:
    topic = make_topic("checkpoint", **COMPACTED)
    zombie, successor = opened(kafka, topic), opened(kafka, topic, "b")
    zombie.claim()
    zombie.commit({"a": b"1"}, frozenset(), b'{"n":1}')
    fault.inject(successor.claim)
    with pytest.raises(CheckpointFenced, match="another worker"):
        zombie.commit({"a": b"2"}, frozenset(), b'{"n":2}')
    assert content(successor) == ({"a": b"1"}, {"n": 1})
    successor.commit({"a": b"3"}, frozenset(), b'{"n":3}')
    with pytest.raises(CheckpointFenced, match="another worker has written a checkpoint since"):
        zombie.verify()
    fault(observed="fenced at the commit, and told so before it publishes")


def test_a_commit_that_cannot_be_read_yet_is_not_taken_for_another_s(kafka: str, make_topic: Any) -> None:
    """A transaction that is older and still open hides it, as the commit's own marker does until it is written."""
    topic = make_topic("checkpoint", **COMPACTED)
    store = opened(kafka, topic)
    store.claim()
    store.commit({"a": b"1"}, frozenset(), b'{"n":1}')
    older = Producer({"bootstrap.servers": kafka, "transactional.id": f"{topic}-older"})
    older.init_transactions(ANSWER_S)
    older.begin_transaction()
    older.produce(topic, b"", b"other", partition=0)
    assert older.flush(ANSWER_S) == 0
    store.commit({"a": b"2"}, frozenset(), b'{"n":2}')
    with ThreadPoolExecutor(1) as pool:
        verified = pool.submit(store.verify)
        assert opened(kafka, topic).read_head().number == 1  # type: ignore[union-attr]
        older.abort_transaction(ANSWER_S)
        verified.result()
    assert content(store) == ({"a": b"2"}, {"n": 2})
    store.commit({"a": b"3"}, frozenset(), b'{"n":3}')


def test_fault_29_a_flipped_bit_of_a_segment_is_refused_by_name(kafka_factory: Any, fault: Any) -> None:
    """In the broker's own file: neither it nor the client library looks at the batch's checksum."""
    broker, topic = kafka_factory(), "learn.v1"
    admin = AdminClient({"bootstrap.servers": broker.address})
    make_topics(admin, NewTopic(topic, 1, 1, config=COMPACTED))
    store = opened(broker.address, topic)
    store.claim()
    store.commit({"rows-000000-00000": b"segment " * 1_000, "b": b"2"}, frozenset(), b'{"n":1}')
    broker.stop()
    (file,) = broker.directory.glob(f"**/{topic}-0/*.log")
    body = bytearray(file.read_bytes())
    body[body.index(b"segment ") + 4_000] ^= 1
    fault.inject(file.write_bytes, body)
    broker.start()
    store = opened(broker.address, topic)
    head = store.claim()  # which waits until the commit has ended: a broker that stops at once may end it only now
    assert head is not None
    with pytest.raises(CheckpointDamaged, match=r"learn.v1\[0\]@0: segment rows-000000-00000 .* has 8000"):
        dict(store.read(head))
    fault(observed="refused, naming topic, offset and segment")
