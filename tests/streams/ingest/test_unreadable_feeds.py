"""Batches that cannot be read, sent to a real broker by hand: they stop their own feed alone, and never ingest."""

import os
import signal
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer

from cli.main import main
from config.settings import Settings
from domain import topics
from domain.events import Control, Tick
from domain.outputs import QuarantinedBatch
from replay.ledger import take_stock
from sinks.batch import write_varint
from streams.control_log import read as read_controls
from tests.cli.kit import settings_file
from tests.reading import read
from tests.streams.ingest.kit import (
    BANKS,
    DAY,
    HEADERS,
    as_bytes,
    at,
    committed,
    dead_letters,
    log_records,
    receipt,
    send,
    txn,
    worker,
)
from tests.streams.ingest.raw_produce import Refused, produce
from tests.streams.transport.record_batches import COMMIT, COMPRESS, ZSTD, Batch, Row, marker

BAD, GOOD = topics.bank_events(BANKS[0]), topics.bank_events(BANKS[1])
NOT_RISING = Batch(rows=[Row(delta=delta) for delta in (0, 1, 1)], last_delta=2)
BOMB_BYTES = 400 << 20


def rows_of(bank: int, day: int, count: int = 3) -> list[bytes]:
    """A day of a bank as it sends it: transactions, and the receipt."""
    rows = [txn(f"{day}-{n}", at(day, n), bank_id=BANKS[bank], enterprise_id=f"E{bank}") for n in range(count)]
    return [as_bytes(row) for row in (*rows, receipt(day, BANKS[bank]))]


def record(body: bytes) -> bytes:
    return write_varint(len(body)) + body


def event_ids(bootstrap: str, bank: int) -> set[str]:
    """Return the ids of a bank's events in the log."""
    rows = [one for rows in log_records(bootstrap).values() for one in rows]
    return {one.event.event_id for one in rows if getattr(one.event, "bank_id", "") == BANKS[bank]}


def last_tick(bootstrap: str) -> Tick | None:
    ticks = [one.event for one in log_records(bootstrap)[0] if isinstance(one.event, Tick)]
    return ticks[-1] if ticks else None


def quarantine(bootstrap: str) -> list[QuarantinedBatch]:
    decode = msgspec.json.Decoder(QuarantinedBatch).decode
    return [decode(record.value or b"") for record in read(bootstrap, topics.QUARANTINE)]


def closes(bootstrap: str, bank: int, day: int) -> bool:
    """Return whether the last tick closes test day `day` of a bank."""
    tick = last_tick(bootstrap)
    closed = None if tick is None else tick.feeds[BANKS[bank]].closed_up_to
    return closed is not None and closed >= DAY + day


def paused_at(log: Path) -> str:
    """Return when a worker last logged that it paused a feed; empty where it never did."""
    return max((line[:23] for line in log.read_text().splitlines() if "is paused" in line), default="")


def balances(settings: Settings, bank_topic: str, quarantined: int) -> None:
    ledger = take_stock(settings, None)
    assert ledger.balanced, [check for check in ledger.checks if not check.holds]
    assert {one.topic: one.quarantined for one in ledger.inputs}[bank_topic] == quarantined


def called(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    path = settings_file(tmp_path, settings)
    capsys.readouterr()
    code = main(["--config", str(path), *words])
    return code, capsys.readouterr().out


def test_fault_47_a_batch_that_cannot_be_read_pauses_its_feed_alone(
    settings, empty_kafka, tmp_path, eventually, capsys, fault
):
    """The bank's other days come when an operator skips the batch; kills before and after leave one record of it."""
    broker, found = empty_kafka, settings()
    send(broker, BAD, rows_of(0, 0))
    bad = fault.inject(produce, broker, BAD, NOT_RISING.encoded()).base_offset
    send(broker, BAD, rows_of(0, 1))
    for number in (1, 2):
        send(broker, topics.bank_events(BANKS[number]), [row for day in range(6) for row in rows_of(number, day)])
    for _ in range(2):
        with worker(found, tmp_path / "log") as process:
            eventually(lambda: len(quarantine(broker)) == 1, deadline_s=60, what="quarantined")
            eventually(lambda: closes(broker, 1, 5), deadline_s=60, what="days of other banks close")
            eventually(lambda: closes(broker, 0, 4), deadline_s=60, what="and of this one, as of a silent bank")
            eventually(lambda: committed(broker, BAD) == bad, deadline_s=60, what="committed up to the batch")
            assert process.poll() is None
            fault.inject(process.send_signal, signal.SIGKILL)
    tick = last_tick(broker)
    assert tick is not None
    assert tick.feeds[BANKS[0]].stalled
    assert not tick.feeds[BANKS[1]].stalled
    assert event_ids(broker, 0) == {"0-0", "0-1", "0-2"}
    (kept,) = quarantine(broker)
    assert (kept.topic, kept.partition, kept.offset, kept.next_offset) == (BAD, 0, bad, bad + 3)
    assert (kept.batch, kept.reason) == (b"", "offset_delta"), "what a bank sent is sealed"
    whole = tmp_path / "batch"
    signed = ("--by", "zhang", "--reason", "the bank asks")
    assert called(found, tmp_path, capsys, "feed", "open", BAD, str(bad), "--out", str(whole), *signed)[0] == 0
    assert (kept.batch_bytes, whole.stat().st_mode & 0o777) == (whole.stat().st_size, 0o600)
    assert whole.read_bytes().endswith(NOT_RISING.encoded()[61:])
    assert f"{BAD}[0]@{bad}  offset_delta  zhang: the bank asks" in called(found, tmp_path, capsys, "dlq", "opened")[1]
    balances(found, BAD, 0)

    code, out = called(found, tmp_path, capsys, "feed", "list")
    assert code == 0
    assert f"{BAD}[0]@{bad}" in out
    with worker(found, tmp_path / "log") as process:
        eventually(
            lambda: "is paused" in (tmp_path / "log").read_text().rpartition("writes the ticks")[2], deadline_s=60
        )
        assert called(found, tmp_path, capsys, "feed", "resume", BANKS[0], "--by", "z", "--reason", "again")[0] == 0
        log = tmp_path / "log"
        eventually(
            lambda: log.read_text().rpartition("goes on from")[2].count("is paused") == 1,
            deadline_s=60, what="the batch is fetched again, and is still not to be read",
        )  # fmt: skip
        assert called(found, tmp_path, capsys, "feed", "skip", BANKS[0], "--by", "z", "--reason", "sent again")[0] == 0
        end = bad + 3 + len(rows_of(0, 1))
        eventually(lambda: committed(broker, BAD) == end, deadline_s=60, what="it goes on after the batch")
        eventually(lambda: committed(broker, topics.CONTROL) == 2, deadline_s=60, what="the words are in the log")
        send(broker, BAD, rows_of(0, 6))
        eventually(lambda: committed(broker, BAD) == end + 4, deadline_s=60, what="and further")
        assert called(found, tmp_path, capsys, "feed", "skip", BANKS[0], "--by", "z", "--reason", "x")[0] == 1
        assert process.poll() is None
    assert event_ids(broker, 0) == {f"{day}-{n}" for day in (0, 1, 6) for n in range(3)}
    assert len(quarantine(broker)) == 1
    assert [one.action for one in read_controls(found).controls] == ["feed_resume", "feed_skip"]
    controls = [one.event for one in log_records(broker)[0] if isinstance(one.event, Control)]
    assert [(one.action, one.offset, one.next_offset) for one in controls] == [
        ("feed_resume", bad, None), ("feed_skip", bad, bad + 3)
    ]  # fmt: skip
    balances(found, BAD, 3)
    fault(observed="1 feed paused, 2 others closed their days; skipped, it went on")


def test_fault_47_a_skip_is_honoured_by_the_next_reader_of_the_feed(
    settings, empty_kafka, tmp_path, eventually, capsys, fault
):
    """The skip is written while no worker runs."""
    broker, found = empty_kafka, settings()
    bad = fault.inject(produce, broker, BAD, NOT_RISING.encoded()).base_offset
    send(broker, BAD, rows_of(0, 0))
    with worker(found, tmp_path / "log"):
        eventually(lambda: len(quarantine(broker)) == 1, deadline_s=60, what="quarantined")
    assert called(found, tmp_path, capsys, "feed", "skip", BAD, "--by", "z", "--reason", "x", "--to", str(bad))[0] == 1
    assert called(found, tmp_path, capsys, "feed", "skip", BAD, "--by", "z", "--reason", "x")[0] == 0
    with worker(found, tmp_path / "log"):
        eventually(lambda: committed(broker, BAD) == bad + 3 + 4, deadline_s=60, what="it goes on")
    assert event_ids(broker, 0) == {"0-0", "0-1", "0-2"}
    assert len(quarantine(broker)) == 1
    balances(found, BAD, 3)
    fault(observed="skipped by the next worker")


def test_fault_47_22_a_paused_feed_whose_worker_is_killed_is_paused_by_the_next(
    settings, empty_kafka, tmp_path, eventually, capsys, fault
):
    """Two workers, one of which writes the ticks: both know the pause, days close, and one record reports it."""
    broker, found = empty_kafka, settings()
    send(broker, BAD, rows_of(0, 0))
    bad = fault.inject(produce, broker, BAD, NOT_RISING.encoded()).base_offset
    send(broker, BAD, rows_of(0, 1))
    logs = [tmp_path / "log-0", tmp_path / "log-1"]
    with worker(found, logs[0]) as first, worker(found, logs[1]) as second:
        for log in logs:
            eventually(lambda log=log: "this worker reads" in log.read_text(), deadline_s=90, what="both have feeds")
        for number in (1, 2):
            send(broker, topics.bank_events(BANKS[number]), [row for day in range(6) for row in rows_of(number, day)])
        eventually(lambda: closes(broker, 1, 5), deadline_s=90, what="days of other banks close")
        eventually(lambda: len(quarantine(broker)) == 1, deadline_s=60, what="quarantined")
        owner = max((0, 1), key=lambda n: paused_at(logs[n]))
        left = logs[1 - owner]
        before = left.read_text().count("is paused")
        fault.inject((first, second)[owner].send_signal, signal.SIGKILL)
        eventually(lambda: left.read_text().count("is paused") > before, deadline_s=60, what="the other pauses it")
        for number in (1, 2):
            send(broker, topics.bank_events(BANKS[number]), rows_of(number, 6))
        eventually(lambda: closes(broker, 1, 6), deadline_s=60, what="days go on to close")
        assert called(found, tmp_path, capsys, "feed", "skip", BANKS[0], "--by", "z", "--reason", "x")[0] == 0
        eventually(lambda: committed(broker, BAD) == bad + 3 + 4, deadline_s=60, what="it goes on")
        assert (first, second)[1 - owner].poll() is None
    assert event_ids(broker, 0) == {f"{day}-{n}" for day in (0, 1) for n in range(3)}
    assert len(quarantine(broker)) == 1
    balances(found, BAD, 3)
    fault(observed="its feed was paused by the other worker, and went on there")


def test_a_small_batch_of_junk_makes_no_flood_of_dead_letters(settings, empty_kafka, tmp_path, eventually):
    """A batch of a few kilobytes may hold 1.9 million records within UNPACKED_BYTES_MAX, each a sealed dead letter."""
    broker, found, count = empty_kafka, settings(), 300_000
    empty = (record(b"\0\0" + write_varint(i) + write_varint(-1) * 2 + write_varint(0)) for i in range(count))
    junk = Batch(payload=b"".join(empty), count=count, last_delta=count - 1, compression=ZSTD).encoded()
    assert len(junk) < 1 << 20
    first = produce(broker, BAD, junk).base_offset
    send(broker, GOOD, rows_of(1, 0))
    with worker(found, tmp_path / "log"):
        eventually(lambda: len(event_ids(broker, 1)) == 3, deadline_s=60, what="the other bank's records")
        eventually(lambda: committed(broker, BAD) or quarantine(broker), deadline_s=60, what="read, or quarantined")
    assert dead_letters(broker) == []
    assert [(one.offset, one.next_offset, one.reason) for one in quarantine(broker)] == [
        (first, first + count, "decompressed_too_large")
    ]


def test_a_batch_that_can_be_read_after_a_change_of_settings_is_applied(settings, empty_kafka, tmp_path, eventually):
    """A restart fetches it again; its quarantined records then count as read."""
    broker, tight = empty_kafka, settings()
    found = msgspec.structs.replace(tight, ingest=msgspec.structs.replace(tight.ingest, batch_bytes_max=64 << 20))
    rows = [Row(delta=0, value=bytes(20 << 20)), Row(delta=1, value=as_bytes(txn("in it", at(0))), headers=HEADERS)]
    batch = Batch(rows=rows, compression=ZSTD).encoded()
    first = produce(broker, BAD, batch).base_offset
    with worker(tight, tmp_path / "log"):
        eventually(lambda: [one.offset for one in quarantine(broker)] == [first], deadline_s=60, what="quarantined")
    with worker(found, tmp_path / "log"):
        eventually(lambda: committed(broker, BAD) == first + 2, deadline_s=60, what="read")
    assert event_ids(broker, 0) == {"in it"}
    assert [one.reason for one in dead_letters(broker)] == ["oversized"]
    assert len(quarantine(broker)) == 1
    balances(found, BAD, 0)


HEADER_OF_12_MB = Row(delta=0, value=as_bytes(txn("h", at(0))), headers=[("h", os.urandom(500_000) * 24), *HEADERS])
HUGE_VARINT = record(b"\0\0\0" + b"\xfe\xff\xff\xff\x0f" + b"v" * 20)  # a key of 2 GiB
NEGATIVE = record(b"\0\0\0" + write_varint(-5) + write_varint(-7) + write_varint(0))
ODD_ATTRIBUTES = record(b"\xff\0\0" + write_varint(-1) + write_varint(1) + b"v" + write_varint(0))
OFFSET_BEYOND = Batch(rows=[Row(delta=2**31 - 1)], last_delta=0)
# By name: the batch, and whether the broker takes it.
BATCHES: dict[str, tuple[bytes, bool]] = {
    "attributes of a record above 127": (Batch(payload=ODD_ATTRIBUTES, count=1, last_delta=0).encoded(), True),
    "offset deltas that do not rise": (NOT_RISING.encoded(), True),
    "an offset delta beyond the last": (OFFSET_BEYOND.encoded(), True),
    "a negative offset delta": (Batch(rows=[Row(delta=-1)], last_delta=0).encoded(), True),
    "negative lengths of key and value": (Batch(payload=NEGATIVE, count=1, last_delta=0).encoded(), True),
    "a header of 12 MB": (Batch(rows=[HEADER_OF_12_MB], compression=ZSTD).encoded(), True),
    "100,000 headers": (Batch(rows=[Row(delta=0, headers=[("", None)] * 100_000)]).encoded(), True),
    "a key of 8 MB": (Batch(rows=[Row(delta=0, key=b"k" * (8 << 20))], compression=ZSTD).encoded(), True),
    "a varint of 2 GiB": (Batch(payload=HUGE_VARINT, count=1, last_delta=0).encoded(), False),
    "a control batch": (marker(0, 7, COMMIT).encoded(), False),
    "a count that lies": (Batch(rows=[Row(delta=0)], count=5, last_delta=4).encoded(), False),
    "an unknown codec": (Batch(rows=[Row(delta=0)], flags=5).encoded(), False),
    "a wrong checksum": (Batch(rows=[Row(delta=0)], crc_error=1).encoded(), False),
    "trailing bytes": (Batch(rows=[Row(delta=0)], extra=b"zz").encoded(), False),
}
BATCHES |= {f"codec {codec}": (Batch(rows=[Row(delta=0)], compression=codec).encoded(), True) for codec in COMPRESS}
BATCHES |= {
    f"odd attributes in codec {codec}": (
        Batch(payload=ODD_ATTRIBUTES, count=1, last_delta=0, compression=codec).encoded(), True
    )
    for codec in COMPRESS
}  # fmt: skip
BATCHES |= {
    f"bytes behind what codec {codec} packed": (
        Batch(rows=[Row(delta=0)], compression=codec, extra=b"xx").encoded(), codec not in (0, ZSTD)
    )
    for codec in COMPRESS
}  # fmt: skip


def message_set(magic: int) -> bytes:
    """One message in a format before record batches."""
    body = struct.pack(">bb", magic, 0) + (struct.pack(">q", 123) if magic else b"") + struct.pack(">ii", -1, 1) + b"v"
    message = struct.pack(">I", zlib.crc32(body)) + body
    return struct.pack(">qi", 0, len(message)) + message


def transactions(bootstrap: str, topic: str, values: Sequence[bytes]) -> int:
    """Abort them in one transaction, then commit them in another; the offsets that both take, with their markers."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "bank"})
    producer.init_transactions(30)
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, headers=HEADERS)
        producer.flush(30)
        end(30)
    return 2 * (len(values) + 1)


def test_fault_47_no_batch_that_a_broker_accepts_ends_a_worker(
    settings, empty_kafka, tmp_path, eventually, seed, fault
):
    """Each batch between good records of the same bank: those are in the log, in `skip` all of them, and so are other
    banks'; what cannot be read is quarantined once, what can is dead-lettered; the ledger balances."""
    broker, found = empty_kafka, settings(unreadable="skip")
    taken: dict[str, int] = {}
    wanted = set()
    for number, (name, (batch, is_taken)) in enumerate(BATCHES.items()):
        send(broker, BAD, [as_bytes(txn(f"g{number}", at(0, number), enterprise_id="E0"))])
        wanted.add(f"g{number}")
        if is_taken:
            taken[name] = produce(broker, BAD, batch).base_offset
        else:
            with pytest.raises(Refused):
                produce(broker, BAD, batch)
    for magic, version in ((0, 1), (1, 2), (0, 3), (1, 7)):
        with pytest.raises(Refused):
            produce(broker, BAD, message_set(magic), version=version)
    bomb = Batch(rows=[Row(delta=0, value=bytes(BOMB_BYTES))], compression=ZSTD).encoded()
    taken["a bomb"] = produce(broker, BAD, bomb).base_offset
    marks = transactions(broker, BAD, [as_bytes(txn("in a transaction", at(0, 100), enterprise_id="E0"))])
    wanted.add("in a transaction")
    send(broker, BAD, rows_of(0, 1))
    wanted |= {f"1-{n}" for n in range(3)}
    end = taken["a bomb"] + 1 + marks + 4
    for number in (1, 2):
        send(broker, topics.bank_events(BANKS[number]), [row for day in range(3) for row in rows_of(number, day)])
    with worker(found, tmp_path / "log") as process:
        eventually(lambda: committed(broker, BAD) == end, deadline_s=120, what="read to its end")
        eventually(lambda: closes(broker, 1, 2), deadline_s=60, what="days of other banks close")
        assert process.poll() is None
        peak_kb = int(Path(f"/proc/{process.pid}/status").read_text().partition("VmHWM:")[2].split()[0])
    assert event_ids(broker, 0) == wanted
    assert event_ids(broker, 1) == {f"{day}-{n}" for day in range(3) for n in range(3)}
    kept = {one.offset: one.reason for one in quarantine(broker)}
    assert len(kept) == len(quarantine(broker))
    lettered = {one.offset for one in dead_letters(broker) if one.topic == BAD}
    assert kept.keys() | lettered == set(taken.values()) | {taken["offset deltas that do not rise"]}
    assert kept[taken["a bomb"]] == "decompressed_too_large"
    assert kept[taken["offset deltas that do not rise"]] == "offset_delta"
    for name in ("a header of 12 MB", "100,000 headers", "a key of 8 MB"):
        assert taken[name] in lettered, name
    spans = {one.offset: (one.next_offset or 0) - one.offset for one in quarantine(broker)}
    balances(found, BAD, sum(spans.values()))
    assert peak_kb < 1 << 20, f"{peak_kb >> 10} MiB"
    fault(
        injected=len(taken), observed=f"{len(kept)} quarantined, {len(lettered)} letters, {peak_kb >> 10} MiB at most"
    )
