"""A row of signals as trees: every column parsed, every name known and used as what it is."""

from collections.abc import Iterable
from typing import NamedTuple

from config.catalogue import SignalRow
from detectors.rules import vocabulary
from detectors.rules.grammar import (
    AnyOf,
    Comparison,
    Expression,
    ExpressionError,
    Flag,
    IsNull,
    Seen,
    atoms,
    negates_timer,
    parse,
    timers,
    without_timers,
)
from features.state import seen

LEVELS = ("condition_yellow", "condition_orange", "condition_red")


class RuleError(ValueError):
    """Rules cannot be used; the message names line, signal, column and character."""


class Signal(NamedTuple):
    """A row, and its columns as trees."""

    row: SignalRow
    levels: tuple[Expression | None, ...]  # each with at most one held(): the level waits for it
    bare_levels: tuple[Expression | None, ...]  # without held()
    hysteresis: Expression
    watched: Expression  # by the timer in hysteresis
    min_history: Expression
    not_computable: Expression | None
    suppressions: tuple[Expression, ...]

    @property
    def is_lender(self) -> bool:
        """Whether the signal is evaluated once for each lending bank."""
        return self.row.scope == "lender"

    def needs(self) -> list[int]:
        """Return the inputs, by slot, without which its status is not computable."""
        return _slots(filter(None, (*self.levels, self.not_computable)))

    def status_trees(self) -> Iterable[Expression]:
        """Return all trees but the hysteresis."""
        return (x for x in (*self.suppressions, self.min_history, *self.levels, self.not_computable) if x is not None)


def waits_for(signal: Signal) -> tuple[str, ...]:
    """Return the names that a signal reads and this engine does not compute yet."""
    trees = (*signal.status_trees(), signal.hysteresis)
    names = dict.fromkeys(a.name.text for tree in trees for a in atoms(tree) if not isinstance(a, Seen))
    missing = [name for name in names if name not in vocabulary.SLOT_OF]
    if signal.is_lender:
        missing += [
            f"{name} of one lender"
            for name in names
            if name in vocabulary.SLOT_OF and vocabulary.needs_overlay(name) and name not in vocabulary.OVERLAID
        ]
    return tuple(missing)


def parse_row(row: SignalRow, place: str) -> Signal:
    """Return a row's columns as trees, every name known and used as what it is.

    Raise RuleError where that fails; `place` says which row it is.
    """
    here = f"{place}, {row.id}"

    def tree(column: str, text: str) -> Expression:
        try:
            node = parse(text)
            for atom in atoms(node):
                _check(atom)
            held = len(timers(node))
            if held and column not in (*LEVELS, "hysteresis"):
                raise ExpressionError("held() stands in levels and hysteresis alone", 1)
            if held > 1 or (held == 0 and column == "hysteresis"):
                most = "must have one" if column == "hysteresis" else "may have one"
                raise ExpressionError(f"{held} held(), it {most}", 1)
            if negates_timer(node):
                raise ExpressionError("held() stands under a not", 1)
        except ExpressionError as error:
            raise RuleError(f"{here}, {column}, character {error.character}: {error}") from error
        return node

    if not any(row.levels):
        raise RuleError(f"{here}: no condition for any level")
    levels = [tree(column, text) if text else None for column, text in zip(LEVELS, row.levels, strict=True)]
    hysteresis = tree("hysteresis", row.hysteresis)
    suppression = tree("suppress_when", row.suppress_when) if row.suppress_when else AnyOf(())
    return Signal(
        row=row,
        levels=tuple(levels),
        bare_levels=tuple(level and without_timers(level) for level in levels),
        hysteresis=hysteresis,
        watched=timers(hysteresis)[0].inner,
        min_history=tree("min_history", row.min_history),
        not_computable=tree("not_computable_when", row.not_computable_when) if row.not_computable_when else None,
        suppressions=suppression.parts if isinstance(suppression, AnyOf) else (suppression,),
    )


def _check(atom: Comparison | Flag | IsNull | Seen) -> None:
    if isinstance(atom, Seen):
        if atom.event.text not in seen.CODE_OF:
            raise ExpressionError(f"no event is called {atom.event.text}", atom.event.character)
        if atom.adverse and not atom.event.text.startswith("gov."):
            raise ExpressionError("only government events can be adverse", atom.event.character)
        return
    name, character = atom.name.text, atom.name.character
    if not vocabulary.is_known(name):
        raise ExpressionError(f"neither an indicator nor the context is called {name}", character)
    if not isinstance(atom, IsNull) and (name in vocabulary.FLAGS) != isinstance(atom, Flag):
        what = "a flag: it is not compared" if name in vocabulary.FLAGS else "a number: it must be compared"
        raise ExpressionError(f"{name} is {what}", character)


def _slots(trees: Iterable[Expression]) -> list[int]:
    names = dict.fromkeys(a.name.text for tree in trees for a in atoms(tree) if not isinstance(a, Seen))
    return [vocabulary.SLOT_OF[name] for name in names]
