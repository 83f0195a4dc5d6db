"""The secret under which identifiers become tokens, the keys that open it, and the keys that follow from it (ADR 32).

The secret stays, since an identifier must be the same token for ever. What operators change is the key that opens it:
it lies in a file, sealed under one key, or under two while the workers change from one to the other. Until the first
rotation there is no such file, and the key is the secret itself.
"""

import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Literal, Self

import msgspec
import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config.errors import SettingsError
from config.settings import IngestSettings
from config.whole_file import whole
from domain.ids import KEY_ID_DIGITS

KEY_BYTES_MIN = 32
SECRET_BYTES_MAX = 4_096
_NONCE_BYTES, _TAG_BYTES = 12, 16
_KEY, _FILE = "[ingest] token_key_file", "[ingest] token_secret_file"
# How a key that only opens the secret begins, so that it is never taken for the secret itself.
_ONLY_OPENS = b"xinliu.token-key/1:"
_OF_SEAL, _OF_FINGERPRINT = b"xinliu token secret/1", b"xinliu fingerprint/1"

Nonce = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{24}$")]
Hex = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{2})*$", max_length=2 * (SECRET_BYTES_MAX + _TAG_BYTES))]


class SealedSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The secret as one key opens it: AES-256-GCM under its subkey; id and time are authenticated with it."""

    key_id: str
    sealed_at: str
    nonce: Nonce
    secret: Hex

    @classmethod
    def under(cls, key: bytes, secret: bytes, sealed_at: str) -> Self:
        """Return the secret, sealed under a key."""
        nonce, beside = secrets.token_bytes(_NONCE_BYTES), _beside(key_id(key), sealed_at)
        sealed = AESGCM(subkey(key, _OF_SEAL, 32)).encrypt(nonce, secret, beside)
        return cls(key_id=key_id(key), sealed_at=sealed_at, nonce=nonce.hex(), secret=sealed.hex())

    def opened(self, key: bytes) -> bytes | None:
        """Return the secret; None where the key is not the one, or a byte of this has changed."""
        nonce, sealed = bytes.fromhex(self.nonce), bytes.fromhex(self.secret)
        try:
            return AESGCM(subkey(key, _OF_SEAL, 32)).decrypt(nonce, sealed, _beside(self.key_id, self.sealed_at))
        except InvalidTag:
            return None


class SecretFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file `[ingest] token_secret_file`: the secret under one key, or under two, the older first."""

    format: Literal["xinliu.token-secret/1"] = "xinliu.token-secret/1"
    sealed: Annotated[tuple[SealedSecret, ...], msgspec.Meta(min_length=1, max_length=2)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKeys:
    """The secret, and the keys that open it. key_id: of the key in use. sealed: empty before the first rotation."""

    secret: bytes = field(repr=False)
    key: bytes = field(repr=False)
    sealed: tuple[SealedSecret, ...] = ()

    @property
    def key_id(self) -> str:
        """Return the id of the key in `[ingest] token_key_file`."""
        return key_id(self.key)

    @property
    def token_key_id(self) -> str:
        """Return what each token begins with: the id of the secret."""
        return key_id(self.secret)

    @property
    def is_newest(self) -> bool:
        """Return whether the key in use is the newest that opens the secret."""
        return not self.sealed or self.sealed[-1].key_id == self.key_id


def key_id(key: bytes) -> str:
    """Return the id of a key or of the secret, which tells nothing of it."""
    return hmac.digest(key, b"key id", "sha256").hex()[:KEY_ID_DIGITS]


def load(ingest: IngestSettings) -> TokenKeys:
    """Return the secret, opened by the key in use.

    Raise SettingsError where a file is not set, cannot be read, is no such file, or where the key does not open it.
    """
    key, only_opens = _key(ingest.token_key_file)
    if not ingest.token_secret_file:
        if only_opens:
            raise SettingsError(f"{_FILE} is not set: the key in {_KEY} is no secret, it opens one")
        return TokenKeys(secret=key, key=key)
    path = ingest.token_secret_file
    sealed = _read(path).sealed
    for one in sealed:
        if one.key_id == key_id(key):
            if (secret := one.opened(key)) is None:
                raise SettingsError(f"{_FILE} = {path}: what is sealed under the key {one.key_id} has been changed")
            return TokenKeys(secret=secret, key=key, sealed=sealed)
    wanted = " or ".join(one.key_id for one in sealed)
    raise SettingsError(f"{_KEY} = {ingest.token_key_file}: the key is {key_id(key)}, and {path} wants {wanted}")


def rotate(ingest: IngestSettings, new_key_file: Path, now: str) -> TokenKeys:
    """Make a new key that opens the secret beside the key in use, and return how things stand then.

    now: the time as text, to show. Raise SettingsError as `load`, where two keys open it already, where the new key's
    file is there, or where a file cannot be written.
    """
    if not ingest.token_secret_file:
        raise SettingsError(f"{_FILE} is not set: it names the file that holds the sealed secret")
    path = Path(ingest.token_secret_file)
    if path.exists():
        before = load(ingest)
    else:
        before = load(msgspec.structs.replace(ingest, token_secret_file=None))
        if len(before.secret) > SECRET_BYTES_MAX:
            raise SettingsError(f"{_KEY}: {len(before.secret)} bytes are more than {SECRET_BYTES_MAX}")
    if len(before.sealed) > 1:
        raise SettingsError(f"{_FILE} = {path}: two keys open it already; end that rotation first (retire)")
    new = _ONLY_OPENS + secrets.token_hex(KEY_BYTES_MIN).encode()
    older = before.sealed or (SealedSecret.under(before.key, before.secret, now),)
    try:
        with os.fdopen(os.open(new_key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            _write_down(file, new + b"\n")
    except OSError as error:
        raise SettingsError(f"--new-key-file {new_key_file}: {error.strerror}") from error
    try:
        _write(path, (*older, SealedSecret.under(new, before.secret, now)), before.secret, (before.key, new))
    except BaseException:
        new_key_file.unlink()  # it opens nothing
        raise
    return load(ingest)


def retire(ingest: IngestSettings) -> TokenKeys:
    """Take from the older key that it opens the secret, and return how things stand then.

    Raise SettingsError as `load`, where only one key opens it, where the key in use is the older one, or where the file
    cannot be written.
    """
    if not ingest.token_secret_file:
        raise SettingsError(f"{_FILE} is not set: there was no rotation")
    before = load(ingest)
    if len(before.sealed) < 2:
        raise SettingsError(f"{_FILE} = {ingest.token_secret_file}: one key alone opens it; there is none to retire")
    if not before.is_newest:
        raise SettingsError(f"{_KEY} = {ingest.token_key_file}: this is the older key; name the new one")
    _write(Path(ingest.token_secret_file), before.sealed[-1:], before.secret, (before.key,))
    return load(ingest)


def fingerprint_key(secret: bytes) -> npt.NDArray[np.uint64]:
    """Return the key of fingerprints, uint64 (2,), which follows from the secret."""
    return np.frombuffer(subkey(secret, _OF_FINGERPRINT, 16), "<u8").astype(np.uint64)


def subkey(secret: bytes, purpose: bytes, size: int) -> bytes:
    """Return a key of `size` bytes for one purpose: HKDF-SHA256 without salt (RFC 5869).

    Whoever has it learns neither the secret nor the keys of other purposes.
    """
    return HKDF(SHA256(), size, salt=None, info=purpose).derive(secret)


def _beside(key_id: str, sealed_at: str) -> bytes:
    return msgspec.json.encode((key_id, sealed_at))


def _key(path: str | None) -> tuple[bytes, bool]:
    """Return the key in a file, without white space at its ends, and whether it does no more than open the secret."""
    if path is None:
        raise SettingsError(f"{_KEY} is not set: ingest needs the platform key for tokens of personal identifiers")
    try:
        key = Path(path).read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"{_KEY} = {path}: {error}") from error
    if len(key) < KEY_BYTES_MIN:
        raise SettingsError(f"{_KEY} = {path}: the key has {len(key)} bytes, at least {KEY_BYTES_MIN} are needed")
    return key, key.startswith(_ONLY_OPENS)


def _read(path: str) -> SecretFile:
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=SecretFile)
    except OSError as error:
        raise SettingsError(f"{_FILE} = {path}: {error}; `xinliu token-key rotate` writes it") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{_FILE} = {path}: {error}") from error


def _write(path: Path, sealed: tuple[SealedSecret, ...], secret: bytes, keys: Sequence[bytes]) -> None:
    """Write the file, on the disk before it has its name. Before that each key must open what is written."""
    body = msgspec.json.format(msgspec.json.encode(SecretFile(sealed=sealed)), indent=1)
    written = msgspec.json.decode(body, type=SecretFile).sealed
    if any(one.opened(key) != secret for one, key in zip(written, keys, strict=True)):
        raise RuntimeError("what was sealed does not open")  # and nothing was written
    try:
        with whole(path, mode=0o600) as file:
            _write_down(file, body + b"\n")
    except OSError as error:
        raise SettingsError(f"{_FILE} = {path}: {error.strerror}") from error


def _write_down(file: IO[bytes], body: bytes) -> None:
    """Write to a file, and wait until the disk has it."""
    file.write(body)
    file.flush()
    os.fsync(file.fileno())
