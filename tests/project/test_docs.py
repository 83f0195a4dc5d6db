"""Names in the documents exist, and both READMEs have the same contents."""

import re
import subprocess
from pathlib import Path

import pytest

from config.catalogue import signals
from detectors.rules.conditions import parse_row, waits_for

ROOT = Path(__file__).resolve().parents[2]
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
)


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _targets() -> set[str]:
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(re.findall(r"^make ([a-z]+)\s+\S", done.stdout, re.M))


def _commands(name: str) -> list[str]:
    """Lines of shell blocks without their comments, and inline `make …` and `xinliu …`."""
    text = _text(name)
    blocks = [
        line.split("#")[0].strip()
        for block in re.findall(r"```sh\n(.*?)```", text, re.S)
        for line in block.splitlines()
    ]
    return blocks + re.findall(r"`((?:make|(?:\.venv/bin/)?xinliu) [^`]+)`", text)


def test_help_lists_the_targets_that_everyone_knows() -> None:
    assert _targets() == {"help", "demo", "test", "quick", "check", "bench", "soak", "docs", "lock", "audit", "clean"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_that_a_document_names_exists(name: str) -> None:
    for command in _commands(name):
        match = re.search(r"\bmake ([a-z]+)", command)
        assert match is None or match[1] in _targets(), f"{name}: {command}"


@pytest.mark.parametrize("name", READMES)
def test_the_two_commands_come_first(name: str) -> None:
    assert _commands(name)[:2] == ["make demo", "make test"]
    assert _text(name).index("make demo") < 900


def test_both_readmes_name_the_same_commands_and_links() -> None:
    english, chinese = READMES
    assert _commands(english) == _commands(chinese)

    def links(name: str) -> set[str]:
        return set(re.findall(r"\]\(([^)]+)\)", _text(name))) - set(READMES)

    assert links(english) == links(chinese)


def test_readmes_and_the_catalogue_count_the_same_signals() -> None:
    rows = signals()
    having = [row for row in rows if not waits_for(parse_row(row, row.id))]
    disabled, waiting = sum(not row.enabled for row in having), len(rows) - len(having)
    said = f"{len(having)} of {len(rows)} have their inputs, {disabled} of these ship disabled"
    (english,) = (line for line in _text("README.md").splitlines() if said in line)
    assert f"the other {waiting} |" in english
    said = f"{len(rows)} 个中的 {len(having)} 个输入齐备，其中 {disabled} 个出厂停用"
    (chinese,) = (line for line in _text("README.zh-CN.md").splitlines() if said in line)
    assert f"其余 {waiting} 个 |" in chinese


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_into_the_repository_leads_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", _text(name)):
        if not target.startswith("https://"):
            assert ((ROOT / name).parent / target).exists(), f"{name}: {target}"


def test_every_file_and_folder_that_the_architecture_names_exists() -> None:
    """A path stands from the root, or from a room where a row of the table is about that room."""
    named = set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.(?:py|csv|toml))?)`", _text("ARCHITECTURE.md")))
    rooms = re.findall(r"^\| `([a-z]+/)` \|", _text("ARCHITECTURE.md"), re.M)
    assert len(named) > 15
    assert len(rooms) >= 9
    missing = sorted(path for path in named if not any((ROOT / room / path).exists() for room in ("", *rooms)))
    assert not missing, missing


@pytest.mark.parametrize("path", sorted((ROOT / "docs/adr").glob("*.md")), ids=lambda path: path.name[:4])
def test_a_decision_says_whether_it_holds(path: Path) -> None:
    """On its third line: accepted, and how it was amended since; or proposed, or superseded by another."""
    status = path.read_text(encoding="utf-8").splitlines()[2]
    assert re.fullmatch(
        r"Status: (accepted(, amended: .+)?|proposed|superseded by \[ADR \d+\]\(\d{4}-.+\.md\))\.", status
    )


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs/adr").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
