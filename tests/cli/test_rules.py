"""The verb `rules`: the rules in force, mistakes with their place, and an artefact that score accepts."""

import json
import re
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
    assert f"{packaged_rules().id}: 19 are evaluated, 2 are disabled, 29 wait for inputs" in out


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


def test_a_budget_takes_the_cut_offs_of_the_curve_and_says_where_it_has_none(tmp_path, capsys):
    file, cases, made = tmp_path / "rules.csv", tmp_path / "cases.toml", tmp_path / "rules.json"
    file.write_text(CSV, encoding="utf-8")
    make = ["rules", "make", str(file), "--output", str(made), "--budget"]
    packaged, own = files("config").joinpath("cases.toml").read_text(encoding="utf-8"), ["--cases", str(cases)]

    def write(curve):
        cases.write_text(re.sub(r"(?m)^curve = .*$", f"curve = {curve}", packaged), encoding="utf-8")

    write("[[10, 400000, 500000], [13, 500000, 400000]]")
    assert main([*make, "12", *own]) == 1
    assert "budget 12: this curve has no cut-offs; run xinliu rules fit" in capsys.readouterr().err
    write("[[10, 400000, 500000, -1000, 0, 1000], [13, 500000, 400000, -1500, -100, 1000]]")
    found = {}
    for budget in (10, 11, 12, 13):
        assert main([*make, str(budget), *own]) == 0
        capsys.readouterr()
        shown = listed(capsys, str(made))["case"]
        assert shown["budget"] == {"orange_red_per_1000_month": budget, "yellow_per_1000_month": 30}
        found[budget] = tuple(shown["cutoffs_milli"].values())
    assert found == {
        10: (-1000, 0, 1000), 11: (-1167, -34, 1000), 12: (-1334, -67, 1000), 13: (-1500, -100, 1000),
    }  # fmt: skip
    assert main(["rules", "show", str(made)]) == 0
    line = "  at 13 a month: 50.0% of defaults caught, 40.0% precision; yellow ≥ -1500, orange ≥ -100, red ≥ 1000"
    assert line in capsys.readouterr().out.splitlines()
    for beyond in ("9", "14"):
        assert main([*make, beyond, *own]) == 1
        assert f"budget {beyond}: the curve goes from 10 to 13 cases" in capsys.readouterr().err


def test_the_packaged_curve_has_cut_offs_and_at_the_packaged_budget_those_in_force(tmp_path, capsys):
    file, made = tmp_path / "rules.csv", tmp_path / "rules.json"
    file.write_text(CSV, encoding="utf-8")
    in_force = listed(capsys)["case"]["cutoffs_milli"]
    found = []
    for budget in ("6", "12", "36"):
        assert main(["rules", "make", str(file), "--output", str(made), "--budget", budget]) == 0
        capsys.readouterr()
        found.append(listed(capsys, str(made))["case"]["cutoffs_milli"])
    fewer, same, more = found
    assert (same["orange"], same["red"]) == (in_force["orange"], in_force["red"])
    assert all(fewer[level] >= same[level] >= more[level] for level in same)


def listed(capsys, *args):
    assert main(["rules", "show", *args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_show_says_of_each_signal_its_state_points_and_owner_and_of_cases_their_table(capsys):
    assert main(["rules", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 51
    (arrears,) = (line for line in lines if line.startswith("EWS35_arrears "))
    assert re.fullmatch(
        r"EWS35_arrears +lender +\d+ +\d+ +\d+  Arrears · alone yellow/yellow/red · collections officer · "
        r"thresholds \w+ · evaluated",
        arrears,
    )
    (drain,) = (line for line in lines if line.startswith("EWS12_capital_drain "))
    assert re.search(r" \d+ +– +–  .* · Repayment sources fall short · .* · waits for net_outflow_run_days, ", drain)
    case = "\n".join(lines[51:])
    for said in ("level of a case", "yellow ≥", "budget of cases", "deadlines in working days", "evidence: "):
        assert said in case


def test_show_for_scripts_has_all_signals_and_the_table(capsys):
    shown = listed(capsys)
    assert shown["id"] == packaged_rules().id
    assert shown["case"]["cutoffs_milli"]["yellow"] < shown["case"]["cutoffs_milli"]["red"]
    by_id = {each["id"]: each for each in shown["signals"]}
    assert len(by_id) == 50
    assert {name for name, each in by_id.items() if each["state"] == "evaluated"} == {
        signal.row.id for signal in packaged_rules().evaluated
    }
    assert by_id["EWS30_high_utilisation"]["state"] == "disabled"
    assert by_id["EWS25_related_circular"]["waits_for"] == ["circular_paths_30d_count"]
    assert by_id["EWS35_arrears"]["alone"] == {"yellow": "yellow", "orange": "yellow", "red": "red"}
    assert by_id["EWS01_inflow_collapse"]["finding"]["name_zh"] == "经营下滑"
    assert all(each["owner"] and each["rationale"] and each["source"] for each in by_id.values())


def test_show_reads_what_make_wrote_and_tables_of_ones_own(tmp_path, capsys):
    file, points, made = tmp_path / "rules.csv", tmp_path / "points.csv", tmp_path / "rules.json"
    file.write_text("\n".join(CSV.splitlines()[:2]), encoding="utf-8")
    points.write_text(
        "id,finding,yellow,orange,red,alone_yellow,alone_orange,alone_red\nEWS01_inflow_collapse,,7,8,,,red,\n"
    )
    findings = tmp_path / "findings.csv"
    findings.write_text("id,name_zh,name_en\n")
    own = ["--points", str(points), "--findings", str(findings)]
    assert main(["rules", "make", str(file), *own, "--output", str(made)]) == 0
    rules_id = capsys.readouterr().out.strip()
    shown = listed(capsys, str(made))
    assert shown == listed(capsys, str(file), *own)
    assert shown["id"] == rules_id
    (signal,) = shown["signals"]
    assert (signal["points_milli"], signal["alone"], signal["finding"]) == ([7, 8, 8], {"orange": "red"}, None)
    assert listed(capsys, str(file))["case"]["points_milli"].keys() == {"EWS01_inflow_collapse"}
    assert main(["rules", "show", str(made), *own]) == 1
    assert "an artefact has its own case table" in capsys.readouterr().err
    made.write_bytes(made.read_bytes().replace(b"[7,8,8]", b"[7,8,1]"))
    assert main(["rules", "show", str(made)]) == 1
    assert "case.points_milli.EWS01_inflow_collapse: points at yellow, orange, red do not ascend" in (
        capsys.readouterr().err
    )
    points.write_text(points.read_text().replace(",7,", ",9,"))
    assert main(["rules", "show", str(file), *own]) == 1
    assert f"{points} line 2, EWS01_inflow_collapse: points at yellow" in capsys.readouterr().err


def test_fit_wants_a_truth_for_each_log_and_a_folder(tmp_path, capsys):
    log, truth = str(tmp_path / "events.log"), str(tmp_path / "truth.csv")
    assert main(["rules", "fit", log, log, "--truth", truth, "--output", str(tmp_path)]) == 2
    assert "--truth: 1 files for 2 logs" in capsys.readouterr().err
    assert main(["rules", "fit", log, "--truth", truth, "--output", str(tmp_path / "none")]) == 2
    assert "is no folder" in capsys.readouterr().err
