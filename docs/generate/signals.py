"""`docs/signals.md`: the catalogue of signals, and how one becomes an alert."""

from collections import Counter

from config.catalogue import signals
from detectors.rules.artefact import packaged
from detectors.rules.conditions import parse_row, waits_for
from detectors.rules.grammar import HELD_CLOSES_MAX, SEEN_DAYS_MAX
from detectors.rules.vocabulary import CONTEXT, CONTEXT_TO_COME, FLAGS
from docs.generate.indicators import Row, rows
from docs.generate.markdown import code, fill, table
from features.state.seen import EVENTS

_CONTEXT = {
    "ctx.history_days": "days from the first transaction to the last closed day",
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
_LEVELS = ("yellow", "orange", "red")


def page() -> str:
    """Return the page."""
    waiting = _waiting()
    catalogue = rows("signals.csv")
    families = dict.fromkeys(row["family"] for row in catalogue)
    return fill(
        "signals.md.in",
        {
            "total": str(len(catalogue)),
            "evaluated": str(sum(not waits for waits in waiting.values())),
            "summary": _summary(catalogue, waiting),
            "seen_days_max": str(SEEN_DAYS_MAX),
            "held_closes_max": str(HELD_CLOSES_MAX),
            "closes_to_lower": str(packaged().closes_to_lower),
            "context": _context(),
            "events": ", ".join(map(code, EVENTS)),
            "families": "\n\n".join(_family(family, catalogue, waiting) for family in families),
        },
    )


def _waiting() -> dict[str, str]:
    """Return by signal what it waits for; empty where it is evaluated."""
    found = {}
    for number, row in enumerate(signals(), 2):
        missing = waits_for(parse_row(row, f"signals.csv line {number}"))
        found[row.id] = ", ".join(missing) if row.enabled else "disabled"
    return found


def _summary(catalogue: list[Row], waiting: dict[str, str]) -> str:
    total = Counter(row["family"] for row in catalogue)
    evaluated = Counter(row["family"] for row in catalogue if not waiting[row["id"]])
    return table(
        ("family", "signals", "evaluated"),
        ((code(family), str(total[family]), str(evaluated[family])) for family in total),
    )


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
    facts = [
        *((level, code(row[f"condition_{level}"])) for level in _LEVELS),
        ("clears when", code(row["hysteresis"])),
        ("needs", code(row["min_history"])),
        ("not computable when", code(row["not_computable_when"])),
        ("suppressed when", code(row["suppress_when"])),
        ("evidence", row["evidence"]),
        ("false alarms", row["false_alarm_note"]),
        ("source", row["source"]),
        ("scope", row["scope"]),
        ("waits for", waits),
    ]
    return f"### {row['id']}\n\n{row['name_en']} {row['name_zh']}\n\n" + table(
        ("", ""), [(what, text) for what, text in facts if text]
    )
