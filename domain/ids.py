"""The form of identifiers, and nothing else about them."""

from typing import Annotated

import msgspec

ENTERPRISE_ID_BYTES_MAX = 32

# A token is `<key id>.<hex digits>`.
KEY_ID_DIGITS, TOKEN_DIGITS = 8, 32
TOKEN_BYTES = KEY_ID_DIGITS + 1 + TOKEN_DIGITS

# 金融机构编码: a letter and 13 digits. The algorithm of its last digit is not public, so only the form is checked.
BANK_ID_PATTERN = r"^[A-Z][0-9]{13}$"
# 统一社会信用代码 (18 characters) or a token that stands for one.
ENTERPRISE_ID_PATTERN = r"^[0-9A-Za-z_-]{1,32}$"

BankIdText = Annotated[str, msgspec.Meta(pattern=BANK_ID_PATTERN)]
EnterpriseIdText = Annotated[str, msgspec.Meta(pattern=ENTERPRISE_ID_PATTERN)]
EventIdText = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
LoanIdText = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_-]{1,32}$")]
TokenText = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
CaseIdText = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
DayText = Annotated[str, msgspec.Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]  # \d would take any script's digits
