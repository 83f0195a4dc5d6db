"""Personal identifiers become tokens before anything is written: keyed HMAC-SHA256 under the platform's one key.

One key for all banks, so that an account is the same token whoever names it. A token is `<key id>.<32 hex digits>`;
the key id is derived from the key, so that another key shows in the tokens. Operators rotate what opens the key, not
the key (token_key.py).
"""

import hmac
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Literal, get_args

import msgspec

from domain.events import Loan, Profile, Txn
from domain.ids import TOKEN_DIGITS
from streams.ingest.token_key import fingerprint_key, key_id

_CACHED_MAX = 200_000

# 公民身份号码: region, birth date, serial, check. An organisation's 18 characters do not look like it.
_RESIDENT_ID = re.compile(r"[1-8]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx]", re.ASCII)

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
        """Return the token of an identifier. White space makes no difference, nor do width and case in a name."""
        encoded = text.encode()
        return (self._cached[kind].get(encoded) or self._new(kind, encoded)).decode()

    def tokens(self, wanted: Iterable[tuple[int, bytes]]) -> bytes:
        """Return the tokens of (index into KINDS, identifier in UTF-8), concatenated."""
        known = [self._cached[kind].get for kind in KINDS]
        return b"".join([known[kind](text) or self._new(KINDS[kind], text) for kind, text in wanted])

    def _new(self, kind: Kind, text: bytes) -> bytes:
        plain = "".join(unicodedata.normalize("NFKC", text.decode()).split())
        message = f"{kind}\0{plain.casefold() if kind == 'name' else plain}".encode()
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

    def pseudonymous(self, event: Any) -> Any:
        """Return the event without personal identifiers.

        A counterparty that is known only by its name gets the name's token.
        """
        if isinstance(event, Txn):
            return self._txn(event)
        if isinstance(event, Loan):
            payee = event.entrusted_payee_id
            return msgspec.structs.replace(
                event,
                guarantors=tuple(map(self._if_person, event.guarantors)),
                entrusted_payee_id=None if payee is None else self._if_person(payee),
            )
        if isinstance(event, Profile) and event.related_party_ids:
            related = tuple(map(self._if_person, event.related_party_ids))
            return msgspec.structs.replace(event, related_party_ids=related)
        return event

    def _txn(self, event: Txn) -> Txn:
        other, account, name = event.counterparty_id, event.counterparty_account, event.counterparty_name
        if other is not None:
            other = self.token("person", other) if event.counterparty_kind == "personal" else self._if_person(other)
        elif account is None and name is not None and name.strip():
            other = self.token("name", name)
        return msgspec.structs.replace(
            event,
            account=self.token("account", event.account),
            counterparty_account=None if account is None else self.token("account", account),
            counterparty_id=other,
            counterparty_name=None,
        )

    def _if_person(self, text: str) -> str:
        return self.token("person", text) if _RESIDENT_ID.fullmatch(text) else text
