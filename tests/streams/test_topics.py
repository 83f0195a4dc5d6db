"""Topics on a real broker: created once, compared value by value, and a worker that refuses wrong ones."""

import re
from argparse import Namespace

import msgspec
import pytest
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from cli import topics as verb
from config.errors import SettingsError
from config.settings import Bank
from domain import topics
from streams.topics import TopicsWrong, check_topics, create_topics, differences, wanted_topics
from tests.patience import patience_s
from tests.streams.ingest.kit import BANKS, committed, set_config, settings_for, worker


def test_every_topic_of_the_contract_has_its_settings(tmp_path):
    settings = settings_for("127.0.0.1:1", tmp_path)
    by_name = {topic.name: topic for topic in wanted_topics(settings)}
    names = {value for name, value in vars(topics).items() if name.isupper()}
    for bank_id in BANKS:
        names |= {topics.bank_events(bank_id), topics.bank_alerts(bank_id), topics.bank_cases(bank_id)}
    assert set(by_name) == names
    log = [by_name[name] for name in (topics.EVENTS, topics.SCORE, topics.INDICATOR, topics.OBSERVATION)]
    assert {topic.partitions for topic in log} == {4}
    assert {topic.partitions for topic in by_name.values() if topic not in log} == {1}
    by_broker_time = {n for n, t in by_name.items() if t.settings["message.timestamp.type"] == "LogAppendTime"}
    banks = {topics.bank_events(bank_id) for bank_id in BANKS}
    assert by_broker_time == banks | {
        topics.GATEWAY, topics.CONTROL, topics.DESK, topics.EVENTS, topics.MODEL_REPORT, topics.MODEL_REQUEST,
    }  # fmt: skip
    compacted = {name for name, topic in by_name.items() if topic.settings["cleanup.policy"] == "compact"}
    assert compacted == {topics.ENTERPRISE, topics.OWNER, topics.ARTEFACT, topics.LEARN}
    eight_mib = {name for name, topic in by_name.items() if topic.settings["max.message.bytes"] == "8388608"}
    assert eight_mib == {
        topics.DEAD_LETTERS,
        topics.QUARANTINE,
        topics.LATE,
        topics.MODEL,
        topics.MODEL_REPORT,
        topics.LEARN,
        topics.ARTEFACT,
    }
    assert by_name[topics.bank_alerts(BANKS[0])].readers == (f"bank {BANKS[0]}", "archive", "operators")


def test_fault_37_topics_are_made_once_compared_and_refused(empty_kafka, tmp_path, capsys, fault):
    broker = empty_kafka
    settings = settings_for(broker, tmp_path)
    admin = AdminClient({"bootstrap.servers": broker})
    make(admin, NewTopic(topics.SCORE, 2, 1))
    made = create_topics(settings)
    assert len(made) == len(wanted_topics(settings)) - 1
    assert create_topics(settings) == []
    found = {str(one) for one in differences(settings)}
    assert found == {
        "score.v1: partitions is 2, should be 4",
        "score.v1: retention.ms is 604800000, should be 2592000000",
        "score.v1: max.message.bytes is 1048588, should be 1048576",
    }
    assert verb.run(Namespace(action="check", json=False), settings) == 1
    assert "score.v1: partitions is 2, should be 4" in capsys.readouterr().out
    check_topics(settings, [topics.EVENTS, topics.DEAD_LETTERS])
    with pytest.raises(TopicsWrong, match=re.escape("score.v1: partitions is 2, should be 4")):
        check_topics(settings, [topics.EVENTS, topics.SCORE])

    # A new bank needs its topics; they are made, and the others left alone.
    more = msgspec.structs.replace(settings, banks=(*settings.banks, Bank(bank_id="Z9000000000004", name_zh="新")))
    new = [name("Z9000000000004") for name in (topics.bank_alerts, topics.bank_events, topics.bank_cases)]
    with pytest.raises(SettingsError, match=rf"{new[1]}: exists is no, should be yes"):
        check_topics(more, [new[1]])
    assert create_topics(more) == new

    # The injected fault: partitions added to the log, then a topic with the producer's time.
    for future in admin.create_partitions([NewPartitions(topics.EVENTS, 5)]).values():
        future.result(30)
    refused(settings, tmp_path, "events.v1: partitions is 5, should be 4")
    wider = with_partitions(settings, 5)
    bank = topics.bank_events(BANKS[1])
    set_config(broker, bank, "message.timestamp.type", "CreateTime")
    refused(wider, tmp_path, f"{bank}: message.timestamp.type is CreateTime, should be LogAppendTime")
    set_config(broker, bank, "message.timestamp.type", "LogAppendTime")
    assert committed(broker, bank) < 0
    wrong = len(found) + 2
    fault(injected=wrong, observed="partition count and timestamp type refused by name, both counts said")


def refused(settings, folder, words):
    log = folder / f"log-{abs(hash(words))}"
    with worker(settings, log) as process:
        assert process.wait(patience_s(40)) != 0
    assert words in log.read_text()


def with_partitions(settings, count):
    return msgspec.structs.replace(settings, kafka=msgspec.structs.replace(settings.kafka, log_partitions=count))


def make(admin, topic):
    for future in admin.create_topics([topic]).values():
        future.result(30)
