"""`docs/signals.md`: the catalogue of signals, and how one becomes an alert."""

from collections import Counter

from config.case_table import CaseTable, Deadline, packaged_case_table
from config.catalogue import signals
from detectors.rules.artefact import packaged
from detectors.rules.conditions import parse_row, waits_for
from detectors.rules.grammar import HELD_CLOSES_MAX, SEEN_DAYS_MAX
from detectors.rules.vocabulary import CONTEXT, CONTEXT_TO_COME, FLAGS
from docs.generate.indicators import Row, rows
from docs.generate.markdown import code, fill, table
from domain.outputs import SEVERITIES
from features.state.seen import EVENTS

_CONTEXT = {
    "ctx.history_days": "days from the first transaction to the last closed day; at least 1 once days close",
    "ctx.inflow_vs_low_month_ratio": "`op_inflow_30d_cny` / (second lowest operating inflow of the last 12 "
    "complete months) - 1; null before 9 of them were covered, and where that month is below 1,000 CNY",
    "ctx.covered_months": "complete months of which nine tenths of the days were covered",
    "feed.stalled": "a bank with a tenth of the flow is silent for over two whole days (a daily file: longer)",
    "feed.loan_stalled": "a bank with an open loan is",
    "feed.gov_connected": "a government source has reported something of this enterprise",
    "calendar.spring_festival_window": "today is from 15 days before to 20 days after the first day of the lunar year",
    "peer.offseason": "the peers' season is low; null while there are no peer tables",
    "peer.buys_from_persons": "peers buy from persons (farm produce); null while there are no peer tables",
    "peer.cash_intensive": "peers live on cash; null while there are no peer tables",
    "score.points": "the score as displayed",
    "score.delta_30d": "its difference from the score at the close 30 days before",
    "score.grade_fall_30d": "by how many grades the published grade is lower than 30 days before; 0 where it is not",
    "score.coverage": "computable weight over applicable weight",
    "score.model_changed_30d": "another model was activated within 30 days",
    "ctx.balance_months": "months with known balances",
    "loan.five_class_worst": "worst classification of an open loan, 1 (正常) to 5 (损失)",
    "loan.five_class_fall_90d": "classes lost within 90 days",
    "guarantor.red_count": "guarantors with an open red case",
}


def page() -> str:
    """Return the page."""
    waiting = {row.id: ", ".join(waits_for(parse_row(row, row.id))) for row in signals()}
    catalogue = rows("signals.csv")
    with_inputs = sum(not waits for waits in waiting.values())
    evaluated = _evaluated(catalogue, waiting).total()
    families = dict.fromkeys(row["family"] for row in catalogue)
    return fill(
        "signals.md.in",
        {
            "total": str(len(catalogue)),
            "with_inputs": str(with_inputs),
            "disabled": str(with_inputs - evaluated),
            "evaluated": str(evaluated),
            "waiting": str(len(catalogue) - with_inputs),
            "summary": _summary(catalogue, waiting),
            "seen_days_max": str(SEEN_DAYS_MAX),
            "held_closes_max": str(HELD_CLOSES_MAX),
            "closes_to_lower": str(packaged().closes_to_lower),
            "context": _context(),
            "events": ", ".join(map(code, EVENTS)),
            **_case(packaged_case_table().table),
            "families": "\n\n".join(_family(family, catalogue, waiting) for family in families),
        },
    )


def _evaluated(catalogue: list[Row], waiting: dict[str, str]) -> Counter[str]:
    """Count the signals that are evaluated, by family: those that are enabled and have all their inputs."""
    return Counter(row["family"] for row in catalogue if row["enabled"] == "yes" and not waiting[row["id"]])


def _summary(catalogue: list[Row], waiting: dict[str, str]) -> str:
    total = Counter(row["family"] for row in catalogue)
    evaluated = _evaluated(catalogue, waiting)
    return table(
        ("family", "signals", "evaluated"),
        ((code(family), str(total[family]), str(evaluated[family])) for family in total),
    )


def _case(claim: CaseTable) -> dict[str, str]:
    """Return what the page says of the case table."""
    cut, times, budget = claim.cutoffs_milli, claim.deadlines, claim.budget
    return {
        "intercept": str(claim.intercept_milli),
        "score": ", ".join(f"{logit} at {at // 1_000}" for at, logit in claim.score),
        "move": ", ".join(f"{logit} at {at}" for at, logit in claim.move),
        "findings": table(
            ("finding", "", "signals"),
            ((each.name_en, each.name_zh, ", ".join(map(code, each.signals))) for each in claim.findings),
        ),
        "levels": table(
            (
                "case",
                "logit from",
                "of 1,000 borrowers a month at most",
                "contact within (working days)",
                "visit within",
            ),
            (
                ("yellow", str(cut.yellow), str(budget.yellow_per_1000_month), *_within(times.yellow)),
                (
                    "orange",
                    str(cut.orange),
                    f"{budget.orange_red_per_1000_month} with red ones",
                    *_within(times.orange),
                ),
                ("red", str(cut.red), "", *_within(times.red)),
            ),
        ),
        "closes_to_ease": str(claim.closes_to_ease),
        "cured_to": claim.cured_to,
        "cooldown_days": str(claim.cooldown_days),
        "head_office_after": str(times.head_office_after_days),
        "supervisor_after": str(times.supervisor_after_days),
        "case_evidence": claim.evidence,
    }


def _within(times: Deadline) -> tuple[str, str]:
    contact, visit = ("" if days is None else str(days) for days in (times.contact_days, times.visit_days))
    return contact, visit


def _context() -> str:
    if odd := set(_CONTEXT) ^ {*CONTEXT, *CONTEXT_TO_COME}:
        raise KeyError(f"inputs without a meaning here, or the reverse: {', '.join(sorted(odd))}")
    return table(
        ("input", "kind", "meaning"),
        (
            (
                code(name),
                "flag" if name in FLAGS else "number",
                meaning + (" (not computed yet)" if name in CONTEXT_TO_COME else ""),
            )
            for name, meaning in _CONTEXT.items()
        ),
    )


def _family(family: str, catalogue: list[Row], waiting: dict[str, str]) -> str:
    return "\n\n".join(
        [f"## {family}", *(_signal(row, waiting[row["id"]]) for row in catalogue if row["family"] == family)]
    )


def _signal(row: Row, waits: str) -> str:
    claim = packaged_case_table().table
    points = zip(SEVERITIES, claim.points_milli.get(row["id"], ()), strict=False)
    facts = [
        ("tells of risk", row["rationale"]),
        *((level, code(row[f"condition_{level}"])) for level in SEVERITIES),
        ("clears when", code(row["hysteresis"])),
        ("needs", code(row["min_history"])),
        ("not computable when", code(row["not_computable_when"])),
        ("suppressed when", code(row["suppress_when"])),
        ("evidence", row["evidence"]),
        ("false alarms", row["false_alarm_note"]),
        ("source", row["source"]),
        ("scope", row["scope"]),
        ("owner", row["owner"]),
        ("finding", next((each.name_en for each in claim.findings if row["id"] in each.signals), "")),
        ("points", ", ".join(f"{level} {its}" for level, its in points if row[f"condition_{level}"])),
        ("stands alone", ", ".join(f"{rule.at}: {rule.level}" for rule in claim.alone if rule.signal == row["id"])),
        ("ships disabled", "" if row["enabled"] == "yes" else "yes"),
        ("waits for", waits),
    ]
    return f"### {row['id']}\n\n{row['name_en']} {row['name_zh']}\n\n" + table(
        ("", ""), [(what, text) for what, text in facts if text]
    )
