"""docs/faults.md names the tests of each fault; this file checks its statements."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/faults.md"
FAULTS = range(1, 48)
_TEST = re.compile(r"^\s*def test_fault_((?:\d\d_)+)", re.M)


def rows() -> dict[int, str]:
    """By fault, the last cell of its row."""
    found = re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    return {int(number): cell.strip() for number, cell in found}


def files_by_fault() -> dict[int, set[str]]:
    """By fault, the files with a test that carries its number."""
    found = defaultdict(set)
    for path in (ROOT / "tests").rglob("test_*.py"):
        for numbers in _TEST.findall(path.read_text(encoding="utf-8")):
            for number in numbers.split("_")[:-1]:
                found[int(number)].add(path.relative_to(ROOT / "tests").as_posix())
    return found


def test_every_fault_has_one_row() -> None:
    assert sorted(rows()) == list(FAULTS)


def test_a_fault_is_open_exactly_where_no_test_carries_its_number() -> None:
    tested = set(files_by_fault())
    assert {number for number, cell in rows().items() if cell == "open"} == set(FAULTS) - tested
    assert tested <= set(FAULTS)


def test_no_count_of_injected_faults_is_written_down() -> None:
    """Injections are counted by `fault.inject` or by the injecting component."""
    written = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        for each in call.keywords
        if each.arg == "injected" and isinstance(each.value, ast.Constant)
    ]
    assert written == []


def test_a_row_names_each_file_with_a_test_of_that_fault_and_no_other() -> None:
    found = files_by_fault()
    for number, cell in rows().items():
        named = set(re.findall(r"`([\w/]+\.py)`", cell))
        assert cell == "open" or named, f"fault {number} names no file"
        assert named <= found[number], f"fault {number}: {sorted(named - found[number])} have no test of it"
        assert named >= found[number], f"fault {number}: {sorted(found[number] - named)} have one, and are not named"
