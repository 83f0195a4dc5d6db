"""The fingerprint of an event: SipHash-2-4 over the canonical fields as the bank sent them, under a secret key.

The log keeps it beside fields in clear, of which often the account alone is hidden: without the key, whoever reads the
log could try accounts until one has the fingerprint (ADR 32).
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from domain.events import FINGERPRINT_DIGITS
from features.state.hashing import keyed_siphash
from kernels.decorators import kernel

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_U = np.uint64
_ENCODE = msgspec.json.Encoder().encode


def fingerprint(event: Any, key: npt.NDArray[np.uint64]) -> str:
    """Return the fingerprint of an event, 16 hex digits. Order, white space and explicit nulls make no difference."""
    digits = np.empty(FINGERPRINT_DIGITS, np.uint8)
    message = as_array(_ENCODE(event))
    put_fingerprint(message, 0, len(message), key, digits, 0)
    return digits.tobytes().decode()


def as_array(message: bytes) -> npt.NDArray[np.uint8]:
    """Return bytes as kernels take them."""
    return np.frombuffer(message, np.uint8)


@kernel(nogil=True)
def put_fingerprint(b: Any, start: Any, end: Any, key: Any, out: Any, at: Any) -> Any:
    """Write the fingerprint of an event, whose canonical fields are b[start:end], to out[at:]; return where it ends."""
    hashed = keyed_siphash(b, start, end, key[0], key[1])
    for i in range(FINGERPRINT_DIGITS):
        out[_U(at + i)] = _HEX[(hashed >> _U(4 * (FINGERPRINT_DIGITS - 1 - i))) & _U(15)]
    return at + FINGERPRINT_DIGITS
