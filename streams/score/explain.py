"""The explanation of one enterprise's stored value, for people: the score in its parts, indicators, episodes, loans.

The value is evaluated once more, at the enterprise's own time, by the code that score itself uses, on a copy. So the
parts are those of the stored score, unless the model has changed since.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import UNSET, UnsetType

from config.catalogue import indicators
from detectors.rules.artefact import RuleSet
from detectors.rules.conditions import Signal
from detectors.rules.vocabulary import INPUTS, needs_overlay
from detectors.score_change import Vector
from detectors.scorecard import (
    BAND_MILLI,
    FLOOR_MILLI,
    GRADES,
    STATUS_NAMES,
    STATUS_REASONS,
    Scorecard,
    displayed,
    grade_of,
    most_milli,
    probabilities_ppm,
    scorecard,
    value_at,
)
from detectors.snapshot import BORROWERS, MICRO, Snapshot
from detectors.wording.alerts import sentence, signal_name
from detectors.wording.case import desk_of
from domain.language import LANGS
from domain.outputs import (
    GROUPS,
    SEVERITIES,
    AlertState,
    CaseLine,
    CaseState,
    DataDate,
    Evidence,
    LoanOfAlert,
    LoansMore,
    ProvisionalCalendar,
    Severity,
)
from features import values
from features.indicators import CORE, CORE_COUNT
from features.indicators.nulls import NULL_NAMES, VALUE
from features.layout import id_text
from features.state.loan_table import LOAN_SLOTS
from features.values import Value
from streams.earlier_score import EarlierScore, Moved, moved
from streams.score.alerts import values_of
from streams.score.case_now import CaseNow, case_now
from streams.score.json_text import micro
from streams.score.partition import PartitionState, engine_of
from streams.score.records import bank_text
from streams.score.reevaluation import readings, reevaluate


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """One indicator: its value, or why it has none; its points, where it scores."""

    id: str
    value: float | None
    null: str  # why it has none; empty where there is a value
    points_milli: int | None
    weight_milli: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """An indicator that lowers the score against the median."""

    indicator: str
    value: float | None
    null: str  # why it has none; empty where there is a value
    baseline: float
    points_milli: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """The smallest change of one indicator, on its own scale, that restores `grade`, all else being equal."""

    grade: str
    indicator: str
    value: float
    value_needed: float
    points_milli: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One open episode; `bank_id` where it is about one lender's facts. Names and sentences are by language."""

    signal: str
    names: dict[str, str]
    sentences: dict[str, str]
    severity: Severity
    stale: bool
    revision: int
    opened_ms: int
    bank_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """One loan that the state holds."""

    loan_id: str | None  # None: beside the slots, where no id is kept
    bank_id: str | None
    open: bool
    outstanding_minor: int
    dpd: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything.

    `score_milli` = 400,000 + the sum of `groups_milli` + `cap_milli`; `stored_milli` is the score in Redis.
    """

    enterprise_id: str
    applied_offset: int
    as_of_ms: int
    history_days: int
    stored_milli: int
    score_milli: int
    score: int
    cap_milli: int
    groups_milli: dict[str, int]
    coverage_ppm: int
    status: str
    status_reason: str
    grade: str
    published_grade: str
    provisional_calendar: bool  # the score counts business days of a year whose holidays are not published
    p_overdue30_90d_ppm: int
    pd_12m_ppm: int | None
    extrapolated: bool  # no loan is open, and the model has learned from borrowers alone
    reasons: list[Reason]
    counterfactual: Counterfactual | None  # None: no indicator alone would do, or a cap holds the score down
    moved: Moved | None  # where it was asked for
    indicators: list[Indicator]
    case: CaseNow | None  # None: the rules in force have no claim
    episodes: list[Episode]
    episode_overflow: int  # times that a signal found no place for an episode
    loans: list[Loan]
    loan_overflow: int  # times that a lender or an open loan found no place
    loan_overflow_day: int | None  # day number of the newest; None: never
    counts: dict[str, int]
    model_id: str
    rules_id: str


def explain(
    enterprise_id: str,
    value: Value,
    saved: PartitionState,
    snapshot: Snapshot,
    rules: RuleSet,
    before: tuple[EarlierScore, Snapshot] | None = None,
    bank_id: str | None = None,
) -> Explanation:
    """Explain a stored value under its partition's state, model and rules. before: an earlier score, and its model.

    bank_id: whose case is explained; None: the supervisor's. Raise LayoutError where the value is of another layout
    version or damaged, and NoLender where the bank has no loan to the enterprise.
    """
    rows = values.rows_of([enterprise_id], [value])
    row = rows[0].copy()  # as it is stored: the evaluation moves the other
    card = scorecard(snapshot)
    x = reevaluate(rows, engine_of(card, rules, saved.model_changed_day))[0]
    points = x["points_milli"].tolist()
    groups = dict.fromkeys(GROUPS, 0)
    for name, milli in zip(CORE, points, strict=True):
        groups[indicators()[name].group] += milli
    score_milli = int(x["score_milli"])
    score = int(displayed(score_milli))
    return Explanation(
        enterprise_id=enterprise_id,
        applied_offset=int(row["applied_offset"]),
        as_of_ms=int(x["as_of_ms"]),
        history_days=int(x["history_days"]),
        stored_milli=int(row["score_milli"]),
        score_milli=score_milli,
        score=score,
        cap_milli=int(x["cap_milli"]),
        groups_milli=groups,
        coverage_ppm=int(x["coverage_ppm"]),
        status=STATUS_NAMES[x["status"]],
        status_reason=STATUS_REASONS[x["status_reason"]],
        grade=GRADES[grade_of(score_milli)],
        published_grade=GRADES[x["published_grade"]],
        provisional_calendar=bool(x["provisional_calendar"]),
        p_overdue30_90d_ppm=probabilities_ppm(snapshot)[score - 400],
        pd_12m_ppm=_pd_12m_ppm(snapshot, score),
        extrapolated=snapshot.population == BORROWERS and not row["loan_open"].any(),
        reasons=_reasons(card, x),
        counterfactual=_counterfactual(card, snapshot, x),
        moved=None if before is None else moved(*before, score_milli, vector_now(rows[0], x), snapshot),
        indicators=_indicators(x, points, card.weight_milli.tolist()),
        case=case_now(enterprise_id, row, x, rules, bank_id),
        episodes=_episodes(enterprise_id, row, x, rules),
        episode_overflow=int(row["episode_overflow"]),
        loans=_loans(row),
        loan_overflow=int(row["loan_overflow"]),
        loan_overflow_day=int(row["loan_overflow_day"]) if row["loan_overflow"] else None,
        counts={name: int(row[f"{name}_count"]) for name in ("applied", "duplicate", "conflict", "late", "refused")},
        model_id=saved.model_id,
        rules_id=rules.id,
    )


def vector_now(row: np.void, x: np.void) -> Vector:
    """Return what the scorecard has read. row: features.layout.ROW after the evaluation x, outbook.ROW."""
    return Vector(
        value=x["value"][:CORE_COUNT],
        null=x["null"][:CORE_COUNT],
        last_ppm=row["utility_ppm"],
        most_milli=int(most_milli(row["dpd_latched"], row["frozen"])),
    )


def _pd_12m_ppm(snapshot: Snapshot, score: int) -> int | None:
    return None if snapshot.default_12m is None else probabilities_ppm(snapshot.default_12m)[score - 400]


def _counterfactual(card: Scorecard, snapshot: Snapshot, x: np.void) -> Counterfactual | None:
    """Return the change that restores the published grade where the score is below it, else reaches the next better.

    The score is linear in the utilities. So one indicator must bring all of the missing points, and the smallest change
    is that of the indicator with the largest weight that can.
    """
    raw = int(grade_of(int(x["score_milli"])))
    published = int(x["published_grade"])
    wanted = published if published < raw else raw - 1
    if wanted < 0 or x["cap_milli"] < 0:
        return None
    lacking = FLOOR_MILLI + (len(GRADES) - 1 - wanted) * BAND_MILLI - int(x["score_milli"])
    points, weights = x["points_milli"].tolist(), card.weight_milli.tolist()
    able = [i for i in range(CORE_COUNT) if x["null"][i] == VALUE and points[i] + lacking <= weights[i]]
    if not able:
        return None
    i = max(able, key=lambda i: weights[i])
    anchors, value = snapshot.anchors_micro[CORE[i]], float(x["value"][i])
    best = anchors[0 if card.rows[i]["falling"] else -1] / MICRO
    return Counterfactual(
        grade=GRADES[wanted],
        indicator=CORE[i],
        value=value,
        value_needed=value_at(card, i, value, best, points[i] + lacking),
        points_milli=lacking,
    )


def _value(x: np.void, slot: int) -> float | None:
    return None if x["null"][slot] else float(x["value"][slot])


def _indicators(x: np.void, points: list[int], weights: list[int]) -> list[Indicator]:
    scoring = dict(zip(CORE, zip(points, weights, strict=True), strict=True))
    found = []
    for reading in readings(x):
        points_milli, weight_milli = scoring.get(reading.id, (None, None))
        found.append(
            Indicator(
                id=reading.id,
                value=reading.value,
                null=reading.null,
                points_milli=points_milli,
                weight_milli=weight_milli,
            )
        )
    return found


def _reasons(card: Scorecard, x: np.void) -> list[Reason]:
    found = []
    for i in x["reasons"].tolist():
        if i >= 0:
            name, row = CORE[i], card.rows[i]
            below = int(x["points_milli"][i]) - int(row["median_milli"])
            slot = INPUTS.index(name)
            value, null = _value(x, slot), NULL_NAMES[x["null"][slot]]
            baseline = int(row["median_micro"]) / MICRO
            found.append(Reason(indicator=name, value=value, null=null, baseline=baseline, points_milli=below))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """An open episode as of the evaluation, for its sentence (detectors.wording.revision.Revision)."""

    enterprise_id: str
    signal: str
    severity: Severity
    revision: int
    opened_at: int
    as_of: int
    score: int
    evidence: Sequence[Evidence]
    rules_id: str
    alert_id: str = ""
    state: AlertState = "raised"
    reason: str = ""
    stock: bool = False
    score_before: int | None = None
    loans: Sequence[LoanOfAlert] = ()
    loans_more: LoansMore | UnsetType = UNSET
    banks: Sequence[str] = ()
    provisional_calendar: ProvisionalCalendar = UNSET  # the explanation says it of the score itself
    case_state: CaseState | UnsetType = UNSET
    case_severity_before: Severity | UnsetType | None = UNSET
    case_pd_12m_ppm: int | UnsetType = UNSET
    case_lines: Sequence[CaseLine] | UnsetType = UNSET
    true_closes: int | UnsetType = UNSET
    clear_closes: int | UnsetType = UNSET
    data_dates: Sequence[DataDate] | UnsetType = UNSET

    @property
    def case_severity(self) -> Severity:
        return self.severity


def _episodes(enterprise_id: str, row: np.void, x: np.void, rules: RuleSet) -> list[Episode]:
    of_key = dict(zip(rules.programs.key.tolist(), rules.evaluated, strict=True))
    desk = desk_of(rules.case)
    found = []
    for i in range(int(row["episodes_open"])):
        signal, bank = of_key.get(int(row["episode_key"][i])), int(row["episode_bank"][i])
        is_stale = bool(row["episode_stale"][i])
        episode = _Open(
            enterprise_id=enterprise_id,
            signal="?" if signal is None else signal.row.id,  # of rules that are no longer in force
            severity=SEVERITIES[row["episode_level"][i] - 1],
            revision=int(row["episode_revision"][i]),
            opened_at=int(row["episode_opened_ms"][i]),
            as_of=int(x["as_of_ms"]),
            score=int(displayed(int(x["score_milli"]))),
            evidence=[] if signal is None else _evidence(x, signal),
            rules_id=rules.id,
            clear_closes=int(row["episode_held_closes"][i]),
        )
        now = "stale" if is_stale else "open"
        found.append(
            Episode(
                signal=episode.signal,
                names={lang: signal_name(episode.signal, signal, lang) for lang in LANGS},
                sentences={lang: sentence(episode, signal, lang, desk=desk, now=now).text for lang in LANGS},
                severity=episode.severity,
                stale=is_stale,
                revision=episode.revision,
                opened_ms=episode.opened_at,
                bank_id=None if bank < 0 else bank_text(int(row["bank"][bank])),
            )
        )
    return found


def _evidence(x: np.void, signal: Signal) -> list[Evidence]:
    """Return the evidence of a platform signal in an evaluation; single lenders' loans are not in it."""
    values = values_of(x, signal.row.evidence)
    return [
        Evidence(name=name, value_micro=None if value is None else int(micro(value)))
        for name, value in values.items()
        if not (signal.is_lender and needs_overlay(name))
    ]


def _loans(row: np.void) -> list[Loan]:
    found = []
    for i in np.flatnonzero(row["loan_bank"] >= 0):
        dpd, bank = int(row["loan_dpd"][i]), int(row["bank"][row["loan_bank"][i]])
        found.append(
            Loan(
                loan_id=id_text(row["loan"][i]) if i < LOAN_SLOTS else None,
                bank_id=bank_text(bank) if bank else None,
                open=bool(row["loan_open"][i]),
                outstanding_minor=int(row["loan_outstanding"][i]),
                dpd=None if dpd < 0 else dpd + int(row["loan_dpd_more"][i]),
            )
        )
    return found
