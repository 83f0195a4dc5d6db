"""The history of runs, and the tables of the benchmarks' pages made from it."""

import argparse
import json
from pathlib import Path

import pytest

from benchmarks import machine, results, simulator, warning, warning_score
from benchmarks.__main__ import BENCHMARKS
from benchmarks.results import Bound
from docs.generate import benchmarks as pages


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(results, "HISTORY", tmp_path / "history.jsonl")
    monkeypatch.setattr(machine, "is_dirty", lambda _: False)
    return tmp_path


def report(scale: float = 1.0, restart_s: float = 3.5) -> int:
    args = argparse.Namespace(scale=scale, result=None)
    figures = {"restart_s": restart_s, "takeover_s": 8.0, "restart_s_runs": [3.5]}
    return results.report("recovery", args, figures, {"restart_s": Bound(most=3.0), "takeover_s": Bound(most=9.0)})


def test_a_whole_run_of_a_committed_tree_is_remembered(folder: Path) -> None:
    assert report() == 1, "a bound is missed"
    assert report(restart_s=2.5) == 0
    (_, line) = map(json.loads, (folder / "history.jsonl").read_text(encoding="utf-8").splitlines())
    document = json.loads((folder / "recovery.json").read_text(encoding="utf-8"))
    assert line == {key: value for key, value in document.items() if key in line}
    assert line["restart_s"] == 2.5
    assert {"versions", "restart_s_runs", "dirty", "scale"}.isdisjoint(line)


def test_each_benchmark_has_its_place_on_the_page_and_so_have_its_bounds() -> None:
    titled = {title.removesuffix("_memory").removesuffix("_processes") for title in pages._TITLES}
    assert set(BENCHMARKS) | {"warning_data", "warning_score"} == titled
    assert pages._TITLES.keys() == pages._FIGURES.keys()
    for module in (simulator, warning, warning_score):
        name = module.__name__.rpartition(".")[2]
        assert module.BOUNDS.keys() <= pages._FIGURES[name].keys()


def test_a_part_of_a_run_and_a_run_of_no_version_are_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report(scale=0.05)
    monkeypatch.setattr(machine, "is_dirty", lambda _: True)
    report()
    assert not (folder / "history.jsonl").exists()


def test_a_run_in_the_history_makes_a_row_with_its_bounds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report()
    monkeypatch.setattr(pages, "HISTORY", folder / "history.jsonl")
    (run,) = pages.runs.__wrapped__()["recovery"]
    rows = {row[0]: row[1:] for row in pages._figures("recovery", run)}
    assert rows["restart, s"] == ("3.5", "≤ 3", "missed")
    assert rows["takeover, s"] == ("8.0", "≤ 9", "met")


def test_a_bound_that_the_page_does_not_name_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = argparse.Namespace(scale=1.0, result=None)
    results.report("recovery", args, {"colour": 3}, {"colour": Bound(least=2)})
    monkeypatch.setattr(pages, "HISTORY", folder / "history.jsonl")
    with pytest.raises(ValueError, match=r"history\.jsonl line 1: bounds without a name here: colour"):
        pages.runs.__wrapped__()


@pytest.mark.parametrize("name", ["latency", "recovery", "rules", "state", "throughput", "two_commands"])
def test_the_newest_row_of_a_benchmark_is_that_of_its_document(name: str) -> None:
    document = json.loads((results.FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    newest = pages.newest(name)
    assert newest == {key: document[key] for key in newest}
