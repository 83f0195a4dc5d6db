"""Counter-based random numbers: each number follows from a key and its place, in any order of calls.

They use only +, -, *, / and table look-ups, which every machine rounds alike; exp, log or a library's distribution
could differ in the last bit. `uniform` and its relatives return whole arrays for the set-up; kernels draw from a stream
that each enterprise carries. The generator is splitmix64 (Steele, Lea and Flood 2014).
"""

import hashlib
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from kernels.decorators import kernel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_U = np.uint64
_GOLDEN, _M1, _M2 = _U(0x9E3779B97F4A7C15), _U(0xBF58476D1CE4E5B9), _U(0x94D049BB133111EB)
_TO_UNIT = 1.0 / 9007199254740992.0
_STEPS = 4096
# Quantiles of the standard normal distribution at the middles of equal steps, cut to six digits.
NORMAL = np.array([round(NormalDist().inv_cdf((i + 0.5) / _STEPS), 6) for i in range(_STEPS)])
NORMAL.setflags(write=False)


def key(seed: int, *path: object) -> np.uint64:
    """Return the key of a named stream."""
    text = "/".join(map(str, (seed, *path)))
    return _U(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def uniform(stream: np.uint64, places: npt.ArrayLike) -> Floats:
    """Return numbers in [0, 1) at these places of a stream, float64 in the shape of `places`."""
    with np.errstate(over="ignore"):
        x = np.asarray(places, np.int64).astype(_U) * _GOLDEN + stream
        x = (x ^ (x >> _U(30))) * _M1
        x = (x ^ (x >> _U(27))) * _M2
        x ^= x >> _U(31)
    found: Floats = (x >> _U(11)).astype(np.float64) * _TO_UNIT
    return found


def normal(stream: np.uint64, places: npt.ArrayLike) -> Floats:
    """Return standard normal numbers, float64 in the shape of `places`."""
    found: Floats = NORMAL[(uniform(stream, places) * _STEPS).astype(np.int64)]
    return found


def exponential(x: npt.ArrayLike) -> Floats:
    """Return e to the x by products alone, for |x| < 20; the relative error is below 1e-6 for |x| < 5."""
    y = np.asarray(x, np.float64) / 1024.0
    power = 1.0 + y + y * y / 2.0 + y * y * y / 6.0
    for _ in range(10):
        power = power * power
    found: Floats = power
    return found


def log_normal(stream: np.uint64, places: npt.ArrayLike, median: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Return log-normal numbers with these medians and standard deviations of the logarithm."""
    return np.asarray(median, np.float64) * exponential(np.asarray(sigma, np.float64) * normal(stream, places))


def between(stream: np.uint64, places: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> Integers:
    """Return whole numbers of low … high, both included, int64."""
    span = np.asarray(high, np.int64) - np.asarray(low, np.int64) + 1
    found: Integers = np.asarray(low, np.int64) + (uniform(stream, places) * span).astype(np.int64)
    return found


def weighted(stream: np.uint64, places: npt.ArrayLike, weights: npt.ArrayLike) -> Integers:
    """Return indices drawn with weights that need not sum to one, int64."""
    edges = np.cumsum(np.asarray(weights, np.float64))
    found: Integers = np.searchsorted(edges, uniform(stream, places) * edges[-1], side="right")
    return np.minimum(found, len(edges) - 1)


@kernel
def draw(firm: Any) -> Any:
    """Return the next number in [0, 1) of an enterprise's stream, and advance `firm.stream`."""
    firm.stream += _GOLDEN
    x = firm.stream
    x = (x ^ (x >> _U(30))) * _M1
    x = (x ^ (x >> _U(27))) * _M2
    x ^= x >> _U(31)
    return np.float64(x >> _U(11)) * _TO_UNIT


@kernel
def exp(x: Any) -> Any:
    """Return e to the x, like `exponential`."""
    y = x / 1024.0
    power = 1.0 + y + y * y / 2.0 + y * y * y / 6.0
    for _ in range(10):
        power = power * power
    return power


@kernel
def draw_normal(firm: Any) -> Any:
    """Return a standard normal number."""
    return NORMAL[np.int64(draw(firm) * _STEPS)]


@kernel
def draw_factor(firm: Any, sigma: Any) -> Any:
    """Return a log-normal factor with mean 1."""
    return exp(sigma * draw_normal(firm) - 0.5 * sigma * sigma)
