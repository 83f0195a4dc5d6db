"""One backtest, from a recorded log to its report. Options and files are checked before the replay begins."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from config.settings import LearnSettings
from detectors.rules.artefact import RuleSet, decode, packaged_rules
from detectors.rules.vocabulary import INPUTS
from detectors.snapshot import content_id
from domain.calendar import date_of
from replay import in_process
from replay.backtest import ceilings, provenance, timelines, truth
from replay.backtest.collector import TOPICS, Collector
from replay.backtest.datasets import Labels
from replay.backtest.facts import Facts, read_facts
from replay.backtest.measure import Measured, MeasureOptions, measure
from replay.backtest.panel import WARM_UP_DAYS
from replay.backtest.report import LearnedCounts, Origin, Provenance, Report, Timeline
from replay.backtest.truth import Truth, TruthFile
from replay.backtest.world import World, assemble
from replay.log_file import LogFile
from replay.sources import SourceError
from streams.score.version import engine_version

SIMULATED_BANKS = "Z9"  # how codes of simulated banks begin
Progress = Callable[[str], None]


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
    learn: LearnSettings | None = None  # the learner is in the loop
    accepts_all: bool = False  # of its candidates, those that the guard holds too
    processes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """The data known before the replay."""

    facts: list[Facts]
    truth: TruthFile | None
    tuned_on: list[Origin] = field(default_factory=list)
    last_day: int
    known_until: int


def backtest(log: LogFile, options: Options, on_progress: Progress) -> Report:
    """Return the report. Raise SourceError where the log, the truth or an option is wrong, with its name."""
    prepared = _prepare(log, options, on_progress)
    on_progress("replaying the log")
    found = in_process.replay(
        log,
        consumer=Collector,
        processes=options.processes,
        topics=TOPICS,
        month_ends_only=True,
        in_columns=True,
        rules=options.rules,
        learn=options.learn,
        accepts_all=options.accepts_all,
        say=on_progress,
    )
    world = assemble(prepared.facts, list(found.results.values()), prepared.last_day)
    on_progress(f"{len(world.ids):,} enterprises, {len(world.revisions):,} revisions of alerts")
    known_truth, world = _truth(options, prepared, world)
    measure_options = MeasureOptions(
        warm_up_days=options.warm_up_days, seed=options.seed, resamples=options.resamples, without=options.without
    )
    rules = _rules(options)
    table = rules.case if set(world.rules) <= {rules.id} else None  # where others were in force, so was their claim
    measured = measure(world, known_truth, measure_options, ceilings.ceilings, table, on_progress)
    shown: dict[str, list[Timeline]] = {"misses": [], "false_alarms": []}
    if "timelines" not in options.without:
        on_progress("timelines of the worst misses and false alarms")
        shown = timelines.timelines(measured, known_truth)
    notes = _notes(log, has_claim=table is not None)
    report = _report(log, options, prepared, found.records, measured, shown, notes)
    if found.learned is None:
        return report
    said = found.learned.summary
    counts = LearnedCounts(candidates=int(said["snapshots"]), held=int(said["snapshots_held"]))
    return msgspec.structs.replace(report, learned=counts)


def _prepare(log: LogFile, options: Options, on_progress: Progress) -> _Prepared:
    if not options.without & {"ceilings", "ranks"}:
        ceilings.require()
    tuned_on = provenance.packaged() if options.tuned_on is None else provenance.read(options.tuned_on)
    truth_file = None if options.truth is None else truth.read_truth(options.truth)
    in_process.demand_what_it_names(log)
    on_progress("reading the log for facts")
    facts = read_facts(log, options.processes or in_process.cores(), on_progress)
    ends, begins = max(part.last_day for part in facts), min(part.first_day for part in facts)
    last = ends if options.until is None else options.until
    if not begins <= last <= ends:
        raise SourceError(f"--until {date_of(last)}: the log goes from {date_of(begins)} to {date_of(ends)}")
    if begins + options.warm_up_days > last:
        spans = f"{date_of(begins)} to {date_of(last)}"
        raise SourceError(f"--warm-up {options.warm_up_days}: nothing is left of {spans}")
    known_until = options.known_until or (None if truth_file is None else truth_file.known_until) or last
    if options.until is not None and options.known_until is None:
        known_until = last  # as it stood then
    if options.known_until is not None and truth_file is None:
        raise SourceError("--known-until goes with --truth: of its own loans a log knows what it holds, and no more")
    if known_until < last:
        raise SourceError(f"--known-until {date_of(known_until)}: lies before the last judged day, {date_of(last)}")
    if truth_file is not None:
        truth.check_ids(truth_file.rows, [name for part in facts for name in part.enterprises])
    return _Prepared(facts=facts, truth=truth_file, tuned_on=tuned_on, last_day=last, known_until=known_until)


def _truth(options: Options, prepared: _Prepared, world: World) -> tuple[Truth, World]:
    if options.labels is not None:
        return truth.from_labels(options.labels.bad, options.labels.ends, world)
    if prepared.truth is None:
        return truth.from_log(world), world
    return truth.from_file(prepared.truth.rows, world, str(options.truth), prepared.known_until), world


def _report(
    log: LogFile,
    options: Options,
    prepared: _Prepared,
    records: int,
    measured: Measured,
    shown: dict[str, list[Timeline]],
    notes: list[tuple[str, str]],
) -> Report:
    counts = msgspec.structs.replace(measured.counts, records=records)
    world = measured.judge.world
    rules_known = options.tuned_on is not None or set(world.rules) <= {packaged_rules().id}
    judged = _judged_on(log, options, prepared)
    is_result, why_zh, why_en = provenance.verdict(judged, prepared.tuned_on, rules_known=rules_known, bad=counts.bad)
    return Report(
        provenance=Provenance(
            is_result=is_result,
            why_zh=why_zh,
            why_en=why_en,
            judged_on=judged or Origin(name=log.identity, seed="", parameters=""),
            tuned_on=prepared.tuned_on,
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
        notes=notes,
        **measured.figures,
    )


def _silent(measured: Measured, options: Options) -> list[tuple[str, list[str]]]:
    """Return the signals in force that read indicators without a value at any month end, and these indicators."""
    world = measured.judge.world
    never = {
        name for name, column in zip(world.indicators, measured.panel.values.T, strict=True) if np.isnan(column).all()
    }
    found = []
    given = _rules(options)
    for signal in given.evaluated if set(world.rules) <= {given.id} else ():
        lacks = sorted(never & {INPUTS[slot] for slot in signal.needs()})
        if lacks:
            found.append((signal.row.id, lacks))
    return found


def _rules(options: Options) -> RuleSet:
    return packaged_rules() if options.rules is None else decode(options.rules, content_id(options.rules))


def _notes(log: LogFile, *, has_claim: bool) -> list[tuple[str, str]]:
    ours, theirs, found = engine_version(), log.head.engine_version, list[tuple[str, str]]()
    if ours != theirs:
        found.append(
            (
                f"日志由引擎 {theirs} 记录，本引擎是 {ours}：评判的是本引擎会说的，不是当时说过的。",
                f"The log was recorded by engine {theirs}, this is {ours}: what is judged is what this one says, not "
                "what was said then.",
            )
        )
    if not has_claim:
        found.append(
            (
                "日志中生效的规则没有案件表或不止一套：单个信号的数字按案件等于最高信号计算。",
                "The rules in force in the log have no case table, or are several: figures of single signals take a "
                "case to be as high as its highest signal.",
            )
        )
    return found


def _judged_on(log: LogFile, options: Options, prepared: _Prepared) -> Origin | None:
    """Return the judged world; None where it is simulated and does not state its seed."""
    if options.labels is not None:
        return Origin(name=options.labels.name, seed="", parameters="")
    if prepared.truth is not None and prepared.truth.seed:
        return Origin(name="simulated province", seed=prepared.truth.seed, parameters=prepared.truth.parameters)
    if all(bank.bank_id.startswith(SIMULATED_BANKS) for bank in log.banks):
        return None
    return Origin(name=log.identity, seed="", parameters="")
