"""Files of reports read back from their XML: the cells of a workbook, the text of a letter."""

import re
import zipfile
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
HEAD_ROW = 3


def parts(body: bytes) -> dict[str, str]:
    """Return the parts of a file that are XML, by name."""
    with zipfile.ZipFile(BytesIO(body)) as whole:
        return {name: whole.read(name).decode() for name in whole.namelist() if name.endswith((".xml", ".rels"))}


def sheets(body: bytes) -> dict[str, list[list[Any]]]:
    """Return the rows of each sheet: text as str, numbers as float, what is empty as None."""
    known = parts(body)
    shared = [
        "".join(text.text or "" for text in one.iter(f"{_SHEET}t"))
        for one in ElementTree.fromstring(known["xl/sharedStrings.xml"])
    ]
    names = [one.get("name") or "" for one in ElementTree.fromstring(known["xl/workbook.xml"]).iter(f"{_SHEET}sheet")]
    return {name: _rows(known[f"xl/worksheets/sheet{n}.xml"], shared) for n, name in enumerate(names, 1)}


def _rows(xml: str, shared: list[str]) -> list[list[Any]]:
    found: list[list[Any]] = []
    for row in ElementTree.fromstring(xml).iter(f"{_SHEET}row"):
        number = int(row.get("r") or 0)
        while len(found) < number:
            found.append([])
        for cell in row:
            column = _column(cell.get("r") or "")
            found[-1] += [None] * (column + 1 - len(found[-1]))
            assert cell.find(f"{_SHEET}f") is None, "a formula"
            value = cell.find(f"{_SHEET}v")
            if value is not None and value.text is not None:
                is_text = cell.get("t") == "s"
                found[-1][column] = shared[int(value.text)] if is_text else float(value.text)
    return found


def _column(place: str) -> int:
    number = 0
    for letter in re.match(r"[A-Z]+", place)[0]:  # type: ignore[index]
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def table(body: bytes, name: str) -> list[dict[str, Any]]:
    """Return the rows of a sheet below its head, by column."""
    rows = sheets(body)[name]
    head = rows[HEAD_ROW]
    return [dict(zip(head, row + [None] * len(head), strict=False)) for row in rows[HEAD_ROW + 1 :]]


def text(body: bytes) -> str:
    """Return the text of a letter: a line a paragraph, a cell a line."""
    tree = ElementTree.fromstring(parts(body)["word/document.xml"])
    return "\n".join("".join(one.text or "" for one in line.iter(f"{_WORD}t")) for line in tree.iter(f"{_WORD}p"))


def grid(body: bytes, number: int) -> list[list[str]]:
    """Return the cells of the n-th table of a letter, from 0."""
    found = list(ElementTree.fromstring(parts(body)["word/document.xml"]).iter(f"{_WORD}tbl"))[number]
    return [
        ["".join(one.text or "" for one in cell.iter(f"{_WORD}t")) for cell in row.iter(f"{_WORD}tc")]
        for row in found.iter(f"{_WORD}tr")
    ]
