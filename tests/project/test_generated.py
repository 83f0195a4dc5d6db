"""Generated documents equal the output of `make docs`."""

import pytest

from docs.generate.markdown import fill, table
from docs.generate.pages import ROOT, documents

DOCUMENTS = documents()


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_generated_document_is_what_the_generator_gives(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == DOCUMENTS[path], "make docs"


def test_a_row_of_another_width_than_its_head_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        table(("a", "b", "c"), [("1", "2")])


def test_a_part_that_a_template_does_not_name_is_refused() -> None:
    with pytest.raises(KeyError, match="odd"):
        fill("signals.md.in", {"odd": ""})
