"""An alert's fields about its reader's case, out of a row of the output book and the lines beside it."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np
from msgspec import UNSET

from config.case_table import CaseTable
from detectors import case_life, cases, episodes
from detectors.rules.artefact import RuleSet
from detectors.rules.program import SIGNALS_MAX
from detectors.snapshot import MICRO
from domain.outputs import SEVERITIES, CaseLine, Severity
from features.layout import id_words
from streams.score.outbook import NEWS
from streams.score.records import bank_number


def is_told(b: Any, rules: RuleSet, slot: int) -> bool:
    """Return whether the bank in a slot is told of row `b`, which it may see.

    It is told where its case moves, of what goes to it alone, and of what is news beside what it has disposed of; while
    it has a case, of retractions and of what is listed to all. Under rules without a claim it is told of every
    revision.
    """
    if not rules.programs.case_claims or b["case_moved"][slot]:
        return True
    if b["to_bank"] >= 0 or b["held"][slot] == NEWS:
        return True
    return bool(b["case_key"][slot]) and (bool(b["stock"]) or b["transition"] == episodes.RETRACTED)


def id_of(b: Any, enterprise_id: str, view: int, bank_id: str) -> str:
    """Return the id of the case that the reader of `view` has; empty where it has none. bank_id: empty: the supervisor.

    It tells nothing of other banks: the key is of the record that opened this reader's own case.
    """
    if not b["case_key"][view]:
        return ""
    words, bank = np.array(id_words(enterprise_id)), bank_number(bank_id) if bank_id else 0
    return f"{int(case_life.id_of(words, np.int64(bank), np.uint64(b['case_key'][view]))):016x}"


def severity(b: Any, view: int) -> Severity | None:
    """Return the level of the case that the reader of `view` has, as it was where it is resolved; None: no case.

    Where delivery ends it is that before the record, as all that is told then.
    """
    if b["transition"] == episodes.CLOSED:
        return _severity(b["case_before"][view])
    return _severity(b["case_level"][view] or b["case_before"][view])


def fields(b: Any, rules: RuleSet, view: int) -> dict[str, Any]:
    """Return the optional fields of the case: what happened to it, its probability, and what that is made of."""
    found: dict[str, Any] = {}
    if b["transition"] == episodes.CLOSED:
        return found
    if moved := b["case_moved"][view]:
        found["case_state"] = cases.STATES[moved]
        found["case_severity_before"] = _severity(b["case_before"][view])
    if (table := rules.case) is not None and "lines" in b:
        lines = lines_of(b, rules, table, view)
        found["case_lines"] = lines
        found["case_pd_12m_ppm"] = pd_ppm(logit_milli(table, lines))
    return found


def logit_milli(table: CaseTable, lines: Sequence[CaseLine]) -> int:
    """Return the sum of a claim."""
    return table.intercept_milli + sum(line.points_milli for line in lines)


@lru_cache(4_096)
def pd_ppm(logit_milli: int) -> int:
    """Return the probability of a logit in ppm, in decimal arithmetic: equal on every machine."""
    with localcontext() as context:
        context.prec = 30
        return int((MICRO / (1 + (-Decimal(logit_milli) / cases.MILLI).exp())).to_integral_value())


def lines_of(b: Any, rules: RuleSet, table: CaseTable, view: int) -> list[CaseLine]:
    """Return what the claim of a view is made of; of a finding only the line with the most has points.

    b: `lines` (cases.LINE), and what the score and its move add, as a row of the output book has them.
    """
    counted, lines = set[int](), []
    seen = [line for line in b["lines"] if view == cases.SUPERVISOR or line["bank"] in (episodes.EVERY_BANK, view)]
    for line in sorted(seen, key=lambda line: (-line["points"], -line["level"], line["opened_ms"], line["signal"])):
        points = 0 if line["group"] in counted else line["points"]
        counted.add(line["group"])
        finding = table.findings[line["group"]].id if line["group"] < SIGNALS_MAX else ""
        lines.append(
            CaseLine(
                name=rules.evaluated[line["signal"]].row.id,
                finding=finding,
                severity=SEVERITIES[line["level"] - 1],
                opened_at=line["opened_ms"],
                stale=bool(line["stale"]),
                points_milli=points,
                waits=True if line["waits"] else UNSET,
            )
        )
    for name, points in (("score.points", b["case_score"]), ("score.delta_30d", b["case_move"])):
        lines.append(CaseLine(name=name, finding="", severity=None, opened_at=None, stale=False, points_milli=points))
    return sorted(lines, key=lambda line: -line.points_milli)


def _severity(level: int) -> Severity | None:
    return SEVERITIES[level - 1] if level else None
