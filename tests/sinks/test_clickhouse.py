"""ClickHouse: the address, the two ways, the tables, and a block that goes until it is acknowledged."""

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import SettingsError
from config.settings import ClickHouseSettings
from domain.events import LogRecord
from domain.outputs import GROUPS, Alert, Evidence, ReasonCode, Score
from sinks.clickhouse import (
    Block,
    Connection,
    Refused,
    Sender,
    Target,
    Unavailable,
    connect,
    migrate,
    migrations,
    target_of,
)
from sinks.clickhouse.connection import Insert
from sinks.clickhouse.migrations import scripts, statements
from sinks.clickhouse.native_block import decode_blocks, encode_block
from sinks.clickhouse.sending import block_name
from sinks.clickhouse.tables import ALERT, ALL, SCORE, TXN
from tests.faults import Fault
from tests.patience import patience_s
from tests.sinks.kit import read_at
from tests.transactions import logged, txn

BANK, ENTERPRISE = "C1010511000099", "91440300MA5EXAMPLE"
NOW_MS = int(time.time() * 1000)


@pytest.fixture(scope="module")
def chdb_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chdb") / "archive"


@pytest.fixture(scope="module")
def chdb(chdb_folder: Path) -> Iterator[Connection]:
    pytest.importorskip("chdb")
    connection = connect(Target(kind="chdb", folder=chdb_folder))
    migrate(connection)
    yield connection
    connection.close()


def hostile_txn(event_id: str, amount_minor: int = 10**15) -> LogRecord:
    memo = "'); DROP TABLE txn; -- 货款\0\u202e"
    return logged(txn(event_id=event_id, amount_minor=amount_minor, balance_minor=-1, memo=memo))


def score_record(offset: int = 5) -> Score:
    return Score(
        enterprise_id=ENTERPRISE, score=512, score_milli=511_600, p_overdue30_90d_ppm=50_000, pd_12m_ppm=None,
        status="published", status_reason="", grade="D", published_grade="D",
        groups_milli=dict.fromkeys(GROUPS, 18_600),
        cap_milli=0, coverage_ppm=10**6, prior=True,
        reason_codes=[
            ReasonCode(indicator="inflow", points_milli=-18_000, value_micro=None, baseline_micro=1),
            ReasonCode(indicator="dpd", points_milli=-2_000, value_micro=31_000_000, baseline_micro=0),
        ],
        model_id="m", rules_id="r", engine_version="v", as_of=1_700_000_000_124, offset=offset, seq=0,
    )  # fmt: skip


def alert_record(revision: int = 1) -> Alert:
    return Alert(
        alert_id="a1", episode_id="p1", case_id="c1", case_severity="red",
        revision=revision, enterprise_id=ENTERPRISE, signal="op_inflow_drop",
        severity="red", state="raised", stock=False, opened_at=1_700_000_000_000, as_of=1_700_000_000_124, score=450,
        score_before=None, evidence=[Evidence(name="ratio", value_micro=None), Evidence(name="days", value_micro=7)],
        event_ids=["e1", "e2"], loans=[], banks=[BANK], title_zh="经营性流入骤降", text_zh="…", suggested_action_zh="…",
        model_id="m", rules_id="r", offset=5, seq=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://host/db", "scheme 'http'"),
        ("clickhouse://user:secret@host/db", "password_file"),
        ("clickhouse:///db", "names no host"),
        ("clickhouse://host:99999/db", "url"),
        ("clickhouse://host/a;b", "database"),
        ("chdb://folder", "three slashes"),
        ("chdb:///", "three slashes"),
        ("chdb:///folder?mode=ro", "only `database`"),
    ],
)
def test_a_wrong_address_names_the_setting_and_shows_no_secret(url: str, text: str) -> None:
    with pytest.raises(SettingsError, match=r"\[clickhouse\] url") as raised:
        target_of(ClickHouseSettings(url=url))
    assert text in str(raised.value)
    assert "secret" not in str(raised.value)


def test_the_password_comes_from_its_file_and_is_not_printed(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hidden\n")
    target = target_of(ClickHouseSettings(url="clickhouse://u@h/db", password_file=str(tmp_path / "pw")))
    assert target.password == "hidden"
    assert "hidden" not in repr(target) + str(target)
    with pytest.raises(SettingsError, match="password_file"):
        target_of(ClickHouseSettings(url="clickhouse://u@h/db", password_file=str(tmp_path / "none")))


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20),
    seed_amount=st.integers(-(2**63), 2**63 - 1),
)
def test_native_blocks_are_exact_and_leave_their_input_alone(texts: list[str], seed_amount: int) -> None:
    columns = [texts, [seed_amount] * len(texts), [None] * len(texts), [texts] * len(texts)]
    before = msgspec.json.encode(columns)
    types = ("String", "Int64", "Nullable(Int64)", "Array(String)")
    body = encode_block(("a", "b", "c", "d"), types, columns)
    assert msgspec.json.encode(columns) == before
    assert [[list(x) if isinstance(x, (list, tuple)) else x for x in row] for row in decode_blocks(body)] == [
        list(row) for row in zip(*columns, strict=True)
    ]


def test_a_transaction_is_stored_as_it_was_sent(chdb: Connection) -> None:
    records = read_at("events.v1", 77, hostile_txn("whole"), time_ms=NOW_MS)
    chdb.insert(TXN.insert(TXN.rows(records), block_name({("events.v1", 3): (77, 77)})))
    names = [name for name, *_ in TXN.columns if name not in ("event_time", "ref_event_time")]
    (row,) = chdb.rows(
        f"SELECT {', '.join(names)}, toUnixTimestamp64Milli(event_time) FROM xinliu.txn FINAL "
        "WHERE event_id = {id:String}",
        {"id": "whole"},
    )
    stored = dict(zip(names, row, strict=False))
    (event,) = records.facts
    assert all(stored[name] == getattr(event, name) for name in names if hasattr(event, name))
    assert row[-1] == event.event_time
    assert (stored["log_partition"], stored["log_offset"], stored["amount_cny_minor"]) == (3, 77, 10**15)


def test_scores_and_alerts_keep_their_lists_and_nulls(chdb: Connection) -> None:
    chdb.insert(
        SCORE.insert(
            SCORE.rows(read_at("score.v1", 9, score_record(), time_ms=NOW_MS)), block_name({("score.v1", 3): (9, 9)})
        )
    )
    chdb.insert(
        ALERT.insert(
            ALERT.rows(read_at("alert.supervisor.v1", 9, alert_record(), time_ms=NOW_MS)),
            block_name({("alert.supervisor.v1", 0): (9, 9)}),
        )
    )
    (score,) = chdb.rows(
        "SELECT reason_points_milli, reason_values_micro, reason_baselines_micro, pd_12m_ppm, income_growth_milli "
        "FROM xinliu.score FINAL"
    )
    assert [list(x) if isinstance(x, (list, tuple)) else x for x in score] == [
        [-18_000, -2_000], [None, 31_000_000], [1, 0], None, 18_600,
    ]  # fmt: skip
    (alert,) = chdb.rows(
        "SELECT evidence_names, evidence_values_micro, event_ids, score_before FROM xinliu.alert FINAL"
    )
    assert [list(x) if isinstance(x, (list, tuple)) else x for x in alert] == [
        ["ratio", "days"],
        [None, 7],
        ["e1", "e2"],
        None,
    ]


def test_repeats_are_one_logical_row_and_the_first_body_of_an_event_id_wins(chdb: Connection) -> None:
    first, other = hostile_txn("twice", 1), hostile_txn("twice", 2)
    once, both = (read_at("events.v1", 10, *each, time_ms=NOW_MS) for each in ((first,), (first, other)))
    chdb.insert(TXN.insert(TXN.rows(once), block_name({("events.v1", 3): (10, 10)})))
    chdb.insert(TXN.insert(TXN.rows(both), block_name({("events.v1", 3): (10, 11)})))
    rows = chdb.rows("SELECT amount_minor FROM xinliu.txn FINAL WHERE event_id = 'twice'")
    assert rows == [(1,)]
    assert chdb.rows("SELECT count() FROM xinliu.txn WHERE event_id = 'twice'") != [(1,)], "nothing was repeated"


def test_a_block_of_a_known_name_is_taken_for_done(chdb: Connection) -> None:
    insert = ALERT.insert(
        ALERT.rows(read_at("alert.supervisor.v1", 90, alert_record(revision=90), time_ms=NOW_MS)),
        "alert.supervisor.v1:0:90-90",
    )
    for _ in range(3):
        chdb.insert(insert)
    assert chdb.rows("SELECT count() FROM xinliu.alert WHERE revision = 90") == [(1,)]


def test_migrations_run_once_and_a_changed_or_newer_one_is_refused(chdb: Connection) -> None:
    assert migrate(chdb) == []
    versions = chdb.rows("SELECT version FROM xinliu.schema_version FINAL ORDER BY version")
    assert [version for (version,) in versions] == [version for version, _, _ in scripts()]
    names, types = ("version", "name", "sha256"), ("UInt32", "String", "String")
    chdb.insert(Insert(table="schema_version", names=names, types=types, columns=([9999], ["future.sql"], [""])))
    with pytest.raises(Refused, match="9999"):
        migrate(chdb)
    chdb.execute("ALTER TABLE xinliu.schema_version DELETE WHERE version = 9999 SETTINGS mutations_sync = 2")
    assert migrate(chdb) == []
    _, name, text = scripts()[0]
    chdb.insert(Insert(table="schema_version", names=names, types=types, columns=([1], [name], ["0" * 64])))
    with pytest.raises(Refused, match=f"{name} was run as another text"):
        migrate(chdb)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    chdb.insert(Insert(table="schema_version", names=names, types=types, columns=([1], [name], [sha256])))
    assert migrate(chdb) == []


def test_a_database_of_any_earlier_version_is_brought_up_with_its_rows(
    chdb: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scripts()
    for known in range(1, len(whole)):
        chdb.execute("DROP DATABASE xinliu")
        monkeypatch.setattr(migrations, "scripts", lambda known=known: whole[:known])
        assert migrate(chdb) == [name for _, name, _ in whole[:known]]
        chdb.execute("INSERT INTO xinliu.txn (event_id, event_time) VALUES ('old', now64())")
        monkeypatch.setattr(migrations, "scripts", lambda: whole)
        assert migrate(chdb) == [name for _, name, _ in whole[known:]]
        assert chdb.rows("SELECT event_id, log_time = event_time FROM xinliu.txn FINAL") == [("old", 1)]
        for table in ALL:
            query = "SELECT name, type FROM system.columns WHERE database = 'xinliu' AND table = {t:String}"
            assert dict(chdb.rows(query, {"t": table.name})) == {name: kind for name, kind, *_ in table.columns}


def test_every_table_has_the_columns_that_its_rows_fill_and_a_window_for_block_names(chdb: Connection) -> None:
    for table in ALL:
        query = "SELECT name, type FROM system.columns WHERE database = 'xinliu' AND table = {t:String}"
        assert dict(chdb.rows(query, {"t": table.name})) == {name: kind for name, kind, *_ in table.columns}
        query = "SELECT create_table_query FROM system.tables WHERE database = 'xinliu' AND name = {t:String}"
        ((made,),) = chdb.rows(query, {"t": table.name})
        assert "non_replicated_deduplication_window = 1000" in made


def test_comments_and_line_ends_part_statements() -> None:
    assert statements("-- a; b\nSELECT ';'\n;\n\nSELECT 2;\n-- end") == ["SELECT ';'", "SELECT 2"]


def test_a_folder_belongs_to_one_process(chdb: Connection, chdb_folder: Path) -> None:
    program = (
        "from pathlib import Path\nfrom sinks.clickhouse import Target, connect, Refused\n"
        f"try:\n    connect(Target(kind='chdb', folder=Path({str(chdb_folder)!r})))\n"
        "except Refused as error:\n    print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=patience_s(60), check=True
    )
    assert f"open in process {os.getpid()}" in said.stdout
    assert "[clickhouse] url" in said.stdout


def test_long_block_names_stay_names() -> None:
    wide = block_name({("events.v1", p): (10**9, 10**9 + p) for p in range(64)})
    assert len(wide) < 100
    assert wide != block_name({("events.v1", p): (10**9, 10**9 + p + 1) for p in range(64)})
    many = {(f"alert.B{number}.v1", 0): (number, number) for number in range(141)}
    assert len(block_name(many)) < 100
    assert block_name(many) == block_name(dict(reversed(many.items())))
    assert block_name(many) != block_name({**many, ("alert.B7.v1", 0): (7, 8)})
    with pytest.raises(ValueError, match="characters"):
        Insert(table="t", names=(), types=(), columns=(), token="a' OR 1").settings()


class Flaky:
    """A connection that fails on request, before or after it has stored the block."""

    database = "xinliu"

    def __init__(self, inner: Connection, failures: list[str]) -> None:
        self._inner, self.failures = inner, failures

    def insert(self, insert: Insert) -> None:
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "refused":
            raise Refused("no such table")
        if failure != "before":
            self._inner.insert(insert)
        if failure:
            raise Unavailable(failure)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_fault_27_timed_out_but_applied_is_one_logical_row(chdb: Connection, fault: Fault) -> None:
    """The answer of a stored block is lost twice, and once the block itself: it is sent until it is acknowledged."""
    flaky = Flaky(chdb, ["after", "before", "after"])
    pauses: list[float] = []
    sender = Sender(flaky, backoff_s_max=0.3, pause=lambda s: bool(pauses.append(s)))  # type: ignore[arg-type,func-returns-value]
    insert = ALERT.insert(
        ALERT.rows(read_at("alert.supervisor.v1", 1, alert_record(revision=27), time_ms=NOW_MS)),
        "alert.supervisor.v1:0:1-1",
    )
    sender.send(Block(insert=insert, ranges={("alert.supervisor.v1", 0): (1, 1)}))
    assert (sender.retry_count, flaky.failures) == (3, []), "the faults were not all injected"
    assert chdb.rows("SELECT count() FROM xinliu.alert FINAL WHERE revision = 27") == [(1,)]
    ((evidence,),) = chdb.rows("SELECT evidence_values_micro FROM xinliu.alert FINAL WHERE revision = 27")
    assert list(evidence) == [None, 7], "a retry stored something else"
    assert max(pauses) <= 0.3
    fault(injected=sender.retry_count, observed=f"{sender.retry_count} retries, 1 logical row")


def test_an_insert_refused_by_clickhouse_is_not_retried(chdb: Connection) -> None:
    sender = Sender(Flaky(chdb, ["refused"]), backoff_s_max=1, pause=lambda _s: False)  # type: ignore[arg-type]
    insert = ALERT.insert(ALERT.rows(read_at("alert.supervisor.v1", 1, alert_record(), time_ms=NOW_MS)), "x")
    with pytest.raises(Refused):
        sender.send(Block(insert=insert, ranges={}))
    assert sender.retry_count == 0


def test_a_value_that_its_column_cannot_hold_is_refused(chdb: Connection) -> None:
    insert = Insert(table="schema_version", names=("version",), types=("UInt32",), columns=([-1],))
    with pytest.raises(Refused):
        chdb.insert(insert)


def test_a_server_that_is_away_is_unavailable_and_the_worker_may_end() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        away = connect(target_of(ClickHouseSettings(url=f"clickhouse://u@127.0.0.1:{taken.getsockname()[1]}/x")))
        with pytest.raises(Unavailable, match=r"\[clickhouse\] url = clickhouse://u@127"):
            away.execute("SELECT 1")
        tries: list[float] = []
        sender = Sender(away, backoff_s_max=1, pause=lambda s: tries.append(s) or len(tries) == 3)  # type: ignore[func-returns-value]
        with pytest.raises(Unavailable):
            sender.send(Block(insert=Insert(table="t", names=("id",), types=("String",), columns=(["a"],)), ranges={}))
        assert len(tries) == 3
