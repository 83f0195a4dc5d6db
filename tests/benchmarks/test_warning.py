"""The worlds that warnings are judged on, and the page that is written of the results."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import warning, warning_doc
from replay.province.population import Population


def test_a_world_follows_from_the_simulator_and_not_from_the_rules() -> None:
    found = warning.simulator_sources()
    assert {"replay/province/life.py", "domain/events.py", "config/workdays.csv"} <= set(found)
    assert not {"config/signals.csv", "config/indicators.csv"} & set(found)


def test_a_world_is_kept_until_the_simulator_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warning, "cache_root", lambda: tmp_path)
    population, timer = Population(enterprises=20, months=2, seed=3), warning._Timer("small")
    log, truth = warning._log_of(population, timer)
    made = log.stat().st_mtime_ns
    assert truth.exists()
    assert warning._log_of(population, timer)[0].stat().st_mtime_ns == made
    monkeypatch.setattr(warning, "simulator_digest", lambda: "0" * 64)
    half = log.with_name(f".{log.name}.abc")
    half.write_bytes(b"killed")
    other, _ = warning._log_of(population, timer)
    assert other != log
    assert not log.exists(), "gigabytes that nobody asks for"
    assert not half.exists()
    assert sorted(path.name.replace(other.name, "") for path in other.parent.iterdir()) == [
        "", ".truth.csv", ".truth.parquet",
    ]  # fmt: skip


def figure(value: float) -> dict[str, Any]:
    return {"value": value, "low": value / 2, "high": min(1.0, value * 2), "n": 9}


def document(load: float, records: int = 5) -> dict[str, Any]:
    worth = {
        "warned": {days: figure(load / 100) for days in ("30", "60", "90", "180")},
        "lead": dict.fromkeys(("lower_quartile", "median", "upper_quartile"), figure(20.0)),
        "precision": {days: figure(0.2) for days in ("183", "365")},
    }
    week = {"mean": 1.5, "most": 4}
    desks = {
        "per_1000_borrowers": figure(load),
        "per_1000_enterprises": figure(load),
        "bank_week": week,
        "standing_share": figure(0.3),
    }
    world = {
        "name": "seed 11", "is_result": True, "judged_on": {"name": "x", "seed": "11", "parameters": "abc"},
        "parameters": {"judged_first": "2025-01-01", "judged_last": "2026-01-01"},
        "counts": {
            "records": records, "enterprises": 9, "borrowers": 8, "bad": 2, "defaulted": 1, "bad_at_start": 0,
            "bad_rate_year": figure(0.03),
        },
        "load": [desks, desks], "cases": [worth],
        "budgets": [{"policy": "score", "budget": budget, **worth} for budget in (6, 12, 24, 50)],
        "signals": [
            {
                "signal": "EWS01_inflow_collapse", "alerts_orange_red": figure(1.0), "alone_precision_183": figure(0.2),
                "fewer_cases": figure(1.0), "lost_warnings": figure(0.0), "adds": figure(0.0),
            }
        ],
        "separation": [{"rank": "score", "horizon_days": 365, "auc": figure(0.8)}],
        "groups": [{"group": "fraud", "per_1000_borrowers": figure(load), "bad": 1, "warned_60": figure(0.1)}],
        "quiet": ["EWS48_adverse_gov_event"],
        "silent": [["EWS10_short_runway", ["runway_30d_days"]]], "seconds": {"replay": 7},
    }  # fmt: skip
    return {
        "measured": "2026-11-30T10:00Z", "commit": "abc", "machine": "two cores", "engine_version": "0123",
        "judging_s": 61, "worlds": [world],
    }  # fmt: skip


def test_the_page_sets_the_newest_run_beside_the_baseline() -> None:
    text = warning_doc.text(document(40.0), document(180.0), None)
    assert "| orange and red, of 1,000 borrowers a month | 180.0 (90.0–1.0) → 40.0 (20.0–1.0) |" in text
    assert "| the score's rank | 180% / 20% → 40% / 20% |" in text
    assert "They have not been judged yet." in text
    assert "<!--" not in text
    other = warning_doc.text(document(40.0, records=6), document(180.0), None)
    assert "the simulator has changed since" in other
    alone = warning_doc.text(None, document(180.0), document(3.0))
    assert "This is the baseline" in alone
    assert "Signals never computable on seed 11, with the indicators that they lack: EWS10_short_runway" in alone
    with pytest.raises(FileNotFoundError, match=r"neither warning\.json nor"):
        warning_doc.text(None, None, None)


def test_the_page_is_what_the_results_give() -> None:
    found = [warning_doc._read(name) for name in ("warning", "warning_baseline", "warning_data")]
    if found[0] or found[1]:
        assert warning_doc.DOC.read_text(encoding="utf-8") == warning_doc.text(*found)
