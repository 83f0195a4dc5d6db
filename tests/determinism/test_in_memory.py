"""The same log gives the same bytes, whatever the batches, the slices of sweeps and the kills: in memory, all of it."""

import itertools

import pytest

from features.values import Value
from tests.determinism import log as logs
from tests.determinism.runs import Run, run

BATCHES, BOOKS = (1, 7, 4_000), (67, 200, 8_192)  # a book of 67 rows interrupts a sweep after each evaluation
HAPPENED = (
    "duplicate", "old duplicate", "conflict", "reversed", "returned", "late", "too late", "unreadable", "activate",
    "backfill_open", "backfill_close", "not canonical",
)  # fmt: skip
STATES = ("raised", "upgraded", "downgraded", "stale", "cleared")


def say_and_require(log, clean: Run) -> None:
    """Print what the log held and what came of it; fail where any of it is 0."""
    happened = {name: log.put_in[name] for name in HAPPENED}
    counted = {"closes": clean.closes, **clean.outcomes}
    alerts = {state: clean.said.alerts[state] for state in STATES}
    print(f"records {[len(rows) for rows in log.partitions]}, put in {happened}, counted {counted}, alerts {alerts}")
    for name, count in (happened | counted | alerts).items():
        assert count > 0, name
    assert sum(clean.outcomes.values()) == log.put_in["of enterprises"]
    models = {state.model_id for state in clean.states}
    assert models == {logs.prior_id()}, "switched to another model and back"
    for state in clean.states:
        assert (state.ticks_count, state.controls_count) == (
            log.put_in["ticks"] // len(log.partitions), log.put_in["controls"] // len(log.partitions),
        )  # fmt: skip
        assert state.dead_letters_count == log.put_in["unreadable"] // len(log.partitions)


def require_equal(got: Run, clean: Run) -> None:
    """Equal state, and equal sequences per topic and key; the failure names the first that differ."""
    ours, theirs = got.said.sequences(), clean.said.sequences()
    other = sorted((place for place in ours.keys() | theirs.keys() if ours.get(place) != theirs.get(place)), key=repr)
    assert not other, f"{len(other)} sequences differ: {other[:5]}"
    names = sorted(name for name in got.values.keys() | clean.values if got.values.get(name) != clean.values.get(name))
    assert not names, f"{len(names)} values differ: {names[:5]}"
    assert got.digest() == clean.digest()


@pytest.fixture(scope="module")
def small(module_seed):
    log = logs.make(module_seed, enterprises=120, partitions=2, old_every=2)
    clean = run(log, batch=4_000, book_rows=8_192)
    say_and_require(log, clean)
    return log, clean


@pytest.mark.parametrize(("batch", "book_rows"), list(itertools.product(BATCHES, BOOKS)))
def test_batches_sweep_slices_and_kills_change_no_byte(small, batch, book_rows, seed):
    log, clean = small
    got = run(log, batch=batch, book_rows=book_rows, kills=8, seed=seed)
    print(f"batch {batch}, book {book_rows}, kills {dict(got.kills)}, messages repeated {got.said.repeats}")
    assert got.kills.total() == 8 * len(log.partitions)
    assert got.said.repeats > 0
    require_equal(got, clean)


@pytest.mark.parametrize("name", ["state", "score", "alert"])
def test_the_comparison_sees_a_single_byte(small, name):
    log, clean = small
    got = run(log, batch=4_000, book_rows=8_192)
    if name == "state":
        enterprise, value = next(iter(got.values.items()))
        got.values[enterprise] = Value(value.hot, value.cold[:-1] + bytes([value.cold[-1] ^ 1]))
    else:
        place, heard = next((p, heard) for p, heard in got.said.by_key.items() if p[0].startswith(name))
        *first, last = heard
        got.said.by_key[place] = dict.fromkeys([*first, last[:-1] + bytes([last[-1] ^ 1])])
    with pytest.raises(AssertionError, match="differ"):
        require_equal(got, clean)


def test_over_200_000_records_with_batches_of_7_and_4_000(module_seed):
    log = logs.make(module_seed, enterprises=2_000, partitions=2)
    assert log.put_in["of enterprises"] >= 200_000
    clean = run(log, batch=4_000, book_rows=8_192)
    say_and_require(log, clean)
    got = run(log, batch=7, book_rows=200, kills=4, seed=module_seed)
    print(f"batch 7, book 200, kills {dict(got.kills)}, messages repeated {got.said.repeats}, digest {got.digest()}")
    assert got.kills.total() == 8
    assert got.said.repeats > 0
    require_equal(got, clean)
