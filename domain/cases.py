"""The order in which a bank's staff acts on a case: the one table of it.

awaiting --sign--> signed --begin--> checking --submit--> in_review --approve--> disposed; --return--> checking
"""

from collections.abc import Mapping

from domain.events import CaseActionKind
from domain.outputs import CaseStage

ORDER: Mapping[tuple[CaseStage, CaseActionKind], CaseStage] = {
    ("awaiting", "sign"): "signed",
    ("signed", "begin"): "checking",
    ("checking", "submit"): "in_review",
    ("in_review", "approve"): "disposed",
    ("in_review", "return"): "checking",
}
"""The state after an action, by the state before it; any other action is out of order."""
OPEN: tuple[CaseStage, ...] = ("awaiting", "signed", "checking", "in_review")
