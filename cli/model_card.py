"""`xinliu model card`: the model card, generated from the snapshot, learn's records and the control records.

It states what JR/T 0221-2021 asks to be traceable of a model: training data, time, operator, iterations, deployment,
exit. Each bank validates by itself: the card is evidence, no approval.
"""

from __future__ import annotations

import argparse
import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.inspect import GROUPS
from cli.model_evidence import figure_text
from cli.model_show import BANDS, by_group, chances
from cli.model_text import (
    Row,
    day_text,
    month_text,
    named,
    reason_text,
    row_of,
    standing_text,
    usable,
)
from cli.numbers import output_of
from cli.words import say, time_text
from config.settings import Settings
from domain import topics
from domain.printable import printable

if TYPE_CHECKING:
    from detectors.snapshot import Snapshot
    from streams.model_history import ModelHistory, Switch

_GENERATIONS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the card: sentences, then a table whose first row is its head."""

    title: str
    lines: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()


def add_actions(actions: Any) -> None:
    """Add `card`."""
    card = actions.add_parser("card", help=say("模型卡（JR/T 0221）", "the model card (JR/T 0221)"))
    card.add_argument("id", help=say("编号，或其开头至少六位", "its id, or six or more of its first digits"))
    card.add_argument("--html", action="store_true", help=say("HTML，否则 Markdown", "as HTML; Markdown otherwise"))
    card.add_argument(
        "--out",
        type=output_of,
        metavar="FILE",
        help=say(
            "写入文件，否则打印；.html 结尾就是 HTML", "write this file in place of printing; HTML if it ends in .html"
        ),
    )
    card.set_defaults(act=_card)


def _card(args: argparse.Namespace, settings: Settings) -> int:
    from config.whole_file import write_whole
    from streams.model_history import read_history

    history = read_history(settings.kafka)
    name = named(history, args.id)
    snapshot = usable(history, name)
    row = row_of(history, name)
    title = say(f"模型卡 {name}", f"Model card {name}")
    sections = list(card_of(history, row, snapshot))
    out: Path | None = args.out
    as_html = args.html or (out is not None and out.suffix in (".html", ".htm"))
    text = (as_page if as_html else as_markdown)(title, sections)
    if out is None:
        print(text)
    else:
        write_whole(out, text.encode())
        print(printable(str(out)))
    return 0


def card_of(history: ModelHistory, row: Row, snapshot: Snapshot) -> Iterator[Section]:
    """Yield the sections of a model's card."""
    yield Section(title=say("现状", "Standing"), table=tuple(_standing(row, snapshot)))
    yield Section(title=say("用途与适用人群", "Use and population"), lines=_use(snapshot))
    yield Section(title=say("训练", "Training"), table=tuple(_training(history, row, snapshot)))
    yield Section(title=say("结果", "Results"), lines=_results_note(), table=tuple(_results(history, row)))
    yield Section(title=say("评分与概率", "Score and probability"), table=tuple(_probabilities(snapshot)))
    yield Section(title=say("权重", "Weights"), table=tuple(_weights(snapshot)))
    yield Section(title=say("审查", "Guard"), lines=tuple(_guard(row)))
    yield Section(title=say("迭代", "Iterations"), table=tuple(_iterations(history, row.model_id)))
    yield Section(title=say("上线与退出", "Deployment and exit"), table=tuple(_deployments(history, row.model_id)))


def _standing(row: Row, snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    yield say("项", "item"), say("内容", "content")
    yield say("编号（内容的 SHA-256）", "id (SHA-256 of its content)"), row.model_id
    yield say("状态", "standing"), standing_text(row.standing)
    yield say("格式", "format"), snapshot.format
    yield say("上一版", "parent"), snapshot.parent_id or "–"
    author = (
        say("学习角色", "the role learn")
        if row.candidate is not None
        else say("程序自带，或由操作人员发布", "packaged, or published by an operator")
    )
    yield say("来源", "made by"), author
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(snapshot.libraries.items()))
    yield say("程序库", "libraries"), libraries or "–"


def _use(snapshot: Snapshot) -> tuple[str, ...]:
    return (
        say(
            f"由 {snapshot.population} 的观测学得。对其他企业的评分是外推，只作参考。",
            f"Learned from observations of {snapshot.population}. Any other enterprise's score is an extrapolation.",
        ),
        say(
            "预测观测日之后 90 天内逾期 30 天以上；pd_12m 为 12 个月内违约。被拒绝的申请不在数据里，没有做拒绝推断。",
            "It predicts more than 30 days past due within 90 days of the observation; pd_12m is default within 12 "
            "months. Refused applications are not in the data: there is no reject inference.",
        ),
        say(
            "结构：单调、可加的评分卡，指标变好评分不降；权重为整数毫分，合计 300 分。"
            "本卡是证据，不代替各银行自己的验证。",
            "Form: a monotone, additive scorecard; a better indicator never lowers the score; weights are integer "
            "millipoints that sum to 300 points. This card is evidence and replaces no bank's own validation.",
        ),
    )


def _training(history: ModelHistory, row: Row, snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    yield say("项", "item"), say("内容", "content")
    window = f"{day_text(snapshot.trained_from_day)} – {day_text(snapshot.trained_until_day)}"
    yield say("数据窗口（最早观测 – 最新标签到期）", "window (oldest observation – newest matured label)"), window
    yield say("标签", "labels"), f"{snapshot.trained_labels_count:,}"
    yield say("其中坏样本", "bad ones"), f"{snapshot.trained_bad_count:,}"
    if (made := history.candidates.get(row.model_id)) is not None:
        yield say("学成时间", "trained at"), time_text(made.at_ms)
    if row.candidate is not None:
        yield say("上一候选以来的新标签", "new since the candidate before"), f"{row.candidate.new_labels_count:,}"
        yield say("学到哪个月末", "month learned last"), month_text(row.candidate.month)
        yield say("操作者", "operator"), row.candidate.by
    rule = say(
        "好、坏、观测日已坏、不明四类，后两类不学（ADR 26）",
        "good, bad, already bad, indeterminate: the last two teach nothing (ADR 26)",
    )
    yield say("标签规则", "rules of labels"), rule
    yield (
        say("先验（没有标签影响权重）", "prior (no label has moved the weights)"),
        say("是" if snapshot.prior else "否", "yes" if snapshot.prior else "no"),
    )
    for key, value in sorted(snapshot.policy.items()):
        yield say(f"训练设置 {key}", f"setting {key}"), f"{value:g}"
    for place, offset in sorted(snapshot.log_offsets.items()):
        yield say(f"训练到 {place} 的位点", f"trained on {place} up to offset"), f"{offset:,}"


def _results_note() -> tuple[str, ...]:
    return (
        say("先预测、后学习：每个标签先由各模型预测，再用来学习。区间为 95%。",
            "Predicted first, learned after: every model predicts a label before it teaches any. Intervals are 95%."),
    )  # fmt: skip


def _results(history: ModelHistory, row: Row) -> Iterator[tuple[str, ...]]:
    month = None if row.candidate is None else history.months.get(row.candidate.month)
    yield (
        say("模型", "model"),
        say("窗口", "window"),
        say("标签", "labels"),
        say("坏", "bad"),
        "AUC",
        "KS",
        say("对数损失", "log loss"),
        "Brier",
    )
    for one in () if month is None else month.models:
        yield (
            *(one.model, one.window, f"{one.n:,}", f"{one.bad:,}"),
            *(figure_text(one.auc), figure_text(one.ks), figure_text(one.log_loss, 4), figure_text(one.brier, 4)),
        )
    if month is None:
        yield (say("没有当月的记录", "no record of its month"), *("–",) * 7)


def _probabilities(snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    yield say("评分", "score"), "p_overdue30_90d", "pd_12m"
    later = ["–"] * len(BANDS) if snapshot.default_12m is None else [f"{p:.2%}" for p in chances(snapshot.default_12m)]
    for points, p, p_12m in zip(BANDS, chances(snapshot), later, strict=True):
        yield str(points), f"{p:.2%}", p_12m


def _weights(snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    yield say("组", "group"), say("指标", "indicator"), say("权重（分）", "weight (points)"), say("锚点", "anchors")
    for group, milli, members in by_group(snapshot):
        yield say(*GROUPS[group]), "", f"{milli / 1_000:.3f}", ""
        for name, weight in members:
            yield "", name, f"{weight / 1_000:.3f}", str(len(snapshot.anchors_micro[name]))


def _guard(row: Row) -> Iterator[str]:
    made = row.candidate
    if made is None:
        yield say("不是学习提出的候选，没有经过审查。", "No candidate of learn: the guard has not judged it.")
        return
    yield say(f"结论：{standing_text(made.status)}；对比的是当时在用的 {made.in_force_id}。",
              f"It was {standing_text(made.status)}; in force then was {made.in_force_id}.")  # fmt: skip
    if made.regraded_count is not None:
        yield say(f"月末观测 {made.observed_count:,} 户，{made.regraded_count:,} 户等级会变。",
                  f"Of {made.observed_count:,} enterprises observed at the month's close, {made.regraded_count:,} "
                  "would change their grade.")  # fmt: skip
    for reason in made.reasons:
        yield reason_text(reason)


def _iterations(history: ModelHistory, name: str) -> Iterator[tuple[str, ...]]:
    """Yield the model and its parents, back to the packaged one."""
    yield say("编号", "id"), say("月份", "month"), say("标签", "labels"), say("坏", "bad")
    one: str | None = name
    for _ in range(_GENERATIONS_MAX):
        if one is None:
            return
        made = history.candidates.get(one)
        month = "–" if made is None else month_text(made.candidate.month)
        try:
            snapshot = history.snapshot(one)
        except ValueError:
            yield one, month, say("已不可读", "cannot be read"), ""
            return
        yield one, month, f"{snapshot.trained_labels_count:,}", f"{snapshot.trained_bad_count:,}"
        one = snapshot.parent_id
    yield say("更早的从略", "older ones are left out"), "", "", ""


def _deployments(history: ModelHistory, name: str) -> Iterator[tuple[str, ...]]:
    yield (
        *(say("事项", "what"), say("时间", "when"), say("控制记录", "control record")),
        *(say("谁", "who"), say("为什么", "why"), say("替换", "in place of, or by")),
    )
    involved = [one for one in history.switches if name in (one.model_id, one.before_id)]
    for one in involved:
        comes = one.model_id == name
        what = ("启用", "in force") if comes else ("退出", "exit")
        yield _deployment(say(*what), one, one.before_id if comes else one.model_id)
    if not involved:
        yield (say("从未启用", "never in force"), *("",) * 5)


def _deployment(what: str, switch: Switch, other: str) -> tuple[str, ...]:
    said = switch.said
    place = f"{topics.CONTROL}:0:{said.offset} {said.control.control_id}"
    return what, time_text(said.at_ms), place, said.control.author, said.control.reason, other


def as_markdown(title: str, sections: list[Section]) -> str:
    """Return the card as Markdown."""
    parts = [f"# {title}"]
    for section in sections:
        parts.append(f"## {section.title}")
        parts += [f"- {_plain(line)}" for line in section.lines]
        if section.table:
            head, *rows = ([_plain(cell) for cell in row] for row in section.table)
            lines = [head, ["---"] * len(head), *rows]
            parts.append("\n".join(f"| {' | '.join(row)} |" for row in lines))
    return "\n\n".join(parts)


def _plain(text: str) -> str:
    """Return a text from outside as Markdown shows it: no markup, no cell's end."""
    shown = printable(text)
    for mark in "\\|`*_<[":
        shown = shown.replace(mark, f"\\{mark}")
    return shown


def as_page(title: str, sections: list[Section]) -> str:
    """Return the card as one HTML page that needs nothing else."""
    style = (
        "body{font:15px/1.6 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
        "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left}"
        "td{overflow-wrap:anywhere}"
        "h1{font-size:1.2em;overflow-wrap:anywhere}"
    )
    parts = []
    for section in sections:
        parts.append(f"<h2>{_escaped(section.title)}</h2>")
        parts += [f"<p>{_escaped(line)}</p>" for line in section.lines]
        for i, row in enumerate(section.table):
            tag = "td" if i else "th"
            cells = "".join(f"<{tag}>{_escaped(cell)}</{tag}>" for cell in row)
            parts.append(f"{'' if i else '<table>'}<tr>{cells}</tr>")
        parts += ["</table>"] if section.table else []
    body, language = "\n".join(parts), say("zh-CN", "en")
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8"><title>{_escaped(title)}</title>'
        f"<style>{style}</style></head>\n<body><h1>{_escaped(title)}</h1>\n{body}\n</body></html>"
    )


def _escaped(text: str) -> str:
    return html.escape(printable(text))
