"""exp and log by IEEE operations: near a library's, and the same bits everywhere."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import ieee


@given(st.floats(-800, 800))
def test_exp_is_that_of_a_library_to_some_units_in_the_last_place(x: float) -> None:
    bounded = min(ieee.EXPONENT_MAX, max(-ieee.EXPONENT_MAX, x))
    assert math.isclose(ieee.exp(x), math.exp(bounded), rel_tol=4e-16 * 4)


@given(st.floats(1e-300, 1e300))
def test_log_is_that_of_a_library_to_some_units_in_the_last_place(x: float) -> None:
    assert math.isclose(ieee.log(x), math.log(x), rel_tol=1e-15, abs_tol=1e-15)


@pytest.mark.parametrize(
    ("x", "bits"),
    [
        (1.0, 0x4005BF0A8B14576A),
        (-0.5, 0x3FE368B2FC6F960A),
        (20.25, 0x41C290D76D1966AA),
        (-300.125, 0x24E01FC80984719D),
    ],
)
def test_exp_has_the_same_bits_on_any_machine(x: float, bits: int) -> None:
    """The bits were written down on one machine: another that gives others would give snapshots other ids."""
    assert np.float64(ieee.exp(x)).view(np.uint64) == bits
