"""One reader's case as its state has it, and what it claims now, line by line: for people."""

from dataclasses import dataclass

import numpy as np

from detectors import cases
from detectors.rules.artefact import RuleSet
from domain.outputs import SEVERITIES, CaseLine, Severity
from features.fields import EPISODES_MAX
from kernels.decorators import kernel
from streams.score import case_of
from streams.score.records import bank_number


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseNow:
    """The case of one reader, and what it claims now: `intercept_milli` + the points of `lines` = `logit_milli`.

    Its level moves up with any event, and down at closes alone: so it may be above what the claim reaches.
    """

    bank_id: str | None  # the reader; None: the supervisor
    case_id: str  # empty: it has no case
    severity: Severity | None  # the level of the case; None: no case
    pd_12m_ppm: int
    logit_milli: int
    intercept_milli: int
    lines: list[CaseLine]  # most points first
    cutoffs_milli: dict[Severity, int]
    least: Severity | None  # the level that signals which stand alone demand
    closes_below: int  # at which the claim was below the level, in a row
    closes_to_ease: int  # after which the case eases


class NoLender(Exception):
    """The bank has no loan to the enterprise, so that it has no case of it."""


def case_now(enterprise_id: str, row: np.void, x: np.void, rules: RuleSet, bank_id: str | None) -> CaseNow | None:
    """Return the case of a bank, or of the supervisor; None where the rules have no claim.

    row: features.layout.ROW as it is stored; x: its evaluation, outbook.ROW. Raise NoLender.
    """
    view = cases.SUPERVISOR if bank_id is None else _slot_of(row, bank_id)
    if (table := rules.case) is None:
        return None
    lines = np.zeros(EPISODES_MAX, cases.LINE)
    score, move = (int(part) for part in _weigh(rules.programs, row, x, lines))
    open_ = lines[: int(row["episodes_open"])]
    known = open_[open_["signal"] >= 0]  # others are of rules that are no longer in force
    made_of = {
        "lines": [dict(zip(cases.LINE.names or (), line, strict=True)) for line in known.tolist()],
        "case_score": score,
        "case_move": move,
    }
    parts = case_of.lines_of(made_of, rules, table, view)
    seen = known[[bool(cases.sees(view, bank)) for bank in known["bank"].tolist()]]
    logit, level = case_of.logit_milli(table, parts), int(row["case_level"][view])
    return CaseNow(
        bank_id=bank_id,
        case_id=case_of.id_of(row, enterprise_id, view, bank_id or ""),
        severity=_severity(level),
        pd_12m_ppm=case_of.pd_ppm(logit),
        logit_milli=logit,
        intercept_milli=table.intercept_milli,
        lines=parts,
        cutoffs_milli={severity: getattr(table.cutoffs_milli, severity) for severity in SEVERITIES},
        least=_severity(int(seen["least"].max(initial=0))),
        closes_below=int(row["case_below_closes"][view]),
        closes_to_ease=table.closes_to_ease,
    )


@kernel
def _weigh(rules, e, x, lines):
    """Fill lines as `cases.weigh`; return what the score and its move add."""
    cases.weigh(rules, e, lines)
    return cases.score_parts(rules, x)


def _slot_of(row: np.void, bank_id: str) -> int:
    slots = np.flatnonzero(row["bank"] == bank_number(bank_id))
    if not len(slots):
        raise NoLender(bank_id)
    return int(slots[0])


def _severity(level: int) -> Severity | None:
    return SEVERITIES[level - 1] if level else None
