"""A report as a letter (DOCX) that a person goes on writing. The same report gives the same bytes."""

import zipfile
from io import BytesIO
from typing import Any

import docx
from docx.enum.table import WD_TABLE_ALIGNMENT
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Mm, Pt

from dashboard.reports.book import Book, Cell, Kind, Table, shown
from detectors.wording.desk import LEVELS
from domain.outputs import SEVERITIES
from domain.printable import printable

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that the format knows
_FONT, _CHINESE_FONT = "Times New Roman", "宋体"


def letter(book: Book) -> bytes:
    """Return the file."""
    whole = docx.Document()
    _properties(whole, book)
    _sheet(whole.sections[0], book)
    normal = whole.styles["Normal"]
    normal.font.name, normal.font.size = _FONT, Pt(10.5)
    normal.element.rPr.rFonts.set(qn("w:eastAsia"), _CHINESE_FONT)
    whole.add_heading(printable(book.title), 0)
    for fact in book.facts:
        whole.add_paragraph(printable(fact)).paragraph_format.space_after = Pt(0)
    for part in book.parts:
        whole.add_heading(part.title, 1)
        for text in part.said:
            whole.add_paragraph(printable(text))
        if part.table is not None:
            _table(whole, part.table, book)
    body = BytesIO()
    whole.save(body)
    return _without_times(body.getvalue())


def _properties(whole: Any, book: Book) -> None:
    properties = whole.core_properties
    properties.title, properties.author, properties.last_modified_by = book.title, "xinliu", "xinliu"
    properties.created = properties.modified = book.made_at
    properties.comments, properties.revision, properties.language = "", 1, "zh-CN" if book.lang == "zh" else "en"


def _sheet(section: Any, book: Book) -> None:
    section.page_width, section.page_height = Mm(210), Mm(297)
    section.left_margin = section.right_margin = Mm(20)
    whose, period, data_date, rests_on = map(printable, book.facts)
    section.header.paragraphs[0].text = f"{whose}\t\t{period}"
    foot = section.footer.paragraphs[0]
    foot.text = f"{data_date}　{rests_on}\t\t"
    number = OxmlElement("w:fldSimple")
    number.set(qn("w:instr"), "PAGE")
    foot._p.append(number)


def _table(whole: Any, table: Table, book: Book) -> None:
    if not table.rows:
        whole.add_paragraph(table.empty)
        return
    grid = whole.add_table(rows=1 + len(table.rows), cols=len(table.columns), style="Table Grid")
    grid.alignment = WD_TABLE_ALIGNMENT.CENTER
    for cell, column in zip(grid.rows[0].cells, table.columns, strict=True):
        cell.text = column.head
        cell.paragraphs[0].runs[0].bold = True
    repeated = OxmlElement("w:tblHeader")  # the head stands on each page
    grid.rows[0]._tr.get_or_add_trPr().append(repeated)
    for line, row in zip(list(grid.rows)[1:], table.rows, strict=True):
        for cell, content, column in zip(line.cells, row, table.columns, strict=True):
            cell.text = _text(content, column.kind, book)
    if table.note:
        whole.add_paragraph(printable(table.note))


def _text(cell: Cell, kind: Kind, book: Book) -> str:
    if kind == "level":
        return LEVELS[next((level for level in SEVERITIES if level == cell), None)].to(book.lang)
    return "" if cell is None else printable(shown(cell, kind))


def _without_times(body: bytes) -> bytes:
    """Return the archive with one time in place of those at which its parts were written."""
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(body)) as given, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for part in given.infolist():
            made.writestr(zipfile.ZipInfo(part.filename, _ZIP_TIME), given.read(part), zipfile.ZIP_DEFLATED)
    return out.getvalue()
