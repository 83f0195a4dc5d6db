"""A fitted case table in the files that it came from: numbers change in their places, comments stay."""

import csv
import io
import json
import re

from config.case_table import CaseTable, Texts, case_table_of
from domain.outputs import SEVERITIES


def rewritten(texts: Texts, table: CaseTable) -> Texts:
    """Return the three files with the table's numbers.

    Raise ValueError, with the file, where a number does not stand on one line of its own.
    """
    points, findings, (name, rest) = texts
    rest = _put(name, rest, "evidence", json.dumps(table.evidence, ensure_ascii=False))
    for key in "intercept_milli", "score", "move", "curve", "closes_to_ease":
        rest = _put(name, rest, key, json.dumps(getattr(table, key)))
    for severity in SEVERITIES:
        rest = _put(name, rest, severity, str(getattr(table.cutoffs_milli, severity)))
    found = Texts((points[0], _points(points[1], table)), findings, (name, rest))
    if case_table_of(found).table != table:
        raise ValueError(f"{name}: does not say what was fitted; each number needs a line of its own")
    return found


def _put(name: str, text: str, key: str, value: str) -> str:
    new, count = re.subn(rf"(?m)^{key} = [^#\n]*?(\s*#.*)?$", lambda found: f"{key} = {value}{found[1] or ''}", text)
    if count != 1:
        raise ValueError(f"{name}: {key} stands on {count} lines, not on one")
    return new


def _points(text: str, table: CaseTable) -> str:
    """Return the points of a table in the rows of a CSV file; no number stands for that of the level below."""
    rows = list(csv.DictReader(text.splitlines()))
    for row in rows:
        below = 0
        for severity, milli in zip(SEVERITIES, table.points_milli.get(row["id"], ()), strict=False):
            if row[severity] or milli != below:
                row[severity] = str(milli)
            below = milli
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
