"""Numbers of persons and accounts within free text become asterisks, each character one: lengths and words stay.

Digits between which stand up to three blanks, hyphens, dots, underscores or brackets are read together, whatever script
they are of. What has check digits is masked by these, wherever it stands. What has none (mobile numbers, passports,
permits) is masked by its form, where letters beside it do not make it a number of something else; and any number that a
word before it calls a person's or an account's. Without such a word dates, amounts, invoice and contract numbers stay.

Whatever is changed here, the fast path must still see: `fast_path/personal_scan.py`.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from domain.personal import compact, fold, is_card, is_hong_kong, is_mobile, is_passport, is_permit, is_resident

DIGITS_MIN = 7  # of a text with a number in it
ACCOUNT_DIGITS_MIN = 8  # of an account of this very record
_DIGITS_MAX = 64  # as many as an account has at most
_DIGITS = re.compile("[0-9]+")
GAPS, GAPS_MAX = " -._()", 3  # what may stand between digits, and how many of them
_GAP = re.compile(f"[{re.escape(GAPS)}]{{1,{GAPS_MAX}}}")
_X = re.compile(r"[ \-]?X(?P<more>[0-9*])?")  # the check digit of a resident id
_LETTERS = re.compile(r"(?<![0-9A-Z*])([A-Z]{1,2})[ \-.]?$")  # of a passport or permit, before its digits
# What goes on so, or is an amount, is no mobile number.
_OTHER_NUMBER = re.compile(r"[A-Z]|\.[0-9*]{2}(?![0-9*])|[元圆万亿%]")

# Letters directly before a mobile number that do not make it a number of something else.
_CALLS = re.compile(
    r"(?<![0-9A-Z*])(?:TEL|TELNO|MOB|MOBILE|PHONE|PH|CELL|CALL|SJ|SJH|DH|LXDH|WX|VX|ZFB|ALIPAY|WECHAT)$"
)
# Words directly before a number, and its digits.
_BETWEEN = r"[^0-9A-Z*]{0,4}(?:NO|NUMBER)?[^0-9A-Z*]{0,3}"
_NAMED = (
    ("账号|帐号|賬號|账户|帐户|賬戶|卡号|ACCT?|A/C|ACCOUNT|CARD", "", "[0-9]{9,32}"),
    ("身份证|身分證|证件|IDCARD", "", "[0-9]{15}|[0-9]{17,18}"),
    ("手机|手機|电话|MOBILE|TEL|PHONE", "", "1[0-9]{10}"),
    ("护照|護照|PASSPORT", "[A-Z]{0,2}", "[0-9]{7,9}"),
    ("通行证|通行證|回乡证|台胞证", "[A-Z]{0,2}", "[0-9]{8}|[0-9]{10}"),
)
_WORDS = tuple(
    (re.compile(f"(?:{words}){_BETWEEN}{letters}$"), re.compile(digits)) for words, letters, digits in _NAMED
)
_ANY_WORD = re.compile("|".join(words for words, _, _ in _NAMED))
_WORD_REACH = 24  # characters before a number in which its word stands
_GROUPS_MAX = 20  # of one number
# What digits may be by their form, seen roughly, since most are nothing.
_ANY_FORM = re.compile(
    "[0-9]{7,8}|[0-9]{10}|0?1[0-9]{10}|(?:00)?861[0-9]{10}|[1-9][0-9]{14}|[1-9][0-9]{5}(?:19|20)[0-9]{9,10}"
    "|62[0-9]{14,17}|9558[0-9]{15}|[345][0-9]{15}"
)
_SPELLED = (1,) * 19  # each digit apart
_GROUPS_OF_MOBILES = frozenset(
    (*before, *groups)
    for before in ((), (2,), (4,))  # 86, 0086
    for groups in ((11,), (3, 4, 4), (3, 8), (7, 4), (4, 4, 3), (4, 3, 4), (5, 6), (3, 3, 5))
)
_GROUPS_OF_CARDS = frozenset((4, 4, 4, 4, *rest) for rest in ((), (1,), (2,), (3,))) | {(6, n) for n in range(10, 14)}


class _Span(NamedTuple):
    start: int
    end: int


def masked(text: str, accounts: Iterable[str] = ()) -> str:
    """Return a text without numbers of persons and accounts. Masking a masked text changes nothing.

    accounts: those of the text's own record, masked as a whole wherever they stand in it.

    >>> masked("代张三付 138 0013-8000，发票 12345678")
    '代张三付 *** ****-****，发票 12345678'
    """
    folded = fold(text)
    groups = [_Span(*found.span()) for found in _DIGITS.finditer(folded)]
    if sum(end - start for start, end in groups) < DIGITS_MIN:
        return text
    own = frozenset(digits for digits in map(_digits_of, accounts) if len(digits) >= ACCOUNT_DIGITS_MIN)
    is_worded = _ANY_WORD.search(folded) is not None
    characters, i = list(text), 0
    while i < len(groups):
        run = _run(folded, groups, i)
        while i < run:
            found, i = _number_at(folded, groups[i:run], i, own, is_worded)
            if found is not None:
                for at in range(*found):
                    if folded[at].isascii() and folded[at].isalnum():
                        characters[at] = "*"
    return "".join(characters)


def _digits_of(account: str) -> str:
    return "".join(_DIGITS.findall(compact(account)))


def _run(folded: str, groups: list[_Span], first: int) -> int:
    """Return the group after the last of those that are read together with group `first`."""
    for i in range(first + 1, len(groups)):
        if _GAP.fullmatch(folded, groups[i - 1].end, groups[i].start) is None:
            return i
    return len(groups)


def _number_at(
    folded: str, groups: list[_Span], first: int, own: frozenset[str], is_worded: bool
) -> tuple[_Span | None, int]:
    """Return the longest number that begins with the first of these groups, or None, and the group to go on with.

    first: the number of the first group. own: digits of accounts. is_worded: a word stands in the text.
    """
    start = groups[0].start
    before = folded[max(0, start - _WORD_REACH) : start]
    named = [form for word, form in _WORDS if word.search(before)] if is_worded else []
    sizes = tuple(end - begin for begin, end in groups[:_GROUPS_MAX])
    found, after, digits = None, first + 1, ""
    for n, (begin, end) in enumerate(groups[:_GROUPS_MAX], 1):
        digits += folded[begin:end]
        if len(digits) > _DIGITS_MAX:
            break
        number: _Span | None = None
        if _ANY_FORM.fullmatch(digits):
            number = _by_form(folded, before, _Span(start, end), digits, sizes[:n])
        if number is None and (digits in own or any(form.fullmatch(digits) for form in named)):
            number = _with(_LETTERS.search(before) if named else None, before, _Span(start, end))
        if number is not None:
            found, after = number, first + n
    return found, after


def _with(letters: re.Match[str] | None, before: str, one: _Span) -> _Span:
    """Return digits with the letters before them."""
    return one if letters is None else _Span(one.start - len(before) + letters.start(1), one.end)


def _by_form(folded: str, before: str, one: _Span, digits: str, sizes: tuple[int, ...]) -> _Span | None:
    """Return the number of a person that digits in groups of these sizes are by themselves; None where they are none.

    before: the text before them.
    """
    count, in_one = len(digits), len(sizes) == 1 or sizes == _SPELLED[: len(sizes)]
    if count <= 10:
        letters = _LETTERS.search(before)
        is_one = letters is not None and _is_lettered(folded, letters[1], one, digits, sizes)
        return _with(letters, before, one) if is_one else None
    if count == 17 and (check := _X.match(folded, one.end)) is not None and is_resident(f"{digits}X"):
        return one if check["more"] else _Span(one.start, check.end())
    if count == 18 and is_resident(digits):
        return one
    if count >= 16:
        return one if (in_one or sizes in _GROUPS_OF_CARDS) and is_card(digits) else None
    if before[-1:].isascii() and before[-1:].isalpha() and _CALLS.search(before) is None:
        return None
    if _OTHER_NUMBER.match(folded, one.end) is not None or (len(sizes) == 2 and folded[one.end - sizes[1] - 1] == "."):
        return None
    is_one = (count == 15 and is_resident(digits)) or ((in_one or sizes in _GROUPS_OF_MOBILES) and is_mobile(digits))
    return one if is_one else None


def _is_lettered(folded: str, letters: str, one: _Span, digits: str, sizes: tuple[int, ...]) -> bool:
    """Return whether a passport, a permit or a Hong Kong identity card follows from letters and digits."""
    if sizes == (6, 1):
        return folded[one.end - 2] == "(" and is_hong_kong(letters + digits)
    number = letters + digits
    return len(sizes) == 1 and (is_passport(number) or is_permit(number)) and not _OTHER_NUMBER.match(folded, one.end)
