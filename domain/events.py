"""Inputs: the events of `bank.<bank_id>.events.v1`, and the records of the one log `events.v1`.

All are JSON objects tagged by `type`. Times are milliseconds of the epoch (UTC), money is integer minor units (fen for
CNY). Unknown fields are refused: within a schema version nothing is ignored silently.
"""

from typing import Annotated, Literal

import msgspec

from domain.ids import BankIdText, CaseIdText, DayText, EnterpriseIdText, EventIdText, LoanIdText, TokenText
from domain.money import AmountMinor, BalanceMinor, MoneyMinor

SCHEMA = "xinliu.event/1"
LEARN = "learn"  # signs what is decided by learn alone, without an operator
EVENT_BYTES_MAX = 64 * 1024
HEADERS_BYTES_MAX = 64 * 1024  # all headers of a record together, in the bytes of Kafka's record format
FINGERPRINT_DIGITS = 16

Direction = Literal["C", "D"]  # C credit = money in, D debit = money out, from the customer's side
CounterpartyKind = Literal["corporate", "personal", "financial", "government", "internal"]
Purpose = Literal[
    "sales", "purchase", "payroll", "tax", "social_security", "utility", "rent", "loan_disbursement", "loan_repayment",
    "interest", "financing", "bill_collection", "bill_discount", "margin", "wealth", "own_transfer", "cash",
    "investment", "refund", "fee", "other",
]  # fmt: skip
TxnStatus = Literal["booked", "returned", "reversed"]
LoanEvent = Literal[
    "granted", "drawn", "instalment_due", "repaid", "overdue", "interest_overdue", "extended", "renewed",
    "restructured", "advance", "compensated", "classified", "written_off", "default", "closed",
]  # fmt: skip
FiveClass = Literal["正常", "关注", "次级", "可疑", "损失"]
GuaranteeType = Literal["信用", "保证", "抵押", "质押"]
RepaymentMethod = Literal["bullet", "instalment", "interest_first"]
GovEvent = Literal[
    "tax_paid", "social_security_paid", "housing_fund_paid", "utility_paid", "judicial_freeze", "judicial_release",
    "enforcement", "penalty", "licence_change", "fact",
]  # fmt: skip
CaseActionKind = Literal["sign", "begin", "submit", "approve", "return"]
Disposition = Literal["confirmed", "false_alarm", "known", "seasonal", "data_fault", "to_verify"]
AuthorizationPurpose = Literal["贷前审批", "贷后管理", "担保资格审查", "关联查询"]

Text256 = Annotated[str, msgspec.Meta(max_length=256)]
Text128 = Annotated[str, msgspec.Meta(max_length=128)]
Code = Annotated[str, msgspec.Meta(max_length=32)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
TimeMs = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]  # the business bounds have reasons of their own


class _Tagged(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True, omit_defaults=True
):
    """Base of every event."""


class EnterpriseEvent(_Tagged, frozen=True, kw_only=True):
    """The common fields of events about one enterprise; `event_id` is unique within its bank and enterprise."""

    event_id: EventIdText
    bank_id: BankIdText
    enterprise_id: EnterpriseIdText
    event_time: TimeMs
    date_only: bool = False  # the day is known, the time is not
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None  # per account, where the bank numbers them


class Txn(EnterpriseEvent, frozen=True, kw_only=True, tag="txn"):
    """One account transaction. A returned or reversed one repeats its original's fields and names it."""

    account: TokenText
    direction: Direction
    amount_minor: AmountMinor
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    balance_minor: BalanceMinor | None = None
    counterparty_id: TokenText | None = None
    counterparty_name: Text128 | None = None
    counterparty_account: TokenText | None = None
    counterparty_bank_code: Code | None = None
    counterparty_kind: CounterpartyKind | None = None
    purpose: Purpose | None = None
    summary_code: Code | None = None
    channel: Code | None = None
    status: TxnStatus = "booked"
    ref_event_id: EventIdText | None = None
    ref_event_time: TimeMs | None = None
    return_reason: Text128 | None = None
    memo: Text256 | None = None


class Instalment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a repayment schedule."""

    due_on: DayText
    due_minor: MoneyMinor


class Loan(EnterpriseEvent, frozen=True, kw_only=True, tag="loan"):
    """One event about a loan, from its lender. `dpd` is days past due as the lender reports them."""

    loan_id: LoanIdText
    event: LoanEvent
    principal_minor: MoneyMinor
    outstanding_minor: MoneyMinor
    limit_minor: MoneyMinor | None = None
    revolving: bool = False
    repayment_method: RepaymentMethod = "instalment"
    granted_on: DayText
    due_on: DayText | None = None
    due_minor: MoneyMinor | None = None
    dpd: Annotated[int, msgspec.Meta(ge=0, le=20_000)] | None = None
    five_class: FiveClass | None = None
    classified_on: DayText | None = None
    renews_loan_id: LoanIdText | None = None
    schedule: Annotated[tuple[Instalment, ...], msgspec.Meta(max_length=480)] = ()
    declared_use: Text128 | None = None
    entrusted_payee_id: TokenText | None = None
    guarantee_type: GuaranteeType | None = None
    guarantors: Annotated[tuple[TokenText, ...], msgspec.Meta(max_length=16)] = ()
    customer_no: Code | None = None
    contract_no: Code | None = None
    product_code: Code | None = None
    branch_code: Code | None = None
    manager_no: Code | None = None
    customer_name: Text128 | None = None  # goes to that lender alone
    first_loan: bool = False
    reason: Text128 | None = None  # of a default


class Gov(EnterpriseEvent, frozen=True, kw_only=True, tag="gov"):
    """One event from a government source, through the gateway."""

    event: GovEvent
    source: Code
    adverse: bool | None = None
    amount_minor: MoneyMinor | None = None
    due_on: DayText | None = None
    item: Text128 | None = None
    value: Text128 | None = None


class Profile(EnterpriseEvent, frozen=True, kw_only=True, tag="profile"):
    """The enterprise master record, through the gateway."""

    industry: Annotated[str, msgspec.Meta(pattern="^[A-T]$")]
    region: Annotated[str, msgspec.Meta(pattern="^[0-9]{6}$")]
    size_class: Literal["large", "medium", "small", "micro"]
    registered_capital_minor: MoneyMinor | None = None
    paid_in_capital_minor: MoneyMinor | None = None
    opened_on: DayText | None = None
    declared_annual_sales_minor: MoneyMinor | None = None
    related_party_ids: Annotated[tuple[TokenText, ...], msgspec.Meta(max_length=32)] = ()
    name_masked: Text128 | None = None
    succeeds_id: EnterpriseIdText | None = None


class Authorization(EnterpriseEvent, frozen=True, kw_only=True, tag="authorization"):
    """The enterprise's consent that `to_bank_id` may see its data, through the gateway: a bank cannot authorize itself.

    `bank_id` is the writer's own code (the gateway's), as in every event.
    """

    to_bank_id: BankIdText
    purpose: AuthorizationPurpose
    valid_from: TimeMs
    valid_to: TimeMs
    authorization_id: EventIdText
    consent_hash: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    confirmed_by_enterprise_at: TimeMs
    revoked: bool = False


class CaseAction(EnterpriseEvent, frozen=True, kw_only=True, tag="case_action"):
    """An action of a bank's staff on a case, from that bank or from the platform's desk. `bank_id` is the case's bank.

    A submit has a disposition; one that holds until a day keeps the bank from further alerts of that case.
    """

    case_id: CaseIdText
    action: CaseActionKind
    actor: TokenText
    disposition: Disposition | None = None
    until: DayText | None = None
    measure: Text128 | None = None
    remark: Text256 | None = None


class Outcome(EnterpriseEvent, frozen=True, kw_only=True, tag="outcome"):
    """A matured label from an operator, for data sets whose loan events are absent."""

    observation_id: EventIdText | None = None
    loan_id: LoanIdText | None = None
    label: Literal["good", "bad"]
    matured_on: DayText


class Receipt(_Tagged, frozen=True, kw_only=True, tag="receipt"):
    """The end of a bank's day, with its counts and totals. One for each bank and day, also of a day without events."""

    bank_id: BankIdText
    day: DayText
    count: Count
    debit_minor: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    credit_minor: Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Feed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far one bank's feed is, in a tick. Days are day numbers (domain.calendar)."""

    last_event_time: TimeMs | None = None
    covered_up_to: int | None = None  # last day with a receipt, without a gap before it
    closed_up_to: int | None = None  # covered, or its deadline has passed
    stalled: bool = False
    receipts_ahead: tuple[int, ...] = ()  # days with a receipt after a gap: what the writer needs after a restart


class Tick(_Tagged, frozen=True, kw_only=True, tag="tick"):
    """Event time reached, written to every partition. It never goes back; a repeat changes nothing."""

    up_to: TimeMs
    feeds: dict[str, Feed]


class Control(_Tagged, frozen=True, kw_only=True, tag="control"):
    """A control record of an operator (or of learn, by ingest), copied by ingest to every partition: a barrier.

    `artefact_id` with `artefact` activates a content-addressed artefact from this record on. `topic`, `partition` and
    `offset` name the unreadable batch at which a feed is paused: `feed_resume` has it fetched again, `feed_skip` has
    the feed go on at `next_offset`. `model_resume` lets learn activate models again after an operator went back to an
    earlier one. `principal` is whose rights the writer's connection had; `by` is a remark of the writer's.
    """

    control_id: EventIdText
    action: Literal[
        "backfill_open",
        "backfill_close",
        "activate",
        "engine_version",
        "admit",
        "feed_resume",
        "feed_skip",
        "model_resume",
    ]
    artefact: Literal["model", "rules", "catalogue", "calendar", "peer", "lists", "fx"] | None = None
    artefact_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    topic: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    partition: Count | None = None
    offset: Offset | None = None
    next_offset: Offset | None = None
    by: Code
    reason: Text256
    principal: Annotated[str, msgspec.Meta(max_length=64)] | None = None

    @property
    def is_of_learn(self) -> bool:
        """Whether it is learn's word: ingest has written it, which writes for nobody else.

        Learn wrote by itself once. What another principal signs as learn is not learn's.
        """
        return self.by == LEARN and self.principal in (None, "ingest", LEARN)

    @property
    def author(self) -> str:
        """The principal that wrote it, and whom it names.

        The latter alone where brokers ask for no principal, and of what ingest has written for learn.
        """
        if self.is_of_learn or self.principal in (None, self.by):
            return self.by
        return f"{self.principal} ({self.by})"


class Derived(_Tagged, frozen=True, kw_only=True, tag="derived"):
    """A finding from other enterprises' streams, once by content id. No role writes it yet."""

    event_id: EventIdText
    enterprise_id: EnterpriseIdText
    event_time: TimeMs
    event: Literal["payer_level_changed", "circular_path_closed"]
    enterprises: Annotated[tuple[EnterpriseIdText, ...], msgspec.Meta(max_length=32)]
    amount_minor: MoneyMinor | None = None


FromBank = Txn | Loan | Receipt | CaseAction
FromDesk = CaseAction
FromGateway = Gov | Profile | Authorization
FromOperator = Outcome | Control
AnyEvent = Txn | Loan | Receipt | Gov | Profile | Authorization | CaseAction | Outcome | Tick | Control | Derived
LogEvent = Txn | Loan | Gov | Profile | Authorization | CaseAction | Outcome | Tick | Control | Derived


class LogRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The value of a record of `events.v1`: an accepted event (personal ids as tokens), and what ingest adds to it.

    fingerprint: 16 hex digits, a keyed hash of the canonical fields that the bank sent; empty for a barrier.
    origin: (topic, partition, offset) of the record that it was made of; for a tick, how far its writer had polled.
    amount_cny_minor: the amount at the reference rate of the business day; None: no transaction, or no rate.
    admitted: an operator has admitted it, however late it is.
    """

    event: LogEvent
    fingerprint: Annotated[str, msgspec.Meta(pattern=f"^([0-9a-f]{{{FINGERPRINT_DIGITS}}})?$")] = ""
    origin: tuple[str, int, int] | None = None
    amount_cny_minor: int | None = None
    rate_micro: int | None = None
    rate_day: int | None = None
    admitted: bool = False
