"""The full product: every batch size, every size of sweeps, one and two workers, many kills; `make soak`."""

import pytest

from benchmarks import determinism


@pytest.mark.soak
@pytest.mark.timeout(4 * 3_600)
def test_the_full_product_gives_the_same_bytes():
    assert determinism.run([]) == 0, "see benchmarks/results/determinism.json"
