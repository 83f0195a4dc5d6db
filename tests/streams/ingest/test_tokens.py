"""Tokens of personal identifiers."""

import hmac
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import CaseAction, Loan, Txn
from streams.ingest.tokens import Tokens
from tests.corpus.cases import good

TOKENS = Tokens(b"k" * 32)
PERSON = "11010519491231002X"
COMPANY = "91310000MA1FL0XX1A"
TXN = json.loads(good()[0].payload or b"")


def txn(**fields):
    return msgspec.convert(TXN | fields, Txn)


@given(st.binary(max_size=200), st.text("0123456789ABCXYZ-", min_size=1))
def test_a_token_is_the_keyed_hash_of_kind_and_identifier(key, text):
    key_id, digits = Tokens(key).token("account", text).split(".")
    assert key_id == hmac.digest(key, b"key id", "sha256").hex()[: len(key_id)]
    assert digits == hmac.digest(key, b"account\0" + text.encode(), "sha256").hex()[:32]


def test_an_account_has_the_same_token_as_own_and_as_counterpartys_account():
    one = TOKENS.pseudonymous(txn(account="6222 0200 1234"))
    other = TOKENS.pseudonymous(txn(counterparty_account="622202001234"))
    assert one.account == other.counterparty_account
    assert "6222" not in one.account


def test_a_token_names_its_key_and_differs_by_key_and_kind():
    account, person = TOKENS.token("account", "1"), TOKENS.token("person", "1")
    other = Tokens(b"l" * 32)
    assert len({account, person, other.token("account", "1")}) == 3
    assert account.split(".")[0] == TOKENS.key_id != other.key_id
    assert len(account.split(".")[1]) == 32


@pytest.mark.parametrize(
    ("kind", "given_id", "kept"),
    [("personal", "any", False), ("corporate", COMPANY, True), (None, COMPANY, True), (None, PERSON, False),
     ("corporate", PERSON, False), ("corporate", "any", False), (None, "C1010211000012", False)],
)  # fmt: skip
def test_a_counterparty_id_is_a_token_where_it_is_no_credit_code_of_an_enterprise(kind, given_id, kept):
    event = TOKENS.pseudonymous(txn(counterparty_id=given_id, counterparty_kind=kind))
    assert (event.counterparty_id == given_id) is kept


def test_a_name_becomes_a_token_only_where_nothing_else_identifies_and_is_never_kept():
    bare = {"counterparty_id": None, "counterparty_account": None}
    alone = TOKENS.pseudonymous(txn(**bare, counterparty_name="张　三 "))
    same = TOKENS.pseudonymous(txn(**bare, counterparty_name="张三"))
    beside = TOKENS.pseudonymous(txn(**bare | {"counterparty_account": "7"}, counterparty_name="张三"))
    assert alone.counterparty_id == same.counterparty_id == TOKENS.token("name", "张三")
    assert beside.counterparty_id is None
    assert {event.counterparty_name for event in (alone, same, beside)} == {None}


def test_staff_are_tokens_within_their_bank_and_remarks_are_masked():
    fields = json.loads(next(case.payload for case in good() if case.name == "case action") or b"")
    banks = ("Z9000000000001", "Z9000000000002", "Z9000000000001")
    kept = [
        TOKENS.pseudonymous(msgspec.convert(fields | {"bank_id": bank_id, "remark": "来电 13800138000"}, CaseAction))
        for bank_id in banks
    ]
    assert kept[0].actor == TOKENS.token("person", f"{banks[0]}|E1024")
    assert kept[0].actor == kept[2].actor != kept[1].actor
    assert kept[0].remark == "来电 ***********"


def test_persons_among_guarantors_are_tokens():
    loan = json.loads(next(case.payload for case in good() if case.name == "loan"))
    loan |= {"guarantors": [COMPANY, PERSON], "entrusted_payee_id": PERSON}
    event = TOKENS.pseudonymous(msgspec.convert(loan, Loan))
    assert event.guarantors[0] == COMPANY
    assert event.guarantors[1] == event.entrusted_payee_id == TOKENS.token("person", PERSON)
