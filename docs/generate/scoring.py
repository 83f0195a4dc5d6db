"""`docs/scoring.md`: how indicators become a score, from the tables and constants that decide it."""

from cli.inspect import GROUPS, STATUS
from config.catalogue import indicators
from detectors import scorecard
from detectors.learning.labels import HORIZON_DAYS, SIGHT_DAYS_MAX
from detectors.learning.loan_history import CURES, DPD_GOOD_MAX
from detectors.prior import GROUP_POINTS, prior_snapshot
from detectors.rules.artefact import packaged
from detectors.snapshot import ANCHORS_MAX, WEIGHT_SUM_MILLI
from docs.generate.indicators import calendar_adr, rows
from docs.generate.markdown import code, fill, table
from features.indicators import CORE

_MILLI = 1_000
_STATUS_WHEN = {
    ("withheld", "coverage"): "coverage below 30%",
    ("withheld", "only_silence"): "nothing is known but that nothing happens",
    ("provisional", "coverage"): "coverage below 60%",
    ("provisional", "repayment_coverage"): "less than half of repayment_capacity is computable",
    ("provisional", "history_under_28_days"): "less than 28 days of history",
    ("provisional", "under_20_transactions"): "fewer than 20 transactions",
    ("published", ""): "otherwise",
}


def page() -> str:
    """Return the page."""
    return fill(
        "scoring.md.in",
        {
            "floor": str(scorecard.FLOOR_MILLI // _MILLI),
            "ceiling": str(scorecard.CEILING_MILLI // _MILLI),
            "weights": str(WEIGHT_SUM_MILLI // _MILLI),
            "anchors_max": str(ANCHORS_MAX),
            "groups": _groups(),
            "anchors": _anchors(),
            "status": _status(),
            "grades": _grades(),
            "margin": str(scorecard.GRADE_MARGIN_MILLI // _MILLI),
            "closes": str(scorecard.CLOSES_OVER_BAND),
            "dpd_good_max": str(DPD_GOOD_MAX),
            "horizon": str(HORIZON_DAYS),
            "sight": str(SIGHT_DAYS_MAX),
            "cure": str(CURES[True].days),
            "reasons": str(scorecard.REASONS_MAX),
            "calendar_adr": calendar_adr(),
            "step": f"{packaged().emission.step_milli / _MILLI:g}",
        },
    )


def _groups() -> str:
    lines = []
    for group, points in GROUP_POINTS.items():
        core = [name for name, says in indicators().items() if says.group == group and says.tier == "core"]
        computed = sum(name in CORE for name in core)
        lines.append((code(group), GROUPS[group][0], str(points), f"{computed} of {len(core)}"))
    return table(("group", "中文", "points", "core indicators computed"), lines)


def _anchors() -> str:
    weights = prior_snapshot().weights_milli
    lines = []
    for row in rows("anchors.csv"):
        says = indicators()[row["id"]]
        lines.append(
            (
                code(row["id"]),
                says.group,
                f"{weights.get(row['id'], 0) / _MILLI:.3f}",
                "higher" if says.higher_is_riskier else "lower",
                *(row[anchor] for anchor in ("p5", "p25", "p50", "p75", "p95")),
                row["rationale"],
                row["source"],
            )
        )
    return table(
        ("indicator", "group", "weight", "riskier", "p5", "p25", "p50", "p75", "p95", "rationale", "source"), lines
    )


def _status() -> str:
    if odd := {reason for _, reason in _STATUS_WHEN} ^ set(scorecard.STATUS_REASONS):
        raise KeyError(f"reasons of a status without a meaning here, or the reverse: {', '.join(sorted(odd))}")
    lines = [(code(status), STATUS[status][0], code(why), when) for (status, why), when in _STATUS_WHEN.items()]
    return table(("status", "中文", "reason", "when (the first that fits)"), lines)


def _grades() -> str:
    lines, high = [], scorecard.CEILING_MILLI // _MILLI
    for grade in scorecard.GRADES:
        low = max(high - scorecard.BAND_MILLI // _MILLI, scorecard.FLOOR_MILLI // _MILLI)
        lines.append((grade, f"{low} and more" if grade == "A" else f"{low} to under {high}"))
        high = low
    return table(("grade", "score"), lines)
