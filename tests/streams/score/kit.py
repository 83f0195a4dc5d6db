"""A small log made from a seed, and its run through a partition."""

import collections
import dataclasses
import random
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from config.case_table import Cutoffs, StandsAlone, packaged_case_table
from config.catalogue import signal_rows
from detectors.prior import prior_snapshot
from detectors.rules.artefact import RulesArtefact, RuleSet, compiled, decode, packaged_rules
from detectors.scorecard import scorecard
from detectors.snapshot import content_id
from domain.calendar import day_of_date, day_start_ms
from domain.events import SCHEMA, Authorization, Feed, Loan, Tick, Txn
from domain.outputs import SEVERITIES
from features.layout import id_words
from features.values import Value
from sinks.batch import Records
from streams.score import outbook, outputs_json
from streams.score.partition import Engine, Partition, engine_of
from streams.score.rows import Outgoing
from streams.transport.chunk import chunk_of
from tests import transactions

BANK, OTHER_BANK, GATEWAY = "C1010211000012", "C1010511003703", "Z2004944000010"
FIRST_DAY = day_of_date(date(2024, 1, 1))
HEADERS = [("schema", SCHEMA.encode())]
IMMEDIATE = Path(__file__).with_name("immediate_signals.csv")


class Message(NamedTuple):
    """One record that was sent; `mark` is the offset of the log record that it follows from."""

    topic: str
    key: bytes | None
    value: bytes
    mark: int


class _Placed(msgspec.Struct):
    offset: int


def txn(event_id: str, enterprise: str, day: int, ms: int = 0, fen: int = 100_000, **fields) -> Txn:
    fields = {"purpose": "sales", "counterparty_id": "p1", "bank_id": BANK, "account": "a"} | fields
    return transactions.txn(
        event_id=event_id, enterprise_id=enterprise, event_time=day_start_ms(FIRST_DAY + day) + ms, amount_minor=fen,
        **fields,
    )  # fmt: skip


def loan(event_id: str, enterprise: str, day: int, event: str = "granted", **fields) -> Loan:
    fields = {"outstanding_minor": 10**8, "loan_id": f"L-{enterprise}", "bank_id": BANK} | fields
    return Loan(
        event_id=event_id, enterprise_id=enterprise, event_time=day_start_ms(FIRST_DAY + day), event=event,
        principal_minor=10**8, granted_on="2024-01-01", **fields,
    )  # fmt: skip


def authorization(event_id: str, enterprise: str, to: str = BANK, **fields) -> Authorization:
    fields = {"valid_from": 0, "valid_to": 2**52, "purpose": "贷后管理"} | fields
    return Authorization(
        event_id=event_id, bank_id=GATEWAY, enterprise_id=enterprise, event_time=day_start_ms(FIRST_DAY),
        to_bank_id=to, authorization_id="x", consent_hash="0" * 64, confirmed_by_enterprise_at=0, **fields,
    )  # fmt: skip


def tick(day: int, *, closed: int | None = None, stalled: bool = False) -> Tick:
    """Time is at the end of `day`; both banks have closed it (or up to `closed`)."""
    up_to = FIRST_DAY + (day if closed is None else closed)
    feed = Feed(covered_up_to=up_to, closed_up_to=up_to, stalled=stalled)
    return Tick(up_to=day_start_ms(FIRST_DAY + day + 1) + 1, feeds={BANK: feed, OTHER_BANK: feed})


def record(event, body: str | None = None, *, admitted: bool = False):
    """One record of events.v1: (key, value, headers, timestamp)."""
    fingerprint = "" if isinstance(event, Tick) else body or f"{abs(hash64(event)):016x}"
    value = transactions.logged(event, fingerprint=fingerprint, origin=("t", 0, 0), admitted=admitted)
    return None, msgspec.json.encode(value), HEADERS, 0


def hash64(event) -> int:
    from streams.score.records import hash64 as h

    return h(msgspec.json.encode(event).decode(), 0)


def log_of(seed: int, enterprises: int = 12, days: int = 170) -> list:
    """Days of trade with loans, collapses, late events, duplicates, conflicts, reversals and a tick each night."""
    rnd = random.Random(seed)
    events = []
    for e in range(enterprises):
        events.append(loan(f"l{e}", f"E{e}", 0))
        if e % 2:
            events.append(authorization(f"a{e}", f"E{e}"))
    sent = []
    for day in range(days):
        for e in range(enterprises):
            for j in range(2):
                fen = rnd.randrange(10**5, 10**7) // (20 if e % 3 == 0 and day > 130 else 1)
                credit = j == 0 or rnd.random() < 0.4
                event = txn(
                    f"t{day}-{e}-{j}", f"E{e}", day, rnd.randrange(80_000_000), fen,
                    direction="C" if credit else "D", purpose="sales" if credit else "purchase",
                    counterparty_id=f"p{rnd.randrange(20)}", bank_id=BANK if e % 3 else OTHER_BANK,
                    seq=2 * day + j if e % 4 == 1 else None,
                )  # fmt: skip
                events.append(event)
                sent.append(event)
        events += rnd.sample(sent[-60:], 2)  # the same again, within the lateness
        if day % 9 == 5:
            events.append(msgspec.structs.replace(rnd.choice(sent[-20:]), amount_minor=7))  # the same id, another body
            late = rnd.choice((3, 12))  # within the seven days, and past them
            events.append(txn(f"late{day}", f"E{day % enterprises}", max(0, day - late), 5))
            undone = rnd.choice(sent[-20:])
            events.append(
                msgspec.structs.replace(
                    undone,
                    event_id=f"r{day}",
                    seq=None,
                    event_time=day_start_ms(FIRST_DAY + day) + 81_000_000,
                    status="reversed",
                    ref_event_id=undone.event_id,
                    ref_event_time=undone.event_time,
                )
            )
        if day == 150:
            events.append(loan("overdue", "E1", day, "overdue", dpd=35))
        events.append(tick(day))
    return [record(event) for event in events]


def applied(partition: Partition, records: list, size: int, first: int = 0) -> Iterator:
    """All messages of the records from offset `first` on, in chunks of `size`."""
    for at in range(first, len(records), size):
        yield from said(partition, chunk_of("events.v1", 0, at, records[at : at + size]))


def said(partition: Partition, chunk, stored: dict[str, Value] | None = None) -> Iterator:
    """Yield the messages of a chunk. Where memory is full, dirty rows are flushed to `stored` in place of Redis."""
    for outgoing in partition.apply(chunk):
        yield from messages_of(outgoing)
        if partition.wants_room and not partition.make_room():
            flush(partition, stored)
            assert partition.make_room()


def messages_of(outgoing: Iterable[Outgoing]) -> Iterator[Message]:
    """One by one, topic by topic."""
    for topic, records in outgoing:
        for key, value in records:
            yield Message(topic, key, value, msgspec.json.decode(value, type=_Placed).offset)


def by_topic(messages: Iterable[Message]) -> dict[str, list[Message]]:
    """The part of outputs that does not depend on batches: the order in each topic."""
    found = collections.defaultdict(list)
    for message in messages:
        found[message.topic].append(message)
    return found


def flush(partition: Partition, stored: dict[str, Value]) -> None:
    """Values alone, as in the middle of a batch."""
    rows = partition.dirty_rows()
    for name, value in partition.take(rows):
        stored[name] = value.over(stored.get(name))
    partition.written(rows)


def partition_on(stored: dict[str, Value], state=None, snapshot_of=None, **more) -> Partition:
    """A partition over a Redis that is a dict."""
    return Partition(
        0,
        snapshot_of or no_model,
        state,
        names=[name.encode() for name in stored],
        fetch=lambda names: [stored[name] for name in names],
        **more,
    )


def no_model(model_id: str):
    raise LookupError(model_id)


@cache
def immediate_rules() -> RuleSet:
    """Return rules whose levels are raised at once, mostly by one number each: those of tests of the mechanics.

    The packaged ones are chosen by what they catch (docs/warning.md) and may change for that alone.
    """
    artefact = immediate_artefact()
    rules = compiled(artefact, content_id(artefact.encode()), row_word="immediate_signals.csv line", first=2)
    return dataclasses.replace(rules, programs=rules.programs._replace(case_cooldown=np.uint8(14)))  # and no claim


@cache
def immediate_artefact() -> RulesArtefact:
    """Return them as an artefact."""
    return RulesArtefact(signals=signal_rows(IMMEDIATE.read_text(encoding="utf-8")))


@cache
def claiming_artefact() -> RulesArtefact:
    """Return the immediate rules with a claim over them: packaged findings, the same points for all signals."""
    rows = immediate_artefact().signals
    usual = packaged_case_table().table.of_signals(frozenset(row.id for row in rows))
    table = msgspec.structs.replace(
        usual,
        points_milli={row.id: (500, 1_500, 3_000) for row in rows},
        alone=tuple(StandsAlone(signal="EWS35_arrears", at=level, level=level) for level in SEVERITIES),
        intercept_milli=-2_996,
        score=((400_000, 3_466), (550_000, 0), (700_000, -3_466)),
        move=((-60, 800), (-30, 400), (0, 0)),
        cutoffs_milli=Cutoffs(yellow=-1_700, orange=-700, red=400),
        closes_to_ease=7,
    )
    return RulesArtefact(signals=rows, case=table)


def claiming_rules() -> RuleSet:
    """Return them compiled."""
    body = claiming_artefact().encode()
    return decode(body, content_id(body))


def prior_engine(partition: Partition, rules: RuleSet | None = None) -> Engine:
    """Return the engine of a partition that has had the package's model alone, and these rules, else the package's."""
    return engine_of(scorecard(prior_snapshot()), rules or packaged_rules(), partition.saved.model_changed_day)


def state_of(partition: Partition, stored: dict[str, Value] | None = None) -> dict[str, Value]:
    """Return every enterprise's value: from memory, or as stored."""
    return {**(stored or {}), **dict(partition.values(partition.residents.rows()))}


def written_rows(kind, many, enterprise_id, terms):
    """The bytes of rows of one kind by the compiled writer; `many`: cells of each by name."""
    book = np.zeros(len(many), outbook.ROW)
    book["kind"] = kind
    for row, cells in zip(book, many, strict=True):
        for name, cell in cells.items():
            if isinstance(cell, list):
                row[name][: len(cell)] = cell  # the context stands behind the indicators
            else:
                row[name] = cell
    out, sizes = np.empty(len(many) * outputs_json.BYTES_MAX, np.uint8), np.empty((len(many), 2), np.int64)
    size = outputs_json.write(book, np.arange(len(many)), id_words(enterprise_id).reshape(1, 4), terms, out, sizes)
    keys, values = zip(*Records(out[:size].tobytes(), sizes), strict=True)
    assert set(keys) == {enterprise_id.encode()}
    return list(values)
