"""ClickHouse over its native wire: the host's server as a child (an old one will do), or one that is named.

XINLIU_TEST_CLICKHOUSE (clickhouse://user@host:port/database) names a server of today: block names and our own tables
are shown over the wire only there, since Debian's 18.16 knows neither; what is not shown stands in the summary.
"""

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from config.settings import ClickHouseSettings
from sinks.clickhouse import Block, Connection, Refused, Sender, Unavailable, connect, migrate, target_of
from sinks.clickhouse.connection import Insert
from sinks.clickhouse.tables import SCORE, TXN
from tests.clickhouse_server import ClickHouseServer
from tests.faults import Fault
from tests.patience import patience_s
from tests.sinks.wire_proxy import Proxy

NAMES = ("id", "amount_minor", "balance", "tags", "at", "version")
TYPES = ("String", "Int64", "Nullable(Int64)", "Array(String)", "DateTime", "UInt64")
GIVEN = os.environ.get("XINLIU_TEST_CLICKHOUSE", "")


def opened(url: str, *, answer_s_max: float = 20.0) -> Connection:
    return connect(target_of(ClickHouseSettings(url=url)), answer_s_max=answer_s_max)


def make_table(connection: Connection, settings: str = "") -> str:
    """A table of types that also a server of 2018 knows."""
    name = f"wire_{uuid.uuid4().hex[:12]}"
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(NAMES, TYPES, strict=True))
    connection.execute(f"CREATE DATABASE IF NOT EXISTS {connection.database}")
    connection.execute(
        f"CREATE TABLE {connection.database}.{name} ({columns}) ENGINE = ReplacingMergeTree(version) ORDER BY id "
        f"{settings}"
    )
    return name


def wire_insert(table: str, ids: list[str], version: int = 1, token: str | None = None) -> Insert:
    n = len(ids)
    columns = (ids, [10**15] * n, [None, *[-5] * (n - 1)], [["甲", "b'\\"]] * n, [1_500_000_000] * n, [version] * n)
    return Insert(table=table, names=NAMES, types=TYPES, columns=columns, token=token)


def counts(connection: Connection, table: str) -> tuple[int, int]:
    """(logical rows, stored rows)."""
    ((logical,),) = connection.rows(f"SELECT count() FROM {connection.database}.{table} FINAL")
    ((stored,),) = connection.rows(f"SELECT count() FROM {connection.database}.{table}")
    return int(logical), int(stored)


@pytest.fixture
def native_table(clickhouse_url: str) -> Iterator[tuple[Connection, str]]:
    connection = opened(clickhouse_url)
    name = make_table(connection)
    yield connection, name
    connection.execute(f"DROP TABLE {connection.database}.{name}")
    connection.close()


@pytest.fixture
def own_server(clickhouse_binary: Path, tmp_path: Path) -> Iterator[ClickHouseServer]:
    """A server of the test's own, to kill and to pause."""
    with ClickHouseServer(tmp_path / "clickhouse") as server:
        yield server


@pytest.fixture
def server_of_today(not_shown: Callable[[str, str], None]) -> str:
    """Address of a server that knows block names."""
    if not GIVEN:
        not_shown(
            "block names (insert_deduplication_token) and our tables over ClickHouse's native wire",
            "they need a server of 22.2 or later, named by XINLIU_TEST_CLICKHOUSE; chdb, the same engine, shows both",
        )
    return GIVEN


def test_the_wire_stores_and_reads_back(native_table: tuple[Connection, str]) -> None:
    connection, table = native_table
    connection.insert(wire_insert(table, ["é1", "'2"]))
    rows = connection.rows(
        f"SELECT id, amount_minor, balance, tags, toUnixTimestamp(at) FROM {connection.database}.{table} ORDER BY id"
    )
    assert [[list(x) if isinstance(x, (list, tuple)) else x for x in row] for row in rows] == [
        ["'2", 10**15, -5, ["甲", "b'\\"], 1_500_000_000],
        ["é1", 10**15, None, ["甲", "b'\\"], 1_500_000_000],
    ]
    with pytest.raises(Refused, match="code 60"):
        connection.rows(f"SELECT 1 FROM {connection.database}.no_such_table")
    assert connection.rows("SELECT 1") == [(1,)], "the connection is usable after a refusal"


def test_fault_27_an_answer_lost_after_the_block_was_stored_is_one_logical_row(
    native_table: tuple[Connection, str], clickhouse_url: str, fault: Fault
) -> None:
    """A proxy swallows the server's answers, then cuts: the block was stored, and is stored again on the retry."""
    connection, table = native_table
    target = target_of(ClickHouseSettings(url=clickhouse_url))
    with Proxy(target.host, target.port) as proxy:
        through = opened(f"clickhouse://{target.user}@127.0.0.1:{proxy.port}/{target.database}", answer_s_max=1.0)
        assert through.rows("SELECT 1") == [(1,)]
        # The block's beginning is_transient, and what the server says to its end does not.
        fault.inject(setattr, proxy, "swallow_after_bytes", 400_000)
        ids = [f"id-{i:07d}" for i in range(50_000)]
        with pytest.raises(Unavailable):
            through.insert(wire_insert(table, ids))
        assert proxy.swallowed > 0, "no answer was lost"
        proxy.swallow_after_bytes = None
        through.insert(wire_insert(table, ids))
        through.close()
    assert counts(connection, table) == (50_000, 100_000), "the first block had not been stored"
    ((nulls,),) = connection.rows(f"SELECT sum(balance IS NULL) FROM {connection.database}.{table}")
    assert nulls == 2, "the null was lost on the retry"
    fault(observed="100,000 rows stored, 50,000 logical by FINAL")


def test_fault_27_a_server_killed_while_blocks_are_sent_loses_none_and_doubles_none(
    own_server: ClickHouseServer, fault: Fault
) -> None:
    connection = opened(own_server.address)
    table = make_table(connection)
    failed = threading.Event()

    def note(_why: str, _pause_s: float) -> None:
        failed.set()

    sender = Sender(
        connection, backoff_s_max=0.2, pause=threading.Event().wait, on_retry=note, prepare_tables=lambda _wire: None
    )
    sent = threading.Semaphore(0)
    errors: list[BaseException] = []

    def send_all() -> None:
        try:
            for block in range(60):
                ids = [f"{block:03d}-{i:05d}" for i in range(2_000)]
                sender.send(Block(insert=wire_insert(table, ids, version=block), ranges={}))
                sent.release()
        except BaseException as error:  # noqa: BLE001  judged by the test's own thread
            errors.append(error)

    sending = threading.Thread(target=send_all)
    sending.start()
    for _ in range(3):
        for _ in range(10):
            assert sent.acquire(timeout=patience_s(60)), errors
        fault.inject(own_server.kill)
        failed.clear()
        assert failed.wait(timeout=patience_s(30)), "the kill was not noticed"
        own_server.restart()
    sending.join(timeout=patience_s(120))
    assert not sending.is_alive()
    assert not errors, errors
    logical, stored = counts(connection, table)
    assert logical == 120_000
    connection.close()
    fault(observed=f"{sender.retry_count} retries, {stored:,} rows stored, {logical:,} logical")


def test_fault_27_a_server_that_hangs_is_given_up_and_takes_the_block_once_when_it_goes_on(
    own_server: ClickHouseServer, fault: Fault
) -> None:
    connection = opened(own_server.address, answer_s_max=1.0)
    table = make_table(connection)
    insert = wire_insert(table, ["a", "b"])
    fault.inject(own_server.child.signal, SIGSTOP)
    with pytest.raises(Unavailable, match=r"\[clickhouse\] url"):
        connection.insert(insert)
    own_server.child.signal(SIGCONT)
    connection.insert(insert)
    logical, stored = counts(connection, table)
    assert logical == 2
    connection.close()
    fault(observed=f"Unavailable after 1 s; {stored} rows stored, {logical} logical")


def test_a_server_restarted_between_two_blocks_is_reached_again_by_the_same_connection(
    own_server: ClickHouseServer,
) -> None:
    connection = opened(own_server.address)
    table = make_table(connection)
    connection.insert(wire_insert(table, ["a"]))
    own_server.restart()
    connection.insert(wire_insert(table, ["b"]))  # the driver asks whether the link still lives before it uses it
    assert counts(connection, table) == (2, 2)
    connection.close()


def test_a_block_of_a_known_name_is_taken_for_done_over_the_wire(server_of_today: str) -> None:
    connection = opened(server_of_today)
    table = make_table(connection, "SETTINGS non_replicated_deduplication_window = 100")
    for _ in range(2):
        connection.insert(wire_insert(table, ["a", "b"], token="t:0:1-2"))
    assert counts(connection, table) == (2, 2)
    connection.insert(wire_insert(table, ["a", "b"], token="t:0:3-4"))
    assert counts(connection, table)[1] == 4
    connection.execute(f"DROP TABLE {connection.database}.{table}")
    migrate(connection)
    for made in (TXN, SCORE):
        query = "SELECT name, type FROM system.columns WHERE database = {d:String} AND table = {t:String}"
        found = dict(connection.rows(query, {"d": connection.database, "t": made.name}))
        assert found == {name: kind for name, kind, *_ in made.columns}
    connection.close()
