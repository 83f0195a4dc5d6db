"""The report as Markdown."""

from collections.abc import Iterator

from domain.printable import printable
from replay.evaluation.report import Evaluation
from replay.evaluation.sections import Rows, Writer


def markdown(found: Evaluation, *, chinese: bool) -> str:
    """Return the report. The same report gives the same text."""
    return "\n".join(_lines(found, chinese)) + "\n"


def _lines(found: Evaluation, chinese: bool) -> Iterator[str]:
    for place, section in enumerate(Writer(chinese).sections(found)):
        yield f"{'#' if place == 0 else '##'} {printable(section.title)}"
        yield ""
        for text in section.texts:
            yield from (printable(text), "")
        for table in section.tables:
            yield from _table(table.rows)


def _table(rows: Rows) -> Iterator[str]:
    cells = [[printable(cell).replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for place, row in enumerate(cells):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        if place == 0:
            yield "| " + " | ".join("-" * width for width in widths) + " |"
    yield ""
