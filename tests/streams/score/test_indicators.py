"""Every indicator against the catalogue's formula over the raw events: a naive fold, with dates from the calendar."""

import bisect
import random
import statistics
from collections import Counter, defaultdict
from datetime import timedelta
from functools import cache

import pytest
from msgspec.structs import replace

from config.catalogue import spring_festivals, workdays
from detectors.rules.vocabulary import SLOT_OF
from domain.calendar import DAY_MS, date_of, day_of, day_of_date, day_start_ms
from domain.events import Gov, Instalment, Profile, Tick
from features.indicators import AT_CLOSE, INDICATORS
from features.indicators.nulls import NULL_NAMES
from streams.score.partition import Partition
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import BANK, FIRST_DAY, GATEWAY, loan, no_model, record, said, tick, txn

IN, OUT = ("op_in", "fin_in", "cash_in", "oth_in"), ("op_out", "pay", "tax", "lsv", "cash_out", "oth_out")
OPOUT, NON_OP = ("op_out", "pay", "tax"), ("fin_in", "cash_in", "oth_in")
KINDS = {  # class: what a bank sends
    "op_in": {"direction": "C", "purpose": "sales"},
    "fin_in": {"direction": "C", "purpose": "financing"},
    "cash_in": {"direction": "C", "purpose": "cash"},
    "oth_in": {"direction": "C", "purpose": "refund"},
    "own_in": {"direction": "C", "purpose": "own_transfer"},
    "op_out": {"direction": "D", "purpose": "purchase"},
    "pay": {"direction": "D", "purpose": "payroll", "counterparty_kind": "personal"},
    "tax": {"direction": "D", "purpose": "tax"},
    "lsv": {"direction": "D", "purpose": "loan_repayment"},
    "cash_out": {"direction": "D", "purpose": "cash"},
    "oth_out": {"direction": "D", "purpose": "other", "counterparty_kind": "personal"},
}
OFTEN = {"op_in": 12, "op_out": 6, "oth_out": 2, "lsv": 1, "cash_out": 1, "pay": 1, "tax": 1, "fin_in": 1, "cash_in": 1,
         "oth_in": 1, "own_in": 1}  # fmt: skip
DAYS = 480
TRAITS = {  # of the stories after the first eight, what is unusual in each
    8: {"tiny", "gov"},
    9: {"rare", "no profile", "no service", "unnamed", "owner first", "no dpd"},
    10: {"gaps", "cut", "no service"},
    11: {"nine lenders", "few payers", "small sales", "rare"},
}
STORIES = 8 + len(TRAITS)
HISTORY, NOT_COVERED, SMALL, NOT_REPORTED, STALLED, FESTIVE, NOTHING = (
    "history", "not_covered", "base_too_small", "not_reported", "feed_stalled", "spring_festival", "not_applicable",
)  # fmt: skip
# Why each may be null, beside a value: `null_when` of the catalogue, as this engine names it.
_WINDOW, _RATIO = {HISTORY, NOT_COVERED}, {HISTORY, NOT_COVERED, SMALL}
REASONS_OF = {
    "op_inflow_30d_cny": _WINDOW, "op_inflow_12m_cny": _WINDOW, "net_op_margin_12m_ratio": _RATIO,
    "adb_30d_cny": {HISTORY, NOT_REPORTED}, "bal_min_90d_cny": {HISTORY, NOT_REPORTED},
    "instalment_to_inflow_12m_ratio": {*_RATIO, NOTHING, NOT_REPORTED},
    "sales_routed_12m_ratio": {*_RATIO, NOT_REPORTED},
    "non_op_inflow_share_90d_ratio": _RATIO, "weekly_inflow_cv_13w_ratio": {*_RATIO, FESTIVE},
    "monthly_inflow_cv_12m_ratio": _RATIO, "days_since_op_credit_days": {"never_seen", STALLED},
    "low_balance_days_30d_ratio": {*_RATIO, NOT_REPORTED}, "returned_debits_30d_count": _WINDOW,
    "op_credit_30d_count": _WINDOW, "op_credit_count_60d_vs_prior60d_ratio": _RATIO, "active_days_30d_ratio": _WINDOW,
    "days_since_any_txn_days": {"never_seen", STALLED}, "cash_withdrawal_share_30d_ratio": _RATIO,
    "corp_to_personal_share_30d_ratio": {*_RATIO, NOT_REPORTED}, "op_inflow_30d_vs_prior90d_ratio": _RATIO,
    "op_inflow_13w_vs_prior13w_ratio": _RATIO, "op_inflow_6m_vs_prior6m_ratio": _RATIO,
    "op_inflow_yoy_2m_ratio": _RATIO, "op_inflow_falling_months_count": _WINDOW, "payer_hhi_90d_ratio": {SMALL},
    "payer_top1_share_90d_ratio": {SMALL}, "top3_payer_silence_max_days": {NOTHING, STALLED},
    "payer_tenure_wavg_days": {HISTORY, SMALL}, "runway_30d_days": {*_WINDOW, NOT_REPORTED},
    "bal_to_next_instalment_ratio": {NOTHING, NOT_REPORTED}, "debt_service_to_op_inflow_90d_ratio": _RATIO,
    "dscr_12m_ratio": {*_WINDOW, NOTHING}, "dpd_max_days": {NOTHING, STALLED, NOT_REPORTED},
    "payer_top5_share_90d_ratio": {SMALL}, "weekly_inflow_cv_13w_vs_prior13w_ratio": {*_RATIO, FESTIVE},
    "next_instalment_days": {NOTHING, NOT_REPORTED}, "active_lenders_count": {NOT_REPORTED},
    "judicial_freeze_active_flag": {NOT_REPORTED},
    "ctx.inflow_vs_low_month_ratio": {HISTORY, SMALL},
}  # fmt: skip
CONTEXT = tuple(name for name in REASONS_OF if name.startswith("ctx."))


class Null(Exception):
    """Not computable, or not applicable: its name."""


class Naive:
    """All events of one enterprise."""

    def __init__(self):
        self.fen, self.count, self.payments = defaultdict(int), Counter(), []  # by (class, day); (day, ms, payer, fen)
        self.unrated, self.covered, self.balances = set(), set(), []  # days; (day, fen) in order
        self.covered_up_to = FIRST_DAY - 1
        self.blind = set()  # days of a week after a transaction without a balance
        self.first_day = self.closed_day = self.last_op_in = self.last_txn = None
        self.declared, self.stalled, self.due, self.lines, self.is_open = None, False, [], {}, False
        self.latched = (None, HISTORY)
        self.lenders = 1
        self.flows, self.credits = [], []  # (day, fen, whether named) of transactions with others; of op_in
        self.frozen = self.cut = self.dpd = self.overflow_day = None  # frozen: None while no government fact came

    # windows
    def s(self, classes, first, last):
        return sum(self.fen[c, d] for c in classes for d in range(first, last + 1)) / 100

    def n(self, classes, first, last):
        return sum(self.count[c, d] for c in classes for d in range(first, last + 1))

    def month(self, k, t_day):
        """(first day, last day) of mo(k)."""
        when = date_of(t_day).replace(day=1)
        for _ in range(k):
            last, when = when - timedelta(1), (when - timedelta(1)).replace(day=1)
        return day_of_date(when), day_of_date(last)

    def months(self, classes, first, last, t_day):
        return sum(self.s(classes, *self.month(k, t_day)) for k in range(first, last + 1))

    def week(self, k, t_day):
        monday = t_day - date_of(t_day).weekday() - 7 * k
        return monday, monday + 6

    def snapped(self, days, t_day):
        """s(Wd): the Monday of the week that holds t - W."""
        return t_day - days - date_of(t_day - days).weekday()

    def require(self, days, age, first, last):
        history, enough = self.closed_day - self.first_day + 1, -(-9 * days // 10)
        if history < max(enough, age):
            raise Null(HISTORY)
        if len(self.covered & set(range(self.closed_day - days + 1, self.closed_day + 1))) < enough:
            raise Null(NOT_COVERED)
        if self.unrated & set(range(first, last + 1)):
            raise Null(NOT_COVERED)

    def require_months(self, k, t_day):
        spans = [self.month(i, t_day) for i in range(1, k + 1)]
        whole = [10 * len(self.covered & set(range(a, b + 1))) >= 9 * (b - a + 1) for a, b in spans]
        if not all(whole):
            first, last = spans[-1]
            young = 10 * (last - max(first, self.first_day) + 1) < 9 * (last - first + 1)
            raise Null(HISTORY if young else NOT_COVERED)
        if self.unrated & set(range(spans[-1][0], t_day)):
            raise Null(NOT_COVERED)

    def known(self, first, last):
        """Totals at the end of the known days."""
        days = [day for day, _ in self.balances]
        return [self.balances[bisect.bisect(days, d) - 1][1] / 100 for d in range(first, last + 1)
                if days and d >= days[0] and d not in self.blind]  # fmt: skip


def floor(x, least=1_000):
    """x, unless it is too small to divide by."""
    if x < least:
        raise Null(SMALL)
    return x


# of each indicator: what it is, of the naive state z at t (day: the last one, t_day: the one that holds t)
def op_inflow_30d_cny(z, t, day, t_day):
    z.require(30, 0, day - 29, day)
    return z.s(("op_in",), day - 29, day)


def op_inflow_12m_cny(z, t, day, t_day):
    z.require_months(12, t_day)
    return z.months(("op_in",), 1, 12, t_day)


def net_op_margin_12m_ratio(z, t, day, t_day):
    inflow = floor(op_inflow_12m_cny(z, t, day, t_day))
    return (inflow - z.months(OPOUT, 1, 12, t_day)) / inflow


def adb_30d_cny(z, t, day, t_day):
    totals = z.known(day - 29, day)
    if len(totals) < 24 or day in z.blind:
        raise Null(HISTORY if z.closed_day - z.first_day + 1 < 24 else NOT_REPORTED)
    return statistics.fmean(totals)


def bal_min_90d_cny(z, t, day, t_day):
    adb_30d_cny(z, t, day, t_day)
    return min(z.known(z.snapped(90, z.closed_day + 1), day))


def sales_routed_12m_ratio(z, t, day, t_day):
    inflow = op_inflow_12m_cny(z, t, day, t_day)
    if z.declared is None:
        raise Null(NOT_REPORTED)
    return inflow / floor(z.declared / 100)


def require_90d(z, day, t_day):
    first = z.snapped(90, t_day)
    z.require(90, 60, first, day)
    return first


def non_op_inflow_share_90d_ratio(z, t, day, t_day):
    first = require_90d(z, day, t_day)
    return z.s(NON_OP, first, day) / floor(z.s(IN, first, day))


def cv_of_weeks(z, newest, t_day):
    sums, lived, festivals = [], 0, 0
    for k in range(newest, newest + 13):
        monday, sunday = z.week(k, t_day)
        days = set(range(monday, sunday + 1))
        lived += monday >= z.first_day
        festive = any(f - 15 <= d < f + 20 for f in spring_festivals() for d in (monday, sunday))
        festivals += festive
        if not festive and days <= z.covered and not days & z.unrated:
            sums.append(z.s(("op_in",), monday, sunday))
    if len(sums) < 10:
        raise Null(HISTORY if lived < 10 else FESTIVE if len(sums) + festivals >= 10 else NOT_COVERED)
    return statistics.stdev(sums) / floor(statistics.fmean(sums))


def weekly_inflow_cv_13w_ratio(z, t, day, t_day):
    return cv_of_weeks(z, 1, t_day)


def weekly_inflow_cv_13w_vs_prior13w_ratio(z, t, day, t_day):
    return cv_of_weeks(z, 1, t_day) / floor(cv_of_weeks(z, 14, t_day), 0.05) - 1


def monthly_inflow_cv_12m_ratio(z, t, day, t_day):
    z.require_months(12, t_day)
    ys = {k: z.s(("op_in",), *z.month(k, t_day)) for k in range(1, 13)}
    winter = [k for k in ys if date_of(z.month(k, t_day)[0]).month <= 2]
    pooled = statistics.fmean(ys[k] for k in winter)
    values = [pooled if k in winter else y for k, y in ys.items()]
    return statistics.stdev(values) / floor(statistics.fmean(values))


def since(z, t, last):
    if last is None:
        raise Null("never_seen")
    if z.stalled:
        raise Null(STALLED)
    return (t - last) / DAY_MS


def days_since_op_credit_days(z, t, day, t_day):
    return since(z, t, z.last_op_in)


def days_since_any_txn_days(z, t, day, t_day):
    return since(z, t, z.last_txn)


def low_balance_days_30d_ratio(z, t, day, t_day):
    totals = z.known(day - 29, day)
    if len(totals) < 24:
        raise Null(HISTORY if z.closed_day - z.first_day + 1 < 24 else NOT_REPORTED)
    if z.unrated & set(range(day - 29, day + 1)):
        raise Null(NOT_COVERED)
    outflow = floor(z.s(OUT, day - 29, day))
    return sum(total < 3 * outflow / 30 for total in totals) / len(totals)


def returned_debits_30d_count(z, t, day, t_day):
    z.require(30, 0, day - 29, day)
    return z.n(("ret_d",), day - 29, day)


def op_credit_30d_count(z, t, day, t_day):
    z.require(30, 0, day - 29, day)
    return z.n(("op_in",), day - 29, day)


def op_credit_count_60d_vs_prior60d_ratio(z, t, day, t_day):
    old, new = z.snapped(120, t_day), z.snapped(60, t_day)
    z.require(120, 120, old, day)
    prior = floor(z.n(("op_in",), old, new - 1), 8) / (new - old)
    return z.n(("op_in",), new, day) / (day + 1 - new) / prior - 1


@cache
def is_worked(day):
    return workdays().get(day, date_of(day).weekday() < 5)


def active_days_30d_ratio(z, t, day, t_day):
    z.require(30, 0, day - 29, day)
    window = range(day - 29, day + 1)
    worked = [d for d in window if is_worked(d)]
    counted = {next((w for w in worked if w >= d), None) for d in window if z.n((*IN, *OUT), d, d)} - {None}
    return len(counted) / len(worked)


def outflow_30d(z, day):
    z.require(30, 0, day - 29, day)
    return floor(z.s(OUT, day - 29, day))


def cash_withdrawal_share_30d_ratio(z, t, day, t_day):
    return z.s(("cash_out",), day - 29, day) / outflow_30d(z, day)


def corp_to_personal_share_30d_ratio(z, t, day, t_day):
    outflow = outflow_30d(z, day)
    weights = [(2.0 ** ((d - day) / 90), fen, named) for d, fen, named in z.flows]
    unnamed = sum(w * fen for w, fen, named in weights if not named)
    if sum(w for w, *_ in weights) >= 20 and unnamed > 0.5 * sum(w * fen for w, fen, _ in weights):
        raise Null(NOT_REPORTED)
    return z.s(("oth_out",), day - 29, day) / outflow


def op_inflow_30d_vs_prior90d_ratio(z, t, day, t_day):
    first = z.snapped(120, t_day)
    z.require(120, 120, first, day)
    prior = floor(z.s(("op_in",), first, day - 30) / (day - 29 - first), 100)
    return z.s(("op_in",), day - 29, day) / 30 / prior - 1


def op_inflow_13w_vs_prior13w_ratio(z, t, day, t_day):
    z.require(180, 182, z.week(26, t_day)[0], day)
    halves = [sum(z.s(("op_in",), *z.week(k, t_day)) for k in ks) for ks in (range(1, 14), range(14, 27))]
    return halves[0] / floor(halves[1]) - 1


def op_inflow_6m_vs_prior6m_ratio(z, t, day, t_day):
    z.require_months(12, t_day)
    return z.months(("op_in",), 1, 6, t_day) / floor(z.months(("op_in",), 7, 12, t_day)) - 1


def inflow_vs_low_month_ratio(z, t, day, t_day):
    try:
        z.require_months(9, t_day)
    except Null:
        raise Null(HISTORY) from None
    covered = 9
    for months in (10, 11, 12):
        first, last = z.month(months, t_day)
        if covered < months - 1 or 10 * len(z.covered & set(range(first, last + 1))) < 9 * (last - first + 1):
            break
        covered = months
    low = floor(sorted(z.months(("op_in",), k, k, t_day) for k in range(1, covered + 1))[1])
    return op_inflow_30d_cny(z, t, day, t_day) / low - 1


def op_inflow_yoy_2m_ratio(z, t, day, t_day):
    ended = date_of(day)
    if (ended + timedelta(1)).day == 1 and ended.month not in (1, 3):
        try:
            z.require_months(14, t_day)
            z.latched = z.months(("op_in",), 1, 2, t_day) / floor(z.months(("op_in",), 13, 14, t_day)) - 1, ""
        except Null as null:
            if z.latched[1] not in ("", SMALL) or str(null) == SMALL:
                z.latched = None, str(null)
    if z.latched[1]:
        raise Null(z.latched[1])
    return z.latched[0]


def op_inflow_falling_months_count(z, t, day, t_day):
    z.require_months(4, t_day)
    steps, k = [], 1
    if date_of(z.month(1, t_day)[0]).month == 1:
        k = 2
    while k <= 12:
        pair = (k, k + 1) if date_of(z.month(k, t_day)[0]).month == 2 else (k,)
        first, last = z.month(pair[-1], t_day)[0], z.month(k, t_day)[1]
        covered = all(10 * len(z.covered & set(range(a, b + 1))) >= 9 * (b - a + 1)
                      for a, b in (z.month(i, t_day) for i in pair))  # fmt: skip
        if pair[-1] > 12 or not covered or z.unrated & set(range(first, last + 1)):
            break
        steps.append(z.s(("op_in",), first, last) / len(pair))
        k += len(pair)
    falling = 0
    while falling + 1 < len(steps) and steps[falling] < steps[falling + 1]:
        falling += 1
    return min(falling, 11)


def shares(z, half_life):
    weights = defaultdict(float)
    for day, _, payer, fen in z.payments:
        weights[payer] += fen * 2.0 ** ((day - FIRST_DAY) / half_life)
    return {payer: weight / sum(weights.values()) for payer, weight in weights.items()}


def concentration(z, day):
    weights = [(2.0 ** ((d - day) / 90), fen, named) for d, fen, named in z.credits]
    named = sum(w * fen for w, fen, named in weights if named)
    if sum(w for w, *_ in weights) < 10 or named < 0.5 * sum(w * fen for w, fen, _ in weights):
        raise Null(SMALL)
    return sorted(shares(z, 90).values(), reverse=True)


def payer_hhi_90d_ratio(z, t, day, t_day):
    return sum(p * p for p in concentration(z, day))


def payer_top1_share_90d_ratio(z, t, day, t_day):
    return concentration(z, day)[0]


def payer_top5_share_90d_ratio(z, t, day, t_day):
    return sum(concentration(z, day)[:5])


def times_of(z, payer):
    return sorted(ms // 1_000 for _, ms, who, _ in z.payments if who == payer)


def top3_payer_silence_max_days(z, t, day, t_day):
    slow = shares(z, 180)
    silences = []
    for payer in sorted(slow, key=slow.get, reverse=True)[:3]:
        times = times_of(z, payer)
        if slow[payer] >= 0.1 and len(times) >= 3:
            interval = (times[-1] - times[0]) / (len(times) - 1) / 86_400
            silences.append(max(0, (t - times[-1] * 1_000) / DAY_MS - interval))
    if not silences:
        raise Null(NOTHING)
    if z.stalled:
        raise Null(STALLED)
    return max(silences)


def payer_tenure_wavg_days(z, t, day, t_day):
    if z.closed_day - z.first_day + 1 < 180:
        raise Null(HISTORY)
    weights = shares(z, 90)
    if len(weights) < 3:
        raise Null(SMALL)
    return sum(w * min((t - times_of(z, who)[0] * 1_000) / DAY_MS, 730) for who, w in weights.items())


def balance_now(z, day):
    totals = z.known(day - 2, day)
    if not totals or day in z.blind:
        raise Null(NOT_REPORTED)
    return statistics.fmean(totals)


def runway_30d_days(z, t, day, t_day):
    z.require(30, 0, day - 29, day)
    now = balance_now(z, day)
    burn = z.s((*OPOUT, "lsv"), day - 29, day) - z.s(("op_in",), day - 29, day)
    return 365 if burn <= 0 else min(365, now / (burn / 30))


def next_line(z, t_day):
    ahead = {day: fen for day, fen in z.lines.items() if day >= t_day}
    if z.is_open and z.cut and not z.lines:
        raise Null(NOT_REPORTED)
    if not z.is_open or not ahead:
        raise Null(NOTHING)
    return min(ahead), ahead[min(ahead)]


def next_instalment_days(z, t, day, t_day):
    return max(0, day_start_ms(next_line(z, t_day)[0]) - t) / DAY_MS


def bal_to_next_instalment_ratio(z, t, day, t_day):
    due = next_line(z, t_day)[1]
    return balance_now(z, day) / (due / 100)


def instalment_to_inflow_12m_ratio(z, t, day, t_day):
    if z.is_open and misses_a_lender(z, t_day):
        raise Null(NOT_REPORTED)
    next_day, fen = next_line(z, t_day)
    near = [due for when, due in z.lines.items() if t_day <= when < t_day + 28]
    month_cny = (sum(near) if near else fen / max(1, (next_day - t_day) / 31)) / 100
    return month_cny / floor(income_of_a_month(z, z.closed_day, z.closed_day + 1))


def income_of_a_month(z, last, t_day):
    if last - z.first_day + 1 < 90:
        raise Null(HISTORY)
    require_90d(z, last, t_day)
    begin = max(z.first_day, z.month(12, t_day)[0])
    for first, end in (z.month(k, t_day) for k in range(12, 0, -1)):
        if first >= begin and 10 * len(z.covered & set(range(first, end + 1))) < 9 * (end - first + 1):
            begin = end + 1
    if t_day - begin < 90:
        raise Null(NOT_COVERED)
    if z.unrated & set(range(begin, t_day)):
        raise Null(NOT_COVERED)
    fen = sum(z.fen[c, d] for c in ("op_in", "cash_in", "oth_in") for d in range(begin, t_day))
    return int(fen / (t_day - begin) * 30.4375) / 100


def debt_service_to_op_inflow_90d_ratio(z, t, day, t_day):
    first = require_90d(z, day, t_day)
    return z.s(("lsv",), first, day) / floor(z.s(("op_in",), first, day))


def dscr_12m_ratio(z, t, day, t_day):
    z.require_months(12, t_day)
    served = z.months(("lsv",), 1, 12, t_day)
    if served < 1_000:
        raise Null(NOTHING)
    return (z.months(("op_in",), 1, 12, t_day) - z.months(OPOUT, 1, 12, t_day)) / served


def dpd_max_days(z, t, day, t_day):
    if not z.is_open:
        raise Null(NOTHING)
    if z.stalled:
        raise Null(STALLED)
    if z.dpd is None:
        raise Null(NOT_REPORTED)
    return z.dpd


def active_lenders_count(z, t, day, t_day):
    if misses_a_lender(z, t_day):
        raise Null(NOT_REPORTED)
    return z.lenders if z.is_open else 0


def misses_a_lender(z, t_day):
    """A ninth lender finds no place: for 90 days after its last fact it counts as missing."""
    return z.overflow_day is not None and t_day - z.overflow_day < 90


def judicial_freeze_active_flag(z, t, day, t_day):
    if z.frozen is None:
        raise Null(NOT_REPORTED)
    return int(z.frozen)


def expected(z, t, names):
    """name -> (value or None, null name)."""
    day, found = day_of(t - 1), {}
    for name in names:
        try:
            found[name] = globals()[name.removeprefix("ctx.")](z, t, day, day_of(t)), ""
        except Null as null:
            found[name] = None, str(null)
    return found


class Story:
    """The events of one enterprise, each with its effect on the naive state."""

    def __init__(self, seed):
        self.rnd, self.z = random.Random(seed), Naive()
        self.traits = TRAITS.get(seed, set())
        self.reports, self.payers = seed % 3 != 0, 2 if "few payers" in self.traits else 2 + seed % 9
        # Days of silence, which close by their deadline alone; those of the last week are covered once it is over.
        self.out = set(range(250, 263) if seed % 2 and not self.traits else ())
        if "gaps" in self.traits:
            self.out |= {day for day in range(DAYS) if 2 <= day % 20 < 12}
        self.often = {kind: n for kind, n in OFTEN.items() if kind != "lsv" or "no service" not in self.traits}
        self.dollars = 330 if seed % 4 == 1 and not self.traits else None
        self.balance, self.number = 10**9, 0

    def day(self, day):
        """The events of a day, and its tick."""
        rnd, z = self.rnd, self.z
        if day == 3 and "no profile" not in self.traits:
            yield self._profile()
        if day in (50, 100, 150) and "gov" in self.traits:
            yield self._gov(day)
        if day == 5:
            yield from self._borrow(day)
        elif day > 35 and (day - 5) % 30 == 0 and z.lines:
            z.lines.pop(min(z.lines))
            yield self._loan(day, "repaid")
        quiet = 0.15 if 200 < day < 240 or "rare" in self.traits else 0.6
        for ms in sorted(rnd.randrange(9 * 3_600_000, 20 * 3_600_000) for _ in range(3)):
            if rnd.random() < quiet or day == 0:
                yield self._txn(day, ms)
        z.stalled = 400 <= day < 403
        z.closed_day = FIRST_DAY + day
        if day not in self.out:
            z.covered_up_to = z.closed_day
        z.covered |= set(range(max(z.first_day, z.closed_day - 6), z.covered_up_to + 1))
        yield self._tick(day)

    def _tick(self, day):
        event = tick(day, stalled=self.z.stalled)
        feeds = {bank: replace(feed, covered_up_to=self.z.covered_up_to) for bank, feed in event.feeds.items()}
        return Tick(up_to=event.up_to, feeds=feeds)

    def _txn(self, day, ms):
        rnd, z = self.rnd, self.z
        kind = rnd.choices(list(self.often), list(self.often.values()))[0]
        if "owner first" in self.traits and day < 4:
            kind = "own_in"
        when, fen = FIRST_DAY + day, rnd.randrange(1, 60) if "tiny" in self.traits else rnd.randrange(10**5, 10**7)
        who = f"p{min(rnd.randrange(self.payers), rnd.randrange(self.payers))}"
        if "unnamed" in self.traits and rnd.random() < 0.8:
            who = None
        self.number += 1
        self.balance += fen if KINDS[kind]["direction"] == "C" else -fen
        at = day_start_ms(when) + ms
        z.first_day = when if z.first_day is None else z.first_day
        if day == self.dollars:
            z.unrated.add(when)
            z.blind |= set(range(when, when + 7))
        else:
            z.fen[kind, when] += fen
            z.count[kind, when] += 1
            if kind != "own_in":
                z.flows.append((when, fen, who is not None))
            if kind == "op_in":
                z.credits.append((when, fen, who is not None))
            if kind == "op_in" and who is not None:
                z.payments.append((when, at, who, fen))
        if kind != "own_in":
            z.last_txn = at
        if kind == "op_in":
            z.last_op_in = at
        if self.reports and day != self.dollars:
            z.balances.append((when, self.balance))
        balance = self.balance if self.reports else None
        event = txn(f"t{self.number}", "E1", day, ms, fen, counterparty_id=who, balance_minor=balance, **KINDS[kind])
        return event if day != self.dollars else replace(event, currency="USD")

    def _profile(self):
        self.z.declared = 99_999 if "small sales" in self.traits else 5 * 10**9
        return Profile(
            event_id="profile", bank_id=GATEWAY, enterprise_id="E1", event_time=day_start_ms(FIRST_DAY + 3),
            industry="C", region="450100", size_class="small", declared_annual_sales_minor=self.z.declared,
        )  # fmt: skip

    def _gov(self, day):
        event = {50: "fact", 100: "judicial_freeze", 150: "judicial_release"}[day]
        self.z.frozen = event == "judicial_freeze"
        time_ms = day_start_ms(FIRST_DAY + day)
        return Gov(event_id=event, bank_id=GATEWAY, enterprise_id="E1", event_time=time_ms, event=event, source="court")

    def _borrow(self, day):
        """Borrow by schedule, by the next line alone, or from nine banks."""
        z = self.z
        z.is_open, z.dpd = True, None if "no dpd" in self.traits else 0
        if "nine lenders" in self.traits:
            z.lenders, z.overflow_day = 8, FIRST_DAY + day
            for number in range(9):
                bank_id = f"C10{number + 1}0211000012" if number else BANK
                yield self._loan(day, "granted", loan_id=f"L{number}", bank_id=bank_id)
        elif "cut" in self.traits:
            z.cut, z.lines = True, {FIRST_DAY + 40: 10**7}
            yield self._loan(day, "instalment_due", due_on=f"{date_of(FIRST_DAY + 40)}", due_minor=10**7)
        else:
            z.lines = {FIRST_DAY + day + 30 * i: 10**7 for i in range(1, 10)}
            schedule = tuple(Instalment(due_on=f"{date_of(d)}", due_minor=fen) for d, fen in z.lines.items())
            # a grant says that nothing is past due yet
            yield self._loan(day, "drawn" if z.dpd is None else "granted", schedule=schedule)

    def _loan(self, day, event, **fields):
        return loan(f"l{day}{fields.get('loan_id')}", "E1", day, event, dpd=self.z.dpd, **fields)


def rated(event):
    """Return a record; one in dollars has no rate."""
    row = record(event)
    if getattr(event, "currency", "CNY") == "CNY":
        return row
    return row[0], row[1].replace(f',"amount_cny_minor":{event.amount_minor}'.encode(), b""), *row[2:]


@cache
def compared(number):
    """Run a story and compare at some of its moments; the (indicator, null name) that it came to."""
    story, partition = Story(number), Partition(0, no_model)
    rnd, offset, kept, reached = random.Random(number), 0, {}, set()
    for day in range(DAYS):
        month_ends = date_of(FIRST_DAY + day + 1).day == 1
        for event in story.day(day):
            list(said(partition, chunk_of("events.v1", 0, offset, [rated(event)])))
            offset += 1
            is_close = isinstance(event, Tick)
            x = partition._book.draft[0]
            if is_close and (month_ends or rnd.random() < 0.1):
                kept = expected(story.z, int(x["as_of_ms"]), (*AT_CLOSE, *CONTEXT))
            elif not is_close and rnd.random() < 0.03:
                kept = {}
            else:
                continue
            now = expected(story.z, int(x["as_of_ms"]), [name for name in INDICATORS if name not in AT_CLOSE])
            for name, (value, null) in {**now, **kept}.items():
                slot = SLOT_OF[name]
                assert NULL_NAMES[x["null"][slot]] == null, (name, day, is_close)
                reached.add((name, null))
                if value is not None:
                    assert x["value"][slot] == pytest.approx(value, rel=1e-9, abs=1e-9), (name, day, is_close)
    return reached


@pytest.mark.parametrize("number", range(STORIES))
def test_values_and_nulls_are_those_of_the_catalogues_formulas(number):
    assert {name for name, _ in compared(number)} == set(REASONS_OF)


def test_each_indicator_has_had_a_value_and_been_null_for_each_of_its_reasons():
    reached = set().union(*(compared(number) for number in range(STORIES)))
    lacking = {(name, null) for name in REASONS_OF for null in {*REASONS_OF[name], ""}} - reached
    assert not lacking
