"""Named queries for a lender's own transactions and loan facts, cut to the bank and to the alert's place in the log."""

import time
from typing import Any

import msgspec
import pytest

from config.catalogue import signals
from detectors.rules.artefact import packaged_rules
from domain import topics
from domain.events import Authorization, Loan, LogRecord
from domain.outputs import CaseRecord
from sinks.clickhouse import Connection
from sinks.clickhouse.case_facts import case_facts
from sinks.clickhouse.consents import consent_at
from sinks.clickhouse.loan_facts import handlers, loan_facts
from sinks.clickhouse.own_transactions import SHOWN_MAX, own_transactions, picked
from sinks.clickhouse.tables import CONSENT, LOAN, TXN
from sinks.routing import Handler
from tests.detectors.wording import examples
from tests.sinks.kit import read
from tests.transactions import logged, txn

MINE, OTHER = "Z9000000000001", "Z9000000000002"
AS_OF, DAY_MS = 1_700_000_000_000, 86_400_000
NO_TRANSACTIONS = {"EWS45_judicial_freeze", "EWS47_score_drop", "EWS48_adverse_gov_event", "EWS50_guarantee_called"}


def store(archive: Connection, table: Any, *rows: tuple[int, LogRecord]) -> None:
    archive.insert(
        table.insert(table.rows(read(topics.EVENTS, rows, time_ms=int(time.time() * 1_000))), f"t:{table.name}")
    )


def test_every_signal_of_the_catalogue_that_is_named_exists_and_every_evaluated_one_is_answered() -> None:
    assert set(picked()) <= {row.id for row in signals()}
    evaluated = {signal.row.id for signal in packaged_rules().evaluated}
    assert evaluated - set(picked()) == evaluated & NO_TRANSACTIONS
    for name, row in picked().items():
        assert row.cells or row.returned, name


def one(number: int, **fields: Any) -> tuple[int, LogRecord]:
    """Return the record at offset `number`, of a credit an hour before the alert."""
    given = {"event_id": f"t{number}", "bank_id": MINE, "enterprise_id": "E", "event_time": AS_OF - 3_600_000}
    return number, logged(txn(**given | {"purpose": "sales", "amount_minor": 100 + number} | fields))


def test_they_are_the_banks_own_of_the_signals_kind_and_days_up_to_the_alert(archive: Connection) -> None:
    store(
        archive, TXN,
        one(1), one(2, bank_id=OTHER), one(3, enterprise_id="F"), one(4, event_time=AS_OF), one(5, purpose="financing"),
        one(6, event_time=AS_OF - 120 * DAY_MS), one(7, event_time=AS_OF - 120 * DAY_MS - 1), one(8, status="returned"),
        one(9), one(11), one(10, direction="D", purpose="cash"),
        one(12, direction="D", purpose="other", counterparty_kind="personal"), one(13, purpose="investment"),
    )  # fmt: skip

    def found(signal: str, up_to: int = 100, bank: str = MINE) -> list[str]:
        return [each.event_id for each in own_transactions(archive, signal, bank, "E", AS_OF, up_to)]

    assert found("EWS01_inflow_collapse") == ["t11", "t9", "t6", "t1"], "the largest first"
    assert found("EWS01_inflow_collapse", 9) == ["t9", "t6", "t1"], "what came later is left out"
    assert found("EWS06_credit_count_fall") == ["t1", "t11", "t9", "t6"], "the newest first"
    assert found("EWS24_non_operating_inflow") == ["t13", "t5"]
    assert found("EWS28_returned_debits") == ["t8"]
    assert found("EWS40_cash_withdrawal") == ["t10"]
    assert found("EWS26_corp_to_personal") == ["t12"]
    assert found("EWS47_score_drop") == []
    for signal in picked():
        assert set(found(signal, bank=OTHER)) <= {"t2"}, "another bank's are not among them"
        assert "t2" not in found(signal)


def test_no_more_than_a_page_of_them_is_shown(archive: Connection) -> None:
    store(archive, TXN, *(one(number) for number in range(SHOWN_MAX + 9)))
    shown = own_transactions(archive, "EWS01_inflow_collapse", MINE, "E", AS_OF, 10**6)
    assert [each.amount_minor for each in shown] == sorted(range(109, 109 + SHOWN_MAX), reverse=True)


def fact(offset: int, loan_id: str = "L1", bank_id: str = MINE, **fields: Any) -> tuple[int, LogRecord]:
    given = {"event_id": f"l{offset}", "enterprise_id": "E", "event_time": offset, "event": "granted"}
    amounts = {"principal_minor": 5, "outstanding_minor": 5, "granted_on": "2026-01-05"}
    return offset, LogRecord(event=Loan(bank_id=bank_id, loan_id=loan_id, **given | amounts | fields))


def test_facts_of_loans_are_the_newest_that_were_reported_up_to_the_alert(archive: Connection) -> None:
    store(
        archive, LOAN,
        fact(1, customer_no="c1", branch_code="b1", manager_no="m1", guarantee_type="保证", guarantors=("g1",)),
        fact(3, event="repaid", branch_code="b2"), fact(9, branch_code="b3"),
        fact(2, "L2", five_class="关注"), fact(4, "L1", OTHER, branch_code="secret", customer_no="secret"),
    )  # fmt: skip

    def facts(up_to: int) -> list[Any]:
        return [*loan_facts(archive, MINE, "E", up_to)]

    first, second = facts(8)
    assert (first.loan_id, first.customer_no, first.branch_code, first.manager_no) == ("L1", "c1", "b2", "m1")
    assert (first.guarantee_type, second.five_class) == ("保证", "关注")
    assert (second.branch_code, second.principal_minor) == (None, 5)
    assert [one.branch_code for one in facts(9)] == ["b3", None]
    assert "secret" not in str(facts(9))
    assert [one.guarantors for one in facts(1)] == [("g1",)]
    assert handlers(archive, MINE, "E", 8, {"L1"}) == [Handler("b2", "m1")]
    assert handlers(archive, MINE, "E", 8, {"L2", "L9"}) == [Handler(None, None)]


@pytest.mark.parametrize("bank", [OTHER, "Z9000000000003"])
def test_a_bank_without_loans_there_is_told_nothing(archive: Connection, bank: str) -> None:
    store(archive, LOAN, fact(1, customer_no="c1"))
    assert handlers(archive, bank, "E", 10, {"L1"}) == []


def test_the_facts_of_a_case_are_its_banks_own_and_each_alert_has_its_transactions(archive: Connection) -> None:
    store(archive, TXN, one(1), one(2, bank_id=OTHER), one(5), one(6, direction="D", purpose="loan_repayment"))
    store(archive, LOAN, fact(3, customer_no="c1"), fact(4, "L2", OTHER, customer_no="secret"), fact(9, "L9"))
    store(archive, CONSENT, consent(7, 100, AS_OF + 1), consent(8, 100, AS_OF + 1, to_bank_id=OTHER))
    record = CaseRecord(
        case_id="c", bank_id=MINE, enterprise_id="E", state="awaiting", change="opened", severity="red", opened_at=1,
        as_of=AS_OF, contact_due=None, visit_due=None, due=None, escalation="desk", exposure_minor=1, maker=None,
        checker=None, disposition=None, until=None, offset=5, seq=0,
    )  # fmt: skip
    collapse, arrears = (
        msgspec.structs.replace(examples.revision(name, "yellow", {}), alert_id=name, as_of=AS_OF, offset=offset)
        for name, offset in (("EWS01_inflow_collapse", 4), ("EWS35_arrears", -1))
    )
    found = case_facts(archive, record, [collapse, arrears])
    assert (found.up_to, [loan.loan_id for loan in found.loans], found.consents) == (5, ["L1"], {"贷前审批": "z7"})
    told = {name: [each.event_id for each in some] for name, some in found.transactions.items()}
    assert told == {"EWS01_inflow_collapse": ["t1"], "EWS35_arrears": []}, (
        "each as of its alert, a notice as of the case"
    )
    assert case_facts(archive, msgspec.structs.replace(record, offset=6), [arrears]).transactions[arrears.alert_id]
    assert case_facts(archive, record, []).transactions == {}


def consent(offset: int, at_ms: int, to_ms: int = 10_000, **fields: Any) -> tuple[int, LogRecord]:
    given = {
        "to_bank_id": MINE,
        "purpose": "贷前审批",
        "valid_from": at_ms,
        "valid_to": to_ms,
        "consent_hash": "0" * 64,
    }
    event = Authorization(
        event_id=f"c{offset}", bank_id="Z2004944000010", enterprise_id="E", event_time=at_ms,
        authorization_id=f"z{offset}", confirmed_by_enterprise_at=0, **given | fields,
    )  # fmt: skip
    return offset, LogRecord(event=event)


def test_consents_for_every_purpose_are_kept_for_who_asks_without_a_loan(archive: Connection) -> None:
    store(
        archive, CONSENT,
        consent(1, 100, 200), consent(2, 300), consent(3, 500, revoked=True), consent(4, 700),
        consent(5, 100, to_bank_id=OTHER), consent(6, 100, purpose="担保资格审查"),
    )  # fmt: skip

    def at(ms: int, bank: str = MINE, purpose: Any = "贷前审批") -> str | None:
        return consent_at(archive, bank, "E", purpose, ms)

    assert [at(ms) for ms in (99, 100, 199, 200, 300, 499, 500, 699, 700, 9_999, 10_000)] == [
        None, "z1", "z1", None, "z2", "z2", None, None, "z4", "z4", None,
    ]  # fmt: skip
    assert (at(600, OTHER), at(600, purpose="担保资格审查"), at(600, purpose="关联查询")) == ("z5", "z6", None)
