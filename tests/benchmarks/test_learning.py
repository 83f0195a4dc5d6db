"""The benchmark of learning: its figures at a tiny scale, and the data that it learns from."""

import json
from pathlib import Path

import msgspec
import pytest

from benchmarks import learning, learning_data, results
from config.settings import LearnSettings
from domain.outputs import MonthReport

SETTINGS = LearnSettings(challengers=())


def test_the_memory_is_one_that_a_log_would_have_given() -> None:
    memory = learning_data.memory(SETTINGS, 2, held=400, maturing=200, enterprises=300)
    learner = memory.learner
    assert learner.due_month is None
    for partition in range(2):
        learner.event(learning_data.closing_tick(), partition, learning_data.BEFORE_OFFSET)
    assert learner.due_month == learning_data.MONTH
    learned = learner.learn(learning_data.MONTH)
    assert isinstance(learned.report, MonthReport)
    assert learner.labels["good"] + learner.labels["bad"] == 200
    assert 10 <= learner.labels["bad"] <= 50
    assert learner.ledger.held_count == 200
    assert learned.learned is not None
    assert len(learner.newest(learning_data.MONTH)) in range(60, 70)


def test_every_figure_of_a_run_at_a_tiny_scale_has_its_place_and_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "CHALLENGER_MONTHS", 2)
    monkeypatch.setattr(learning, "PASSED_ROUNDS", 1)
    path = tmp_path / "learning.json"
    learning.run(["--scale", "0.003", "--result", str(path)])
    figures = json.loads(path.read_text())
    assert figures["month_labels"] == 300
    assert figures["month_rebalances"] == 0
    assert figures["month_snapshots"] == 1
    assert figures["switches"] >= 1
    bounds = {name: results.Bound(least=1e-6) for name in learning.BOUNDS if name != "month_rebalances"}
    assert [name for name, bound in bounds.items() if not bound.holds(figures[name])] == []
    assert msgspec.json.encode(figures)
