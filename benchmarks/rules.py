"""Cost of signals: kernel time of an event with the packaged rules, less that with rules without signals.

One process, in memory; decoding, sending and flushing are not in the measured time. Enterprises have a history of 130
days, then days of dense trade in which some collapse or fall silent: once with two lenders each, where some go overdue,
and once without any.
"""

import random
import statistics
import time
from collections.abc import Iterator
from operator import sub
from typing import Any
from unittest import mock

import msgspec

from benchmarks import results
from detectors.rules.artefact import RulesArtefact, decode, packaged_rules
from detectors.snapshot import content_id
from domain.events import Control, LogRecord
from streams.score import partition as partitions
from streams.score.loop import apply_records
from streams.score.partition import Partition
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import BANK, HEADERS, OTHER_BANK, authorization, loan, no_model, record, tick, txn

ENTERPRISES, HISTORY_DAYS, DENSE_DAYS, EVENTS_PER_DAY, ROUNDS, SEED = 200, 130, 12, 40, 5, 7
NO_RULES = RulesArtefact(signals=()).encode()
BOUNDS = {
    "signals_ns_per_event": results.Bound(most=200),
    "signals_ns_per_event_without_lenders": results.Bound(most=100),
}


def run(argv: list[str]) -> int:
    """Measure and write the result; return 1 where signals cost more than their bounds."""
    args = results.arguments(__doc__, argv)
    standing = packaged_rules().evaluated
    figures = {"signals": len(standing), "of_lenders": sum(signal.is_lender for signal in standing)}
    for suffix, lends in ("", True), ("_without_lenders", False):
        history, dense = (list(part) for part in _log(random.Random(SEED), args.scale, lends))
        spent: dict[str, list[float]] = {"packaged": [], "none": []}
        for _ in range(ROUNDS):
            for name, times in spent.items():
                times.append(_ns_per_event(name, history, dense))
        figures |= {
            f"kernel_ns_per_event_without_signals{suffix}": round(statistics.median(spent["none"])),
            f"kernel_ns_per_event{suffix}": round(statistics.median(spent["packaged"])),
            f"signals_ns_per_event{suffix}": round(statistics.median(map(sub, spent["packaged"], spent["none"]))),
            f"rounds_ns{suffix}": spent,
        }
    return results.report("rules", args, figures, BOUNDS)


def _ns_per_event(rules: str, history: list[Any], dense: list[Any]) -> float:
    """Return the CPU time of the kernel for an event of the dense days, in nanoseconds, on this thread."""
    partition = Partition(0, no_model, rules_of=lambda rules_id: decode(NO_RULES, rules_id))
    ns = 0

    def timed(*arguments: Any) -> int:
        nonlocal ns
        began = time.thread_time_ns()
        reached = apply_records(*arguments)
        ns += time.thread_time_ns() - began
        return int(reached)

    _apply(partition, [_control()] if rules == "none" else [], 0)
    _apply(partition, history, 1)
    before = int(partition.state["applied_count"].sum())
    with mock.patch.object(partitions, "apply_records", timed):
        _apply(partition, dense, 1 + len(history))
    return ns / (int(partition.state["applied_count"].sum()) - before)


def _apply(partition: Partition, records: list[Any], first: int) -> None:
    for at in range(0, len(records), 4_000):
        for _ in partition.apply(chunk_of("events.v1", 0, first + at, records[at : at + 4_000])):
            continue


def _control() -> Any:
    control = Control(
        control_id="c", action="activate", artefact="rules", artefact_id=content_id(NO_RULES), by="bench", reason="none"
    )
    return None, msgspec.json.encode(LogRecord(event=control)), HEADERS, 0


def _log(rnd: random.Random, scale: float, lends: bool) -> Iterator[Iterator[Any]]:
    """Yield the history, then the dense days."""
    enterprises = max(1, round(ENTERPRISES * scale))
    yield (record(event) for event in _history(rnd, enterprises, lends))
    yield (record(event) for event in _dense(rnd, enterprises, lends))


def _history(rnd: random.Random, enterprises: int, lends: bool) -> Iterator[Any]:
    for e in range(enterprises if lends else 0):
        yield loan(f"l{e}", f"E{e}", 0, loan_id=f"L{e}")
        yield loan(f"m{e}", f"E{e}", 0, loan_id=f"M{e}", bank_id=OTHER_BANK)
        yield authorization(f"a{e}", f"E{e}")
    for day in range(HISTORY_DAYS):
        for e in range(enterprises):
            yield from (_trade(rnd, f"h{day}-{e}-{j}", e, day) for j in range(2))
        yield tick(day)


def _dense(rnd: random.Random, enterprises: int, lends: bool) -> Iterator[Any]:
    for day in range(HISTORY_DAYS, HISTORY_DAYS + DENSE_DAYS):
        for j in range(EVENTS_PER_DAY):
            for e in range(enterprises):
                if e % 10 or day < HISTORY_DAYS + 3:  # a tenth falls silent
                    yield _trade(rnd, f"d{day}-{e}-{j}", e, day, thin=e % 7 == 0)
        for e in range(day % 20, enterprises if lends else 0, 20):
            yield loan(f"o{day}-{e}", f"E{e}", day, "overdue", loan_id=f"L{e}", dpd=rnd.randrange(40))
        yield tick(day)


def _trade(rnd: random.Random, event_id: str, e: int, day: int, *, thin: bool = False) -> Any:
    credit = rnd.random() < 0.5
    fen = rnd.randrange(10**4, 10**6) // (20 if thin else 1)
    return txn(
        event_id, f"E{e}", day, rnd.randrange(80_000_000), fen, direction="C" if credit else "D",
        purpose="sales" if credit else "purchase", counterparty_id=f"p{rnd.randrange(20)}",
        bank_id=BANK if rnd.random() < 0.5 else OTHER_BANK,
    )  # fmt: skip
