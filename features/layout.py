"""The state of a partition's enterprises: one structured row an enterprise, and its bytes in Redis.

`FIELDS` is the whole layout: name, dtype and shape. The kernel reads and writes rows in place; a value in Redis is a
header, then the row's bytes as they are (little-endian, packed) and the event ids of the last days, compressed by
zstd. `LAYOUT_VERSION` is a hash of the table: a value of another version is refused by name.
"""

import hashlib
import struct

import cramjam
import numpy as np
import numpy.typing as npt

from domain.ids import ENTERPRISE_ID_BYTES_MAX
from features.indicators import CORE_COUNT
from features.state import coverage, dedup, past_scores, seen
from features.state.balances import ACCOUNTS
from features.state.balances import DAYS as BALANCE_DAYS
from features.state.buckets import DAYS, MONTHS, NO_UNIT, WEEKS
from features.state.classes import AMOUNTS, COUNTS
from features.state.instalments import LINES
from features.state.loans import BANK_SLOTS, LOAN_SLOTS
from features.state.payers import PLACES

EPISODES_MAX = 32  # open at a time, of all signals and lenders
INPUTS_MAX, LENDER_INPUTS_MAX = 96, 24  # that the signals of one scope read
FIELDS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("id", "<u8", (ENTERPRISE_ID_BYTES_MAX // 8,)),
    # what the value holds: offset of the newest record, and how the records ended (contract 9)
    ("applied_offset", "<i8", ()),
    ("applied_count", "<i8", ()),
    ("duplicate_count", "<i8", ()),
    ("conflict_count", "<i8", ()),
    ("late_count", "<i8", ()),
    # time
    ("newest_ms", "<i8", ()),
    ("first_day", "<i4", ()),
    ("closed_day", "<i4", ()),
    ("last_op_in_ms", "<i8", ()),
    ("txn_count", "<i8", ()),
    ("last_txn_ms", "<i8", ()),  # with others
    # which days and months were covered
    ("covered", "<u8", (coverage.DAYS_MAX // 64,)),
    ("covered_days", "<i2", (len(coverage.WINDOWS),)),
    ("covered_months", "<u4", ()),
    ("unrated_day", "<i4", ()),  # the newest day of an amount without a rate
    # calendar buckets
    ("day_newest", "<i4", ()),
    ("day_amount", "<i8", (len(AMOUNTS), DAYS)),
    ("day_count", "<i4", (len(COUNTS), DAYS)),
    ("week_newest", "<i4", ()),
    ("week_amount", "<i8", (len(AMOUNTS), WEEKS)),
    ("week_count", "<i4", (len(COUNTS), WEEKS)),
    ("month_newest", "<i4", ()),
    ("month_amount", "<i8", (len(AMOUNTS), MONTHS)),
    ("month_count", "<i4", (len(COUNTS), MONTHS)),
    # payers
    ("payer", "<u8", (PLACES,)),
    ("payer_weight", "<f8", (PLACES,)),
    ("payer_error", "<f8", (PLACES,)),
    ("payer_slow", "<f8", (PLACES,)),
    ("payer_count", "<i4", (PLACES,)),
    ("payer_first", "<u4", (PLACES,)),
    ("payer_last", "<u4", (PLACES,)),
    ("payer_named", "<f8", ()),  # decayed operating inflow with a known payer
    ("payer_named_slow", "<f8", ()),
    ("payer_all", "<f8", ()),  # decayed operating inflow
    ("payer_credits", "<f8", ()),  # decayed number of operating credits
    ("flow_all", "<f8", ()),  # decayed IN + OUT
    ("flow_unnamed", "<f8", ()),  # of which the counterparty is not named
    ("flow_count", "<f8", ()),
    # balances
    ("account", "<u8", (ACCOUNTS,)),
    ("account_fen", "<i8", (ACCOUNTS,)),
    ("account_ms", "<i8", (ACCOUNTS,)),
    ("account_overflow_day", "<i4", ()),
    ("balance_first_day", "<i4", ()),
    ("balance_day", "<i4", ()),
    ("balance_eod", "<i8", (BALANCE_DAYS,)),
    ("balance_known", "<u8", ()),
    ("balance_last_day", "<i4", (BANK_SLOTS,)),
    ("balance_blind_day", "<i4", (BANK_SLOTS,)),
    # lenders
    ("bank", "<i8", (BANK_SLOTS,)),
    ("bank_flow", "<f8", (BANK_SLOTS,)),  # decayed IN + OUT
    ("bank_overflow", "<i4", ()),
    ("authorization_from", "<i8", (BANK_SLOTS, 2)),
    ("authorization_to", "<i8", (BANK_SLOTS, 2)),
    ("authorization_ms", "<i8", (BANK_SLOTS,)),
    ("loan", "<u8", (LOAN_SLOTS, 4)),
    ("loan_bank", "|i1", (LOAN_SLOTS,)),
    ("loan_open", "|u1", (LOAN_SLOTS,)),
    ("loan_ms", "<i8", (LOAN_SLOTS,)),
    ("loan_outstanding", "<i8", (LOAN_SLOTS,)),
    ("loan_limit", "<i8", (LOAN_SLOTS,)),
    ("loan_revolving", "|u1", (LOAN_SLOTS,)),
    ("loan_dpd", "<i4", (LOAN_SLOTS,)),
    ("loan_dpd_day", "<i4", (LOAN_SLOTS,)),
    ("loan_dpd_more", "<i4", (LOAN_SLOTS,)),
    ("loan_scheduled", "|u1", (LOAN_SLOTS,)),
    ("due_count", "<i4", ()),
    ("due_day", "<i4", (LINES,)),
    ("due_fen", "<i8", (LINES,)),
    ("due_loan", "|i1", (LINES,)),
    ("lent_day", "<i4", ()),  # the newest of a grant, draw or renewal
    ("loan_overflow", "<i4", ()),
    ("dpd_latched", "<i4", ()),  # the last known maximum, for the cap while it is not reported
    ("frozen", "|u1", ()),  # a judicial freeze in force
    ("frozen_ms", "<i8", ()),  # time of the newest word on it
    ("gov_ms", "<i8", ()),  # time of the newest government event
    ("profile_ms", "<i8", ()),
    ("declared_sales_fen", "<i8", ()),  # of a year; -1: not declared
    ("stalled", "|u1", ()),  # at the newest tick, the feed of a main bank was
    ("loan_stalled", "|u1", ()),  # at the newest tick, the feed of a lender was
    # score, as of the newest evaluation, and as last emitted
    ("utility_last", "<f8", (CORE_COUNT,)),
    ("score_milli", "<i4", ()),
    ("emitted_milli", "<i4", ()),  # -1: never
    ("emitted_shape", "<u8", ()),  # status, grades and order of reasons, packed
    ("published_grade", "|i1", ()),
    ("closes_over_band", "|u1", ()),
    # what rules ask beside indicators
    ("seen_day", "<u2", (seen.PLACES,)),
    ("loan_seen_day", "<u2", (BANK_SLOTS, seen.LOAN_COUNT)),
    ("past_points", "<i2", (past_scores.DAYS,)),
    ("past_grade", "|i1", (past_scores.DAYS,)),
    # open episodes (detectors/episodes.py)
    ("episodes_open", "|u1", ()),
    ("episode_overflow", "<i4", ()),
    ("episode_key", "<u8", (EPISODES_MAX,)),
    ("episode_bank", "|i1", (EPISODES_MAX,)),
    ("episode_level", "|u1", (EPISODES_MAX,)),
    ("episode_stale", "|u1", (EPISODES_MAX,)),
    ("episode_opened_ms", "<i8", (EPISODES_MAX,)),
    ("episode_opened_offset", "<i8", (EPISODES_MAX,)),
    ("episode_revision", "<i4", (EPISODES_MAX,)),
    ("episode_false_closes", "|u1", (EPISODES_MAX,)),
    ("episode_held_closes", "<u2", (EPISODES_MAX,)),
)
INITIAL = {
    "applied_offset": -1, "newest_ms": -1, "last_op_in_ms": -1, "day_newest": NO_UNIT, "week_newest": NO_UNIT,
    "month_newest": NO_UNIT, "loan_dpd": -1, "loan_bank": -1,
    "loan_ms": -1, "authorization_ms": -1, "frozen_ms": -1, "gov_ms": -1, "profile_ms": -1, "declared_sales_fen": -1,
    "last_txn_ms": -1, "unrated_day": NO_UNIT, "lent_day": NO_UNIT, "account_overflow_day": NO_UNIT,
    "balance_first_day": NO_UNIT, "balance_day": NO_UNIT, "balance_last_day": NO_UNIT, "balance_blind_day": NO_UNIT,
    "utility_last": 1.0, "emitted_milli": -1, "published_grade": -1, "first_day": NO_UNIT, "closed_day": NO_UNIT,
    "dedup_head": -1, "past_points": past_scores.NONE, "past_grade": past_scores.NONE,
}  # fmt: skip
Rows = npt.NDArray[np.void]
LAYOUT_VERSION = int.from_bytes(hashlib.sha256(repr(FIELDS).encode()).digest()[:4], "little")
_HEADER = struct.Struct("<4sII")  # magic, layout version, number of event ids
_MAGIC = b"xlv1"

_STORED = np.dtype(list(FIELDS))
# Behind what is stored: the head of the row's chain of event ids, whether it differs from what Redis holds, how many
# outputs an interrupted close sweep has written, and what the signals were last evaluated with: the band of each input
# (detectors/rules/machine.py; 0 is unknown, so that a value that comes back from Redis is evaluated whole) and the day.
ROW = np.dtype(
    [
        *FIELDS,
        ("dedup_head", "<i4"),
        ("dirty", "|u1"),
        ("sweep_seq", "<i4"),
        ("band", "|u1", (INPUTS_MAX,)),
        ("lender_band", "|u1", (BANK_SLOTS, LENDER_INPUTS_MAX)),
        ("evaluated_day", "<i4"),
    ]
)


class LayoutError(ValueError):
    """A value in Redis is not of this layout; the message names the enterprise and both versions."""


def allocate(capacity: int) -> Rows:
    """`capacity` rows, each as an enterprise that was never seen."""
    rows = np.zeros(capacity, ROW)
    for name, value in INITIAL.items():
        rows[name] = value
    return rows


def grown(rows: Rows, capacity: int) -> Rows:
    """`capacity` rows that begin with `rows`."""
    larger = allocate(capacity)
    larger[: len(rows)] = rows
    return larger


def id_words(enterprise_id: str) -> npt.NDArray[np.uint64]:
    """The id's bytes, padded with NUL, as four words."""
    return np.frombuffer(enterprise_id.encode().ljust(ENTERPRISE_ID_BYTES_MAX, b"\0"), "<u8")


def id_text(words: npt.NDArray[np.uint64]) -> str:
    """The id (of an enterprise or a loan) that `id_words` made."""
    return words.tobytes().rstrip(b"\0").decode()


def pack(
    state: Rows, arena: dedup.Arena, slots: npt.NDArray[np.int64], first_days: npt.NDArray[np.int32]
) -> list[bytes]:
    """The values of `slots`; event ids from first_days[i] on go with them."""
    raw = state.view(np.uint8).reshape(len(state), ROW.itemsize)
    scratch = np.empty((256, 3), np.uint64)
    values = []
    for slot, first_day in zip(slots, first_days, strict=True):
        n = dedup.entries_at(arena, state, slot, first_day, scratch)
        if n > len(scratch):
            scratch = np.empty((2 * n, 3), np.uint64)
            n = dedup.entries_at(arena, state, slot, first_day, scratch)
        entries = scratch[:n][np.argsort(scratch[:n, 0])]  # by id: in which order they came is not part of the value
        body = raw[slot, : _STORED.itemsize].tobytes() + entries.tobytes()
        values.append(_HEADER.pack(_MAGIC, LAYOUT_VERSION, n) + bytes(cramjam.zstd.compress(body, level=1)))
    return values


def unpack(name: str, value: bytes) -> tuple[np.void, npt.NDArray[np.uint64]]:
    """One value as (row of FIELDS, event ids (n, 3)); LayoutError names the enterprise `name`."""
    if len(value) < _HEADER.size:
        raise LayoutError(f"value of {name}: {len(value)} bytes are no value")
    magic, version, n = _HEADER.unpack_from(value)
    if magic != _MAGIC or version != LAYOUT_VERSION:
        raise LayoutError(
            f"value of {name}: layout {magic!r} {version:08x}, this engine knows {_MAGIC!r} {LAYOUT_VERSION:08x}"
        )
    try:
        body = bytes(cramjam.zstd.decompress(value[_HEADER.size :]))
        row = np.frombuffer(body, _STORED, 1)[0]
        return row, np.frombuffer(body, "<u8", 3 * n, _STORED.itemsize).reshape(n, 3)
    except (cramjam.DecompressionError, ValueError) as error:
        raise LayoutError(f"value of {name}: {error}") from error


def restore(state: Rows, arena: dedup.Arena, slot: int, row: np.void, ids: npt.NDArray[np.uint64]) -> None:
    """Put an unpacked value into a free row."""
    state[slot : slot + 1].view(np.uint8)[: _STORED.itemsize] = np.frombuffer(row.tobytes(), np.uint8)
    dedup.restore_at(arena, state, slot, ids)
