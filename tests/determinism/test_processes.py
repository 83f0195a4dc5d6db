"""The same as test_in_memory, by real workers: one or two of them, killed at random, and the ledger balances after."""

import pytest

from features.redis_store import connect
from replay.ledger import take_stock
from tests.determinism import log as logs
from tests.determinism import processes
from tests.determinism.runs import run
from tests.determinism.test_in_memory import require_equal, say_and_require

PARTITIONS = 4
# (batch, rows of the output book, workers): each pair of values stands in one of them
RUNS = ((7, 67, 1), (4_000, 200, 2), (7, 8_192, 2))


@pytest.fixture(scope="module")
def made(module_seed):
    """The log, and what the run in memory says of it."""
    log = logs.make(module_seed, enterprises=120, partitions=PARTITIONS, old_every=2)
    clean = run(log, batch=4_000, book_rows=8_192)
    say_and_require(log, clean)
    return log, clean


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("batch", "book_rows", "workers"), RUNS)
def test_workers_killed_at_random_change_no_byte(
    made, kafka_factory, redis_url, tmp_path, seed, batch, book_rows, workers
):
    log, clean = made
    bootstrap = kafka_factory().address
    settings = processes.settings_of(bootstrap, redis_url, PARTITIONS, f"b{batch}r{book_rows}w{workers}", batch)
    got = processes.run(settings, log, tmp_path, book_rows=book_rows, workers=workers, kills=2, seed=seed)
    print(f"kills {dict(got.kills)}, records by worker {dict(got.records)}, messages repeated {got.said.repeats}")
    assert got.kills.total() > 0
    assert len(got.records) == workers
    assert sum(got.records.values()) == sum(len(rows) for rows in log.partitions)
    require_equal(got, clean)
    ledger = take_stock(settings, connect(redis_url, 10.0))
    assert ledger.balanced, [check for check in ledger.checks if not check.holds]
