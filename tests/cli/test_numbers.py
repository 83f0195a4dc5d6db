"""Numbers, dates and files of the command line."""

import argparse
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cli.numbers import COUNT_MAX, OFFSET_MAX, count_of, date_of, offset_of, output_of, points_of, seconds_of


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (count_of, "1", 1),
        (count_of, "007", 7),
        (count_of, "１２", 12),
        (count_of, str(COUNT_MAX), COUNT_MAX),
        (offset_of, "0", 0),
        (offset_of, str(OFFSET_MAX), OFFSET_MAX),
        (points_of, "0.5", 0.5),
        (seconds_of, "0", 0),
        (date_of, "2024-02-29", date(2024, 2, 29)),
    ],
)
def test_meaningful_numbers_are_accepted(kind: Callable[[str], Any], text: str, value: object) -> None:
    assert kind(text) == value


NO_NUMBERS = ("", "-1", "+1", " 1", "1_000", "1.0", "1e3", "nan", "inf", "²", "9" * 5_000)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        *((count_of, text, "is no whole number above zero") for text in ("0", *NO_NUMBERS)),
        (count_of, str(COUNT_MAX + 1), "2147483648 is above 2,147,483,647"),
        *((offset_of, text, "is no whole number from 0 to") for text in (*NO_NUMBERS, str(OFFSET_MAX + 1))),
        *((points_of, text, "is no number above zero") for text in ("", "0", "-1", "nan", "inf", "x")),
        *((seconds_of, text, "is no number of seconds") for text in ("", "-1", "nan", "inf", "x")),
        *((date_of, text, "is no date, as 2025-07-01") for text in ("", "2025-13-01", "2025-02-30", "tomorrow")),
    ],
)
def test_anything_else_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, kind: Callable[[str], Any], text: str, said: str
) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        kind(text)


def test_a_file_to_be_written_may_be_new_or_old_also_in_a_folder_to_be_made(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    for name in ("old", "new", "folder/new"):
        assert output_of(str(tmp_path / name)) == tmp_path / name
    assert not (tmp_path / "folder").exists(), "nothing is made before there is something to write"


def test_an_unusable_output_path_is_refused_before_minutes_of_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for text, said in (
        ("", "is a folder"),
        (str(tmp_path), "is a folder"),
        ("/", "is a folder"),
        (str(tmp_path / "file" / "x"), f"{tmp_path / 'file'} is no folder"),
        (str(tmp_path / "pipe"), "is no regular file"),
        ("/dev/null", "is no regular file"),
        (str(tmp_path / ("x" * 300)), "File name too long"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=f"{text!r}: {said}"):
            output_of(text)
