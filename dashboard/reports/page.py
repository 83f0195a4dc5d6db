"""A report as one page (HTML) that opens offline: the tables of its workbook, without a script."""

from html import escape

from dashboard.reports.book import NUMERIC, Book, Cell, Kind, Table, shown
from detectors.wording.desk import LEVELS
from domain.outputs import SEVERITIES
from domain.printable import printable
from replay.model_report.page import document


def page(book: Book) -> bytes:
    """Return the page as UTF-8. The same report gives the same bytes."""
    facts = f'<section class="say">{escape(printable("　".join(book.facts)))}</section>'
    return document(book.title, [facts, *(_section(table, book) for table in book.tables)], chinese=book.lang == "zh")


def _section(table: Table, book: Book) -> str:
    note = f'<p class="say">{escape(printable(table.note))}</p>' if table.note else ""
    return f"<section><h2>{escape(table.title)}</h2>{note}{_table(table, book)}</section>"


def _table(table: Table, book: Book) -> str:
    if not table.rows:
        return f"<p>{escape(table.empty)}</p>"
    kinds = [column.kind for column in table.columns]
    top = "".join(f"<th{_side(column.kind)}>{escape(column.head)}</th>" for column in table.columns)
    lines = ((_td(cell, kind, book) for cell, kind in zip(row, kinds, strict=True)) for row in table.rows)
    body = "".join(f"<tr>{''.join(line)}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _td(cell: Cell, kind: Kind, book: Book) -> str:
    return f"<td{_side(kind)}>{_cell(cell, kind, book)}</td>"


def _side(kind: Kind) -> str:
    return " class=n" if kind in NUMERIC else ""


def _cell(cell: Cell, kind: Kind, book: Book) -> str:
    if kind == "level":
        return LEVELS[next((level for level in SEVERITIES if level == cell), None)].to(book.lang)
    return escape(printable(shown(cell, kind)))
