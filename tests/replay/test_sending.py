"""Sending on a real broker: order, headers, keys, and going on where an earlier run stopped."""

import time
from collections.abc import Callable, Iterator, Mapping

import msgspec
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from config.errors import SettingsError
from config.settings import KafkaSettings
from domain import topics
from domain.events import Control, LogRecord, Outcome, Receipt, Txn
from embedded import Kafka
from replay.judging import Label
from replay.ledger import count_log
from replay.offsets import Offsets
from replay.province.population import Population
from replay.province.source import Province
from replay.reading import Read, read_topics
from replay.sending import HEADERS, Sending
from replay.sources import Delivery
from sinks.kafka import Outbox
from tests import brokers
from tests.patience import eventually, patience_s

SMALL = Population(seed=8, banks=1, enterprises=3, months=1, before_months=6, after_months=0)


class Renamed:
    """A province that sends to topics of this test's own."""

    name, banks, identity, is_history = "renamed", (), "renamed", False

    def __init__(self, suffix: str, most: int | None = None) -> None:
        self.suffix, self.most = suffix, most

    def deliveries(self) -> Iterator[Delivery]:
        for number, each in enumerate(Province(SMALL).deliveries()):
            if self.most is not None and number >= self.most:
                return
            yield Delivery(each.at_ms, f"{each.topic}.{self.suffix}", each.event)

    def rows(self) -> Mapping[str, int]:
        return {}

    def outcomes(self) -> Mapping[str, Label]:
        return {}


def send(source: Renamed, bootstrap: str, speed: float | None = None) -> Sending:
    sending = Sending(source, KafkaSettings(bootstrap=bootstrap), speed=speed)
    sending.start()
    sending.join(60)
    return sending


def made(bootstrap: str, source: Renamed) -> list[str]:
    names = sorted({each.topic for each in source.deliveries()})
    brokers.make_topics(AdminClient({"bootstrap.servers": bootstrap}), *(NewTopic(name, 1, 1) for name in names))
    return names


def read_all(bootstrap: str, names: list[str]) -> dict[str, list[Read]]:
    found: dict[str, list[Read]] = {name: [] for name in names}
    for each in read_topics(KafkaSettings(bootstrap=bootstrap), names):
        found[each.topic].append(each)
    return found


def test_everything_arrives_once_in_order_also_over_an_interruption(
    kafka: str, topic_name: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replay.sending.GATHERED_MAX", 7)  # so that many are handed over, and some are left at the end
    suffix = topic_name("sending")
    source = Renamed(suffix)
    names = made(kafka, source)
    first = send(Renamed(suffix, most=100), kafka)
    assert first.finished
    assert sum(first.sent.values()) == 100
    second = send(source, kafka)
    assert (second.finished, second.failure) == (True, None)
    deliveries = list(source.deliveries())
    assert sum(second.sent.values()) == len(deliveries) - 100
    assert sum(second.skipped.values()) == 100
    assert sum(second.kinds.values()) == len(deliveries)
    found = read_all(kafka, names)
    for name in names:
        sent = [each.event for each in deliveries if each.topic == name]
        assert [each.value for each in found[name]] == [msgspec.json.encode(event) for event in sent]
        for each, event in zip(found[name], sent, strict=True):
            assert each.key == (None if isinstance(event, Receipt) else event.enterprise_id.encode())
    assert any(isinstance(each.event, Txn) for each in deliveries)


def test_a_pace_is_kept_and_an_end_comes_at_once(kafka: str, topic_name: Callable[..., str]) -> None:
    source = Renamed(topic_name("paced"))
    made(kafka, source)
    sending = Sending(source, KafkaSettings(bootstrap=kafka), speed=60.0)  # a month would take 12 hours
    sending.start()
    deadline = time.monotonic() + 20
    while not sending.sent and time.monotonic() < deadline:
        time.sleep(0.05)
    began = time.monotonic()
    sending.end()
    assert time.monotonic() - began < 10
    assert not sending.finished
    assert 0 < sum(sending.sent.values()) < len(list(source.deliveries()))


def test_a_close_does_not_wait_for_a_broker_that_has_ended(
    kafka_factory: Callable[..., Kafka], topic_name: Callable[..., str]
) -> None:
    source, broker = Renamed(topic_name("closed")), kafka_factory()
    made(broker.address, source)
    sending = Sending(source, KafkaSettings(bootstrap=broker.address), speed=3_600.0)
    sending.start()
    eventually(lambda: sum(sending.sent.values()) > 3, 20, "events")
    broker.kill()
    sent = sum(sending.sent.values())
    eventually(lambda: sum(sending.sent.values()) > sent, 60, "an event that nobody acknowledges")
    began_s = time.monotonic()
    sending.close()
    assert time.monotonic() - began_s < patience_s(10)
    assert (sending.is_alive(), sending.finished, sending.failure) == (False, False, None)


def test_a_topic_that_is_missing_fails_the_sending(kafka: str, topic_name: Callable[..., str]) -> None:
    sending = send(Renamed(topic_name("missing"), most=5), kafka)
    assert not sending.finished
    assert isinstance(sending.failure, SettingsError)
    assert "topics create" in str(sending.failure)


def test_ends_and_commits_of_what_is_not_there_are_nothing(kafka: str, topic_name: Callable[..., str]) -> None:
    offsets = Offsets(KafkaSettings(bootstrap=kafka, group_prefix=f"{topic_name('group')}-"))
    assert offsets.partitions([topic_name("none")]) == []
    assert offsets.ends([]) == {}
    progress = offsets.progress({"nobody": [topic_name("none")]})
    assert progress.settled


def test_the_history_is_sent_at_once_and_the_rest_waits_for_the_control_record_and_its_pace(
    kafka: str, eventually: Callable[..., None]
) -> None:
    source = Renamed("live")
    names = made(kafka, source)
    times = [each.at_ms for each in source.deliveries()]
    live_from_ms = times[len(times) // 2]
    history = sum(at_ms < live_from_ms for at_ms in times)
    sending = Sending(source, KafkaSettings(bootstrap=kafka), speed=86_400.0 * 20, live_from_ms=live_from_ms)
    sending.start()
    eventually(lambda: sending.history_sent, 30, "the history is sent")
    ends = Offsets(KafkaSettings(bootstrap=kafka)).ends([(name, 0) for name in names])
    assert sum(ends.values()) == sum(sending.sent.values()) == history
    time.sleep(0.3)
    assert sum(sending.sent.values()) == history, "it did not wait"
    began_s = time.monotonic()
    sending.go_live()
    sending.join(60)
    assert sending.failure is None
    assert sum(sending.sent.values()) == len(times)
    days = (times[-1] - live_from_ms) / 86_400_000
    assert time.monotonic() - began_s > days / 20 * 0.8, "it did not keep the pace"
    again = Sending(source, KafkaSettings(bootstrap=kafka), speed=1.0, live_from_ms=live_from_ms)
    again.start()
    again.join(60)
    assert again.finished
    assert not again.sent, "a second run sends nothing anew"


OUTCOMES = [
    Outcome(
        event_id=f"o-{number}",
        bank_id="Z9000000000001",
        enterprise_id="E1",
        event_time=0,
        loan_id=f"loan-{number}",
        label="good",
        matured_on="2020-01-01",
    )
    for number in range(2)
]


class Knowing(Renamed):
    """Outcomes first, then the deliveries of a province; `known` of the outcomes."""

    def __init__(self, suffix: str, most: int | None = None, known: int = len(OUTCOMES)) -> None:
        super().__init__(suffix, most)
        self.known = known

    def deliveries(self) -> Iterator[Delivery]:
        yield from (Delivery(0, topics.CONTROL, outcome) for outcome in OUTCOMES[: self.known])
        yield from super().deliveries()


def test_outcomes_are_written_once_among_the_controls_of_others(empty_kafka: str) -> None:
    source = Knowing("told", most=20)
    made(empty_kafka, source)
    outbox = Outbox(empty_kafka, {})
    word = Control(control_id="w", action="backfill_open", by="zhang", reason="history")
    outbox.send(topics.CONTROL, msgspec.json.encode(word))
    outbox.drain(30.0)
    cut = send(Knowing("told", most=10, known=1), empty_kafka)
    assert (cut.finished, cut.failure, cut.sent[topics.CONTROL]) == (True, None, 1)
    second = send(source, empty_kafka)
    assert (second.finished, second.failure) == (True, None)
    assert (second.sent[topics.CONTROL], second.skipped[topics.CONTROL]) == (1, 1)
    assert second.kinds[topics.CONTROL, "Outcome"] == 2
    assert sum(second.kinds.values()) == len(list(source.deliveries()))
    found = read_all(empty_kafka, [topics.CONTROL])[topics.CONTROL]
    assert [each.value for each in found] == [msgspec.json.encode(each) for each in (word, *OUTCOMES)]
    assert [each.key for each in found[1:]] == [b"E1", b"E1"]


def test_an_outcome_of_the_log_counts_as_accepted_and_twice_as_a_repeat(empty_kafka: str) -> None:
    admin = AdminClient({"bootstrap.servers": empty_kafka})
    admin.create_topics([NewTopic(topics.EVENTS, 1, 1)])[topics.EVENTS].result(30)
    outbox = Outbox(empty_kafka, {})
    word = Control(control_id="w", action="backfill_open", by="zhang", reason="history")
    for offset, event in ((0, word), (1, OUTCOMES[0]), (2, OUTCOMES[1]), (1, OUTCOMES[0])):
        record = LogRecord(event=event, origin=(topics.CONTROL, 0, offset))
        outbox.send(topics.EVENTS, msgspec.json.encode(record), headers=HEADERS)
    outbox.drain(30.0)
    count = count_log(KafkaSettings(bootstrap=empty_kafka))
    assert (count.records, count.barriers, count.unreadable, count.repeats) == (4, 1, 0, 1)
    assert count.accepted((topics.CONTROL, 0)).tolist() == [0, 1, 2]
