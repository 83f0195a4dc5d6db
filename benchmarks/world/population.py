"""The enterprises of a benchmark: size, banks, counterparties, borrowing, and the course of their business.

Each enterprise follows from the seed and its number, so a part of a population equals that part of the whole.
benchmarks/README.md has the meaning of the figures.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BANKS = 24
BANK_SLOTS = 3
_COLUMNS = 20  # of random numbers, an enterprise
PROFILE = np.dtype(
    [
        ("number", "<i4"),
        ("level_fen", "<i8"),  # operating inflow of a day
        ("sigma", "<f4"),  # of the logarithm of one amount
        ("rate", "<f4"),  # transactions a day before the dense days
        ("dense_rate", "<f4"),  # and in them
        ("silent_from", "<i4"),  # from which day of the log it does nothing; past its end: never
        ("bank", "|i1", (BANK_SLOTS,)),  # index into the banks; -1: none
        ("main_share", "<f4"),  # of transactions through the first bank
        ("payers", "<i4"),
        ("payees", "<i4"),
        ("borrows", "|u1"),
        ("onset_day", "<i4"),  # from which day of the log business declines; past its end: never
        ("decline_days", "<f4"),  # in which it loses two thirds of what it will lose
        ("left_share", "<f4"),  # of the level that remains at last
        ("growth", "<f4"),  # of the level, a year
    ]
)
Profiles = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Shares and ranges that the population is drawn from. Rates are transactions a day."""

    borrowing_share: float = 1 / 3
    declining_share: float = 0.25
    onset_days: int = 75  # before the end of the log within which declines begin
    rate_min: float = 0.50
    rate_max: float = 0.70
    dense_rate: float = 20.0  # the mean
    dense_rate_sigma: float = 0.0  # of its logarithm; 0: the same for all
    dense_rate_max: float = 2_000.0
    early_rate_max: float | None = None  # None: rates before the dense days are drawn; else the dense one, at most this
    dormant_share: float = 0.0
    dormant_days: int = 90  # before the end of the log that the dormant are silent


def bank_id(index: int) -> str:
    """Return the code of a bank, 14 characters."""
    return f"C10{index + 1:03d}45000{index + 11:03d}"


def enterprise_id(number: int) -> str:
    """Return an id of 18 characters, as a unified social credit code has."""
    return f"91450100{number:010d}"


def profiles(seed: int, numbers: npt.NDArray[np.int64], last_day: int, mix: Mix | None = None) -> Profiles:
    """Return the enterprises with these numbers, of a log that ends with day `last_day` (counted from its first)."""
    mix = mix or Mix()
    u = _uniform(seed, numbers)
    rows = np.zeros(len(numbers), PROFILE)
    rows["number"] = numbers
    rows["level_fen"] = np.exp(np.log(8_000_000.0) + 1.3 * _normal(u[0], u[1]))  # 80,000 CNY a day at the median
    rows["sigma"] = 0.5 + u[2]
    rows["rate"] = mix.rate_min + (mix.rate_max - mix.rate_min) * u[3]
    sigma = mix.dense_rate_sigma
    spread = np.exp(sigma * _normal(u[17], u[18]) - sigma * sigma / 2)
    rows["dense_rate"] = np.minimum(mix.dense_rate_max, mix.dense_rate / (1.0 - mix.dormant_share) * spread)
    if mix.early_rate_max is not None:
        rows["rate"] = np.minimum(mix.early_rate_max, rows["dense_rate"])
    rows["silent_from"] = np.where(u[19] < mix.dormant_share, last_day - mix.dormant_days, 2**30)
    first = (u[4] * BANKS).astype(np.int64)
    rows["bank"][:, 0] = first
    rows["bank"][:, 1] = np.where(u[5] < 0.55, (first + 1 + (u[6] * 11).astype(np.int64)) % BANKS, -1)
    rows["bank"][:, 2] = np.where(u[5] < 0.2, (first + 12 + (u[7] * 11).astype(np.int64)) % BANKS, -1)
    rows["main_share"] = 0.5 + 0.4 * u[8]
    rows["payers"] = 3 + 40 * u[9] ** 2
    rows["payees"] = 4 + 40 * u[10] ** 2
    rows["borrows"] = u[11] < mix.borrowing_share
    declines = u[12] < mix.declining_share
    rows["onset_day"] = np.where(declines, last_day - mix.onset_days * u[13], 2**30)
    rows["decline_days"] = 2 + 25 * u[14]
    rows["left_share"] = 0.05 + 0.5 * u[15]
    rows["growth"] = -0.05 + 0.25 * u[16]
    return rows


def _uniform(seed: int, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return numbers in [0, 1), float64 (_COLUMNS, enterprises), by splitmix64 of (seed, number, column)."""
    with np.errstate(over="ignore"):
        x = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + numbers.astype(np.uint64)[None, :] * np.uint64(_COLUMNS)
        x = x + np.arange(_COLUMNS, dtype=np.uint64)[:, None]
        for multiplier in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93):
            x = (x ^ (x >> np.uint64(30))) * np.uint64(multiplier)
    return (x >> np.uint64(11)) / 2.0**53


def _normal(u: npt.NDArray[np.float64], v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return standard normal numbers by the transform of Box and Muller."""
    return np.sqrt(-2.0 * np.log1p(-u)) * np.cos(2.0 * np.pi * v)
