"""Artefacts in Kafka: found by their id, verified, refused by name."""

import hashlib
import random
import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from sinks.artefacts import ArtefactCorrupt, ArtefactMissing, fetch, publish
from sinks.kafka import Outbox
from tests.faults import Fault


@pytest.fixture
def topic(make_topic: Callable[..., str]) -> str:
    return make_topic("model", **{"max.message.bytes": "8388608"})


def test_a_published_artefact_is_fetched_by_its_id_also_among_others(kafka: str, topic: str) -> None:
    outbox = Outbox(kafka)
    bodies = [uuid.uuid4().bytes * (i + 1) for i in range(20)] + [bytes(3 << 20)]
    names = [publish(outbox, topic, body) for body in bodies]
    assert names == [hashlib.sha256(body).hexdigest() for body in bodies]
    for name, body in zip(names, bodies, strict=True):
        assert fetch(kafka, topic, name, 20) == body
    assert fetch("127.0.0.1:1", topic, names[0], 0.1) == bodies[0], (
        "an artefact cannot change: no second look is needed"
    )


def test_fault_29_a_flipped_bit_is_refused_by_topic_and_id_and_a_good_copy_still_serves(
    kafka: str, topic: str, seed: int, fault: Fault
) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    body = rng.randbytes(500)
    name = hashlib.sha256(body).hexdigest()
    flipped = bytearray(body)
    flipped[rng.randrange(500)] ^= 1 << rng.randrange(8)
    assert bytes(flipped) != body
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(topic, bytes(flipped), key=name.encode())
    producer.flush(20)
    with pytest.raises(ArtefactCorrupt, match=name) as raised:
        fetch(kafka, topic, name, 20)
    assert topic in str(raised.value)
    publish(Outbox(kafka), topic, body)
    assert fetch(kafka, topic, name, 20) == body
    bits = sum((one ^ other).bit_count() for one, other in zip(flipped, body, strict=True))
    fault(injected=bits, observed=f"refused by topic and id; {len(body)} bytes of the good copy")


def test_a_missing_artefact_is_named_by_topic_and_id(kafka: str, topic: str, topic_name: Callable[..., str]) -> None:
    with pytest.raises(ArtefactMissing, match="0" * 64):
        fetch(kafka, topic, "0" * 64, 20)
    absent = topic_name("absent")
    with pytest.raises(ArtefactMissing, match=absent):
        fetch(kafka, absent, "0" * 64, 20)
    with pytest.raises(ArtefactMissing, match=r"in 0\.5 s"):
        fetch("127.0.0.1:1", topic, "0" * 64, 0.5)
