"""Outputs: the values of the output topics. Numbers are integers or fixed-point integers; names end in their unit.

`_milli` is thousandths, `_micro` millionths, `_ppm` millionths of a share, `_minor` minor units (fen for CNY). Times
(`as_of`, `opened_at`, `last_event_time`) are milliseconds of the epoch, days are day numbers. `offset` and `seq` are
the coordinates of the log record that an output follows from: readers keep, for each key, the highest (offset, seq),
and drop repeats; in a bank's topic `seq` orders the revisions of one alert, or of one case, and counts nothing that
other banks were told. They are its last two fields, where replay/lines.py finds them.
"""

from typing import Annotated, Literal

import msgspec

from domain.events import Disposition, FiveClass, GuaranteeType, Offset

# Present, and true, only where the value rests on business days of a year whose holidays are not published yet
# (docs/adr/0015-a-provisional-calendar.md). This is not the status "provisional".
ProvisionalCalendar = Literal[True] | msgspec.UnsetType
Severity = Literal["yellow", "orange", "red"]
Grade = Literal["A", "B", "C", "D", "E", "F"]
Status = Literal["published", "provisional", "withheld"]
AlertState = Literal["raised", "upgraded", "downgraded", "stale", "ended", "cleared", "retracted", "closed"]
CaseState = Literal["opened", "graver", "eased", "resolved"]  # what a revision did to its reader's case
CaseStage = Literal["awaiting", "signed", "checking", "in_review", "disposed", "false_alarm", "resolved", "undelivered"]
CaseChange = Literal[
    "opened", "graver", "eased", "resolved", "undelivered", "reopened", "resumed", "overdue", "listed",
    "paused", "watched", "continued",
    "signed", "begun", "submitted", "approved", "returned",
]  # fmt: skip
Escalation = Literal["desk", "head_office", "supervisor"]  # who has to see to it
GROUPS = (
    "fund_scale", "flow_stability", "transaction_activity", "income_growth", "counterparty_structure",
    "repayment_capacity",
)  # fmt: skip
SEVERITIES: tuple[Severity, ...] = ("yellow", "orange", "red")


class ReasonCode(msgspec.Struct, frozen=True, kw_only=True):
    """One indicator that lowers the score against the peer median."""

    indicator: str
    points_milli: int  # its contribution less that of the peer median, in millipoints (negative)
    value_micro: int | None  # None: null
    baseline_micro: int


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """`score.v1`, keyed by enterprise_id. `score_milli` = 400,000 + the sum of `groups_milli` + `cap_milli`."""

    enterprise_id: str
    score: int
    score_milli: int
    p_overdue30_90d_ppm: int
    pd_12m_ppm: int | None
    status: Status
    status_reason: str
    grade: Grade
    published_grade: Grade
    groups_milli: dict[str, int]
    cap_milli: int
    coverage_ppm: int
    prior: bool  # no label has moved the weights yet
    reason_codes: list[ReasonCode]
    model_id: str
    rules_id: str
    engine_version: str
    as_of: int
    provisional_calendar: ProvisionalCalendar = msgspec.UNSET
    offset: int
    seq: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A number that an alert rests on."""

    name: str
    value_micro: int | None
    band: str | None = None  # in place of a number out of which a bank could compute another's
    provisional_calendar: ProvisionalCalendar = msgspec.UNSET
    # As the sentence has them (docs/adr/0042): the usual value that a change or a share sets its amount against, and
    # the line that the number has crossed, with the level that it is of.
    usual_micro: int | msgspec.UnsetType = msgspec.UNSET
    line_micro: int | msgspec.UnsetType = msgspec.UNSET
    line_severity: Severity | msgspec.UnsetType = msgspec.UNSET


class DataDate(msgspec.Struct, frozen=True, kw_only=True):
    """How far a bank's data on the enterprise reaches."""

    bank_id: str
    newest_on: str | None  # date of its newest transaction; None: it has sent none
    stalled: bool  # at the last close its feed was


class LoanOfAlert(msgspec.Struct, frozen=True, kw_only=True):
    """A loan of the bank that the alert goes to."""

    loan_id: str
    outstanding_minor: int
    dpd: int | None
    # Absent where the bank has not reported it. Names, numbers and officers: by loan_id (docs/adr/0042).
    undrawn_minor: int | msgspec.UnsetType = msgspec.UNSET  # of a revolving loan with a limit
    due_on: str | msgspec.UnsetType = msgspec.UNSET
    next_due_on: str | msgspec.UnsetType = msgspec.UNSET
    next_due_minor: int | msgspec.UnsetType = msgspec.UNSET
    five_class: FiveClass | msgspec.UnsetType = msgspec.UNSET
    guarantee_type: GuaranteeType | msgspec.UnsetType = msgspec.UNSET


class LoansMore(msgspec.Struct, frozen=True, kw_only=True):
    """Open loans of the bank that the alert goes to which are not listed, of a borrower with more than eight."""

    count: int
    outstanding_minor: int
    dpd: int | None  # of the one longest past due


class CaseLine(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a case's claim: what an open signal, or the score, adds to it."""

    name: str  # a signal, `score.points` or `score.delta_30d`
    finding: str  # the finding that the signal belongs to (config/findings.csv); empty: it stands for itself
    severity: Severity | None  # of the signal
    opened_at: int | None
    stale: bool
    points_milli: int  # thousandths of a logit; of a finding only the line with the most has any
    # Present, and true, where no level of the signal is true any more: it waits for its hysteresis, counted as yellow.
    waits: Literal[True] | msgspec.UnsetType = msgspec.UNSET


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """`alert.<bank_id>.v1` and `alert.supervisor.v1`, keyed by enterprise_id.

    Subscribers de-duplicate by (alert_id, revision). A notice to a bank that another one has something has the day in
    `opened_at` and `as_of` (its 00:00, and 1 ms), offset -1, seq 0, the score before it, and no `score_before`.
    """

    alert_id: str
    episode_id: str
    case_id: str  # the reader's open episodes of this enterprise are one case
    case_severity: Severity | None  # its level; None, and an empty case_id: its reader has no case
    revision: int
    enterprise_id: str
    signal: str
    severity: Severity
    state: AlertState
    reason: str = ""  # why it is stale, ended, retracted or closed; recurred: it rose again
    stock: bool
    opened_at: int
    as_of: int
    score: int
    score_before: int | None
    evidence: list[Evidence]
    event_ids: list[str]
    loans: list[LoanOfAlert]  # of the receiving bank; empty for the supervisor
    banks: list[str]  # whom it concerns; only the receiving bank itself in a bank's topic
    title_zh: str
    text_zh: str
    suggested_action_zh: str
    model_id: str
    rules_id: str
    provisional_calendar: ProvisionalCalendar = msgspec.UNSET  # of the score
    loans_more: LoansMore | msgspec.UnsetType = msgspec.UNSET
    case_state: CaseState | msgspec.UnsetType = msgspec.UNSET  # absent where the case stays as it was
    case_severity_before: Severity | msgspec.UnsetType | None = msgspec.UNSET  # beside case_state; None: no case
    case_pd_12m_ppm: int | msgspec.UnsetType = msgspec.UNSET  # the claim: a default within twelve months
    case_lines: list[CaseLine] | msgspec.UnsetType = msgspec.UNSET  # what the claim is made of, most points first
    # Day closes in a row at which the condition of its level has held, and at which what clears it has; absent: 0, or
    # the rule does not count them.
    true_closes: int | msgspec.UnsetType = msgspec.UNSET
    clear_closes: int | msgspec.UnsetType = msgspec.UNSET
    data_dates: list[DataDate] | msgspec.UnsetType = msgspec.UNSET  # the supervisor's of all banks, a bank's its own
    offset: int
    seq: int


class CaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`case.<bank_id>.v1` and `case.supervisor.v1`, keyed by enterprise_id: a bank's case, each time that it has moved.

    Readers keep, for each case_id, the record with the highest (offset, seq). `opened_at` begins anew where a case that
    was disposed of comes back. Days are day numbers.
    """

    case_id: str
    bank_id: str
    enterprise_id: str
    state: CaseStage
    change: CaseChange  # what has moved
    severity: Severity | None  # of a closed case the one that was disposed of; None: none of its signals is open
    opened_at: int
    as_of: int
    contact_due: int | None  # day up to which the enterprise must have been contacted
    visit_due: int | None  # day up to which it must have been visited, and the conclusion submitted
    due: int | None  # the day up to which the next step is due; None: closed, or its deadlines wait, or it has none
    escalation: Escalation
    exposure_minor: int  # outstanding of the bank's own open loans
    maker: str | None  # 16 hex digits, a hash of the token of who signed, began or submitted last
    checker: str | None  # the same of who approved or returned, on that record
    disposition: Disposition | None
    until: int | None  # day up to which the disposition keeps further alerts from the bank
    measure: str | None = None  # these four of the action, on its record
    remark: str | None = None
    event_id: str | None = None
    acted_at: int | None = None
    offset: int
    seq: int


class Indicators(msgspec.Struct, frozen=True, kw_only=True):
    """`indicator.v1`, keyed by enterprise_id: every indicator as a day closed (in a backfill, a month's last day)."""

    enterprise_id: str
    day: int  # day number of the closed day
    as_of: int  # its end
    values_micro: dict[str, int]  # of those that are computable
    null_reasons: dict[str, str]  # of all others, why they are null
    catalogue_id: str
    engine_version: str
    provisional_calendar: list[str] | msgspec.UnsetType = msgspec.UNSET  # those of values_micro that are provisional
    offset: int
    seq: int


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """`observation.v1`: the point-in-time indicators of an enterprise with an open loan."""

    observation_id: str
    enterprise_id: str
    kind: Literal["grant", "month"]
    loan_id: str | None  # of a grant
    day: int  # day number of the observation
    as_of: int
    score_milli: int
    p_overdue30_90d_ppm: int
    utilities_ppm: dict[str, int]  # u of each core indicator under the model in force, nulls resolved as it does
    values_micro: dict[str, int | None]  # of every indicator; None: null
    nulls: dict[str, str] = {}  # of those, why; empty in records of before the reasons were kept
    model_id: str
    provisional_calendar: ProvisionalCalendar = msgspec.UNSET
    dispositions: tuple[Disposition, ...] | msgspec.UnsetType = msgspec.UNSET  # of its cases, by banks in this month
    offset: int
    seq: int


class Cut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The whole of a part of a record that is only held in part: its size and hash, and the number of headers."""

    size_bytes: int
    sha256: str
    count: int | None = None


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """Content that only the operators' private key opens, and only for the record that it belongs to."""

    key_id: str  # of the key pair: SHA-256 of its public half, 16 hex digits
    box: bytes = msgspec.field(name="box_base64")  # the sender's public key (32 bytes), nonce (12), AES-256-GCM


class Refused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record as a bank sent it: the content of `sealed` (MessagePack). Old dead letters have these fields in clear.

    Key and headers (in the bytes of Kafka's record format) are held up to 64 KiB each, the payload up to 1 MiB; each of
    them is left out where it holds a secret.
    """

    key: bytes | None = msgspec.field(name="key_base64", default=None)
    key_cut: Cut | None = None  # where it is not held whole
    headers: tuple[tuple[str, str], ...] = ()
    headers_cut: Cut | None = None
    payload_sha256: str  # of the whole payload
    payload: bytes = msgspec.field(name="payload_base64")  # cut at 1 MiB


class EventName(msgspec.Struct, frozen=True, kw_only=True):
    """The event in a record of `events.v1`."""

    type: str
    bank_id: str
    enterprise_id: str
    event_id: str
    event_time: int


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`dlq.v1` and `late.v1`: a record that was not applied.

    A record of a bank, the gateway or an operator is in it, sealed, complete enough to be tried again. A record of our
    own topics stands where its coordinates say.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    field: str | None  # "…" where it does not look like a name
    detail: str  # quotes nothing of the record
    event: EventName | None = None  # of `events.v1`, where it can be read
    sealed: Sealed | None = None
    payload_bytes: int  # of the whole payload


class QuarantinedBatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`quarantine.v1`, keyed by topic: the batch or the record at which a feed is held, once for each `offset` of it.

    That is a record batch that cannot be read, a record of one enterprise beyond the bank's quota (reason
    `new_enterprises`), or one that is refused beyond what an hour may be (`refused_records`). After a crash it may be
    there twice: readers take the first.
    """

    topic: str
    partition: int
    offset: int  # the first one that is not read
    next_offset: int | None  # the first one after the batch, where its header can be trusted
    reason: str  # of streams.transport.errors.Reason, or new_enterprises, or refused_records
    detail: str
    batch_bytes: int  # of the whole batch, as it was fetched
    batch_crc32c: int  # over the same
    sealed: Sealed | None = None  # its bytes, cut; absent of refused_records, and where it may hold a secret
    batch: bytes = msgspec.field(name="batch_base64", default=b"")  # of before they were sealed
    day: int | None = None  # of new_enterprises: the day number whose quota is used up
    new_enterprises: int | None = None  # of the same: how many the bank had brought on that day


class KnownEnterprise(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`enterprise.v1`, keyed by enterprise_id: ingest knows the enterprise. Of several records the last counts."""

    bank_id: str | None = None  # the bank that brought it; None: the gateway or an operator
    day: int | None = None  # day number of the quota that it counts for; None: for none


class Audited(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """`audit.v1`: who did something with a refused record or batch, and why. It is written before that is done."""

    topic: str
    partition: int
    offset: int
    reason_refused: str
    by: str
    reason: str
    at: int  # ms of the epoch


class Opened(Audited, frozen=True, kw_only=True, tag="opened"):
    """`audit.v1`: a refused record or batch was opened. It is written before anything of that is shown."""


class Resent(Audited, frozen=True, kw_only=True, tag="resent"):
    """`audit.v1`: a refused record was sent again though its source is past retention. It is written before that."""


class FeedHealth(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="health"):
    """`feed.v1`, keyed by bank_id: one bank's feed, as the writer of the ticks sees it."""

    bank_id: str
    last_event_time: int | None
    covered_up_to: int | None
    closed_up_to: int | None
    stalled: bool
    oldest_unread_event_time: int | None
    as_of: int


class FeedProgress(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="progress", omit_defaults=True):
    """`feed.v1`, keyed by topic: how far a worker of ingest has read one feed. Workers align by it, ticks rest on it.

    It holds forever, whoever publishes it and however late it is read: everything before `position` is acknowledged, in
    `events.v1`, `dlq.v1` or `quarantine.v1`; and, unless the feed was paused, whatever comes from there on was
    delivered when some bank had already delivered an event as late as `front_ms`.
    """

    topic: str
    partition: int
    generation: int  # of the group in which the worker owns the feed: what an earlier owner says of it now is old
    position: int  # the next offset
    unread: bool  # there was something at or after `position`
    front_ms: int | None  # event time of the newest event before `position`, or of the next one while it is held back
    last_event_time: int | None = None  # of the events since the worker got the feed
    receipt_days: tuple[int, ...] = ()  # day numbers, since its last word
    paused: bool = False  # at a batch that cannot be read: the feed counts as silent


class FeedQuestion(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="question"):
    """`feed.v1`: a worker has started and knows nothing; each publishes again how far its feeds are."""


FeedMessage = FeedHealth | FeedProgress | FeedQuestion


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A statistic with its 95% interval (bootstrap over enterprises). None: not defined on what there is."""

    value_micro: int | None
    low_micro: int | None = None
    high_micro: int | None = None


class ProbabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """The outcomes of the examples to which a model gave a probability in [from_ppm, to_ppm)."""

    from_ppm: int
    to_ppm: int
    n: int
    bad: int
    expected: Figure  # mean probability
    observed: Figure  # share of bad ones


class ModelMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """How one model predicted matured labels before it learned them."""

    model: str  # champion, prior, as_scored, or the name of a challenger
    window: Literal["12m", "all"]  # months of learning: the last twelve, or all that are retained
    n: int
    bad: int
    silent: int  # examples for which the model had no probability yet; they are not among n
    auc: Figure
    ks: Figure
    gini: Figure
    log_loss: Figure
    brier: Figure
    roc_ppm: tuple[tuple[int, int], ...]  # share of the good, share of the bad at or above a risk; ascending
    bins: tuple[ProbabilityBin, ...]  # those that hold any


class ModelDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The champion's statistic less another model's, on the newest labels that both predicted."""

    model: str
    n: int
    bad: int
    auc: Figure
    log_loss: Figure


class GradeOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Expected against observed: the examples of the last twelve months that had a grade when they were scored."""

    grade: Grade
    n: int
    bad: int
    expected: Figure
    observed: Figure


class ScoreOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The examples of the last twelve months with a score in [from_points, to_points), by outcome."""

    from_points: int
    to_points: int
    good: int
    bad: int


class MonthReport(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="month"):
    """`model.report.v1`: what a month's labels said of the models, each asked before it learned them."""

    month: int  # counted from January 1970
    model_id: str  # of the champion that was tested
    labels: dict[str, int]  # observations of the month whose time had come, by kind of label
    dispositions: dict[str, dict[str, int]] = {}  # those of them on whose cases a desk had said so, by that
    weights_milli: dict[str, int]  # of that champion
    models: tuple[ModelMetrics, ...]
    differences: tuple[ModelDifference, ...]
    grades: tuple[GradeOutcome, ...]
    scores: tuple[ScoreOutcome, ...]
    psi_micro: dict[str, int]  # of the newest month's observations, by indicator id, and of the score
    in_force_id: str = ""  # the model in force as this was published; empty in records of before it was told
    psi_in_force_micro: dict[str, int] = {}  # as psi_micro, against the population of that model; empty: it has none
    moved: tuple[str, ...] = ()  # names of those that are over `[learn] psi_max`
    concept_drift: bool
    drift: tuple[str, ...]  # what is called drift, in words; empty: nothing


HeldCode = Literal[
    "drift", "weight_moved", "grades_changed", "few_labels", "few_bads", "log_loss_worse", "not_scorable"
]


class HeldReason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason for which a person should look at a candidate first. Its sentence is the reader's to make."""

    code: HeldCode
    subject: str = ""  # the indicator whose weight moved, what drifted, or why it cannot be scored with
    value_micro: int | None = None
    limit_micro: int | None = None


class Candidate(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="candidate"):
    """`model.report.v1`, keyed by model_id: a model that learn has made, and what it was compared with.

    Its bytes are on `model.v1` already. Whether it came into force is said by `control.v1` alone.
    """

    model_id: str
    parent_id: str
    month: int  # the last one that it learned, counted from January 1970: the metrics are those of its report
    as_of: int  # end of that month
    kind: Literal["model", "calibration"]  # calibration: in_force_id with probabilities made anew
    status: Literal["proposed", "held"]
    reasons: tuple[HeldReason, ...]  # why it is held
    in_force_id: str  # the model that it was compared with
    moves_scores: bool  # False: it gives every enterprise the score that in_force_id gives, with other probabilities
    labels_count: int
    bad_count: int
    new_labels_count: int  # since the candidate before it
    observed_count: int  # enterprises observed at the month's close
    regraded_count: int | None  # those of them whose grade differs; None where one of the two cannot be scored with
    by: str  # who made it


ModelMessage = MonthReport | Candidate


class ActivationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model.request.v1`, keyed by model_id: learn asks ingest to bring a candidate into force."""

    model_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    decided_offset: Offset  # after the last decision on models in `control.v1` that learn knew of; 0: it knew of none
