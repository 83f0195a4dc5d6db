"""A million records of banks, a tenth of them faults 8 to 16 of the corpus: does each end as it must, and at what cost?

What must become of a record is known before it is sent: of the corpus by hand, of copies, conflicts and late ones by
how they are made. The same number of clean records, through the same workers, is what the rate is compared with.

Every 199th bad record is the next of the corpus' nine cases beyond 16 KiB, the others are its 111 smaller cases in
turn, so that in a million each of the nine comes 55 or 56 times and each of the others 896. Were all drawn alike, the
nine, of up to half a MiB, would be two thirds of all bytes, which no bank sends.
"""

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from benchmarks import drains, live
from benchmarks.live import Engine
from benchmarks.world import feed, history
from benchmarks.world.feed import Transactions
from benchmarks.world.log import World
from benchmarks.world.population import BANKS, bank_id, enterprise_id
from benchmarks.world.survey import OUTCOMES, survey
from benchmarks.world.warm import warm_sums
from benchmarks.world.writing import bank_records
from domain import topics
from domain.calendar import DAY_MS
from domain.events import LogRecord
from domain.outputs import DeadLetter
from replay.offsets import Offsets
from replay.reading import read_topics
from tests.corpus.cases import Case, bad

RECORDS = 1_000_000
FAULTS = range(8, 17)
LARGE_BYTES, LARGE_EVERY = 16_384, 199  # a prime: every bank sends each
BAD_SHARE, TWICE_SHARE, CONFLICT_SHARE, LATE_SHARE = 0.10, 0.01, 0.005, 0.005
_CORPUS_BANK = b"Z9000000000001"
_CORPUS_TIME = re.compile(rb"\b170960000000(\d)\b")  # its cases are at this time, or some milliseconds after it
_say = Console(stderr=True).print
Place = tuple[str, int]  # topic and offset: banks' topics have one partition


@dataclass(slots=True)
class Expected:
    """What must become of the records, by where they stand."""

    refused: dict[Place, str] = field(default_factory=dict)  # reason at ingest
    letters: dict[Place, str] = field(default_factory=dict)  # reason at score: conflict or late
    outcomes: Counter[str] = field(default_factory=Counter)  # at score
    records: int = 0


def measure(world: World, folder: Path, scale: float) -> dict[str, Any]:
    """Rates of clean and of mixed records, and how many records of the mix did not end as they must."""
    folder.mkdir(parents=True)
    wanted = round(RECORDS * scale)
    clean_per_s, _ = _run(world, folder / "clean", wanted, mixed=False)
    mixed_per_s, found = _run(world, folder / "mixed", wanted, mixed=True)
    return {
        "bad_input_records": wanted,
        "bad_input_clean_per_s": round(clean_per_s),
        "bad_input_mixed_per_s": round(mixed_per_s),
        "bad_input_to_clean_rate": round(mixed_per_s / clean_per_s, 3),
        **found,
    }


def _run(world: World, folder: Path, wanted: int, *, mixed: bool) -> tuple[float, dict[str, Any]]:
    with live.engine(world, folder) as running:
        expected = _write(world, running, wanted, mixed=mixed)
        offsets = Offsets(running.settings.kafka)
        banks = {(topics.bank_events(bank.bank_id), 0) for bank in running.settings.banks}
        with live.launched(running) as workers:
            (folder / "go").touch()
            began_s = time.perf_counter()
            drains.wait_committed(offsets, "ingest", offsets.ends(banks), workers)
            log = offsets.ends(offsets.partitions([topics.EVENTS]))
            drains.wait_committed(offsets, "score", log, workers)
            wall_s = time.perf_counter() - began_s
        _say(f"{folder.name}: {expected.records / wall_s:,.0f} records a second")
        return expected.records / wall_s, _compared(world, running, expected)


def _write(world: World, running: Engine, wanted: int, *, mixed: bool) -> Expected:
    """Write the records into banks' topics; what must become of them."""
    writer, expected = drains.LogWriter(running.kafka.address), Expected()
    at: Counter[str] = Counter()
    for topic, key, value, schema, ends_as in _records(world, wanted, mixed=mixed):
        place = (topic, at[topic])
        writer.write(topic, value, key, headers=[] if schema is None else [("schema", schema)])
        at[topic] += 1
        expected.records += 1
        if ends_as in OUTCOMES:
            expected.outcomes[ends_as] += 1
            if ends_as in ("conflict", "late"):
                expected.letters[place] = ends_as
        else:
            expected.refused[place] = ends_as
    writer.flush()
    return expected


Row = tuple[str, bytes | None, bytes | None, bytes | None, str]


def _records(world: World, wanted: int, *, mixed: bool) -> Iterator[Row]:
    """(topic, key, value, schema, how it must end). A repeat comes right behind its original."""
    plain = history.Shape(
        first_day=world.first_day, days=world.warm_days + world.timed_days,
        dense_from=world.warm_days - world.dense_days_before, late_share=0.0, too_late_share=0.0, twice_share=0.0,
    )  # fmt: skip
    found = feed.transactions(world, wanted, plain)
    schema = dict(drains.HEADERS)["schema"]
    faults = _faults()
    extra = _Extra(found)
    count = bads = 0
    for i, record in enumerate(feed.feed(found)):
        if count >= wanted:
            return
        yield record.topic, record.key, record.value, schema, "applied"
        count += 1
        if not mixed:
            continue
        while bads < BAD_SHARE * count:
            yield _fault(next(faults), bads, int(found.events["event_ms"][min(i, len(found.events) - 1)]))
            bads += 1
            count += 1
        for share, ends_as in ((TWICE_SHARE, "duplicate"), (CONFLICT_SHARE, "conflict"), (LATE_SHARE, "late")):
            if i % round(1 / share) == 0 and i < len(found.events):
                yield extra.row(i, ends_as, schema)
                count += 1


class _Extra:
    """Further records of a transaction's enterprise."""

    def __init__(self, found: Transactions) -> None:
        self._found = found

    def row(self, i: int, ends_as: str, schema: bytes) -> Row:
        """Transaction i again, with another amount, or as a new one of ten days ago."""
        event = self._found.events[i : i + 1].copy()
        if ends_as == "conflict":
            event["amount"] += 1
        elif ends_as == "late":
            event["event_ms"] -= 10 * DAY_MS
            event["number"] += 50_000_000
        who = int(event["enterprise"][0])
        profiles = self._found.profiles[who : who + 1]  # of it alone: what is written of one costs as much as of all
        event["enterprise"] = 0
        value = bank_records(event, profiles).value(0)
        bank = bank_id(int(profiles["bank"][0, event["slot"][0]]))
        return topics.bank_events(bank), enterprise_id(int(profiles["number"][0])).encode(), value, schema, ends_as


def _faults() -> Iterator[Case]:
    """The cases of the corpus, as the module says."""
    cases = [case for case in bad() if case.fault in FAULTS and case.writer == "bank"]
    large = cycle(case for case in cases if len(case.payload or b"") > LARGE_BYTES)
    small = cycle(case for case in cases if len(case.payload or b"") <= LARGE_BYTES)
    return (next(large if number % LARGE_EVERY == 0 else small) for number in range(RECORDS))


def _fault(case: Case, number: int, event_ms: int) -> Row:
    """A case of the corpus, as one of our banks would send it now."""
    bank = bank_id(number % BANKS)
    payload = case.payload
    if payload is not None:
        payload = payload.replace(_CORPUS_BANK, bank.encode())
        payload = _CORPUS_TIME.sub(lambda found: str(event_ms + int(found[1])).encode(), payload)
    return topics.bank_events(bank), None, payload, case.schema, case.reason


def _compared(world: World, running: Engine, expected: Expected) -> dict[str, Any]:
    """Every letter against what was expected where it stands; the other outcomes by their sums."""
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
        "bad_input_refused": dict(Counter(expected.refused.values())),
        "bad_input_outcomes": dict(expected.outcomes),
        "bad_input_unexpected": len(wrong) + _unexpected_sums(world, sums, expected),
        "bad_input_unexpected_first": [list(map(str, item)) for item in sorted(wrong.items())[:10]],
    }


def _differing(wanted: dict[Place, str], found: dict[Place, str]) -> dict[Place, tuple[str | None, str | None]]:
    places = wanted.keys() | found.keys()
    return {place: (wanted.get(place), found.get(place)) for place in places if wanted.get(place) != found.get(place)}


def _unexpected_sums(world: World, sums: dict[str, int], expected: Expected) -> int:
    before = warm_sums(world)
    return sum(abs(sums[name] - before[name] - expected.outcomes[name]) for name in OUTCOMES)
