"""The archive role on a real broker and chdb: after any failure nothing is lost or stored twice."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from config.settings import Bank, ClickHouseSettings, KafkaSettings, Settings
from domain import topics
from domain.calendar import DAY_MS
from domain.events import SCHEMA, Authorization, Loan, LogRecord, Profile, Tick
from domain.outputs import GROUPS, Alert, CaseRecord, DeadLetter, FeedHealth, Indicators, Score
from sinks.clickhouse import Connection, Refused, Unavailable
from sinks.clickhouse.tables import ALL
from sinks.kafka import MarkedOutbox
from streams.archive.role import Archive
from streams.transport import chunk_of
from streams.worker.role import DETACHED, TP
from streams.worker.roles import topics_of
from streams.worker.worker import drive
from tests.brokers import make_topics
from tests.faults import Fault
from tests.model_months import months
from tests.patience import patience_s
from tests.reading import committed, read
from tests.transactions import logged, txn

BANK, OTHER_BANK, ENTERPRISE = "C1010511000099", "C1010511000100", "91440300MA5EXAMPLE"
HEADERS = [("schema", SCHEMA.encode())]
NOW_MS = int(time.time() * 1000)
TP_EVENTS, TP_ALERTS = TP(topics.EVENTS, 0), TP(topics.ALERT_SUPERVISOR, 0)
TP_TOLD, TP_OTHER_TOLD = TP(topics.bank_alerts(BANK), 0), TP(topics.bank_alerts(OTHER_BANK), 0)

pytest.importorskip("chdb")
(MONTH,) = months(1)


def payment(number: int, amount_minor: int | None = None) -> bytes:
    event = txn(
        event_id=f"e{number:05d}", bank_id=BANK, enterprise_id=ENTERPRISE, direction="D",
        event_time=1_700_000_000_000 + number * DAY_MS // 9, amount_minor=amount_minor or number + 1,
    )  # fmt: skip
    return msgspec.json.encode(logged(event))


def tick() -> bytes:
    return msgspec.json.encode(LogRecord(event=Tick(up_to=1_700_000_000_000, feeds={})))


def alert(revision: int) -> bytes:
    return msgspec.json.encode(
        Alert(
            alert_id="a1", episode_id="p1", case_id="c1", case_severity="red",
            revision=revision, enterprise_id=ENTERPRISE, signal="s", severity="red",
            state="raised", stock=False, opened_at=0, as_of=0, score=450, score_before=500, evidence=[], event_ids=[],
            loans=[], banks=[BANK], title_zh="标题", text_zh="", suggested_action_zh="", model_id="m", rules_id="r",
            offset=revision, seq=0,
        )
    )  # fmt: skip


def score(number: int) -> bytes:
    return msgspec.json.encode(
        Score(
            enterprise_id=ENTERPRISE, score=500, score_milli=500_000, p_overdue30_90d_ppm=1, pd_12m_ppm=None,
            status="published", status_reason="", grade="D", published_grade="D",
            groups_milli=dict.fromkeys(GROUPS, 1), cap_milli=0, coverage_ppm=1, prior=False, reason_codes=[],
            model_id="m", rules_id="r", engine_version="v", as_of=1_700_000_000_000, offset=number, seq=0,
        )
    )  # fmt: skip


def letter(number: int, topic: str = "bank.x.events.v1") -> bytes:
    return msgspec.json.encode(
        DeadLetter(
            topic=topic, partition=0, offset=number, reason="late", field=None, detail="", payload_bytes=0,
        )
    )  # fmt: skip


def late(number: int) -> bytes:
    return letter(number, topics.EVENTS)


def indicators(number: int) -> bytes:
    return msgspec.json.encode(
        Indicators(
            enterprise_id=ENTERPRISE, day=19_675 + number, as_of=1_700_000_000_000 + number * DAY_MS,
            values_micro={"a": number}, null_reasons={"b": "history"}, catalogue_id="c", engine_version="v",
            offset=number, seq=0,
        )
    )  # fmt: skip


def loan(number: int) -> bytes:
    event = Loan(
        event_id=f"l{number}", bank_id=BANK, enterprise_id=ENTERPRISE, event_time=1_700_000_000_000 + number,
        loan_id="L", event="overdue", principal_minor=1, outstanding_minor=1, granted_on="2023-01-01", dpd=number,
    )  # fmt: skip
    return msgspec.json.encode(logged(event))


def profile(number: int) -> bytes:
    event = Profile(
        event_id=f"p{number}", bank_id=BANK, enterprise_id=f"E{number}", event_time=1_700_000_000_000, industry="C",
        region="450100", size_class="micro",
    )  # fmt: skip
    return msgspec.json.encode(logged(event))


def authorization(number: int) -> bytes:
    event = Authorization(
        event_id=f"z{number}", bank_id="Z2004944000010", enterprise_id=ENTERPRISE, event_time=1_700_000_000_000,
        to_bank_id=BANK, purpose="贷后管理", valid_from=0, valid_to=1_800_000_000_000, authorization_id=f"a{number}",
        consent_hash="0" * 64, confirmed_by_enterprise_at=0,
    )  # fmt: skip
    return msgspec.json.encode(logged(event))


def case_record(number: int) -> bytes:
    return msgspec.json.encode(
        CaseRecord(
            case_id="c1", bank_id=BANK, enterprise_id=ENTERPRISE, state="awaiting", change="opened", severity="red",
            opened_at=0, as_of=1_700_000_000_000, contact_due=None, visit_due=None, due=None, escalation="desk",
            exposure_minor=1, maker=None, checker=None, disposition=None, until=None, offset=number, seq=0,
        )
    )  # fmt: skip


def month_report(number: int) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(MONTH, month=number))


def health(number: int) -> bytes:
    return msgspec.json.encode(
        FeedHealth(
            bank_id=f"C{number:013d}", last_event_time=None, covered_up_to=None, closed_up_to=None, stalled=False,
            oldest_unread_event_time=None, as_of=1_700_000_000_000,
        )
    )  # fmt: skip


def events(first_offset: int, *values: bytes | None, headers: Any = HEADERS) -> Any:
    return TP_EVENTS, chunk_of(topics.EVENTS, 0, first_offset, [(b"k", value, headers, NOW_MS) for value in values])


class Watched:
    """A connection that fails on request, and counts its failures."""

    database = "xinliu"

    def __init__(self, inner: Connection) -> None:
        self._inner = inner
        self.away = False
        self.lose_answers = 0
        self.failed_count = 0
        self.blocks: list[tuple[str, int]] = []  # acknowledged ones: table, rows

    def insert(self, insert: Any) -> None:
        if self.away:
            self.failed_count += 1
            raise Unavailable("away")
        self._inner.insert(insert)
        if self.lose_answers:
            self.lose_answers -= 1
            self.failed_count += 1
            raise Unavailable("the answer was lost")
        self.blocks.append((insert.table, len(insert.columns[0])))

    def execute(self, statement: str) -> None:
        if self.away:
            raise Unavailable("away")
        self._inner.execute(statement)

    def rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self._inner.rows(query, parameters)

    def close(self) -> None:
        """Stays open for the test's own questions."""


@pytest.fixture
def watched(archive: Connection) -> Watched:
    return Watched(archive)


@pytest.fixture
def settings(kafka: str) -> Settings:
    return Settings(
        kafka=KafkaSettings(bootstrap=kafka, log_partitions=1),
        clickhouse=ClickHouseSettings(batch_rows_max=10, retry_s_max=0.05),
        banks=tuple(Bank(bank_id=bank_id, name_zh="银行") for bank_id in (BANK, OTHER_BANK)),
    )


@pytest.fixture(scope="module")
def dead_letter_topic(kafka: str) -> str:
    """The broker's one topic of this name; tests look for their own source coordinates."""
    have_topics(kafka, topics.DEAD_LETTERS)
    return topics.DEAD_LETTERS


def have_topics(bootstrap: str, *names: str) -> None:
    """Make the topics that are not there; other modules use the same broker."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    there = admin.list_topics(timeout=30).topics
    if missing := [NewTopic(n, 1, 1) for n in names if n not in there]:  # the client refuses an empty list
        make_topics(admin, *missing)


def stored(connection: Any) -> list[int]:
    """Amounts of the logical rows, which count from 1."""
    return [amount for (amount,) in connection.rows("SELECT amount_minor FROM xinliu.txn FINAL ORDER BY amount_minor")]


def raw_count(connection: Any) -> int:
    return int(connection.rows("SELECT count() FROM xinliu.txn")[0][0])


async def until(role: Archive, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come"
        await role.tick()
        await asyncio.sleep(0.01)


def test_every_record_is_a_row_or_counted(settings: Settings, watched: Watched) -> None:
    role = Archive(settings, MarkedOutbox(settings.kafka.bootstrap), connection=watched)
    source = [
        events(0, *(payment(i) for i in range(25)), tick()),
        (TP_ALERTS, chunk_of(topics.ALERT_SUPERVISOR, 0, 0, [(b"k", alert(r), [], NOW_MS) for r in (1, 2, 1)])),
        events(26, *(payment(i) for i in range(25, 40))),
    ]
    asyncio.run(drive(role, source))
    assert stored(watched) == list(range(1, 41))
    assert watched.rows("SELECT revision FROM xinliu.alert FINAL ORDER BY revision") == [(1,), (2,)]
    summary = role.summary()
    assert (summary["txn.rows"], summary["events.v1.no_row"], summary["alert.rows"]) == (40, 1, 3)
    assert (role.low_offset(TP_EVENTS), role.low_offset(TP_ALERTS)) == (41, 3)


def told(tp: TP, first_offset: int, *values: bytes | None) -> Any:
    return tp, chunk_of(tp.topic, tp.partition, first_offset, [(b"k", value, [], NOW_MS) for value in values])


def test_each_banks_alerts_are_stored_with_the_bank_and_in_one_block(settings: Settings, watched: Watched) -> None:
    """A block each of as many banks as there are would be more than ClickHouse merges."""
    role = Archive(settings, MarkedOutbox(settings.kafka.bootstrap), connection=watched)
    source = [told(TP_TOLD, 5, alert(1), alert(2)), told(TP_OTHER_TOLD, 0, alert(2)), told(TP_ALERTS, 0, alert(1))]
    asyncio.run(drive(role, source))
    rows = watched.rows("SELECT bank_id, revision FROM xinliu.alert_told FINAL ORDER BY bank_id, revision")
    assert rows == [(BANK, 1), (BANK, 2), (OTHER_BANK, 2)]
    assert watched.rows("SELECT revision FROM xinliu.alert FINAL") == [(1,)], "told and supervised are apart"
    assert [block for block in watched.blocks if block[0] == "alert_told"] == [("alert_told", 3)]
    assert [role.low_offset(tp) for tp in (TP_TOLD, TP_OTHER_TOLD, TP_ALERTS)] == [7, 1, 1]


def test_a_bank_whose_topic_goes_to_another_worker_leaves_the_others_as_they_are(
    settings: Settings, watched: Watched
) -> None:
    """Rows of several topics wait in one block: each partition's offset is its own all the same."""

    async def story() -> None:
        role = Archive(settings, MarkedOutbox(settings.kafka.bootstrap), connection=watched)
        await role.start(DETACHED)
        await role.assigned({TP_TOLD, TP_OTHER_TOLD})
        await role.apply(*told(TP_TOLD, 5, alert(1)))
        await role.apply(*told(TP_OTHER_TOLD, 9, alert(1), alert(2)))
        assert (role.low_offset(TP_TOLD), role.low_offset(TP_OTHER_TOLD)) == (5, 9)
        await role.assigned({TP_OTHER_TOLD})  # the group was joined anew: TP_TOLD is another's
        assert (role.low_offset(TP_TOLD), role.low_offset(TP_OTHER_TOLD)) == (None, None)
        await role.apply(*told(TP_OTHER_TOLD, 9, alert(1)))
        await role.apply(*told(TP_OTHER_TOLD, 10, alert(2)))
        assert role.low_offset(TP_OTHER_TOLD) == 9
        await role.revoked({TP_OTHER_TOLD})
        assert role.low_offset(TP_OTHER_TOLD) == 11
        await role.stop()

    asyncio.run(story())
    assert watched.rows("SELECT bank_id, revision FROM xinliu.alert_told FINAL ORDER BY revision") == [
        (OTHER_BANK, 1),
        (OTHER_BANK, 2),
    ]


def test_only_an_acknowledged_insert_moves_the_low_offset(settings: Settings, watched: Watched) -> None:
    async def story() -> None:
        role = Archive(settings, MarkedOutbox(settings.kafka.bootstrap), connection=watched, flush_interval_s=0.0)
        await role.start(DETACHED)
        await role.assigned({TP_EVENTS})
        assert role.low_offset(TP_EVENTS) is None
        watched.away = True
        await role.apply(*events(100, *(payment(i) for i in range(5))))
        await until(role, lambda: watched.failed_count >= 3)
        assert role.low_offset(TP_EVENTS) == 100
        await role.apply(*events(105, *(payment(i) for i in range(5, 8))))
        assert role.low_offset(TP_EVENTS) == 100
        watched.away = False
        await until(role, lambda: role.low_offset(TP_EVENTS) == 108)
        await role.revoked({TP_EVENTS})
        assert role.low_offset(TP_EVENTS) == 108
        await role.stop()

    asyncio.run(story())
    assert stored(watched) == list(range(1, 9))


def test_fault_27_clickhouse_away_then_back_loses_nothing_and_bounds_memory(
    settings: Settings, watched: Watched, fault: Fault
) -> None:
    async def story() -> None:
        role = Archive(settings, MarkedOutbox(settings.kafka.bootstrap), connection=watched, flush_interval_s=0.0)
        watched.away = True
        await role.start(DETACHED)  # also a start finds it away
        await role.assigned({TP_EVENTS})
        sent = 0
        while not role.paused:
            await role.apply(*events(sent, *(payment(i) for i in range(sent, sent + 7))))
            await role.tick()
            sent += 7
            assert sent < 100, "takes without bound"
        assert role.paused == {TP_EVENTS}
        await until(role, lambda: watched.failed_count >= 3 or role.summary()["retries"] >= 3)
        assert role.low_offset(TP_EVENTS) == 0
        watched.away = False
        watched.lose_answers = 2
        await until(role, lambda: role.low_offset(TP_EVENTS) == sent)
        assert not role.paused
        assert watched.lose_answers == 0, "no answer was lost"
        assert stored(watched) == list(range(1, sent + 1))
        fault(injected=watched.failed_count, observed=f"{sent} records taken, then paused; {sent} rows")
        await role.stop()

    asyncio.run(story())


def test_clickhouse_away_for_the_whole_run_loses_no_record_of_any_topic(settings: Settings, watched: Watched) -> None:
    """The next worker reads all records again, since nothing was committed while ClickHouse was away."""
    count = 9
    emitted: dict[str, tuple[Callable[[int], bytes], ...]] = {
        topics.EVENTS: (payment, loan, profile, authorization), topics.SCORE: (score,), topics.INDICATOR: (indicators,),
        topics.ALERT_SUPERVISOR: (alert,), topics.ALERT_BACKFILL: (alert,), topics.DEAD_LETTERS: (letter,),
        topics.LATE: (late,), topics.FEED: (health,), topics.MODEL_REPORT: (month_report,),
        topics.CASE_SUPERVISOR: (case_record,), TP_TOLD.topic: (alert,), TP_OTHER_TOLD.topic: (alert,),
    }  # fmt: skip
    assert emitted.keys() == set(Archive(settings, MarkedOutbox(settings.kafka.bootstrap)).topics)
    sources = [
        chunk_of(topic, 0, 0, [(b"k", value(i), HEADERS, NOW_MS) for value in values for i in range(count)])
        for topic, values in emitted.items()
    ]
    watched.away = True

    async def run_away() -> Archive:
        role = Archive(settings, MarkedOutbox(settings.kafka.bootstrap), connection=watched, flush_interval_s=0.0)
        await role.start(DETACHED)
        await role.assigned({TP(chunk.topic, 0) for chunk in sources})
        for chunk in sources:
            await role.apply(TP(chunk.topic, 0), chunk)
            await role.tick()
        await until(role, lambda: role.summary()["retries"] >= 3)
        await role.stop()
        return role

    role = asyncio.run(run_away())
    lows = {chunk.topic: role.low_offset(TP(chunk.topic, 0)) for chunk in sources}
    assert set(lows.values()) == {0}, "an offset was committed without its row"
    watched.away = False
    again = Archive(settings, MarkedOutbox(settings.kafka.bootstrap), connection=watched, flush_interval_s=0.0)
    asyncio.run(drive(again, [(TP(chunk.topic, 0), chunk) for chunk in sources]))
    stored_rows = {
        table: watched.rows(f"SELECT count() FROM xinliu.{table} FINAL")[0][0] for table in (each.name for each in ALL)
    }
    # The current score is one row an enterprise; what is refused and what is late stand in one table, and all banks.
    twice = {"dead_letter": 2 * count, "alert_told": 2 * count}
    assert stored_rows == {each.name: count for each in ALL} | {"score_now": 1} | twice


def test_a_stop_while_clickhouse_is_away_ends_soon_and_commits_nothing(
    settings: Settings, watched: Watched, monkeypatch: Any
) -> None:
    monkeypatch.setattr("streams.archive.role.LEAVE_S_MAX", 0.3)

    async def story() -> None:
        role = Archive(settings, MarkedOutbox(settings.kafka.bootstrap), connection=watched, flush_interval_s=0.0)
        await role.start(DETACHED)
        await role.assigned({TP_EVENTS})
        watched.away = True
        await role.apply(*events(7, payment(0)))
        began = time.monotonic()
        await role.revoked({TP_EVENTS})
        await role.stop()
        assert time.monotonic() - began < 5
        assert role.low_offset(TP_EVENTS) == 7

    asyncio.run(story())
    assert watched.failed_count > 0


def test_restarts_with_other_batches_give_one_logical_row_each(settings: Settings, watched: Watched) -> None:
    """The second worker starts at the committed offset and cuts other blocks: only FINAL makes one row of two."""
    watched.execute("SYSTEM STOP MERGES xinliu.txn")
    for first, width in ((0, 4), (0, 7), (9, 10)):
        values = [payment(i) for i in range(first, 30)]
        source = [events(first + i, *values[i : i + width]) for i in range(0, len(values), width)]
        asyncio.run(drive(Archive(settings, MarkedOutbox(settings.kafka.bootstrap), connection=watched), source))
    assert raw_count(watched) > 30, "nothing was repeated"
    assert stored(watched) == list(range(1, 31))


def test_the_first_body_of_an_event_id_is_the_row(settings: Settings, watched: Watched) -> None:
    source = [events(0, payment(0)), events(1, payment(0, amount_minor=777))]
    asyncio.run(
        drive(Archive(settings, MarkedOutbox(settings.kafka.bootstrap), connection=watched, flush_interval_s=0), source)
    )
    assert stored(watched) == [1]


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (None, HEADERS, "not_json"),
        (b"[]", HEADERS, "wrong_type"),
        (b'{"event": {"type": "txn"', HEADERS, "not_json"),
        (b"\xff", HEADERS, "not_json"),
        (b'{"event":{"x":' + b"[" * 2_000 + b"]" * 2_000 + b',"type":"txn"}}', HEADERS, "not_json"),
        (payment(3), [("schema", b"xinliu.event/9")], "unknown_version"),
        (payment(3), [], "unknown_version"),
    ],
)
def test_unreadable_records_are_dead_lettered_and_the_rest_goes_on(
    settings: Settings, watched: Watched, dead_letter_topic: str, value: bytes | None, headers: Any, reason: str
) -> None:
    offset = 1_000 + hash((value, str(headers))) % 10**9
    role = Archive(settings, MarkedOutbox(settings.kafka.bootstrap), connection=watched)
    source = [events(offset, value, headers=headers), events(offset + 1, payment(0))]
    asyncio.run(drive(role, source))
    assert stored(watched) == [1]
    assert role.summary()[f"events.v1.dead_lettered.{reason}"] == 1
    assert [
        letter.reason for letter in dead_letters(settings.kafka.bootstrap, dead_letter_topic) if letter.offset == offset
    ] == [reason]
    assert role.low_offset(TP_EVENTS) == offset + 2


def dead_letters(bootstrap: str, topic: str) -> list[DeadLetter]:
    values = [record.value for record in read(bootstrap, topic)]
    return [msgspec.json.decode(value, type=DeadLetter) for value in values if value is not None]


def test_an_insert_refused_by_clickhouse_stops_the_role(settings: Settings, watched: Watched) -> None:
    watched._inner.execute("DROP TABLE xinliu.txn")

    async def story() -> None:
        role = Archive(settings, MarkedOutbox(settings.kafka.bootstrap), connection=watched, flush_interval_s=0.0)
        role_start = role.start(DETACHED)
        watched.rows("SELECT 1")
        await role_start  # migrations ran: the version table says so
        await role.assigned({TP_EVENTS})
        await role.apply(*events(0, payment(0)))
        with pytest.raises(Refused, match="txn"):
            await until(role, lambda: False)
        assert role.low_offset(TP_EVENTS) == 0
        await role.stop()

    asyncio.run(story())


# A worker of its own process over a real broker, killed with SIGKILL between insert and commit.
WORKER = """
import os, signal, sys
from config.settings import (Bank, ClickHouseSettings, KafkaSettings, Settings)
from sinks.clickhouse import connect, target_of
from sinks.kafka import MarkedOutbox
from streams.archive.role import Archive
from streams.worker.worker import WorkerOptions, run_worker

bootstrap, folder, kill_after, *banks = sys.argv[1:]
settings = Settings(
    kafka=KafkaSettings(bootstrap=bootstrap),
    clickhouse=ClickHouseSettings(url=f"chdb://{folder}", batch_rows_max=50),
    banks=tuple(Bank(bank_id=bank, name_zh="bank") for bank in banks),
)

class Killed:
    def __init__(self, inner): self.inner, self.inserts, self.stored = inner, 0, 0
    def insert(self, insert):
        self.inner.insert(insert)
        self.inserts += insert.table == "txn"
        self.stored += len(insert.columns[0])
        print("stored", self.stored, flush=True)
        if self.inserts == int(kill_after):
            print("stored, now killed", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    def __getattr__(self, name): return getattr(self.inner, name)

connection = connect(target_of(settings.clickhouse))
role = Archive(settings, MarkedOutbox(bootstrap), connection=Killed(connection), flush_interval_s=0.1)
options = WorkerOptions(commit_interval_s=3600.0, group_instance_id="one")
sys.exit(run_worker(role, broker=bootstrap, app_id="archive-" + os.path.basename(folder), options=options))
"""


def test_fault_22_killed_between_insert_and_commit_gives_one_logical_row_each(
    settings: Settings, watched: Watched, tmp_path: Path, kafka: str, fault: Fault
) -> None:
    have_topics(kafka, *topics_of(settings)["archive"])
    producer = Producer({"bootstrap.servers": kafka})
    for i in range(500):
        producer.produce(topics.EVENTS, payment(i), key=b"k", headers=HEADERS)
    for i in range(9):
        for bank in (BANK, OTHER_BANK):
            producer.produce(topics.bank_alerts(bank), alert(i), key=b"k")
    producer.flush(20)
    folder = tmp_path / "killed"
    kills = 0
    for kill_after in ("2", "3", "0"):
        arguments = [kafka, str(folder), kill_after, BANK, OTHER_BANK]
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if kill_after == "0":
            break
        assert worker.wait(patience_s(60)) == -9, worker.stderr.read() if worker.stderr else ""
        kills += "stored, now killed" in (worker.stdout.read() if worker.stdout else "")
    assert kills == 2, "no worker was killed between insert and commit"
    # SIGTERM flushes and commits; the log says when all has been read.
    assert worker.stderr is not None
    said_at_stop = stop_when_all_is_stored(worker, 500 + 2 * 9)
    assert worker.returncode == 0, said_at_stop
    asked = (topics.EVENTS, TP_TOLD.topic, TP_OTHER_TOLD.topic)
    at = [committed(kafka, f"archive-{folder.name}", topic) for topic in asked]
    assert at == [{0: 500}, {0: 9}, {0: 9}]
    program = (
        "from pathlib import Path\nfrom sinks.clickhouse import Target, connect\nimport sys\n"
        "c = connect(Target(kind='chdb', folder=Path(sys.argv[1])))\n"
        "print(c.rows('SELECT count(), sum(amount_minor) FROM xinliu.txn FINAL')[0])\n"
        "print(c.rows('SELECT bank_id, count() FROM xinliu.alert_told FINAL GROUP BY bank_id ORDER BY bank_id'))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True
    ).stdout
    assert said.splitlines() == [f"(500, {sum(range(1, 501))})", str([(BANK, 9), (OTHER_BANK, 9)])]
    fault(injected=kills, observed=f"committed {at[0][0]}, 500 logical rows")


def stop_when_all_is_stored(worker: "subprocess.Popen[str]", rows: int) -> str:
    """The worker says on stdout how many rows it has stored; SIGTERM when it is all; what it said on stderr."""
    assert worker.stdout is not None
    for line in worker.stdout:
        if line.startswith("stored ") and int(line.split()[1]) >= rows:
            break
    worker.terminate()
    _, said = worker.communicate(timeout=patience_s(40))
    return said
