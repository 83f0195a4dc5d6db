"""A report as a workbook (XLSX): a sheet a table, ready to be printed. The same report gives the same bytes.

Nothing that stands in a cell is a formula or a link: text is written as text, and quoted where it begins like a
formula, so that it stays text when somebody edits the cell or saves the sheet as CSV. Ids are text.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from dashboard.reports.book import Book, Cell, Kind, Table, quoted, value
from detectors.wording.desk import LEVELS
from domain.language import Words
from domain.outputs import SEVERITIES, Severity
from domain.printable import printable

_OPTIONS = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
_NUMBERS: Mapping[Kind, str] = {
    "day": "yyyy-mm-dd", "money": "#,##0.00", "count": "#,##0", "number": "#,##0.0", "share": "0.0%", "id": "@",
}  # fmt: skip
_FILLS: Mapping[Severity, str] = {"red": "#F4B6BC", "orange": "#F8CFA5", "yellow": "#FBEBA6"}
_BORDER = {"border": 1, "border_color": "#B7C0C9", "valign": "top", "font_size": 10}
_HEAD_ROW, _A4, _FACT_MAX = 3, 9, 70
_PAGE = Words("第 &P 页，共 &N 页", "page &P of &N")


def workbook(book: Book) -> bytes:
    """Return the file."""
    body = BytesIO()
    whole = xlsxwriter.Workbook(body, _OPTIONS)
    whole.set_properties({"title": book.title, "author": "xinliu", "company": book.whose, "created": book.made_at})
    formats = _Formats(whole)
    for table in book.tables:
        _write(whole.add_worksheet(table.title), book, table, formats)
    whole.close()
    return body.getvalue()


class _Formats:
    """The formats of a workbook."""

    def __init__(self, whole: Any) -> None:
        self.title: Format = whole.add_format({"bold": True, "font_size": 14})
        self.fact: Format = whole.add_format({"font_color": "#5F6E7D", "font_size": 10})
        self.head: Format = whole.add_format(
            {**_BORDER, "bold": True, "bg_color": "#DFE8EE", "text_wrap": True, "align": "center", "valign": "vcenter"}
        )
        wrapped = {**_BORDER, "text_wrap": True}
        self._of_kind: dict[Kind, Format] = {
            "text": whole.add_format(wrapped),
            "level": whole.add_format(wrapped),
            **{kind: whole.add_format({**_BORDER, "num_format": form}) for kind, form in _NUMBERS.items()},
        }
        self._levels = {level: whole.add_format({**wrapped, "bg_color": fill}) for level, fill in _FILLS.items()}

    def of(self, cell: Cell, kind: Kind) -> Format:
        """Return the format of a cell."""
        if kind == "level":
            for level in SEVERITIES:
                if cell == level:
                    return self._levels[level]
        return self._of_kind[kind]


def _write(sheet: Worksheet, book: Book, table: Table, formats: _Formats) -> None:
    sheet.write_string(0, 0, f"{book.title}　{table.title}", formats.title)
    sheet.write_string(1, 0, quoted(printable("　".join(book.facts))), formats.fact)
    sheet.write_string(2, 0, quoted(printable(table.note)), formats.fact)
    for at, column in enumerate(table.columns):
        sheet.set_column(at, at, column.width)
        sheet.write_string(_HEAD_ROW, at, column.head, formats.head)
    for down, row in enumerate(table.rows, _HEAD_ROW + 1):
        for at, (cell, column) in enumerate(zip(row, table.columns, strict=True)):
            _cell(sheet, down, at, cell, column.kind, book, formats)
    last = _HEAD_ROW + max(len(table.rows), 1)
    if not table.rows:
        sheet.write_string(last, 0, table.empty, formats.fact)
    _for_print(sheet, book, table, last)


def _cell(sheet: Worksheet, down: int, at: int, cell: Cell, kind: Kind, book: Book, formats: _Formats) -> None:
    form = formats.of(cell, kind)
    if kind == "level":
        level = next((one for one in SEVERITIES if one == cell), None)
        sheet.write_string(down, at, LEVELS[level].to(book.lang), form)
        return
    shown = value(cell, kind)
    match shown:
        case None:
            sheet.write_blank(down, at, None, form)
        case str():
            sheet.write_string(down, at, quoted(printable(shown)), form)
        case int() | float():
            sheet.write_number(down, at, shown, form)
        case day:
            sheet.write_datetime(down, at, day, form)


def _for_print(sheet: Worksheet, book: Book, table: Table, last: int) -> None:
    """Set what a desk expects of a sheet: A4 landscape, the head on each page, who and when at its head and foot."""
    width = len(table.columns) - 1
    sheet.freeze_panes(_HEAD_ROW + 1, 1)
    if table.rows:
        sheet.autofilter(_HEAD_ROW, 0, last, width)
    sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{last + 1}"})
    sheet.set_landscape()
    sheet.set_paper(_A4)
    sheet.set_margins(left=0.4, right=0.4, top=0.8, bottom=0.7)
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(_HEAD_ROW)
    sheet.print_area(0, 0, last, width)
    whose, period, data_date, rests_on = (_in_margin(fact) for fact in book.facts)
    sheet.set_header(f"&L{whose}&C{_in_margin(book.title)}&R{period}")
    sheet.set_footer(f"&L{data_date}&C{rests_on}&R{_PAGE.to(book.lang)}")


def _in_margin(text: str) -> str:
    """Return text for a margin, where & begins a code and all three parts have 255 characters together."""
    short = printable(text)
    return (short if len(short) <= _FACT_MAX else f"{short[: _FACT_MAX - 1]}…").replace("&", "&&")
