"""The verb `rules`: the rules in force, mistakes with their place, and an artefact that score accepts."""

from importlib.resources import files

import pytest

from cli.main import main
from detectors.rules.artefact import decode, packaged_rules

CSV = files("config").joinpath("signals.csv").read_text(encoding="utf-8")


def test_show_lists_what_stands_and_what_waits(capsys):
    assert main(["rules", "show"]) == 0
    out = capsys.readouterr().out
    assert "EWS01_inflow_collapse" in out
    assert "EWS25_related_circular" in out
    assert "waits for circular_paths_30d_count" in out
    assert packaged_rules().id in out


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("ctx.history_days >= 182", "ctx.history_days >> 182", "line 2, EWS01_inflow_collapse, min_history, character"),
        ("held(op_inflow", "held(op_inflw", "line 2, EWS01_inflow_collapse, condition_yellow, character 6"),
        (",proposed,platform,yes", ",proposed,planet,yes", "line 2, EWS01_inflow_collapse"),
        ("collapse,inflow,", "collapse,inflow,,,", "line 2: more or fewer fields"),
        ("scope,enabled", "scoop,enabled", "line 1: no column scope"),
    ],
)
def test_a_mistake_is_named_by_its_place(tmp_path, capsys, before, after, said):
    file = tmp_path / "rules.csv"
    file.write_text(CSV.replace(before, after, 1), encoding="utf-8")
    assert main(["rules", "make", str(file), "--output", str(tmp_path / "rules.json")]) == 1
    assert said in capsys.readouterr().err


def test_a_table_makes_an_artefact_that_score_takes(tmp_path, capsys):
    file, made = tmp_path / "rules.csv", tmp_path / "rules.json"
    file.write_text(CSV, encoding="utf-8")
    assert main(["rules", "make", str(file), "--output", str(made)]) == 0
    assert capsys.readouterr().out.strip() == packaged_rules().id
    assert decode(made.read_bytes(), packaged_rules().id).evaluated == packaged_rules().evaluated
    assert main(["rules", "make", str(file), "--output", str(made), "--emit", "close", "--step", "5"]) == 0
    found = decode(made.read_bytes(), capsys.readouterr().out.strip())
    assert (found.emission.mode, found.emission.step_milli) == ("close", 5_000)
    assert main(["rules", "make", str(file), "--output", str(made), "--step", "301"]) == 1
    assert "step_milli" in capsys.readouterr().err
