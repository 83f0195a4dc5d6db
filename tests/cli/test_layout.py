"""The page of the state's layout is the one that the code prints."""

from pathlib import Path

import pytest

from cli.layout import page
from cli.main import main
from features.fields import FIELDS, VOLATILE
from features.layout import LAYOUT_VERSION

PAGE = Path(__file__).resolve().parents[2] / "docs/state-layout.md"


def test_the_committed_page_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layout"]) == 0
    assert PAGE.read_text(encoding="utf-8") == capsys.readouterr().out, "xinliu layout > docs/state-layout.md"


def test_the_page_has_a_row_for_every_field_and_the_version() -> None:
    rows = [line.split(" | ") for line in page().splitlines() if line.startswith("| `")]
    fields = [row[0].removeprefix("| ").strip("`") for row in rows if len(row) == 5]
    assert sorted(fields) == sorted(field.name for field in (*FIELDS, *VOLATILE))
    assert f"`{LAYOUT_VERSION:08x}`" in page()
