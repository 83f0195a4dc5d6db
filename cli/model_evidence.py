"""Evidence for a candidate and against it: figures measured before each label, and the changes that it would bring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cli.model_text import reason_text, short
from cli.words import say

if TYPE_CHECKING:
    from domain.outputs import Figure, MonthReport
    from streams.model_history import ModelHistory

_OWN = ("champion", "prior", "as_scored")  # of a month's record, no challengers
_MICRO = 1_000_000
_MOVES_SHOWN = 5


def figure_text(figure: Figure, digits: int = 3) -> str:
    """Return a statistic with its 95% interval as `0.812 [0.780, 0.840]`, or a dash."""
    values = (figure.value_micro, figure.low_micro, figure.high_micro)
    if None in values:
        return "–"
    value, low, high = (f"{(one or 0) / _MICRO:.{digits}f}" for one in values)
    return f"{value} [{low}, {high}]"


def challengers(history: ModelHistory) -> set[str]:
    """Return the names of the challengers that learn has measured."""
    return {one.model for month in history.months.values() for one in month.models} - set(_OWN)


def evidence(history: ModelHistory, name: str) -> Iterator[str]:
    """Yield the evidence for a model against the one in force, a line each."""
    candidate, now = history.snapshot(name), history.snapshot(history.in_force_id)
    yield say(
        f"候选 {short(name)} 对在用 {short(history.in_force_id)}",
        f"candidate {short(name)} against {short(history.in_force_id)}, which is in force",
    )
    for told, one in ((say("候选", "candidate"), candidate), (say("在用", "in force"), now)):
        labels, bad = f"{one.trained_labels_count:,}", f"{one.trained_bad_count:,}"
        yield say(f"  {told}：学自 {labels} 个标签，坏样本 {bad}", f"  {told}: learned from {labels} labels, {bad} bad")
    made = history.candidates.get(name)
    if made is not None and made.candidate.kind == "calibration":
        of = short(made.candidate.in_force_id)
        yield say(
            f"  只重做了 {of} 的概率，评分不变；逐月预测记录量的是学习自己的模型，不是它，所以不列",
            f"  it makes the probabilities of {of} anew and moves no score; the record of predictions is of "
            "learn's own models, not of it, so none is shown",
        )
    else:
        yield from _measured(None if made is None else history.months.get(made.candidate.month))
    if made is not None:
        its = made.candidate
        if its.in_force_id == history.in_force_id and its.regraded_count is not None:
            yield say(
                f"  最近一个月末观测的 {its.observed_count:,} 户中，{its.regraded_count:,} 户等级变化",
                f"  of {its.observed_count:,} enterprises observed last, {its.regraded_count:,} change their grade",
            )
        for reason in its.reasons:
            yield f"  {say('暂缓：', 'held: ')}{reason_text(reason)}"
    moves = sorted(
        ((abs(milli - now.weights_milli.get(key, 0)), key, milli) for key, milli in candidate.weights_milli.items()),
        reverse=True,
    )
    for move, key, milli in moves[:_MOVES_SHOWN]:
        if move:
            before = now.weights_milli.get(key, 0) / 1_000
            yield say(
                f"  权重 {key}：{before:.1f} → {milli / 1_000:.1f}",
                f"  weight of {key}: {before:.1f} to {milli / 1_000:.1f}",
            )


def _measured(month: MonthReport | None) -> Iterator[str]:
    found = None if month is None else next((one for one in month.differences if one.model == "as_scored"), None)
    if found is None:
        yield say("  没有当月的逐月预测记录，无从比较", "  no month of predictions is on record: nothing to compare by")
        return
    n, bad = f"{found.n:,}", f"{found.bad:,}"
    yield say(
        f"  先预测后学习，{n} 个标签（坏样本 {bad}）上，学习的模型减当时在用的模型：",
        f"  predicted before each was learned, on {n} labels ({bad} bad), learn's model less those that were in force:",
    )
    auc, loss = figure_text(found.auc), figure_text(found.log_loss, 4)
    yield say(f"    AUC {auc}，对数损失 {loss}（95% 区间）", f"    AUC {auc}, log loss {loss} (95% intervals)")
    low, high = found.log_loss.low_micro, found.log_loss.high_micro
    if low is not None and high is not None:
        verdict = (
            ("更好", "better") if high < 0 else ("更差", "worse") if low > 0 else ("分不出高下", "no telling apart")
        )
        yield say(f"    结论：{verdict[0]}", f"    so: {verdict[1]}")
    for one in month.models if month is not None else ():
        if one.window == "12m" and one.model not in _OWN:
            auc, loss = figure_text(one.auc), figure_text(one.log_loss, 4)
            yield say(
                f"    影子挑战者 {one.model}：AUC {auc}，对数损失 {loss}",
                f"    in shadow, {one.model}: AUC {auc}, log loss {loss}",
            )
    for other in month.differences if month is not None else ():
        if other.model not in _OWN:
            n, bad = f"{other.n:,}", f"{other.bad:,}"
            auc, loss = figure_text(other.auc), figure_text(other.log_loss, 4)
            yield say(
                f"    学习的模型减 {other.model}，{n} 个标签（坏样本 {bad}）：AUC {auc}，对数损失 {loss}",
                f"    learn's model less {other.model}, on {n} labels ({bad} bad): AUC {auc}, log loss {loss}",
            )
