"""Cases: what one reader is told of an enterprise. Its level is a claim about default, not its highest signal.

A bank sees the episodes of the platform and those about its own loans; the supervisor sees all. So there is a view for
each bank slot and one for the supervisor. The claim of a view is a logit in thousandths: an intercept, the points of
its findings, a part of the score and a part of the score's move (detectors/rules/claim.py). A finding counts once, with
the most points of its open episodes; one that only waits for its hysteresis counts as yellow. The level is the highest
whose cut-off the logit reaches, and at least that of each signal that stands alone.

A case becomes graver at once. It eases at closes only: after `case_eases` closes in a row at which its claim was below
its level, or, where all its episodes wait and it is above `case_cured`, at once to what the claim says, at least that
level. Where an episode is retracted it eases at once: it was never so. It is resolved where it sees no open episode any
more, or has come down to level 0. Under rules without a claim its level is its highest signal. While the feed of a main
bank is dead the score falls for want of records: then a case becomes graver with its signals alone.
Whether an event's evaluation judges the cases or passes over them (`case_rises_at`) leaves no trace in them.
"""

from typing import Final

import numpy as np

from detectors import case_life, signals
from detectors.episodes import EVERY_BANK
from detectors.rules.program import NO_FINDING, RED, SIGNALS_MAX, YELLOW
from detectors.rules.vocabulary import DELTA_30D, POINTS
from domain.outputs import CaseState
from features.indicators.nulls import VALUE
from features.state.case_views import NEVER
from features.state.loans import BANK_SLOTS
from kernels.decorators import kernel

SUPERVISOR = BANK_SLOTS
VIEWS = BANK_SLOTS + 1
NOTICED = ("EWS35_arrears",)  # signals of lenders of which a bank learns that another one has an episode
UNMOVED, OPENED, GRAVER, EASED, RESOLVED = range(5)
STATES: Final[dict[int, CaseState]] = {OPENED: "opened", GRAVER: "graver", EASED: "eased", RESOLVED: "resolved"}
NO_LINE = -1
NOTHING_HIDDEN = np.int64(0)
MILLI = 1_000
# An open episode as the claim weighs it.
LINE = np.dtype(
    [
        ("opened_ms", "<i8"),
        ("points", "<i4"),  # by itself: of a group only the most count
        ("group", "<i2"),  # its finding's number; a signal in no finding has one of its own
        ("signal", "|i1"),
        ("bank", "|i1"),
        ("level", "|u1"),
        ("least", "|u1"),  # level of a case with this episode alone
        ("stale", "|u1"),
        ("waits", "|u1"),
    ]
)


@kernel
def sees(view, bank):
    """Return whether the reader of `view` sees the episodes about `bank`."""
    return view == SUPERVISOR or bank in (EVERY_BANK, view)


@kernel(forceinline=True)
def base_of(rules, x):
    """Return the logit of evaluation x without signals."""
    score, move = score_parts(rules, x)
    return rules.case_intercept + score + move


@kernel(forceinline=True)
def score_parts(rules, x):
    """Return what the displayed score of evaluation x adds to the logit, and its move within 30 days; unknown: 0."""
    move = np.int64(0)
    if x.null[DELTA_30D] == VALUE:
        move = between(rules.case_move_at, rules.case_move_logit, np.int64(x.value[DELTA_30D]))
    return between(rules.case_score_at, rules.case_score_logit, np.int64(x.value[POINTS]) * MILLI), move


@kernel
def between(at, logit, x):
    """Return the logit at x, linear between anchors and constant beyond, rounded down."""
    if x <= at[0]:
        return np.int64(logit[0])
    for k in range(1, at.shape[0]):
        if x < at[k]:
            low, rise = np.int64(at[k - 1]), np.int64(logit[k]) - logit[k - 1]
            return logit[k - 1] + rise * (x - low) // (at[k] - low)
    return np.int64(logit[at.shape[0] - 1])


@kernel
def weigh(rules, e, lines):
    """Fill lines, dtype LINE (EPISODES_MAX,), with the open episodes of e in their order."""
    for i in range(np.int64(e.episodes_open)):
        line, s = lines[i], signals.signal_of(rules, e.episode_key[i])
        line.opened_ms, line.bank, line.signal = e.episode_opened_ms[i], e.episode_bank[i], s
        line.level, line.stale, line.waits = e.episode_level[i], e.episode_stale[i], e.episode_waits[i]
        line.points, line.least, line.group = 0, 0, SIGNALS_MAX + i
        if s < 0:
            continue
        level = YELLOW if line.waits else np.int64(line.level)
        finding = np.int64(rules.case_finding[s])
        line.group = finding if finding != NO_FINDING else SIGNALS_MAX + s
        line.points = rules.case_points[s, level]
        line.least = rules.case_alone[s, level] if rules.case_claims else line.level


@kernel
def judge(rules, e, lines, base, closing, corrected, risen, x):
    """Move the cases of e and write them into x: key, level, what happened, and the level before.

    lines: as `weigh` filled them. base: the logit without signals. corrected, risen: a bit for each view of which an
    episode is retracted, or has risen or become graver. A case that is resolved has level 0, and its key still.
    case_rises_at is computed anew.
    """
    rises_at = np.int64(NEVER)
    for view in range(VIEWS):
        points, least, any_seen, all_wait = np.int64(0), np.int64(0), False, False
        if _has_reader(e, view):
            points, least, any_seen, all_wait = _weight(lines, np.int64(e.episodes_open), view, NOTHING_HIDDEN)
        level = np.int64(0)
        if any_seen:
            claimed, is_corrected = _claimed(rules, base + points, least), corrected >> view & 1 == 1
            if e.stalled and risen >> view & 1 == 0 and not is_corrected:
                claimed = min(claimed, np.int64(e.case_level[view]))
            level = _level(rules, e, view, claimed, all_wait, closing, is_corrected)
            if rules.case_claims and level < RED:
                rises_at = min(rises_at, rules.case_cut[level + 1] - points)
        _move(e, view, level, x)
    e.case_rises_at = rises_at


@kernel
def end_unseen(e, x):
    """Resolve the cases that see no open episode any more, and write all into x as `judge`; levels stay."""
    for view in range(VIEWS):
        any_seen = False
        for i in range(np.int64(e.episodes_open)):
            any_seen |= sees(view, np.int64(e.episode_bank[i]))
        _move(e, view, np.int64(e.case_level[view]) if any_seen else np.int64(0), x)


@kernel
def _has_reader(e, view):
    return view == SUPERVISOR or e.bank[view] != 0


@kernel
def leading(lines, count, view):
    """Return the line with the most points, then the highest level, then the earliest, that `view` sees; or NO_LINE."""
    best = NO_LINE
    for i in range(count):
        if sees(view, np.int64(lines[i].bank)) and (best == NO_LINE or _is_before(lines[i], lines[best])):
            best = i
    return best


@kernel
def _is_before(one, other):
    if one.points != other.points:
        return one.points > other.points
    if one.level != other.level:
        return one.level > other.level
    return one.opened_ms < other.opened_ms


@kernel
def rest_of(rules, e, view, lines, base, hidden):
    """Return the level that a view's case would have without the findings in `hidden`, a bit for each line."""
    points, least, any_seen, _ = _weight(lines, np.int64(e.episodes_open), view, hidden)
    return _claimed(rules, base + points, least) if any_seen else np.int64(0)


@kernel
def is_stale(e, view):
    """Return whether a view sees open episodes, and none of them can be told at present."""
    return _all_seen_are(e, view, e.episode_stale)


@kernel
def is_watched(e, view):
    """Return whether a view sees open episodes, and all of them only wait for their hysteresis."""
    return _all_seen_are(e, view, e.episode_waits)


@kernel
def _all_seen_are(e, view, marked):
    """Return whether a view sees open episodes, and all of them are marked. marked: uint8 (EPISODES_MAX,)."""
    found = False
    for i in range(np.int64(e.episodes_open)):
        if sees(view, np.int64(e.episode_bank[i])):
            if not marked[i]:
                return False
            found = True
    return found


@kernel
def _weight(lines, count, view, hidden):
    """Return (points, least level, whether any episode is seen, whether all that are wait) of a view.

    hidden: a bit for each line that does not count; all lines of a finding are hidden, or none.
    """
    points, least, any_seen, all_wait = np.int64(0), np.int64(0), False, True
    for i in range(count):
        line = lines[i]
        if hidden >> i & 1 == 0 and sees(view, np.int64(line.bank)):
            any_seen, all_wait = True, all_wait and line.waits == 1
            least = max(least, np.int64(line.least))
            if _counts(lines, count, view, i):
                points += line.points
    return points, least, any_seen, all_wait


@kernel
def _counts(lines, count, view, i):
    """Return whether line i has the most points of its group; of several the first one."""
    mine = lines[i]
    for j in range(count):
        other = lines[j]
        is_before = other.points > mine.points or (other.points == mine.points and j < i)
        if is_before and other.group == mine.group and sees(view, np.int64(other.bank)):
            return False
    return True


@kernel
def _claimed(rules, logit, least):
    """Return the level that a logit claims, at least `least`."""
    if rules.case_claims:
        for level in range(RED, least, -1):
            if logit >= rules.case_cut[level]:
                return np.int64(level)
    return np.int64(least)


@kernel
def _level(rules, e, view, claimed, all_wait, closing, is_corrected):
    """Return the level of a case with this claim; at a close, count towards its easing."""
    level = np.int64(e.case_level[view])
    if claimed > level or is_corrected or not rules.case_claims:
        e.case_below_closes[view] = 0
        return claimed
    if not closing:
        return level
    if claimed == level:
        e.case_below_closes[view] = 0
        return level
    closes = np.int64(e.case_below_closes[view]) + 1
    eases_at_once = all_wait and level > rules.case_cured
    if not eases_at_once and closes < rules.case_eases:
        e.case_below_closes[view] = closes
        return level
    e.case_below_closes[view] = 0
    return max(claimed, np.int64(rules.case_cured)) if eases_at_once else claimed


@kernel
def _move(e, view, level, x):
    """Give the case of a view its level; open or resolve it where that begins or ends it."""
    before = np.int64(e.case_level[view])
    x.case_before[view], x.case_level[view], x.case_moved[view] = before, level, UNMOVED
    is_kept = view != SUPERVISOR and case_life.is_worked_on(e, view)  # somebody has signed it: one life, one key
    if before == 0 and level > 0:
        if not is_kept:
            e.case_key[view] = key_of(x.offset, x.as_of_ms)
        x.case_moved[view] = OPENED
    elif level > before:
        x.case_moved[view] = GRAVER
    elif 0 < level < before:
        x.case_moved[view] = EASED
    x.case_key[view] = e.case_key[view]
    if level == 0 and before > 0:
        x.case_moved[view] = RESOLVED
        e.case_below_closes[view] = 0
        if not is_kept:
            e.case_key[view] = 0
    e.case_level[view] = level


@kernel
def key_of(offset, t_ms):
    """Return the key of a case that opens at t_ms by the record at `offset`; not 0."""
    key = (np.uint64(offset + 1) * np.uint64(0x9E3779B97F4A7C15)) ^ (np.uint64(t_ms) * np.uint64(0xBF58476D1CE4E5B9))
    return key | np.uint64(1)
