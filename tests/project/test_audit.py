"""`make audit`: the locks against small OSV records; what cannot be read or compared never passes."""

import json
import re
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from audit import main
from maven_version import MavenVersion
from osv import Advisory, Finding, finding

from tests.project.tree import ROOT

# As Maven 3.9.9's own program orders them (org.apache.maven.artifact.versioning.ComparableVersion).
ASCENDING = (
    "0.9", "1-alpha-1", "1-alpha2", "1.0-b1", "1.0.0-beta-9", "1.0.0-beta-10", "1.0-m3", "1-rc1", "1-cr2", "1-SNAPSHOT",
    "1.0.0.Final", "1-sp", "1-sp-1", "1-foo2", "1-foo10", "1-jre", "1-1", "1-2", "1.0.1", "1.1-rc.1", "1.1", "1.1.0.1",
    "1.2", "1.10", "2.0.0.Alpha1", "2.0.0.M9", "2.0.0.RC1", "2", "2.9.10", "2.9.10.8", "4.1.99.Final", "4.1.100.Final",
    "20040616",
)  # fmt: skip
EQUAL = ("1", "1.0", "1.0.0", "1-0", "1.ga", "1-final", "1.0.0.Final", "1.0.0.RELEASE", "1.", "1-")


def test_maven_versions_are_ordered_as_by_maven() -> None:
    for i, low in enumerate(ASCENDING):
        for high in ASCENDING[i + 1 :]:
            assert MavenVersion(low) < MavenVersion(high), (low, high)
            assert not MavenVersion(high) < MavenVersion(low)
            assert MavenVersion(low) != MavenVersion(high)


def test_maven_versions_that_are_one_are_equal() -> None:
    for one, other in pairwise(EQUAL):
        assert MavenVersion(one) == MavenVersion(other), (one, other)
        assert hash(MavenVersion(one)) == hash(MavenVersion(other))
    assert MavenVersion("1-alpha-1") == MavenVersion("1-A1") == MavenVersion("1.0.0.alpha1")


def record(*events: dict[str, str], ecosystem: str = "PyPI", name: str = "some-package", **more: Any) -> dict[str, Any]:
    """Return an OSV record of one package and one range."""
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    affected = {"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges, **more.pop("affected", {})}
    return {
        "schema_version": "1.7.0", "id": "GHSA-aaaa-bbbb-cccc", "modified": "2026-01-01T00:00:00Z",
        "summary": "it reads", "aliases": ["CVE-2026-1"], "affected": [affected], "references": [], **more,
    }  # fmt: skip


INTRODUCED, FIXED = {"introduced": "0"}, {"fixed": "2.0"}
AGAIN = ({"introduced": "3.0"}, {"fixed": "3.2"})


@pytest.mark.parametrize(
    ("version", "events", "said"),
    [
        ("1.9", (INTRODUCED, FIXED), Finding(fixed="2.0")),
        ("2.0", (INTRODUCED, FIXED), None),
        ("2.0rc1", (INTRODUCED, FIXED), Finding(fixed="2.0")),
        ("10.0", (INTRODUCED, FIXED), None),
        ("2.5", (INTRODUCED, FIXED, *AGAIN), None),
        ("3.0", (*AGAIN, FIXED, INTRODUCED), Finding(fixed="3.2")),
        ("1.0", (INTRODUCED, FIXED, *AGAIN), Finding(fixed="2.0")),
        ("1.4", (INTRODUCED, {"last_affected": "1.4"}), Finding()),
        ("1.4.1", (INTRODUCED, {"last_affected": "1.4"}), None),
        ("9", (INTRODUCED,), Finding()),
        ("0.9", ({"introduced": "1.0"},), None),
        ("1.5", (INTRODUCED, {"limit": "1.2"}), None),
        ("1.1", (INTRODUCED, {"limit": "1.2"}), Finding()),
        ("1.1", (INTRODUCED, {"limit": "*"}), Finding()),
        ("1.1", (INTRODUCED, {"fixed": "no version"}), Finding(is_comparable=False)),
        ("1.1", (FIXED,), Finding(is_comparable=False)),
    ],
)
def test_a_version_is_affected_by_the_rules_of_osv(
    version: str, events: tuple[dict[str, str], ...], said: Finding | None
) -> None:
    assert finding(msgspec.convert(record(*events), Advisory), "PyPI", "Some_Package", version) == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (record(affected={"versions": ["1.0", "1.0.1"]}), Finding()),
        (record(affected={"versions": ["2004d", "1.0.1.0"]}), Finding()),
        (record(affected={"versions": ["1.0"]}), None),
        (record(INTRODUCED, name="another"), None),
        (record(INTRODUCED, ecosystem="npm"), None),
        (record(INTRODUCED, ecosystem="Maven"), None),
        (record(INTRODUCED, withdrawn="2026-01-02T00:00:00Z"), None),
        (record(affected={"ranges": [{"type": "GIT", "events": [INTRODUCED]}]}), Finding(is_comparable=False)),
        (record(affected={"ranges": [{"type": "SEMVER", "events": [INTRODUCED, FIXED]}]}), Finding(fixed="2.0")),
    ],
)  # fmt: skip
def test_lists_other_packages_and_withdrawn_records(given: dict[str, Any], said: Finding | None) -> None:
    assert finding(msgspec.convert(given, Advisory), "PyPI", "some-package", "1.0.1") == said


def test_a_name_of_maven_is_taken_as_it_stands_and_its_ecosystem_without_the_repository() -> None:
    given = msgspec.convert(
        record(INTRODUCED, {"fixed": "1.8.1"}, ecosystem="Maven:https://repo.example", name="org.lz4:lz4-java"),
        Advisory,
    )
    assert finding(given, "Maven", "org.lz4:lz4-java", "1.8.0") == Finding(fixed="1.8.1")
    assert finding(given, "Maven", "org.lz4:lz4-java", "1.10.0") is None
    assert finding(given, "Maven", "org.lz4:lz4_java", "1.8.0") is None


LZ4 = record(INTRODUCED, {"fixed": "1.8.1"}, ecosystem="Maven", name="org.lz4:lz4-java")
CLEAN = record(INTRODUCED, {"fixed": "1.0"}, id="PYSEC-2026-1")


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    """A folder of locks in their two forms, each of two versions."""
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded/kafka.lock").write_text("# jars\norg.lz4:lz4-java:1.8.0 ab\norg.yaml:snakeyaml:2.4 ab\n")
    (tmp_path / "requirements.lock").write_text(
        "# by uv\nsome-package==1.5 \\\n    --hash=sha256:ab\n    # via x\n"
        "numpy==2.4.6 ; python_full_version < '3.12' \\\n"
    )
    return tmp_path


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_a_hit_names_package_version_advisory_and_fixed_version(
    locks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = write(locks / "osv.json", [LZ4, CLEAN, record(INTRODUCED, name="Some.Package", id="PYSEC-2026-2")])
    assert main(["--root", str(locks), str(found)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "some-package 1.5: PYSEC-2026-2 (CVE-2026-1): no fixed version is named: it reads"
    assert said[1] == "org.lz4:lz4-java 1.8.0: GHSA-aaaa-bbbb-cccc (CVE-2026-1): fixed in 1.8.1: it reads"
    assert said[2:] == [
        "requirements.lock: 2 versions, 2 advisories for PyPI",
        "embedded/kafka.lock: 2 versions, 1 advisories for Maven",
        "2 found",
    ]


def test_folders_and_zips_are_read_through(locks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(locks / "osv/pypi/PYSEC-2026-1.json", CLEAN)
    with zipfile.ZipFile(locks / "osv/maven.zip", "w") as archive:
        archive.writestr("GHSA-aaaa-bbbb-cccc.json", json.dumps(LZ4))
        archive.writestr("README.md", "no record")
    assert main(["--root", str(locks), str(locks / "osv")]) == 1
    assert "lz4-java 1.8.0: GHSA" in capsys.readouterr().out


def test_our_locks_are_read_and_clean_of_what_is_not_in_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(write(tmp_path / "osv.json", [LZ4, CLEAN]))]) == 0
    said = capsys.readouterr().out
    names = re.findall(r"^[a-z0-9][^=\n]*==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.M)
    assert f"requirements.lock: {len(names)} versions, 1 advisories for PyPI" in said
    assert said.endswith("0 found\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "osv.json: no JSON"),
        (b"\xff\xfe\xff", "osv.json: no JSON"),
        ("[]", "no advisory for PyPI, so requirements.lock is not audited"),
        (json.dumps(CLEAN), "no advisory for Maven, so embedded/kafka.lock is not audited"),
        ('[{"modified": "x"}]', r"record 1 (without id) is not OSV: Object missing required field `id`"),
        (json.dumps([CLEAN, {**CLEAN, "affected": [{"ranges": [{"type": 1}]}]}]), "record 2 (PYSEC-2026-1) is not OSV"),
        ("7", "record 1 (without id) is not OSV"),
    ],
)
def test_what_is_malformed_or_about_nothing_is_an_error_and_no_pass(
    locks: Path, content: str | bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = locks / "osv.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["--root", str(locks), str(path)]) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_missing_or_no_zip_is_named_and_so_is_a_call_without_any(
    locks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (locks / "bad.zip").write_bytes(b"no zip")
    for words, said in (
        ([str(locks / "missing.zip")], "missing.zip: No such file"),
        ([str(locks / "bad.zip")], "bad.zip: File is not a zip file"),
        ([], "name the advisories: make audit"),
    ):
        assert main(["--root", str(locks), *words]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("line", ["some-package>=1.5", "some-package", "git+https://x", "some-package==1.5,!=2"])
def test_a_line_of_a_lock_that_names_no_version_is_an_error(
    locks: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (locks / "requirements.lock").open("a") as lock:
        lock.write(f"{line}\n")
    assert main(["--root", str(locks), str(write(locks / "osv.json", [LZ4, CLEAN]))]) == 2
    assert f"requirements.lock:6: not 'name==version': '{line}'" in capsys.readouterr().err
