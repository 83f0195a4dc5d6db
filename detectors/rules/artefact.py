"""The rules artefact: everything that decides which signals hold and what goes out, content-addressed and readable.

Canonical JSON (sorted keys, no blanks); its id is the SHA-256 of those bytes. The signals packaged with the engine are
in force until a control record activates another artefact. A signal that reads a number which this engine does not
compute yet is not evaluated (`Waiting`).
"""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal

import msgspec

from config.catalogue import SignalRow, signals
from detectors.rules.conditions import RuleError, Signal, parse_row, waits_for
from detectors.rules.program import Rules, compile_signals
from detectors.snapshot import content_id, read

ROWS_MAX = 256


class Emission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rule for score records: on a move of `step_milli`, or only at closes; at a close for any change."""

    mode: Literal["move", "close"] = "move"
    step_milli: Annotated[int, msgspec.Meta(ge=1, le=300_000)] = 3_000


class RulesArtefact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of the rules."""

    format: Literal["xinliu.rules/1"] = "xinliu.rules/1"
    emission: Emission = Emission()
    closes_to_lower: Annotated[int, msgspec.Meta(ge=1, le=99)] = 7  # a level's own condition false at so many closes
    signals: Annotated[tuple[SignalRow, ...], msgspec.Meta(max_length=ROWS_MAX)]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return msgspec.json.encode(self, order="sorted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A signal that is not evaluated, and why not."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """Rules in force. Signal s of the programs is `evaluated[s]`."""

    id: str
    emission: Emission
    closes_to_lower: int
    evaluated: tuple[Signal, ...]
    waiting: tuple[Waiting, ...]
    programs: Rules


def packaged() -> RulesArtefact:
    """Return the rules in `config/signals.csv`."""
    return RulesArtefact(signals=signals())


@cache
def packaged_rules() -> RuleSet:
    """Return the rules that are in force until a control record activates others."""
    artefact = packaged()
    return compiled(artefact, content_id(artefact.encode()), row_word="signals.csv line", first=2)


def decode(body: bytes, expected_id: str) -> RuleSet:
    """Return the rules in `body`, compiled.

    Raise RuleError where its hash is not `expected_id`, or they cannot be used.
    """
    artefact = read(body, expected_id, RulesArtefact, "rules", RuleError)
    return compiled(artefact, expected_id, row_word=f"rules {expected_id}: signal", first=1)


def compiled(artefact: RulesArtefact, rules_id: str, *, row_word: str, first: int) -> RuleSet:
    """Return the rule set of an artefact.

    Raise RuleError where there is a mistake; it names the row by `row_word` and its number, counted from `first`.
    """
    parsed = [parse_row(row, f"{row_word} {number}") for number, row in enumerate(artefact.signals, first)]
    if len({signal.row.id for signal in parsed}) < len(parsed):
        raise RuleError(f"{row_word}s: an id stands twice")
    evaluated = tuple(signal for signal in parsed if signal.row.enabled and not waits_for(signal))
    return RuleSet(
        id=rules_id,
        emission=artefact.emission,
        closes_to_lower=artefact.closes_to_lower,
        evaluated=evaluated,
        waiting=tuple(
            Waiting(id=signal.row.id, reason=", ".join(waits_for(signal)) if signal.row.enabled else "disabled")
            for signal in parsed
            if signal not in evaluated
        ),
        programs=compile_signals(evaluated),
    )
