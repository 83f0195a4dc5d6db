"""Numbers of the command line."""

import argparse

import pytest

from cli.numbers import count_of


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("007", 7), ("１２", 12)])
def test_a_count_is_a_whole_number_from_1_on(text: str, number: int) -> None:
    assert count_of(text) == number


@pytest.mark.parametrize("text", ["", "0", "-1", "+1", " 1", "1_000", "1.0", "1e3", "nan", "²", "9" * 5_000])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is no whole number above zero|不是大于零的整数"):
        count_of(text)
