"""A borrower whose sales have fallen, until its lender reports it overdue; and an enterprise that is quiet."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
from confluent_kafka import Producer

from config.settings import Bank
from detectors.snapshot import Snapshot
from domain import topics
from domain.calendar import DAY_MS, date_of, day_of_date, day_start_ms
from domain.events import SCHEMA, Authorization, Loan, Profile, Receipt, Txn
from sinks.artefacts import ArtefactMissing
from tests.transactions import txn

BANKS = (
    Bank(bank_id="Z9000000000001", name_zh="临江<b>银行</b>", name_en="Linjiang & Sons"),
    Bank(bank_id="Z9000000000002", name_zh="望海农商银行", name_en="", mode="daily_file"),
)
GATEWAY_ID = "Z9000000000000"
ENTERPRISE = "91450100TEST00001X"
QUIET = "91450100TEST00002X"
HOSTILE_NAME = '<script>window.pwned=1</script>"><img src=x onerror=window.pwned=2>甲\u202e乙'
HOSTILE_MEMO = "<svg onload=window.pwned=3> \u2066货款"
FIRST_DAY = day_of_date(date(2026, 3, 2))
LAST_DAY = FIRST_DAY + 130
BIG_DAY = FIRST_DAY + 110
USUAL, FALLEN, BIG = 1_000_000, 500_000, 7_500_000  # minor units a day
HEADERS = [("schema", SCHEMA.encode())]
Sent = tuple[str, Any]  # topic and event


def sale(day: int, number: int, amount_minor: int, enterprise_id: str = ENTERPRISE, **changes: Any) -> Txn:
    own = {
        "event_id": f"{enterprise_id[-6:]}-{number}", "bank_id": BANKS[0].bank_id, "enterprise_id": enterprise_id,
        "event_time": day_start_ms(day) + 10 * 3_600_000, "account": f"acc-{enterprise_id[-6:]}",
        "amount_minor": amount_minor, "balance_minor": 10_000_000 + number * 1_000,
        "counterparty_id": f"payer-{number % 7}", "counterparty_kind": "corporate", "purpose": "sales",
        "memo": HOSTILE_MEMO,
    }  # fmt: skip
    return txn(**own | changes)


def history() -> Iterator[Sent]:
    """130 days of two enterprises at the first bank, and a receipt a day of both banks."""
    start_ms = day_start_ms(FIRST_DAY) + 3_600_000
    bank_topics = [topics.bank_events(bank.bank_id) for bank in BANKS]
    for number, one in enumerate((ENTERPRISE, QUIET)):
        common = {"bank_id": GATEWAY_ID, "enterprise_id": one, "event_time": start_ms}
        yield topics.GATEWAY, Profile(
            event_id=f"p{number}", industry="C", region="450100", size_class="small",
            name_masked=HOSTILE_NAME if one == ENTERPRISE else "安静***公司", **common,
        )  # fmt: skip
        yield topics.GATEWAY, Authorization(
            event_id=f"a{number}", to_bank_id=BANKS[0].bank_id, purpose="贷后管理", valid_from=start_ms,
            valid_to=start_ms + 400 * DAY_MS, authorization_id=f"a{number}", consent_hash="0" * 64,
            confirmed_by_enterprise_at=start_ms - 1, **common,
        )  # fmt: skip
    yield bank_topics[0], Loan(
        event_id="l1", bank_id=BANKS[0].bank_id, enterprise_id=ENTERPRISE, event_time=start_ms + 7_200_000,
        loan_id="L1", event="granted", principal_minor=30_000_000, outstanding_minor=30_000_000,
        granted_on=date_of(FIRST_DAY).isoformat(), due_on=date_of(FIRST_DAY + 365).isoformat(), five_class="正常",
    )  # fmt: skip
    for day in range(FIRST_DAY, LAST_DAY):
        number = day - FIRST_DAY
        amount = BIG if day == BIG_DAY else USUAL if number < 100 else FALLEN
        sales = [sale(day, number, amount), sale(day, number, USUAL, QUIET)]
        yield from ((bank_topics[0], each) for each in sales)
        totals = (len(sales), sum(each.amount_minor for each in sales))
        for topic, bank, (count, credit) in zip(bank_topics, BANKS, (totals, (0, 0)), strict=True):
            on = date_of(day).isoformat()
            yield topic, Receipt(bank_id=bank.bank_id, day=on, count=count, debit_minor=0, credit_minor=credit)


def overdue() -> Sent:
    """The lender reports the loan eight days past due, within the day that is open: an orange alert at once."""
    return topics.bank_events(BANKS[0].bank_id), Loan(
        event_id="overdue", bank_id=BANKS[0].bank_id, enterprise_id=ENTERPRISE,
        event_time=day_start_ms(LAST_DAY) + 11 * 3_600_000, loan_id="L1", event="overdue", principal_minor=30_000_000,
        outstanding_minor=30_000_000, dpd=8, granted_on=date_of(FIRST_DAY).isoformat(),
    )  # fmt: skip


def send(bootstrap: str, events: Sequence[Sent], client: Mapping[str, str] | None = None) -> None:
    """Produce in order, and wait until all is acknowledged. `client`: further settings of librdkafka."""
    settings = {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 20, **(client or {})}
    producer = Producer(settings)
    failed: list[str] = []

    def delivered(error: Any, _message: Any) -> None:
        if error is not None:
            failed.append(str(error))

    for topic, event in events:
        key = None if isinstance(event, Receipt) else event.enterprise_id.encode()
        producer.produce(topic, msgspec.json.encode(event), key=key, headers=HEADERS, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(60) == 0
    assert not failed, failed[:3]


def no_models(model_id: str) -> Snapshot:
    """Stand for a topic of models that is empty."""
    raise ArtefactMissing(f"model.v1 has no artefact {model_id}")
