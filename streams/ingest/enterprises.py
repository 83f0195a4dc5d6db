"""The enterprises that ingest knows, and a quota of new ones a bank and day (ADR 36).

`enterprise.v1` holds them. The record of a new one is an output of the feed at the offset of its first event: nothing
is committed past that before it is acknowledged. So what is known, and how many a bank brought on a day, is what the
topic holds, whatever was killed. Each worker reads it whole at its start, and goes on reading what others write.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from confluent_kafka import Message, TopicPartition

from config.settings import IngestSettings
from domain import topics
from domain.outputs import KnownEnterprise
from sinks.batch import Records
from sinks.log_reader import AT_ONCE, FOLLOWING, assigned_consumer, poll, read
from sinks.retriable import bounds
from streams.ingest.enterprise_table import NEW, EnterpriseTable

FOLD_AT_ONCE = 10_000
_decode = msgspec.json.Decoder(KnownEnterprise).decode
_encode = msgspec.json.Encoder().encode


class Admitted(NamedTuple):
    """The records of a feed before `until` may go to the log. new: those of `enterprise.v1` for what they bring.

    beyond: the day number of the quota that the next one is beyond; None where all may go.
    """

    until: int
    new: Records
    beyond: int | None


class Enterprises:
    """Known enterprises, and what each bank has brought. Pure.

    An enterprise counts for the bank and the day of its last record: where two workers have written one at the same
    time, that is what compaction leaves. The first ones of a bank, and those of no bank, count for no day.
    """

    def __init__(self, settings: IngestSettings) -> None:
        self._quota, self._first = settings.new_enterprises_max, settings.new_enterprises_first
        self._table = EnterpriseTable()
        self._charges: list[KnownEnterprise] = []  # by mark
        self._marks: dict[KnownEnterprise, int] = {}
        self._of_bank: Counter[str | None] = Counter()
        self._of_day: Counter[tuple[str | None, int | None]] = Counter()
        self._last_day: dict[str | None, int] = defaultdict(int)  # for which a bank's enterprises count
        self._limits: dict[tuple[str, int], int] = {}  # what operators have granted

    def __len__(self) -> int:
        return len(self._table)

    def brought(self, bank_id: str, day: int) -> int:
        """Return the number of enterprises that count for a bank and day."""
        return self._of_day[bank_id, day]

    def grant(self, bank_id: str, day: int, limit: int) -> bool:
        """Let a bank bring up to `limit` enterprises on a day; return whether it may bring one more."""
        self._limits[bank_id, day] = limit
        return self._has_room(bank_id, day)

    def fold(self, keys: Sequence[bytes], records: Sequence[KnownEnterprise]) -> None:
        """Take in records of `enterprise.v1` in their order. They may come again."""
        for before, charge in zip(self._table.put(keys, list(map(self._mark, records))), records, strict=True):
            if before != NEW:
                self._count(self._charges[before], -1)
            self._count(charge, 1)

    def admit(self, bank_id: str | None, day: int, records: Records) -> Admitted:
        """Admit records of a feed in their order, up to the first of an enterprise beyond the quota.

        bank_id: None where the feed is no bank's. day: that of the feed's newest event; a bank's day never goes back.
        """
        unknown = self._table.unknown(records)
        if not unknown:
            return Admitted(len(records), _NONE, None)
        day = max(day, self._last_day[bank_id])
        ends = np.maximum(records.sizes, 0).sum(axis=1).cumsum().tolist()
        new: dict[bytes, KnownEnterprise] = {}
        count, beyond = len(records), None
        for i in unknown:
            begin = ends[i - 1] if i else 0
            key = records.blob[begin : begin + int(records.sizes[i, 0])]
            if key in new:
                continue
            charge = self._charge(bank_id, day)
            if charge is None:
                count, beyond = i, day
                break
            new[key] = charge
            self._count(charge, 1)
        self._table.put(list(new), list(map(self._mark, new.values())))
        return Admitted(count, Records.of([(key, _encode(charge)) for key, charge in new.items()]), beyond)

    def _charge(self, bank_id: str | None, day: int) -> KnownEnterprise | None:
        """Return what one more enterprise of a bank counts for; None where it is beyond the quota."""
        if bank_id is None or self._of_bank[bank_id] < self._first:
            return KnownEnterprise(bank_id=bank_id)
        return KnownEnterprise(bank_id=bank_id, day=day) if self._has_room(bank_id, day) else None

    def _has_room(self, bank_id: str, day: int) -> bool:
        return not self._quota or self._of_day[bank_id, day] < self._limits.get((bank_id, day), self._quota)

    def _count(self, charge: KnownEnterprise, by: int) -> None:
        self._of_bank[charge.bank_id] += by
        if charge.day is not None:
            self._of_day[charge.bank_id, charge.day] += by
            self._last_day[charge.bank_id] = max(charge.day, self._last_day[charge.bank_id])

    def _mark(self, charge: KnownEnterprise) -> int:
        mark = self._marks.setdefault(charge, len(self._charges))
        if mark == len(self._charges):
            self._charges.append(charge)
        return mark


_NONE = Records.of([])


class EnterpriseReader:
    """Reads `enterprise.v1` from its start on into `enterprises`."""

    def __init__(self, enterprises: Enterprises, bootstrap: str, client: Mapping[str, Any]) -> None:
        self._enterprises = enterprises
        self._consumer = assigned_consumer(bootstrap, {**FOLLOWING, **client})
        self._offset = 0

    def catch_up(self) -> None:
        """Read to the present end. Raise KafkaException or ReadTimeout where the topic cannot be read."""
        low, end = bounds(self._consumer, topics.ENTERPRISE, 0)
        messages: list[Message] = []
        for message in read(self._consumer, {(topics.ENTERPRISE, 0): (max(low, self._offset), end)}):
            messages.append(message)
            if len(messages) == FOLD_AT_ONCE:
                self._fold(messages)
                messages = []
        self._fold(messages)
        self._offset = max(self._offset, end)
        self._consumer.assign([TopicPartition(topics.ENTERPRISE, 0, self._offset)])

    def poll(self) -> None:
        """Take in what has come since, without waiting. Raise KafkaException where the topic cannot be read."""
        if messages := poll(self._consumer, AT_ONCE):
            self._fold(messages)
            self._offset = messages[-1].offset() + 1

    def close(self) -> None:
        """Close the connection to the broker."""
        self._consumer.close()

    def _fold(self, messages: Sequence[Message]) -> None:
        keys = [message.key() for message in messages]
        self._enterprises.fold(keys, [_decode(message.value()) for message in messages])
