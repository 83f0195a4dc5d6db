"""The life of a bank's case: from the first alert until somebody has disposed of it, or nobody signed and all cleared.

Actions follow each other as domain/cases.py has it. The maker is who signed, began or submitted last; approve and
return are another one's. A case that nobody has signed closes by itself when none of its signals is open any more, or
when its bank is told no more. What was disposed of are the case's findings (features/state/dispositions.py). It comes
back where the others make a case by themselves, where it is graver than it was, and on the day that a disposition has.

Deadlines are those of the level, from the day on which it rose or fell. They wait while nothing of a case can be told,
and while all that is open only waits for its hysteresis, unless it came or became graver so: by as many working days.
So at one level a borrower that is cured now and then puts off a deadline by no more than the days on which it was. What
becomes graver in review goes back to its maker, whose conclusion did not know of it. The state is
features/state/lives.py. The level of a closed case is what was disposed of, 0 where nobody did.
"""

from typing import get_args

import numpy as np

from domain.cases import OPEN, ORDER
from domain.events import CaseActionKind, Disposition
from domain.outputs import CaseChange, CaseStage, Escalation
from features.indicators.days import is_business_day
from features.state.hashing import siphash_of_words
from features.state.lives import (
    AWAITING,
    CHECKING,
    CLOSED,
    IN_REVIEW,
    IS_STALE,
    IS_WATCHED,
    IS_WORK,
    NONE,
    SIGNED,
    is_live,
)
from features.state.loans import BANK_SLOTS
from kernels.decorators import kernel

ACTIONS: tuple[CaseActionKind, ...] = get_args(CaseActionKind)
DISPOSITIONS: tuple[Disposition, ...] = get_args(Disposition)  # their codes count from 1
CHANGES: tuple[CaseChange, ...] = get_args(CaseChange)  # and theirs
ESCALATIONS: tuple[Escalation, ...] = get_args(Escalation)

SIGN, BEGIN, SUBMIT, APPROVE, RETURN = range(len(ACTIONS))
UNDISPOSED, FALSE_ALARM = 0, 1 + DISPOSITIONS.index("false_alarm")
(
    NOTHING, OPENED, GRAVER, EASED, RESOLVED, UNDELIVERED, REOPENED, RESUMED, OVERDUE, LISTED,
    PAUSED, WATCHED, CONTINUED, ACTED,
) = range(14)  # fmt: skip
ACCEPTED, UNKNOWN, FOREIGN, FINISHED, OUT_OF_ORDER, BY_MAKER = range(6)
REFUSALS = 5  # all but ACCEPTED
NO_DATE = -1
AT_DESK, AT_HEAD_OFFICE, AT_SUPERVISOR = range(len(ESCALATIONS))

_STAGES: tuple[CaseStage, ...] = (*OPEN, "disposed")  # their codes count from AWAITING
# The stage after an action, by stage and action; NONE: the action is out of order.
_NEXT = np.zeros((CLOSED + 1, len(ACTIONS)), np.uint8)
for (_before, _action), _after in ORDER.items():
    _NEXT[AWAITING + _STAGES.index(_before), ACTIONS.index(_action)] = AWAITING + _STAGES.index(_after)
_ID_KEY = np.uint64(0x63617365)  # "case"
_SECOND_KEY = np.uint64(0x78696E6C69752F31)


def stage_name(stage: int, disposition: int, change: int) -> CaseStage:
    """Return the state of a case as readers get it: a closed one by how it was closed."""
    if stage != CLOSED:
        return OPEN[stage - AWAITING]
    if disposition == UNDISPOSED:
        return "undelivered" if change == UNDELIVERED else "resolved"
    return "false_alarm" if disposition == FALSE_ALARM else "disposed"


@kernel
def case_id(e, bank, key):
    """Return the id of the case with this key for a bank code (0: the supervisor), uint64; 0 where the key is 0."""
    return id_of(e.id, bank, key)


@kernel
def id_of(words, bank, key):
    """Return the same; words: uint64 (4,), those of the enterprise's id."""
    if key == 0:
        return np.uint64(0)
    return siphash_of_words(words, np.uint64(bank), key, _ID_KEY, _SECOND_KEY)


@kernel
def is_worked_on(e, b):
    """Return whether somebody has signed that case: then it stays, whatever clears."""
    return is_live(e, b) and e.life_stage[b] != AWAITING


@kernel
def find(e, bank, wanted):
    """Return (slot, ACCEPTED) of the bank's case with this id, or (-1, UNKNOWN), or (-1, FOREIGN)."""
    for b in range(BANK_SLOTS):
        if e.life_key[b] != 0 and case_id(e, e.bank[b], e.life_key[b]) == wanted:
            if e.bank[b] != bank:
                return np.int64(-1), np.int64(FOREIGN)
            return np.int64(b), np.int64(ACCEPTED)
    return np.int64(-1), np.int64(UNKNOWN)


@kernel
def act(e, b, action, actor, disposition, until_day, offset):
    """Apply an action to the case in slot b; return ACCEPTED, or why not: then nothing has changed.

    actor: uint64. disposition: a code, of a submit; until_day: its day number, 0 for none. offset: of the action.
    """
    stage = e.life_stage[b]
    if stage == CLOSED:
        return FINISHED
    if _NEXT[stage, action] == NONE:
        return OUT_OF_ORDER
    if action < APPROVE:
        e.life_maker[b] = actor
    elif e.life_maker[b] == actor:
        return BY_MAKER
    if action == BEGIN:
        e.life_escalation[b] = AT_DESK  # the next due day counts
    elif action == SUBMIT:
        e.life_disposition[b], e.life_until_day[b], e.life_submitted_offset[b] = disposition, until_day, offset
    elif action == APPROVE:
        e.life_level[b] = max(e.life_level[b], 1)  # once cleared, a yellow that returns is known
    elif action == RETURN:
        _take_back(e, b)
    e.life_stage[b] = _NEXT[stage, action]
    return ACCEPTED


@kernel
def follow(e, b, level, rest, is_told, is_stale, is_watched, is_new, closing, day, t_ms, deadlines):
    """Follow the case of the bank in slot b at an evaluation; return what changed. Ask again until it is NOTHING.

    level: of what the bank sees, 0: nothing is open. rest: the level without what it has disposed of. is_told: the bank
    is told of it. is_stale: nothing of it can be told at present. is_watched: all that is open only waits for its
    hysteresis. is_new: the case has come with this evaluation. day: number, t_ms: ms. deadlines: what
    `detectors.rules.claim.deadlines_of` returns.
    """
    key, stage = e.case_key[b], e.life_stage[b]
    if not is_told:
        level = 0
    if is_live(e, b):
        if stage == AWAITING and (level == 0 or key != e.life_key[b]):
            e.life_stage[b], e.life_level[b] = CLOSED, 0
            return RESOLVED if is_told else UNDELIVERED
        if level > e.life_level[b]:
            if stage == IN_REVIEW:
                e.life_stage[b] = CHECKING
                _take_back(e, b)
            _start(e, b, level, _clock(False, is_watched, True), day, deadlines)
            return GRAVER
        if is_told and level < e.life_level[b]:
            _start(e, b, level, _clock(is_stale, is_watched, False), day, deadlines)
            return EASED
        if not closing:
            return NOTHING
        waited = _why_it_waits(np.int64(e.life_clock[b]))
        if is_told:  # else nobody hears what has become of it
            e.life_clock[b] = _clock(is_stale, is_watched, e.life_clock[b] & IS_WORK != 0)
        waits = _why_it_waits(np.int64(e.life_clock[b]))
        if waits != waited and _has_deadlines(e, b):
            return waits if waits != NOTHING else CONTINUED
        return OVERDUE if _escalated(e, b, day, deadlines[0]) else NOTHING
    if min(level, rest) == 0:
        return NOTHING  # what there is was disposed of
    was_disposed = stage == CLOSED and key == e.life_key[b] and e.life_level[b] > 0
    is_graver = was_disposed and level > e.life_level[b]
    day_has_come = 0 < e.life_until_day[b] <= day and level <= e.life_level[b]
    e.life_key[b], e.life_stage[b], e.life_opened_ms[b] = key, AWAITING, t_ms
    e.life_disposition[b], e.life_until_day[b], e.life_maker[b] = UNDISPOSED, 0, 0
    _start(e, b, level, _clock(False, is_watched, is_graver or is_new), day, deadlines)
    if was_disposed:
        return RESUMED if day_has_come else REOPENED
    return OPENED


@kernel
def wait(e, b, day):
    """Let deadlines that wait as `day` closes be as many working days away as before."""
    if _waits(e, b) and is_live(e, b) and is_business_day(day):
        if e.life_contact_day[b]:
            e.life_contact_day[b] = working_day_after(np.int64(e.life_contact_day[b]), 1)
        if e.life_visit_day[b]:
            e.life_visit_day[b] = working_day_after(np.int64(e.life_visit_day[b]), 1)


@kernel
def restart(e, b, is_watched, day, deadlines):
    """Let the deadlines of a live case run from `day` on: its bank has heard nothing of it before."""
    _start(e, b, np.int64(e.life_level[b]), _clock(False, is_watched, False), day, deadlines)


@kernel
def due_day(e, b):
    """Return the day up to which the next step is due; 0: none, or its deadlines wait."""
    if _waits(e, b):
        return np.int64(0)
    if e.life_stage[b] <= SIGNED:
        return np.int64(e.life_contact_day[b])
    return np.int64(max(e.life_contact_day[b], e.life_visit_day[b]))


@kernel
def working_day_after(day, count):
    """Return the count-th working day after `day`."""
    while count > 0:
        day += 1
        if is_business_day(day):
            count -= 1
    return day


@kernel
def _start(e, b, level, clock, day, deadlines):
    """Give a case a level and its deadlines from `day` on; where all has cleared, none."""
    contact = visit = np.int64(NO_DATE)
    if level > 0:
        contact, visit = np.int64(deadlines[level, 0]), np.int64(deadlines[level, 1])
    e.life_level[b], e.life_clock[b], e.life_escalation[b] = level, clock, AT_DESK
    e.life_contact_day[b] = working_day_after(day, contact) if contact != NO_DATE else 0
    e.life_visit_day[b] = working_day_after(day, visit) if visit != NO_DATE else 0


@kernel
def _clock(is_stale, is_watched, is_work):
    """Return what deadlines depend on, bits of features/state/lives.py. is_work: it came or became graver so."""
    bits = np.int64(IS_STALE if is_stale else 0)
    if is_watched:
        bits |= IS_WATCHED | (IS_WORK if is_work else 0)
    return bits


@kernel
def _why_it_waits(clock):
    """Return PAUSED or WATCHED, or NOTHING where deadlines run."""
    if clock & IS_STALE:
        return PAUSED
    return WATCHED if clock & (IS_WATCHED | IS_WORK) == IS_WATCHED else NOTHING


@kernel
def _waits(e, b):
    return _why_it_waits(np.int64(e.life_clock[b])) != NOTHING


@kernel
def _has_deadlines(e, b):
    return e.life_contact_day[b] != 0 or e.life_visit_day[b] != 0


@kernel
def _take_back(e, b):
    e.life_disposition[b], e.life_until_day[b] = UNDISPOSED, 0


@kernel
def _escalated(e, b, day, patience):
    """Escalate a case whose due day has passed by so much; return whether it was."""
    due = due_day(e, b)
    if due == 0:
        return False
    late = working_day_after(due, np.int64(patience[0]))
    step = AT_DESK
    if day >= late:
        step = AT_HEAD_OFFICE
        if day >= working_day_after(late, np.int64(patience[1])):
            step = AT_SUPERVISOR
    if step <= e.life_escalation[b]:
        return False
    e.life_escalation[b] = step
    return True
