"""A million records of banks, a tenth of them bad (benchmarks/world/mixed.py): does each end as it must, at what rate?

Both are drained through the same workers, one after the other and more than once: the machine's speed differs from run
to run by a tenth and more.
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
from benchmarks.world.survey import OUTCOMES, survey
from benchmarks.world.warm import warm_sums
from domain import topics
from domain.events import LogRecord
from domain.outputs import DeadLetter
from replay.offsets import Offsets
from replay.reading import read_topics

RECORDS, RUNS = 1_000_000, 5
_say = Console(stderr=True).print
Place = tuple[str, int]  # topic and offset: banks' topics have one partition
Kind = Literal["clean", "mixed"]


@dataclass(slots=True)
class Expected:
    """The expected fate of each record, by its place."""

    refused: dict[Place, str] = field(default_factory=dict)  # reason at ingest
    letters: dict[Place, str] = field(default_factory=dict)  # reason at score: conflict or late
    outcomes: Counter[str] = field(default_factory=Counter)  # at score
    records: int = 0
    _at: Counter[str] = field(default_factory=Counter)

    def note(self, record: Sent, ends_as: str) -> None:
        """The next record, in the order of sending."""
        place = (record.topic, self._at[record.topic])
        self._at[record.topic] += 1
        self.records += 1
        if ends_as in OUTCOMES:
            self.outcomes[ends_as] += 1
            if ends_as in ("conflict", "late"):
                self.letters[place] = ends_as
        else:
            self.refused[place] = ends_as


def measure(world: World, folder: Path, scale: float) -> dict[str, Any]:
    """Rates of clean and of mixed records, and how many records of the mix did not end as they must."""
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
        **{f"bad_input_{name}": figure for name, figure in found.items()},  # of the last mix, as of each
    }


def _backlog(world: World, folder: Path, wanted: int, kind: Kind) -> tuple[float, dict[str, Any]]:
    """Records a second of a drained backlog, and what became of them."""
    with live.engine(world, folder) as running:
        writer, expected = drains.LogWriter(running.kafka.address), Expected()
        found = mixed.transactions(world, wanted)
        for record, ends_as in mixed.records(found, wanted, mixed=kind == "mixed"):
            writer.write(record.topic, record.value, record.key, headers=record.headers)
            expected.note(record, ends_as)
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
        _say(f"a backlog of {kind} records: {expected.records / wall_s:,.0f} a second")
        return expected.records / wall_s, _compared(world, running, expected)


def _compared(world: World, running: Engine, expected: Expected) -> dict[str, Any]:
    """Return every letter against what was expected where it stands; the other outcomes by their sums."""
    refused: dict[Place, str] = {}
    at_score: dict[tuple[int, int], str] = {}  # by partition and offset of the log
    decoder = msgspec.json.Decoder(DeadLetter)
    for read in read_topics(running.settings.kafka, (topics.DEAD_LETTERS, topics.LATE)):
        letter = decoder.decode(read.value or b"")
        if letter.topic == topics.EVENTS:
            at_score[letter.partition, letter.offset] = letter.reason
        else:
            refused[letter.topic, letter.offset] = letter.reason
    letters: dict[Place, str] = {}
    for read in read_topics(running.settings.kafka, (topics.EVENTS,)):
        if (reason := at_score.get((read.partition, read.offset))) is not None:
            origin = msgspec.json.decode(read.value or b"", type=LogRecord).origin
            assert origin is not None
            letters[origin[0], origin[2]] = reason
    wrong = _differing(expected.refused, refused) | _differing(expected.letters, letters)
    sums = survey(running.settings)
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
