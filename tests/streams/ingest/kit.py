"""Common parts of ingest's tests on a real broker: settings, records as banks send them, a worker process, the log."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import OFFSET_INVALID, KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from config.settings import Bank, IngestSettings, KafkaSettings, SealSettings, Settings
from domain import topics
from domain.calendar import day_of_text, day_start_ms
from domain.events import SCHEMA, LogRecord
from domain.outputs import DeadLetter
from streams.seal import key_files
from tests import brokers, reading
from tests.patience import patience_s
from tests.transactions import txn_row

BANKS = ("Z9000000000001", "Z9000000000002", "Z9000000000003")
HEADERS = [("schema", SCHEMA.encode())]
DAY = day_of_text("2024-03-04")
PARTITIONS = 4
MINUTE_MS, DAY_MS = 60_000, 86_400_000


def at(day: int, minute: int = 0) -> int:
    """Epoch milliseconds of a minute of test day `day`."""
    return day_start_ms(DAY + day) + minute * MINUTE_MS


def txn(event_id: str, time_ms: int, **fields: Any) -> dict[str, Any]:
    """A good transaction of the first bank, or one changed in `fields`; None takes a field away."""
    return txn_row(**{"event_id": event_id, "event_time": time_ms} | fields)


def receipt(day: int, bank_id: str = BANKS[0]) -> dict[str, Any]:
    """The end of test day `day`."""
    text = time.strftime("%Y-%m-%d", time.gmtime((DAY + day) * 86_400))
    return {"type": "receipt", "bank_id": bank_id, "day": text, "count": 0, "debit_minor": 0, "credit_minor": 0}


def as_bytes(row: Any) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()


def settings_for(bootstrap: str, folder: Path, banks: Sequence[str] = BANKS, **ingest: Any) -> Settings:
    """The group is that of `worker`."""
    key = folder / "token.key"
    key.write_bytes(b"0123456789abcdef0123456789abcdef")
    return Settings(
        kafka=KafkaSettings(bootstrap=bootstrap, log_partitions=PARTITIONS, group_prefix="test-"),
        seal=SealSettings(**{name: str(file) for name, file in key_files(folder).items()}),
        ingest=IngestSettings(token_key_file=str(key), **({"tick_interval_ms": 50} | ingest)),
        banks=tuple(Bank(bank_id=bank_id, name_zh="示例", deadline_hours=12) for bank_id in banks),
    )


def send(bootstrap: str, topic: str, values: Iterable[bytes | None]) -> None:
    """Produce and wait until all is acknowledged."""
    send_all(bootstrap, ((topic, value, HEADERS) for value in values))


def send_all(bootstrap: str, records: Iterable[tuple[str, bytes | None, Sequence[Any]]]) -> None:
    """Produce (topic, value, headers) and wait until all is acknowledged."""
    failed: list[Any] = []
    # The client lets through what the broker may refuse: a test of limits is of the broker's.
    producer = brokers.producer(bootstrap, message_max_bytes=4 << 20)
    for topic, value, headers in records:
        producer.produce(
            topic, value, headers=list(headers), on_delivery=lambda error, _: failed.append(error) if error else None
        )
        producer.poll(0)
    assert producer.flush(30) == 0
    if failed:
        raise KafkaException(failed[0])


_WORKER = """
import logging, os, sys, time, msgspec
from config.settings import Settings
from streams.ingest.role import Ingest
from streams.transport import TransportOptions
from streams.worker.worker import WorkerOptions, run_worker
logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
for name in ("streams.ingest.role", "streams.ingest.ticks"):
    logging.getLogger(name).setLevel("INFO")
settings = msgspec.json.decode(sys.argv[1], type=Settings)
options = WorkerOptions(
    tick_interval_s=0.02, commit_interval_s=0.2, session_timeout_s=4.0, heartbeat_interval_s=0.5,
    transport=TransportOptions(
        unpacked_bytes_max=settings.kafka.unpacked_bytes_max, batch_bytes_max=settings.ingest.batch_bytes_max
    ),
)
def clock():
    return time.monotonic() + (os.stat(sys.argv[2]).st_size if len(sys.argv) > 2 else 0)
role = Ingest(settings, clock=clock)
sys.exit(run_worker(role, broker=settings.kafka.bootstrap, app_id="test-ingest", options=options))
"""


@contextmanager
def worker(
    settings: Settings, log: Path, clock: Path | None = None, before: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """An ingest worker in a process of its own; ended, and its log shown, at the end.

    clock: a file; the role's clock is ahead by as many seconds as it has bytes. before: code that it runs first.
    """
    ahead = [] if clock is None else [str(clock)]
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", before + _WORKER, msgspec.json.encode(settings).decode(), *ahead],
            stdout=file,
            stderr=file,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(patience_s(30))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        print(log.read_text(errors="replace")[-4000:])


def log_count(bootstrap: str) -> int:
    """Records in the log, ticks included."""
    return sum(reading.ends(bootstrap, topics.EVENTS).values())


def log_records(bootstrap: str) -> dict[int, list[LogRecord]]:
    decoder = msgspec.json.Decoder(LogRecord)
    found = reading.read_partitions(bootstrap, topics.EVENTS)
    return {p: [decoder.decode(record.value or b"") for record in records] for p, records in found.items()}


def dead_letters(bootstrap: str) -> list[DeadLetter]:
    decoder = msgspec.json.Decoder(DeadLetter)
    return [decoder.decode(record.value or b"") for record in reading.read(bootstrap, topics.DEAD_LETTERS)]


def committed(bootstrap: str, topic: str) -> int:
    """The ingest group's committed offset of a topic's partition 0; -1001 where there is none."""
    return reading.committed(bootstrap, "test-ingest", topic).get(0, OFFSET_INVALID)


def set_config(broker: str, topic: str, name: str, value: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)
