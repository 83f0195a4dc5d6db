"""`xinliu ledger check` on real Kafka and Redis: it balances, and sees each difference that is put in."""

import asyncio
import json
import re
from argparse import ArgumentParser
from pathlib import Path

import msgspec
import pytest
import redis
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from cli import ledger
from config.settings import Bank, KafkaSettings, RedisSettings, ScoreSettings, Settings
from domain import topics
from domain.events import Control, LogRecord
from domain.outputs import DeadLetter, QuarantinedBatch
from domain.reject import Reason
from embedded import Kafka
from sinks.kafka import Outbox
from sinks.redis_store import partition_state
from streams import control_log
from streams.score.role import Score
from streams.topics import create_topics
from streams.transport.chunk import chunk_of
from streams.worker.role import TP
from streams.worker.worker import drive
from tests import reading
from tests.streams.score.kit import BANK, HEADERS, OTHER_BANK, log_of

PARTITIONS = 2
INPUT = topics.bank_events(BANK)


@pytest.fixture(scope="module")
def scored(tmp_path_factory, redis_server):
    """Return the settings of a broker whose bank topic was ingested and whose log was scored up to its end."""
    with (
        Kafka(tmp_path_factory.mktemp("ledger"), heap="256m") as broker,
        redis.Redis.from_url(redis_server.url) as all_,
    ):
        all_.flushall()
        yield _scored(broker.address, redis_server.url)


@pytest.fixture
def settings(scored):
    """Return the settings of `scored`; Redis and all commits are restored after the test."""
    with redis.Redis.from_url(scored.redis.url) as client:
        before = {key: client.dump(key) for key in client.scan_iter()}
        yield scored
        client.flushall()
        for key, value in before.items():
            client.restore(key, 0, value)


def _scored(bootstrap, redis_url):
    found = Settings(
        kafka=KafkaSettings(bootstrap=bootstrap, log_partitions=PARTITIONS),
        redis=RedisSettings(url=redis_url),
        score=ScoreSettings(flush_interval_ms=1, flush_slice_values_max=3, batch_records_max=64),
        banks=tuple(Bank(bank_id=b, name_zh=b) for b in (BANK, OTHER_BANK)),
    )
    create_topics(found)
    log = _ingested(found, [row[1] for row in log_of(7, enterprises=6, days=40)])
    source = [(TP(topics.EVENTS, p), chunk_of(topics.EVENTS, p, 0, rows)) for p, rows in log.items()]
    asyncio.run(drive(Score(found), source))
    return found


def _ingested(settings, values):
    """Write the records of a log with origins in a bank's topic, receipts and dead letters; the log by partition."""
    outbox = Outbox(settings.kafka.bootstrap)
    log = {p: [] for p in range(PARTITIONS)}
    at = 0
    for n, value in enumerate(values):
        record = msgspec.json.decode(value, type=LogRecord)
        if record.event.__struct_config__.tag == "tick":
            places = list(log)
        else:
            places = [int(record.event.enterprise_id[1:]) % PARTITIONS]
            value = msgspec.json.encode(msgspec.structs.replace(record, origin=(INPUT, 0, at)))
            outbox.send(INPUT, b"{}", partition=0)
            at += 1
        for p in places:
            copies = 2 if n == 5 else 1  # a restart of ingest repeats one
            log[p] += [(None, value, HEADERS, 0)] * copies
            for _ in range(copies):
                outbox.send(topics.EVENTS, value, headers=HEADERS, partition=p)
        if n % 50 == 0:
            outbox.send(INPUT, b'{"type":"receipt"}', partition=0)
            outbox.send(INPUT, b"{oops", partition=0)
            for _ in range(2):  # and this one too
                outbox.send(topics.DEAD_LETTERS, msgspec.json.encode(_letter(at + 1)))
            at += 2
    bad = b"{oops"
    log[0].append((None, bad, HEADERS, 0))
    outbox.send(topics.EVENTS, bad, headers=HEADERS, partition=0)
    outbox.drain()
    _commit(settings, at)
    return log


def _letter(offset):
    return DeadLetter(
        topic=INPUT, partition=0, offset=offset, reason=Reason.NOT_JSON, field=None, detail="",
        payload_bytes=0,
    )  # fmt: skip


def _commit(settings, offset):
    reading.commit(settings.kafka.bootstrap, "xinliu-ingest", {(INPUT, 0): offset})


def check(settings, capsys, *words):
    """(exit code, output, the checks that do not hold)."""
    parser = ArgumentParser()
    ledger.add_arguments(parser)
    code = ledger.run(parser.parse_args(["check", "--json", *words]), settings)
    document = json.loads(capsys.readouterr().out)
    assert document["balanced"] == (code == 0)
    return code, document, [row for row in document["checks"] if not row["holds"]]


def test_injected_differences_are_found_in_either_form(settings, capsys):
    code, document, wrong = check(settings, capsys)
    assert (code, wrong, document["notes"]) == (0, [], [])
    (bank,) = [row for row in document["inputs"] if row["topic"] == INPUT]
    assert bank["consumed"] == bank["accepted"] + bank["receipts"] + bank["dead_lettered"]["not_json"]
    assert bank["accepted"] > 400
    assert bank["receipts"] == bank["dead_lettered"]["not_json"] > 5
    counted = {(row["where"], row["what"]): row["left"] for row in document["checks"]}
    assert counted["events.v1[0]", "ticks"] == counted["events.v1[1]", "ticks"] == 40
    assert counted["events.v1[0]", "unreadable"] == 1
    for outcome, topic in (("conflict", topics.DEAD_LETTERS), ("late", topics.LATE)):
        assert sum(counted[f"events.v1[{p}]", f"{outcome} = its letters in {topic}"] for p in range(PARTITIONS)) > 0
    parser = ArgumentParser()
    ledger.add_arguments(parser)
    assert ledger.run(parser.parse_args(["check"]), settings) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == f"{len(document['checks'])} checks, 0 wrong"
    assert any(line.startswith(f"{INPUT}[0]  from 0: consumed") for line in out)


def test_a_value_that_is_gone_is_named_with_its_partition_and_records(settings, capsys):
    client = redis.Redis.from_url(settings.redis.url)
    assert client.delete("x:{1}:h:E3") == 1
    code, _, wrong = check(settings, capsys)
    assert code == 1
    by_what = {row["what"]: row for row in wrong}
    missing = by_what["records of enterprises = applied + duplicate + conflict + late + refused"]
    assert (missing["where"], missing["note"]) == ("events.v1[1]", "E3")
    assert missing["difference"] < -50
    assert by_what["enterprises whose count differs"]["right"] == 1
    assert {row["where"] for row in wrong} == {"events.v1[1]"}


def test_a_record_behind_the_low_offset_that_nobody_applied_is_one_too_few(settings, capsys):
    client = redis.Redis.from_url(settings.redis.url)
    state = json.loads(partition_state(client, "x", 0))
    outbox = Outbox(settings.kafka.bootstrap)
    row = next(value for _, value, _, _ in log_of(7, enterprises=1, days=1) if b"tick" not in value)
    outbox.send(topics.EVENTS, row, headers=HEADERS, partition=0)
    outbox.drain()
    assert check(settings, capsys)[0] == 0, "what lies past the low offset is nobody's yet"
    client.set("x:{0}:p", json.dumps({**state, "low_offset": state["low_offset"] + 1}))
    code, _, wrong = check(settings, capsys)
    assert code == 1
    assert {(row["where"], row["difference"]) for row in wrong} == {("events.v1[0]", -1), ("events.v1[0]", 1)}
    client.set("x:{0}:p", json.dumps({**state, "low_offset": state["low_offset"] + 9}))
    wrong = check(settings, capsys)[2]
    assert ("the low offset lies in the log", 8) in {(row["what"], row["difference"]) for row in wrong}


def test_a_count_that_is_wrong_by_one_tick_is_seen(settings, capsys):
    client = redis.Redis.from_url(settings.redis.url)
    state = json.loads(partition_state(client, "x", 1))
    client.set("x:{1}:p", json.dumps({**state, "ticks_count": state["ticks_count"] + 1}))
    code, _, wrong = check(settings, capsys)
    assert code == 1
    assert [(row["where"], row["what"], row["difference"]) for row in wrong] == [("events.v1[1]", "ticks", 1)]


def test_a_record_that_ingest_committed_and_dropped_is_named_with_its_topic(settings, capsys):
    outbox = Outbox(settings.kafka.bootstrap)
    outbox.send(INPUT, b"{}", partition=0)
    outbox.drain()
    assert check(settings, capsys)[0] == 0, "not committed: still to come"
    _, document, _ = check(settings, capsys)
    (bank,) = [row for row in document["inputs"] if row["topic"] == INPUT]
    _commit(settings, bank["consumed"] + 1)
    code, _, wrong = check(settings, capsys)
    assert code == 1
    _commit(settings, bank["consumed"])
    assert [(row["where"], row["difference"]) for row in wrong] == [(f"{INPUT}[0]", -1)]


def test_quarantined_and_skipped_records_have_a_column_and_those_read_later_have_not(settings, capsys):
    """Two batches are in quarantine.v1: nothing of one is in the log; the other's records are. A third is skipped by a
    word, as its header does not say where it ends."""
    _, document, _ = check(settings, capsys)
    (bank,) = [row for row in document["inputs"] if row["topic"] == INPUT]
    end, outbox = bank["consumed"], Outbox(settings.kafka.bootstrap)
    for _ in range(4):  # beside the last test's; of which nothing becomes anything
        outbox.send(INPUT, b"{}", partition=0)
    for offset, next_offset in ((end, end + 2), (end, end + 2), (0, 3), (end + 2, None)):
        batch = QuarantinedBatch(
            topic=INPUT, partition=0, offset=offset, next_offset=next_offset, reason="checksum", detail="",
            batch_bytes=1, batch_crc32c=0, batch=b"x",
        )  # fmt: skip
        outbox.send(topics.QUARANTINE, msgspec.json.encode(batch))
    outbox.drain()
    _commit(settings, end + 2)
    code, document, _ = check(settings, capsys)
    (bank,) = [row for row in document["inputs"] if row["topic"] == INPUT]
    assert (code, bank["consumed"], bank["quarantined"]) == (0, end + 2, 2)
    _commit(settings, end + 5)
    code, _, wrong = check(settings, capsys)
    assert (code, [row["difference"] for row in wrong]) == (1, [-3])
    word = Control(
        control_id="s", action="feed_skip", topic=INPUT, partition=0, offset=end + 2, next_offset=end + 5, by="z",
        reason="r",
    )  # fmt: skip
    control_log.write(settings, word)
    code, document, _ = check(settings, capsys)
    (bank,) = [row for row in document["inputs"] if row["topic"] == INPUT]
    assert (code, bank["quarantined"]) == (0, 5)
    _commit(settings, end)


def test_servers_that_do_not_answer_are_named(settings, capsys, redis_factory):
    own = redis_factory("gone")
    own.stop()
    parser = ArgumentParser()
    ledger.add_arguments(parser)
    gone = msgspec.structs.replace(settings, redis=RedisSettings(url=own.url, timeout_s=1.0))
    assert ledger.run(parser.parse_args(["check"]), gone) == 1
    assert "redis" in capsys.readouterr().err


def test_after_retention_the_check_names_its_first_offset_and_still_adds_up(settings, capsys):
    """The last test of this file: deleted records do not return."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    (deleted,) = admin.delete_records([TopicPartition(topics.EVENTS, 0, 100)]).values()
    deleted.result(20)
    code, document, wrong = check(settings, capsys)
    assert (code, wrong) == (0, [])
    assert document["notes"][0] == "events.v1[0] reaches back to offset 100 only"
    client = redis.Redis.from_url(settings.redis.url)
    client.delete("x:{0}:h:E2")
    code, _, wrong = check(settings, capsys)
    assert code == 1
    assert [row["where"] for row in wrong] == ["events.v1[0]"] * len(wrong)
    assert min(row["difference"] for row in wrong) < -50


def test_each_check_of_a_ledger_has_a_chinese_text():
    """Every comparison of `replay.ledger` has a Chinese text."""
    source = (Path(__file__).resolve().parents[2] / "replay" / "ledger.py").read_text(encoding="utf-8")
    said = re.findall(r'what=\s*f?"([^"]+)"', source)
    assert len(said) >= 6
    assert [text for text in said if text not in ledger.WHAT_ZH and " = its letters in " not in text] == []
