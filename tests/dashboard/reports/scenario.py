"""Two banks' borrowers over 75 days from 1 January 2024, a Monday, through score and archive, for tests of reports.

E1 is 35 days past due at both banks on 11 January; MINE has it confirmed within its deadlines. E2 is past due by 3 days
on 9 January, by 12 on 18 January, by 33 on 8 February, and nobody signs. E3 is past due by 3 days on 9 January and pays
two days later: a false alarm, with text that a spreadsheet would run. E4 borrows from THEIRS alone.
"""

import asyncio
import dataclasses
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import pytest

from config.case_table import packaged_case_table
from config.settings import Bank, ClickHouseSettings, KafkaSettings, Settings
from domain import topics
from domain.calendar import date_of, day_start_ms
from domain.events import CaseAction, Gov
from domain.outputs import CaseRecord, FeedHealth
from sinks.clickhouse import Connection
from sinks.kafka import MarkedOutbox
from streams.archive.role import Archive
from streams.score import partition
from streams.score.partition import Partition
from streams.transport import chunk_of
from streams.worker.role import TP
from streams.worker.worker import drive
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    GATEWAY,
    HEADERS,
    OTHER_BANK,
    applied,
    authorization,
    by_topic,
    immediate_rules,
    loan,
    no_model,
    record,
    tick,
    txn,
)

MINE = Bank(bank_id=BANK, name_zh="临江&银行", name_en="Linjiang & Sons")
THEIRS = Bank(bank_id=OTHER_BANK, name_zh="望海农商银行", name_en="Wanghai")
DAYS, LAST_DAY = 75, FIRST_DAY + 74
FORMULA, MACRO = '=HYPERLINK("http://x","y")', "+cmd|' /C calc'!A0"
ANN, BEN = "ann-token", "ben-token"
NOW_MS = int(time.time() * 1_000)  # the archive drops what is older than 25 months
Messages = dict[str, list[Any]]


class _Story:
    """A log that grows, with what score says of it."""

    def __init__(self) -> None:
        self.partition, self.records, self.messages = Partition(0, no_model), list[Any](), list[Any]()

    def send(self, *events: Any) -> None:
        first = len(self.records)
        self.records += [record(event) for event in events]
        self.messages += applied(self.partition, self.records, 1_000, first)

    def act(self, day: int, enterprise: str, action: str, actor: str = ANN, **fields: Any) -> None:
        said = [msgspec.json.decode(m.value, type=CaseRecord) for m in by_topic(self.messages)[topics.CASE_SUPERVISOR]]
        (*_, case) = (one for one in said if (one.enterprise_id, one.bank_id) == (enterprise, BANK))
        at_ms = day_start_ms(FIRST_DAY + day) + 9 * 3_600_000
        self.send(
            CaseAction(
                event_id=f"{enterprise}-{action}-{day}", bank_id=BANK, enterprise_id=enterprise, event_time=at_ms,
                case_id=case.case_id, action=action, actor=actor, **fields,
            )
        )  # fmt: skip


def _day(day: int) -> Iterator[Any]:
    """Yield the events of banks on a day."""
    if day == 0:
        for enterprise, bank in (("E1", BANK), ("E1", OTHER_BANK), ("E2", BANK), ("E3", BANK), ("E4", OTHER_BANK)):
            whose = "mine" if bank == BANK else "theirs"
            yield authorization(f"a-{enterprise}-{whose}", enterprise, bank)
            yield _lent(enterprise, day, "granted", bank, customer_no=f"=1+{whose}-{enterprise}",
                        contract_no=f"K-{whose}", branch_code="B1", manager_no="@M1", due_on="2024-12-31",
                        guarantee_type="保证", five_class="正常")  # fmt: skip
    arrears = {(8, "E2"): 3, (17, "E2"): 12, (38, "E2"): 33, (8, "E3"): 3, (10, "E3"): 0, (10, "E1"): 35, (19, "E4"): 3}
    for enterprise in ("E1", "E2", "E3", "E4"):
        yield txn(f"{enterprise}-{day}", enterprise, day, 5, 10**6,
                  bank_id=OTHER_BANK if enterprise == "E4" else BANK)  # fmt: skip
        if (dpd := arrears.get((day, enterprise))) is not None:
            event = "overdue" if dpd else "repaid"
            yield _lent(enterprise, day, event, OTHER_BANK if enterprise == "E4" else BANK, dpd=dpd)
    if day == 10:
        yield _lent("E1", day, "overdue", OTHER_BANK, dpd=35)


def _lent(enterprise: str, day: int, event: str, bank: str, **fields: Any) -> Any:
    whose = "mine" if bank == BANK else "theirs"
    named = {"loan_id": f"L-{enterprise}-{whose}", "bank_id": bank, "outstanding_minor": 10**8 + int(enterprise[1:])}
    return loan(f"{enterprise}-{whose}-{event}-{day}", enterprise, day, event, **named | fields)


@cache
def story() -> tuple[list[Any], Messages]:
    """Return the records of the log, and the messages of score by topic."""
    rules = dataclasses.replace(immediate_rules(), case=packaged_case_table().table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "packaged_rules", lambda: rules)
        one = _Story()
        for day in range(DAYS):
            one.send(*_day(day))
            if day == 11:
                one.act(day, "E1", "sign")
                one.act(day, "E1", "begin")
            if day == 16:
                one.act(day, "E1", "submit", disposition="confirmed", measure=MACRO, remark="-已上门\t核实")
            if day == 17:
                one.act(day, "E1", "approve", BEN)
            if day == 22:
                one.act(day, "E3", "sign")
                one.act(day, "E3", "begin")
                until = date_of(FIRST_DAY + 90).isoformat()
                one.act(day, "E3", "submit", disposition="false_alarm", until=until, remark=FORMULA, measure="@SUM(1)")
                one.act(day, "E3", "approve", BEN)
            one.send(tick(day))
    return one.records, by_topic(one.messages)


@cache
def comeback() -> tuple[list[Any], Messages]:
    """Return the log and the messages of a case of E1 that comes back on the day on which it was disposed of.

    Arrears are a false alarm on the eleventh day; some hours later a penalty reopens the case, which is confirmed; then
    the loan is repaid, and both alerts end.
    """
    rules = dataclasses.replace(immediate_rules(), case=packaged_case_table().table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "packaged_rules", lambda: rules)
        one = _Story()
        one.send(authorization("a", "E1"), _lent("E1", 0, "granted", BANK))
        for day in range(DAYS):
            one.send(txn(f"E1-{day}", "E1", day, 5, 10**6))
            if day == 10:
                one.send(_lent("E1", day, "overdue", BANK, dpd=35))
                _dispose(one, day, "false_alarm")
                one.send(
                    Gov(
                        event_id="p", bank_id=GATEWAY, enterprise_id="E1", event="penalty", source="s",
                        event_time=day_start_ms(FIRST_DAY + day) + 15 * 3_600_000,
                    )
                )  # fmt: skip
            if day == 11:
                _dispose(one, day, "confirmed")
            if day == 12:
                one.send(_lent("E1", day, "repaid", BANK, dpd=0))
            one.send(tick(day))
    return one.records, by_topic(one.messages)


def _dispose(one: _Story, day: int, disposition: str) -> None:
    one.act(day, "E1", "sign")
    one.act(day, "E1", "begin")
    one.act(day, "E1", "submit", disposition=disposition)
    one.act(day, "E1", "approve", BEN)


def settings(bootstrap: str, folder: Any) -> Settings:
    """Return those of an engine with the two banks and an archive in a folder."""
    return Settings(
        kafka=KafkaSettings(bootstrap=bootstrap),
        clickhouse=ClickHouseSettings(url=f"chdb://{folder}"),
        banks=(MINE, THEIRS),
    )


def archived(
    connection: Connection, *, days: int = DAYS, piece: int = 1_000_000, told: tuple[list[Any], Messages] | None = None
) -> None:
    """Have the archive's role store the story in pieces of so many records, and how far the banks' feeds are.

    told: another story's records and messages.
    """
    records, messages = told or story()
    health = [
        FeedHealth(
            bank_id=bank.bank_id, last_event_time=None, covered_up_to=FIRST_DAY + days - 1,
            closed_up_to=FIRST_DAY + days - 1, stalled=False, oldest_unread_event_time=None, as_of=1,
        )
        for bank in (MINE, THEIRS)
    ]  # fmt: skip
    said: dict[str, list[Any]] = {
        topic: [(m.key, m.value, HEADERS, NOW_MS) for m in many] for topic, many in messages.items()
    }
    said[topics.FEED] = [(b"k", msgspec.json.encode(one), HEADERS, NOW_MS) for one in health]
    said[topics.EVENTS] = [(None, value, HEADERS, NOW_MS) for _, value, _, _ in records]
    role = Archive(settings("127.0.0.1:1", "unused"), MarkedOutbox("127.0.0.1:1"), connection=_Kept(connection))
    chunks = [
        (TP(topic, 0), chunk_of(topic, 0, first, many[first : first + piece]))
        for topic, many in sorted(said.items())
        for first in range(0, len(many), piece)
        if topic in role.topics
    ]
    asyncio.run(drive(role, chunks))


class _Kept:
    """A connection that its role does not close."""

    def __init__(self, inner: Connection) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def close(self) -> None:
        """Stay open."""
