"""Numbers, dates and files of the command line, refused where they could mean nothing, before anything is done."""

import argparse
import math
import os
from datetime import UTC, date, datetime
from pathlib import Path

from cli.words import say

COUNT_MAX = 2**31 - 1
OFFSET_MAX = 2**63 - 1


def count_of(text: str) -> int:
    """Return a whole number from 1 on, of digits alone."""
    try:
        number = int(text) if text.isdecimal() else 0
    except ValueError:  # more digits than int() takes
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(say(f"{text!r} 不是大于零的整数", f"{text!r} is no whole number above zero"))
    if number > COUNT_MAX:
        raise argparse.ArgumentTypeError(say(f"{text} 大于 {COUNT_MAX:,}", f"{text} is above {COUNT_MAX:,}"))
    return number


def offset_of(text: str) -> int:
    """Return a whole number from 0 to that of the last offset that Kafka could give."""
    number = int(text) if text.isdecimal() and len(text) <= len(str(OFFSET_MAX)) else -1
    if not 0 <= number <= OFFSET_MAX:
        message = f"{text!r} 不是 0 到 {OFFSET_MAX:,} 的整数", f"{text!r} is no whole number from 0 to {OFFSET_MAX:,}"
        raise argparse.ArgumentTypeError(say(*message))
    return number


def points_of(text: str) -> float:
    """Return a number of points, above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(say(f"{text!r} 不是大于零的数", f"{text!r} is no number above zero"))
    return number


def date_of(text: str) -> date:
    """Return a day of the calendar."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"{text!r} 不是日期，如 2025-07-01", f"{text!r} is no date, as 2025-07-01"
        raise argparse.ArgumentTypeError(say(*message)) from None


def month_of(text: str) -> date:
    """Return the first day of a month, given as YYYY-MM."""
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        message = f"{text!r} 不是月份，如 2025-07", f"{text!r} is no month, as 2025-07"
        raise argparse.ArgumentTypeError(say(*message)) from None


def output_of(text: str) -> Path:
    """Return the path of a file to be written; its folder is made later where there is none.

    A file takes the place of what bears its name, so that must be a file: the device /dev/null would be one no more.
    """
    path = Path(text)
    try:
        why = _no_output(path)
    except OSError as error:
        why = error.strerror
    if why:
        raise argparse.ArgumentTypeError(f"{text!r}: {why}")
    return path


def _no_output(path: Path) -> str | None:
    """Return why no file can be written there; None where one can, as far as that is known before. OSError."""
    if path.is_dir():
        return say("是文件夹", "is a folder")
    if path.exists() and not path.is_file():
        return say("不是普通文件", "is no regular file")
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if not folder.is_dir():
        return say(f"{folder} 不是文件夹", f"{folder} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        return say(f"{folder} 不可写", f"{folder} cannot be written to")
    return None


def seconds_of(text: str) -> float:
    """Return a length of time in seconds, from 0 on."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(say(f"{text!r} 不是秒数", f"{text!r} is no number of seconds"))
    return number
