"""Accounts of a Czech bank up to their loans, and what became of the loans (PKDD'99, "Berka").

Each account is an enterprise of one bank. Its rows are its transactions, its loan is granted by that bank with the
schedule that duration and payments give, and the enterprise consents to its lender's look the day before. Amounts are
taken as CNY minor units: a unit, not a rate, since without a rate nothing of CZK could be computed. The dates are the
real ones of 1993 to 1998, moved by no day.

The rows of an account end before its loan, so nothing is known of how the loan is kept up. It is therefore reported
closed with its grant: left open, each later month would be learned as a sound one of an account without any flow. What
the status says stands at the day on which it was known, and no earlier: B (finished, not paid) is a default at the
loan's end, D (running, in debt) overdue by unknown days on the last day of the data set. The operator's outcome of the
loan says the same to learn, and of A (finished, paid) and C (running, in order) that they are good. Of a
loan without a status nothing is known: its outcome matures never, which keeps learn from taking the lender's silence
for a good one.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter
from pathlib import Path

import msgspec

from config.settings import Bank
from domain import topics
from domain.calendar import date_of, day_of_date, day_of_text, day_start_ms
from domain.events import Authorization, CounterpartyKind, Direction, Instalment, Loan, LoanEvent, Outcome, Purpose, Txn
from replay.gateway import GATEWAY_ID, consent_hash
from replay.judging import Label
from replay.recorded import ColumnKind, closed_by_receipts, identity_of, minor_units, read_columns, read_lines
from replay.sources import Delivery, SourceError
from replay.workdays import months_later

BANK = Bank(bank_id="C1999000000001", name_zh="PKDD 1999 Berka", name_en="PKDD 1999 Berka")
TRANS, LOANS = "trans_preloan.parquet", "loan.csv"
NAMES = (TRANS, LOANS)
LAST_DAY = day_of_date(date(1998, 12, 31))  # what the status of a running loan is as of
COLUMNS: Mapping[str, ColumnKind] = {
    "trans_id": "integer", "account_id": "integer", "date": "date", "type": "text", "operation": "text",
    "amount": "decimal", "balance": "decimal", "k_symbol": "text", "bank": "text", "account": "text",
}  # fmt: skip
LOAN_COLUMNS = ("loan_id", "account_id", "date", "amount", "duration", "payments", "status")
TERM_MONTHS_MAX = 480
GAP_MINOR_MAX = 150  # balances are rounded here and there: what may lie between one and the next
LABELS: Mapping[str, Label] = {"A": "good", "B": "bad", "C": "good", "D": "bad"}
FINISHED = frozenset("AB")
NEVER = date(9999, 12, 31)

Kinds = tuple[Direction, Purpose, CounterpartyKind | None]

# type, operation, k_symbol: what such a row is
ROWS: Mapping[tuple[str, str, str], Kinds] = {
    ("credit", "credit in cash", ""): ("C", "cash", None),
    ("credit", "collection from another bank", ""): ("C", "sales", "corporate"),
    ("credit", "", ""): ("C", "other", "financial"),
    ("credit", "", "interest credited"): ("C", "other", "financial"),
    ("withdrawal", "withdrawal in cash", ""): ("D", "cash", None),
    ("withdrawal in cash", "withdrawal in cash", ""): ("D", "cash", None),
    ("withdrawal", "credit card withdrawal", ""): ("D", "cash", None),
    ("withdrawal", "withdrawal in cash", "household"): ("D", "utility", None),
    ("withdrawal", "withdrawal in cash", "payment for statement"): ("D", "fee", None),
    ("withdrawal", "withdrawal in cash", "sanction interest if negative balance"): ("D", "interest", None),
    ("withdrawal", "remittance to another bank", "household"): ("D", "utility", None),
    ("withdrawal", "remittance to another bank", "insurrance payment"): ("D", "fee", None),  # spelled so there
    ("withdrawal", "remittance to another bank", "blank"): ("D", "purchase", "corporate"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """One row of the loans."""

    loan_id: str
    enterprise_id: str
    granted: int  # day number
    term_months: int
    principal_minor: int
    payment_minor: int
    status: str  # A, B, C, D, or empty
    line: int  # of the file

    @property
    def end(self) -> int:
        """The day of the last instalment."""
        return months_later(self.granted, self.term_months)

    @property
    def known(self) -> int:
        """The day on which the status was known."""
        return self.end if self.status in FINISHED else LAST_DAY


class Accounts:
    """The `Source` of the accounts under `directory`."""

    name = "berka"
    banks = (BANK,)
    is_history = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._rows: Counter[str] = Counter()
        self._outcomes: dict[str, Label] = {}

    @property
    def identity(self) -> str:
        """Return the identity, made of the sizes of the files. Raise SourceError where there are none."""
        return identity_of(self.name, 1, self.directory, NAMES)

    def deliveries(self) -> Iterator[Delivery]:
        """Yield day by day outcomes, transactions, consents and loans, each day closed by its receipt.

        `control.v1` is read before the banks, so an outcome is at its enterprise's first day: its `matured_on` says
        from when on it may be learned. Raise SourceError, with file, row or line, and column, where one is wrong.
        """
        self._rows = Counter()
        loans = self.loans()
        self._rows["read"] += len(loans)
        accounts = self._transactions()
        self._outcomes = {one.loan_id: LABELS[one.status] for one in loans if one.status}
        txns = sorted((txn for rows in accounts.values() for txn in rows), key=attrgetter("event_time"))
        reports = sorted((report for one in loans for report in _reports(one)), key=attrgetter("event_time"))
        consents = sorted((_consent(one) for one in loans), key=attrgetter("event_time"))
        first = {name: rows[0].event_time for name, rows in accounts.items()}
        topic = topics.bank_events(BANK.bank_id)
        # Within a day the rows come first, then the loans: each is granted on what was known then.
        booked: Iterator[Txn | Loan] = heapq.merge(txns, reports, key=attrgetter("event_time"))
        feed = closed_by_receipts([BANK], (Delivery(event.event_time, topic, event) for event in booked))
        gateway = (Delivery(consent.event_time, topics.GATEWAY, consent) for consent in consents)
        outcomes = sorted((_outcome(one, first) for one in loans), key=attrgetter("event_time"))
        control = (Delivery(outcome.event_time, topics.CONTROL, outcome) for outcome in outcomes)
        for delivery in heapq.merge(control, gateway, feed, key=attrgetter("at_ms")):
            event = delivery.event
            self._rows["made"] += not (isinstance(event, Txn) or (isinstance(event, Loan) and event.event == "granted"))
            yield delivery

    def rows(self) -> Mapping[str, int]:
        """`read` (of both files), `made` (receipts, and what a loan's row gives beside its grant), `dropped: zero`."""
        return {"read": 0, "made": 0, **self._rows}

    def outcomes(self) -> Mapping[str, Label]:
        """Return those of the loans with a status."""
        return self._outcomes

    def loans(self) -> list[Lent]:
        """Return the loans in the order of their file. Raise SourceError by line; also where an account has two."""
        loans: dict[str, tuple[int, Lent]] = {}
        for line, row in read_lines(self.directory / LOANS, LOAN_COLUMNS, NAMES):
            one = _lent(line, row)
            if one.enterprise_id in loans:
                first = loans[one.enterprise_id][0]
                raise SourceError(
                    f"{LOANS}, line {line}, column account_id: {row['account_id']} has the loan of line {first}"
                )
            loans[one.enterprise_id] = (line, one)
        return [one for _, one in loans.values()]

    def _transactions(self) -> dict[str, list[Txn]]:
        """Return each account's transactions in the order in which they were booked."""
        columns = read_columns(self.directory / TRANS, COLUMNS, NAMES)
        accounts: dict[str, list[Txn]] = defaultdict(list)
        for number, row in enumerate(zip(*(columns[name] for name in COLUMNS), strict=True)):
            self._rows["read"] += 1
            txn = _txn(number, *row)
            if txn is None:
                self._rows["dropped: zero"] += 1
                continue
            accounts[txn.enterprise_id].append(txn)
        return {name: list(_in_order(txns)) for name, txns in accounts.items()}


def _txn(
    number: int,
    trans_id: int,
    account_id: int,
    when: datetime,
    kind: str,
    operation: str,
    amount: float,
    balance: float,
    symbol: str,
    bank: str,
    account: str,
) -> Txn | None:
    """Return one row; None where it moves nothing."""
    where = f"{TRANS}, column {{}}, row {number}".format
    found = ROWS.get((kind, operation, symbol))
    if found is None:
        said = f"{kind!r}, {operation!r}, {symbol!r}"
        raise SourceError(f"{where('type')}: {said} are no type, operation and k_symbol of the data set")
    direction, purpose, counterparty_kind = found
    amount_minor = minor_units(amount, where("amount"))
    if amount_minor < 0:
        raise SourceError(f"{where('amount')}: {amount} is below zero")
    balance_minor = minor_units(balance, where("balance"))
    if amount_minor == 0:
        return None
    return Txn(
        event_id=f"trans-{trans_id}",
        bank_id=BANK.bank_id,
        enterprise_id=_enterprise(account_id),
        event_time=day_start_ms(day_of_date(when.date())),
        date_only=True,
        account=f"account-{account_id}",
        direction=direction,
        amount_minor=amount_minor,
        currency="CNY",
        balance_minor=balance_minor,
        # Cash is drawn with account 0 and no bank: nobody is on the other side.
        counterparty_id=f"{bank}-{account}" if bank else None,
        counterparty_bank_code=bank or None,
        counterparty_kind=counterparty_kind,
        purpose=purpose,
    )


def _in_order(txns: Iterable[Txn]) -> Iterator[Txn]:
    """Yield an account's transactions by day, within a day as their balances follow from each other.

    The ids do not tell: interest and fees have high ones. Where no balance follows, the lowest id comes next.
    """
    days: dict[int, list[Txn]] = defaultdict(list)
    for txn in sorted(txns, key=lambda txn: int(txn.event_id.removeprefix("trans-"))):
        days[txn.event_time].append(txn)
    balance_minor = 0
    for at_ms in sorted(days):
        left = days[at_ms]
        while left:
            following = (i for i, txn in enumerate(left) if abs(balance_minor - _before(txn)) <= GAP_MINOR_MAX)
            txn = left.pop(next(following, 0))
            balance_minor = txn.balance_minor or 0
            yield txn


def _before(txn: Txn) -> int:
    """Return the balance before a transaction, by the one after it."""
    return (txn.balance_minor or 0) - (txn.amount_minor if txn.direction == "C" else -txn.amount_minor)


def _lent(line: int, row: Mapping[str, str]) -> Lent:
    where = f"{LOANS}, line {line}, column {{}}".format
    for name in ("loan_id", "account_id", "duration"):
        if not (row[name].isascii() and row[name].isdecimal() and len(row[name]) <= 9):
            raise SourceError(f"{where(name)}: {row[name]!r} is no whole number")
    months = int(row["duration"])
    if not 0 < months <= TERM_MONTHS_MAX:
        raise SourceError(f"{where('duration')}: {months} is not between 1 and {TERM_MONTHS_MAX} months")
    if row["status"] and row["status"] not in LABELS:
        raise SourceError(f"{where('status')}: {row['status']!r} is neither empty nor one of {', '.join(LABELS)}")
    amounts = {}
    for name in ("amount", "payments"):
        try:
            amounts[name] = minor_units(float(row[name]), where(name))
        except ValueError:
            raise SourceError(f"{where(name)}: {row[name]!r} is no amount") from None
        if amounts[name] <= 0:
            raise SourceError(f"{where(name)}: {row[name]} is not above zero")
    try:
        granted = day_of_text(row["date"])
    except ValueError:
        raise SourceError(f"{where('date')}: {row['date']!r} is no date") from None
    one = Lent(
        loan_id=f"loan-{row['loan_id']}",
        enterprise_id=_enterprise(int(row["account_id"])),
        granted=granted,
        term_months=months,
        principal_minor=amounts["amount"],
        payment_minor=amounts["payments"],
        status=row["status"],
        line=line,
    )
    if one.status and not one.granted < one.known <= LAST_DAY:
        raise SourceError(f"{where('status')}: {one.status} was not known by {date_of(LAST_DAY)}, the last day")
    return one


def _reports(one: Lent) -> Iterator[Loan]:
    """Yield the lender's reports on a loan, each with its time."""
    months = range(1, one.term_months + 1)
    due_on = [date_of(months_later(one.granted, month)).isoformat() for month in months]
    granted = _report(one, "granted", one.granted)
    yield msgspec.structs.replace(
        granted,
        due_on=due_on[0],
        due_minor=one.payment_minor,
        schedule=tuple(Instalment(due_on=on, due_minor=one.payment_minor) for on in due_on),
        first_loan=True,
    )
    yield _report(one, "closed", one.granted)
    if one.status == "B":
        yield _report(one, "default", one.known, reason="合同到期未还清")
        yield msgspec.structs.replace(_report(one, "closed", one.known), event_id=f"{one.loan_id}-ended")
    if one.status == "D":
        yield _report(one, "overdue", one.known)


def _report(one: Lent, event: LoanEvent, day: int, *, reason: str | None = None) -> Loan:
    return Loan(
        event_id=f"{one.loan_id}-{event}",
        bank_id=BANK.bank_id,
        enterprise_id=one.enterprise_id,
        event_time=day_start_ms(day),
        date_only=True,
        loan_id=one.loan_id,
        event=event,
        principal_minor=one.principal_minor,
        outstanding_minor=one.principal_minor,  # as granted: no payment is known
        granted_on=date_of(one.granted).isoformat(),
        reason=reason,
    )


def _consent(one: Lent) -> Authorization:
    """贷后管理 from the day before the grant until the loan's end."""
    at_ms, authorization_id = _consent_ms(one), f"{one.loan_id}-consent"
    return Authorization(
        event_id=authorization_id,
        bank_id=GATEWAY_ID,
        enterprise_id=one.enterprise_id,
        event_time=at_ms,
        date_only=True,
        to_bank_id=BANK.bank_id,
        purpose="贷后管理",
        valid_from=at_ms,
        valid_to=day_start_ms(one.end + 1),
        authorization_id=authorization_id,
        consent_hash=consent_hash(authorization_id),
        confirmed_by_enterprise_at=at_ms,
    )


def _consent_ms(one: Lent) -> int:
    return day_start_ms(one.granted - 1)


def _outcome(one: Lent, first_ms: Mapping[str, int]) -> Outcome:
    """Return what became of a loan; `first_ms`: of the first transaction by enterprise id."""
    at_ms = _consent_ms(one)
    at_ms = min(first_ms.get(one.enterprise_id, at_ms), at_ms)
    return Outcome(
        event_id=f"{one.loan_id}-outcome",
        bank_id=BANK.bank_id,
        enterprise_id=one.enterprise_id,
        event_time=at_ms,
        date_only=True,
        loan_id=one.loan_id,
        label=LABELS.get(one.status, "good"),  # learn asks for it when it matures, and not before
        matured_on=(date_of(one.known) if one.status else NEVER).isoformat(),
    )


def _enterprise(account_id: int) -> str:
    return f"berka-{account_id}"
