"""The example subscribers take each revision of an alert once, also where they are killed before they commit."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from domain import topics
from embedded import Kafka
from embedded.children import Child
from embedded.jars import class_path
from embedded.kafka import JAVA_MAJOR_MIN, java_binary
from tests.examples.kafka_proxy import CommitHeldBack
from tests.project.test_topics_documented import ALERT

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/subscribers"
BANK = "C1010211000012"
LINES_MAX = 45
Stored = Callable[[], list[tuple[str, int]]]


@pytest.fixture(scope="module")
def proxy() -> Iterator[CommitHeldBack]:
    one = CommitHeldBack()
    yield one
    one.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, proxy: CommitHeldBack) -> Iterator[str]:
    """Yield a broker of this module whose clients all connect through the proxy."""
    advertised = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxy.port}"}
    directory = tmp_path_factory.mktemp("kafka")
    one = Kafka(directory, heap="256m", properties=advertised).launch()
    proxy.broker_port = int(one.address.rsplit(":", 1)[1])
    yield one.wait_ready()
    one.stop()


def python_command(broker: str, bank_id: str, path: Path) -> list[str]:
    return [sys.executable, str(EXAMPLES / "follow_alerts.py"), broker, bank_id, str(path)]


def stored_by_python(path: Path) -> list[tuple[str, int]]:
    with sqlite3.connect(path) as database:
        return database.execute("SELECT alert_id, revision FROM alert ORDER BY rowid").fetchall()


def java_command(broker: str, bank_id: str, path: Path) -> list[str]:
    jars = ":".join(map(str, class_path()))
    return [str(java_with_compiler()), "-cp", jars, str(EXAMPLES / "FollowAlerts.java"), broker, bank_id, str(path)]


def stored_by_java(path: Path) -> list[tuple[str, int]]:
    alerts = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(alert["alert_id"], alert["revision"]) for alert in alerts]


def java_with_compiler() -> str | None:
    """Return the `java` of a JDK that launches a source file; None where there is only a runtime."""
    if (java := shutil.which("java")) is None:
        return None
    try:
        java_binary(Path(java))
    except RuntimeError:
        return None
    modules = subprocess.run([java, "--list-modules"], capture_output=True, text=True, check=True).stdout
    return java if "jdk.compiler@" in modules else None


LANGUAGES = {"python": (python_command, stored_by_python), "java": (java_command, stored_by_java)}


def _needs_java(not_shown: Callable[[str, str], None]) -> None:
    if java_with_compiler() is None:
        not_shown(
            "the subscriber in Java", f"no JDK from {JAVA_MAJOR_MIN} on: the embedded broker brings a runtime alone"
        )


def made(broker: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    for future in admin.create_topics([NewTopic(topic, 1, 1)]).values():
        future.result(30)


def send(broker: str, topic: str, *revisions: tuple[str, int]) -> None:
    producer = Producer({"bootstrap.servers": broker})
    for alert_id, revision in revisions:
        alert = msgspec.structs.replace(ALERT, alert_id=alert_id, revision=revision, title_zh="【红色】贷款逾期")
        producer.produce(topic, msgspec.json.encode(alert), key=b"E", partition=0)
    assert producer.flush(30) == 0


def printed(log: Path) -> list[list[str]]:
    """Return id, revision and state of each alert that a subscriber has printed."""
    return [line.split()[:3] for line in log.read_text(encoding="utf-8").splitlines() if "贷款逾期" in line]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_subscriber_takes_each_revision_once_also_where_it_is_killed_before_it_commits(
    language: str,
    broker: str,
    proxy: CommitHeldBack,
    tmp_path: Path,
    eventually: Callable[..., None],
    not_shown: Callable[[str, str], None],
) -> None:
    if language == "java":
        _needs_java(not_shown)
    command_of, stored_in = LANGUAGES[language]
    bank_id, path, log = f"C101021100001{list(LANGUAGES).index(language)}", tmp_path / "stored", tmp_path / "log"
    topic = topics.bank_alerts(bank_id)
    made(broker, topic)
    send(broker, topic, ("a", 1), ("a", 2), ("b", 1), ("a", 1), ("a", 2), ("c", 4))  # a restart repeats, b skips none
    proxy.seen.clear()
    proxy.armed = True
    command = command_of(broker, bank_id, path)
    with Child(language, command, log=log).launch() as subscriber:
        eventually(proxy.seen.is_set, 60, "the first commit")
        subscriber.kill()
    proxy.armed = False
    assert stored_in(path) == [("a", 1), ("a", 2), ("b", 1), ("c", 4)], "stored, and not committed"

    with Child(language, command, log=log).launch() as subscriber:
        send(broker, topic, ("a", 2), ("d", 1), ("c", 3), ("a", 3), ("a", 2))  # late ones of a worker that was outbid
        expected = [("a", 1), ("a", 2), ("b", 1), ("c", 4), ("d", 1), ("a", 3)]
        eventually(lambda: stored_in(path) == expected, 60, "what is new")
        eventually(lambda: len(printed(log)) >= len(expected), 60, "its line")  # printed once it is stored
        subscriber.kill()
    assert printed(log) == [[alert_id, str(revision), "raised"] for alert_id, revision in expected]


def test_a_line_that_a_crash_cut_off_is_taken_anew(
    broker: str, tmp_path: Path, eventually: Callable[..., None], not_shown: Callable[[str, str], None]
) -> None:
    """The subscriber in Java keeps a file; SQLite sees to that itself."""
    _needs_java(not_shown)
    bank_id, path = "C1010211000019", tmp_path / "stored"
    topic = topics.bank_alerts(bank_id)
    made(broker, topic)
    send(broker, topic, ("a", 1), ("b", 1))
    whole = msgspec.json.encode(msgspec.structs.replace(ALERT, alert_id="a"))
    path.write_bytes(whole + b"\n" + whole[: len(whole) // 2])
    with Child("java", java_command(broker, bank_id, path), log=tmp_path / "log").launch() as subscriber:
        eventually(lambda: path.read_bytes().endswith(b"\n") and stored_by_java(path) == [("a", 1), ("b", 1)], 60)
        subscriber.kill()


@pytest.mark.parametrize("name", ["follow_alerts.py", "FollowAlerts.java"])
def test_an_example_stays_short(name: str) -> None:
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()
    code = [
        line for line in lines if line.strip() and not line.strip().startswith(("*", "/*", "//", "#", "import", "from"))
    ]
    assert len(code) <= LINES_MAX
