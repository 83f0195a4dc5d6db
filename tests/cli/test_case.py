"""`xinliu case`: the desk's queue, and a case from a bank's records to its approval through real workers."""

import itertools
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli import case as verb
from cli.main import main
from config.settings import ClickHouseSettings, Settings
from domain import topics
from domain.calendar import date_of, day_of
from domain.events import Authorization, Loan, LogRecord, Txn
from domain.outputs import CaseRecord, DeadLetter
from embedded.children import Child
from sinks.clickhouse import connect, migrate, target_of
from sinks.clickhouse.tables import CONSENT, LOAN, TXN
from streams import case_desk
from streams.topics import create_topics
from tests.cli.kit import settings_file, xinliu
from tests.patience import patience_s
from tests.reading import read
from tests.sinks.kit import read as read_rows
from tests.streams.ingest.kit import BANKS, as_bytes, at, receipt, send, settings_for, txn

BANK = BANKS[0]
ENTERPRISE = "91310000MA1FL0XX1A"
TODAY = 20_000
_numbers = itertools.count()


def record(level: Any, exposure: int, due: int | None, **fields: Any) -> CaseRecord:
    given: dict[str, Any] = {
        "case_id": f"{next(_numbers):016x}", "bank_id": BANK, "enterprise_id": f"E{next(_numbers)}",
        "state": "awaiting", "change": "opened", "severity": level, "opened_at": 0, "as_of": 1, "contact_due": due,
        "visit_due": None, "due": due, "escalation": "desk", "exposure_minor": exposure, "maker": None,
        "checker": None, "disposition": None, "until": None, "offset": 1, "seq": 0,
    }  # fmt: skip
    return CaseRecord(**given | fields)


def test_the_queue_is_by_exposure_level_and_nearness_of_the_due_day_and_holds_open_cases_alone() -> None:
    late = record("orange", 100, TODAY - 3)  # 100 × 2 × 4
    soon = record("red", 100, TODAY + 1)  # 100 × 3 / 1
    today = record("red", 101, TODAY)
    large = record("yellow", 100_000, None)  # 100,000 / 20
    cleared = record(None, 10**9, None, state="signed")
    entries = case_desk.queue([cleared, soon, late, record("red", 10**9, 1, state="disposed"), today, large], TODAY)
    assert [entry.case for entry in entries] == [large, late, today, soon, cleared]
    assert [entry.days_left for entry in entries] == [None, -3, 0, 1, None]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "2024-10-07"), ({"due": None}, "deadlines wait"), ({"due": None, "state": "disposed"}, "no due day"),
        ({"due": None, "contact_due": None}, "no due day"),
    ],
)  # fmt: skip
def test_the_line_of_a_case_tells_deadlines_that_wait_from_none(
    fields: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    case = msgspec.structs.replace(record("orange", 100, TODAY + 3), **fields)
    assert said in verb.line(case, None if case.due is None else 3)


def test_a_banks_own_principal_writes_to_its_own_topic_and_everybody_else_to_the_desks() -> None:
    settings = Settings()
    assert case_desk.topic_of(settings, BANK) == topics.DESK
    own = msgspec.structs.replace(settings.kafka, sasl_username=f"bank.{BANK}")
    assert case_desk.topic_of(msgspec.structs.replace(settings, kafka=own), BANK) == topics.bank_events(BANK)
    assert case_desk.topic_of(msgspec.structs.replace(settings, kafka=own), BANKS[1]) == topics.DESK


@pytest.fixture
def desk(empty_kafka: str, redis_url: str, tmp_path: Path) -> Iterator[tuple[Settings, Path]]:
    """Settings, and their file, of an engine with ingest and score as processes, and a borrower 35 days past due."""
    settings = settings_for(empty_kafka, tmp_path, BANKS[:1])
    create_topics(settings)
    path = settings_file(tmp_path, settings, redis_url)
    consent = {
        "type": "authorization", "event_id": "a", "bank_id": "Z9000000000009", "enterprise_id": ENTERPRISE,
        "event_time": at(0), "to_bank_id": BANK, "purpose": "贷后管理", "valid_from": at(-9), "valid_to": at(999),
        "authorization_id": "x", "consent_hash": "0" * 64, "confirmed_by_enterprise_at": at(-9),
    }  # fmt: skip
    loan = {
        "type": "loan", "bank_id": BANK, "enterprise_id": ENTERPRISE, "loan_id": "L", "principal_minor": 10**9,
        "outstanding_minor": 10**9, "granted_on": "2024-01-05", "contract_no": "HT-7", "branch_code": "B020",
        "manager_no": "M9", "guarantee_type": "保证", "guarantors": ["g1"],
    }  # fmt: skip
    repaid = txn("repaid", at(0, 3), direction="D", purpose="loan_repayment", amount_minor=1_234_500)
    granted = loan | {"event_id": "g", "event": "granted", "event_time": at(0, 1)}
    overdue = loan | {"event_id": "o", "event": "overdue", "event_time": at(2, 9), "dpd": 35}
    send(empty_kafka, topics.GATEWAY, [as_bytes(consent)])
    traded = [one for day in range(2) for one in (txn(f"t{day}", at(day, 2)), receipt(day))]
    send(
        empty_kafka,
        topics.bank_events(BANK),
        map(as_bytes, (granted, traded[0], repaid, *traded[1:], txn("t2", at(2, 2)), overdue)),
    )
    with ExitStack() as ending:
        for role in ("ingest", "score"):
            argv, env = xinliu("--config", path, "worker", role)
            child = Child(role, argv, log=tmp_path / f"{role}.log", env=env, cwd=tmp_path, stop_deadline_s=30.0)
            child.launch()
            ending.callback(child.stop)
        yield settings, path


def archived(settings: Settings, folder: Path) -> Path:
    """Store the log in an archive in this process, and return settings that name it."""
    folder.mkdir()
    settings = msgspec.structs.replace(settings, clickhouse=ClickHouseSettings(url=f"chdb://{folder / 'chdb'}"))
    records = [
        (one.offset, msgspec.json.decode(one.value or b"", type=LogRecord))
        for one in read(settings.kafka.bootstrap, topics.EVENTS)
    ]
    with closing(connect(target_of(settings.clickhouse))) as db:
        migrate(db)
        for table, kind in ((TXN, Txn), (LOAN, Loan), (CONSENT, Authorization)):
            rows = [(offset, one) for offset, one in records if isinstance(one.event, kind)]
            found = table.rows(read_rows(topics.EVENTS, rows, time_ms=int(time.time() * 1_000)))
            db.insert(table.insert(found, f"t:{table.name}"))
    return settings_file(folder, settings)


def eventually(settings: Settings, **wanted: Any) -> CaseRecord:
    """Return the first record of a case with these fields."""
    end_s = time.monotonic() + patience_s(60)
    while time.monotonic() < end_s:
        for one in case_desk.records(settings, BANK):
            if all(getattr(one, name) == value for name, value in wanted.items()):
                return one
        time.sleep(0.1)
    raise AssertionError(f"no record of a case has {wanted}")


def test_a_case_from_a_banks_records_to_its_approval(
    desk: tuple[Settings, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, path = desk
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    monkeypatch.setattr(verb, "WAIT_S", 60.0)
    opened = eventually(settings, change="opened")
    assert (opened.state, opened.severity, opened.exposure_minor) == ("awaiting", "red", 10**9)

    def case(*words: str) -> tuple[int, str]:
        code = main(["--config", str(path), "case", *words, "--bank", BANK])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    code, said = case("list", "--on", "2024-03-06")
    assert code == 0
    assert opened.due is not None
    assert f"{opened.case_id}  red  awaiting  {ENTERPRISE}  exposure 10,000,000 yuan" in said
    assert f"due {date_of(opened.due).isoformat()} (" in said
    assert case("begin", opened.case_id, "--by", "E1024")[0] == 1, "out of order: nothing is sent"
    code, said = case("sign", opened.case_id[:8], "--by", "E1024")
    assert (code, "signed" in said) == (0, True)
    begin = {
        "type": "case_action", "event_id": "from-the-bank", "bank_id": BANK, "enterprise_id": ENTERPRISE,
        "event_time": at(2), "case_id": opened.case_id, "action": "begin", "actor": "E1024",
    }  # fmt: skip
    send(settings.kafka.bootstrap, topics.bank_events(BANK), [as_bytes(begin)])
    begun = eventually(settings, event_id="from-the-bank")
    assert (begun.state, begun.maker) == ("checking", eventually(settings, change="signed").maker)
    until = date_of(day_of(int(time.time() * 1_000)) + 30).isoformat()
    words = ("--disposition", "false_alarm", "--until", until, "--remark", "来电 13800138000")
    assert case("submit", opened.case_id, "--by", "E1024", *words)[0] == 0
    monkeypatch.setattr(verb, "WAIT_S", 1.0)
    assert case("approve", opened.case_id, "--by", "E1024")[0] == 1
    monkeypatch.setattr(verb, "WAIT_S", 60.0)
    code, said = case("approve", opened.case_id, "--by", "E2048")
    assert (code, "false alarm" in said) == (0, True)
    code, said = case("show", opened.case_id)
    assert "submitted  red  in review  false alarm" in said
    assert "来电 ***********" in said
    assert "35" in said, "the alert as a sentence"
    letters = [
        msgspec.json.decode(one.value or b"", type=DeadLetter)
        for one in read(settings.kafka.bootstrap, topics.DEAD_LETTERS)
    ]
    assert [letter.reason for letter in letters] == ["case_by_maker"]
    log = b"".join(one.value or b"" for one in read(settings.kafka.bootstrap, topics.EVENTS))
    assert b"E1024" not in log
    assert b"13800138000" not in log
    told = [json.loads(one.value or b"") for one in read(settings.kafka.bootstrap, topics.CASE_SUPERVISOR)]
    assert [one["change"] for one in told] == ["opened", "signed", "begun", "submitted", "approved"]

    assert case("show", opened.case_id, "--facts")[0] == 1, "no archive answers"
    path = archived(settings, path.parent / "desk")
    code, said = case("show", opened.case_id, "--facts")
    assert code == 0, said
    assert "loan L  granted 2024-01-05 10,000,000.00  contract HT-7  branch B020  officer M9  guarantee 保证" in said
    assert "guarantors " in said, "as a token"
    assert "consents in force: 贷后管理 x" in said
    assert re.search("    2024-.* out 12,345.00 CNY .* loan_repayment .* repaid", said)
    code, said = case("show", opened.case_id, "--facts", "--json")
    assert code == 0, said
    found = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert found["facts"]["loans"][0]["manager_no"] == "M9"
    assert [alert["alert_id"] for alert in found["alerts"]] == list(found["facts"]["transactions"])
    assert [one["data_dates"][0]["bank_id"] for one in found["alerts"]] == [BANK] * len(found["alerts"])
