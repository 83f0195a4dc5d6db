"""The Berka adapter: the mapping on a made-up folder, and the counts of the real one where it is at hand."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.credentials import forbidden
from detectors.learning.labels import Close
from detectors.learning.ledger import Ledger
from domain import topics
from domain.calendar import date_of, day_of, day_of_text, day_start_ms
from domain.events import SCHEMA, Authorization, EnterpriseEvent, Feed, Loan, LogRecord, Outcome, Receipt, Tick, Txn
from domain.outputs import Observation
from domain.validate import Validator, source_of
from replay.berka import LOAN_COLUMNS, ROWS, Accounts
from replay.sending import HEADERS
from replay.source_log import write_log
from replay.sources import Delivery, SourceError
from streams.score.partition import Partition
from streams.transport.chunk import Chunk, chunk_of

pa = pytest.importorskip("pyarrow", reason="the extra 'evaluate' (pyarrow) is not installed")
pq = pytest.importorskip("pyarrow.parquet")

BESIDE_THE_REPOSITORY = Path(__file__).parents[3] / "shared" / "data"
REAL = Path(os.environ.get("XINLIU_DATA") or BESIDE_THE_REPOSITORY) / "berka"
LATER_MS = 1_800_000_000_000  # the broker's clock

CASH_IN = ("credit", "credit in cash", "", "", "")
CASH_OUT = ("withdrawal", "withdrawal in cash", "", "", "0")
SALES = ("credit", "collection from another bank", "", "YZ", "123")
BLANK = ("withdrawal", "remittance to another bank", "blank", "AB", "77")
INTEREST = ("credit", "", "interest credited", "", "")

# trans_id, account_id, date, amount, balance, (type, operation, k_symbol, bank, account)
Row = tuple[int, int, str, float, float, tuple[str, str, str, str, str]]

ROWS_OF_TWO: list[Row] = [
    (7, 11, "1994-01-31", 0.29, 1_000.29, INTEREST),
    (5, 11, "1994-01-30", 1_000.0, 1_000.0, CASH_IN),
    (9, 11, "1994-02-01", 0.0, 900.0, CASH_OUT),
    (6, 22, "1994-02-01", 250.5, 250.5, SALES),
    (3, 22, "1994-02-01", 100.25, 150.25, BLANK),  # a lower id, and yet booked after
]
LOANS_OF_TWO = ["51,11,1994-02-02,1200,12,100.5,B", "52,22,1994-02-03,2400,24,100.0,"]


def write_rows(folder: Path, rows: list[Row], **changed: Any) -> None:
    columns: dict[str, Any] = {
        "trans_id": pa.array([row[0] for row in rows], pa.int64()),
        "account_id": pa.array([row[1] for row in rows], pa.int64()),
        "date": pa.array([datetime.fromisoformat(row[2]) for row in rows], pa.timestamp("us")),
        "amount": pa.array([row[3] for row in rows], pa.float64()),
        "balance": pa.array([row[4] for row in rows], pa.float64()),
    }
    for place, name in enumerate(("type", "operation", "k_symbol", "bank", "account")):
        columns[name] = pa.array([row[5][place] for row in rows], pa.string())
    columns.update(changed)
    table = {name: values for name, values in columns.items() if values is not None}
    pq.write_table(pa.table(table), folder / "trans_preloan.parquet")


def write_loans(folder: Path, lines: list[str], head: str = ",".join(LOAN_COLUMNS)) -> None:
    (folder / "loan.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path, ROWS_OF_TWO)
    write_loans(tmp_path, LOANS_OF_TWO)
    return tmp_path


def on(delivery: Delivery) -> str:
    return date_of(day_of(delivery.at_ms)).isoformat()


def refused(deliveries: list[Delivery]) -> list[object]:
    """Return the events that ingest would dead-letter."""
    encode = msgspec.json.Encoder().encode
    found: list[object] = []
    for each in deliveries:
        validator = Validator(source=source_of(each.topic), forbidden=forbidden(), future_tolerance_ms=0)
        taken = validator.accept(encode(each.event), SCHEMA.encode(), LATER_MS)
        if taken != each.event:
            found.append(taken)
    return found


def balanced(source: Accounts, deliveries: list[Delivery]) -> bool:
    rows = source.rows()
    dropped = sum(count for name, count in rows.items() if name.startswith("dropped"))
    return rows["read"] + rows["made"] == len(deliveries) + dropped


def test_rows_become_transactions_in_the_order_of_their_balances(folder: Path) -> None:
    deliveries = list(Accounts(folder).deliveries())
    booked = [(on(each), each.event) for each in deliveries if isinstance(each.event, Txn)]
    assert [
        (day, txn.event_id, txn.enterprise_id, txn.direction, txn.purpose, txn.amount_minor, txn.balance_minor)
        for day, txn in booked
    ] == [
        ("1994-01-30", "trans-5", "berka-11", "C", "cash", 100_000, 100_000),
        ("1994-01-31", "trans-7", "berka-11", "C", "other", 29, 100_029),
        ("1994-02-01", "trans-6", "berka-22", "C", "sales", 25_050, 25_050),
        ("1994-02-01", "trans-3", "berka-22", "D", "purchase", 10_025, 15_025),
    ]
    parties = [(txn.counterparty_id, txn.counterparty_bank_code, txn.counterparty_kind) for _, txn in booked]
    assert parties == [
        (None, None, None), (None, None, "financial"), ("YZ-123", "YZ", "corporate"), ("AB-77", "AB", "corporate"),
    ]  # fmt: skip
    assert all(txn.date_only and txn.currency == "CNY" for _, txn in booked)


def test_loans_are_granted_with_their_schedule_and_outcomes_come_when_they_became_known(folder: Path) -> None:
    source = Accounts(folder)
    deliveries = list(source.deliveries())
    loans = [(on(each), each.event) for each in deliveries if isinstance(each.event, Loan)]
    assert [(day, loan.loan_id, loan.event) for day, loan in loans] == [
        ("1994-02-02", "loan-51", "granted"),
        ("1994-02-02", "loan-51", "closed"),
        ("1994-02-03", "loan-52", "granted"),
        ("1994-02-03", "loan-52", "closed"),
        ("1995-02-02", "loan-51", "default"),
        ("1995-02-02", "loan-51", "closed"),
    ]
    assert len({loan.event_id for _, loan in loans}) == len(loans)
    granted = loans[0][1]
    assert (granted.principal_minor, len(granted.schedule), granted.due_on) == (120_000, 12, "1994-03-02")
    assert {line.due_minor for line in granted.schedule} == {10_050}
    assert granted.schedule[-1].due_on == "1995-02-02"
    outcomes = [each.event for each in deliveries if isinstance(each.event, Outcome)]
    assert [(each.loan_id, each.matured_on) for each in outcomes] == [
        ("loan-51", "1995-02-02"),
        ("loan-52", "9999-12-31"),
    ]
    assert outcomes[0].label == "bad"
    assert isinstance(deliveries[0].event, Outcome), "control.v1 is read first"
    assert source.outcomes() == {"loan-51": "bad"}
    consents = {each.event.enterprise_id: each for each in deliveries if isinstance(each.event, Authorization)}
    assert {name: (on(each), each.topic) for name, each in consents.items()} == {
        "berka-11": ("1994-02-01", topics.GATEWAY),
        "berka-22": ("1994-02-02", topics.GATEWAY),
    }


def test_every_day_has_its_receipt_and_every_row_is_accounted_for(folder: Path) -> None:
    source = Accounts(folder)
    deliveries = list(source.deliveries())
    receipts = [each.event for each in deliveries if isinstance(each.event, Receipt)]
    assert [(each.day, each.count, each.debit_minor, each.credit_minor) for each in receipts[:5]] == [
        ("1994-01-30", 1, 0, 100_000), ("1994-01-31", 1, 0, 29), ("1994-02-01", 2, 10_025, 25_050),
        ("1994-02-02", 0, 0, 0), ("1994-02-03", 0, 0, 0),
    ]  # fmt: skip
    assert (receipts[-1].day, len(receipts)) == ("1995-02-02", 369)
    # Beside the receipts: two consents, two closings, a default and its closing, two outcomes.
    assert dict(source.rows()) == {"read": 7, "made": 369 + 8, "dropped: zero": 1}
    assert balanced(source, deliveries)
    assert refused(deliveries) == []


def test_the_same_files_are_the_same_deliveries(folder: Path) -> None:
    source = Accounts(folder)
    assert list(source.deliveries()) == list(source.deliveries()) == list(Accounts(folder).deliveries())
    before = source.identity
    write_loans(folder, LOANS_OF_TWO[:1])
    assert source.identity != before


@pytest.mark.parametrize(
    ("status", "reported", "label", "matured_on"),
    [
        ("A", [], "good", "1995-02-02"),
        ("B", ["default", "closed"], "bad", "1995-02-02"),
        ("C", [], "good", "1998-12-31"),
        ("D", ["overdue"], "bad", "1998-12-31"),
    ],
)
def test_each_status_says_what_it_says_and_no_earlier(
    folder: Path, status: str, reported: list[str], label: str, matured_on: str
) -> None:
    write_loans(folder, [f"51,11,1994-02-02,1200,12,100.5,{status}"])
    deliveries = list(Accounts(folder).deliveries())
    later = [each for each in deliveries if isinstance(each.event, Loan) and on(each) > "1994-02-02"]
    assert [each.event.event for each in later if isinstance(each.event, Loan)] == reported
    assert {on(each) for each in later} <= {matured_on}
    (outcome,) = [each.event for each in deliveries if isinstance(each.event, Outcome)]
    assert (outcome.label, outcome.matured_on) == (label, matured_on)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda folder: (folder / "loan.csv").unlink(), r"loan\.csv does not exist: --data"),
        (lambda folder: (folder / "trans_preloan.parquet").unlink(), r"trans_preloan\.parquet does not exist"),
        (lambda folder: (folder / "trans_preloan.parquet").write_bytes(b"no"), "is not a Parquet file"),
        (lambda folder: write_rows(folder, ROWS_OF_TWO, balance=None), r"trans_preloan\.parquet has no column balance"),
        (lambda folder: write_rows(folder, ROWS_OF_TWO, amount=["1"] * 5), "column amount: string"),
        (
            lambda folder: write_rows(
                folder, [*ROWS_OF_TWO, (10, 11, "1994-02-01", 1.0, 1.0, ("gift", "", "", "", ""))]
            ),
            r"trans_preloan\.parquet, column type, row 5: 'gift'",
        ),
        (
            lambda folder: write_rows(folder, [(1, 11, "1994-02-01", float("nan"), 1.0, CASH_IN)]),
            "column amount, row 0: nan",
        ),
        (lambda folder: write_rows(folder, [(1, 11, "1994-02-01", -1.0, 1.0, CASH_IN)]), "row 0: -1.0 is below zero"),
        (
            lambda folder: write_rows(folder, [(1, 11, "1994-02-01", 1.0, float("inf"), CASH_IN)]),
            "column balance, row 0: inf",
        ),
        (lambda folder: write_loans(folder, LOANS_OF_TWO, "loan_id,account_id"), r"loan\.csv has no column date"),
        (lambda folder: write_loans(folder, ["51,11,1994-02-02"]), r"loan\.csv, line 2: the row has not 7 columns"),
        (
            lambda folder: write_loans(folder, [*LOANS_OF_TWO, "53,11,1994-02-02,1,12,1,A"]),
            "line 4, column account_id: 11 has the loan of line 2",
        ),
        (lambda folder: write_loans(folder, ["51,11,1994-02-30,1,12,1,A"]), "line 2, column date: '1994-02-30'"),
        (lambda folder: write_loans(folder, ["51,11,1994-02-02,-1,12,1,A"]), "line 2, column amount: -1"),
        (lambda folder: write_loans(folder, ["51,11,1994-02-02,1,12,x,A"]), "line 2, column payments: 'x'"),
        (lambda folder: write_loans(folder, ["51,11,1994-02-02,1,0,1,A"]), "line 2, column duration: 0"),
        (lambda folder: write_loans(folder, ["51,x,1994-02-02,1,12,1,A"]), "line 2, column account_id: 'x'"),
        (lambda folder: write_loans(folder, ["51,11,1994-02-02,1,12,1,E"]), "line 2, column status: 'E'"),
        (lambda folder: write_loans(folder, ["51,11,1998-02-02,1,12,1,A"]), "column status: A was not known by 1998"),
        (lambda folder: (folder / "loan.csv").write_bytes(b"\xff\xfe"), r"loan\.csv is not a CSV file"),
    ],
)
def test_a_folder_that_is_not_the_data_set_is_refused_by_file_row_and_column(
    folder: Path, spoil: Callable[[Path], object], named: str
) -> None:
    spoil(folder)
    with pytest.raises(SourceError, match=named):
        list(Accounts(folder).deliveries())


KINDS = sorted(ROWS)


@st.composite
def data_sets(draw: st.DrawFn) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    loans = []
    for account in range(1, draw(st.integers(1, 3)) + 1):
        balance = 0
        for number in range(draw(st.integers(0, 6))):
            kind = draw(st.sampled_from(KINDS))
            minor = draw(st.integers(0, 99_999))
            balance += minor if ROWS[kind][0] == "C" else -minor
            day = datetime(1993, 1, 1) + timedelta(days=draw(st.integers(0, 3)))  # noqa: DTZ001  as in the files
            party = ("QR", "5") if "another" in kind[1] else ("", "")
            row = (account * 100 + number, account, day.date().isoformat(), minor / 100, balance / 100, (*kind, *party))
            rows.append(row)
        if draw(st.booleans()):
            status = draw(st.sampled_from(["", "A", "B", "C", "D"]))
            loans.append(f"{account},{account},1993-01-06,{draw(st.integers(1, 9_999))},12,{account}.5,{status}")
    return draw(st.permutations(rows)), loans


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data_sets())
def test_the_books_balance_and_ingest_accepts_all_records_of_any_files(
    tmp_path: Path, data_set: tuple[list[Row], list[str]]
) -> None:
    rows, loans = data_set
    write_rows(tmp_path, rows)
    write_loans(tmp_path, loans)
    source = Accounts(tmp_path)
    deliveries = list(source.deliveries())
    assert balanced(source, deliveries)
    assert refused(deliveries) == []
    assert all(a.at_ms <= b.at_ms for a, b in pairwise(deliveries))
    ids = [
        (each.event.enterprise_id, each.event.event_id) for each in deliveries if not isinstance(each.event, Receipt)
    ]
    assert len(set(ids)) == len(ids)
    txns = [each.event for each in deliveries if isinstance(each.event, Txn)]
    assert len(txns) == sum(1 for row in rows if row[3] > 0)
    receipts = [each.event for each in deliveries if isinstance(each.event, Receipt)]
    assert sum(each.count for each in receipts) == len(txns)
    assert sum(each.credit_minor - each.debit_minor for each in receipts) == sum(
        txn.amount_minor if txn.direction == "C" else -txn.amount_minor for txn in txns
    )
    # What score has of an enterprise first is its earliest: nothing that follows is late by it.
    earliest: dict[str, int] = {}
    for each in deliveries:
        if isinstance(each.event, EnterpriseEvent):
            assert each.event.event_time >= earliest.setdefault(each.event.enterprise_id, each.event.event_time)


def log_of(deliveries: list[Delivery]) -> Chunk:
    """The log that ingest makes of deliveries that it reads in their order: a receipt is the tick of its day's end."""
    encode = msgspec.json.Encoder().encode
    rows: list[Any] = []
    for offset, each in enumerate(deliveries):
        event = each.event
        if isinstance(event, Receipt):
            day = day_of_text(event.day)
            feed = Feed(last_event_time=day_start_ms(day), covered_up_to=day, closed_up_to=day)
            record = LogRecord(event=Tick(up_to=each.at_ms, feeds={event.bank_id: feed}))
            rows.append((None, encode(record), HEADERS, 0))
            continue
        amount = event.amount_minor if isinstance(event, Txn) else None
        mark = f"{offset:016x}"
        record = LogRecord(event=event, fingerprint=mark, origin=(each.topic, 0, offset), amount_cny_minor=amount)
        rows.append((event.enterprise_id.encode(), encode(record), HEADERS, 0))
    return chunk_of(topics.EVENTS, 0, 0, rows)


def test_score_takes_all_of_it_nothing_late_and_observes_each_loan_at_its_grant_alone(folder: Path) -> None:
    chunk = log_of(list(Accounts(folder).deliveries()))
    partition = Partition(0, unasked, None, names=[], fetch=unasked, resident_max=100)
    said: dict[str, list[Any]] = defaultdict(list)
    for outgoing in partition.apply(chunk):
        for topic, records in outgoing:
            said[topic] += [msgspec.json.decode(value or b"") for _, value in records]
    assert not said[topics.LATE]
    assert not said[topics.DEAD_LETTERS]
    assert [(each["kind"], each["loan_id"]) for each in said[topics.OBSERVATION]] == [
        ("grant", "loan-51"),
        ("grant", "loan-52"),
    ]
    assert {each["enterprise_id"] for each in said[topics.SCORE]} == {"berka-11", "berka-22"}
    assert any(each["signal"] == "EWS35_arrears" for each in said[topics.ALERT_SUPERVISOR]), "a default is heard of"


def test_the_log_that_is_made_in_process_refuses_nothing(folder: Path, tmp_path: Path) -> None:
    made = write_log(Accounts(folder), tmp_path / "events.log")
    assert not made.refused, made.shown


def test_learn_takes_a_known_outcome_on_its_day_and_none_of_a_loan_without_a_status(folder: Path) -> None:
    ledger = Ledger()
    for offset, each in enumerate(list(Accounts(folder).deliveries())):
        if isinstance(each.event, Outcome):
            ledger.outcome(each.event, offset, 0)
        elif isinstance(each.event, Loan):
            ledger.loan(each.event, offset, 0)
    for number, enterprise_id in ((51, "berka-11"), (52, "berka-22")):
        ledger.observe(observed(number, enterprise_id), 0)
    before, closes = day_of_text("1995-02-01"), {0: Close(offset=10_000, covered={})}
    assert not len(ledger.matured(closes, before))
    taken = ledger.matured(closes, before + 3_000)
    assert taken[["score_milli", "bad", "matured_on"]].tolist() == [(51, True, before + 1)]


def observed(number: int, enterprise_id: str) -> Observation:
    day = day_of_text("1994-02-02")
    return Observation(
        observation_id=f"{number:032x}", enterprise_id=enterprise_id, kind="grant", loan_id=f"loan-{number}", day=day,
        as_of=day_start_ms(day) + 1, score_milli=number, p_overdue30_90d_ppm=1, utilities_ppm={}, values_micro={},
        model_id="m", offset=0, seq=0,
    )  # fmt: skip


def unasked(_what: Any) -> Any:
    raise AssertionError("there is one model, and all enterprises are new")


@pytest.mark.skipif(not REAL.exists(), reason=f"the data set is not at {REAL} (set XINLIU_DATA)")
def test_the_real_accounts_add_up() -> None:
    source = Accounts(REAL)
    deliveries = list(source.deliveries())
    assert balanced(source, deliveries)
    assert refused(deliveries) == []
    rows = source.rows()
    assert rows["read"] == 54_694 + 682
    assert not [name for name in rows if name.startswith("dropped")]
    kinds = Counter(type(each.event).__name__ for each in deliveries)
    assert (kinds["Txn"], kinds["Authorization"], kinds["Outcome"]) == (54_694, 682, 682)
    events = Counter(each.event.event for each in deliveries if isinstance(each.event, Loan))
    assert events == {"granted": 682, "closed": 682 + 28, "default": 28, "overdue": 18}
    assert Counter(source.outcomes().values()) == {"good": 282, "bad": 46}
    assert kinds["Receipt"] == 2_179  # every day from 1993-01-13 to 1998-12-31
