"""A good transaction, changed in the fields that a test is about."""

from typing import Any

import msgspec

from domain.events import LogRecord, Txn

_GOOD = Txn(
    event_id="t1",
    bank_id="Z9000000000001",
    enterprise_id="91310000MA1FL0XX1A",
    event_time=1_709_510_400_000,
    account="6222 0200 1234 5678",
    direction="C",
    amount_minor=123_456,
    currency="CNY",
)


def txn(**fields: Any) -> Txn:
    """Return one as the engine holds it; it is not validated."""
    return msgspec.structs.replace(_GOOD, **fields)


def logged(event: Any, **stamps: Any) -> LogRecord:
    """Return an event as in the log. `stamps` are those of ingest; amounts are in yuan."""
    cny = event.amount_minor if isinstance(event, Txn) else None
    return LogRecord(event=event, **{"fingerprint": "0" * 16, "amount_cny_minor": cny} | stamps)


def txn_row(**fields: Any) -> dict[str, Any]:
    """Return a transaction as a bank sends it. Fields may be invalid; None removes one."""
    row = msgspec.to_builtins(_GOOD) | fields
    return {name: value for name, value in row.items() if value is not None}
