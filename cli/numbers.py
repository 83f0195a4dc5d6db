"""Numbers of the command line, refused where they could mean nothing."""

import argparse
import math

from cli.words import say


def count_of(text: str) -> int:
    """Return a whole number from 1 on, of digits alone."""
    try:
        number = int(text) if text.isdecimal() else 0
    except ValueError:  # more digits than int() takes
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(say(f"{text!r} 不是大于零的整数", f"{text!r} is no whole number above zero"))
    return number


def seconds_of(text: str) -> float:
    """Return a length of time in seconds, from 0 on."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(say(f"{text!r} 不是秒数", f"{text!r} is no number of seconds"))
    return number
