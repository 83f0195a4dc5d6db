"""The page of the simulated province has its measured difficulty."""

import json
from pathlib import Path
from typing import Any

import pytest

from docs.generate import simulator


def world(**changed: Any) -> dict[str, Any]:
    figure = {"value": 0.81234, "low": 0.79, "high": 0.84}
    ranks = dict.fromkeys(("lightgbm_365", "stumps_365", "lightgbm_95", "stumps_95", "score"), figure)
    return {
        "seed": 3, "parameters": "abc", "enterprises": 5_000, "borrowers": 2_487, "bad": 117,
        "bad_rate_year": {"value": 0.037, "low": 0.03, "high": 0.044}, **ranks, **changed,
    }  # fmt: skip


def test_each_world_has_a_column_and_what_could_not_be_learned_is_left_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hardness.json"
    path.write_text(json.dumps({"worlds": [world(), world(seed=4, lightgbm_365=None)]}), encoding="utf-8")
    monkeypatch.setattr(simulator, "HARDNESS", path)
    lines = simulator.hardness().splitlines()
    assert lines[0] == "|  | seed 3, `abc` | seed 4, `abc` |"
    assert "| enterprises, borrowers | 5,000, 2,487 | 5,000, 2,487 |" in lines
    assert "| of a hundred borrowers a year | 3.7 (3.0 to 4.4) | 3.7 (3.0 to 4.4) |" in lines
    assert "| AUC: LightGBM, 12 months | 0.812 (0.790 to 0.840) |  |" in lines


def test_without_a_measurement_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "HARDNESS", tmp_path / "absent.json")
    assert simulator.hardness() == "Not measured on this version."
