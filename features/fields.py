"""The fields of one enterprise, each with its part of the value and its meaning.

Units are in the text. A day, week or month is its number (domain/calendar.py); NO_UNIT is none. A field that a
structure of state/ owns is explained there.
"""

from typing import NamedTuple

from domain.ids import ENTERPRISE_ID_BYTES_MAX
from features.indicators import AT_CLOSE, CORE_COUNT
from features.indicators.nulls import SHORT_HISTORY
from features.indicators.windows import PAST_SUMS
from features.state import case_views, coverage, dispositions, held, past_scores, seen
from features.state.balances import ACCOUNTS, LOW_WEEKS
from features.state.balances import DAYS as BALANCE_DAYS
from features.state.buckets import DAYS, MONTHS, NO_PAST, NO_UNIT, WEEKS
from features.state.classes import AMOUNTS, COUNTS
from features.state.instalments import LINES
from features.state.loan_table import LOAN_PLACES, LOAN_SLOTS
from features.state.loans import BANK_SLOTS
from features.state.parts import COLD, HOT
from features.state.payers import PLACES


class Field(NamedTuple):
    """One field of a row: little-endian dtype, shape, HOT or COLD (state/parts.py), and its meaning, with its unit."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    part: int
    meaning: str


UTILITY_PPM_MOST = 1_000_000  # as if it had been computable and best: then the level of the null is what counts
EPISODES_MAX = 32  # open at a time or ended a short time ago, of all signals and lenders
INPUTS_MAX, LENDER_INPUTS_MAX = 96, 24  # that signals read; that speak of one lender's loans alone
FIELDS: tuple[Field, ...] = (
    Field("id", "<u8", (ENTERPRISE_ID_BYTES_MAX // 8,), HOT, "the enterprise's id, UTF-8, padded with NUL"),
    # what the value holds: offset of the newest record, and how the records ended (contract 9)
    Field("applied_offset", "<i8", (), HOT, "offset of the newest record that the value holds; -1: none"),
    Field("applied_count", "<i8", (), HOT, "records that changed the state"),
    Field("duplicate_count", "<i8", (), HOT, "records that were repeats of one applied"),
    Field("conflict_count", "<i8", (), HOT, "records whose event id had come with another body"),
    Field("late_count", "<i8", (), HOT, "records older than the allowed lateness"),
    Field("refused_count", "<i8", (), HOT, "actions on cases that were refused"),
    Field("cold_day", "<i4", (), HOT, "last closed day when the cold part last changed"),
    Field("cold_first", "<i4", (), HOT, "first day whose event ids were kept then"),
    # time
    Field("newest_ms", "<i8", (), HOT, "newest event time, ms; -1: none"),
    Field("first_day", "<i4", (), HOT, "day of the first transaction"),
    Field("begun_day", "<i4", (), HOT, "first day that closes, where days do before a transaction comes"),
    Field("closed_day", "<i4", (), HOT, "last closed day"),
    Field("last_op_in_ms", "<i8", (), HOT, "time of the newest operating credit, ms; -1: none"),
    Field("txn_count", "<i8", (), HOT, "transactions booked, less those returned or reversed"),
    Field("last_txn_ms", "<i8", (), HOT, "time of the newest transaction with others, ms; -1: none"),
    # which days and months were covered
    Field(
        "covered",
        "<u8",
        (coverage.DAYS_MAX // 64,),
        HOT,
        "bit i: the i-th last closed day was covered",
    ),
    Field(
        "covered_days",
        "<i2",
        (len(coverage.WINDOWS),),
        HOT,
        "covered among the last 30, 35, 90, 120, 180 days",
    ),
    Field("covered_months", "<u4", (), HOT, "bit i: whether the i-th last complete month was covered"),
    Field("unrated_day", "<i4", (), HOT, "newest day of an amount without a rate"),
    # calendar buckets
    Field("day_newest", "<i4", (), HOT, "newest day of the day ring; it holds 35 with it"),
    Field("day_amount", "<i8", (len(AMOUNTS), DAYS), HOT, "fen by column (AMOUNTS) and day (day mod 35)"),
    Field("day_count", "<i4", (len(COUNTS), DAYS), HOT, "transactions by column (COUNTS) and day (day mod 35)"),
    Field("week_newest", "<i4", (), COLD, "newest ISO week of the week ring; it holds 27 with it"),
    Field("week_amount", "<i8", (len(AMOUNTS), WEEKS), COLD, "fen of closed days by column and week (week mod 27)"),
    Field("week_count", "<i4", (len(COUNTS), WEEKS), COLD, "transactions of closed days by column and week"),
    Field("month_newest", "<i4", (), COLD, "newest month of the month ring; it holds 14 with it"),
    Field("month_amount", "<i8", (len(AMOUNTS), MONTHS), COLD, "fen of closed days by column and month (month mod 14)"),
    Field("month_count", "<i4", (len(COUNTS), MONTHS), COLD, "transactions of closed days by column and month"),
    # payers
    Field("payer", "<u8", (PLACES,), HOT, "hashes of the heaviest payers; 0: free"),
    Field("payer_weight", "<f8", (PLACES,), HOT, "forward-decayed fen, half-life 90 days"),
    Field("payer_slow", "<f8", (PLACES,), HOT, "forward-decayed fen, half-life 180 days"),
    Field("payer_count", "<i4", (PLACES,), HOT, "operating credits of the payer, returned ones taken out"),
    Field("payer_first", "<u4", (PLACES,), HOT, "time of its first credit, s"),
    Field("payer_last", "<u4", (PLACES,), HOT, "time of its newest credit, s"),
    Field("payer_named", "<f8", (), HOT, "forward-decayed operating inflow with a known payer, fen"),
    Field("payer_named_slow", "<f8", (), HOT, "the same at a half-life of 180 days"),
    Field("payer_all", "<f8", (), HOT, "forward-decayed operating inflow, fen"),
    Field("payer_credits", "<f8", (), HOT, "forward-decayed number of operating credits"),
    Field("flow_all", "<f8", (), HOT, "forward-decayed IN + OUT of all banks, fen"),
    Field("flow_unnamed", "<f8", (), HOT, "of which the counterparty is not named, fen"),
    Field("flow_count", "<f8", (), HOT, "forward-decayed number of transactions with others"),
    # balances
    Field("account", "<u8", (ACCOUNTS,), HOT, "hashes of bank and account; 0: free"),
    Field("account_fen", "<i8", (ACCOUNTS,), HOT, "newest balance of the account, fen"),
    Field("account_ms", "<i8", (ACCOUNTS,), HOT, "its time, ms"),
    Field("account_overflow_day", "<i4", (), HOT, "newest day of a balance that found no place"),
    Field("balance_first_day", "<i4", (), HOT, "first day of a balance"),
    Field("balance_day", "<i4", (), HOT, "newest day of a balance"),
    Field("balance_eod", "<i8", (BALANCE_DAYS,), HOT, "fen on all accounts at the end of the day (day mod 35)"),
    Field("balance_known", "<u8", (), HOT, "bit i: whether the balance of the i-th last closed day is known"),
    Field("low_week", "<i4", (), COLD, "newest week of the lowest balances; they hold 12 with it"),
    Field("low_known", "<u2", (), COLD, "bit week mod 12: the week has one"),
    Field("low_fen", "<i8", (LOW_WEEKS,), COLD, "lowest known balance of the week (week mod 12), fen"),
    Field("low_90d_known", "|u1", (), HOT, "1: as of the last close, a week of 90 days has one"),
    Field("low_90d_fen", "<i8", (), HOT, "the lowest of them, fen"),
    Field("balance_last_day", "<i4", (BANK_SLOTS,), HOT, "newest day of a transaction of the bank with a balance"),
    Field("balance_blind_day", "<i4", (BANK_SLOTS,), HOT, "newest day of one without"),
    Field("unplaced_day", "<i4", (), HOT, "newest day of a transaction of a bank that has no slot"),
    # lenders
    Field("bank", "<i8", (BANK_SLOTS,), HOT, "bank codes as numbers; 0: free"),
    Field("bank_flow", "<f8", (BANK_SLOTS,), HOT, "forward-decayed IN + OUT, fen"),
    Field("bank_overflow", "<i4", (), HOT, "events of banks that found no slot"),
    Field("authorization_from", "<i8", (BANK_SLOTS, 2), HOT, "begin of two stretches of consent, ms"),
    Field("authorization_to", "<i8", (BANK_SLOTS, 2), HOT, "end of two stretches of consent, ms"),
    Field("authorization_ms", "<i8", (BANK_SLOTS,), HOT, "time of the newest word on consent, ms; -1: none"),
    Field("loan", "<u8", (LOAN_SLOTS, 4), HOT, "loan ids, UTF-8, padded with NUL"),
    Field("loan_hash", "<u8", (LOAN_PLACES - LOAN_SLOTS,), HOT, "hashes of the ids of loans beside the slots"),
    Field("loans_beside", "|u1", (), HOT, "places beside the slots that ever held a loan"),
    Field("loan_bank", "|i1", (LOAN_PLACES,), HOT, "slot of the lender; -1: none"),
    Field("loan_open", "|u1", (LOAN_PLACES,), HOT, "1: open"),
    Field("loan_ms", "<i8", (LOAN_PLACES,), HOT, "time of the newest fact, ms; -1: none"),
    Field("loan_outstanding", "<i8", (LOAN_PLACES,), HOT, "outstanding, fen"),
    Field("loan_limit", "<i8", (LOAN_PLACES,), HOT, "limit, fen"),
    Field("loan_revolving", "|u1", (LOAN_PLACES,), HOT, "1: revolving"),
    Field("loan_dpd", "<i4", (LOAN_PLACES,), HOT, "days past due as the lender last reported; -1: not reported"),
    Field("loan_dpd_day", "<i4", (LOAN_PLACES,), HOT, "the day that it was reported for"),
    Field("loan_dpd_more", "<i4", (LOAN_PLACES,), HOT, "days past due since, as the lender's receipts let them run on"),
    Field("loan_due_day", "<i4", (LOAN_PLACES,), HOT, "day of maturity; 0: not reported"),
    Field("loan_class", "|u1", (LOAN_PLACES,), HOT, "five-class, 1 (正常) to 5; 0: not reported"),
    Field("loan_guarantee", "|u1", (LOAN_PLACES,), HOT, "kind of guarantee, 1 (信用) to 4; 0: not reported"),
    Field("loan_scheduled", "|u1", (LOAN_PLACES,), COLD, "what is known of the loan's schedule (state/instalments.py)"),
    Field("due_count", "<i4", (), COLD, "unpaid instalments"),
    Field("due_day", "<i4", (LINES,), COLD, "day on which one falls due"),
    Field("due_fen", "<i8", (LINES,), COLD, "what falls due, fen"),
    Field("due_loan", "|i1", (LINES,), COLD, "place of its loan"),
    Field("lent_day", "<i4", (), HOT, "newest day of a grant, draw or renewal"),
    Field("loan_overflow", "<i4", (), HOT, "facts on open loans that found no place, and loans that lost theirs"),
    Field("lender_overflow_day", "<i4", (), HOT, "newest day of a fact on an open loan of a bank without a slot"),
    Field("loan_overflow_day", "<i4", (), HOT, "newest day that loan_overflow rose"),
    Field("arrears_overflow_dpd", "<i4", (), HOT, "days past due of the loan longest past due that it counts"),
    Field("arrears_overflow_day", "<i4", (), HOT, "the day that they were reported for"),
    Field("dpd_latched", "<i4", (), HOT, "the last known maximum, for the cap while it is not reported"),
    Field("lenders", "|u1", (), HOT, "bit b: signals are followed for the lender in bank slot b"),
    Field("eligible", "|u1", (), HOT, "bit b: that bank lent and had consent when last looked at"),
    Field("eligible_until", "<i8", (), HOT, "the first consent of them ends, ms; -1: none of them"),
    Field("banks_stalled", "|u1", (), HOT, "bit b: at the last close, the feed of that bank was stalled"),
    Field("elsewhere_revision", "<u2", (BANK_SLOTS,), HOT, "notices of other lenders' episodes due to the bank so far"),
    Field("frozen", "|u1", (), HOT, "1: a judicial freeze in force"),
    Field("frozen_ms", "<i8", (), HOT, "time of the newest word on a freeze, ms; -1: none"),
    Field("gov_ms", "<i8", (), HOT, "time of the newest government event, ms; -1: none"),
    Field("profile_ms", "<i8", (), COLD, "time of the newest master record, ms; -1: none"),
    Field("declared_sales_fen", "<i8", (), COLD, "declared sales of a year, fen; -1: not declared"),
    Field("stalled", "|u1", (), HOT, "1: at the newest tick, the feed of a main bank was stalled"),
    Field("loan_stalled", "|u1", (), HOT, "1: at the newest tick, the feed of a lender was stalled"),
    # score, as of the newest evaluation, and as last emitted
    Field("close_value", "<f8", (len(AT_CLOSE),), HOT, "value of each indicator that closes alone move; 0: null"),
    Field("close_null", "|u1", (len(AT_CLOSE),), HOT, "and why it has none (features/indicators/nulls.py)"),
    Field("low_month_fen", "<i8", (), HOT, "second lowest operating inflow of twelve months, fen; -1: not known"),
    Field(
        "income_month_fen", "<i8", (), HOT, "mean inflow of a month without loans, fen; below 100,000: its null code"
    ),
    Field(
        "utility_ppm",
        "<i4",
        (CORE_COUNT,),
        HOT,
        "last computable utility of each core indicator; 1,000,000: none so far",
    ),
    Field("score_milli", "<i4", (), HOT, "score in millipoints, as of the newest evaluation"),
    Field("emitted_milli", "<i4", (), HOT, "score as last emitted, millipoints; -1: never"),
    Field("emitted_shape", "<u8", (), HOT, "status, grades and order of reasons as last emitted, packed"),
    Field("published_grade", "|i1", (), HOT, "grade as published, 0 = A; -1: none"),
    Field("closes_over_band", "|u1", (), HOT, "closes that the score has been past the published grade's band"),
    # what rules ask beside indicators
    Field("seen_day", "<u2", (seen.PLACES,), HOT, "newest day of each kind of event (state/seen.py); 0: never"),
    Field(
        "loan_seen_day",
        "<u2",
        (BANK_SLOTS, seen.LOAN_COUNT),
        HOT,
        "newest day of each loan event of the bank; 0: never",
    ),
    Field(
        "past_score",
        "<i2",
        (past_scores.KEPT,),
        HOT,
        "displayed score * 8 + grade published at the day's close (day mod 30); -1: none",
    ),
    # episodes (detectors/episodes.py)
    Field("episodes_open", "|u1", (), HOT, "open episodes: they stand first"),
    Field("episodes_recent", "|u1", (), HOT, "then those that ended within the cooldown"),
    Field("episode_overflow", "<i4", (), HOT, "times that an episode found no place"),
    Field("cooldown_overflow", "<i4", (), HOT, "episodes that were forgotten before their cooldown was over"),
    Field("episode_lacking", "|u1", (), HOT, "1: at the last evaluation one did; the next one is of all signals"),
    Field("case_key", "<u8", (BANK_SLOTS + 1,), HOT, "hash of the case of each bank and the supervisor; 0: none"),
    Field("case_level", "|u1", (BANK_SLOTS + 1,), HOT, "its level: 1 yellow, 2 orange, 3 red; 0: no case"),
    Field("case_below_closes", "|u1", (BANK_SLOTS + 1,), HOT, "closes in a row at which the claim was below it"),
    Field("episode_key", "<u8", (EPISODES_MAX,), HOT, "hash of the signal"),
    Field("episode_bank", "|i1", (EPISODES_MAX,), HOT, "slot of the lender that it is about; -1: every bank"),
    Field("episode_level", "|u1", (EPISODES_MAX,), HOT, "1 yellow, 2 orange, 3 red"),
    Field("episode_stale", "|u1", (EPISODES_MAX,), HOT, "1: open, and its signal cannot be told"),
    Field("episode_waits", "|u1", (EPISODES_MAX,), HOT, "1: no level is true, it waits for its hysteresis"),
    Field("episode_opened_ms", "<i8", (EPISODES_MAX,), HOT, "the enterprise's time when it was raised, ms"),
    Field("episode_opened_offset", "<i8", (EPISODES_MAX,), HOT, "offset of the record that raised it"),
    Field("episode_since_ms", "<i8", (EPISODES_MAX,), COLD, "event time of that record, or of the close, ms"),
    Field("episode_revision", "<i4", (EPISODES_MAX,), HOT, "number of the newest revision"),
    Field("episode_false_closes", "|u1", (EPISODES_MAX,), HOT, "closes that its level was false, or since its end"),
    Field("episode_held_closes", "<u2", (EPISODES_MAX,), HOT, "closes in a row at which its hysteresis held"),
    # a bank's case, from its opening until it is disposed of (detectors/case_life.py)
    Field("life_key", "<u8", (BANK_SLOTS,), HOT, "case_key of the case that it is of; 0: none"),
    Field("life_stage", "|u1", (BANK_SLOTS,), HOT, "0 none, 1 awaiting, 2 signed, 3 checking, 4 in review, 5 closed"),
    Field("life_disposition", "|u1", (BANK_SLOTS,), HOT, "as submitted; 0: none"),
    Field("life_level", "|u1", (BANK_SLOTS,), HOT, "its level; of a closed one, what was disposed of"),
    Field("life_escalation", "|u1", (BANK_SLOTS,), HOT, "0 the desk's, 1 overdue to head office, 2 to the supervisor"),
    Field("life_maker", "<u8", (BANK_SLOTS,), HOT, "hash of who signed, began or submitted last"),
    Field("life_opened_ms", "<i8", (BANK_SLOTS,), HOT, "the enterprise's time when it was opened, ms"),
    Field("life_submitted_offset", "<i8", (BANK_SLOTS,), HOT, "offset of the newest submission"),
    Field("life_contact_day", "<i4", (BANK_SLOTS,), HOT, "day up to which contact is due; 0: none"),
    Field("life_visit_day", "<i4", (BANK_SLOTS,), HOT, "day up to which the visit is due; 0: none"),
    Field("life_until_day", "<i4", (BANK_SLOTS,), HOT, "day up to which a disposition holds alerts; 0: none"),
    Field(
        "life_clock",
        "|u1",
        (BANK_SLOTS,),
        HOT,
        "bits: 0 stale, 1 watched, 2 it came or became graver while watched",
    ),
    # what banks have disposed of (state/dispositions.py)
    Field("disposed_kinds", "|u1", (), HOT, "bit k: some bank has disposed of a case so since the last month's end"),
    Field("disposed_finding", "<u4", (dispositions.PLACES,), HOT, "hash of a finding; 0: free"),
    Field("disposed_bank", "|i1", (dispositions.PLACES,), HOT, "slot of the bank that has disposed of it"),
    Field("disposed_level", "|u1", (dispositions.PLACES,), HOT, "level of the case that it did so in"),
    Field("disposed_until", "<i4", (dispositions.PLACES,), HOT, "day up to which; 0: as long as the case stands"),
    # signals whose levels wait (state/held.py)
    Field("held_key", "<u8", (held.PLACES,), HOT, "hash of a signal of which a level has held; 0: free"),
    Field("held_bank", "|i1", (held.PLACES,), HOT, "slot of the lender that it is about; -1: every bank"),
    Field("held_closes", "<u4", (held.PLACES,), HOT, "closes in a row that its levels have held, ten bits each"),
)
INITIAL = {
    "applied_offset": -1, "newest_ms": -1, "last_op_in_ms": -1, "day_newest": NO_UNIT, "week_newest": NO_UNIT,
    "month_newest": NO_UNIT, "loan_dpd": -1, "loan_bank": -1,
    "loan_ms": -1, "authorization_ms": -1, "frozen_ms": -1, "gov_ms": -1, "profile_ms": -1, "declared_sales_fen": -1,
    "last_txn_ms": -1, "unrated_day": NO_UNIT, "lent_day": NO_UNIT, "lender_overflow_day": NO_UNIT,
    "loan_overflow_day": NO_UNIT, "arrears_overflow_day": NO_UNIT, "account_overflow_day": NO_UNIT,
    "balance_first_day": NO_UNIT, "balance_day": NO_UNIT, "balance_last_day": NO_UNIT, "balance_blind_day": NO_UNIT,
    "unplaced_day": NO_UNIT,
    "low_week": NO_UNIT, "income_month_fen": SHORT_HISTORY,
    "emitted_milli": -1, "published_grade": -1, "first_day": NO_UNIT, "begun_day": NO_UNIT, "closed_day": NO_UNIT,
    "id_head": -1, "block_head": -1, "past_score": past_scores.NONE,
    "cold_day": NO_UNIT, "low_month_fen": -1, "utility_ppm": UTILITY_PPM_MOST, "close_null": SHORT_HISTORY,
    "past_key": NO_PAST, "case_rises_at": case_views.UNKNOWN, "eligible_until": -1,
}  # fmt: skip
VOLATILE = (
    Field("id_head", "<i4", (), 0, "first of the event ids that it remembers (state/dedup.py)"),
    Field("id_count", "<i4", (), 0, "how many those are"),
    Field("block_head", "<i4", (), 0, "first of the blocks of numbers"),
    Field("block_count", "<i4", (), 0, "how many those are"),
    Field("sweep_seq", "<i4", (), 0, "outputs that an interrupted close sweep has written"),
    Field("dirty", "|u1", (), 0, "parts in which the row differs from what Redis holds"),
    # What the signals were last evaluated with; a band of 0 is unknown, so that a value that comes back from Redis is
    # evaluated whole.
    Field("band", "|u1", (INPUTS_MAX,), 0, "band of each input (detectors/rules/machine.py)"),
    Field("lender_band", "|u1", (BANK_SLOTS, LENDER_INPUTS_MAX), 0, "and of those that speak of one lender's loans"),
    Field("lender_due_day", "<i4", (BANK_SLOTS,), 0, "with which next instalment of each lender; 0: unknown"),
    Field("lender_due_cny", "<f8", (BANK_SLOTS,), 0, "what is due then, CNY"),
    Field("evaluated", "<u8", (BANK_SLOTS + 1,), 0, "signals evaluated since the last close; last: the platform's"),
    Field("evaluated_day", "<i4", (), 0, "the day"),
    Field("case_rises_at", "<i4", (), 0, "logit from which on a case rises (state/case_views.py)"),
    Field("past_key", "<i8", (), 0, "which days `past_sums` are of (state/buckets.py); -1: none"),
    Field("past_sums", "<i8", (PAST_SUMS,), 0, "what windows hold of the days before (features/indicators/windows.py)"),
)
