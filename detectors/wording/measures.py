"""The measures of an alert's evidence: the usual value and the line that its sentence sets each number against."""

from typing import TYPE_CHECKING

import msgspec

from detectors.wording import facts
from detectors.wording.revision import ASSERTED, WAITING, Revision, phase
from detectors.wording.told import MICRO, Crossed, usual_values
from domain.outputs import Evidence

if TYPE_CHECKING:
    from detectors.rules.conditions import Signal  # with numba: too heavy for a command that prints sentences


def values_of(alert: Revision) -> dict[str, int]:
    """Return the numbers of the evidence that are known and may be shown, in millionths."""
    return {each.name: each.value_micro for each in alert.evidence if each.value_micro is not None}


def crossed_by(alert: Revision, signal: "Signal | None", now: str) -> Crossed:
    """Return the level and the threshold that each number has crossed, in a revision of the phase `now`."""
    if signal is None or now not in ASSERTED | WAITING:
        return {}
    return facts.crossed(signal, alert.severity, values_of(alert), is_true=now in ASSERTED)


def measured(alert: Revision, signal: "Signal") -> list[Evidence]:
    """Return the evidence with its measures as fields, for readers that do not take sentences apart.

    A number that is told as a band has no usual value, and a line only where its level cannot be true without it.
    """
    crossed = crossed_by(alert, signal, phase(alert))
    usual = dict(usual_values({each.name: each for each in alert.evidence}))
    found = []
    for each in alert.evidence:
        more: dict[str, object] = {}
        if each.name in usual:
            more["usual_micro"] = round(usual[each.name][1] * MICRO)
        if each.name in crossed:
            severity, line = crossed[each.name]
            more |= {"line_micro": round(line * MICRO), "line_severity": severity}
        found.append(msgspec.structs.replace(each, **more) if more else each)
    return found
