"""Keys that follow from the key under which identifiers become tokens."""

import hmac


def subkey(secret: bytes, purpose: bytes, size: int) -> bytes:
    """Return a key of `size` bytes, at most 32, for one purpose: HKDF-SHA256 without salt (RFC 5869).

    Whoever has it learns neither the secret nor the keys of other purposes.
    """
    if not 0 < size <= 32:
        raise ValueError(f"a subkey has 1 to 32 bytes, not {size}")
    extracted = hmac.digest(b"", secret, "sha256")
    return hmac.digest(extracted, purpose + b"\x01", "sha256")[:size]
