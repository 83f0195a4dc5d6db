"""A million records of banks, a tenth of them bad (benchmarks/world/mixed.py): outcome of each, and rate.

Clean and mixed records are drained through the same workers, in turns, several times: the machine's speed differs from
run to run by a tenth and more.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import msgspec
from rich.console import Console

from benchmarks import drains, live
from benchmarks.live import Engine
from benchmarks.world import mixed
from benchmarks.world.feed import Sent
from benchmarks.world.log import World
from benchmarks.world.state_sums import OUTCOMES, state_sums
from benchmarks.world.warm import warm_sums
from domain import topics
from domain.events import LogRecord
from domain.outputs import DeadLetter
from replay.offsets import Offsets
from replay.reading import read_topics

RECORDS, RUNS = 1_000_000, 5
_print = Console(stderr=True).print
Place = tuple[str, int]  # topic and offset: banks' topics have one partition
Kind = Literal["clean", "mixed"]


@dataclass(slots=True)
class Expected:
    """The expected outcome of each record, by its topic and offset."""

    refused: dict[Place, str] = field(default_factory=dict)  # reason at ingest
    dead_letters: dict[Place, str] = field(default_factory=dict)  # reason at score: conflict or late
    outcomes: Counter[str] = field(default_factory=Counter)  # at score
    records: int = 0
    _at: Counter[str] = field(default_factory=Counter)

    def add(self, record: Sent, outcome: str) -> None:
        """Append the next record, in the order of sending."""
        place = (record.topic, self._at[record.topic])
        self._at[record.topic] += 1
        self.records += 1
        if outcome in OUTCOMES:
            self.outcomes[outcome] += 1
            if outcome in ("conflict", "late"):
                self.dead_letters[place] = outcome
        else:
            self.refused[place] = outcome


def measure(world: World, folder: Path, scale: float) -> dict[str, Any]:
    """Return the rates of clean and of mixed records, and the number of unexpected outcomes."""
    folder.mkdir(parents=True)
    wanted = round(RECORDS * scale)
    rates: dict[Kind, list[float]] = {"clean": [], "mixed": []}
    unexpected, first = 0, list[list[str]]()
    for i in range(RUNS):
        for kind, of_kind in rates.items():
            per_s, found = _backlog(world, folder / f"{kind}{i}", wanted, kind)
            of_kind.append(per_s)
            unexpected += found.pop("unexpected")
            first += found.pop("unexpected_first")
    clean_per_s, mixed_per_s = median(rates["clean"]), median(rates["mixed"])
    return {
        "bad_input_records": wanted,
        **{f"bad_input_{kind}_per_s_runs": list(map(round, of_kind)) for kind, of_kind in rates.items()},
        "bad_input_clean_per_s": round(clean_per_s),
        "bad_input_mixed_per_s": round(mixed_per_s),
        "bad_input_to_clean_rate": round(mixed_per_s / clean_per_s, 3),
        "bad_input_unexpected": unexpected,
        "bad_input_unexpected_first": first[:10],
        **{f"bad_input_{name}": figure for name, figure in found.items()},  # of the last mixed run, the same in each
    }


def _backlog(world: World, folder: Path, wanted: int, kind: Kind) -> tuple[float, dict[str, Any]]:
    """Return the records a second of a drained backlog, and the outcomes of its records."""
    with live.engine(world, folder) as running:
        writer, expected = drains.BulkProducer(running.kafka.address), Expected()
        found = mixed.transactions(world, wanted)
        for record, outcome in mixed.records(found, wanted, mixed=kind == "mixed"):
            writer.write(record.topic, record.value, record.key, headers=record.headers)
            expected.add(record, outcome)
        writer.flush()
        offsets = Offsets(running.settings.kafka)
        banks = {(topics.bank_events(bank.bank_id), 0) for bank in running.settings.banks}
        with live.launched(running) as workers:
            (folder / "go").touch()
            began_s = time.perf_counter()
            drains.wait_committed(offsets, "ingest", offsets.ends(banks), workers)
            log = offsets.ends(offsets.partitions([topics.EVENTS]))
            drains.wait_committed(offsets, "score", log, workers)
            wall_s = time.perf_counter() - began_s
        _print(f"a backlog of {kind} records: {expected.records / wall_s:,.0f} a second")
        return expected.records / wall_s, _compared(world, running, expected)


def _compared(world: World, running: Engine, expected: Expected) -> dict[str, Any]:
    """Compare each dead letter with the expected one at its place, and the other outcomes by their counts."""
    refused: dict[Place, str] = {}
    at_score: dict[tuple[int, int], str] = {}  # by partition and offset of the log
    decoder = msgspec.json.Decoder(DeadLetter)
    for read in read_topics(running.settings.kafka, (topics.DEAD_LETTERS, topics.LATE)):
        dead_letter = decoder.decode(read.value or b"")
        if dead_letter.topic == topics.EVENTS:
            at_score[dead_letter.partition, dead_letter.offset] = dead_letter.reason
        else:
            refused[dead_letter.topic, dead_letter.offset] = dead_letter.reason
    dead_letters: dict[Place, str] = {}
    for read in read_topics(running.settings.kafka, (topics.EVENTS,)):
        if (reason := at_score.get((read.partition, read.offset))) is not None:
            origin = msgspec.json.decode(read.value or b"", type=LogRecord).origin
            assert origin is not None
            dead_letters[origin[0], origin[2]] = reason
    wrong = _differing(expected.refused, refused) | _differing(expected.dead_letters, dead_letters)
    sums = state_sums(running.settings)
    return {
        "refused": dict(Counter(expected.refused.values())),
        "outcomes": dict(expected.outcomes),
        "unexpected": len(wrong) + _unexpected_sums(world, sums, expected),
        "unexpected_first": [list(map(str, item)) for item in sorted(wrong.items())[:10]],
    }


def _differing(wanted: dict[Place, str], found: dict[Place, str]) -> dict[Place, tuple[str | None, str | None]]:
    places = wanted.keys() | found.keys()
    return {place: (wanted.get(place), found.get(place)) for place in places if wanted.get(place) != found.get(place)}


def _unexpected_sums(world: World, sums: dict[str, int], expected: Expected) -> int:
    before = warm_sums(world)
    return sum(abs(sums[name] - before[name] - expected.outcomes[name]) for name in OUTCOMES)
