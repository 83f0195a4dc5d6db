"""`xinliu model accept|promote|rollback|resume`: words on models, each refused by name where it cannot be followed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from cli.deciding import REASON_CHARS_MAX, NotDecided, add_decision_arguments, decide_on_models, signed
from cli.model_text import PRIOR, named, reason_text, short, standing_of, standing_text, switch_text, usable
from cli.words import say
from config.settings import Settings
from domain import topics
from domain.events import Control
from domain.printable import printable
from streams import control_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.model_history import ModelHistory


def add_actions(actions: Any) -> None:
    """Add the words."""
    for name, act, told in (
        ("accept", _accept, say("启用一个候选", "bring a candidate into force")),
        ("promote", _promote, say("先列证据，再启用", "bring it into force after the evidence")),
    ):
        action = actions.add_parser(name, help=told)
        action.add_argument("id", help=say("编号，或其开头至少六位", "its id, or six or more of its first digits"))
        action.add_argument(
            "--despite",
            metavar=say("原因", "REASONS"),
            default="",
            help=say("暂缓的原因，逐项写明，用逗号分隔", "the reasons for which it is held, each, with commas between"),
        )
        add_decision_arguments(action)
        action.set_defaults(act=act)
    rollback = actions.add_parser("rollback", help=say("退回较早的模型", "go back to an earlier model"))
    rollback.add_argument(
        "id", nargs="?", help=say("退到哪一个；不写就退回上一个", "to which one; the one before if not given")
    )
    add_decision_arguments(rollback)
    rollback.set_defaults(act=_rollback)
    resume = actions.add_parser("resume", help=say("让学习恢复自动启用", "let learn activate models again"))
    add_decision_arguments(resume)
    resume.set_defaults(act=_resume)


def _accept(args: argparse.Namespace, settings: Settings) -> int:
    return _decided(settings, lambda history, said: _acceptance(args, history, said))


def _promote(args: argparse.Namespace, settings: Settings) -> int:
    from cli.model_evidence import challengers, evidence
    from streams.model_history import read_history

    history = read_history(settings.kafka)
    if args.id in challengers(history):
        raise NotDecided(
            say(
                f"{args.id} 是影子挑战者，只预测观测：它没有快照形式，引擎无法用它评分，不能启用。"
                "能启用的是快照（xinliu model list）",
                f"{args.id} is a challenger in shadow and predicts observations alone: it has no form as a snapshot, "
                "the engine cannot score with it, so it cannot come into force; a snapshot can (xinliu model list)",
            )
        )
    name = named(history, args.id)
    usable(history, name)
    for line in evidence(history, name):
        print(printable(line))
    return _accept(args, settings)


def _rollback(args: argparse.Namespace, settings: Settings) -> int:
    return _decided(settings, lambda history, said: _going_back(args, settings, history, said))


def _resume(args: argparse.Namespace, settings: Settings) -> int:
    return _decided(settings, lambda history, said: _resumption(args, history, said))


def _decided(settings: Settings, word: Callable[[ModelHistory, control_log.ControlHistory], Control]) -> int:
    from streams.model_history import read_history

    return decide_on_models(settings, lambda: word(read_history(settings.kafka), control_log.read(settings)))


def _acceptance(args: argparse.Namespace, history: ModelHistory, said: control_log.ControlHistory) -> Control:
    name = named(history, args.id)
    _refuse_what_is_in_force(history, name)
    if name in history.earlier_ids:
        raise NotDecided(
            say(
                f"{name} 以前用过：退回它用 xinliu model rollback {short(name)}",
                f"{name} was in force before: xinliu model rollback {short(name)} goes back to it",
            )
        )
    usable(history, name)
    made = history.candidates.get(name)
    if made is not None and made.candidate.kind == "calibration" and made.candidate.in_force_id != history.in_force_id:
        of = short(made.candidate.in_force_id)
        raise NotDecided(
            say(
                f"{short(name)} 只重做了 {of} 的概率，而在用的已经不是它",
                f"{short(name)} makes the probabilities of {of} anew, and that is in force no more",
            )
        )
    reasons = () if made is None else made.candidate.reasons
    acknowledged = {one.strip() for one in args.despite.split(",") if one.strip()}
    if odd := sorted(acknowledged - {one.code for one in reasons}):
        raise NotDecided(
            say(f"--despite：{short(name)} 并没有因 {'、'.join(odd)} 暂缓",
                f"--despite: {short(name)} is not held for {', '.join(odd)}")
        )  # fmt: skip
    if left := [one for one in reasons if one.code not in acknowledged]:
        texts, codes = [reason_text(one) for one in left], ",".join(dict.fromkeys(one.code for one in reasons))
        raise NotDecided(
            say(
                f"{short(name)} 暂缓：{'；'.join(texts)}。仍要启用，加 --despite {codes}",
                f"{short(name)} is held: {'; '.join(texts)}. To bring it into force all the same: --despite {codes}",
            )
        )
    by, reason = signed(args)
    return _activation(said, name, by, _with_despite(reason, sorted(acknowledged)))


def _going_back(
    args: argparse.Namespace, settings: Settings, history: ModelHistory, said: control_log.ControlHistory
) -> Control:
    from sinks.artefacts import publish
    from sinks.client import aiokafka_settings
    from sinks.kafka import Outbox

    if history.before_id is None:
        raise NotDecided(
            say("没有更早的模型可退：在用的是程序自带的", "there is none before: the packaged model is in force")
        )
    name = history.before_id if args.id is None else named(history, args.id)
    _refuse_what_is_in_force(history, name)
    if name not in history.earlier_ids:
        standing = standing_text(standing_of(history, name))
        raise NotDecided(
            say(
                f"{short(name)}（{standing}）不在在用模型之前的那一串里，谈不上退回：启用它用 xinliu model accept",
                f"{short(name)} ({standing}) is not among the models before the one in force, so there is no going "
                "back to it: xinliu model accept brings it into force",
            )
        )
    snapshot = usable(history, name)
    by, reason = signed(args)
    if name not in history.models:  # the packaged one: another engine's differs, and this log goes on naming it
        publish(Outbox(settings.kafka.bootstrap, aiokafka_settings(settings.kafka)), topics.MODEL, snapshot.encode())
    return _activation(said, name, by, reason)


def _resumption(args: argparse.Namespace, history: ModelHistory, said: control_log.ControlHistory) -> Control:
    if history.paused_by is None:
        raise NotDecided(
            say(
                "没有可恢复的：没有退回过，或已经恢复", "nothing to resume: nobody went back, or it was resumed already"
            )
        )
    by, reason = signed(args)
    return control_log.next_control(said, "model_resume", artefact="model", by=by, reason=reason)


def _activation(said: control_log.ControlHistory, name: str, by: str, reason: str) -> Control:
    return control_log.next_control(said, "activate", artefact="model", artefact_id=name, by=by, reason=reason)


def _refuse_what_is_in_force(history: ModelHistory, name: str) -> None:
    if name != history.in_force_id:
        return
    switch = history.switches[-1] if history.switches else None
    told = say("程序自带", PRIOR) if switch is None else switch_text(switch)
    raise NotDecided(say(f"{short(name)} 已经在用（{told}）", f"{short(name)} is in force already ({told})"))


def _with_despite(reason: str, codes: list[str]) -> str:
    """Return the reason with what was acknowledged, as the control record keeps it."""
    text = f"{reason} [despite {','.join(codes)}]" if codes else reason
    if len(text) > REASON_CHARS_MAX:
        raise NotDecided(
            say(
                f"--reason 连同 --despite 共 {len(text)} 字，至多 {REASON_CHARS_MAX}",
                f"--reason with --despite: {len(text)} characters, ≤ {REASON_CHARS_MAX}",
            )
        )
    return text
