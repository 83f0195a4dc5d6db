"""The stack machine that runs the programs, and the bands that say which of them need to run.

Inputs of one evaluation: value float64 (INPUT_COUNT,), null uint8 (INPUT_COUNT,) with the codes of features.indicators,
last_day uint16 (seen.PLACES,) day numbers, 0 never; `today` the business day of t. Logic is Kleene's three-valued one.
"""

import numpy as np

from detectors.rules.program import (
    AND,
    CLEAR,
    CLOSES_BITS,
    CLOSES_MASK,
    EQUAL,
    EXIT_IF_TRUE,
    EXIT_UNLESS_TRUE,
    FALSE,
    FIRST_BAND,
    GREATER,
    GREATER_EQUAL,
    HELD,
    IS_NULL,
    LESS,
    NOT,
    NOT_APPLICABLE,
    NOT_APPLICABLE_BAND,
    NOT_COMPUTABLE,
    NOT_COMPUTABLE_BAND,
    OR,
    RETURN,
    SEEN,
    SUPPRESSED,
    TRUE,
    UNKNOWN,
)
from features.indicators import nulls
from kernels.decorators import kernel

_ONE, _TWO_BITS = np.uint64(1), np.uint64(2)
_NO_SIGNAL = np.uint64(0)


@kernel
def closes(held, place):
    """Return the closes at one place of the packed ones."""
    return (held >> (place * CLOSES_BITS)) & CLOSES_MASK


@kernel
def run(rules, pc, value, null, last_day, today, held):
    """Run the program at pc; return a status for a status program, else a truth value.

    held: int64, the packed closes in a row at which what a held() watches was true.
    """
    ops, args, nums = rules.op, rules.arg, rules.num
    top, rest = UNKNOWN, 0  # the stack below `top` lies in `rest`, two bits a value
    unknown = False
    while True:
        op, arg, num = ops[pc], args[pc], nums[pc]
        pc += 1
        if op <= SEEN:
            rest = rest << 2 | top
            if op <= GREATER_EQUAL:
                x = value[arg]
                outcome = LESS if x < num else EQUAL if x == num else GREATER
                top = UNKNOWN if null[arg] != nulls.VALUE else TRUE if op & outcome else FALSE
            elif op == IS_NULL:
                top = TRUE if null[arg] != nulls.VALUE else FALSE
            else:
                top = TRUE if last_day[arg] > 0 and today - np.int64(last_day[arg]) < num else FALSE
        elif op == AND:
            top, rest = min(top, rest & 3), rest >> 2
        elif op == OR:
            top, rest = max(top, rest & 3), rest >> 2
        elif op == NOT:
            top = 2 - top
        elif op == HELD:
            if top == TRUE and closes(held, arg) < num:
                top = FALSE
        elif op == EXIT_IF_TRUE:
            if top == TRUE:
                return np.int64(arg)
            unknown |= top == UNKNOWN and (arg & 15) != SUPPRESSED  # an unknown suppression input does not suppress
            rest = 0
        elif op == EXIT_UNLESS_TRUE:
            if top != TRUE:
                return np.int64(arg)
            rest = 0
        elif op == RETURN:
            return top
        else:
            return np.int64(NOT_COMPUTABLE if unknown else CLEAR)


@kernel
def status(rules, s, value, null, last_day, today, held):
    """Return the status of signal s; NOT_APPLICABLE where it is not computable because there is nothing to measure."""
    result = run(rules, rules.status_at[s], value, null, last_day, today, held)
    if result != NOT_COMPUTABLE:
        return result
    absent = False
    for i in range(rules.need_first[s], rules.need_first[s + 1]):
        why = null[rules.need[i]]
        if why == nulls.NOT_APPLICABLE:
            absent = True
        elif why != nulls.VALUE:
            return np.int64(NOT_COMPUTABLE)
    return np.int64(NOT_APPLICABLE if absent else NOT_COMPUTABLE)


@kernel(forceinline=True)
def moved(gate, value, null, band, count):
    """Return the signals, one bit each, with one of the gate's first `count` inputs out of its band; update the bands.

    band: uint8 (inputs,); UNKNOWN_BAND where it must be found.
    """
    mask = _NO_SIGNAL
    for i in range(count):
        slot, b = gate.slot[i], band[i]
        x, why = value[slot], null[slot]
        if why == nulls.VALUE:
            if in_band(gate, i, x, b):
                continue  # no comparison can have changed
            now = FIRST_BAND
            while x > gate.upper[gate.first[i] + now]:
                now += 1
        else:
            now = NOT_APPLICABLE_BAND if why == nulls.NOT_APPLICABLE else NOT_COMPUTABLE_BAND
        if now != b:
            band[i] = now
            mask |= gate.reads[i]
    return mask


@kernel
def in_band(gate, i, x, band):
    """Return whether x lies within `band` of the gate's input i."""
    k = gate.first[i] + band
    return gate.lower[k] <= x <= gate.upper[k]


@kernel
def has(mask, s):
    """Return whether signal s is in the mask."""
    return (mask >> np.uint64(s)) & _ONE == _ONE
