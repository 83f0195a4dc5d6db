"""The language of the command: Chinese where the locale is Chinese, else English."""

import os
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from domain.calendar import ZONE_OFFSET_MS
from domain.language import Lang

_ZONE = timezone(timedelta(milliseconds=ZONE_OFFSET_MS))
_LOCALE_NAMES = ("LC_ALL", "LC_MESSAGES", "LANG")  # in the order in which POSIX asks them


def is_chinese(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether the locale is Chinese."""
    given = os.environ if environ is None else environ
    locale = next((given[name] for name in _LOCALE_NAMES if given.get(name)), "")
    return locale.lower().startswith("zh")


def language() -> Lang:
    """Return the language of the locale."""
    return "zh" if is_chinese() else "en"


def say(zh: str, en: str) -> str:
    """Return one of the two."""
    return zh if is_chinese() else en


def complain(verb: str, zh: str, en: str) -> None:
    """Print an error to stderr."""
    print(f"xinliu {verb}: {say(zh, en)}", file=sys.stderr)


def reason_of(error: BaseException) -> str:
    """Return what an error says; one of librdkafka's without the names and numbers of its fields."""
    from confluent_kafka import KafkaError

    cause = error.args[0] if error.args else None
    return str(cause.str()) if isinstance(cause, KafkaError) else str(error)


def time_text(time_ms: int) -> str:
    """Return a moment in the business zone, to the second.

    >>> time_text(1_700_000_000_000)
    '2023-11-15 06:13:20'
    """
    return datetime.fromtimestamp(time_ms / 1_000, _ZONE).strftime("%Y-%m-%d %H:%M:%S")


def span_text(seconds: float) -> str:
    """Return a length of time in its two largest units.

    >>> span_text(93_784)
    '1d 2h'
    """
    left = round(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
