"""Numbers that stand for a person: what a whole identifier is, by its form and its check digits.

Check digits: resident ids (GB 11643) have ISO 7064 MOD 11-2, bank cards ISO/IEC 7812 (Luhn), credit codes GB 32100
(modulo 31), Hong Kong identity cards modulo 11. Old resident ids, mobile numbers, passports and permits have none.
"""

import re
import unicodedata
from datetime import date
from typing import Literal

Kind = Literal["resident_id", "mobile", "passport", "permit", "hong_kong_id", "card"]

_RESIDENT_WEIGHTS, _RESIDENT_CHECK = tuple(2 ** (17 - i) % 11 for i in range(17)), "10X98765432"
CREDIT_WEIGHTS, CREDIT_ALPHABET = tuple(3**i % 31 for i in range(17)), "0123456789ABCDEFGHJKLMNPQRTUWXY"
# Section 9 of GB 11643: provinces, regions, and 9 for the permanent residence cards of foreigners.
_REGION = r"(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]|9[1-8])\d{4}"
_BIRTHDAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_RESIDENT_18 = re.compile(rf"{_REGION}(?:19|20)\d\d{_BIRTHDAY}\d{{3}}[\dX]", re.ASCII)
# Issued until 1999 to adults: of this century is nobody, and of the years up to 1919 hardly anybody.
_RESIDENT_15 = re.compile(rf"{_REGION}[2-9]\d{_BIRTHDAY}\d{{3}}", re.ASCII)
_MOBILE = re.compile(r"(?:(?:00)?86|0)?(1(?:3\d|4[05-9]|5[0-35-9]|6[2567]|7[0-8]|[89]\d)\d{8})", re.ASCII)
_CARD = re.compile(r"62\d{14,17}|9558\d{15}|(?:4\d|5[1-5]|35)\d{14}", re.ASCII)
# A date or a month behind the letters is a number of somebody's books, and so are mostly noughts.
_NO_BOOKS = r"(?!0000)(?!(?:19|20)\d\d(?:0[1-9]|1[0-2]))(?![1-3]\d(?:0[1-9]|1[0-2])\d{3})"
_PASSPORT = re.compile(rf"(?:[EG]{_NO_BOOKS}\d{{8}}|(?:E[A-HJ-NP-Z]|[DSP]E){_NO_BOOKS}\d{{7}})", re.ASCII)
_PERMIT = re.compile(rf"[HM]{_NO_BOOKS}\d{{8}}(?:\d\d)?", re.ASCII)
_HONG_KONG = re.compile(r"([A-Z]{1,2})(\d{6})([\dA])", re.ASCII)

_CREDIT_CODE = re.compile(r"[1-9ANY][1-9A-Z][1-8]\d{5}[0-9A-Z]{10}", re.ASCII)
_SEPARATES = frozenset({"Zs", "Zl", "Zp", "Pd", "Pc", "Cc", "Cf", "Mn", "Me"})  # categories of Unicode
_DOTS = "·•・"
_REMEMBERED_MAX = 1 << 16  # of a million characters


class _Folding(dict[int, int]):
    """The character that each one stands for, as far as seen; for str.translate."""

    def __missing__(self, code: int) -> int:
        folded = _folded(chr(code))
        if len(self) < _REMEMBERED_MAX:
            self[code] = folded
        return folded


def _folded(character: str) -> int:
    if unicodedata.category(character) in _SEPARATES:
        return ord("_" if character == "_" else "-" if unicodedata.category(character) == "Pd" else " ")
    if character in _DOTS:
        return ord(".")
    plain = unicodedata.normalize("NFKC", character).upper()
    if len(plain) == 1 and 0x20 < ord(plain) < 0x7F:
        return ord(plain)
    value = unicodedata.decimal(character, None)
    return ord(character) if value is None else ord("0") + value


_FOLDING = _Folding()


def fold(text: str) -> str:
    """Return a text with each letter, digit and separator as the plain one that it stands for, in capitals.

    No character goes or comes.

    >>> fold("ｅ１２\u2013３4ｘ")
    'E12-34X'
    """
    return text.upper() if text.isascii() and text.isprintable() else text.translate(_FOLDING)


def compact(text: str) -> str:
    """Return an identifier in plain letters and digits, without separators.

    >>> compact("１１０１０５ 1949-1231 002x")
    '11010519491231002X'
    """
    return fold(text).translate(_NO_SEPARATORS)


_NO_SEPARATORS = {ord(separator): None for separator in " -._()"}


def kind_of(text: str) -> Kind | None:
    """Return what number of a person a compact identifier is as a whole; None where it is none.

    A card is one where its Luhn digit is right, a Hong Kong identity card where its check digit is, an 18-digit
    resident id where that is so and it is no credit code of an enterprise (those begin with 9, as the permanent
    residence cards of foreigners do).
    """
    if is_resident(text):
        return None if text.startswith("9") and is_credit_code(text) else "resident_id"
    if _MOBILE.fullmatch(text):
        return "mobile"
    if _PASSPORT.fullmatch(text):
        return "passport"
    if _PERMIT.fullmatch(text):
        return "permit"
    if is_hong_kong(text):
        return "hong_kong_id"
    return "card" if is_card(text) else None


def canonical(text: str) -> str | None:
    """Return the one spelling of a person's number or a card; None for any other identifier.

    >>> canonical("110105 491231 002")  # of 15 digits, from before 1999
    '11010519491231002X'
    >>> canonical("+86 138-0013-8000")
    '13800138000'
    """
    short = compact(text.replace("+", ""))
    kind = kind_of(short)
    if kind == "resident_id" and len(short) == 15:
        longer = f"{short[:6]}19{short[6:]}"
        return longer + resident_check(longer)
    if kind == "mobile":
        return short[-11:]
    return None if kind is None else short


def is_resident(digits: str) -> bool:
    """Return whether digits are a resident id: of 18 with the right check digit, or of 15 in its form."""
    if _RESIDENT_18.fullmatch(digits):
        return _is_day(digits[6:14]) and digits[17] == resident_check(digits)
    return _RESIDENT_15.fullmatch(digits) is not None and _is_day(f"19{digits[6:12]}")


def _is_day(text: str) -> bool:
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def resident_check(digits: str) -> str:
    """Return the check digit of the first 17 digits of a resident id, by ISO 7064 MOD 11-2."""
    return _RESIDENT_CHECK[sum(int(d) * w for d, w in zip(digits[:17], _RESIDENT_WEIGHTS, strict=True)) % 11]


def is_mobile(digits: str) -> bool:
    """Return whether digits are a mobile number of the mainland, with its country code or without."""
    return _MOBILE.fullmatch(digits) is not None


def is_passport(text: str) -> bool:
    """Return whether letters and digits are an ordinary or official passport, and no number with a date in it."""
    return _PASSPORT.fullmatch(text) is not None


def is_permit(text: str) -> bool:
    """Return whether a letter and digits are a mainland travel permit of a resident of Hong Kong or Macau."""
    return _PERMIT.fullmatch(text) is not None


def is_card(digits: str) -> bool:
    """Return whether digits are a bank card: an issuer's first digits, and the right Luhn digit."""
    return _CARD.fullmatch(digits) is not None and luhn(digits) == 0


def luhn(digits: str) -> int:
    """Return the sum of ISO/IEC 7812 modulo 10: 0 where the last digit is right."""
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10


def is_hong_kong(text: str) -> bool:
    """Return whether letters and digits are a Hong Kong identity card with the right check digit."""
    found = _HONG_KONG.fullmatch(text)
    if found is None:
        return False
    letters, digits, check = found.groups()
    places = [36 if len(letters) == 1 else ord(letters[0]) - 55, ord(letters[-1]) - 55, *map(int, digits)]
    total = sum(value * weight for value, weight in zip(places, range(9, 1, -1), strict=True))
    return (total + (10 if check == "A" else int(check))) % 11 == 0


def credit_check(code: str) -> str:
    """Return the check character of the first 17 of a credit code, by GB 32100. They are of its alphabet."""
    total = sum(CREDIT_ALPHABET.index(c) * w for c, w in zip(code[:17], CREDIT_WEIGHTS, strict=True))
    return CREDIT_ALPHABET[-total % 31]


def is_credit_code(text: str) -> bool:
    """Return whether an identifier is a unified social credit code, as it is written in capitals.

    One with a letter among its first 17 characters is one by its form, which no number of a person has: a mistyped
    character hides no enterprise. One of digits alone needs its check digit.
    """
    if _CREDIT_CODE.fullmatch(text) is None:
        return False
    return not text[:17].isdigit() or text[17] == credit_check(text)


def is_organisation(text: str) -> bool:
    """Return whether a party's id may stand in clear: a credit code that is no resident id."""
    return is_credit_code(text) and (text.startswith("9") or not is_resident(text))
