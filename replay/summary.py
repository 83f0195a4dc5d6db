"""The books as people read them: one Markdown text, for the terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from domain import topics
from domain.printable import printable
from replay.books import Books, TopicBook
from replay.judging import Judgement

if TYPE_CHECKING:
    from replay.log_replay import Replayed  # with numba
    from replay.source_log import Made


def markdown(books: Books) -> str:
    """Return the summary of a replay. Numbers are those of the books, nothing else."""
    return "\n".join(_lines(books)) + "\n"


def log_markdown(found: Replayed) -> str:
    """Return the summary of a recorded log's replay."""
    return "\n".join(_log_lines(found)) + "\n"


def _log_lines(found: Replayed) -> Iterator[str]:
    verdict = "every record is accounted for" if found.balanced else "RECORDS ARE NOT ACCOUNTED FOR"
    yield from (f"# Replay of a recorded log: {verdict}", "")
    yield f"Into {found.into}, by engine {found.engine_version}; recorded by engine {found.recorded_by}."
    rate = int(found.records / max(found.wall_s, 0.1))
    yield f"{_n(found.records)} records in {found.wall_s:.1f} s, {_n(rate)} a second."
    yield ""
    if found.made is not None:
        yield from _made_lines(found.made)
    yield from _table(("what became of a record", "records"), [(name, _n(n)) for name, n in found.outcomes.items()])
    yield from _table(
        ("output topic", "messages, repeats removed"), [(name, _n(n)) for name, n in found.outputs.items()]
    )
    yield from _table(("alert revisions of the supervisor", ""), [(name, _n(n)) for name, n in found.alerts.items()])
    if found.learned is not None:
        rows = [
            *((name, str(x)) for name, x in found.learned.items()),
            *((f"model {n}", m) for n, m in enumerate(found.models, 1)),
        ]
        yield from _table(("the learner", ""), rows)
    if found.digest is not None:
        yield f"SHA-256 of the outputs, in the order of partition, topic and offset: `{found.digest}`."
    yield from (f"Note: {note}." for note in found.notes)


def _made_lines(made: Made) -> Iterator[str]:
    yield f"Made of {_n(made.deliveries)} events that were read, with {_n(made.ticks)} ticks."
    yield ""
    rows = [("forwarded", made.forwarded), ("receipts", made.receipts), *sorted(made.refused.items())]
    yield from _table(("what became of an event", "events"), [(name, _n(n)) for name, n in rows])
    for shown in made.shown:
        yield f"Refused: {printable(shown)}."
    if made.shown:
        yield ""


def _lines(books: Books) -> Iterator[str]:
    verdict = "the books balance" if books.balanced else "THE BOOKS DO NOT BALANCE"
    yield from (f"# Replay of {books.source}: {verdict}", "")
    yield f"Written by `xinliu replay {books.source} --summary FILE`: engine {books.engine_version}, {books.machine}."
    yield ""
    yield from _flow(books)
    yield from _results(books)
    if books.judgement:
        yield from _judgement(books.judgement)
    yield from ("## Checks", "")
    yield from _table(
        ("", "check", "", ""),
        [("ok" if check.holds else "WRONG", check.what, _n(check.left), _n(check.right)) for check in books.checks],
    )


def _flow(books: Books) -> Iterator[str]:
    rows = books.rows
    # control.v1 has records of operators and learn too: of it, what we sent counts.
    sent = books.outcomes_sent + sum(book.sent for book in books.topics if book.topic != topics.CONTROL)
    dropped = {name: count for name, count in rows.items() if name.startswith("dropped")}
    if rows.get("read"):
        said = " + ".join(f"{name.removeprefix('dropped: ')} {_n(count)}" for name, count in sorted(dropped.items()))
        why = f" ({said})" if said else ""
        kept = rows["read"] - sum(dropped.values())
        yield f"Rows read {_n(rows['read'])} = sent {_n(kept)} + dropped {_n(sum(dropped.values()))}{why}."
        yield f"Deliveries {_n(sent)} = of rows {_n(kept)} + made {_n(rows['made'])} (what no row stands for)."
    else:
        yield f"Deliveries {_n(sent)}, all of them simulated."
    yield f"Wall time {books.wall_s:.1f} s, {_n(int(sent / max(books.wall_s, 0.1)))} deliveries a second."
    yield from ("", "## What went in", "")
    quarantined = sum(book.quarantined for book in books.topics)
    names = ("topic", "consumed", "accepted", "receipts", "dead-lettered", *(["quarantined"] if quarantined else []))
    yield from _table(names, [_topic_row(book)[: len(names)] for book in books.topics])
    yield from ("## What score made of the log", "")
    counts = [(name, _n(count)) for name, count in books.outcomes.items()]
    counts += [("ticks and controls", _n(books.log_barriers)), ("events.v1 in all", _n(books.log_records))]
    yield from _table(("outcome", "records"), counts)
    if books.log_repeats:
        yield from (f"{_n(books.log_repeats)} records were appended twice, after a restart of ingest.", "")
    dead = sum(sum(book.dead_lettered.values()) for book in books.topics)
    receipts = sum(book.receipts for book in books.topics)
    said = " + ".join(f"{name} {_n(count)}" for name, count in books.outcomes.items())
    consumed = books.outcomes_sent + sum(book.consumed for book in books.topics if book.topic != topics.CONTROL)
    total = sum(books.outcomes.values()) - books.log_repeats + dead + receipts + quarantined
    said += f" + dead-lettered {_n(dead)} + receipts {_n(receipts)}"
    said += f" + quarantined {_n(quarantined)}" if quarantined else ""
    yield f"Consumed {_n(consumed)} = {said} ({_n(total)})."
    if books.covered_up_to:
        covered = ", ".join(f"{bank} {day}" for bank, day in books.covered_up_to.items())
        yield f"Covered by receipts up to: {covered}."
    yield ""


def _results(books: Books) -> Iterator[str]:
    yield from ("## What came out", "")
    yield from _table(
        ("topic", "severity", "state", "alert revisions"),
        [(*name.split(" "), _n(count)) for name, count in books.alerts.items()] or [("(none)", "", "", "0")],
    )
    learned = f"{_n(books.labels_learned)} labels in the newest snapshot" if books.snapshots else "no snapshot"
    yield from _table(
        ("output", "count"),
        [
            ("score records", _n(books.scores)),
            ("records of a day's indicators", _n(books.indicators)),
            ("observations", _n(books.observations)),
            ("labels matured", _n(int(books.learn.get("labels") or 0)) if books.learn else "(learn runs elsewhere)"),
            ("model snapshots published", f"{_n(books.snapshots)} ({learned})"),
            ("model switches", _n(books.model_switches)),
        ],
    )
    already, unknown = (int(books.learn.get(kind) or 0) for kind in ("already_bad", "indeterminate"))
    untaught = f" Not learned: {_n(already)} already bad, {_n(unknown)} indeterminate." if already + unknown else ""
    yield f"Learn had {_n(books.observations)} observations.{untaught}"
    if books.learn.get("waits_for"):
        yield f"At the end learn waited for: {printable(str(books.learn['waits_for']))}."
    yield ""
    yield from _table(
        ("table", "rows in ClickHouse", "emitted"),
        [(table, _n(stored), _n(emitted)) for table, (stored, emitted) in books.archive.items()],
    )


def _judgement(judgement: Judgement) -> Iterator[str]:
    yield from ("## Scores at the grants, and what became of the loans", "")
    rows = [
        (
            "(none)" if band.from_points is None else f"{band.from_points} to {band.to_points}",
            _n(band.good),
            _n(band.bad),
        )
        for band in judgement.bands
    ]
    yield from _table(("score at the grant", "good", "bad"), rows)
    if judgement.auc is not None:
        yield from (
            f"A good loan has the higher score in {judgement.auc:.3f} of all pairs of a good and a bad one (AUC).",
            "",
        )


def _topic_row(book: TopicBook) -> tuple[str, ...]:
    reasons = ", ".join(f"{reason} {_n(count)}" for reason, count in book.dead_lettered.items())
    dead = f"{_n(sum(book.dead_lettered.values()))}{f' ({reasons})' if reasons else ''}"
    counts = book.consumed, book.accepted, book.receipts
    return (book.topic, *map(_n, counts), dead, _n(book.quarantined))


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    rows = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(names, *rows, strict=True)]
    for row in (names, ["-" * max(width, 3) for width in widths], *rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
    yield ""


def _cell(text: str) -> str:
    """Return a bar would end the cell, and a backslash before it would free it again."""
    return printable(text).replace("\\", "\\\\").replace("|", "\\|")


def _n(count: int) -> str:
    return f"{count:,}"
