import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from embedded import ChildFailed, Kafka, class_cache, server
from embedded import kafka as kafka_module
from embedded.kafka import QUICK_JVM, java_binary
from tests.reading import read


def write(address: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": address, "message.timeout.ms": 20_000})
    refusals = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _record: refusals.append(error))
    producer.flush()
    assert refusals == [None] * len(values)


def values(address: str, topic: str) -> list[bytes | None]:
    return [record.value for record in read(address, topic)]


def test_the_broker_makes_no_topic_by_itself(kafka: str, topic_name: Callable[..., str]) -> None:
    name = topic_name()
    asks = {"allow.auto.create.topics": True, "topic.metadata.propagation.max.ms": 500}
    producer = Producer({"bootstrap.servers": kafka, "message.timeout.ms": 5_000, **asks})
    errors: list[object] = []
    producer.produce(name, b"x", on_delivery=lambda error, _record: errors.append(error))
    producer.flush()
    assert "Unknown topic" in str(errors[0])
    assert name not in AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics


def test_records_are_read_as_written(kafka: str, make_topic: Callable[..., str]) -> None:
    topic = make_topic(partitions=1)
    write(kafka, topic, b"one", b"two")
    assert values(kafka, topic) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("by_producer", "by_broker", "codec"), [("none", "lz4", 3), ("lz4", "uncompressed", 0), ("lz4", "gzip", 1)]
)
def test_the_broker_packs_and_unpacks_lz4(
    kafka_server: Kafka, make_topic: Callable[..., str], by_producer: str, by_broker: str, codec: int
) -> None:
    topic = make_topic(partitions=1, **{"compression.type": by_broker})
    sent = [bytes([i]) * 5_000 for i in range(20)]
    producer = Producer({"bootstrap.servers": kafka_server.address, "compression.type": by_producer, "linger.ms": 200})
    for value in sent:
        producer.produce(topic, value)
    assert producer.flush(30) == 0
    assert values(kafka_server.address, topic) == sent
    (segment,) = (kafka_server.directory / "log" / f"{topic}-0").glob("*.log")
    assert segment.read_bytes()[22] & 7 == codec, "the attributes of the first batch name its codec"


def test_records_survive_a_stop_and_a_kill_at_the_same_address(kafka_factory: Callable[..., Kafka]) -> None:
    broker = kafka_factory()
    address, first = broker.address, broker.child.pid
    admin = AdminClient({"bootstrap.servers": address})  # lives until its answer is there
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(30)
    write(address, "kept", b"before the stop")
    broker.stop()
    assert list(broker.directory.rglob(".kafka_cleanshutdown"))
    broker.restart()
    write(address, "kept", b"before the kill")
    broker.kill()
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=0.5)
    assert broker.restart() == address
    assert broker.child.pid != first
    assert values(address, "kept") == [b"before the stop", b"before the kill"]


def test_a_taken_port_moves_a_start_and_fails_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_PORT_RETURNS_S", 0.5)  # it does not return
    said: list[str] = []
    with Kafka(tmp_path, heap="256m", on_progress=said.append) as broker:
        before = broker.address
        broker.stop()
        with socket.create_server(("127.0.0.1", int(before.split(":")[1]))):
            with pytest.raises(ChildFailed, match=f"cannot return to {before}"):
                broker.restart()
            said.clear()
            assert broker.start() != before
            assert "is taken: Kafka moves" in said[-1]


def test_a_broker_that_cannot_start_quotes_its_log(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"kafka\.log ends:\n(?s:.*)Invalid maximum heap size"):
        Kafka(tmp_path, heap="nonsense").start()


def test_a_directory_is_formatted_as_kafkas_tool_has_done_it_before_with_ids_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_module, "_kept_features", lambda: tmp_path / "kept")
    brokers = [Kafka(tmp_path / name, heap="256m") for name in ("one", "two")]
    for broker in brokers:
        broker.format(broker.command())
    by_tool, as_before = (broker.directory / "log" for broker in brokers)
    assert (by_tool.parent / "kafka.log").exists()
    assert not (as_before.parent / "kafka.log").exists(), "without the tool"
    assert {path.name for path in by_tool.iterdir()} == {path.name for path in as_before.iterdir()}
    features = [(folder / "bootstrap.checkpoint").read_bytes() for folder in (by_tool, as_before)]
    assert features[0] == features[1]
    one, two = (_properties(folder / "meta.properties") for folder in (by_tool, as_before))
    assert one.keys() == two.keys()
    assert {name for name in one if one[name] != two[name]} == {"cluster.id", "directory.id"}


def _properties(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if not line.startswith("#"))


def test_a_broker_takes_its_classes_from_the_cache_and_without_one_that_fits_from_its_jars(tmp_path: Path) -> None:
    class_cache.make()
    with Kafka(tmp_path / "kept", heap="256m") as broker:
        assert ".aot" in Path(f"/proc/{broker.child.pid}/maps").read_text()
    (broken := tmp_path / "broken.aot").write_bytes(b"no cache")
    with Kafka(tmp_path / "broken", heap="256m", jvm=(*QUICK_JVM, f"-XX:AOTCache={broken}")) as broker:
        assert ".aot" not in Path(f"/proc/{broker.child.pid}/maps").read_text()


def test_a_java_that_is_too_old_or_absent_is_refused_by_its_path(tmp_path: Path) -> None:
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    with pytest.raises(RuntimeError, match=rf"java={old} is not Java 17 or newer.*11\.0\.2"):
        java_binary(old)
    with pytest.raises(RuntimeError, match="java=/nowhere/java does not run"):
        java_binary(Path("/nowhere/java"))


def test_a_java_of_the_host_serves_instead(tmp_path: Path) -> None:
    java = shutil.which("java")
    if java is None:
        pytest.skip("no java on PATH")
    with Kafka(tmp_path, java=Path(java), heap="256m") as broker:
        process = subprocess.run(
            ["ps", "-o", "args=", "-p", str(broker.child.pid)], capture_output=True, text=True, check=True
        )
        assert process.stdout.startswith(java)
