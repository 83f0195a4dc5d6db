"""Prometheus' files: promtool finds them right, each alert fires and stays quiet when it should, and has a section."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sinks.metrics import names
from tests.patience import patience_s

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "config/ops"
RULES = sorted((OPS / "prometheus").glob("*.yml"))
GROUPS: list[dict[str, Any]] = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule
}
RECORDED = {rule["record"]: rule for group in GROUPS for rule in group["rules"] if "record" in rule}
FOREIGN = {"up", "process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes"}

CASES: dict[str, dict[str, list[str]]] = yaml.safe_load((ROOT / "tests/project/alert_cases.yml").read_text())


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None and os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail("CI needs promtool (Debian: the package prometheus)")
    if found is None:
        pytest.skip("no promtool here (Debian: the package prometheus)")
    return found


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, timeout=patience_s(120)
    )


def test_promtool_finds_configuration_and_rules_right(promtool: str) -> None:
    done = run(promtool, "check", "config", OPS / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(ALERTS)} rules found" in done.stdout, "the configuration takes the rules along"
    assert len(RECORDED) + len(ALERTS) == sum(len(group["rules"]) for group in GROUPS)


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_each_alert_fires_and_stays_quiet_as_its_case_says(promtool: str, tmp_path: Path, name: str) -> None:
    at, step = ("80h", "30m") if ALERTS[name].get("for") == "3d" else ("60m", "1m")
    query = f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)'
    tests = [
        {
            "interval": "1m",
            "input_series": [_series(one) for one in CASES[name][case]],
            "promql_expr_test": [{"expr": query, "eval_time": at, "exp_samples": [{"labels": "{}", "value": value}]}],
        }
        for case, value in (("fires", 1), ("quiet", 0))
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": _groups_of(name)}))
    path = tmp_path / "alerts_test.yml"
    path.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": step, "tests": tests}))
    done = run(promtool, "test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def _groups_of(alert: str) -> list[dict[str, Any]]:
    """Return the groups with this alert and the recorded series that it asks for: promtool evaluates all it gets."""
    found, waiting = [ALERTS[alert]], [ALERTS[alert]]
    while waiting:
        asked = set(re.findall(r"[a-z][a-z0-9_:]+", waiting.pop()["expr"]))
        new = [rule for name, rule in RECORDED.items() if name in asked and rule not in found]
        found, waiting = found + new, waiting + new
    groups = [{**group, "rules": [rule for rule in group["rules"] if rule in found]} for group in GROUPS]
    return [group for group in groups if group["rules"]]


def test_no_case_is_of_an_alert_that_is_none() -> None:
    assert set(CASES) == set(ALERTS)


def _series(text: str) -> dict[str, str]:
    series, _, values = text.rpartition("} ") if "}" in text else text.partition(" ")
    return {"series": f"{series}}}" if "}" in text else series, "values": values}


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_each_alert_has_its_section_which_says_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("page", "ticket")
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert anchor == name.lower()
    text = (ROOT / page).read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.M)
    (section,) = [one for one in sections if one.splitlines()[0].strip() == name]
    for part in ("**含义**", "**先看**", "**处理**"):
        body = section.partition(part)[2].split("\n**")[0].strip(" ：\n")
        assert len(body) >= 15, f"{name}: {part} says nothing"


def test_the_runbook_has_no_section_of_an_alert_that_is_none() -> None:
    for page in (ROOT / "docs/运维手册").glob("*.md"):
        found = re.findall(r"^## ([A-Z][A-Za-z]+)$", page.read_text(encoding="utf-8"), re.M)
        assert set(found) <= set(ALERTS), page.name
        for name in found:
            assert f"docs/运维手册/{page.name}#" in ALERTS[name]["annotations"]["runbook"]


def test_rules_and_dashboards_ask_only_for_what_is_there() -> None:
    known = names() | set(RECORDED) | FOREIGN
    asked = [rule["expr"] for group in GROUPS for rule in group["rules"]]
    for path in (OPS / "grafana/dashboards").glob("*.json"):
        panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
        asked += [target["expr"] for panel in panels for target in panel.get("targets", [])]
    found = {name for expr in asked for name in re.findall(r"\b(?:xinliu[a-z0-9_:]+|process_[a-z_]+|up)\b(?!=)", expr)}
    found -= {"xinliu"}
    assert len(found) > 30
    assert found <= known, found - known
