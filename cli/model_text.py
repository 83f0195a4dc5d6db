"""Words of the verb `model` for models in both languages: names, standings, reasons, days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cli.deciding import NotDecided, one_of
from cli.words import say, time_text
from domain import topics
from domain.calendar import date_of

if TYPE_CHECKING:
    from detectors.snapshot import Snapshot
    from domain.outputs import Candidate, HeldReason
    from streams.model_history import ModelHistory, Switch

Standing = Literal["in_force", "proposed", "held", "superseded", "published"]
PRIOR = "prior"
_MICRO = 1_000_000
_SHORT = 12
_STANDINGS = {
    "in_force": ("在用", "in force"), "proposed": ("待定", "proposed"), "held": ("暂缓", "held"),
    "superseded": ("已被取代", "superseded"), "published": ("已发布", "published"),
}  # fmt: skip
_REASONS = {
    "drift": ("漂移：{subject}", "drift is called: {subject}"),
    "weight_moved": (
        "{subject} 的权重变动 {value:g} 分，上限 {limit:g}",
        "the weight of {subject} moved {value:g} points, at most {limit:g}",
    ),
    "grades_changed": (
        "最近一个月末的观测中 {value:.1%} 等级变化，上限 {limit:.1%}",
        "{value:.1%} of the newest observations change their grade, at most {limit:.1%}",
    ),
    "few_labels": ("只有 {value:g} 个标签，至少 {limit:g}", "{value:g} labels, at least {limit:g}"),
    "few_bads": ("只有 {value:g} 个坏样本，至少 {limit:g}", "{value:g} bad ones, at least {limit:g}"),
    "log_loss_worse": (
        "对数损失比在用模型至少高 {value:g}（95% 区间下端）",
        "its log loss is at least {value:g} over that of the model in force (low end of the 95% interval)",
    ),
    "not_scorable": ("本引擎无法用它评分：{subject}", "this engine cannot score with it: {subject}"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model or candidate, and where it stands."""

    model_id: str
    standing: Standing
    snapshot: Snapshot | None  # None: its bytes cannot be used
    candidate: Candidate | None
    switch: Switch | None  # the last one that brought it into force


def row_of(history: ModelHistory, name: str) -> Row:
    """Return the row of one model. Raise StopIteration where the history has none of that id."""
    return next(one for one in rows_of(history) if one.model_id == name)


def rows_of(history: ModelHistory) -> list[Row]:
    """Return all models and candidates, the packaged one first, the others in the order in which they came."""
    from detectors.prior import prior_id
    from detectors.snapshot import SnapshotError

    found = []
    for name in dict.fromkeys((prior_id(), *history.models, *history.candidates)):
        made = history.candidates.get(name)
        try:
            snapshot = history.snapshot(name)
        except SnapshotError:
            snapshot = None
        switch = next((one for one in reversed(history.switches) if one.model_id == name), None)
        found.append(
            Row(
                model_id=name,
                standing=standing_of(history, name),
                snapshot=snapshot,
                candidate=None if made is None else made.candidate,
                switch=switch,
            )
        )
    return found


def standing_of(history: ModelHistory, name: str) -> Standing:
    """Return where a model stands. What is older than the candidate in force is superseded, as what was in force."""
    from detectors.prior import prior_id

    if name == history.in_force_id:
        return "in_force"
    if name == prior_id() or any(name == one.model_id for one in history.switches):
        return "superseded"
    made, now = history.candidates.get(name), history.candidates.get(history.in_force_id)
    if made is None:
        return "published"
    if made.candidate.kind == "calibration":
        return made.candidate.status if made.candidate.in_force_id == history.in_force_id else "superseded"
    while now is not None and now.candidate.kind == "calibration":
        now = history.candidates.get(now.candidate.in_force_id)
    if now is not None and made.candidate.month <= now.candidate.month:
        return "superseded"
    return made.candidate.status


def named(history: ModelHistory, text: str) -> str:
    """Return the id that a call names. Raise NotDecided where it names none, or several, or damaged bytes."""
    from detectors.prior import prior_id

    if text == PRIOR:
        return prior_id()
    name = one_of({prior_id(), *history.models, *history.candidates, *history.damaged}, text, topics.MODEL)
    if name in history.damaged:
        raise NotDecided(
            say(
                f"{topics.MODEL} 里 {name} 的内容与编号不符，已损坏",
                f"{topics.MODEL}: the record of {name} holds other bytes than its id names: it is damaged",
            )
        )
    return name


def usable(history: ModelHistory, name: str) -> Snapshot:
    """Return a model that this engine can score with. Raise NotDecided where it cannot."""
    from detectors.scorecard import scorecard
    from detectors.snapshot import SnapshotError

    try:
        snapshot = history.snapshot(name)
        scorecard(snapshot)
    except SnapshotError as error:
        raise NotDecided(str(error)) from error
    return snapshot


def short(model_id: str) -> str:
    """Return the digits of an id that are shown in lists."""
    return model_id[:_SHORT]


def month_text(month: int) -> str:
    """Return a month number as YYYY-MM.

    >>> month_text(0)
    '1970-01'
    """
    return f"{1970 + month // 12}-{month % 12 + 1:02}"


def day_text(day: int | None) -> str:
    """Return a day number as a date, or a dash."""
    return "–" if day is None else date_of(day).isoformat()


def standing_text(standing: Standing) -> str:
    """Return a standing in words."""
    return say(*_STANDINGS[standing])


def reason_text(reason: HeldReason) -> str:
    """Return why a candidate is held, as a sentence that its code begins."""
    value, limit = ((one or 0) / _MICRO for one in (reason.value_micro, reason.limit_micro))
    text = say(*_REASONS[reason.code]).format(subject=reason.subject, value=value, limit=limit)
    return f"{reason.code}{say('：', ': ')}{text}"


def switch_text(switch: Switch) -> str:
    """Return where, when, by whom and why a model came into force."""
    said = switch.said
    return say(
        f"{topics.CONTROL} 位点 {said.offset}，{time_text(said.at_ms)}，{said.control.author}：{said.control.reason}",
        f"{topics.CONTROL} offset {said.offset}, {time_text(said.at_ms)}, {said.control.author}: {said.control.reason}",
    )
