"""One backtest from a recorded log to its report: what is wrong is found before the long part begins."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from detectors.rules.artefact import decode, packaged_rules
from detectors.rules.vocabulary import INPUTS
from detectors.snapshot import content_id
from domain.calendar import date_of
from replay import in_process
from replay.backtest import ceilings, provenance, timelines, truth
from replay.backtest.datasets import Labels
from replay.backtest.facts import Facts, survey
from replay.backtest.gather import TOPICS, Gatherer
from replay.backtest.measure import Call, Measured, measure
from replay.backtest.panel import WARM_UP_DAYS
from replay.backtest.report import Origin, Provenance, Report, Timeline
from replay.backtest.truth import Truth, TruthFile
from replay.backtest.world import World, assemble
from replay.log_file import LogFile
from replay.sources import SourceError
from streams.score.partition import EngineVersionChanged
from streams.score.version import engine_version

SIMULATED_BANKS = "Z9"  # how codes of simulated banks begin
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a backtest. Days are day numbers; None: as the log and the truth have them."""

    truth: Path | None = None
    labels: Labels | None = None  # in place of a truth
    tuned_on: Path | None = None
    rules: bytes | None = None  # an artefact in place of the packaged one
    until: int | None = None
    known_until: int | None = None
    warm_up_days: int = WARM_UP_DAYS
    seed: int = 1
    resamples: int = 500
    without: frozenset[str] = frozenset()  # of measure.PARTS
    processes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """The facts known before the replay."""

    facts: list[Facts]
    truth: TruthFile | None
    tuned_on: list[Origin] = field(default_factory=list)
    last_day: int
    known_until: int


def backtest(log: LogFile, options: Options, say: Say) -> Report:
    """Return the report. SourceError names what is wrong with the log, the truth or an option."""
    ready = _prepare(log, options, say)
    say("replaying the log")
    found = in_process.replay(
        log,
        consumer=Gatherer,
        processes=options.processes,
        topics=TOPICS,
        month_ends_only=True,
        in_columns=True,
        rules=options.rules,
        say=say,
    )
    world = assemble(ready.facts, list(found.results.values()), ready.last_day)
    say(f"{len(world.ids):,} enterprises, {len(world.revisions):,} revisions of alerts")
    told, world = _truth(options, ready, world)
    call = Call(
        warm_up_days=options.warm_up_days, seed=options.seed, resamples=options.resamples, without=options.without
    )
    measured = measure(world, told, call, ceilings.ceilings, say)
    shown: dict[str, list[Timeline]] = {"misses": [], "false_alarms": []}
    if "timelines" not in options.without:
        say("timelines of the worst misses and false alarms")
        shown = timelines.timelines(measured, told)
    return _report(log, options, ready, found.records, measured, shown)


def _prepare(log: LogFile, options: Options, say: Say) -> _Ready:
    if not options.without & {"ceilings", "ranks"}:
        ceilings.require()
    tuned_on = provenance.packaged() if options.tuned_on is None else provenance.read(options.tuned_on)
    told = None if options.truth is None else truth.read_truth(options.truth)
    try:
        in_process.demand_what_it_names(log)
    except EngineVersionChanged as error:
        raise SourceError(str(error)) from error
    say("reading the log for facts")
    facts = survey(log, options.processes or in_process.cores(), say)
    ends, begins = max(part.last_day for part in facts), min(part.first_day for part in facts)
    last = ends if options.until is None else options.until
    if not begins <= last <= ends:
        raise SourceError(f"--until {date_of(last)}: the log goes from {date_of(begins)} to {date_of(ends)}")
    if begins + options.warm_up_days > last:
        spans = f"{date_of(begins)} to {date_of(last)}"
        raise SourceError(f"--warm-up {options.warm_up_days}: nothing is left of {spans}")
    known_until = options.known_until or (None if told is None else told.known_until) or last
    if options.until is not None and options.known_until is None:
        known_until = last  # as it stood then
    if options.known_until is not None and told is None:
        raise SourceError("--known-until goes with --truth: of its own loans a log knows what it holds, and no more")
    if known_until < last:
        raise SourceError(f"--known-until {date_of(known_until)}: lies before the last judged day, {date_of(last)}")
    if told is not None:
        truth.check_ids(told.fates, [name for part in facts for name in part.enterprises])
    return _Ready(facts=facts, truth=told, tuned_on=tuned_on, last_day=last, known_until=known_until)


def _truth(options: Options, ready: _Ready, world: World) -> tuple[Truth, World]:
    if options.labels is not None:
        return truth.from_labels(options.labels.bad, options.labels.ends, world)
    if ready.truth is None:
        return truth.from_log(world), world
    return truth.from_file(ready.truth.fates, world, str(options.truth), ready.known_until), world


def _report(
    log: LogFile, options: Options, ready: _Ready, records: int, measured: Measured, shown: dict[str, list[Timeline]]
) -> Report:
    counts = msgspec.structs.replace(measured.counts, records=records)
    world = measured.judge.world
    rules_known = options.tuned_on is not None or set(world.rules) <= {packaged_rules().id}
    judged = _judged_on(log, options, ready)
    is_result, why_zh, why_en = provenance.verdict(judged, ready.tuned_on, rules_known=rules_known, bad=counts.bad)
    return Report(
        provenance=Provenance(
            is_result=is_result,
            why_zh=why_zh,
            why_en=why_en,
            judged_on=judged or Origin(name=log.identity, seed="", parameters=""),
            tuned_on=ready.tuned_on,
            engine_version=engine_version(),
            recorded_by=log.head.engine_version,
            rules=list(world.rules),
            models=list(world.models),
        ),
        parameters=measured.parameters,
        counts=counts,
        misses=shown["misses"],
        false_alarms=shown["false_alarms"],
        silent=_silent(measured, options),
        notes=_notes(log),
        **measured.figures,
    )


def _silent(measured: Measured, options: Options) -> list[tuple[str, list[str]]]:
    """The signals in force that read an indicator which was never computable at a month end of a borrower at risk."""
    world = measured.judge.world
    never = {
        name for name, column in zip(world.indicators, measured.panel.values.T, strict=True) if np.isnan(column).all()
    }
    found = []
    given = packaged_rules() if options.rules is None else decode(options.rules, content_id(options.rules))
    for signal in given.evaluated if set(world.rules) <= {given.id} else ():
        lacks = sorted(never & {INPUTS[slot] for slot in signal.needs()})
        if lacks:
            found.append((signal.row.id, lacks))
    return found


def _notes(log: LogFile) -> list[tuple[str, str]]:
    ours, theirs = engine_version(), log.head.engine_version
    if ours == theirs:
        return []
    return [
        (
            f"日志由引擎 {theirs} 记录，本引擎是 {ours}：评判的是本引擎会说的，不是当时说过的。",
            f"The log was recorded by engine {theirs}, this is {ours}: what is judged is what this one says, not what "
            "was said then.",
        )
    ]


def _judged_on(log: LogFile, options: Options, ready: _Ready) -> Origin | None:
    """The world that is judged; None where it is simulated and does not say its seed."""
    if options.labels is not None:
        return Origin(name=options.labels.name, seed="", parameters="")
    if ready.truth is not None and ready.truth.seed:
        return Origin(name="simulated province", seed=ready.truth.seed, parameters=ready.truth.parameters)
    if all(bank.bank_id.startswith(SIMULATED_BANKS) for bank in log.banks):
        return None
    return Origin(name=log.identity, seed="", parameters="")
