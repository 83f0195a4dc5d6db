"""Sealed content: ingest seals with the public half of a key pair, and only the operators' private half opens it.

X25519 with a key pair of the sender's, which is thrown away; HKDF-SHA256; AES-256-GCM: docs/adr/0034.

A key file holds keys in base64, each on a line of its own, as OpenSSL's PEM has them (`openssl genpkey -algorithm
X25519`, `openssl pkey -pubout`); lines of dashes are passed over.
"""

from __future__ import annotations

import binascii
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from config.errors import SettingsError
from config.whole_file import write_whole
from domain.outputs import Sealed

PUBLIC, PRIVATE = "[seal] public_key_file", "[seal] private_key_file"
UNDER_ONE_KEY_MAX = 1_000  # contents; making a key costs as much as sealing fifty
_KEY_BYTES, _NONCE_BYTES, _KEY_ID_DIGITS = 32, 12, 16


class CannotOpen(Exception):
    """Sealed content cannot be opened; the message says why."""


class Sealer:
    """Seals with a public key. What it has sealed it cannot open, but for its newest UNDER_ONE_KEY_MAX contents."""

    def __init__(self, public: X25519PublicKey) -> None:
        self._public, self.key_id = public, _id_of(public)
        self._left = 0

    def seal(self, content: bytes, place: str) -> Sealed:
        """Return the content sealed. It opens only for the same `place`."""
        if not self._left:
            own = X25519PrivateKey.generate()
            self._sender = own.public_key().public_bytes_raw()
            self._cipher = _cipher(own.exchange(self._public), self._sender, self._public)
            self._left = UNDER_ONE_KEY_MAX
        self._left -= 1
        nonce = os.urandom(_NONCE_BYTES)
        box = self._sender + nonce + self._cipher.encrypt(nonce, content, place.encode())
        return Sealed(key_id=self.key_id, box=box)


class Opener:
    """Opens what was sealed for one of its private keys: the present one, and those before it."""

    def __init__(self, keys: Iterable[X25519PrivateKey]) -> None:
        self._keys = {_id_of(key.public_key()): key for key in keys}

    def open(self, sealed: Sealed, place: str) -> bytes:
        """Return the content. Raise CannotOpen where no key fits, or it is not what was sealed for `place`."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise CannotOpen(f"it is sealed for key {sealed.key_id}; {PRIVATE} holds {', '.join(self._keys)}")
        sender, rest = sealed.box[:_KEY_BYTES], sealed.box[_KEY_BYTES:]
        try:
            cipher = _cipher(key.exchange(X25519PublicKey.from_public_bytes(sender)), sender, key.public_key())
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise CannotOpen("it was changed since it was sealed, or belongs to another record") from error


def load_sealer(path: str | None) -> Sealer:
    """Return the sealer for the key in the file `[seal] public_key_file`.

    Raise SettingsError where it is not set, cannot be read, or is not one public key.
    """
    keys = _keys(path, PUBLIC, "ingest seals with it what it refuses; `xinliu dlq keys DIR` makes a pair")
    if any(isinstance(key, X25519PrivateKey) for key in keys):
        raise SettingsError(f"{PUBLIC} = {path} holds the private half, which is for operators alone")
    if len(keys) != 1 or not isinstance(keys[0], X25519PublicKey):
        raise SettingsError(f"{PUBLIC} = {path} is not one public key of X25519")
    return Sealer(keys[0])


def load_opener(path: str | None) -> Opener:
    """Return the opener for the keys in the file `[seal] private_key_file`.

    Raise SettingsError where it is not set, cannot be read, may be read by everybody, or holds something else.
    """
    keys = _keys(path, PRIVATE, "sealed content is opened with it")
    if path is not None and Path(path).stat().st_mode & 0o007:
        raise SettingsError(f"{PRIVATE} = {path} is open to every user of this machine: chmod o= {path}")
    private = [key for key in keys if isinstance(key, X25519PrivateKey)]
    if not private or len(private) < len(keys):
        raise SettingsError(f"{PRIVATE} = {path} must hold private keys of X25519 alone")
    return Opener(private)


def place_of(topic: str, partition: int, offset: int) -> str:
    """Return the coordinates of a record or batch, to which what was sent there is sealed."""
    return f"{topic}[{partition}]@{offset}"


def key_files(folder: Path) -> dict[str, Path]:
    """Return the files of the key pair in a folder, by setting of `[seal]`; make a pair where there is none.

    Raise OSError where that fails, and ValueError where the private half is there without the public one.
    """
    private, public = folder / "seal-private.pem", folder / "seal-public.pem"
    if not public.exists():
        if private.exists():
            raise ValueError(f"{private} is there, and {public} is not: openssl pkey -in … -pubout makes it")
        key = X25519PrivateKey.generate()
        write_whole(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
        write_whole(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return {"public_key_file": public, "private_key_file": private}


def new_sealer() -> Sealer:
    """Return a sealer whose content nobody can open."""
    return Sealer(X25519PrivateKey.generate().public_key())


def _cipher(shared: bytes, sender: bytes, receiver: X25519PublicKey) -> AESGCM:
    info = b"xinliu seal 1" + sender + receiver.public_bytes_raw()
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=info).derive(shared))


def _id_of(public: X25519PublicKey) -> str:
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:_KEY_ID_DIGITS]


def _keys(path: str | None, name: str, needs: str) -> list[object]:
    """Return the keys in a file, private or public. Raise SettingsError where it is not set or cannot be read."""
    if path is None:
        raise SettingsError(f"{name} is not set: {needs}")
    try:
        lines = [line.strip() for line in Path(path).read_bytes().splitlines()]
        return [_key(binascii.a2b_base64(line, strict_mode=True)) for line in lines if line and line[:2] != b"--"]
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"{name} = {path}: {error}") from error


def _key(der: bytes) -> object:
    """Return the key, private or public. Raise ValueError or UnsupportedAlgorithm where it is none."""
    try:
        return load_der_public_key(der)
    except ValueError:
        return load_der_private_key(der, None)
