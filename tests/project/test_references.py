"""No file of the repository refers to a document that is not there: in links, comments and docstrings alike."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A path or name that ends in .md, with its anchor; not in an address of another site, and not a pattern such as *.md.
_REFERENCE = re.compile(r"(?<![\w./:*-])((?:\.{1,2}/)*[\w./-]*?[\w-]+\.md)(?!\.in)(?:#([\w-]+))?\b")
_NO_REFERENCE = re.compile(r"https?://\S+|\[[^\[\]]*\](?=\()")  # and the text of a link: its target counts
_NUMBERED = re.compile(r"CATALOGUE\b(?! *=)")
# Names of files that a command is told to write, by the file that names them.
_WRITTEN = {
    "cli/layout.py": {"state-layout.md"},
    "cli/evaluate.py": {"evaluation.md"},
    "cli/replay.py": {"out.md", ".md"},
    "tests/cli/test_evaluate.py": {"evaluation.md"},
    "tests/replay/test_state.py": {"summary.md"},
}


def _sources() -> list[Path]:
    """Return the text files under version control but this one, in the order of their names."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], capture_output=True, check=True, cwd=ROOT
    )
    paths = (ROOT / name for name in sorted(done.stdout.decode().split("\0")) if name)
    here = Path(__file__)
    return [path for path in paths if path.is_file() and path != here and b"\0" not in path.read_bytes()[:8_192]]


def _references(path: Path) -> Iterator[tuple[int, str, str | None]]:
    """Yield (line, document, anchor) of every reference in a file."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for match in _REFERENCE.finditer(_NO_REFERENCE.sub("", line)):
            yield number, match[1], match[2]


def _target(source: Path, document: str) -> Path | None:
    """Return what `document` names: seen from the root, or from the file that refers to it."""
    return next((path for base in (ROOT, source.parent) if (path := base / document).is_file()), None)


def _anchors(document: Path) -> set[str]:
    """Return the anchors of a Markdown file, as GitHub makes them of its headings, and those that it sets itself."""
    text = document.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ +(.+?) *$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


def _missing(source: Path) -> list[str]:
    name = source.relative_to(ROOT).as_posix()
    found = []
    for number, document, anchor in _references(source):
        target = _target(source, document)
        if target is None:
            if document not in _WRITTEN.get(name, ()):
                found.append(f"{name}:{number}: {document} is not there")
        elif anchor is not None and anchor.lower() not in _anchors(target):
            found.append(f"{name}:{number}: {document} has no heading #{anchor}")
    return found


def test_every_document_that_a_file_refers_to_is_there() -> None:
    sources = _sources()
    assert len(sources) > 400
    missing = [line for path in sources if path.suffix != ".in" for line in _missing(path)]
    assert not missing, "\n".join(missing)


def test_no_file_refers_to_a_numbered_catalogue() -> None:
    """There was one once, outside of the repository."""
    named = [path for path in _sources() if _NUMBERED.search(path.read_text(encoding="utf-8"))]
    assert not named, named


@pytest.mark.parametrize(
    ("line", "documents"),
    [
        ("as docs/scoring.md says", ["docs/scoring.md"]),
        ("(scoring.md).", ["scoring.md"]),
        ("[a.md](../adr/0003-x.md#why)", ["../adr/0003-x.md"]),
        ("see https://example.org/docs/a.md", []),
        ("glob('*.md')", []),
        ("docs/运维手册/数据流.md#lagstands", ["docs/运维手册/数据流.md"]),
    ],
)
def test_a_reference_is_recognised(tmp_path: Path, line: str, documents: list[str]) -> None:
    source = tmp_path / "source.py"
    source.write_text(line, encoding="utf-8")
    assert [document for _, document, _ in _references(source)] == documents


def test_a_reference_to_nothing_is_found(tmp_path: Path) -> None:
    assert _target(tmp_path / "source.py", "architecture.md") is None
