"""Parameters of a simulated province: bounds, names in errors, TOML."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from replay.province.parameters import JUDGED, ParameterError, changed, read_toml, rows
from replay.province.population import Population


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "other.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("default_rate = -0.01", "default_rate = -0.01: not 0 to 0.5"),
        ("banks = 10000", "banks = 10000: not 1 to 9999"),
        ("enterprises = 0", "enterprises = 0: not 1 to"),
        ("months = 2.5", "months = 2.5: not a whole number"),
        ("enterprises = true", "enterprises = True: not a whole number"),
        ("until = 2026-02-30", "Invalid date"),
        ("until = 2026-02-11", "until = 2026-02-11: not the first of a month"),
        ("until = 2051-01-01", "until = 2051-01-01: not the first of a month from"),
        ("until = 2020-01-01\nmonths = 80", "before_months, months, after_months: "),
        ("backfill_months = 30", "backfill_months = 30: more than months = 24"),
        ("top_customer = [0.5, 0.2]", r"top_customer = \[0.5, 0.2\]: the first is above the second"),
        ("top_customer = [0.5]", r"top_customer = \[0.5\]: not a list of 2"),
        ("margin = [0.1, -0.2]", r"margin = \[0.1, -0.2\]: the standard deviation is negative"),
        ("duplicate = 0.4\nlate = 0.5\nstale = 0.2", "duplicate .* foreign: more than 1"),
        ("defaultrate = 0.02", "defaultrate: no such key; there are seed, enterprises"),
        ("scenarios = 3", "scenarios = 3: not a table of tables"),
        ("[scenarios.arson]\nfails = 2", "scenarios.arson: no such table; there are sound, customer_loss"),
        ("[scenarios.fraud]\nfails = -2", "scenarios.fraud.fails = -2"),
        ("[scenarios.fraud]\nname = 'theft'", "scenarios.fraud.name = 'theft': not to be changed"),
        ("[scenarios.fraud]\nmonths = [3.0, 2.0, 4.0]", r"scenarios.fraud.months = \[3.0, 2.0, 4.0\]: not rising"),
        ("[industries.C]\nseason = [1.0]", "industries.C.season = \\[1.0\\]: not a list of 12"),
        ("[industries.F]\npurchases = 0.99\npayroll = 0.2", "industries.F: purchases \\+ payroll is more than 1"),
        ("[sizes.micro]\nsales_yuan = [9000.0, 5000.0]", "sizes.micro.sales_yuan = .*: the first is above"),
        ("default_rate = ", "Invalid value"),
    ],
)  # fmt: skip
def test_invalid_parameters_are_refused_by_file_and_key(tmp_path: Path, given: str, said: str) -> None:
    path = toml(tmp_path, given)
    with pytest.raises(ParameterError, match=said) as caught:
        read_toml(path, Population())
    assert str(caught.value).startswith(f"{path}: ")


def test_weights_that_leave_nothing_to_draw_are_refused(tmp_path: Path) -> None:
    text = "\n".join(f"[loan_kinds.{kind}]\nweight = 0" for kind in ("bullet", "instalment", "revolving"))
    with pytest.raises(ParameterError, match="loan_kinds: no weight is above 0"):
        read_toml(toml(tmp_path, text), Population())


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"absent\.toml: No such file"):
        read_toml(tmp_path / "absent.toml", Population())


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    text = "seed = 9\nuntil = 2025-07-01\ndefault_rate = 0.04\ngrowth = [0, 0.2]\n[scenarios.fraud]\nfails = 50\n"
    found = read_toml(toml(tmp_path, text), Population())
    assert (found.seed, found.until, found.default_rate, found.growth) == (9, date(2025, 7, 1), 0.04, (0.0, 0.2))
    by_name = {row.name: row for row in found.scenarios}
    assert by_name["fraud"].fails == 50
    undone = replace(Population(), seed=9, until=found.until, default_rate=0.04, growth=found.growth)
    assert replace(found, scenarios=undone.scenarios) == undone
    assert [row for row in found.scenarios if row.name != "fraud"] == [
        row for row in undone.scenarios if row.name != "fraud"
    ]


def test_the_hash_of_the_parameters_leaves_out_the_seed_alone() -> None:
    one = Population(seed=1)
    assert one.parameters == Population(seed=2).parameters
    assert one.parameters != changed(one, {"default_rate": 0.031}).parameters
    assert one.parameters != changed(one, {"scenarios": {"fraud": {"fails": 8.5}}}).parameters


def test_a_world_without_drift_is_the_one_of_before() -> None:
    assert Population().parameters == "8cc7995459ae0285"
    assert Population(drift=0.5).parameters not in (Population().parameters, Population(drift=1.0).parameters)


def test_a_drift_needs_a_second_year() -> None:
    with pytest.raises(ParameterError, match=r"drift = 0\.5: months = 12 have no second year"):
        Population(months=12, drift=0.5)


def test_every_parameter_has_a_meaning_and_a_source_or_is_marked_as_judged() -> None:
    found = list(rows(Population()))
    assert len(found) > 150
    assert all(row.of.text and row.of.source for row in found)
    assert sum(row.of.source != JUDGED for row in found) > 30
