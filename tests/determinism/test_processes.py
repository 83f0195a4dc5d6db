"""As test_in_memory, by real workers, which die by SIGKILL at every step of the protocol; test_soak has the rest."""

import pytest

from replay.ledger import take_stock
from sinks.redis_store import connect
from streams.score.outbook import OUTPUTS_PER_EVALUATION_MAX
from tests.determinism import log as logs
from tests.determinism import processes
from tests.determinism.pairs import missing_pairs
from tests.determinism.processes import STEPS, ProcessShape, plans_of
from tests.determinism.runs import run
from tests.determinism.test_in_memory import require_equal, require_kills, say_and_require

ENTERPRISES, RECORDS_MIN, DAYS_MIN, PARTITIONS = 150, 18_000, 40, 4
SOME, ALL = 135, 500_000
LEVELS = {"batch": (1, 7, 4_000), "resident_max": (SOME, ALL), "slice_ms": (1, 1_000), "workers": (1, 2)}
EARLY, LATE = ("own", "load", "apply", "drain", "evict"), ("claim", "fetch", "send", "slice", "state", "evict")
# (batch, enterprises in memory of all workers, ms of a slice, workers), and the steps before which they die: each pair
# with as few deaths as can be, and no run whose one worker takes records one by one and evicts before many of them.
RUNS = (
    ((1, SOME, 1, 2), EARLY), ((1, ALL, 1_000, 1), LATE),
    ((7, SOME, 1, 1), LATE), ((7, ALL, 1_000, 2), EARLY),
    ((4_000, SOME, 1_000, 1), EARLY), ((4_000, ALL, 1, 2), LATE),
)  # fmt: skip


@pytest.fixture(scope="module")
def made(module_seed):
    """Return the log, and the result of its run in memory."""
    log = logs.make(module_seed, enterprises=ENTERPRISES, partitions=PARTITIONS, old_every=2, desks=True)
    assert log.put_in["of enterprises"] >= RECORDS_MIN
    assert logs.SPARSE_DAYS + logs.DENSE_DAYS >= DAYS_MIN
    clean = run(log)
    assert len(clean.values) == ENTERPRISES
    say_and_require(log, clean)
    return log, clean


def possible(steps, resident_max):
    """Nobody is evicted where there is room for all."""
    return tuple(step for step in steps if step != "evict" or resident_max == SOME)


def test_each_pair_of_values_and_steps_stands_in_a_run():
    rows = [
        {**(values := dict(zip(LEVELS, row, strict=True))), "step": set(possible(steps, values["resident_max"]))}
        for row, steps in RUNS
    ]
    assert missing_pairs(rows, {**LEVELS, "step": STEPS}) == {("resident_max", ALL, "step", "evict")}


@pytest.mark.parametrize(("values", "steps"), RUNS, ids=str)
def test_workers_killed_at_every_step_change_no_byte(made, engine_kafka, redis_url, tmp_path, seed, values, steps):
    levels = dict(zip(LEVELS, values, strict=True))
    room = levels.pop("resident_max") // levels["workers"]
    shape = ProcessShape(**levels, resident_max=room, book_rows=OUTPUTS_PER_EVALUATION_MAX + 134)
    settings = processes.settings_of(engine_kafka, redis_url, PARTITIONS, f"r{RUNS.index((values, steps))}", shape)
    steps = possible(steps, values[1])
    log, clean = made
    got = processes.run(settings, log, tmp_path, shape, plans_of(steps, shape.workers, seed))
    print(f"records by worker {dict(got.records)}")
    require_kills(got, steps)
    assert len(got.records) == shape.workers
    assert sum(got.records.values()) == sum(len(rows) for rows in log.partitions)
    require_equal(got, clean)
    ledger = take_stock(settings, connect(redis_url, 10.0))
    assert ledger.balanced, [check for check in ledger.checks if not check.holds]
