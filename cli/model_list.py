"""`xinliu model list`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import msgspec

from cli.model_text import Row, month_text, reason_text, rows_of, short, standing_text, switch_text
from cli.words import say
from config.settings import Settings
from domain.printable import printable

if TYPE_CHECKING:
    from streams.model_history import ModelHistory


def add_actions(actions: Any) -> None:
    """Add `list`."""
    listing = actions.add_parser(
        "list", help=say("候选与模型，各处于什么状态", "candidates and models, and their standing")
    )
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(act=_list)


def _list(args: argparse.Namespace, settings: Settings) -> int:
    from streams.model_history import read_history

    history = read_history(settings.kafka)
    rows = rows_of(history)
    if args.json:
        print(printable(msgspec.json.encode([as_json(row) for row in rows]).decode()))
        return 0
    for row in rows:
        print(printable(_line(row)))
        for reason in row.candidate.reasons if row.candidate is not None else ():
            print(printable(f"{'':14}{reason_text(reason)}"))
    print(printable(_learns(history, settings)))
    if (told := _suppressed(history)) is not None:
        print(told)
    return 0


def as_json(row: Row) -> dict[str, Any]:
    """Return a row for scripts."""
    made, switch = row.candidate, row.switch
    return {
        "id": row.model_id,
        "standing": row.standing,
        "month": made and month_text(made.month),
        "labels": row.snapshot and row.snapshot.trained_labels_count,
        "bad": row.snapshot and row.snapshot.trained_bad_count,
        "parent_id": row.snapshot and row.snapshot.parent_id,
        "in_force_id": made and made.in_force_id,
        "moves_scores": made and made.moves_scores,
        "observed": made and made.observed_count,
        "regraded": made and made.regraded_count,
        "reasons": msgspec.to_builtins(made.reasons) if made is not None else [],
        "control_offset": switch and switch.said.offset,
        "control_ms": switch and switch.said.at_ms,
        "by": switch and switch.said.control.author,
        "reason": switch and switch.said.control.reason,
    }


def _line(row: Row) -> str:
    month = "      –" if row.candidate is None else month_text(row.candidate.month)
    labels = "" if row.snapshot is None else f"{row.snapshot.trained_labels_count:,}/{row.snapshot.trained_bad_count:,}"
    told = ""
    if row.switch is not None:
        told = say("，自 ", ", since ") + switch_text(row.switch)
    elif row.snapshot is not None and row.snapshot.parent_id is None and row.snapshot.prior:
        told = say("，程序自带", ", packaged")
    if row.candidate is not None and not row.candidate.moves_scores:
        told += say("，只改概率", ", probabilities alone")
    return f"{short(row.model_id)}  {month}  {labels:>11}  {standing_text(row.standing)}{told}"


def _learns(history: ModelHistory, settings: Settings) -> str:
    if settings.learn.activation == "accepted":
        return say(
            "候选由人启用：xinliu model accept（[learn] activation = accepted）",
            "candidates come into force by a person's word: xinliu model accept ([learn] activation = accepted)",
        )
    if (said := history.paused_by) is not None:
        by, why = said.control.author, said.control.reason
        return say(
            f"自动启用已停：{by} 退回了较早的模型（{why}）；xinliu model resume 恢复",
            f"learn activates none by itself since {by} went back to an earlier model ({why}): xinliu model resume",
        )
    days = settings.learn.switch_days_min
    return say(
        f"学习自动启用不被暂缓的候选，至少间隔 {days} 天（[learn] activation = auto）",
        f"learn activates what is not held by itself, at least {days} days apart ([learn] activation = auto)",
    )


def _suppressed(history: ModelHistory) -> str | None:
    """Return how long EWS47 was suppressed in the last year; None where no candidate tells how far events are."""
    from streams.model_history import YEAR_DAYS

    if history.newest is None:
        return None
    share = history.suppressed_days(history.newest.day) / YEAR_DAYS
    return say(
        f"截至 {month_text(history.newest.candidate.month)} 的一年，EWS47_score_drop 因切换被抑制的天数占 {share:.0%}",
        f"EWS47_score_drop was suppressed by switches on {share:.0%} of the days of the year up to "
        f"{month_text(history.newest.candidate.month)}",
    )
