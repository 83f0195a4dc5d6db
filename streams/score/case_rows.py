"""The moves of readers' cases, filled into the rows of one evaluation: compiled leaves of the loop.

Rows of alerts are written while signals move; the cases are judged once after that, and what they did is filled into
those rows. Of a case that moved exactly one row tells its reader: one that raised or upgraded an episode where it rose,
one that lowered or ended one where it fell. Where there is none, as when the score alone moved it, the leading open
episode gets another revision, as it stands. In all kernels `e` is a row of features.layout.ROW, `book` an outbook.Book,
and `first` the book's number of rows before the evaluation.
"""

import numpy as np

from detectors import cases, episodes, lender
from features.state import loans
from features.state.case_views import UNKNOWN
from kernels.decorators import kernel
from streams.score import outbook

_NO_ROW = -1


@kernel(forceinline=True)
def is_due(e, rules, x, closing):
    """Return whether `follow` may find that a case moves, of an evaluation that wrote no row."""
    if e.case_rises_at == UNKNOWN:
        return True
    if e.episodes_open == 0:
        return False
    return closing or cases.base_of(rules, x) >= e.case_rises_at


@kernel
def follow(e, rules, book, first, closing):
    """Move the cases after the signals of an evaluation were followed, and fill in its rows."""
    x = book.draft[0]
    cases.weigh(rules, e, book.lines[first])
    corrected, risen = _corrected_and_risen(book, first)
    cases.judge(rules, e, book.lines[first], cases.base_of(rules, x), closing, corrected, risen, x)
    _fill(e, rules, book, first, True)
    _tell_of_others(e, book, first)


@kernel
def fill_in(e, rules, book, first):
    """Fill in rows of open episodes that are listed: the cases stay as they are."""
    x = book.draft[0]
    cases.weigh(rules, e, book.lines[first])
    for view in range(cases.VIEWS):
        x.case_key[view], x.case_moved[view] = e.case_key[view], cases.UNMOVED
        x.case_level[view] = x.case_before[view] = e.case_level[view]
    _fill(e, rules, book, first, True)


@kernel
def fill_in_ended(e, rules, book, first):
    """Fill in rows of episodes that end with their rules `rules`; cases without any other are resolved.

    All others are judged at the next evaluation, under the new rules.
    """
    cases.end_unseen(e, book.draft[0])
    e.case_rises_at = UNKNOWN
    _fill(e, rules, book, first, False)


@kernel
def _corrected_and_risen(book, first):
    """Return the views, a bit each, that see an episode which a row since `first` retracts, or raises or upgrades."""
    corrected, risen = np.int64(0), np.int64(0)
    for r in range(first, book.used[0]):
        row = book.rows[r]
        for view in range(cases.VIEWS):
            if cases.sees(view, np.int64(row.episode_bank)):
                if row.transition == episodes.RETRACTED:
                    corrected |= np.int64(1) << view
                elif is_news(row):
                    risen |= np.int64(1) << view
    return corrected, risen


@kernel
def is_news(row):
    """Return whether a row raises an episode, or its level."""
    return row.transition == episodes.UPGRADED or episodes.is_rise(np.int64(row.transition))


@kernel
def _fill(e, rules, book, first, is_weighed):
    """Fill the draft's cases into the rows since `first`, each move into one of them; the draft keeps the others."""
    x = book.draft[0]
    x.case_lines, x.case_episodes = outbook.NO_LINES, 0
    if is_weighed and rules.case_claims:
        x.case_lines, x.case_episodes = first, e.episodes_open
        x.case_score, x.case_move = cases.score_parts(rules, x)
    for r in range(first, book.used[0]):
        row = book.rows[r]
        row.case_lines, row.case_episodes = x.case_lines, x.case_episodes
        row.case_score, row.case_move = x.case_score, x.case_move
        for view in range(cases.VIEWS):
            row.case_key[view], row.case_level[view] = x.case_key[view], x.case_level[view]
            row.case_before[view], row.case_moved[view] = x.case_before[view], cases.UNMOVED
    for view in range(cases.VIEWS):
        if x.case_moved[view] != cases.UNMOVED:
            r = _telling(rules, book, first, view, x.case_moved[view])
            if r != _NO_ROW:
                book.rows[r].case_moved[view] = x.case_moved[view]
                x.case_moved[view] = cases.UNMOVED


@kernel
def _telling(rules, book, first, view, moved):
    """Return the row since `first` that tells the reader of `view` of a move: of those that may, the gravest."""
    best, most = _NO_ROW, -1
    for r in range(first, book.used[0]):
        row = book.rows[r]
        if _may_tell(row, view, moved):
            weight = np.int64(rules.case_points[row.signal, row.level]) * 4 + row.level
            if weight >= most:
                best, most = r, weight
    return best


@kernel
def _may_tell(row, view, moved):
    if not cases.sees(view, np.int64(row.episode_bank)):
        return False
    transition = np.int64(row.transition)
    if moved == cases.EASED or moved == cases.RESOLVED:
        return row.to_bank == outbook.TO_ALL and (transition == episodes.DOWNGRADED or episodes.is_over(transition))
    if row.to_bank == view:
        return transition != episodes.CLOSED
    return row.to_bank == outbook.TO_ALL and is_news(row)


@kernel
def _is_due(e, x, view):
    """Return whether a case has moved, no row tells of it, and its reader may hear of it."""
    may_hear = view == cases.SUPERVISOR or loans.is_eligible(e, view)
    return may_hear and x.case_moved[view] != cases.UNMOVED


@kernel
def _tell_of_others(e, book, first):
    """Write the leading episode of each case that moved and of which no row tells, once for all that it leads.

    The supervisor hears of it where its own case has moved.
    """
    x, lens, lines = book.draft[0], book.lens[0], book.lines[first]
    count = np.int64(e.episodes_open)
    for i in range(count):
        told = np.int64(0)
        for view in range(cases.VIEWS):
            if _is_due(e, x, view) and cases.leading(lines, count, view) == i:
                told |= np.int64(1) << view
        if told == 0:
            continue
        bank = np.int64(e.episode_bank[i])
        episodes.revise(e, i)
        x.why, x.elsewhere[:] = 0, 0
        if bank != episodes.EVERY_BANK:
            lender.enter(e, bank, x, lens)
        outbook.describe(x, e, lines[i].signal, i, episodes.LISTED)
        outbook.write(book, outbook.ALERT)
        if bank != episodes.EVERY_BANK:
            lender.leave(x, lens)
        row = book.rows[book.used[0] - 1]
        if told >> cases.SUPERVISOR & 1 == 0:
            row.to_bank = outbook.TO_BANKS
        for view in range(cases.VIEWS):
            if told >> view & 1:
                x.case_moved[view] = cases.UNMOVED
            else:
                row.case_moved[view] = cases.UNMOVED
