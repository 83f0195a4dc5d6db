"""The outcome of what a lender is owed, as far as it is known: of an instalment (EWS11), and of arrears (EWS35).

An alert of an instalment never says that the risk is gone because its date has passed. That the instalment was paid is
said where its lender reported a repayment, that it was not where the lender reports it past due; else that nothing is
reported. Arrears that are paid are observed: the alert stays open for what has been, and nothing is past due.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeGuard

from detectors.rules.grammar import All, AnyOf, Comparison, Expression, Held, Seen, timers
from detectors.wording.conditions import Atom, carrying, reduce
from detectors.wording.revision import Revision
from domain.calendar import day_of

if TYPE_CHECKING:
    from detectors.rules.conditions import Signal  # with numba: too heavy for a command that prints sentences

# awaited: its date is ahead; passed: it is over, the episode is not; unreported: the episode is over as well; observed:
# of arrears.
Outcome = Literal["", "awaited", "overdue", "paid", "covered", "unreported", "passed", "observed"]
OF_INSTALMENTS, OF_ARREARS = "EWS11_instalment_not_covered", "EWS35_arrears"
_PAST_DUE, _BALANCE, _NEXT = "dpd_max_days", "bal_to_next_instalment_ratio", "next_instalment_days"


def outcome(alert: Revision, signal: "Signal | None", values: Mapping[str, int], *, is_over: bool) -> Outcome:
    """Return what became of the instalment or of the arrears; empty for other signals, and where nothing is known.

    `values`: the evidence in millionths. `is_over`: the episode has ended, so what clears it is true.
    """
    if alert.signal == OF_ARREARS and not is_over and values.get(_PAST_DUE) == 0:
        return "observed"
    if alert.signal != OF_INSTALMENTS:
        return ""
    if values.get(_PAST_DUE, 0) > 0:
        return "overdue"
    if signal is None:
        return ""
    clearing = _that_can_be(signal.hysteresis, alert)
    true = list(carrying(clearing, values))
    if _NEXT not in values or not any(_is_of(each, _NEXT) and ">" in each.operator for each in true):
        if not is_over:
            return "awaited"
        return "covered" if any(_is_of(each, _BALANCE) for each in true) else ""
    if not is_over:
        return "passed"
    may_have_waited = any(reduce(each.inner, values) is not False for each in timers(clearing))
    return "paid" if any(isinstance(each, Seen) for each in true) and not may_have_waited else "unreported"


def _that_can_be(node: Expression, alert: Revision) -> Expression:
    """Return a hysteresis without what cannot have held: since its opening an episode had too few closes for that."""
    closes = day_of(alert.as_of - 1) - day_of(alert.opened_at - 1) + 1
    match node:
        case Held(_, least) if least > closes:
            return AnyOf(())
        case All(parts) | AnyOf(parts):
            return type(node)(tuple(_that_can_be(part, alert) for part in parts))
        case _:
            return node


def _is_of(atom: Atom, number: str) -> TypeGuard[Comparison]:
    return isinstance(atom, Comparison) and atom.name.text == number
