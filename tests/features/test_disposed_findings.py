"""The findings that banks have disposed of, against a dictionary."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features import layout
from features.state import dispositions
from features.state.dispositions import PLACES, UNDATED

NOTE = st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(1, 3), st.sampled_from((UNDATED, 5, 9)))


def noted(*steps):
    e = layout.allocate(1)[0]
    for bank, finding, level, until in steps:
        dispositions.note(e, bank, np.uint32(finding), np.uint8(level), np.int32(until))
    return e


def asked(question, e, bank, finding, level, day):
    return question(e, bank, np.uint32(finding), np.int64(level), np.int64(day))


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(NOTE, max_size=PLACES), forgotten=st.sampled_from((None, "spent", "bank")))
def test_they_answer_as_a_dictionary_does(steps, forgotten):
    e, plain = noted(*steps), {(bank, finding): (level, until) for bank, finding, level, until in steps}
    if forgotten == "spent":
        dispositions.forget_spent(e, 1, np.int64(5))
        plain = {key: value for key, value in plain.items() if value[1] != 5 and (key[0] != 1 or value[1] != UNDATED)}
    elif forgotten == "bank":
        dispositions.forget_bank(e, 1)
        plain = {key: value for key, value in plain.items() if key[0] != 1}
    for bank in range(3):
        for finding in range(1, 5):
            for level in (0, 2, 3):
                for day in (4, 5, 9):
                    most, until = plain.get((bank, finding), (-1, -1))
                    place = bank, finding, level, day
                    assert asked(dispositions.holds, e, *place) == (level <= most and until > day)
                    assert asked(dispositions.covers, e, *place) == (level <= most and (until > day or not until))


def test_where_all_places_are_taken_the_one_gives_way_whose_day_comes_first():
    e = noted(*[(0, finding, 2, 100 + finding) for finding in range(1, PLACES + 1)])
    dispositions.note(e, 1, np.uint32(7), np.uint8(2), np.int32(50))
    held = [asked(dispositions.holds, e, 0, finding, 2, 0) for finding in range(1, PLACES + 1)]
    assert held == [False] + [True] * (PLACES - 1)
    assert asked(dispositions.holds, e, 1, 7, 2, 0)
