"""A learner's memory as segments, and back: at any moment, of any size, and refused where it is of something else."""

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import UNSET

from config.settings import LearnSettings
from detectors.learning import observations
from domain import topics
from domain.events import LogRecord
from domain.outputs import Observation
from sinks.checkpoint_topic import Head, Segment, digest
from streams.learn import checkpoint
from streams.learn.checkpoint import CheckpointRefused, Memory, State, restored
from streams.learn.learner import Learner, Month
from tests.streams.learn.test_role import PARTITIONS, PRIOR, Log, made_log

SETTINGS = LearnSettings(labels_per_snapshot_min=100, months_retained=12, challengers=("ftrl",))


class Kept:
    """A checkpoint in memory, and what each writing cost."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.state = b""
        self.sizes: list[int] = []

    def write(self, memory: Memory) -> None:
        draft = memory.take(SETTINGS, "")
        assert not draft.drops & draft.puts.keys()
        assert draft.drops <= self.bodies.keys()
        self.bodies = {n: b for n, b in self.bodies.items() if n not in draft.drops} | draft.puts
        self.state = draft.state
        self.sizes.append(draft.size)
        assert memory.digests == {name: digest(body) for name, body in self.bodies.items()}

    def head(self, **state: Any) -> Head:
        said = msgspec.json.encode(msgspec.structs.replace(msgspec.json.decode(self.state, type=State), **state))
        segments = {name: Segment(i, len(body), digest(body)) for i, (name, body) in enumerate(self.bodies.items())}
        return Head(number=1, holder="t", written_at_ms=0, segments=segments, state=msgspec.Raw(said))

    def restored(self, **state: Any) -> Memory:
        return restored(SETTINGS, range(PARTITIONS), self.head(**state), self.bodies.items(), prior=PRIOR)


def steps_of(log: Log) -> list[tuple[str, int, int, bytes]]:
    """All records, in the order in which a reader of all partitions may get them."""
    rows = [(topic, p, offset, value) for (topic, p), values in log.items() for offset, value in enumerate(values)]
    return sorted(rows, key=lambda row: (row[2] / len(log[row[0], row[1]]), row[0], row[1]))  # type: ignore[index]


def go_on(memory: Memory, step: tuple[str, int, int, bytes]) -> list[bytes]:
    """Take in a record, then learn what is due; return the models."""
    topic, partition, offset, value = step
    learner = memory.learner
    if topic == topics.EVENTS:
        learner.event(msgspec.json.decode(value, type=LogRecord).event, partition, offset)
    else:
        learner.ledger.observe(msgspec.json.decode(value, type=Observation), partition)
    memory.positions[f"{topic}:{partition}"] = offset + 1
    return []


def learn_due(memory: Memory) -> list[bytes]:
    found = []
    while (month := memory.learner.due_month) is not None:
        made = memory.learner.learn(month)
        found.append(msgspec.json.encode(made, order="sorted"))
        memory.pending.append(made)
    return found


def content(memory: Memory) -> Mapping[str, Any]:
    """All that a memory holds, to be compared."""
    learner, ledger = memory.learner, memory.learner.ledger
    return {
        "summary": learner.summary(),
        "rows": [block.rows.tobytes() for block in ledger.table.blocks],
        "facts": {n: [[loan.stored for loan in f.loans], bytes(f.seen), f.outcomes] for n, f in ledger.facts.items()},
        "retained": ledger.retained.tobytes(),
        "closes": learner.partitions,
        "newest_offset": ledger.newest_offset,
        "extras": learner.extras,
        "dispositions": ledger.dispositions,
        "pending": memory.pending,
        "positions": memory.positions,
    }


@pytest.fixture(params=[0, 100], ids=["whole", "in_pieces"])
def _sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, pieces and segments as they are, or so small that there are many of each."""
    if request.param:
        monkeypatch.setattr(observations, "BLOCK_ROWS", request.param)
        monkeypatch.setattr(checkpoint, "PIECE_BYTES", 20_000)
        monkeypatch.setattr(checkpoint, "_FACTS_MAX", 6)


@pytest.mark.usefixtures("_sizes")
def test_memory_restored_at_any_moment_goes_on_as_the_one_that_was_never_lost(seed: int) -> None:
    rng = random.Random(seed)
    log = made_log(seed, months=11, enterprises=40)
    steps = steps_of(log)
    quiet, memory, kept = Memory(learner=learner()), Memory(learner=learner()), Kept()
    models: list[list[bytes]] = [[], []]
    cuts = sorted(rng.sample(range(len(steps)), 12))
    for i, step in enumerate(steps):
        for which, each in enumerate((quiet, memory)):
            go_on(each, step)
            models[which] += learn_due(each)
        if i in cuts:
            memory.learner.extras["record"] = rng.randbytes(rng.randrange(50_000))
            quiet.learner.extras = dict(memory.learner.extras)
            kept.write(memory)
            assert content(kept.restored()) == content(memory)
            if rng.random() < 0.5:
                memory = kept.restored()
    assert content(memory) == content(quiet)
    assert models[0] == models[1]
    assert models[0]
    for _ in range(4):  # segments of facts that the last one has left half empty are joined
        kept.write(memory)
    assert kept.sizes[-1] == 0, "nothing is new"


def test_a_restart_after_more_months_than_are_retained_gives_the_same_reports(seed: int) -> None:
    """The prequential record is cut when a year is dropped; what a restart goes on from has that cut too."""
    log = made_log(seed, months=27, enterprises=20)
    quiet, memory, kept = Memory(learner=learner()), Memory(learner=learner()), Kept()
    months: list[list[bytes]] = [[], []]
    for step in steps_of(log):
        for which, each in enumerate((quiet, memory)):
            go_on(each, step)
            months[which] += learn_due(each)
        if len(months[1]) > len(kept.sizes):
            kept.write(memory)
            memory = kept.restored()
    assert len(months[0]) == len(kept.sizes) >= 26
    assert months[0] == months[1]
    last = msgspec.json.decode(months[0][-1], type=Month).report
    assert last is not None
    labels = quiet.learner.labels["good"] + quiet.learner.labels["bad"]
    assert max(one.n for one in last.models if one.window == "all") < labels, "a year was dropped"
    assert content(memory) == content(quiet)


def test_dispositions_are_counted_by_label_told_by_month_and_move_no_label_and_no_model(seed: int) -> None:
    log = made_log(seed, months=8)
    silent = {
        tp: [
            msgspec.json.encode(msgspec.structs.replace(msgspec.json.decode(v, type=Observation), dispositions=UNSET))
            if tp.topic == topics.OBSERVATION
            else v
            for v in values
        ]
        for tp, values in log.items()
    }
    found = []
    for each in (log, silent):
        memory, months = Memory(learner=learner()), []
        for step in steps_of(each):
            go_on(memory, step)
            while (month := memory.learner.due_month) is not None:
                months.append(memory.learner.learn(month))
        found.append((memory.learner, months))
    (told, with_them), (untold, without) = found
    reports = [one.report for one in with_them if one.report]
    total: Counter[tuple[str, str]] = Counter()
    for report in reports:
        total.update({(said, kind): n for said, kinds in report.dispositions.items() for kind, n in kinds.items()})
    counts = told.ledger.dispositions.counts
    assert total == {(said, kind): n for said, kinds in counts.items() for kind, n in kinds.items()}
    labelled = told.ledger.seen_count - told.ledger.held_count
    assert 0 < sum(counts["known"].values()) == sum(counts["false_alarm"].values()) < labelled
    assert {"good", "bad"} <= {kind for kinds in counts.values() for kind in kinds}
    bare = [
        msgspec.structs.replace(one, report=one.report and msgspec.structs.replace(one.report, dispositions={}))
        for one in with_them
    ]
    assert bare == without
    assert told.summary() == untold.summary()


def learner() -> Learner:
    return Learner(SETTINGS, range(PARTITIONS), prior=PRIOR)


def some_kept() -> Kept:
    memory, kept = Memory(learner=learner()), Kept()
    for step in steps_of(made_log(1, months=5, enterprises=10)):
        go_on(memory, step)
    learn_due(memory)
    kept.write(memory)
    return kept


def test_a_checkpoint_of_another_log_or_of_a_later_engine_is_refused_by_name() -> None:
    kept = some_kept()
    with pytest.raises(CheckpointRefused, match="of a log of 3 partitions, this one has 2"):
        kept.restored(partitions=3)
    with pytest.raises(CheckpointRefused, match="indicators that this engine has not: of_later"):
        kept.restored(indicators=(*observations.INDICATORS, "of_later"))
    with pytest.raises(CheckpointRefused, match="loan events"):
        kept.restored(events=("other",))


def test_indicators_that_an_older_engine_had_not_are_null_and_all_is_written_anew() -> None:
    kept = some_kept()
    now = kept.restored()
    rows = np.concatenate([block.rows for block in now.learner.ledger.table.blocks])
    before = tuple(observations.INDICATORS[2:])
    example = np.dtype(
        [(n, observations.EXAMPLE[n]) for n in observations.EXAMPLE.names if n not in ("value", "null")]
        + [("value", "<f8", (len(before),)), ("null", "u1", (len(before),))]
    )
    old = np.zeros(len(rows), [("example", example)] + [(n, observations.ROW[n]) for n in observations.ROW.names[1:]])
    for name in observations.ROW.names[1:]:
        old[name] = rows[name]
    for name in example.names or ():
        old["example"][name] = rows["example"][name][:, 2:] if name in ("value", "null") else rows["example"][name]
    (name,) = [name for name in kept.bodies if name.startswith("rows-")]
    kept.bodies[name] = old.tobytes()
    found = kept.restored(indicators=before)
    (block,) = found.learner.ledger.table.blocks
    assert np.isnan(block.rows["example"]["value"][:, :2]).all()
    np.testing.assert_array_equal(block.rows["example"]["value"][:, 2:], rows["example"]["value"][:, 2:])
    assert block.rows["id"].tolist() == rows["id"].tolist()
    kept.write(found)
    assert content(kept.restored()) == content(found)
