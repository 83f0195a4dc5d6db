"""Tables of dates that end soon, or are provisional from some day on: told to operators well before."""

import time

from config.catalogue import calendar_ends, workdays_decided_until
from domain.calendar import date_of, day_of

ENDING_DAYS = 60  # as the alert CalendarEnds has it
RUNBOOK = "docs/运维手册/模型与规则.md#calendarends"


def days_left() -> dict[str, int]:
    """By table, how many days from today on it still covers; below zero where it has ended."""
    return {table: end - today() for table, end in calendar_ends().items()}


def today() -> int:
    """Return the present business day."""
    return day_of(time.time_ns() // 1_000_000)


def ending(left: dict[str, int]) -> dict[str, int]:
    """Return those that end soon, or have ended."""
    return {table: days for table, days in left.items() if days < ENDING_DAYS}


def what(table: str, days: int) -> tuple[str, str]:
    """Return what is the matter, in Chinese and English."""
    if table == "workdays":
        last, begin = (date_of(workdays_decided_until() + offset).isoformat() for offset in (0, 1))
        return (
            f"节假日安排公布到 {last}：自 {begin} 起工作日按法定节假日暂定，相关结果标明“暂定”",
            f"holidays are published up to {last}: results that count business days are provisional from {begin}",
        )
    if days < 0:
        return f"日期表 {table} 已过期 {-days} 天", f"the table of dates {table} ended {-days} days ago"
    return f"日期表 {table} 还有 {days} 天到期", f"the table of dates {table} ends in {days} days"


def todo(table: str) -> tuple[str, str]:
    """Return the advice for operators."""
    return (
        f"在 config/{table}.csv 补上后面的整年，步骤见 {RUNBOOK}",
        f"add whole years to config/{table}.csv, as {RUNBOOK} says",
    )
