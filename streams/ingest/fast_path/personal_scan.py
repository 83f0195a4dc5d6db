"""Identifiers and texts of the fast path that are a person's number, hold one, or may: `domain.personal` decides.

Where one may be, the record takes the slow path. `may_be_personal` and `may_hold_number` may say so too often, never
too seldom; tests hold them to `domain.personal.kind_of` and to `streams.ingest.masking.masked`, the references.

In all kernels `b` is uint8 (bytes) and positions are indexes into it. Texts are plain (fields.py): printing ASCII, and
characters of three bytes, of which the full-width ones stand for ASCII.
"""

import numpy as np

from domain.personal import CREDIT_ALPHABET, CREDIT_WEIGHTS
from kernels.decorators import kernel
from streams.ingest.masking import ACCOUNT_DIGITS_MIN, DIGITS_MIN, GAPS, GAPS_MAX

_U = np.uint64  # of places: for a signed one, each byte would be asked whether it counts from the end

KEPT, REPLACED, UNSURE = range(3)  # what becomes of a party's id, where there is one

_OTHER, _DIGIT, _LETTER, _GAP = range(4)
_CLASS = np.array(
    [
        _DIGIT if chr(c).isdigit() else _LETTER if chr(c).isalpha() else _GAP if chr(c) in GAPS else _OTHER
        for c in range(128)
    ],
    np.uint8,
)
_ZERO, _UPPER, _FULL_WIDTH = ord("0"), 0xDF, 0xEF  # first byte of U+FF01 to U+FF5E
_A, _C, _E, _G, _H, _M, _R, _S, _SLASH, _NINE, _HYPHEN, _UNDERSCORE = (ord(c) for c in "ACEGHMRS/9-_")
_WEIGHTS = np.array(CREDIT_WEIGHTS, np.int64)
_ALPHABET = np.frombuffer(CREDIT_ALPHABET.encode(), np.uint8)
_FIRST = np.array([chr(c) in "123456789ANY" for c in range(256)])
_SECOND = np.array([chr(c) in "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" for c in range(256)])
# One character, as 24 bits, of each Chinese word before a number that masking knows, but for mobile numbers.
_MARKS = np.array([int.from_bytes(c.encode(), "big") for c in "账帐賬卡证證照"], np.int64)
_HEAD = 8  # first digits by which an account is found
assert _HEAD == ACCOUNT_DIGITS_MIN


@kernel(forceinline=True)
def party(b, start, end):
    """Return whether a party's id is KEPT, REPLACED by a token, or UNSURE, as `domain.personal.is_organisation` has it.

    It is kept where it is a credit code.
    """
    if end - start != 18 or not _FIRST[_U(b[_U(start)])] or not _SECOND[_U(b[_U(start + 1)])]:
        return REPLACED
    if not _ZERO + 1 <= b[_U(start + 2)] <= _ZERO + 8:
        return REPLACED
    region, rest, digits, total = 0, 0, 0, np.int64(0)
    for i in range(2, 8):
        region += _is_digit(b[_U(start + i)])
    for i in range(8, 18):
        rest += _is_digit(b[_U(start + i)]) | (np.uint8(b[_U(start + i)] - 0x41) < 26)
    if region < 6 or rest < 10:
        return REPLACED
    for i in range(17):
        digits += _is_digit(b[_U(start + i)])
        total += (np.int64(b[_U(start + i)]) - _ZERO) * _WEIGHTS[_U(i)]
    if digits < 17:
        return KEPT
    if b[_U(start + 17)] != _ALPHABET[_U((31 - total % 31) % 31)]:
        return REPLACED
    return UNSURE if b[_U(start)] != _NINE and _has_birthday(b, start) else KEPT


@kernel(forceinline=True)
def _is_digit(byte):
    """Return whether a byte is a digit, without a branch: compilers then take many at once."""
    return np.uint8(byte - _ZERO) <= 9


@kernel(forceinline=True)
def may_be_personal(b, start, end):
    """Return whether an enterprise id, of ASCII letters, digits, - and _, may be a person's number."""
    digits, letters = np.int64(0), np.int64(0)
    for i in range(start, end):
        digits += _is_digit(b[_U(i)])
        letters += np.uint8((b[_U(i)] | 0x20) - 0x61) < 26
    if letters > 2 or digits < 7:
        return digits == 6 and 2 <= letters <= 3 and _ends_in_a(b, start, end)
    if end - start != 18 or digits < 17 or digits + letters != 18:
        return True
    return _has_birthday(b, start) or (b[_U(start)] == _ZERO + 6 and b[_U(start + 1)] == _ZERO + 2)


@kernel
def _ends_in_a(b, start, end):
    """Return whether the last letter or digit is an A, as the check digit of a Hong Kong identity card may be."""
    for i in range(end - 1, start - 1, -1):
        if b[_U(i)] != _HYPHEN and b[_U(i)] != _UNDERSCORE:
            return (b[_U(i)] & _UPPER) == _A
    return False


@kernel(forceinline=True)
def _has_birthday(b, start):
    """Return whether digits are at the places of a birthday in a resident id of 18 that may be one."""
    return _is_birthday(_two(b, start + 6), _two(b, start + 10), _two(b, start + 12))


@kernel(forceinline=True)
def _two(b, p):
    return (np.int64(b[_U(p)]) - _ZERO) * 10 + np.int64(b[_U(p + 1)]) - _ZERO


@kernel(forceinline=True)
def _is_birthday(century, month, day):
    return 19 <= century <= 20 and 1 <= month <= 12 and 1 <= day <= 31


@kernel(forceinline=True)
def may_hold_number(b, start, end, account_start, account_end, other_start, other_end):
    """Return whether a text may hold a number that is masked; a missing text or account begins before 0.

    The accounts are those of its record.
    """
    if start < 0:
        return False
    digits = 0
    for i in range(start, end):
        digits += _is_digit(b[_U(i)]) | (b[_U(i)] == _FULL_WIDTH)
    if digits < DIGITS_MIN:
        return False
    return _holds(b, start, end, _head(b, account_start, account_end), _head(b, other_start, other_end))


@kernel(forceinline=True)
def _at(b, p):
    """Return (class, character as ASCII, width) of the character at p; 0 where it stands for none in ASCII."""
    byte = np.int64(b[_U(p)])
    if byte < 0x80:
        return np.int64(_CLASS[_U(byte)]), byte, 1
    if byte == _FULL_WIDTH:
        code = ((np.int64(b[_U(p + 1)]) & 0x3F) << 6 | np.int64(b[_U(p + 2)]) & 0x3F) + 0xF000 - 0xFEE0
        return np.int64(_CLASS[_U(code)]), code, 3
    return np.int64(_OTHER), np.int64(0), 3


@kernel
def _head(b, p, end):
    """Return the first eight digits of an account; -1 where it has fewer."""
    count, value = 0, np.int64(0)
    while 0 <= p < end and count < _HEAD:
        kind, character, width = _at(b, p)
        if kind == _DIGIT:
            count, value = count + 1, value * 10 + character - _ZERO
        p += width
    return value if count == _HEAD else np.int64(-1)


@kernel
def _holds(b, p, end, account, other):
    before, last = np.int64(_OTHER), np.int64(0)  # class of the character before; the character
    run, gap, first, second = 0, 0, np.int64(0), np.int64(0)  # letters in a row, what stands behind them; the last two
    while p < end:
        kind, character, width = _at(b, p)
        if kind == _LETTER:
            character &= _UPPER
        if character == 0 and _is_mark(b, p):
            return True
        if last == _A and character in (_C, _R, _S, _SLASH):
            return True  # ACC, CARD, PASSPORT, A/C
        if (
            kind == _DIGIT
            and before != _DIGIT
            and _begins(b, p, end, run if gap <= 1 else 0, first, second, account, other)
        ):
            return True
        if kind == _LETTER:
            run = run + 1 if before == _LETTER else 1
            gap, first, second = 0, second, character
        else:
            gap += 1
        before, last = kind, character
        p += width
    return False


@kernel(forceinline=True)
def _is_mark(b, p):
    code = np.int64(b[_U(p)]) << 16 | np.int64(b[_U(p + 1)]) << 8 | np.int64(b[_U(p + 2)])
    for i in range(_MARKS.shape[0]):
        if _MARKS[_U(i)] == code:
            return True
    return False


@kernel
def _begins(b, p, end, letters, first, second, account, other):
    """Return whether digits that may be a number begin at p.

    letters: how many letters stand before them; first, second: the last two.
    """
    count, gaps, value, head = 0, 0, np.int64(0), np.int64(0)
    while p < end:
        kind, character, width = _at(b, p)
        p += width
        if kind == _DIGIT:
            count, gaps = count + 1, 0
            if count > 19:
                return False
            if count <= 18:
                value = value * 10 + character - _ZERO
            if count == _HEAD:
                head = value
                if head in (account, other):
                    return True
            if count >= DIGITS_MIN and (p >= end or _at(b, p)[0] != _DIGIT):
                if count <= 10:
                    if _is_lettered(count, letters, first, second):
                        return True
                elif _is_number(count, value, head):
                    return True
        elif kind == _GAP and gaps < GAPS_MAX:
            gaps += 1
        else:
            return False
    return False


@kernel(forceinline=True)
def _is_lettered(count, letters, first, second):
    """Return whether one letter or two and so many digits may be a passport, a permit or a Hong Kong identity card."""
    if count == 7:
        return 1 <= letters <= 2
    if letters != 1:
        return False
    is_permit = second in (_H, _M)
    return is_permit if count == 10 else count == 8 and (is_permit or second in (_E, _G))


@kernel(forceinline=True)
def _is_number(count, value, head):
    """Return whether 11 to 19 digits may be a mobile number, a resident id or a card.

    value: of the first 18; head: of the first eight.
    """
    top = value // 10**10 if count <= 15 else np.int64(0)
    if count <= 12:
        return top == 1
    if count == 13:
        return top == 861
    if count == 15:
        return top == 861 or _is_birthday(19, value // 10**5 % 100, value // 10**3 % 100)
    if count == 17 and _is_birthday(value // 10**9 % 100, value // 10**5 % 100, value // 10**3 % 100):
        return True
    if count == 18 and _is_birthday(value // 10**10 % 100, value // 10**6 % 100, value // 10**4 % 100):
        return True
    if count == 16 and 3 <= head // 10**7 <= 5:
        return True
    return count >= 16 and (head // 10**6 == 62 or head // 10**4 == 9558)
