"""The archive's tables: every field arrives, repeats and older revisions change nothing, 25 months are kept."""

import time
from typing import Any

import msgspec
import pytest

from config.settings import Bank
from domain import topics
from domain.events import Authorization, Instalment, Loan, Profile
from domain.outputs import (
    GROUPS,
    Alert,
    CaseLine,
    CaseRecord,
    DeadLetter,
    Evidence,
    FeedHealth,
    Indicators,
    ReasonCode,
    Score,
    Sealed,
)
from sinks.clickhouse import Connection
from sinks.clickhouse.rows import Table
from sinks.clickhouse.tables import (
    ALERT,
    ALERT_TOLD,
    ALL,
    CASE_RECORD,
    DEAD_LETTER,
    ENTERPRISE,
    FEED,
    INDICATOR,
    LOAN,
    SCORE_NOW,
    TXN,
    stored_of,
)
from tests.model_months import months
from tests.sinks.kit import read_at
from tests.transactions import logged, txn

BANK, OTHER, ENTERPRISE_ID = "Z9000000000001", "Z9000000000002", "91440300MA5EXAMPLE"
TO_BANK = topics.bank_alerts(BANK)
NOW_MS = int(time.time() * 1000)
MONTH_MS = 31 * 86_400_000
COMMON = {"event_id": "e1", "bank_id": BANK, "enterprise_id": ENTERPRISE_ID, "event_time": 1_700_000_000_123}


def score(offset: int = 5, seq: int = 0, value: int = 512, enterprise_id: str = ENTERPRISE_ID) -> Score:
    return Score(
        enterprise_id=enterprise_id, score=value, score_milli=value * 1000, p_overdue30_90d_ppm=50_000, pd_12m_ppm=None,
        status="published", status_reason="", grade="D", published_grade="D",
        groups_milli={name: 18_000 + i for i, name in enumerate(GROUPS)}, cap_milli=-3, coverage_ppm=10**6, prior=True,
        reason_codes=[ReasonCode(indicator="i", points_milli=-18_000, value_micro=None, baseline_micro=1)],
        model_id="m", rules_id="r", engine_version="v", as_of=1_700_000_000_124, offset=offset, seq=seq,
    )  # fmt: skip


def alert(alert_id: str = "a1", revision: int = 1, **changes: Any) -> Alert:
    whole = Alert(
        alert_id=alert_id, episode_id="p1", case_id="c1", case_severity="orange",
        revision=revision, enterprise_id=ENTERPRISE_ID, signal="s",
        severity="orange", state="raised", stock=False, opened_at=1_700_000_000_000, as_of=1_700_000_000_124, score=450,
        score_before=None, evidence=[Evidence(name="ratio", value_micro=None)], event_ids=["e1", "e2"], loans=[],
        banks=[BANK], title_zh="标题", text_zh="甲\u202e乙", suggested_action_zh="…", model_id="m", rules_id="r",
        offset=5, seq=1,
    )  # fmt: skip
    return msgspec.structs.replace(whole, **changes)


LOAN_EVENT = Loan(
    **COMMON, loan_id="L1", event="granted", principal_minor=10**9, outstanding_minor=10**9, granted_on="2026-01-05",
    due_on="2027-01-05", schedule=(Instalment(due_on="2026-02-05", due_minor=1), Instalment(due_on="2026-03-05",
    due_minor=2)), guarantors=("g1", "g2"), five_class="正常", customer_name="某某公司", reason=None,
)  # fmt: skip
CONSENT_EVENT = Authorization(
    **COMMON, to_bank_id=OTHER, purpose="贷前审批", valid_from=1_700_000_000_000, valid_to=1_800_000_000_001,
    authorization_id="z1", consent_hash="0" * 64, confirmed_by_enterprise_at=1_699_999_999_999, revoked=True,
)  # fmt: skip
PROFILE = Profile(
    **COMMON, industry="C", region="450100", size_class="micro", name_masked="示例***公司", related_party_ids=("r1",)
)
LETTER = DeadLetter(
    topic="bank.x.events.v1", partition=0, offset=3, reason="not_json", field=None, detail="",
    sealed=Sealed(key_id="0" * 16, box=b"secret"), payload_bytes=9,
)  # fmt: skip
HEALTH = FeedHealth(
    bank_id=BANK, last_event_time=None, covered_up_to=20_000, closed_up_to=None, stalled=True,
    oldest_unread_event_time=1_700_000_000_000, as_of=1_700_000_000_000,
)  # fmt: skip
INDICATORS = Indicators(
    enterprise_id=ENTERPRISE_ID, day=20_000, as_of=1_700_000_000_000, values_micro={"c": 5, "a": -1},
    null_reasons={"b": "history"}, catalogue_id="c", engine_version="v", offset=9, seq=2,
)  # fmt: skip
DAY, DAY_MS = 20_606, 86_400_000


def case(hour: int, change: str, state: str, **changes: Any) -> CaseRecord:
    """Return a record, so many hours into DAY (UTC+8); contact is due on that day, the visit two days later."""
    whole = CaseRecord(
        case_id="c1", bank_id=BANK, enterprise_id=ENTERPRISE_ID, state=state, change=change, severity="red",
        opened_at=DAY * DAY_MS - 28_800_000, as_of=DAY * DAY_MS + (hour - 8) * 3_600_000, contact_due=DAY,
        visit_due=DAY + 2, due=DAY, escalation="desk", exposure_minor=10**8, maker="a" * 16, checker=None,
        disposition=None, until=None, offset=hour, seq=0,
    )  # fmt: skip
    return msgspec.structs.replace(whole, **changes)


EXAMPLES: dict[str, Any] = {
    "txn": logged(txn(balance_minor=-1, memo="'); DROP TABLE txn; --\0")),
    "loan": logged(LOAN_EVENT),
    "consent": logged(CONSENT_EVENT),
    "enterprise": logged(PROFILE),
    "score": score(),
    "score_now": score(),
    "alert": alert(case_id="c1", case_severity="red"),
    "alert_backfill": alert(),
    "alert_told": alert(stock=True),
    "case_record": case(1, "submitted", "in_review", measure="追加担保", acted_at=1_700_000_000_000, event_id="e"),
    "indicator": INDICATORS,
    "dead_letter": LETTER,
    "feed": HEALTH,
    "model_month": months(2)[-1],
}


def store(
    connection: Connection, table: Table, *records: Any, topic: str = TO_BANK, first: int = 0, time_ms: int = NOW_MS
) -> None:
    """Records at offsets from `first`, as one block."""
    read = read_at(topic, first, *records, time_ms=time_ms)
    connection.insert(table.insert(table.rows(read), f"{topic}:{table.name}:{first}-{first + len(records) - 1}"))


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_every_column_holds_what_the_record_says(archive: Connection, table: Table) -> None:
    record = EXAMPLES[table.name]
    store(archive, table, record, first=77)
    shown = [f"toUnixTimestamp64Milli({name})" if "DateTime64" in kind else name for name, kind, *_ in table.columns]
    (row,) = archive.rows(f"SELECT {', '.join(shown)} FROM xinliu.{table.name} FINAL")
    expected = [column[0] for column in table.rows(read_at(TO_BANK, 77, record, time_ms=NOW_MS))]
    assert [_listed(cell) for cell in row] == [_listed(cell) for cell in expected]


def _listed(cell: object) -> object:
    return list(cell) if isinstance(cell, tuple) else cell


def test_every_record_of_a_read_topic_has_a_table() -> None:
    stored = stored_of([Bank(bank_id=bank_id, name_zh="银行") for bank_id in (BANK, OTHER)])
    assert {table for each in stored.values() for tables in each.tables.values() for table in tables} == set(ALL)
    assert stored.keys() - stored_of(()).keys() == {TO_BANK, topics.bank_alerts(OTHER)}
    assert stored[TO_BANK] is stored[topics.bank_alerts(OTHER)], "each bank's alerts would be blocks of their own"


def test_two_banks_get_the_same_revision_each_in_its_own_message(archive: Connection) -> None:
    store(archive, ALERT_TOLD, alert(text_zh="一"), alert(revision=2), topic=TO_BANK)
    store(archive, ALERT_TOLD, alert(text_zh="二"), topic=topics.bank_alerts(OTHER))
    store(archive, ALERT_TOLD, alert(text_zh="二"), topic=topics.bank_alerts(OTHER), first=9)  # a restart repeats
    rows = archive.rows("SELECT bank_id, revision, text_zh FROM xinliu.alert_told FINAL ORDER BY bank_id, revision")
    assert rows == [(BANK, 1, "一"), (BANK, 2, alert().text_zh), (OTHER, 1, "二")]


def test_no_payload_of_a_dead_letter_and_no_customer_name_is_stored(archive: Connection) -> None:
    store(archive, DEAD_LETTER, LETTER)
    store(archive, LOAN, logged(LOAN_EVENT))
    for table, secret in ((DEAD_LETTER, "c2VjcmV0"), (LOAN, "某某公司")):
        (row,) = archive.rows(f"SELECT * FROM xinliu.{table.name}")
        assert secret not in str(row)


def test_the_newest_score_is_that_of_the_highest_place_in_the_log(archive: Connection) -> None:
    store(
        archive, SCORE_NOW, score(10, 0, 510), score(10, 1, 520), score(9, 0, 500, "other"), score(9, 7, 501, "other")
    )
    store(archive, SCORE_NOW, score(9, 5, 490), first=50)  # a zombie's late word
    rows = archive.rows("SELECT enterprise_id, score FROM xinliu.score_now FINAL ORDER BY score")
    assert rows == [("other", 501), (ENTERPRISE_ID, 520)]
    assert archive.rows("SELECT count() FROM xinliu.score_now") == [(3,)], "a block holds one row an enterprise"


def test_later_profiles_and_feeds_replace_earlier_ones(archive: Connection) -> None:
    renamed = logged(msgspec.structs.replace(PROFILE, name_masked="改名***公司"))
    store(archive, ENTERPRISE, renamed, first=10)
    store(archive, ENTERPRISE, logged(PROFILE), first=4)  # read again after a restart
    assert archive.rows("SELECT name_masked FROM xinliu.enterprise FINAL") == [("改名***公司",)]
    store(archive, FEED, HEALTH, msgspec.structs.replace(HEALTH, stalled=False, covered_up_to=20_001))
    assert archive.rows("SELECT stalled, covered_up_to FROM xinliu.feed FINAL") == [(0, 20_001)]


def test_a_dead_letter_that_comes_twice_counts_once(archive: Connection) -> None:
    store(archive, DEAD_LETTER, LETTER, LETTER)
    store(archive, DEAD_LETTER, LETTER, msgspec.structs.replace(LETTER, offset=4), first=9)
    query = "SELECT topic, reason, count() FROM xinliu.dead_letter FINAL GROUP BY topic, reason"
    assert archive.rows(query) == [("bank.x.events.v1", "not_json", 2)]


def test_transactions_are_kept_for_25_months_after_they_came_however_old_they_are(archive: Connection) -> None:
    store(archive, TXN, logged(txn(event_id="gone")), first=0, time_ms=NOW_MS - 26 * MONTH_MS)
    store(archive, TXN, logged(txn(event_id="kept")), first=1, time_ms=NOW_MS - 24 * MONTH_MS)
    store(archive, TXN, logged(txn(event_id="of 1993", event_time=725_846_400_000)), first=2)
    archive.execute("OPTIMIZE TABLE xinliu.txn FINAL")
    assert archive.rows("SELECT event_id FROM xinliu.txn FINAL ORDER BY event_id") == [("kept",), ("of 1993",)]


@pytest.mark.parametrize(("table", "record"), [(INDICATOR, INDICATORS), (DEAD_LETTER, LETTER)])
def test_daily_indicators_and_dead_letters_are_kept_as_long(archive: Connection, table: Table, record: Any) -> None:
    for offset, age_months in ((1, 26), (2, 24)):
        aged = msgspec.structs.replace(record, offset=offset)
        store(archive, table, aged, first=offset, time_ms=NOW_MS - age_months * MONTH_MS)
    archive.execute(f"OPTIMIZE TABLE xinliu.{table.name} FINAL")
    offset_column = "log_offset" if table is INDICATOR else "offset"
    assert archive.rows(f"SELECT {offset_column} FROM xinliu.{table.name} FINAL") == [(2,)]


def test_a_case_holds_its_alerts_and_an_alert_without_one_is_its_own(archive: Connection) -> None:
    store(
        archive,
        ALERT,
        alert("a1", 1, case_id="c1", case_severity="orange"),
        alert("a2", 1, case_id="c1", case_severity="red", as_of=1_700_000_100_000),
        alert("a1", 2, case_id="c1", case_severity="red", state="cleared", as_of=1_700_000_200_000),
        alert("lone", 1, case_id=""),
        alert("below", 1, case_id="", case_severity=None, case_pd_12m_ppm=900),  # the claim is below every level
    )
    query = "SELECT case_id, severity, open_alerts, alerts FROM xinliu.case_now ORDER BY case_id"
    assert archive.rows(query) == [("c1", "red", 1, 2), ("lone", "orange", 1, 1)]


def test_a_case_keeps_its_move_and_what_its_claim_is_made_of(archive: Connection) -> None:
    lines = [
        CaseLine(name="s", finding="f", severity="red", opened_at=5, stale=False, points_milli=1_500),
        CaseLine(name="score.points", finding="", severity=None, opened_at=None, stale=False, points_milli=-300),
    ]
    moved = {"case_state": "opened", "case_severity_before": None, "case_pd_12m_ppm": 250_000, "case_lines": lines}
    store(archive, ALERT, alert("a1", 1, **moved), alert("a1", 2))
    query = """SELECT case_state, case_severity_before, case_pd_12m_ppm, case_names, case_points_milli
        FROM xinliu.alert ORDER BY revision"""
    made_of = [["s", "score.points"], [1_500, -300]]
    found = [(*row[:3], *map(list, row[3:])) for row in archive.rows(query)]
    assert found == [("opened", "", 250_000, *made_of), ("", "", None, [], [])]


def test_the_life_of_a_case_its_deadlines_and_what_desks_said_of_a_signal(archive: Connection) -> None:
    back = DAY * DAY_MS + 90 * DAY_MS
    store(
        archive,
        CASE_RECORD,
        case(0, "opened", "awaiting", maker=None),
        case(2, "signed", "signed"),
        case(23, "begun", "checking"),
        case(60, "overdue", "checking", escalation="head_office"),
        case(80, "submitted", "in_review", disposition="false_alarm", until=DAY + 90, measure="无"),
        case(90, "approved", "false_alarm", disposition="false_alarm", checker="b" * 16, due=None),
        case(90, "approved", "false_alarm", disposition="false_alarm", checker="b" * 16, due=None),
        case(2200, "resumed", "awaiting", opened_at=back, maker=None),
        case(5, "opened", "awaiting", case_id="c2", maker=None, severity="yellow", contact_due=None, visit_due=None),
    )
    store(archive, ALERT_TOLD, alert("a1", case_id="c1", signal="s"), alert("a1", 2, case_id="c1", signal="s"))
    store(archive, ALERT_TOLD, alert("a2", case_id="c2", signal="s"), first=9)
    query = """SELECT case_id, state_now, contact_kept, visit_kept, disposition_now, measure_taken, checked_by,
        times_overdue FROM xinliu.case_life ORDER BY case_id, opened_at"""
    assert archive.rows(query) == [
        ("c1", "false_alarm", 1, 0, "false_alarm", "无", "b" * 16, 1),
        ("c1", "awaiting", None, None, None, None, None, 0),
        ("c2", "awaiting", None, None, None, None, None, 0),
    ]
    query = "SELECT signal, disposed, confirmed, false_alarms, others FROM xinliu.signal_disposition"
    assert archive.rows(query) == [("s", 1, 0, 1, 0)]


def test_the_life_of_a_case_has_the_newest_of_what_may_be_null(archive: Connection) -> None:
    store(
        archive,
        CASE_RECORD,
        case(0, "opened", "awaiting", maker=None),
        case(2, "submitted", "in_review", disposition="known", until=DAY + 9, measure="展期"),
        case(4, "returned", "checking", checker="b" * 16),
        case(5, "eased", "checking", severity=None),
        case(6, "submitted", "in_review", severity=None, disposition="confirmed"),
    )
    query = """SELECT severity_now, disposition_now, until_now, measure_taken, due_now, was_red, checked_by
        FROM xinliu.case_life"""
    assert archive.rows(query) == [(None, "confirmed", None, None, DAY, 1, None)]
    closed = case(8, "approved", "disposed", severity=None, disposition="confirmed", due=None, checker="b" * 16)
    store(archive, CASE_RECORD, closed, first=20)
    assert archive.rows(query) == [(None, "confirmed", None, None, None, 1, "b" * 16)]


def test_indicators_stand_beside_their_null_reasons(archive: Connection) -> None:
    store(archive, INDICATOR, INDICATORS)
    query = (
        "SELECT name, value, reason FROM xinliu.indicator ARRAY JOIN names AS name, values_micro AS value, "
        "null_reasons AS reason"
    )
    assert archive.rows(query) == [("a", -1, ""), ("b", None, "history"), ("c", 5, "")]
