"""Records of `control.v1` that are no control records, which anybody who may write there can put there."""

import msgspec
import pytest

from config.settings import KafkaSettings, Settings
from domain import topics
from domain.events import LEARN, Control
from domain.outputs import QuarantinedBatch
from domain.reject import Rejected
from replay.ledger import read_spans
from sinks.kafka import Outbox
from streams import control_log
from streams.ingest.late_admission import admitted
from streams.ingest.quarantine import Decisions
from streams.model_history import read_history
from streams.topics import create_topics

NO_TEXT = b'"\xff\xfe"'
SKIP = Control(
    control_id="c", action="feed_skip", topic="bank.A.events.v1", partition=0, offset=3, next_offset=5, by="zhang",
    reason="a day again",
)  # fmt: skip


def without_text(body: bytes, field: str) -> bytes:
    """Return a record with bytes that are no UTF-8 in a field of it."""
    value = msgspec.json.encode(msgspec.json.decode(body)[field])
    changed = body.replace(b'"%s":%s' % (field.encode(), value), b'"%s":%s' % (field.encode(), NO_TEXT))
    assert changed != body
    return changed


@pytest.mark.parametrize("field", ["type", "by", "reason", "topic", "control_id"])
def test_bytes_that_are_no_text_make_no_control_record(field: str) -> None:
    body = msgspec.json.encode(SKIP)
    assert control_log.control_of(body) == SKIP
    assert control_log.control_of(without_text(body, field)) is None


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"\xff", b'{"type":"control"}', b'{"type":"txn"}'])
def test_a_record_of_another_type_is_no_control_record(value: bytes | None) -> None:
    assert control_log.control_of(value) is None


def test_a_record_bears_the_principal_of_its_writer_s_connection() -> None:
    of_operators = KafkaSettings(sasl_username="operators")
    written = control_log.control_of(control_log.value_of(SKIP, of_operators))
    assert written is not None
    assert (written.author, written.by) == ("operators (zhang)", "zhang")
    assert control_log.value_of(SKIP, KafkaSettings()) == msgspec.json.encode(SKIP)
    forged = msgspec.structs.replace(SKIP, principal="learn")
    assert control_log.control_of(control_log.value_of(forged, of_operators)) == written


def test_learn_s_records_are_those_that_ingest_wrote_for_it_or_learn_before_that() -> None:
    signed = msgspec.structs.replace(SKIP, by=LEARN)
    records = [msgspec.structs.replace(signed, principal=name) for name in (None, "ingest", "learn", "operators")]
    assert [(one.is_of_learn, one.author) for one in records] == [
        (True, "learn"), (True, "learn"), (True, "learn"), (False, "operators (learn)"),
    ]  # fmt: skip
    of_another = msgspec.structs.replace(SKIP, principal="ingest")
    assert (of_another.is_of_learn, of_another.author) == (False, "ingest (zhang)")


@pytest.fixture
def settings(empty_kafka: str) -> Settings:
    """Return the settings of a broker whose control.v1 and events.v1 hold binary values, then a control record."""
    settings = Settings(kafka=KafkaSettings(bootstrap=empty_kafka, log_partitions=1))
    create_topics(settings)
    outbox = Outbox(empty_kafka)
    for body in (without_text(msgspec.json.encode(SKIP), "by"), msgspec.json.encode(SKIP)):
        outbox.send(topics.CONTROL, body, headers=control_log.HEADERS)
    outbox.send(topics.EVENTS, b'{"event":{"type":%s}}' % NO_TEXT, partition=0)
    outbox.drain()
    return settings


def test_every_reader_of_the_topic_skips_bytes_that_are_no_text(settings: Settings) -> None:
    """learn, the verbs, ingest at a paused feed and the ledger each read the record behind them."""
    kafka = settings.kafka
    assert control_log.read(settings).controls == (SKIP,)
    assert read_history(kafka).said == ()
    batch = QuarantinedBatch(
        topic=SKIP.topic or "", partition=0, offset=3, next_offset=None, reason="checksum", detail="", batch_bytes=1,
        batch_crc32c=0, batch=b"x",
    )  # fmt: skip
    outbox = Outbox(kafka.bootstrap)
    outbox.send(topics.QUARANTINE, msgspec.json.encode(batch))
    outbox.drain()
    assert read_spans(kafka) == {(SKIP.topic, 0): [(3, 5)]}
    decisions = Decisions(settings)
    decisions.catch_up()
    assert decisions.skips == {(SKIP.topic, 0, 3): 5}
    decisions.close()


def test_bytes_that_are_no_text_cannot_be_admitted(settings: Settings) -> None:
    found = admitted(settings.kafka.bootstrap, {}, control_log.coordinates(0, 0))
    assert isinstance(found, Rejected)
    assert "holds no event of an enterprise" in (found.detail or "")
