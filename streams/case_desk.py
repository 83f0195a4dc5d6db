"""The cases of a bank as its desk sees them: read from the bank's topic, and acted on through ingest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from config.settings import Settings
from domain import topics
from domain.cases import OPEN
from domain.events import SCHEMA, CaseAction
from domain.outputs import SEVERITIES, Alert, CaseRecord
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import Outbox
from sinks.log_reader import read_topic
from streams.acl import principal_of

HEADERS = (("schema", SCHEMA.encode()),)
NO_DATE_DAYS = 20  # to the due day of a case without one
POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A case in the queue of a desk. `days_left`: to its next due day, negative once that has passed; None: none."""

    case: CaseRecord
    days_left: int | None
    rank: int


def newest(settings: Settings, bank_id: str) -> dict[str, CaseRecord]:
    """Return the newest record of each case of a bank, by case_id. Raise KafkaException and ReadTimeout."""
    found: dict[str, CaseRecord] = {}
    for record in records(settings, bank_id):
        known = found.get(record.case_id)
        if known is None or (record.offset, record.seq) > (known.offset, known.seq):
            found[record.case_id] = record
    return found


def records(settings: Settings, bank_id: str) -> Iterator[CaseRecord]:
    """Yield the records of a bank's cases as they stand in its topic, repeats included."""
    decode = msgspec.json.Decoder(CaseRecord).decode
    for message in read_topic(settings.kafka.bootstrap, topics.bank_cases(bank_id), client_settings(settings.kafka)):
        yield decode(message.value() or b"")


def alerts(settings: Settings, bank_id: str, case_id: str) -> list[Alert]:
    """Return the newest revision of each alert of a case that the bank's topic still holds."""
    decode, found = msgspec.json.Decoder(Alert).decode, dict[str, Alert]()
    for message in read_topic(settings.kafka.bootstrap, topics.bank_alerts(bank_id), client_settings(settings.kafka)):
        alert = decode(message.value() or b"")
        known = found.get(alert.alert_id)
        if alert.case_id == case_id and (known is None or alert.revision > known.revision):
            found[alert.alert_id] = alert
    return list(found.values())


def queue(cases: Iterator[CaseRecord] | list[CaseRecord], today: int) -> list[Entry]:
    """Return the open cases, the most urgent first: exposure × level × nearness of the next due day.

    today: a day number. Nearness is 1 over the days left, of an overdue case the days past due + 1.
    """
    entries = [_entry(case, today) for case in cases if case.state in OPEN]
    return sorted(entries, key=lambda entry: (-entry.rank, entry.case.enterprise_id))


def _entry(case: CaseRecord, today: int) -> Entry:
    days = None if case.due is None else case.due - today
    level = 0 if case.severity is None else 1 + SEVERITIES.index(case.severity)
    left = NO_DATE_DAYS if days is None else days
    weight = max(case.exposure_minor, 1) * level
    return Entry(case=case, days_left=days, rank=weight // left if left > 0 else weight * (1 - left))


def topic_of(settings: Settings, bank_id: str) -> str:
    """Return the topic for a bank's actions: its own where we are that bank, else that of the platform's desk."""
    own = settings.kafka.sasl_username == principal_of(f"bank {bank_id}")
    return topics.bank_events(bank_id) if own else topics.DESK


def send(settings: Settings, action: CaseAction) -> str:
    """Append an action and wait until it is acknowledged; return its topic. Raise DeliveryFailed where that fails."""
    topic = topic_of(settings, action.bank_id)
    outbox = Outbox(settings.kafka.bootstrap, aiokafka_settings(settings.kafka))
    outbox.send(topic, msgspec.json.encode(action), key=action.enterprise_id.encode(), headers=HEADERS)
    outbox.drain()
    return topic


def outcome(settings: Settings, action: CaseAction, wait_s: float) -> CaseRecord | None:
    """Return the record that followed from an action; None where none has come within so many seconds."""
    end_s = time.monotonic() + wait_s
    while True:
        for record in records(settings, action.bank_id):
            if record.event_id == action.event_id:
                return record
        if time.monotonic() >= end_s:
            return None
        time.sleep(POLL_S)
