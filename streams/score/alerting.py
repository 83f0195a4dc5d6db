"""The signals of one evaluation and who is told of them: compiled leaves of the loop.

Signals of the platform are evaluated once; those of a lender once for each bank that lends, over its view. Of another
bank's loans, a bank gets at most a notice (alerts.py says for which signals). In all kernels `e` is a row of
features.layout.ROW, `engine` a partition.Engine and `book` an outbook.Book; their rows and arrays are changed in place.
"""

import numpy as np

from detectors import cases, context, episodes, lender, signals
from detectors.rules import machine
from detectors.rules.program import STATUS_BITS, SUPPRESSED, TRUE, key_of
from features.indicators import nulls
from features.indicators.activity import counts_provisional_days
from features.state import held, loans, seen
from features.state.case_views import UNKNOWN
from features.state.days import day_of
from features.state.loans import BANK_SLOTS
from features.state.transitions import time_of
from kernels.decorators import kernel
from streams.score import case_rows, outbook

NEVER = -1  # of the first end of a consent: no bank may see it
_STATUS = (1 << STATUS_BITS) - 1
_ONE = np.int64(1)
_NO = np.bool_(False)  # as a value, not a literal: else it would be compiled twice
_NOTICED = np.array([key_of("lender", name) for name in cases.NOTICED], np.uint64)


@kernel(forceinline=True)
def follow_signals(e, engine, book, code, closing, lends):
    """Evaluate every signal that can have changed.

    `code`: the event's code in features.state.seen; `closing`: a day closes, which moves timers; `lends`: the event may
    have changed a loan, or a day closes.
    """
    x, lens, cause, rules = book.draft[0], book.lens[0], book.cause[0], engine.rules
    today = day_of(x.as_of_ms - 1)
    if closing:
        episodes.cool(e, np.int64(rules.case_cooldown))
    new_day = today != e.evaluated_day
    e.evaluated_day = today
    whole = e.episode_lacking == 1
    e.episode_lacking = 0
    # What no transaction moves, moves with days and facts. At 00:00 itself a lender's view is of the next day already.
    anew = whole or new_day or lends or seen.is_of_government(code) or day_of(x.as_of_ms) != today
    gate = rules.common
    count = gate.slot.shape[0] if anew else gate.moving
    common = signals.changed(gate, x.value, x.null, e.band[:], code, count, new_day, whole)
    mask = (common & rules.of_platform) | cause.doubted[episodes.EVERY_BANK]
    mask = signals.with_timed(rules, e, np.int64(episodes.EVERY_BANK), mask, closing)
    if mask:
        _follow(e, mask, episodes.EVERY_BANK, engine, book, e.seen_day[:], today, closing)
    if e.lenders == 0:
        return
    gate, shared = rules.lender, common & ~rules.of_platform
    for b in range(BANK_SLOTS):
        if lender.is_followed(e, b) and (
            anew or shared or cause.doubted[b] or not lender.stays(gate, rules.lender_moving, e, b, x)
        ):
            lender.note_due(e, b, *lender.enter(e, b, x, lens))
            count = gate.slot.shape[0]
            mask = shared | signals.changed(gate, x.value, x.null, e.lender_band[b], code, count, new_day, whole)
            mask = signals.with_timed(rules, e, b, mask | cause.doubted[b], closing)
            if mask:
                lender.last_days(e, b, lens)
                _follow(e, mask, b, engine, book, lens.last_day[:], today, closing)
            lender.leave(x, lens)
    if closing:
        lender.follow_less(e, today)


@kernel(forceinline=True)
def _follow(e, mask, bank, engine, book, last_day, today, closing):
    x, cause, rules = book.draft[0], book.cause[0], engine.rules
    for s in range(rules.key.shape[0]):
        if not machine.has(mask, s):
            continue
        moved, i, detailed = signals.follow(
            rules, s, e, bank, x, cause, last_day, today, closing, engine.closes_to_lower
        )
        has_turned = i != episodes.NO_EPISODE and episodes.note_truth(e, i, detailed & _STATUS, closing)
        if has_turned:
            e.case_rises_at = UNKNOWN
        if moved == episodes.NOTHING:
            if has_turned:
                outbook.describe(x, e, s, i, moved)
                outbook.note(book, outbook.WAITS)
            continue
        e.case_rises_at = UNKNOWN
        x.why = cause.kind if moved == episodes.RETRACTED else detailed
        _number_notices(e, i, x, episodes.is_rise(moved) or episodes.is_over(moved))
        outbook.describe(x, e, s, i, moved)
        if moved == episodes.STALE and detailed & _STATUS == SUPPRESSED:
            _mark_entitled(e, rules, s, detailed >> STATUS_BITS, bank, book, today)
        outbook.write(book, outbook.ALERT)
        if episodes.is_over(moved):
            episodes.end(e, i, moved, np.int64(rules.case_cooldown))


@kernel
def _mark_entitled(e, rules, s, term, bank, book, today):
    """Mark in the draft the banks that may see a suppression's reason.

    Those are all but the banks for whom it is another lender's fact.
    """
    x, lens = book.draft[0], book.lens[0]
    if bank != episodes.EVERY_BANK:
        x.entitled[:] = 1  # it goes to that bank alone, and lens.last_day is in use
        return
    at = rules.term_at[rules.term_first[s] + term]
    for b in range(BANK_SLOTS):
        lender.last_days(e, b, lens)
        x.entitled[b] = machine.run(rules, at, x.value, x.null, lens.last_day[:], today, np.int64(0)) == TRUE


@kernel
def _number_notices(e, i, x, counts):
    """Number a notice for each bank to which this is the first or the last such episode of another bank.

    Only what is sent has a number: one that a bank has no notice of would tell of a time before it might look.
    """
    x.elsewhere[:] = 0
    if e.episode_bank[i] == episodes.EVERY_BANK or not counts:
        return
    for b in range(BANK_SLOTS):
        if b != e.episode_bank[i] and loans.is_eligible(e, b) and _others(e, i, b) == 1:
            _number_notice(e, i, b, x)


@kernel
def _number_notice(e, i, b, x):
    """Number the notice of episode i to bank b, where its signal has notices.

    Numbers are of notices alone: one that no notice has would tell of another signal.
    """
    for k in range(_NOTICED.shape[0]):
        if _NOTICED[k] == e.episode_key[i]:
            e.elsewhere_revision[b] += 1
            x.elsewhere[b] = e.elsewhere_revision[b]


@kernel
def _others(e, i, b):
    """Return the number of open episodes of the same signal about banks other than b."""
    count = 0
    for j in range(np.int64(e.episodes_open)):
        bank = np.int64(e.episode_bank[j])
        count += e.episode_key[j] == e.episode_key[i] and bank != b and bank != episodes.EVERY_BANK
    return count


@kernel
def is_consent_over(e, t_ms):
    """Return whether the consent of a bank that could see the enterprise has ended by t."""
    return e.eligible_until != NEVER and t_ms >= e.eligible_until


@kernel
def follow_lenders(e, rules, book, lists):
    """Close the open episodes for each bank that may no longer see them.

    lists: and list them to each that may from now on; else these wait for the next evaluation.
    """
    if e.lenders == 0 and e.eligible == 0:
        return
    before = np.int64(e.eligible)
    _note_eligible(e)
    if not lists:
        e.eligible &= before
    changed = np.int64(e.eligible) ^ before
    for b in range(BANK_SLOTS if changed else 0):
        bit = _ONE << b
        if changed & bit:
            _list(e, b, rules, book, episodes.CLOSED if before & bit else episodes.LISTED)


@kernel
def _note_eligible(e):
    """Note the banks that may see the enterprise, at its own time: a close may be of a day before its newest event."""
    now, until, t_ms = np.int64(0), np.int64(NEVER), time_of(e)
    for b in range(BANK_SLOTS):
        consent_ends = loans.authorized_until(e, b, t_ms)
        if loans.lends(e, b) and consent_ends > t_ms:
            now |= _ONE << b
            until = consent_ends if until == NEVER else min(until, consent_ends)
    e.eligible, e.eligible_until = now, until


@kernel
def list_open(e, b, rules, book):
    """List the open episodes to the bank in slot b: what it had disposed of comes back."""
    first = book.used[0]
    _list(e, b, rules, book, episodes.LISTED)
    case_rows.fill_in(e, rules, book, first)


@kernel
def _list(e, b, rules, book, transition):
    """Write every open episode to the bank in slot b alone, and those about other banks as one notice a signal.

    Under rules with a claim a bank without a case hears of none: they are told when its case opens.
    """
    x, lens = book.draft[0], book.lens[0]
    x.to_bank, x.stock, x.why = b, transition == episodes.LISTED, 0
    hears = e.case_level[b] > 0 or not rules.case_claims
    for i in range(np.int64(e.episodes_open)):
        bank = np.int64(e.episode_bank[i])
        x.elsewhere[:] = 0
        if cases.sees(b, bank):
            if not hears:
                continue
            episodes.revise(e, i)
        elif _is_first_elsewhere(e, i, b):
            _number_notice(e, i, b, x)
        else:
            continue
        if bank == b:
            lender.enter(e, b, x, lens)
        outbook.describe(x, e, signals.signal_of(rules, e.episode_key[i]), i, transition)
        outbook.write(book, outbook.ALERT)
        if bank == b:
            lender.leave(x, lens)
    x.to_bank, x.stock = outbook.TO_ALL, 0


@kernel
def _is_first_elsewhere(e, i, b):
    for j in range(i):
        if e.episode_key[j] == e.episode_key[i] and not cases.sees(b, np.int64(e.episode_bank[j])):
            return False
    return True


@kernel
def restate(e, engine, book, t_ms, history_days):
    """Write every open episode once, as an entry of the opening lists, at the end of a backfill."""
    x, lens = book.draft[0], book.lens[0]
    context.stand(e, engine, x, book.scratch[0].sums, t_ms, np.int64(history_days))
    _note_eligible(e)
    x.stock, first = 1, book.used[0]
    for i in range(np.int64(e.episodes_open)):
        bank = np.int64(e.episode_bank[i])
        episodes.revise(e, i)
        x.elsewhere[:] = 0
        for b in range(BANK_SLOTS if bank != episodes.EVERY_BANK else 0):
            if b != bank and loans.is_eligible(e, b) and _is_first_elsewhere(e, i, b):
                _number_notice(e, i, b, x)
        if bank != episodes.EVERY_BANK:
            lender.enter(e, bank, x, lens)
        outbook.describe(x, e, signals.signal_of(engine.rules, e.episode_key[i]), i, episodes.LISTED)
        outbook.write(book, outbook.ALERT)
        if bank != episodes.EVERY_BANK:
            lender.leave(x, lens)
    case_rows.fill_in(e, engine.rules, book, first)


@kernel
def change_rules(e, before, after, book, t_ms):
    """End the episodes of signals that the new rules do not have.

    Everything else is evaluated anew at the next evaluation.
    """
    x = book.draft[0]
    x.as_of_ms, x.score_milli, x.score_before_milli = t_ms, e.score_milli, e.score_milli
    x.null[:], x.elsewhere[:] = nulls.NOT_REPORTED, 0
    x.provisional_calendar = counts_provisional_days(e)
    held.forget_all_but(e, after.key, after.has_held)
    first = book.used[0]
    follow_lenders(e, before, book, _NO)
    i = 0
    while i < np.int64(e.episodes_open):
        if signals.signal_of(after, e.episode_key[i]) >= 0:
            i += 1
            continue
        episodes.revise(e, i)
        _number_notices(e, i, x, True)
        outbook.describe(x, e, signals.signal_of(before, e.episode_key[i]), i, episodes.NOT_IN_RULES)
        outbook.write(book, outbook.ALERT)
        episodes.end(e, i, episodes.NOT_IN_RULES, np.int64(0))
    case_rows.fill_in_ended(e, before, book, first)
