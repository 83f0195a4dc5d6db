"""Kernels of one day of the whole province, and of the numbering of its postings."""

from typing import Any

import numpy as np

from kernels.decorators import kernel
from replay.province.business import begin_day, buy, end_day, live_on, pay_dues, take_in
from replay.province.layout import BOOKED, FACTS, IS_CREDIT, LOANS, MOVES, NOBODY, UNDOS
from replay.province.lending import evening, morning
from replay.province.posting import undo_due
from replay.province.trouble import suffer


@kernel(nogil=True)
def live_day(w: Any, i: Any) -> Any:
    """Simulate day `i` of the calendar: rows of moves and facts, with their numbers in `counts`."""
    today = w.calendar[i]
    w.counts[MOVES] = w.counts[FACTS] = 0
    for number in range(w.firms.shape[0]):
        begin_day(w, w.firms[number], today)
    if today.business:
        undo_due(w, today.day, today.start_ms)
    for k in range(w.counts[LOANS]):
        morning(w, k, today)
    for number in range(w.firms.shape[0]):
        f = w.firms[number]
        take_in(w, number, f, today)
        if today.business:
            pay_dues(w, number, f, today)
            suffer(w, number, f, today)
            buy(w, number, f, today)
            live_on(w, number, f, today)
    for number in range(w.firms.shape[0]):
        end_day(w, w.firms[number])
    if today.business:
        for k in range(w.counts[LOANS]):
            evening(w, k, today)


@kernel(nogil=True)
def number_moves(w: Any, order: Any, balances: Any, seqs: Any) -> Any:
    """Number the day's moves in `order` (by account and time), and set the balance after each.

    balances, seqs (accounts,) continue from the day before. Planned reversals receive the number of their original.
    """
    for j in range(w.counts[MOVES]):
        m = w.moves[order[j]]
        credit = IS_CREDIT[m.kind] == (m.status == BOOKED)
        balances[m.account] += m.amount if credit else -m.amount
        seqs[m.account] += 1
        m.balance, m.seq = balances[m.account], seqs[m.account]
    for i in range(w.counts[UNDOS]):
        one = w.undos[i]
        if one.seq == NOBODY:
            m = w.moves[np.int64(one.move)]
            one.seq, one.time_ms = m.seq, m.time_ms
