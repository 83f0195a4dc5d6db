"""The output book: what the loop wrote down, row by row, for Python to send.

A row holds everything that its message needs as of that moment, so that messages do not depend on where a batch ended.
The evaluation under way is the book's draft; `write` copies it into the next row.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors import case_life, cases, episodes, lender, retraction
from detectors.rules import machine
from detectors.rules.program import SIGNALS_MAX
from detectors.rules.vocabulary import INPUT_COUNT
from detectors.scorecard import REASONS_MAX, grade_of
from features.fields import EPISODES_MAX
from features.indicators import CORE_COUNT
from features.indicators.windows import SCRATCH
from features.state import held, instalments, loans
from features.state.days import day_of
from features.state.loan_table import LOAN_SLOTS, places
from features.state.loans import BANK_SLOTS
from features.state.transitions import time_of
from kernels.decorators import copy, kernel

SCORE, ALERT, OBSERVATION, LATE, CONFLICT, INDICATORS, CASE, WAITS, REFUSED = range(9)
KINDS = REFUSED + case_life.REFUSALS  # REFUSED is followed by one kind for each further reason
A_CLOSE = -1
TO_ALL, TO_BANKS = -1, -2
NO_LINES = -1
AS_EVER, HELD, NEWS = range(3)
# What became of a record: index into the tally.
HELD_ALREADY, WAS_APPLIED, WAS_DUPLICATE, WAS_CONFLICT, WAS_LATE, WAS_REFUSED = range(6)
OUTCOMES = WAS_REFUSED + case_life.REFUSALS  # in the order of their reasons
# Score, observation, indicators; for each bank a revision a signal, two lists and what became of its case; and a
# revision for each case that moved.
OUTPUTS_PER_EVALUATION_MAX = 3 + BANK_SLOTS * (SIGNALS_MAX + 2 * EPISODES_MAX + 3) + cases.VIEWS
ROW = np.dtype(
    [
        ("kind", "|u1"),
        ("slot", "<i4"),
        ("record", "<i4"),  # index of the record that it follows from, or A_CLOSE
        ("offset", "<i8"),
        ("seq", "<i4"),
        ("as_of_ms", "<i8"),
        ("history_days", "<i4"),
        ("score_before_milli", "<i4"),
        ("score_milli", "<i4"),
        ("cap_milli", "<i4"),
        ("coverage_ppm", "<i4"),
        ("status", "|u1"),
        ("status_reason", "|u1"),
        ("published_grade", "|i1"),
        ("provisional_calendar", "|u1"),  # the score counts business days of a year that is not published
        ("value", "<f8", (INPUT_COUNT,)),
        ("null", "|u1", (INPUT_COUNT,)),
        ("balance_now_cny", "<f8"),
        ("balance_known", "|u1"),
        ("u", "<f8", (CORE_COUNT,)),
        ("points_milli", "<i4", (CORE_COUNT,)),
        ("reasons", "|i1", (REASONS_MAX,)),
        ("granted", "<u8", (4,)),  # the loan whose grant is observed
        ("disposed", "|u1"),  # bit k: what banks said of its cases in the month that is observed
        ("signal", "|u1"),
        ("transition", "|u1"),
        ("level", "|u1"),  # of the episode, as it was where it is over
        ("waits", "|u1"),  # it only waits for its hysteresis
        ("revision", "<i4"),
        ("stock", "|u1"),  # a line of an opening list
        ("why", "<i4"),  # the status with its detail
        ("episode_bank", "|i1"),  # the bank slot that the episode is about, or EVERY_BANK
        ("to_bank", "|i1"),  # the one bank slot that it goes to, TO_ALL, or TO_BANKS: not the supervisor
        ("entitled", "|u1", (BANK_SLOTS,)),  # may see the reason of a suppression
        ("elsewhere", "<u2", (BANK_SLOTS,)),  # the number of the notice that another bank has such an episode; 0: none
        ("case_key", "<u8", (cases.VIEWS,)),  # of the case before or after the evaluation; 0: neither
        ("case_level", "|u1", (cases.VIEWS,)),  # after it
        ("case_before", "|u1", (cases.VIEWS,)),  # and before it
        ("case_moved", "|u1", (cases.VIEWS,)),  # what this row tells the reader that its case did (detectors/cases.py)
        ("case_score", "<i4"),  # what the score adds to the claim
        ("case_move", "<i4"),  # and its move
        ("case_lines", "<i4"),  # the row of `Book.lines` that the claim is made of, or NO_LINES
        ("case_episodes", "|u1"),  # how many of that row's places are filled
        ("opened_ms", "<i8"),
        ("opened_offset", "<i8"),
        ("true_closes", "<u2"),  # at which its level has held; 0: it does not count them
        ("clear_closes", "<u2"),  # at which what clears it has held
        ("bank", "<i8", (BANK_SLOTS,)),
        ("authorized", "|u1", (BANK_SLOTS,)),
        ("traded_day", "<i4", (BANK_SLOTS,)),  # newest day of a transaction of the bank; NO_UNIT: none
        ("balance_day", "<i4", (BANK_SLOTS,)),  # newest day of one with a balance
        ("banks_stalled", "|u1"),  # bit b: at the last close, the feed of that bank was
        ("unplaced_day", "<i4"),  # newest day of one of a bank without a slot
        ("closed_day", "<i4"),
        ("overflowed", "|u1"),  # records of banks or of loans found no place
        ("loan", "<u8", (LOAN_SLOTS, 4)),
        ("loan_bank", "|i1", (LOAN_SLOTS,)),
        ("loan_open", "|u1", (LOAN_SLOTS,)),
        ("loan_outstanding", "<i8", (LOAN_SLOTS,)),
        ("loan_dpd", "<i4", (LOAN_SLOTS,)),
        ("loan_undrawn", "<i8", (LOAN_SLOTS,)),  # -1: no revolving limit
        ("loan_next_day", "<i4", (LOAN_SLOTS,)),  # of the next instalment
        ("loan_next_fen", "<i8", (LOAN_SLOTS,)),  # 0: none is known
        ("loan_due_day", "<i4", (LOAN_SLOTS,)),
        ("loan_class", "|u1", (LOAN_SLOTS,)),
        ("loan_guarantee", "|u1", (LOAN_SLOTS,)),
        ("more_count", "|u1", (BANK_SLOTS,)),  # open loans of the bank beside the slots
        ("more_outstanding", "<i8", (BANK_SLOTS,)),
        ("more_dpd", "<i4", (BANK_SLOTS,)),
        ("held", "|u1", (BANK_SLOTS,)),  # AS_EVER, HELD: the bank has disposed of that, or NEWS: it is news to it
        # a bank's case (features/state/lives.py), and what has changed of it (detectors/case_life.py)
        ("life_case", "<u8"),
        ("life_bank", "<i8"),
        ("life_change", "|u1"),
        ("life_nth", "|u1"),  # its number among the changes of the case in this evaluation
        ("life_stage", "|u1"),
        ("life_disposition", "|u1"),
        ("life_level", "|u1"),
        ("life_escalation", "|u1"),
        ("life_maker", "<u8"),
        ("life_checker", "<u8"),  # 0: this record is no review
        ("life_opened_ms", "<i8"),
        ("life_contact_day", "<i4"),
        ("life_visit_day", "<i4"),
        ("life_due_day", "<i4"),
        ("life_until_day", "<i4"),
        ("life_exposure_fen", "<i8"),
    ]
)


class Book(NamedTuple):
    """Rows, dtype ROW (n,), and lines, cases.LINE (n, EPISODES_MAX); the others are (1,), but for `tally` (OUTCOMES,).

    lines: the open episodes after an evaluation, at the place of its first row of an alert. draft: the row being made.
    lens: one lender's view of it (detectors.lender.LENS). cause: what it follows from (detectors.retraction.CAUSE).
    scratch: what its indicators are made of (features/indicators/windows.py). used: number of rows written. tally:
    records by outcome since it was last emptied.
    """

    rows: npt.NDArray[np.void]
    lines: npt.NDArray[np.void]
    draft: npt.NDArray[np.void]
    lens: npt.NDArray[np.void]
    cause: npt.NDArray[np.void]
    scratch: npt.NDArray[np.void]
    used: npt.NDArray[np.int64]
    tally: npt.NDArray[np.int64]


def empty(rows: int) -> Book:
    """Return a book of `rows` free rows, at least OUTPUTS_PER_EVALUATION_MAX: else no record would ever have room."""
    assert rows >= OUTPUTS_PER_EVALUATION_MAX
    return Book(
        rows=np.zeros(rows, ROW),
        lines=np.zeros((rows, EPISODES_MAX), cases.LINE),
        draft=np.zeros(1, ROW),
        lens=np.zeros(1, lender.LENS),
        cause=np.zeros(1, retraction.CAUSE),
        scratch=np.zeros(1, SCRATCH),
        used=np.zeros(1, np.int64),
        tally=np.zeros(OUTCOMES, np.int64),
    )


@kernel
def is_nearly_full(book):
    """Return whether one more evaluation might not fit."""
    return book.used[0] + OUTPUTS_PER_EVALUATION_MAX > book.rows.shape[0]


@kernel
def begin(book, slot, record, offset):
    """Begin the outputs of one record of the log, or of a close, for one enterprise; `seq` counts them from 0."""
    x = book.draft[0]
    x.slot, x.record, x.offset, x.seq, x.stock = slot, record, offset, 0, 0
    x.to_bank, x.why = TO_ALL, 0
    x.elsewhere[:], x.held[:] = 0, 0
    retraction.forget(book.cause[0])


@kernel
def go_on(book, seq):
    """Continue at `seq`, where a sweep was interrupted."""
    book.draft[0].seq = seq


@kernel
def next_seq(book):
    """Return the number that the next row will have."""
    return book.draft[0].seq


@kernel
def write(book, kind):
    """Copy the draft into the next row."""
    x = book.draft[0]
    x.kind = kind
    book.rows[book.used[0]] = x
    book.used[0] += 1
    x.seq += 1


@kernel
def note(book, kind):
    """Copy the draft into the next row as no output, for whoever takes columns: it has no number of its own."""
    write(book, kind)
    book.draft[0].seq -= 1


@kernel
def describe(x, e, s, i, transition):
    """Fill the draft with the revision of episode i, of signal s, and with the lenders and loans as of now.

    What it does to cases is filled in after the evaluation (case_rows.py).
    """
    is_listed_stale = transition == episodes.LISTED and e.episode_stale[i] == 1
    x.signal, x.transition = s, episodes.STALE if is_listed_stale else transition
    x.level, x.revision, x.episode_bank = e.episode_level[i], e.episode_revision[i], e.episode_bank[i]
    x.waits = e.episode_waits[i]
    x.opened_ms, x.opened_offset = e.episode_opened_ms[i], e.episode_opened_offset[i]
    packed = np.int64(held.closes(e, e.episode_key[i], np.int64(e.episode_bank[i])))
    x.true_closes = machine.closes(packed, np.int64(e.episode_level[i]) - 1)
    x.clear_closes, x.banks_stalled = e.episode_held_closes[i], e.banks_stalled
    for b in range(BANK_SLOTS):
        x.bank[b] = e.bank[b]
        x.authorized[b] = loans.is_authorized(e, b, time_of(e))
        x.more_count[b], x.more_outstanding[b], x.more_dpd[b] = loans.beside(e, b)
        x.traded_day[b] = max(e.balance_last_day[b], e.balance_blind_day[b])
        x.balance_day[b] = e.balance_last_day[b]
    x.unplaced_day, x.closed_day = e.unplaced_day, e.closed_day
    x.overflowed = e.bank_overflow > 0 or e.loan_overflow > 0
    today = day_of(x.as_of_ms - 1)
    for i in range(LOAN_SLOTS):
        copy(e.loan[i], x.loan[i])
        x.loan_bank[i], x.loan_open[i] = e.loan_bank[i], e.loan_open[i]
        x.loan_outstanding[i], x.loan_dpd[i] = e.loan_outstanding[i], e.loan_dpd[i]
        x.loan_undrawn[i], x.loan_due_day[i] = loans.undrawn(e, i), e.loan_due_day[i]
        x.loan_next_day[i], x.loan_next_fen[i] = instalments.next_of(e, i, today)
        x.loan_class[i], x.loan_guarantee[i] = e.loan_class[i], e.loan_guarantee[i]


@kernel
def describe_case(x, e, b, change, nth):
    """Fill the draft with the case of the bank in slot b, and its nth change in this evaluation."""
    x.life_case, x.life_bank = case_life.case_id(e, e.bank[b], e.life_key[b]), e.bank[b]
    x.life_change, x.life_stage, x.life_level, x.life_nth = change, e.life_stage[b], e.life_level[b], nth
    x.life_disposition, x.life_escalation = e.life_disposition[b], e.life_escalation[b]
    x.life_maker, x.life_checker, x.life_opened_ms = e.life_maker[b], 0, e.life_opened_ms[b]
    x.life_contact_day, x.life_visit_day = e.life_contact_day[b], e.life_visit_day[b]
    x.life_due_day, x.life_until_day = case_life.due_day(e, b), e.life_until_day[b]
    x.life_exposure_fen = 0
    for k in range(places(e)):
        if e.loan_open[k] and e.loan_bank[k] == b:
            x.life_exposure_fen += e.loan_outstanding[k]


@kernel
def shape_of(x):
    """Return status, grades, the order of reasons and whether the calendar is provisional, packed into a uint64.

    A change of any of them is due a score record.
    """
    shape = np.uint64(x.status) * np.uint64(64) + np.uint64(grade_of(x.score_milli)) * np.uint64(8)
    shape += np.uint64(x.published_grade)
    for i in range(REASONS_MAX):
        shape = shape * np.uint64(128) + np.uint64(x.reasons[i] + 1)
    return shape + (np.uint64(x.provisional_calendar) << np.uint64(63))


@kernel
def score_is_due(e, x, emit_moves, step_milli, closing):
    """Return whether a score record is due: at a close for any change, else for a move by a step or another shape."""
    if e.emitted_milli < 0:
        return True
    if not closing and not emit_moves:
        return False
    step = 1 if closing else step_milli
    return abs(x.score_milli - e.emitted_milli) >= step or shape_of(x) != e.emitted_shape
