"""`xinliu model show|diff`: what a model is made of, and what differs between two."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from cli.inspect import GROUPS
from cli.model_list import as_json
from cli.model_text import (
    day_text,
    month_text,
    named,
    reason_text,
    row_of,
    standing_text,
    switch_text,
    usable,
)
from cli.words import say
from config.settings import Settings
from domain.printable import printable

if TYPE_CHECKING:
    from detectors.snapshot import Calibration, Snapshot
    from streams.model_history import ModelHistory

BANDS = (450, 500, 550, 600, 650)
_MICRO = 1_000_000


def add_actions(actions: Any) -> None:
    """Add `show` and `diff`."""
    show = actions.add_parser("show", help=say("看一个模型", "show one model"))
    show.add_argument("id", help=say("编号，或其开头至少六位", "its id, or six or more of its first digits"))
    show.add_argument("--json", action="store_true")
    show.set_defaults(act=_show)
    diff = actions.add_parser("diff", help=say("比较两个模型", "compare two models"))
    diff.add_argument("first", metavar="A")
    diff.add_argument("second", metavar="B", nargs="?", help=say("不写就是在用的", "the one in force if not given"))
    diff.add_argument(
        "--observed",
        action="store_true",
        help=say(
            "按最近一个月末的观测，多少户等级不同", "count the grades that differ on the newest month's observations"
        ),
    )
    diff.set_defaults(act=_diff)


def _show(args: argparse.Namespace, settings: Settings) -> int:
    from streams.model_history import read_history

    history = read_history(settings.kafka)
    name = named(history, args.id)
    snapshot = usable(history, name)
    row = row_of(history, name)
    if args.json:
        made = {**as_json(row), "snapshot": snapshot}
        print(printable(msgspec.json.encode(made).decode()))
        return 0
    print(f"{name}  {standing_text(row.standing)}")
    if row.switch is not None:
        print(printable(f"  {switch_text(row.switch)}"))
    for reason in row.candidate.reasons if row.candidate is not None else ():
        print(printable(f"  {reason_text(reason)}"))
    for line in summary(snapshot):
        print(printable(f"  {line}"))
    return 0


def summary(snapshot: Snapshot) -> Iterator[str]:
    """Yield what a model was trained on, its probabilities, and its weights by group."""
    yield say(f"上一版 {snapshot.parent_id or '–'}", f"parent {snapshot.parent_id or '–'}")
    window = f"{day_text(snapshot.trained_from_day)} – {day_text(snapshot.trained_until_day)}"
    labels, bad = f"{snapshot.trained_labels_count:,}", f"{snapshot.trained_bad_count:,}"
    yield say(f"训练 {window}，标签 {labels}，坏样本 {bad}，适用 {snapshot.population}",
              f"trained {window}, {labels} labels, {bad} bad, for {snapshot.population}")  # fmt: skip
    yield say(
        "90 天内逾期 30 天以上的概率：", "probability of more than 30 days past due within 90 days: "
    ) + _probabilities(snapshot)
    if snapshot.default_12m is not None:
        yield say("12 个月内违约的概率：", "of default within 12 months: ") + _probabilities(snapshot.default_12m)
    for group, milli, members in by_group(snapshot):
        yield f"{say(*GROUPS[group])}  {milli / 1_000:.1f}"
        for name, weight in members:
            yield f"    {weight / 1_000:>7.3f}  {name}  {len(snapshot.anchors_micro[name])} {say('个锚点', 'anchors')}"


def by_group(snapshot: Snapshot) -> list[tuple[str, int, list[tuple[str, int]]]]:
    """Return (group, its weight, its indicators with theirs, heaviest first), in millipoints."""
    from config.catalogue import indicators

    found = []
    for group in GROUPS:
        members = [(name, milli) for name, milli in snapshot.weights_milli.items() if indicators()[name].group == group]
        members.sort(key=lambda one: (-one[1], one[0]))
        found.append((group, sum(milli for _, milli in members), members))
    return found


def _probabilities(calibration: Snapshot | Calibration) -> str:
    return "  ".join(f"{points}: {share:.2%}" for points, share in zip(BANDS, chances(calibration), strict=True))


def chances(calibration: Snapshot | Calibration) -> list[float]:
    """Return the probability at each grade's lower edge."""
    import math

    a, b = calibration.intercept_micro / _MICRO, calibration.slope_micro / _MICRO
    return [1 / (1 + math.exp(b * (points - 400) / 300 - a)) for points in BANDS]


def _diff(args: argparse.Namespace, settings: Settings) -> int:
    from streams.model_history import read_history

    history = read_history(settings.kafka)
    first, second = named(history, args.first), history.in_force_id
    if args.second is not None:
        second = named(history, args.second)
    one, other = usable(history, first), usable(history, second)
    print(f"A {first}\nB {second}")
    for line in differences(one, other):
        print(printable(line))
    for line in _regraded(history, first, second):
        print(line)
    if args.observed:
        print(_regraded_now(settings, one, other))
    return 0


def differences(one: Snapshot, other: Snapshot) -> Iterator[str]:
    """Yield what differs from A to B: weights, anchors, levels, nulls, medians, probabilities."""
    if one == other:
        yield say("两者相同", "they are the same")
        return
    names = list(dict.fromkeys((*one.weights_milli, *other.weights_milli)))
    moves = {name: other.weights_milli.get(name, 0) - one.weights_milli.get(name, 0) for name in names}
    for name in sorted(names, key=lambda name: -abs(moves[name])):
        if moves[name]:
            before, after = one.weights_milli.get(name, 0) / 1_000, other.weights_milli.get(name, 0) / 1_000
            yield f"{say('权重', 'weight')}  {moves[name] / 1_000:>+8.3f}  {before:.3f} → {after:.3f}  {name}"
    for told, field in (
        (say("锚点", "anchors"), "anchors_micro"), (say("分值", "levels"), "levels_micro"),
        (say("空值分值", "levels of nulls"), "null_levels_micro"), (say("中位数", "medians"), "medians_micro"),
    ):  # fmt: skip
        before, after = getattr(one, field), getattr(other, field)
        if odd := [name for name in names if before.get(name) != after.get(name)]:
            yield f"{told}  {len(odd)}/{len(names)}: {', '.join(odd)}"
    if (one.intercept_micro, one.slope_micro) != (other.intercept_micro, other.slope_micro):
        yield f"{say('概率', 'probability')}  A {_probabilities(one)}"
        yield f"{say('概率', 'probability')}  B {_probabilities(other)}"
    if one.default_12m != other.default_12m:
        for told, each in (("A", one.default_12m), ("B", other.default_12m)):
            yield f"pd_12m  {told} {'–' if each is None else _probabilities(each)}"
    if one.scores_as(other):
        yield say("评分相同：只有概率不同", "their scores are the same: probabilities alone differ")


def _regraded(history: ModelHistory, first: str, second: str) -> Iterator[str]:
    """Yield what learn has counted, where it compared these two."""
    for made in history.candidates.values():
        one = made.candidate
        if {one.model_id, one.in_force_id} == {first, second} and one.regraded_count is not None:
            month, observed, regraded = month_text(one.month), f"{one.observed_count:,}", f"{one.regraded_count:,}"
            yield say(f"{month} 月末观测的 {observed} 户中，{regraded} 户等级不同",
                      f"of {observed} enterprises observed in {month}, {regraded} have another grade")  # fmt: skip


def _regraded_now(settings: Settings, one: Snapshot, other: Snapshot) -> str:
    from cli.model_observed import newest_month
    from detectors.learning.guard import regraded_count

    found = newest_month(settings)
    count, observed = regraded_count(one, other, found.examples), f"{len(found.examples):,}"
    return say(
        f"{day_text(found.day)} 观测的 {observed} 户中，{count:,} 户等级不同",
        f"of {observed} enterprises observed on {day_text(found.day)}, {count:,} have another grade",
    )
