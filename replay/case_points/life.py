"""Lives of cases under a claim, day by day: graver at any record, eased at a day's close, resolved without a signal.

As the engine has it (detectors/cases.py), but the score within a day is that of its close, where most signals move.
"""

import numpy as np

from config.case_table import FINDINGS_MAX
from detectors.cases import MILLI, between
from detectors.scorecard import displayed
from kernels.decorators import kernel
from replay.backtest.cases import Steps
from replay.case_points.claim import LEVELS, NO_FINDING, Claim
from replay.case_points.timeline import MOVE_DAYS, Timeline

STEP = np.dtype([("owner", "i4"), ("day", "i4"), ("before", "i1"), ("after", "i1")])


def steps_under(claim: Claim, line: Timeline) -> Steps:
    """Return the cases opened or made graver under a claim, in the order of (owner, time)."""
    open_, best = np.zeros(claim.points.shape, np.int64), np.zeros(FINDINGS_MAX, np.int64)
    found = np.zeros(len(line.day) + len(line.first), STEP)
    count = _steps(claim, line, open_, best, found)
    if count > len(found):  # once more, with room for all
        found = np.zeros(count, STEP)
        count = _steps(claim, line, open_, best, found)
    rows = found[:count]
    return Steps(
        rows["owner"].astype(np.int64), rows["day"].astype(np.int64) + line.first_day,
        rows["before"].astype(np.int64), rows["after"].astype(np.int64),
    )  # fmt: skip


@kernel
def signals_logit(claim, open_, best):
    """Return (millilogits of the open signals, the least level by those that stand alone, whether any is open).

    open_: int64 (S, LEVELS) the number of open episodes; best: int64, overwritten.
    """
    total, least, any_open = np.int64(0), np.int64(0), False
    best[:] = 0
    for s in range(open_.shape[0]):
        level = 0
        for one in range(1, LEVELS):
            if open_[s, one] > 0:
                level = one
        if level == 0:
            continue
        any_open = True
        least = max(least, np.int64(claim.alone[s, level]))
        points = np.int64(claim.points[s, level])
        if claim.finding[s] == NO_FINDING:
            total += points
        else:
            best[claim.finding[s]] = max(best[claim.finding[s]], points)
    for f in range(best.shape[0]):
        total += best[f]
    return total, least, any_open


@kernel
def score_logit(claim, score, d):
    """Return the millilogits of the score and its move at the end of day d; score: (days,), negative: none yet."""
    if score[d] < 0:
        return np.int64(0)
    shown = np.int64(displayed(score[d]))
    total = between(claim.score_at, claim.score_logit, shown * MILLI)
    if d >= MOVE_DAYS and score[d - MOVE_DAYS] >= 0:
        move = shown - np.int64(displayed(score[d - MOVE_DAYS]))
        total += between(claim.move_at, claim.move_logit, move)
    return total


@kernel
def level_of(claim, logit, least):
    """Return the level of a case with this logit, of which the signals that stand alone demand `least`."""
    level = np.int64(0)
    for one in range(1, LEVELS):
        if logit >= claim.cut[one]:
            level = np.int64(one)
    return max(level, least)


@kernel(nogil=True)
def _steps(claim, line, open_, best, found):
    count = 0
    for e in range(line.score.shape[0]):
        at, end = line.first[e], line.first[e + 1]
        if at == end:
            continue
        open_[:] = 0
        true, level, below = 0, np.int64(0), 0
        of_signals, least, any_open = np.int64(0), np.int64(0), False
        for d in range(line.day[at], line.score.shape[1]):
            of_score = score_logit(claim, line.score[e], d)
            while at < end and line.day[at] <= d:
                moment, retracted = line.moment[at], False
                while at < end and line.moment[at] == moment:
                    apply(open_, line, at)
                    true += line.true[at]
                    retracted |= line.retracted[at] == 1
                    at += 1
                of_signals, least, any_open = signals_logit(claim, open_, best)
                now = level_of(claim, claim.intercept + of_signals + of_score, least) if any_open else np.int64(0)
                if not any_open:
                    level, below = np.int64(0), 0
                if now > level:
                    count = _record(found, count, e, d, level, now)
                if now > level or retracted:
                    level, below = now, 0
            if not any_open:
                continue
            now = level_of(claim, claim.intercept + of_signals + of_score, least)
            if now > level:
                count = _record(found, count, e, d, level, now)
            if now >= level:
                level, below = now, 0
                continue
            below += 1
            if true == 0 and level > claim.cured:
                level, below = max(now, np.int64(claim.cured)), 0
            elif below >= claim.eases:
                level, below = now, 0
    return count


@kernel
def apply(open_, line, at):
    """Apply revision `at` to the numbers of open episodes by signal and level, int64 (signals, LEVELS)."""
    s = line.signal[at]
    if line.before[at] > 0:
        open_[s, line.before[at]] -= 1
    if line.after[at] > 0:
        open_[s, line.after[at]] += 1


@kernel
def _record(found, count, e, d, before, after):
    if count < found.shape[0]:
        found[count].owner, found[count].day = e, d
        found[count].before, found[count].after = before, after
    return count + 1
