"""An attack on the fingerprint: who reads the log guesses the last digits of an account, and compares."""

import hashlib
from collections.abc import Callable, Iterable

import msgspec

from domain.events import FINGERPRINT_DIGITS, LogRecord, Txn
from features.state.hashing import siphash
from streams.ingest.fingerprint import as_array

Hash = Callable[[bytes], str]

UNKEYED: dict[str, Hash] = {
    "BLAKE2b": lambda message: hashlib.blake2b(message, digest_size=FINGERPRINT_DIGITS // 2).hexdigest(),
    "BLAKE2b, cut": lambda message: hashlib.blake2b(message).hexdigest()[:FINGERPRINT_DIGITS],
    "SHA-256, cut": lambda message: hashlib.sha256(message).hexdigest()[:FINGERPRINT_DIGITS],
    "SipHash under the public key": lambda message: f"{int(siphash(as_array(message), 0, len(message), 0)):016x}",
}


def guessed(record: LogRecord, accounts: Iterable[str], hashed: Hash) -> str | None:
    """Return the account among `accounts` under which a fee row has its fingerprint; None where there is none."""
    assert isinstance(record.event, Txn)
    assert record.event.counterparty_id is record.event.counterparty_account is None, "all else is in clear"
    for account in accounts:
        if hashed(msgspec.json.encode(msgspec.structs.replace(record.event, account=account))) == record.fingerprint:
            return account
    return None
