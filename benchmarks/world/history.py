"""The history of each enterprise, day by day: rows of EVENT in the order of arrival, made by compiled code.

Before the dense days an enterprise has `rate` transactions a day, in them `dense_rate`; amounts shrink as the count
grows, so that daily sums keep their level. Some records arrive days late, some twice.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.world.population import BANK_SLOTS, Profiles
from domain.calendar import DAY_MS, day_start_ms
from kernels.decorators import allocating_kernel

EVENT = np.dtype(
    [
        ("arrival_ms", "<i8"),
        ("event_ms", "<i8"),
        ("enterprise", "<i4"),  # index into the profiles
        ("number", "<i4"),  # of the transaction, within its enterprise
        ("seq", "<i4"),  # within its account
        ("slot", "|i1"),  # which of the enterprise's banks
        ("kind", "|u1"),  # row of writing.KINDS
        ("party", "<i4"),
        ("amount", "<i8"),
        ("balance", "<i8"),
    ]
)
Events = npt.NDArray[np.void]
CREDIT_KINDS, DEBIT_KINDS = 5, 10  # the first rows of writing.KINDS are credits
# Of 1,000 transactions of a borrower; another buys where a borrower pays its loan.
_CREDIT_PERMILLE, _DEBIT_PERMILLE = (400, 30, 15, 10, 15), (250, 60, 40, 35, 20, 30, 20, 15, 35, 25)
_CUMULATED = np.cumsum((*_CREDIT_PERMILLE, *_DEBIT_PERMILLE))
assert _CUMULATED[-1] == 1_000
_SALES, _SALES_SHARE = 0, 0.4
_PURCHASE, _REPAYMENT = CREDIT_KINDS, CREDIT_KINDS + 8
_DEBIT_SHARE = 0.53
_MARGIN = 0.97  # of what comes in goes out again
_HOUR_MS = 3_600_000
_OPENS_MS, _OPEN_MS = 8 * _HOUR_MS, 12 * _HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The days of a log, counted from `first_day`, and the arrival of records. Shares are of transactions."""

    first_day: int
    days: int
    dense_from: int  # from this day on
    late_share: float = 0.02  # one to six days late
    too_late_share: float = 0.0002  # eight to twelve
    twice_share: float = 0.015


def history(seed: int, profiles: Profiles, shape: Shape) -> Events:
    """Return all events of these enterprises, by arrival. A record that arrives twice has two rows."""
    dense_days = shape.days - shape.dense_from
    most = np.ceil(profiles["rate"] * shape.dense_from) + np.ceil(profiles["dense_rate"] * dense_days) + 4
    rows = np.zeros(int(most.sum()), EVENT)
    n = _fill(
        np.uint64(seed), profiles, rows, day_start_ms(shape.first_day), shape.days, shape.dense_from,
        shape.late_share, shape.too_late_share,
    )  # fmt: skip
    rows = rows[:n]
    again = rows[_chance(seed, n) < shape.twice_share].copy()
    again["arrival_ms"] += (_chance(seed + 1, len(again)) * 2 * DAY_MS).astype(np.int64)
    rows = np.concatenate([rows, again])
    return rows[np.argsort(rows["arrival_ms"], kind="stable")]


def _chance(seed: int, n: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).random(n)


@allocating_kernel
def _random(state):
    """Return the next number in [0, 1); `state` is one uint64."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    x = state[0]
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return np.float64(x >> np.uint64(11)) / 9007199254740992.0


@allocating_kernel
def _factor(state, sigma):
    """Return a log-normal factor with mean 1."""
    u, v = _random(state), _random(state)
    normal = np.sqrt(-2.0 * np.log(1.0 - u)) * np.cos(6.283185307179586 * v)
    return np.exp(sigma * normal - 0.5 * sigma * sigma)


@allocating_kernel
def _trend(p, day):
    """Return the level of a day, against the enterprise's usual one."""
    level = 1.0 + p.growth * day / 365.0
    if day >= p.onset_day:
        level *= p.left_share + (1.0 - p.left_share) * np.exp(-(day - p.onset_day) / p.decline_days)
    return level


@allocating_kernel
def _kind(state, borrows):
    draw = _random(state) * 1000.0
    kind = 0
    while draw >= _CUMULATED[kind]:
        kind += 1
    return _PURCHASE if kind == _REPAYMENT and not borrows else kind


@allocating_kernel
def _fill(seed, profiles, rows, begin_ms, days, dense_from, late_share, too_late_share):
    n = 0
    state = np.zeros(1, np.uint64)
    balance, seq = np.zeros(BANK_SLOTS), np.zeros(BANK_SLOTS, np.int64)
    for i in range(profiles.shape[0]):
        p = profiles[i]
        state[0] = (seed + np.uint64(p.number) * np.uint64(0xD6E8FEB86659FD93)) * np.uint64(0xBF58476D1CE4E5B9)
        phase, number = _random(state), 0
        balance[:], seq[:] = 15.0 * p.level_fen, 0
        for day in range(days):
            if day >= p.silent_from:
                break
            dense = day >= dense_from
            per_day, since = np.float64(p.dense_rate if dense else p.rate), day - dense_from if dense else day
            count = int(phase + (since + 1) * per_day) - int(phase + since * per_day)
            level = p.level_fen * _trend(p, day)
            for k in range(count):
                r = rows[n]
                n += 1
                r.enterprise, r.number, r.kind = i, number, _kind(state, p.borrows)
                number += 1
                second = p.bank[1] >= 0 and _random(state) >= p.main_share
                r.slot = 0 if not second else 2 if p.bank[2] >= 0 and _random(state) < 0.3 else 1
                seq[r.slot] += 1
                r.seq = seq[r.slot]
                held = balance[r.slot]
                credit = r.kind < CREDIT_KINDS
                if credit:
                    fen = level / (per_day * _SALES_SHARE) * (1.0 if r.kind == _SALES else 0.3)
                else:
                    usual = 15.0 * p.level_fen
                    fen = _MARGIN * level / (per_day * _DEBIT_SHARE) * min(2.0, max(0.3, held / usual))
                fen *= _factor(state, p.sigma)
                r.amount = max(100.0, fen if credit else min(fen, 0.9 * held))
                balance[r.slot] = max(0.0, held + (r.amount if credit else -r.amount))
                r.balance = balance[r.slot]
                parties = p.payers if credit else p.payees
                r.party = int(parties * _random(state) ** 2)
                r.event_ms = begin_ms + day * 86_400_000 + _OPENS_MS + int((k + _random(state)) * _OPEN_MS / count)
                draw, delay = _random(state), 1_000.0 + 120_000.0 * _random(state)
                if draw < too_late_share:
                    delay = (8.0 + 4.0 * _random(state)) * DAY_MS
                elif draw < too_late_share + late_share:
                    delay = (1.0 + 5.0 * _random(state)) * DAY_MS
                r.arrival_ms = r.event_ms + int(delay)
    return n
