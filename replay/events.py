"""Files of events in `xinliu.event/1`, replayed as a source: `xinliu replay events --data DIR`.

    DIR/banks.toml       [[banks]] as in the settings, [[consents]], and how the files are to be taken (`_Terms`)
    DIR/*.jsonl          an event a line, as a bank, the gateway or an operator sends it
    DIR/*.parquet        an event a row: the fields of the events as columns, those that are null being absent; `type`
                         stands in a column, or is the file's name (txn.parquet, loan.parquet, …)

The order of the lines of a file is the order of delivery: an event whose time lies before that of a line above it is
delivered late. Files are merged by the time that their lines have reached.
"""

import hashlib
import heapq
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from config.credentials import forbidden
from config.settings import Bank, IngestSettings
from domain import topics
from domain.calendar import day_of_date, day_of_text, day_start_ms
from domain.events import (
    SCHEMA,
    Authorization,
    CaseAction,
    Control,
    FromBank,
    FromGateway,
    FromOperator,
    Outcome,
    Receipt,
)
from domain.ids import BankIdText, EnterpriseIdText
from domain.reject import Rejected
from domain.validate import Validator, source_of
from replay.gateway import GATEWAY_ID
from replay.judging import Label
from replay.recorded import closed_by_receipts
from replay.sources import Delivery, Sendable, SourceError

TERMS = "banks.toml"
PURPOSE: Literal["贷后管理"] = "贷后管理"
_ROWS_AT_ONCE = 10_000
_TIME_MS_MAX = day_start_ms(day_of_date(date(2100, 1, 1)))  # a later one is a slip, and each day has its receipts
_TYPES = {kind.__struct_config__.tag: kind for kind in get_args(FromBank | FromGateway | FromOperator)}
_FROM_BANK, _FROM_GATEWAY = get_args(FromBank), get_args(FromGateway)
_encode = msgspec.json.Encoder().encode


class Consent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An enterprise's consent that a bank may see what rests on other banks' data, for the days of a loan."""

    enterprise_id: EnterpriseIdText
    to_bank_id: BankIdText
    valid_from: date
    valid_to: date  # the day after the last


class _Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contents of `banks.toml`.

    receipts: "made": each bank's day is closed as the next one begins; "given": by the receipts in the files.
    history: all of it is past: a backfill, in which nobody is alerted.
    """

    banks: tuple[Bank, ...]
    consents: tuple[Consent, ...] = ()
    receipts: Literal["made", "given"] = "made"
    history: bool = False


class Events:
    """The `Source` of the files of a folder. Raise SourceError, with the line, where a file is wrong."""

    name = "events"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._terms = _read_terms(directory / TERMS)
        self.banks = self._terms.banks
        self.is_history = self._terms.history
        self._bank_ids = frozenset(bank.bank_id for bank in self.banks)
        self._files = sorted(path for path in directory.iterdir() if path.suffix in (".jsonl", ".parquet"))
        if not self._files:
            raise SourceError(f"{directory} holds no *.jsonl and no *.parquet file")
        self._rows: Counter[str] = Counter()

    @property
    def identity(self) -> str:
        """`banks.toml`, and the sizes of the files, which stand for what is in them."""
        terms = hashlib.sha256((self.directory / TERMS).read_bytes()).hexdigest()
        return f"{self.name} 1 {terms} {' '.join(f'{path.name}:{path.stat().st_size}' for path in self._files)}"

    def deliveries(self) -> Iterator[Delivery]:
        """Yield all events, after the consents of their time.

        Raise SourceError, with file and line, where one is wrong.
        """
        self._rows = Counter()
        files = (self._of_file(path) for path in self._files)
        merged = heapq.merge(iter(self._consents()), *files, key=attrgetter("at_ms"))
        if self._terms.receipts == "given":
            yield from merged
            return
        for delivery in closed_by_receipts(self.banks, merged):
            self._rows["made"] += isinstance(delivery.event, Receipt)
            yield delivery

    def check(self) -> int:
        """Read all of it, so that what is wrong is known before anything is sent; how many events there are."""
        return sum(1 for _ in self.deliveries())

    def rows(self) -> Mapping[str, int]:
        """`read`, and `made`: consents and receipts."""
        return {"read": 0, "made": 0, **self._rows}

    def outcomes(self) -> Mapping[str, Label]:
        """None: what becomes of the loans is in the events."""
        return {}

    def _consents(self) -> list[Delivery]:
        found = [_consent(number, one) for number, one in enumerate(self._terms.consents, 1)]
        self._rows["made"] += len(found)
        return sorted((Delivery(one.event_time, topics.GATEWAY, one) for one in found), key=attrgetter("at_ms"))

    def _of_file(self, path: Path) -> Iterator[Delivery]:
        lines = _lines_of_json(path) if path.suffix == ".jsonl" else _rows_of_parquet(path)
        at_ms = -(2**62)
        for where, line in lines:
            event = self._read(where, line)
            at_ms = max(at_ms, _time_of(event))
            self._rows["read"] += 1
            yield Delivery(at_ms, _topic_of(event), event)

    def _read(self, where: str, line: bytes) -> Sendable:
        """Return the event in a line, checked as ingest does."""
        topic = self._topic(where, line)
        event = _validator(topic).accept(line, SCHEMA.encode(), _TIME_MS_MAX)
        if isinstance(event, Rejected):
            named = f"{event.field}: " if event.field else ""
            raise SourceError(f"{where}: {named}{event.reason.value} {event.detail}".rstrip())
        if isinstance(event, Control):
            raise SourceError(f"{where}: a control record is no event of a bank, the gateway or an operator's outcome")
        if isinstance(event, CaseAction):
            raise SourceError(f"{where}: an action on a case: its case is of another log")
        if isinstance(event, Receipt) and self._terms.receipts == "made":
            said = f'receipts are made here; {TERMS} with receipts = "given" takes those of the files'
            raise SourceError(f"{where}: {said}")
        return event

    def _topic(self, where: str, line: bytes) -> str:
        """Return the topic of an event, by its type and bank. Raise SourceError where they cannot be read."""
        try:
            head = msgspec.json.decode(line, type=_Head)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SourceError(f"{where}: {error}") from error
        kind = _TYPES.get(head.type)
        if kind is None:
            raise SourceError(f"{where}: type: {head.type[:64]!r} is none of {', '.join(sorted(_TYPES))}")
        if kind in _FROM_BANK and head.bank_id not in self._bank_ids:
            raise SourceError(f"{where}: bank_id: {head.bank_id[:64]!r} is no bank of {TERMS}")
        if kind in _FROM_BANK:
            return topics.bank_events(head.bank_id)
        return topics.GATEWAY if kind in _FROM_GATEWAY else topics.CONTROL


class _Head(msgspec.Struct, frozen=True):
    """The fields that name the sender of an event."""

    type: str
    bank_id: str = ""


def _read_terms(path: Path) -> _Terms:
    try:
        terms = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _Terms)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; --data must name the folder of the events") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise SourceError(f"{path}: {error}") from error
    known: set[str] = set()
    for number, bank in enumerate(terms.banks):
        if bank.bank_id in known:
            raise SourceError(f"{path}: banks[{number}].bank_id {bank.bank_id} stands twice")
        known.add(bank.bank_id)
    for number, consent in enumerate(terms.consents):
        if consent.to_bank_id not in known:
            raise SourceError(f"{path}: consents[{number}].to_bank_id {consent.to_bank_id} is no bank of this file")
        if consent.valid_from >= consent.valid_to:
            raise SourceError(f"{path}: consents[{number}].valid_to {consent.valid_to} is not after valid_from")
    return terms


def _consent(number: int, one: Consent) -> Authorization:
    from_ms = day_start_ms(day_of_date(one.valid_from))
    name = f"consent-{number}"
    return Authorization(
        event_id=name,
        bank_id=GATEWAY_ID,
        enterprise_id=one.enterprise_id,
        event_time=from_ms,
        to_bank_id=one.to_bank_id,
        purpose=PURPOSE,
        valid_from=from_ms,
        valid_to=day_start_ms(day_of_date(one.valid_to)),
        authorization_id=name,
        consent_hash=hashlib.sha256(f"{name} {one}".encode()).hexdigest(),
        confirmed_by_enterprise_at=from_ms,
    )


@lru_cache(4_096)
def _validator(topic: str) -> Validator:
    tolerance_ms = IngestSettings().future_tolerance_ms
    return Validator(source=source_of(topic), forbidden=forbidden(), future_tolerance_ms=tolerance_ms)


def _topic_of(event: Sendable) -> str:
    if isinstance(event, Outcome):
        return topics.CONTROL
    return topics.bank_events(event.bank_id) if isinstance(event, _FROM_BANK) else topics.GATEWAY


def _time_of(event: Sendable) -> int:
    """Return the earliest time of an event's delivery: a receipt comes after the end of its day."""
    return day_start_ms(day_of_text(event.day) + 1) if isinstance(event, Receipt) else event.event_time


def _lines_of_json(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if text := line.strip():
                    yield f"{path.name}, line {number}", text
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error


def _rows_of_parquet(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise SourceError(f"{path}: to read Parquet, install the extra 'evaluate' (pyarrow)") from None
    named: dict[str, Any] = {"type": path.stem} if path.stem in _TYPES else {}
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    present = {name: value for name, value in row.items() if value is not None}
                    yield f"{path.name}, row {number}", _json(path, number, named | present)
    except (arrow.ArrowException, OSError) as error:
        raise SourceError(f"{path}, after row {number}: {error}") from error


def _json(path: Path, number: int, row: dict[str, Any]) -> bytes:
    try:
        return _encode(row)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{path.name}, row {number}: {error}") from error
