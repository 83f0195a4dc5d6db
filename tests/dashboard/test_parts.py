"""The shown parts of a score add up to the shown score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.parts import FLOOR, whole_parts
from domain.outputs import GROUPS

GROUP_MILLI = st.integers(0, 70_000)


@given(groups=st.lists(GROUP_MILLI, min_size=6, max_size=6), cap=st.integers(-300_000, 0))
def test_whole_parts_add_up_and_each_is_within_a_point(groups: list[int], cap: int) -> None:
    parts = {**dict(zip(GROUPS, groups, strict=True)), "cap": cap}
    score = round((FLOOR * 1000 + sum(parts.values())) / 1000)  # half to even, as the engine rounds
    whole = whole_parts(score, parts)
    assert FLOOR + sum(whole.values()) == score
    assert all(abs(whole[name] * 1000 - milli) < 1000 for name, milli in parts.items())


@given(groups=st.lists(GROUP_MILLI, min_size=6, max_size=6), off=st.sampled_from((-9, 9)))
def test_parts_of_another_score_are_refused(groups: list[int], off: int) -> None:
    parts = dict(zip(GROUPS, groups, strict=True))
    with pytest.raises(ValueError, match="do not make"):
        whole_parts(round(400 + sum(groups) / 1000) + off, parts)
