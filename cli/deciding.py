"""Verbs that write a word to control.v1: who and why are asked, and what has been said already is not said again."""

import argparse
import sys
from collections.abc import Callable, Iterable

from cli.words import complain, reason_of, say
from config.settings import Settings
from domain.events import LEARN, Control
from domain.printable import printable
from streams import control_log

BY_CHARS_MAX, REASON_CHARS_MAX = 32, 256
ID_CHARS_MIN = 6


class NotDecided(Exception):
    """The operator's wish cannot be followed; the message says why."""


def add_decision_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the author and the reason of a decision, which are kept for ever beside what it did."""
    parser.add_argument(
        "--by",
        metavar=say("谁", "WHO"),
        help=say(
            f"谁决定的（不给就问；至多 {BY_CHARS_MAX} 字）", f"who decides it (asked if not given; ≤ {BY_CHARS_MAX})"
        ),
    )
    parser.add_argument(
        "--reason",
        metavar=say("为什么", "WHY"),
        help=say(f"为什么（不给就问；至多 {REASON_CHARS_MAX} 字）", f"why (asked if not given; ≤ {REASON_CHARS_MAX})"),
    )


def signed(args: argparse.Namespace) -> tuple[str, str]:
    """Return (who, why), from the call or asked at the terminal.

    Raise NotDecided where they are missing, too long, or learn's own.
    """
    by = _given(args.by, "--by", say("谁决定的？", "Who decides this? "), BY_CHARS_MAX)
    if by == LEARN:
        raise NotDecided(say(f"--by {by}：这是学习进程自己的署名", f"--by {by}: this is how learn signs"))
    reason = _given(args.reason, "--reason", say("为什么？", "Why? "), REASON_CHARS_MAX)
    return by, reason


def guarded(verb: str, work: Callable[[], int]) -> int:
    """Run `work`; what Kafka, or the operator's call, does not allow is one message and exit code 1."""
    from confluent_kafka import KafkaException

    from sinks.artefacts import ArtefactCorrupt, ArtefactMissing
    from sinks.kafka import DeliveryFailed
    from streams.model_decisions import Contended
    from streams.seal import CannotOpen

    of_kafka = (KafkaException, DeliveryFailed, TimeoutError)
    refusals = (*of_kafka, ArtefactMissing, ArtefactCorrupt, Contended, CannotOpen, NotDecided)
    try:
        return work()
    except refusals as error:
        complain(verb, *[printable(reason_of(error))] * 2)
        return 1


def decide(settings: Settings, word: Control | str) -> int:
    """Write the word, or say why none is needed."""
    if isinstance(word, Control):
        control_log.write(settings, word)
    return _told(word)


def decide_on_models(settings: Settings, word_of: Callable[[], Control | str]) -> int:
    """Write the word that `word_of` makes of what it reads, with nobody else's in between; or say why none is needed.

    Raise Contended where somebody else decides on models at this moment: nothing is written then.
    """
    from streams.model_decisions import Deciding

    deciding = Deciding(settings.kafka)
    word = word_of()
    if isinstance(word, Control):
        deciding.write(word)
    return _told(word)


def one_of(ids: Iterable[str], text: str, where: str) -> str:
    """Return the id that begins with `text`. Raise NotDecided where it is none, several, or `text` is too short."""
    found = sorted({name for name in ids if name.startswith(text)})
    if len(text) < ID_CHARS_MIN or len(found) != 1:
        raise NotDecided(
            say(
                f"{where} 里 {text} 开头的有 {len(found)} 个，要正好一个（至少 {ID_CHARS_MIN} 位）",
                f"{len(found)} ids in {where} begin with {text}: exactly one is needed, "
                f"by {ID_CHARS_MIN} digits or more",
            )
        )
    return found[0]


def _told(word: Control | str) -> int:
    said = (
        say("已写入 control.v1：", "written to control.v1: ") + word.control_id if isinstance(word, Control) else word
    )
    print(printable(said))
    return 0


def _given(text: str | None, option: str, question: str, most: int) -> str:
    if text is None and sys.stdin.isatty():
        try:
            text = input(question)
        except EOFError:
            text = None
    text = (text or "").strip()
    if not text:
        raise NotDecided(say(f"需要 {option}：要写明谁、为什么", f"{option} is needed: who decides, and why"))
    if len(text) > most:
        raise NotDecided(
            say(f"{option} 至多 {most} 字，给了 {len(text)}", f"{option}: {len(text)} characters, ≤ {most}")
        )
    return text
