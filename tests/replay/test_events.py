"""Files of events: read in the order of their lines, or refused by file and line; and the log that they make."""

import datetime
import json

import msgspec
import pytest

from domain import topics
from domain.calendar import DAY_MS, day_of_date, day_start_ms
from domain.events import Authorization, Control, Loan, LogRecord, Receipt, Tick, Txn
from replay.events import Events
from replay.log_file import LogFile
from replay.source_log import write_log
from replay.sources import SourceError
from tests.transactions import txn_row

A, B = "C1010211000012", "C1010511003703"
DAY = day_start_ms(day_of_date(datetime.date(2025, 3, 3)))
TERMS = f"""
[[banks]]
bank_id = "{A}"
name_zh = "示例甲"

[[banks]]
bank_id = "{B}"
name_zh = "示例乙"
mode = "daily_file"

[[consents]]
enterprise_id = "E1"
to_bank_id = "{B}"
valid_from = 2025-03-04
valid_to = 2027-01-01
"""


def txn(n, at_ms=DAY, **fields):
    own = {"event_id": f"t{n}", "bank_id": A, "enterprise_id": "E1", "event_time": at_ms, "amount_minor": 100 + n}
    return txn_row(**own | fields)


LOAN = {
    "type": "loan", "event_id": "l1", "bank_id": B, "enterprise_id": "E1", "event_time": DAY + 5, "loan_id": "L1",
    "event": "granted", "principal_minor": 10_000, "outstanding_minor": 10_000, "granted_on": "2025-03-03",
    "schedule": [{"due_on": "2025-04-03", "due_minor": 5_000}],
}  # fmt: skip
PROFILE = {
    "type": "profile", "event_id": "p1", "bank_id": "Z2004944000010", "enterprise_id": "E1", "event_time": DAY,
    "industry": "C", "region": "450100", "size_class": "small", "opened_on": "2010-01-01",
}  # fmt: skip
OUTCOME = {
    "type": "outcome", "event_id": "o1", "bank_id": B, "enterprise_id": "E1", "event_time": DAY + 9 * DAY_MS,
    "loan_id": "L1", "label": "good", "matured_on": "2025-03-12",
}  # fmt: skip
RECEIPT = {"type": "receipt", "bank_id": A, "day": "2025-03-03", "count": 1, "debit_minor": 0, "credit_minor": 101}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "banks.toml").write_text(TERMS, encoding="utf-8")
    return tmp_path


def lines(path, *events):
    path.write_text("".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events), encoding="utf-8")
    return path


def rows(path, *events):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names = dict.fromkeys(name for event in events for name in event)
    table = arrow.Table.from_pydict({name: [event.get(name) for event in events] for name in names})
    parquet.write_table(table, path)
    return path


def test_files_are_merged_by_the_time_their_lines_have_reached(folder):
    lines(folder / "a.jsonl", txn(1), txn(2, DAY + 3 * DAY_MS), txn(3, DAY + DAY_MS), txn(4, DAY + 3 * DAY_MS))
    lines(folder / "b.jsonl", PROFILE, LOAN, OUTCOME)
    source = Events(folder)
    found = [one for one in source.deliveries() if not isinstance(one.event, Receipt)]
    assert [(getattr(one.event, "event_id", None), one.topic, (one.at_ms - DAY) // DAY_MS) for one in found] == [
        ("t1", topics.bank_events(A), 0),
        ("p1", topics.GATEWAY, 0),
        ("l1", topics.bank_events(B), 0),
        ("consent-1", topics.GATEWAY, 1),
        ("t2", topics.bank_events(A), 3),
        ("t3", topics.bank_events(A), 3),  # two days late, as its line stands behind a later one
        ("t4", topics.bank_events(A), 3),
        ("o1", topics.CONTROL, 9),
    ]
    assert source.rows() == {"read": 7, "made": 1 + 2 * 10}
    assert source.check() == 8 + 2 * 10


def test_a_parquet_file_says_what_the_lines_say(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "banks.toml").write_text(TERMS, encoding="utf-8")
    lines(folder / "a.jsonl", txn(1), txn(2, memo="货款"))
    lines(folder / "b.jsonl", LOAN)
    rows(other / "a.parquet", txn(1), txn(2, memo="货款"))
    rows(other / "loan.parquet", {name: value for name, value in LOAN.items() if name != "type"})
    assert list(Events(folder).deliveries()) == list(Events(other).deliveries())


def test_receipts_of_the_files_close_days_where_they_are_given(folder):
    (folder / "banks.toml").write_text(f'receipts = "given"\n{TERMS}', encoding="utf-8")
    lines(folder / "a.jsonl", txn(1), RECEIPT)
    assert [type(one.event) for one in Events(folder).deliveries()] == [Txn, Authorization, Receipt]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"type":"txn"', r"a\.jsonl, line 2: .*truncated"),
        ("a.jsonl", "[]", r"a\.jsonl, line 2: Expected `object`"),
        ("a.jsonl", '{"type":"wire"}', r"a\.jsonl, line 2: type: 'wire' is none of authorization, .*txn"),
        ("a.jsonl", json.dumps(txn(2, bank_id="C9999999999999")), r"line 2: bank_id: 'C9999999999999' is no bank of"),
        ("a.jsonl", json.dumps(txn(2, amount_minor=-1)), r"line 2: amount_minor: amount_out_of_range"),
        ("a.jsonl", json.dumps(txn(2, event_time=DAY * 1_000)), r"line 2: event_time: time_in_future"),
        ("a.jsonl", json.dumps(txn(2, pin="1234")), r"line 2: pin: credentials"),
        ("a.jsonl", json.dumps(RECEIPT), r"line 2: receipts are made here; banks.toml with receipts = \"given\""),
        ("a.jsonl", json.dumps({"type": "tick", "up_to": 1, "feeds": {}}), r"line 2: type: 'tick' is none of"),
        (
            "a.jsonl",
            json.dumps({"type": "control", "control_id": "c", "action": "backfill_open", "by": "x", "reason": "y"}),
            "line 2: a control record is no event",
        ),
    ],
)
def test_errors_are_named_by_their_line(folder, name, text, said):
    lines(folder / name, txn(1)).open("a").write(text + "\n")
    with pytest.raises(SourceError, match=said):
        Events(folder).check()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("banks = 1", r"banks.toml: Expected `array`"),
        ("[[banks]\n", r"banks.toml: .*line 1"),
        (TERMS + 'colour = "red"', r"banks.toml: .*colour"),
        (TERMS.replace(B, A), r"banks\[1\].bank_id C1010211000012 stands twice"),
        (TERMS.replace(f'to_bank_id = "{B}"', 'to_bank_id = "C9999999999999"'), r"consents\[0\].to_bank_id C999999"),
        (TERMS.replace("2027-01-01", "2025-03-04"), r"consents\[0\].valid_to 2025-03-04 is not after valid_from"),
    ],
)
def test_errors_of_the_banks_are_named_by_their_key(folder, text, said):
    (folder / "banks.toml").write_text(text, encoding="utf-8")
    lines(folder / "a.jsonl", txn(1))
    with pytest.raises(SourceError, match=said):
        Events(folder)


def test_a_folder_without_banks_or_files_and_a_file_that_is_no_parquet_are_refused_by_name(folder, tmp_path):
    with pytest.raises(SourceError, match=r"holds no \*.jsonl and no \*.parquet file"):
        Events(folder)
    pytest.importorskip("pyarrow")
    (folder / "a.parquet").write_text("no parquet")
    with pytest.raises(SourceError, match=r"a\.parquet, after row 0: "):
        Events(folder).check()
    (folder / "banks.toml").unlink()
    with pytest.raises(SourceError, match=r"banks.toml: No such file or directory; --data must name the folder"):
        Events(folder)


def test_the_log_of_a_source_has_its_events_as_ingest_stamps_them_and_the_ticks_of_its_days(folder):
    lines(folder / "a.jsonl", txn(1), txn(2, DAY + DAY_MS, currency="USD"), txn(3, DAY + 2 * DAY_MS))
    lines(folder / "b.jsonl", LOAN)
    made = write_log(Events(folder), folder / "events.log", partitions=2)
    assert (made.forwarded, made.receipts, made.refused.total(), made.deliveries) == (5, 6, 0, 11)
    log = LogFile(folder / "events.log")
    assert [bank.bank_id for bank in log.banks] == [A, B]
    records = [msgspec.json.decode(one.value, type=LogRecord) for one in log.records()]
    assert len(records) == made.records == 5 + 2 * made.ticks
    (loan,) = [one for one in records if isinstance(one.event, Loan)]
    assert loan.event.schedule[0].due_minor == 5_000
    txns = [one for one in records if isinstance(one.event, Txn)]
    assert [one.amount_cny_minor for one in txns] == [101, None, 103]
    assert all(len(one.fingerprint) == 16 and one.event.account != "a" for one in txns)
    ticks = [one.event for one in records if isinstance(one.event, Tick)]
    assert ticks[-1].feeds[A].closed_up_to == day_of_date(datetime.date(2025, 3, 5))
    up_to = [tick.up_to for tick in ticks[: made.ticks]]
    assert up_to == sorted(set(up_to))


def test_the_log_of_history_comes_in_as_a_backfill_and_is_the_same_bytes_each_time(folder):
    (folder / "banks.toml").write_text(f"history = true\n{TERMS}", encoding="utf-8")
    lines(folder / "a.jsonl", *(txn(n, DAY + n * DAY_MS // 3) for n in range(1, 30)))
    for name in ("one.log", "other.log"):
        write_log(Events(folder), folder / name, partitions=1)
    assert (folder / "one.log").read_bytes() == (folder / "other.log").read_bytes()
    records = [msgspec.json.decode(one.value, type=LogRecord).event for one in LogFile(folder / "one.log").records()]
    controls = [(i, one.action) for i, one in enumerate(records) if isinstance(one, Control)]
    assert controls == [(0, "backfill_open"), (len(records) - 1, "backfill_close")]
