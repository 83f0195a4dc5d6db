"""Signal rows to arrays: postfix programs, the thresholds of every input, and which signals read what.

A signal's status program follows the order of docs/signals.md: suppressed? below its history? a level true, from red
down? not computable? else clear. Its levels, its hysteresis, the condition of its timer and each term of its
suppression are programs of their own.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from config.catalogue import SignalRow
from detectors.rules import vocabulary
from detectors.rules.conditions import LEVELS, RuleError, Signal
from detectors.rules.grammar import (
    HELD_CLOSES_MAX,
    All,
    AnyOf,
    Comparison,
    Expression,
    Flag,
    Held,
    IsNull,
    Not,
    Seen,
    atoms,
    timers,
)
from features.fields import INPUTS_MAX, LENDER_INPUTS_MAX
from features.state import seen
from features.state.hashing import siphash

FALSE, UNKNOWN, TRUE = range(3)  # Kleene: and = min, or = max, not = 2 - x
LESS, EQUAL, LESS_EQUAL, GREATER, NOT_EQUAL, GREATER_EQUAL = range(1, 7)  # sets of outcomes: less 1, equal 2, greater 4
IS_NULL, SEEN, NOT, HELD, AND, OR, EXIT_IF_TRUE, EXIT_UNLESS_TRUE, RETURN, RETURN_CLEAR = range(7, 17)
CLEAR, YELLOW, ORANGE, RED, NOT_COMPUTABLE, TOO_YOUNG, SUPPRESSED, NOT_APPLICABLE = range(8)
CLOSES_BITS = (
    10  # closes that a level, by its place from yellow, or a hysteresis (place 0) has held: packed into an int
)
CLOSES_MASK = (1 << CLOSES_BITS) - 1
assert HELD_CLOSES_MAX <= CLOSES_MASK
STATUS_BITS = 4  # what a status program returns: the status, above it the number of the suppression that was true
UNKNOWN_BAND, NOT_COMPUTABLE_BAND, NOT_APPLICABLE_BAND, FIRST_BAND = range(4)
SIGNALS_MAX, DEPTH_MAX, THRESHOLDS_MAX = 64, 31, 100
CLAIM_ANCHORS = 8  # of the score, and of its move
NO_PROGRAM = -1
NO_FINDING = -1
_OPERATORS = {
    "<": LESS, "<=": LESS_EQUAL, ">": GREATER, ">=": GREATER_EQUAL, "==": EQUAL, "!=": NOT_EQUAL,
}  # fmt: skip
_SIGNAL_KEY = np.uint64(0x7369676E616C)  # the key of siphash for signal ids

Step = tuple[int, int, float]
Code = list[Step]


class Gate(NamedTuple):
    """Inputs of signals, first those that a transaction may move. `reads` are masks: bit s is signal s.

    An input's band is its place among its thresholds: 2k + 1 bands of k thresholds, in ascending order, from FIRST_BAND
    on. Every second one is a threshold itself: lower = upper. Band b of input i is [lower, upper] at first[i] + b;
    those before FIRST_BAND hold no number.
    """

    slot: npt.NDArray[np.int32]  # (inputs,)
    reads: npt.NDArray[np.uint64]  # (inputs,)
    first: npt.NDArray[np.int32]  # (inputs,)
    lower: npt.NDArray[np.float64]  # (bands,)
    upper: npt.NDArray[np.float64]
    moving: np.int64  # how many inputs a transaction may move
    reads_event: npt.NDArray[np.uint64]  # (events + 1,), by the code of a record, 0 for a record that is none
    reads_day: np.uint64  # those that read any event: a new day may make them forget it
    every: np.uint64


class Rules(NamedTuple):
    """Compiled rules. Shapes: code (steps,), fields of a signal (signals,)."""

    op: npt.NDArray[np.uint8]
    arg: npt.NDArray[np.int32]
    num: npt.NDArray[np.float64]
    key: npt.NDArray[np.uint64]  # hash of the signal's id: what an episode remembers
    status_at: npt.NDArray[np.int32]
    level_at: npt.NDArray[np.int32]  # (signals, 3), without its held(); NO_PROGRAM where the row has no such level
    level_held: npt.NDArray[np.bool_]  # (signals, 3): the level has a held()
    has_held: npt.NDArray[np.bool_]  # (signals,): one of its levels does
    clear_at: npt.NDArray[np.int32]
    watch_at: npt.NDArray[np.int32]
    need: npt.NDArray[np.int32]  # slots that levels and not_computable_when read, one signal after the other
    need_first: npt.NDArray[np.int32]  # (signals + 1,)
    term_at: npt.NDArray[np.int32]  # each term of each suppression
    term_first: npt.NDArray[np.int32]  # (signals + 1,)
    of_platform: np.uint64  # the signals of the platform, a bit each
    common: Gate  # what they read, and what signals of lenders read that is the same for all lenders
    lender: Gate  # what speaks of one lender's loans alone
    lender_moving: npt.NDArray[np.int32]  # (2,): places in that gate of what time and the balance move; -1: not read
    # What a case's level is made of, in thousandths of a logit (detectors/rules/claim.py). Levels: 0, or 1 to 3 for
    # yellow, orange, red. Anchors: linear between them, constant beyond; the last one is repeated to the end.
    case_points: npt.NDArray[np.int32]  # (signals, 4), by level; 0 at level 0
    case_finding: npt.NDArray[np.int8]  # (signals,): number of the finding; NO_FINDING: the signal stands for itself
    case_group: npt.NDArray[np.uint32]  # (signals,): a hash of its finding, or of the signal that stands for itself
    case_alone: npt.NDArray[np.uint8]  # (signals, 4): the least level of a case with the signal at this level
    case_score_at: npt.NDArray[np.int32]  # (CLAIM_ANCHORS,), millipoints
    case_score_logit: npt.NDArray[np.int32]
    case_move_at: npt.NDArray[np.int32]  # (CLAIM_ANCHORS,), points within 30 days
    case_move_logit: npt.NDArray[np.int32]
    case_cut: npt.NDArray[np.int32]  # (4,): the least logit of each level; of level 0 the least int32
    case_intercept: np.int32
    case_eases: np.uint8  # closes in a row below its own cut-off, after which a case eases
    case_cured: np.uint8  # level to which a higher case eases at once where all its episodes wait
    case_cooldown: np.uint8  # days within which a signal that rises again goes on in its episode
    case_claims: np.uint8  # 0: no claim, a case has the level of its highest signal; all of the above says nothing


def compile_signals(signals: Sequence[Signal]) -> Rules:
    """Return the programs of signals whose names are all computed, without a claim over them.

    Raise RuleError where there are too many of them, or one is too large.
    """
    keys = [signal_key(signal.row) for signal in signals]
    if len(signals) > SIGNALS_MAX or len(set(keys)) < len(keys):
        raise RuleError(f"{len(signals)} signals: at most {SIGNALS_MAX}, and each once")
    code: Code = []

    def at(program: Code, signal: Signal) -> int:
        if max(accumulate(1 if op <= SEEN else -(op in (AND, OR)) for op, _, _ in program)) > DEPTH_MAX:
            raise RuleError(f"{signal.row.id}: more than {DEPTH_MAX} operands deep")
        code.extend(program)
        return len(code) - len(program)

    needs = [signal.needs() for signal in signals]
    status_at = [at(_status(signal), signal) for signal in signals]
    level_at = [
        [NO_PROGRAM if level is None else at(_returning(level), signal) for level in signal.bare_levels]
        for signal in signals
    ]
    level_held = [[level is not None and bool(timers(level)) for level in signal.levels] for signal in signals]
    clear_at = [at(_returning(signal.hysteresis), signal) for signal in signals]
    watch_at = [at(_returning(signal.watched), signal) for signal in signals]
    term_at = [at(_returning(term), signal) for signal in signals for term in signal.suppressions]
    common = _gate(signals, INPUTS_MAX, lambda signal, name: not _speaks_of_one(signal, name))
    lender = _gate(signals, LENDER_INPUTS_MAX, _speaks_of_one)
    return Rules(
        op=np.array([op for op, _, _ in code], np.uint8),
        arg=_int32(arg for _, arg, _ in code),
        num=np.array([num for _, _, num in code], np.float64),
        key=np.array(keys, np.uint64),
        status_at=_int32(status_at),
        level_at=_int32(level_at).reshape(-1, len(LEVELS)),
        level_held=np.array(level_held, np.bool_).reshape(-1, len(LEVELS)),
        has_held=np.array([any(some) for some in level_held], np.bool_),
        clear_at=_int32(clear_at),
        watch_at=_int32(watch_at),
        need=_int32(chain.from_iterable(needs)),
        need_first=_ends(map(len, needs)),
        term_at=_int32(term_at),
        term_first=_ends(len(signal.suppressions) for signal in signals),
        of_platform=np.uint64(sum(1 << s for s, signal in enumerate(signals) if not signal.is_lender)),
        common=common,
        lender=lender,
        lender_moving=_int32(_place(lender, name) for name in vocabulary.MOVING),
        case_points=np.zeros((len(signals), len(LEVELS) + 1), np.int32),
        case_finding=np.full(len(signals), NO_FINDING, np.int8),
        case_group=np.array([group_of(key) for key in keys], np.uint32),
        case_alone=np.zeros((len(signals), len(LEVELS) + 1), np.uint8),
        case_score_at=np.zeros(CLAIM_ANCHORS, np.int32),
        case_score_logit=np.zeros(CLAIM_ANCHORS, np.int32),
        case_move_at=np.zeros(CLAIM_ANCHORS, np.int32),
        case_move_logit=np.zeros(CLAIM_ANCHORS, np.int32),
        case_cut=np.zeros(len(LEVELS) + 1, np.int32),
        case_intercept=np.int32(0),
        case_eases=np.uint8(0),
        case_cured=np.uint8(0),
        case_cooldown=np.uint8(0),
        case_claims=np.uint8(0),
    )


def signal_key(row: SignalRow) -> int:
    """Return the 64-bit key of a signal in the state. Under another scope it is another signal."""
    return key_of(row.scope, row.id)


def key_of(scope: str, signal_id: str) -> int:
    """Return the key of the signal with this scope and id."""
    raw = np.frombuffer(f"{scope}:{signal_id}".encode(), np.uint8)
    return int(siphash(raw, 0, len(raw), _SIGNAL_KEY))


def group_of(key: int) -> int:
    """Return the part of a key, not 0, by which the state names a finding, or a signal in none."""
    return key & 0xFFFFFFFF or 1


def _status(signal: Signal) -> Code:
    code: Code = []
    for number, term in enumerate(signal.suppressions):
        code += [*_code(term), (EXIT_IF_TRUE, SUPPRESSED | number << STATUS_BITS, 0.0)]
    code += [*_code(signal.min_history), (EXIT_UNLESS_TRUE, TOO_YOUNG, 0.0)]
    for level in (RED, ORANGE, YELLOW):
        if (condition := signal.levels[level - 1]) is not None:
            code += [*_code(condition, level - 1), (EXIT_IF_TRUE, level, 0.0)]
    if signal.not_computable is not None:
        code += [*_code(signal.not_computable), (EXIT_IF_TRUE, NOT_COMPUTABLE, 0.0)]
    return [*code, (RETURN_CLEAR, 0, 0.0)]


def _returning(node: Expression) -> Code:
    return [*_code(node), (RETURN, 0, 0.0)]


def _code(node: Expression, place: int = 0) -> Code:
    """Return the steps of a condition; `place` is that of its held() among the packed closes."""
    match node:
        case Comparison(name, operator, number):
            return [(_OPERATORS[operator], vocabulary.SLOT_OF[name.text], number)]
        case Flag(name):
            return [(NOT_EQUAL, vocabulary.SLOT_OF[name.text], 0.0)]
        case IsNull(name):
            return [(IS_NULL, vocabulary.SLOT_OF[name.text], 0.0)]
        case Seen(event, days, adverse):
            return [(SEEN, seen.place_of(event.text, adverse=adverse), float(days))]
        case Held(inner, closes):
            return [*_code(inner), (HELD, place, float(closes))]
        case Not(inner):
            return [*_code(inner, place), (NOT, 0, 0.0)]
        case All(parts) | AnyOf(parts):
            join = AND if isinstance(node, All) else OR
            return [
                *_code(parts[0], place),
                *(step for part in parts[1:] for step in (*_code(part, place), (join, 0, 0.0))),
            ]


def _speaks_of_one(signal: Signal, name: str) -> bool:
    """Return whether the signal reads under this name what one lender's loans say."""
    return signal.is_lender and vocabulary.needs_overlay(name)


def _gate(signals: Sequence[Signal], inputs_max: int, takes: Callable[[Signal, str], bool]) -> Gate:
    """Return the inputs (and events) of the status programs that `takes` selects, with their bands and readers.

    Raise RuleError where there are more of them than a row has room for.
    """
    thresholds: dict[int, set[float]] = {}
    reads: dict[int, int] = {}
    reads_event = np.zeros(len(seen.EVENTS) + 1, np.uint64)
    every = 0
    for s, signal in enumerate(signals):
        for atom in chain.from_iterable(map(atoms, signal.status_trees())):
            if not takes(signal, atom.event.text if isinstance(atom, Seen) else atom.name.text):
                continue
            every |= 1 << s
            if isinstance(atom, Seen):
                reads_event[seen.CODE_OF[atom.event.text]] |= np.uint64(1 << s)
                continue
            slot = vocabulary.SLOT_OF[atom.name.text]
            reads[slot] = reads.get(slot, 0) | 1 << s
            numbers = {atom.number} if isinstance(atom, Comparison) else {0.0} if isinstance(atom, Flag) else set()
            thresholds.setdefault(slot, set()).update(numbers)
    slots = sorted(reads, key=lambda slot: (slot in vocabulary.UNMOVED_BY_TXNS, slot))
    if len(slots) > inputs_max:
        raise RuleError(f"signals read {len(slots)} inputs, at most {inputs_max}")
    if any(len(some) > THRESHOLDS_MAX for some in thresholds.values()):
        raise RuleError(f"an input is compared with more than {THRESHOLDS_MAX} numbers")
    bands = [_bands(sorted(thresholds[slot])) for slot in slots]
    return Gate(
        slot=_int32(slots),
        reads=np.array([reads[slot] for slot in slots], np.uint64),
        first=_ends(map(len, bands))[:-1],
        lower=np.array([low for of_input in bands for low, _ in of_input], np.float64),
        upper=np.array([high for of_input in bands for _, high in of_input], np.float64),
        moving=np.int64(sum(slot not in vocabulary.UNMOVED_BY_TXNS for slot in slots)),
        reads_event=reads_event,
        reads_day=np.bitwise_or.reduce(reads_event),
        every=np.uint64(every),
    )


def _bands(thresholds: list[float]) -> list[tuple[float, float]]:
    """Return the least and the greatest number of each band; those before FIRST_BAND hold none."""
    bands, low = [(np.inf, -np.inf)] * FIRST_BAND, -np.inf
    for threshold in thresholds:
        bands += [(low, np.nextafter(threshold, -np.inf)), (threshold, threshold)]
        low = np.nextafter(threshold, np.inf)
    return [*bands, (low, np.inf)]


def _place(gate: Gate, name: str) -> int:
    """Return the place of an input among those of a gate; -1 where no signal reads it."""
    return next((i for i, slot in enumerate(gate.slot.tolist()) if slot == vocabulary.SLOT_OF[name]), -1)


def _ends(sizes: Iterable[int]) -> npt.NDArray[np.int32]:
    return np.cumsum([0, *sizes]).astype(np.int32)


def _int32(numbers: Iterable[object]) -> npt.NDArray[np.int32]:
    return np.array(list(numbers), np.int32)
