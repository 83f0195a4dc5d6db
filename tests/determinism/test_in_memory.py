"""Determinism in memory: one log gives the same bytes for all batches, slices of sweeps, row caches and kills."""

from collections import Counter

import pytest

from domain import topics
from features.values import Value
from streams.score.outbook import OUTPUTS_PER_EVALUATION_MAX
from tests.determinism import log as logs
from tests.determinism.pairs import missing_pairs
from tests.determinism.runs import STEPS, UNBOUNDED, Run, Shape, run

TINY = 3
LEAST = OUTPUTS_PER_EVALUATION_MAX + 1  # a book of so few rows interrupts a sweep after each evaluation
MORE = LEAST + 133
LEVELS = {
    "batch": (1, 7, 4_000), "book_rows": (LEAST, MORE, 8_192), "resident_max": (TINY, UNBOUNDED), "sweep": (1, 512)
}  # fmt: skip
ROWS = (
    (1, LEAST, TINY, 1), (1, MORE, UNBOUNDED, 512), (1, 8_192, UNBOUNDED, 1),
    (7, LEAST, UNBOUNDED, 512), (7, MORE, TINY, 1), (7, 8_192, TINY, 512),
    (4_000, LEAST, UNBOUNDED, 1), (4_000, MORE, UNBOUNDED, 512), (4_000, 8_192, TINY, 512),
)  # fmt: skip
SHAPES = [Shape(**dict(zip(LEVELS, row, strict=True))) for row in ROWS]
HAPPENED = (
    "duplicate", "old duplicate", "conflict", "reversed", "returned", "late", "too late", "admitted", "unreadable",
    "activate", "backfill_open", "backfill_close", "not canonical", "actions",
)  # fmt: skip
STATES = ("raised", "recurred", "upgraded", "downgraded", "stale", "cleared", "retracted")
CHANGES = (
    "opened", "graver", "listed", "overdue", "signed", "begun", "submitted until a day",
    "submitted without a day", "approved", "returned", "reopened", "resumed",
)  # fmt: skip
REFUSED = ("case_unknown", "case_foreign", "case_finished", "case_out_of_order", "case_by_maker")


def say_and_require(log, clean: Run) -> None:
    """Print the log's contents and the outcomes; fail where one of them is 0."""
    happened = {name: log.put_in[name] for name in HAPPENED}
    counted = clean.outcomes()
    alerts = {state: clean.outputs.alerts[state] for state in STATES}
    cases = {change: clean.outputs.cases[change] for change in CHANGES} | {"kept back": clean.kept_back}
    cases |= {reason: clean.outputs.letters[reason] for reason in REFUSED}
    print(
        f"records {[len(rows) for rows in log.partitions]}, put in {happened}, counted {dict(counted)}, "
        f"alerts {alerts}, cases {cases}"
    )
    told = Counter(topic for topic, _ in clean.outputs.by_key)
    readers = {topic: told[topic] for bank in (logs.PROMPT, logs.TARDY) for topic in _topics_of(bank)}
    for name, count in (happened | dict(counted) | alerts | cases | readers).items():
        assert count > 0, name
    assert counted.total() - counted["closes"] == log.put_in["of enterprises"]
    models = {state.model_id for state in clean.states}
    assert models == {logs.prior_id()}, "switched to another model and back"
    for state in clean.states:
        assert (state.ticks_count, state.controls_count) == (
            log.put_in["ticks"] // len(log.partitions), log.put_in["controls"] // len(log.partitions),
        )  # fmt: skip
        assert state.dead_letters_count == log.put_in["unreadable"] // len(log.partitions)


def _topics_of(bank: str) -> tuple[str, str]:
    return topics.bank_alerts(bank), topics.bank_cases(bank)


def require_equal(got: Run, clean: Run) -> None:
    """Equal state, and equal sequences per topic and key; the failure names the first that differ."""
    ours, theirs = got.outputs.sequences(), clean.outputs.sequences()
    other = sorted((place for place in ours.keys() | theirs.keys() if ours.get(place) != theirs.get(place)), key=repr)
    assert not other, f"{len(other)} sequences differ: {other[:5]}"
    names = sorted(name for name in got.values.keys() | clean.values if got.values.get(name) != clean.values.get(name))
    assert not names, f"{len(names)} values differ: {names[:5]}"
    assert got.digest() == clean.digest()


def require_kills(got: Run, steps: tuple[str, ...]) -> None:
    """Print how often memory was lost before each step; fail where that is 0 for one of `steps`."""
    print(f"kills {dict(got.kills)}, messages repeated {got.outputs.repeats}, digest {got.digest()[:16]}")
    for step in steps:
        assert got.kills[step] > 0, step


@pytest.fixture(scope="module")
def small(module_seed):
    log = logs.make(module_seed, enterprises=60, partitions=2, old_every=1, desks=True)
    clean = run(log)
    say_and_require(log, clean)
    return log, clean


def test_each_pair_of_values_stands_in_a_run():
    rows = [{name: getattr(shape, name) for name in LEVELS} for shape in SHAPES]
    assert missing_pairs(rows, LEVELS) == set()
    assert missing_pairs(rows[1:], LEVELS) != set()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batches_sweep_slices_residency_and_kills_change_no_byte(small, shape, seed):
    log, clean = small
    got = run(log, shape, kill_seed=seed)
    require_kills(got, tuple(step for step in STEPS if step != "evict" or shape.resident_max == TINY))
    assert got.outputs.repeats > 0
    require_equal(got, clean)


@pytest.mark.parametrize("name", ["state", "score", "indicator", "alert", "case"])
def test_the_comparison_sees_a_single_byte(small, name):
    log, clean = small
    got = run(log)
    if name == "state":
        enterprise, value = next(iter(got.values.items()))
        got.values[enterprise] = Value(value.hot, value.cold[:-1] + bytes([value.cold[-1] ^ 1]))
    else:
        place, digests = next((p, digests) for p, digests in got.outputs.by_key.items() if p[0].startswith(name))
        *first, last = digests
        got.outputs.by_key[place] = dict.fromkeys([*first, last[:-1] + bytes([last[-1] ^ 1])])
    with pytest.raises(AssertionError, match="differ"):
        require_equal(got, clean)
