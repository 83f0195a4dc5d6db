"""The report as one page that opens offline: tables and charts, without a script."""

from collections.abc import Iterator
from html import escape

from replay.evaluation.report import Evaluation
from replay.evaluation.sections import Section, Writer
from replay.model_report import charts
from replay.model_report.page import document, table


def html(found: Evaluation, *, chinese: bool) -> bytes:
    """Return the page as UTF-8. The same report gives the same bytes."""
    writer = Writer(chinese)
    sections = ["\n".join(_section(one, place, chinese)) for place, one in enumerate(writer.sections(found))]
    return document(writer.title(found), sections, chinese=chinese)


def _section(one: Section, place: int, chinese: bool) -> Iterator[str]:
    yield "<section>"
    if place:
        yield f"<h2>{escape(one.title)}</h2>"
    yield from (f'<p class="say">{escape(text)}</p>' for text in one.texts)
    for each in one.tables:
        heads, *rows = each.rows
        yield table(heads, [[escape(cell) for cell in row] for row in rows])
    if one.judged is not None:
        writer = Writer(chinese)
        yield from charts.curves(one.judged.models, one.judged.scores, lambda key: _word(writer, key, chinese))
    yield "</section>"


def _word(writer: Writer, key: str, chinese: bool) -> str:
    from replay.model_report.words import WORDS

    known = writer.t(key)
    return known if known != key else WORDS.get(key, (key, key))[0 if chinese else 1]
