"""The fingerprint of an event tells nothing about what the log hides, and still tells repeats from conflicts."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import LogRecord, Txn
from features.state.hashing import keyed_siphash
from streams.ingest.fingerprint import as_array, fingerprint
from streams.ingest.forwarding import Forwarder
from streams.ingest.token_key import fingerprint_key, subkey
from streams.ingest.tokens import Tokens
from streams.worker.role import TP
from tests.corpus.cases import good
from tests.streams.ingest.guessing import UNKEYED, guessed
from tests.streams.ingest.test_fast_path import SEALER, TOKENS, as_sent, becomes, canonical
from tests.transactions import txn_row

KEY = TOKENS.fingerprint_key
TXN = json.loads(good()[0].payload or b"")
ACCOUNT = "6222020000000004711"
ACCOUNTS = [ACCOUNT[:-4] + f"{number:04}" for number in range(10_000)]
FEE = txn_row(type=None, account=ACCOUNT, purpose="fee")


def txn(**fields):
    return msgspec.convert(TXN | fields, Txn)


@pytest.mark.parametrize("compiled", [True, False])
def test_the_account_of_a_fee_row_cannot_be_guessed_from_its_fingerprint(compiled):
    (((_, value), _),) = becomes(as_sent(canonical(**FEE)), compiled=compiled)
    record = msgspec.json.decode(value, type=LogRecord)
    assert {name: guessed(record, ACCOUNTS, hashed) for name, hashed in UNKEYED.items()} == dict.fromkeys(UNKEYED)
    other = fingerprint_key(b"k" * 31 + b"l")
    assert guessed(record, ACCOUNTS, lambda message: _hashed(message, other)) is None
    # Only the secret is lacking: under its key the same attack finds the account.
    assert guessed(record, ACCOUNTS, lambda message: _hashed(message, KEY)) == ACCOUNT


def _hashed(message, key):
    return f"{int(keyed_siphash(as_array(message), 0, len(message), *key)):016x}"


def test_an_event_has_the_same_fingerprint_by_every_path():
    (((_, fast), _),) = becomes(as_sent(canonical(**FEE)), compiled=True)
    event = msgspec.convert(FEE | {"type": "txn"}, Txn)
    _, slow = Forwarder(TOKENS, SEALER, compiled=False).forwarded(TP("t", 0), 0, event)
    found = {msgspec.json.decode(value, type=LogRecord).fingerprint for value in (fast, slow)}
    assert found == {fingerprint(event, KEY)} == {_hashed(msgspec.json.encode(event), KEY)}


@given(st.binary(min_size=1, max_size=64), st.binary(min_size=1, max_size=64))
def test_the_key_follows_from_the_secret_alone_and_is_no_other_key_of_it(one, other):
    assert (fingerprint_key(one).tobytes() == fingerprint_key(other).tobytes()) is (
        one.strip(b"\0") == other.strip(b"\0")
    )
    assert fingerprint_key(one).tobytes() == subkey(one, b"xinliu fingerprint/1", 32)[:16]
    assert Tokens(one).fingerprint_key.tobytes() not in (one[:16], Tokens(one).key_id.encode())


def test_a_subkey_is_that_of_rfc_5869():
    """Its third case: no salt, no purpose."""
    key = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert subkey(b"\x0b" * 22, b"", 42).hex() == key


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "310e0edd47db6f72"), (1, "fd67dc93c539f874"), (2, "5a4fa9d909806c0d"), (3, "2d7efbd796666785"),
     (15, "e545be4961ca29a1")],
)  # fmt: skip
def test_the_hash_is_siphash_as_its_authors_print_it(size, expected):
    key = np.frombuffer(bytes(range(16)), "<u8")
    hashed = keyed_siphash(as_array(bytes(range(size))), 0, size, *key)
    assert int(hashed).to_bytes(8, "little").hex() == expected


@given(st.permutations(sorted(TXN)), st.sampled_from(["", " ", "\n  "]))
def test_the_fingerprint_does_not_depend_on_the_order_of_keys_or_blanks(order, blank):
    text = json.dumps({name: TXN[name] for name in order}, separators=(f",{blank}", f":{blank}"))
    assert fingerprint(msgspec.json.decode(text, type=Txn), KEY) == fingerprint(txn(), KEY)


@given(st.sampled_from(["event_id", "account", "amount_minor", "memo", "currency"]), st.integers(1, 10**9))
def test_another_body_has_another_fingerprint(name, number):
    value = number if name == "amount_minor" else "USD" if name == "currency" else f"other-{number}"
    assert (fingerprint(txn(**{name: value}), KEY) == fingerprint(txn(), KEY)) is (value == TXN[name])
