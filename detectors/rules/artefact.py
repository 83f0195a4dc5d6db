"""The rules artefact: everything that decides which signals hold and what goes out, content-addressed and readable.

Canonical JSON (sorted keys, no blanks); its id is the SHA-256 of those bytes. The signals packaged with the engine are
in force until a control record activates another artefact. A signal that reads a number which this engine does not
compute yet is not evaluated (`Waiting`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal

import msgspec

from config.case_table import CaseTable, packaged_case_table
from config.catalogue import WHY, SignalRow, signals
from detectors.rules.claim import check, with_claim
from detectors.rules.conditions import RuleError, Signal, parse_row, waits_for
from detectors.rules.program import Rules, compile_signals
from detectors.snapshot import content_id, read

ROWS_MAX = 256
V1: Literal["xinliu.rules/1"] = "xinliu.rules/1"
V2: Literal["xinliu.rules/2"] = "xinliu.rules/2"


class Emission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rule for score records: on a move of `step_milli`, or only at closes; at a close for any change."""

    mode: Literal["move", "close"] = "move"
    step_milli: Annotated[int, msgspec.Meta(ge=1, le=300_000)] = 3_000


class RulesArtefact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of the rules.

    Format 1 has no case table, and its rows none of `WHY`. Without a table a case has the level of its highest signal.
    """

    format: Literal["xinliu.rules/1", "xinliu.rules/2"] = V2
    emission: Emission = Emission()
    closes_to_lower: Annotated[int, msgspec.Meta(ge=1, le=99)] = 7  # a level's own condition false at so many closes
    signals: Annotated[tuple[SignalRow, ...], msgspec.Meta(max_length=ROWS_MAX)]
    case: CaseTable | None = None

    def encode(self) -> bytes:
        """Return the canonical bytes, in the format that the artefact names."""
        if self.format == V2:
            return msgspec.json.encode(self, order="sorted")
        fields = msgspec.to_builtins(self)
        del fields["case"]
        fields["signals"] = [{name: row[name] for name in row if name not in WHY} for row in fields["signals"]]
        return msgspec.json.encode(fields, order="sorted")


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
    case: CaseTable | None
    programs: Rules


def packaged() -> RulesArtefact:
    """Return the rules in `config/signals.csv`, with the case table beside it."""
    return RulesArtefact(signals=signals(), case=packaged_case_table().table)


@cache
def packaged_rules() -> RuleSet:
    """Return the rules that are in force until a control record activates others."""
    artefact = packaged()
    return compiled(
        artefact,
        content_id(artefact.encode()),
        row_word="signals.csv line",
        first=2,
        case_place=packaged_case_table().place_of,
    )


def decode(body: bytes, expected_id: str) -> RuleSet:
    """Return the rules in `body`, compiled.

    Raise RuleError where its hash is not `expected_id`, or they cannot be used.
    """
    artefact = read(body, expected_id, RulesArtefact, "rules", RuleError)
    return compiled(artefact, expected_id, row_word=f"rules {expected_id}: signal", first=1)


def compiled(
    artefact: RulesArtefact,
    rules_id: str,
    *,
    row_word: str,
    first: int,
    case_place: Callable[[str], str] | None = None,
) -> RuleSet:
    """Return the rule set of an artefact.

    Raise RuleError where there is a mistake. It names a row by `row_word` and its number, counted from `first`, and a
    part of the case table by what `case_place` makes of its key; without one, by the key.
    """
    for number, row in enumerate(artefact.signals, first):
        if reason := _unfit(artefact.format, row):
            raise RuleError(f"{row_word} {number}, {row.id}, {reason}")
    if artefact.format == V1 and artefact.case is not None:
        raise RuleError(f"rules {rules_id}: format {V1} has no case")
    parsed = [parse_row(row, f"{row_word} {number}") for number, row in enumerate(artefact.signals, first)]
    if len({signal.row.id for signal in parsed}) < len(parsed):
        raise RuleError(f"{row_word}s: an id stands twice")
    if (table := artefact.case) is not None:
        check(table, artefact.signals, case_place or (lambda key: f"rules {rules_id}: case.{key}"))
    evaluated = tuple(signal for signal in parsed if signal.row.enabled and not waits_for(signal))
    programs = compile_signals(evaluated)
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
        case=table,
        programs=programs if table is None else with_claim(programs, table, [signal.row for signal in evaluated]),
    )


def _unfit(form: str, row: SignalRow) -> str | None:
    """Return which column a row of this format has too many or too few; None where it has its own."""
    for name in WHY:
        if bool(getattr(row, name)) != (form == V2):
            return f"{name}: {'missing' if form == V2 else f'format {form} has none'}"
    return None
