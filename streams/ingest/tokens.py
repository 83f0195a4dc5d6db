"""Personal identifiers become tokens before anything is written: keyed HMAC-SHA256 under the platform's one key.

Accounts and all parties but those with a credit code become tokens; numbers within free text are masked (masking.py).
One key for all banks, so that an account is the same token whoever names it. A token is `<key id>.<32 hex digits>`;
the key id is derived from the key, so that another key shows in the tokens. Operators rotate what opens the key, not
the key (token_key.py).
"""

import hmac
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import msgspec

from domain.events import CaseAction, Gov, Loan, Profile, Txn
from domain.ids import TOKEN_DIGITS
from domain.personal import canonical, compact, is_card, is_organisation
from streams.ingest.masking import masked
from streams.ingest.token_key import fingerprint_key, key_id

_CACHED_MAX = 200_000  # identifiers of each kind; one has at most 128 characters, so the bytes are bounded too

Kind = Literal["account", "person", "name"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Tokens:
    """Replaces personal identifiers of events. fingerprint_key: that of their fingerprints, which follows from the key.

    >>> tokens = Tokens(b"k" * 32)
    >>> tokens.token("account", "6222 0200 1234") == tokens.token("account", "622202001234")
    True
    """

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")  # a copy is there sooner than a new one
        self.key_id = key_id(key)
        self.fingerprint_key = fingerprint_key(key)
        self._cached: dict[Kind, dict[bytes, bytes]] = {kind: {} for kind in KINDS}

    def token(self, kind: Kind, text: str) -> str:
        """Return the token of an identifier. White space makes no difference, nor do width and case in a name.

        The spelling of a person's number (`domain.personal.canonical`) and of a card makes none at all.
        """
        encoded = text.encode()
        return (self._cached[kind].get(encoded) or self._new(kind, encoded)).decode()

    def tokens(self, wanted: Iterable[tuple[int, bytes]]) -> bytes:
        """Return the tokens of (index into KINDS, identifier in UTF-8), concatenated."""
        known = [self._cached[kind].get for kind in KINDS]
        return b"".join([known[kind](text) or self._new(KINDS[kind], text) for kind, text in wanted])

    def _new(self, kind: Kind, text: bytes) -> bytes:
        plain = "".join(unicodedata.normalize("NFKC", text.decode()).split())
        if kind == "name":
            plain = plain.casefold()
        elif kind == "person":
            plain = canonical(plain) or plain
        elif is_card(digits := compact(plain)):
            plain = digits
        message = f"{kind}\0{plain}".encode()
        token = f"{self.key_id}.{self._code(message)[:TOKEN_DIGITS]}".encode()
        cached = self._cached[kind]
        if len(cached) >= _CACHED_MAX:
            cached.clear()
        cached[text] = token
        return token

    def _code(self, message: bytes) -> str:
        """Return the code of a message under the key, in hex digits."""
        keyed = self._keyed.copy()
        keyed.update(message)
        return keyed.hexdigest()

    def party(self, text: str) -> str:
        """Return a party's id: a credit code as it is, else the token of it as a person's."""
        return text if is_organisation(text) else self.token("person", text)

    def pseudonymous(self, event: Any) -> Any:
        """Return the event without personal identifiers.

        A counterparty that is known only by its name gets the name's token.
        """
        match event:
            case Txn():
                changed = self._of_txn(event)
            case Loan():
                payee = event.entrusted_payee_id
                changed = {
                    "guarantors": tuple(map(self.party, event.guarantors)),
                    "entrusted_payee_id": None if payee is None else self.party(payee),
                } | _masked(event, "declared_use", "customer_name", "reason")
            case Profile():
                related = tuple(map(self.party, event.related_party_ids))
                changed = {"related_party_ids": related} | _masked(event, "name_masked")
            case CaseAction():  # a number of staff is a person's within its bank
                changed = {"actor": self.token("person", f"{event.bank_id}|{event.actor}")}
                changed |= _masked(event, "measure", "remark")
            case Gov():
                changed = _masked(event, "item", "value")
            case _:
                return event
        return msgspec.structs.replace(event, **changed)

    def _of_txn(self, event: Txn) -> dict[str, Any]:
        other, account, name = event.counterparty_id, event.counterparty_account, event.counterparty_name
        if other is not None:
            other = self.token("person", other) if event.counterparty_kind == "personal" else self.party(other)
        elif account is None and name is not None and name.strip():
            other = self.token("name", name)
        accounts = [event.account] if account is None else [event.account, account]
        return {
            "account": self.token("account", event.account),
            "counterparty_account": None if account is None else self.token("account", account),
            "counterparty_id": other,
            "counterparty_name": None,
        } | _masked(event, "return_reason", "memo", accounts=accounts)


def _masked(event: Any, *names: str, accounts: Sequence[str] = ()) -> dict[str, str]:
    """Return the fields of free text that are there, masked."""
    texts = ((name, getattr(event, name)) for name in names)
    return {name: masked(text, accounts) for name, text in texts if text is not None}
