"""An enterprise's account as its bank keeps it: postings in time order, numbered, each with the balance after it."""

from domain.events import CounterpartyKind, Direction, Purpose, Txn, TxnStatus

Counterparty = tuple[str, CounterpartyKind] | None  # token and kind


class Account:
    """`balance_minor` follows every posting; `seq` numbers them from 1."""

    __slots__ = ("account", "balance_minor", "bank_id", "enterprise_id", "seq")

    def __init__(self, bank_id: str, enterprise_id: str, account: str, balance_minor: int) -> None:
        self.bank_id = bank_id
        self.enterprise_id = enterprise_id
        self.account = account
        self.balance_minor = balance_minor
        self.seq = 0

    def post(
        self,
        at_ms: int,
        direction: Direction,
        amount_minor: int,
        purpose: Purpose,
        counterparty: Counterparty = None,
        channel: str = "ebank",
    ) -> Txn:
        """Book one transaction."""
        self.seq += 1
        self.balance_minor += amount_minor if direction == "C" else -amount_minor
        return Txn(
            event_id=f"{self.account}-{self.seq}",
            bank_id=self.bank_id,
            enterprise_id=self.enterprise_id,
            event_time=at_ms,
            seq=self.seq,
            account=self.account,
            direction=direction,
            amount_minor=amount_minor,
            currency="CNY",
            balance_minor=self.balance_minor,
            counterparty_id=counterparty[0] if counterparty else None,
            counterparty_kind=counterparty[1] if counterparty else None,
            purpose=purpose,
            channel=channel,
        )

    def undo(self, at_ms: int, original: Txn, status: TxnStatus, reason: str | None) -> Txn:
        """Return or reverse a booked transaction: its fields again, its reference, and its money back."""
        self.seq += 1
        self.balance_minor -= original.amount_minor if original.direction == "C" else -original.amount_minor
        return Txn(
            event_id=f"{self.account}-{self.seq}",
            bank_id=self.bank_id,
            enterprise_id=self.enterprise_id,
            event_time=at_ms,
            seq=self.seq,
            account=self.account,
            direction=original.direction,
            amount_minor=original.amount_minor,
            currency=original.currency,
            balance_minor=self.balance_minor,
            counterparty_id=original.counterparty_id,
            counterparty_kind=original.counterparty_kind,
            purpose=original.purpose,
            channel=original.channel,
            status=status,
            ref_event_id=original.event_id,
            ref_event_time=original.event_time,
            return_reason=reason,
        )
