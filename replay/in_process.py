"""A recorded log through score in processes of ours, without Kafka and Redis: partition by partition, on all cores.

The same chunks go into the same step as in a worker (streams/score/partition.py), so the outputs are the same bytes. As
in a worker, at most so many enterprises are in memory; the others wait in replay/evicted.py.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from config.settings import LearnSettings
from detectors.prior import prior_id
from detectors.rules.artefact import packaged_rules
from domain import topics
from domain.events import Control
from replay.kept import Kept
from replay.learner import Learned, replay_with_learner
from replay.log_file import LogFile
from replay.partition_run import Consumer, Options, PartitionRun, Replayed, Worker
from replay.processes import Processes
from replay.sources import SourceError
from streams.score.partition import ENGINE_ACTION
from streams.score.version import engine_version
from streams.worker.role import TP

OUTCOMES = ("applied", "duplicate", "conflict", "late", "refused", "tick", "control", "unreadable")
RECORDS_A_PROCESS = 200_000  # at least, before it is worth starting another
SAY_S = 1.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a replay, as `Replayed` of all partitions together.

    `outcomes`: records by what score made of each; `results`: of the consumers, by partition; `busy_s`: of all
    processes together, while they replayed; `learned`: what the
    learner says of itself, and the models that it made, by id in their order, where one was in the loop.
    """

    records: int
    outcomes: dict[str, int]
    outputs: dict[str, int]
    alerts: dict[str, int]
    results: dict[int, Any]
    busy_s: float
    wall_s: float
    learned: Learned | None = None


def replay(
    log: LogFile,
    *,
    consumer: Callable[[int], Consumer],
    processes: int | None = None,
    topics: Collection[str] | None = None,
    month_ends_only: bool = False,
    in_columns: bool = False,
    as_recorded: bool = False,
    rules: bytes | None = None,
    learn: LearnSettings | None = None,
    accepts_all: bool = False,
    keep: Kept | None = None,
    say: Say = lambda _text: None,
) -> Report:
    """Replay all of a log.

    `consumer` makes the receiver of a partition's outputs, in the process that replays it, so it must be picklable
    where there are several `processes` (None: one a core, where there is enough for it). It gets the outputs of
    `topics` (None: of all); others are counted, and not made. `month_ends_only`: of `indicator.v1` it gets only those
    of a month's last day.
    `in_columns`: it is a ColumnConsumer, and gets scores, indicators and alerts as columns.

    `as_recorded`: records keep the offsets that they had, else each partition counts from 0, as a fresh topic does.
    `rules`: an artefact of rules that is in force from the start in place of the packaged one.
    `learn`: the learner is in the loop (replay/learner.py); `accepts_all`: each of its candidates comes into force,
    held or not. `keep`: a folder for the results of finished partitions; a
    partition that is found there is not replayed; not with a learner.

    Alerts that a backfill holds back go to `backfill.alert.v1`, as the supervisor would have got them; episodes still
    open at its end are raised again then, as stock.

    Control records that name an engine are passed over: all of the log is replayed by this one.

    Raise SourceError where the log cannot be read.
    """
    began_s = time.monotonic()
    options = Options(
        topics=None if topics is None else frozenset(topics),
        month_ends_only=month_ends_only,
        in_columns=in_columns,
        as_recorded=as_recorded,
        rules=rules,
    )
    demand_what_it_names(log)
    counts = {number: count for number, count in log.record_counts().items() if count}
    found: dict[int, Replayed] = keep.found() if keep else {}
    wanted = sorted(counts.keys() - found.keys(), key=counts.__getitem__, reverse=True)  # the largest first
    of_use = processes or min(cores(), 1 + sum(map(counts.__getitem__, wanted)) // RECORDS_A_PROCESS)
    progress, learned = _Progress(counts, found, say), None
    if learn is not None:
        found, learned = replay_with_learner(log, wanted, consumer, options, learn, of_use, progress, accepts_all)
    else:
        with Processes(partial(_Worker, log, consumer, options), min(of_use, len(wanted))) as pool:
            for process in range(min(pool.count, len(wanted))):
                pool.call(process, "replay", wanted.pop(0))
            for answer in pool.answers():
                if answer.ends:
                    found[answer.value.partition] = answer.value
                    if keep:
                        keep.keep(answer.value.partition, answer.value)
                    if wanted:
                        pool.call(answer.process, "replay", wanted.pop(0))
                else:
                    progress(answer.value)
    return _report(found, time.monotonic() - began_s, learned)


class _Progress:
    """Says now and then how many records are applied."""

    def __init__(self, counts: Mapping[int, int], found: Mapping[int, Replayed], say: Say) -> None:
        self._total, self._moved = sum(counts.values()), sum(one.records for one in found.values())
        self._say, self._said_s = say, time.monotonic()

    def __call__(self, records: int) -> None:
        self._moved += records
        if time.monotonic() - self._said_s > SAY_S:
            self._said_s = time.monotonic()
            self._say(f"{self._moved:,} of {self._total:,} records applied")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


class _Worker(Worker):
    """Replays partitions, one after the other."""

    def replay(self, number: int) -> Replayed:
        """Replay all of one partition."""
        told_s, moved = time.monotonic(), 0
        run = PartitionRun(self._log, number, self._consumer(number), self._options, self._artefacts, self._writer)
        for part in run.parts():
            run.apply(part)
            moved += len(part)
            if time.monotonic() - told_s > SAY_S:
                self._tell(moved)
                told_s, moved = time.monotonic(), 0
        self._tell(moved)
        return run.finish()


def _report(found: Mapping[int, Replayed], wall_s: float, learned: Learned | None) -> Report:
    outcomes, outputs, alerts = Counter[str](), Counter[str](), Counter[str]()
    for one in found.values():
        outcomes += one.outcomes
        outputs += one.outputs
        alerts += one.alerts
    return Report(
        records=sum(one.records for one in found.values()),
        outcomes={name: outcomes[name] for name in OUTCOMES},
        outputs=dict(sorted(outputs.items())),
        alerts=dict(sorted(alerts.items())),
        results={number: found[number].result for number in sorted(found)},
        busy_s=sum(one.busy_s for one in found.values()),
        wall_s=wall_s,
        learned=learned,
    )


def demand_what_it_names(log: LogFile) -> None:
    """Look at the control records before anything is replayed: each is in every partition, so the smallest will do.

    Raise SourceError where one activates an artefact that the recording does not hold.
    """
    number, artefacts = _smallest(log), log.artefacts()
    for offset, control in log.controls(number):
        where = f"{log.path}: {topics.EVENTS}[{number}], offset {offset}"
        known = {"model": prior_id(), "rules": packaged_rules().id}.get(control.artefact or "")
        name = control.artefact_id or known
        if control.action == "activate" and known and name != known and name not in artefacts:
            raise SourceError(f"{where} activates {control.artefact} {name}, which the recording does not hold")


def engines_named(log: LogFile) -> list[Control]:
    """Return the control records of a log that name an engine, in its order."""
    return [control for _, control in log.controls(_smallest(log)) if control.action == ENGINE_ACTION]


def _smallest(log: LogFile) -> int:
    """Return the partition with the fewest records: control records are in each."""
    counts = {number: count for number, count in log.record_counts().items() if count}
    return min(counts, key=counts.__getitem__, default=0)


def notes_of(log: LogFile) -> list[str]:
    """Return the notes on a log beside its records."""
    ours, theirs = engine_version(), log.head.engine_version
    found = [
        f"{TP(topics.EVENTS, number)} begins at offset {offset}: what stood before it is not in the recording"
        for number in range(log.head.partitions)
        if (offset := log.first_offset(number))
    ]
    if ours != theirs:
        found.append(f"recorded by engine {theirs}, this is {ours}: other outputs than then may follow")
    if others := {control.artefact_id or "none" for control in engines_named(log)} - {ours, theirs}:
        found.append(
            f"parts of it were scored by other engines, named {', '.join(sorted(others))}: all is by {ours} now"
        )
    return found
