"""The numbers of an alert's evidence that its sentence states: those that speak for what it says of its condition.

The evidence of a signal is the same at all its levels. A number that is read only where the rule is not true speaks
against the alert, and is left out.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING

from config.catalogue import indicators
from detectors.rules.grammar import All, Comparison, Expression, IsNull, atoms, without_timers
from detectors.wording.conditions import carrying, lines, numbers_in, reduce
from domain.outputs import SEVERITIES, Severity

if TYPE_CHECKING:
    from detectors.rules.conditions import Signal  # with numba: too heavy for a command that prints sentences


def clearing(signal: "Signal") -> Expression:
    """Return the condition that clears an episode, without its held()."""
    return without_timers(signal.hysteresis)


def that_assert(signal: "Signal", values: Mapping[str, int]) -> set[str]:
    """Return the numbers that speak for an alert: by which a level is true or may be, or is still to be cleared."""
    levels = [level for level in signal.bare_levels if level is not None]
    found = numbers_in(chain.from_iterable(carrying(each, values) for each in (*levels, *signal.suppressions)))
    return found | (numbers_in(carrying(clearing(signal), values, truth=False)) - numbers_in(levels))


def of_other_levels(signal: "Signal", severity: Severity, values: Mapping[str, int]) -> set[str]:
    """Return the numbers that the reader has as bands and that only other levels read: nobody can say they speak."""
    own = signal.bare_levels[SEVERITIES.index(severity)]
    return numbers_in(signal.bare_levels) - numbers_in((own,)) - values.keys()


def that_explain(signal: "Signal", severity: Severity, values: Mapping[str, int]) -> set[str]:
    """Return the numbers that tell why an open episode is no longer true at its level, and why it is not cleared."""
    up_to = signal.bare_levels[: SEVERITIES.index(severity) + 1]
    return that_assert(signal, values) | numbers_in((*up_to, signal.hysteresis))


def that_clear(signal: "Signal", values: Mapping[str, int]) -> set[str]:
    """Return the numbers by which the condition that clears is true, or may be."""
    return numbers_in(carrying(clearing(signal), values))


def left_out(signal: "Signal", values: Mapping[str, int], speaking: Collection[str], *, is_true: bool) -> set[str]:
    """Return the numbers that a sentence leaves out: those that conditions read, but the `speaking` ones.

    A number that no condition reads stands beside them, unless it is at zero and the riskier the higher it is; such a
    zero is no news either where a level that `is_true` asks for it.
    """
    read = numbers_in((*signal.levels, signal.hysteresis, *signal.suppressions))
    rows = indicators()
    none = {name for name, x in values.items() if x == 0 and name in rows and rows[name].higher_is_riskier}
    return (read | none) - set(speaking) | (none if is_true else set())


def crossed(
    signal: "Signal", severity: Severity, values: Mapping[str, int], *, is_true: bool
) -> dict[str, tuple[Severity, float]]:
    """Return the level and the threshold that each number has crossed, or may have; of several levels the highest.

    A number that is not among `values` (the reader has its band) has crossed one only where its level cannot be true
    without it. `is_true`: it is true.
    """
    found: dict[str, tuple[Severity, float]] = {}
    for number in reversed(range(SEVERITIES.index(severity) + 1)):
        for name, line in lines(signal.bare_levels[number], values).items():
            if name in values:
                found.setdefault(name, (SEVERITIES[number], line))
    needed = needed_by(signal.bare_levels[SEVERITIES.index(severity)]) if is_true else {}
    return found | {name: (severity, line) for name, line in needed.items() if name not in values}


def needed_by(level: Expression | None) -> dict[str, float]:
    """Return the thresholds without which a level cannot be true, by name."""
    parts = level.parts if isinstance(level, All) else (level,)
    return lines(All(tuple(part for part in parts if isinstance(part, Comparison))), {})


def without_numbers(node: Expression, values: Mapping[str, int], told: Collection[str]) -> Iterator[Expression]:
    """Yield the parts of a true condition that are not in the evidence: events, and numbers that it lacks.

    `told`: numbers that stand in the sentence with their lines.
    """
    left = reduce(node, values)
    if not isinstance(left, bool):
        parts = left.parts if isinstance(left, All) else (left,)
        for part in parts:
            read = numbers_in((part,))
            is_told = isinstance(part, Comparison) and read <= set(told)
            if read.isdisjoint(values) and not is_told and not any(isinstance(atom, IsNull) for atom in atoms(part)):
                yield part
