"""The report of a backtest as JSON. Numbers have six significant digits.

A figure is null with n = 0 where it is not defined. A quartile of leads is null with n > 0 where it falls among
defaults without a warning.
"""

import math

import msgspec

from detectors.learning.statistics import Estimate


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A number, its 95% interval by bootstrap over enterprises, and the number of observations behind it."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A world of tuning or judging. `seed` and `parameters` are empty where it was not simulated."""

    name: str
    seed: str
    parameters: str


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """The worlds of tuning and judging. is_result false: no figure is a result, for the reason `why`."""

    is_result: bool
    why_zh: str
    why_en: str
    judged_on: Origin
    tuned_on: list[Origin]
    engine_version: str
    recorded_by: str
    rules: list[str]
    models: list[str]


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of the judgement. Days are YYYY-MM-DD; lengths are in days."""

    log_first: str
    log_last: str
    judged_first: str
    judged_last: str
    outcomes_known_until: str
    warm_up_days: int
    lookback_days: int
    repeat_days: int
    seed: int
    resamples: int
    without: list[str]  # parts that were left out: of measure.PARTS
    truth: str  # "file", "log", or "labels": without dates


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of judged enterprises, and of the others by reason."""

    records: int
    enterprises: int
    borrowers: int  # at risk at some month end of the window
    borrower_months: float
    without_truth: int
    bad_at_start: int
    bad: int  # in the window
    defaulted: int  # of these, over 90 days past due or worse
    bad_without_row: int  # of these, never a borrower at risk at a month end of the window
    month_rows: int
    month_rows_without_score: int
    censored_short: int  # month rows that have not lived through the short horizon
    censored_long: int
    bad_rate_year: Figure  # of a borrower, a year


class BankWeek(msgspec.Struct, frozen=True, kw_only=True):
    """Cases of a bank's desk in a week, over all banks with a consenting borrower."""

    banks: int
    weeks: int
    mean: float | None
    median: float | None
    ninety_percent: float | None
    most: int


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Cases opened or made graver to one level; `level`: orange_red or yellow."""

    level: str
    cases: int  # of borrowers
    cases_of_others: int  # of enterprises without an open loan: no desk receives them
    cases_after_bad: int  # of borrowers who are over 30 days past due already
    per_1000_borrowers: Figure  # a month
    per_1000_enterprises: Figure
    bank_week: BankWeek
    standing_share: Figure  # of borrowers at month ends with an open case of at least this level
    by_month: list[tuple[str, float | None]]  # per 1,000 borrowers


class Lead(msgspec.Struct, frozen=True, kw_only=True):
    """Days from the first warning to the first arrears over 30 days; no warning counts as less than all."""

    lower_quartile: Figure
    median: Figure
    upper_quartile: Figure
    none: int


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """The worth of a policy. budget 0: all that it names; otherwise new cases of 1,000 borrowers a month."""

    policy: str
    budget: int
    named: int
    per_1000_borrowers: Figure
    warned: dict[str, Figure]  # by days before: the share of defaults
    lead: Lead
    precision: dict[str, Figure]  # by horizon in days: the share of namings that were right
    censored: dict[str, int]


class SignalWorth(msgspec.Struct, frozen=True, kw_only=True):
    """One signal: its alerts, its cases alone, and the cases without it, all by the claim of a case."""

    signal: str
    alerts_orange_red: Figure  # raised, per 1,000 borrowers a month
    alerts_yellow: Figure
    enterprises: int  # with at least one alert
    alone: Worth
    without: Worth
    fewer_cases: Figure  # per 1,000 borrowers a month, of all less those without it
    lost_warnings: Figure  # share of defaults warned 60 days ahead, of all less without it
    adds: Figure  # the same share, of all less without it at as many cases to orange and red


class DispositionWorth(msgspec.Struct, frozen=True, kw_only=True):
    """Dispositions of cases, and how many of the borrowers went bad. `signal`: empty: of cases by their own level."""

    signal: str
    severity: str  # of its alert, or of the case
    disposed: dict[str, int]  # cases by disposition
    precision: Figure  # of those confirmed or false alarms, the share that was confirmed
    went_bad: dict[str, Figure]  # by disposition: over 30 days past due within a year, of those not yet so


class Separation(msgspec.Struct, frozen=True, kw_only=True):
    """AUC and KS of one rank among month ends: of all, of a month, or of a group of enterprises."""

    rank: str
    horizon_days: int
    by: str  # all, month, scenario, industry, size, banks
    group: str
    bad: int
    auc: Figure
    ks: Figure


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """Month ends with a value in [low, high): the expected and the observed bad rate."""

    low: float
    high: float
    expected: float | None
    observed: Figure


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """`of`: probability, or score in bands of 50 points. ratio: expected bad month ends over observed ones."""

    of: str
    horizon_days: int
    by: str
    group: str
    ratio: Figure | None
    bins: list[CalibrationBin]


class GroupWorth(msgspec.Struct, frozen=True, kw_only=True):
    """The cases of a group of enterprises."""

    by: str
    group: str
    borrower_months: float
    per_1000_borrowers: Figure  # orange and red
    bad: int
    warned_60: Figure
    precision_year: Figure


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One episode of a signal in a timeline: (day, level) of each change; level 0 ends it."""

    signal: str
    levels: list[tuple[str, int]]


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """An indicator with one of the largest changes among borrowers. `by`: the change in interquartile ranges."""

    indicator: str
    by: float
    is_worse: bool
    values: list[tuple[str, float | None]]


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """One enterprise: its scores, its alerts, and its loan events."""

    enterprise_id: str
    scenario: str
    industry: str
    size: str
    bad_on: str | None
    default_on: str | None
    onset_on: str | None
    lead_days: int | None
    cases: int  # orange or red, in the window
    scores: list[tuple[str, float]]
    moved: list[Moved]
    episodes: list[Episode]
    events: list[tuple[str, str]]  # day; loan event with days past due


class LearnedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The learner's candidates, and those of them that the guard held."""

    candidates: int
    held: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All parts of a report."""

    format: str = "xinliu.backtest/1"
    provenance: Provenance
    parameters: Parameters
    counts: Counts
    load: list[Load]
    cases: list[Worth]
    signals: list[SignalWorth]
    silent: list[
        tuple[str, list[str]]
    ]  # signals in force that were never computable, and the indicators without values
    budgets: list[Worth]
    groups: list[GroupWorth]
    dispositions: list[DispositionWorth]  # empty: no desk has disposed of a case within the judged days
    separation: list[Separation]
    calibration: list[Calibration]
    misses: list[Timeline]
    false_alarms: list[Timeline]
    notes: list[tuple[str, str]]  # Chinese, English
    learned: LearnedCounts | None = None  # where the learner was in the loop


def figure(estimate: Estimate, scale: float = 1.0) -> Figure:
    """Return an estimate, times `scale`, as a figure of the report."""
    value, low, high = (number(each * scale) for each in estimate[:3])
    return Figure(value=value, low=low, high=high, n=estimate.n)


def number(value: float) -> float | None:
    """Return a number at six significant digits; None where it is not finite.

    >>> number(1234567.8), number(float("nan"))
    (1234570.0, None)
    """
    return float(f"{value:.6g}") if math.isfinite(value) else None
