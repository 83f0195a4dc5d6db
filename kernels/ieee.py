"""exp and log by IEEE operations alone: the last bit of libm's differs between CPUs, and snapshots are hashed."""

import math

import numpy as np

from kernels.decorators import kernel

EXPONENT_MAX = 700.0  # exp of more, or of less than its negative, is taken as of it
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # ln 2, the first with 32 bits
_INVERSE_FACTORIALS = np.array([1.0 / math.factorial(k) for k in range(13, -1, -1)])
_INVERSE_FACTORIALS.setflags(write=False)
_ARTANH = np.array([1.0 / k for k in range(21, 0, -2)])
_ARTANH.setflags(write=False)


@kernel
def exp(x):
    """Return e to the power of x, to about one unit in the last place."""
    x = min(EXPONENT_MAX, max(-EXPONENT_MAX, x))
    k = math.floor(x / 0.6931471805599453 + 0.5)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    total = 0.0
    for term in _INVERSE_FACTORIALS:
        total = total * r + term
    return math.ldexp(total, np.int32(k))  # type: ignore[arg-type]


@kernel
def log(x):
    """Return the natural logarithm of x > 0, to about two units in the last place."""
    y, exponent = math.frexp(x)
    if y < 0.7071067811865476:
        y, exponent = 2.0 * y, exponent - 1
    z = (y - 1.0) / (y + 1.0)  # ln y = 2 artanh z, |z| < 0.172
    square, total = z * z, 0.0
    for term in _ARTANH:
        total = total * square + term
    return 2.0 * z * total + exponent * 0.6931471805599453


@kernel
def logistic(z):
    """Return 1 / (1 + exp(-z))."""
    return 1.0 / (1.0 + exp(-z)) if z >= 0 else 1.0 - 1.0 / (1.0 + exp(z))


@kernel
def softplus(z):
    """Return log(1 + exp(z))."""
    return max(z, 0.0) + log(1.0 + exp(-abs(z)))
