"""Retraction: a record that takes from an open episode what it rests on (docs/adr/0039-cooldown-and-retraction.md).

A reversal or a return speaks of its original's time, any other record of its own. Where that is before what raised an
episode (at it, of an original), and a level is true without the record at the time as of which it is evaluated, the
episode is *doubted*; if with the record none of its levels is true, it ends at once (detectors/signals.py). What cannot
be told, before or after, retracts nothing.
"""

import numpy as np

from detectors import context, lender, signals
from detectors.episodes import EVERY_BANK
from detectors.rules.program import RED, STATUS_BITS, YELLOW
from features.state.days import day_of
from features.state.loans import BANK_SLOTS
from features.state.record_columns import BOOKED, RETURNED, TXN
from features.state.transitions import closing_time, history_days
from kernels.decorators import kernel

NONE, OF_REVERSAL, OF_RETURN, OF_LATE = range(4)
REASONS = ("", "reversed", "returned", "late")
CORRECTED = "corrected"  # the reason to a bank that did not send the record
# What an evaluation follows from.
CAUSE = np.dtype(
    [
        ("event_ms", "<i8"),  # of the record
        ("kind", "|u1"),  # of the correction, NONE where it doubts no episode
        ("doubted", "<u8", (BANK_SLOTS + 1,)),  # signals with a doubted episode, by bank slot; last: the platform's
    ]
)
_STATUS = (1 << STATUS_BITS) - 1
_ONE = np.uint64(1)


@kernel
def forget(cause):
    """Doubt nothing any more."""
    if cause.kind != NONE:
        cause.kind = NONE
        cause.doubted[:] = 0


@kernel(forceinline=True)
def consider(e, engine, x, lens, sums, cause, r):
    """Note in `cause` what record r, not applied yet, makes doubtful.

    e: the enterprise's row; x: the draft of the evaluation; lens: detectors.lender.LENS; sums: int64, scratch.
    """
    cause.event_ms = r.event_ms
    kind, told_ms = _told(r)
    if _is_before_any(e, kind, told_ms):
        _doubt(e, engine, x, lens, sums, cause, r, kind, told_ms)


@kernel
def _doubt(e, engine, x, lens, sums, cause, r, kind, told_ms):
    t_ms = max(max(e.newest_ms, r.event_ms) + 1, closing_time(e))
    context.stand(e, engine, x, sums, t_ms, np.int64(history_days(e)))
    today = day_of(t_ms - 1)
    for i in range(np.int64(e.episodes_open)):
        s = signals.signal_of(engine.rules, e.episode_key[i])
        if s < 0 or not _is_before(e, i, kind, told_ms):
            continue
        b = np.int64(e.episode_bank[i])
        if b == EVERY_BANK:
            detailed = signals.status_of(engine.rules, s, e, b, x, e.seen_day[:], today)
        else:
            lender.enter(e, b, x, lens)
            lender.last_days(e, b, lens)
            detailed = signals.status_of(engine.rules, s, e, b, x, lens.last_day[:], today)
            lender.leave(x, lens)
        if YELLOW <= detailed & _STATUS <= RED:
            cause.kind = kind
            cause.doubted[b] |= _ONE << np.uint64(s)


@kernel
def _told(r):
    """Return (the kind of correction that record r may be, the time in ms that it speaks of)."""
    if r.kind != TXN or r.status == BOOKED:
        return OF_LATE, r.event_ms
    return OF_RETURN if r.status == RETURNED else OF_REVERSAL, r.ref_ms


@kernel
def _is_before(e, i, kind, told_ms):
    return told_ms < e.episode_since_ms[i] or (kind != OF_LATE and told_ms == e.episode_since_ms[i])


@kernel
def _is_before_any(e, kind, told_ms):
    for i in range(np.int64(e.episodes_open)):
        if _is_before(e, i, kind, told_ms):
            return True
    return False
