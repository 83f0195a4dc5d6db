"""One log made from a seed: everything whose outcome could hang on batches, sweeps, workers or restarts happens in it.

Two thirds of the records fall into 28 days in a row; before them lie 12 days of trade, ten days apart, of the
enterprises that so get the history that a signal needs. Three banks: one closes its days as they end, one three days
later, one stalls for four days.
"""

import hashlib
import random
from collections import Counter
from dataclasses import dataclass
from datetime import date

import msgspec

from detectors.prior import prior_id, prior_snapshot
from detectors.snapshot import Snapshot, content_id, decode
from domain.calendar import DAY_MS, day_of_date, day_start_ms
from domain.events import SCHEMA, Authorization, CaseAction, Control, Feed, Gov, Loan, LogRecord, Tick, Txn
from sinks.partitioner import partitions_of
from tests import transactions
from tests.determinism.desk import Desk

PROMPT, TARDY, STALLING, GATEWAY = "C1010211000012", "C1010511003703", "C1010411000013", "Z2004944000010"
BANKS = (PROMPT, TARDY, STALLING)
HEADERS = (("schema", SCHEMA.encode()),)
FIRST_DAY = day_of_date(date(2024, 3, 4))  # far from the Spring Festival, at which the signal is suppressed
SPARSE_DAYS, DENSE_DAYS, GAP_DAYS = 12, 28, 10
DENSE_FROM = SPARSE_DAYS * GAP_DAYS
SILENT = 3  # one of 17, for the last weeks
STALL = range(DENSE_FROM + 15, DENSE_FROM + 19)
SWITCHES = {DENSE_FROM + 5: "other", DENSE_FROM + 20: "prior"}  # right after the tick of that day
ARREARS = {1: 5, 2: 0, 6: 9}  # by sparse day: of the same loans, cleared in between, and again within the cooldown
FINDINGS = {5: "penalty", 14: "judicial_freeze"}  # by dense day: of every other borrower, the graver one last
BACKFILL = range(DENSE_FROM - 2, DENSE_FROM + 4)  # opened before the first day, closed after the last one's tick

Row = tuple[bytes | None, bytes, tuple[tuple[str, bytes], ...], int]


@dataclass(frozen=True, slots=True)
class Log:
    """The records of each partition, and how many of each kind were put in."""

    partitions: list[list[Row]]
    put_in: Counter[str]


def other_snapshot() -> Snapshot:
    """A model that is not the prior: points moved from the heaviest indicator to the lightest."""
    prior = prior_snapshot()
    weights = dict(prior.weights_milli)
    heaviest, lightest = max(weights, key=weights.__getitem__), min(weights, key=weights.__getitem__)
    moved = weights[heaviest] // 2
    weights[heaviest] -= moved
    weights[lightest] += moved
    return msgspec.structs.replace(prior, parent_id=prior_id(), prior=False, weights_milli=weights)


def other_id() -> str:
    """Its content id."""
    return content_id(other_snapshot().encode())


def snapshot_of(model_id: str) -> Snapshot:
    """Return the snapshot that a worker would fetch from `model.v1`, and check."""
    return decode(other_snapshot().encode(), model_id)


def make(
    seed: int,
    *,
    enterprises: int,
    partitions: int,
    old_every: int = 5,
    records_a_day: float = 3.6,
    desks: bool = False,
) -> Log:
    """Return the log of a seed; 2,000 enterprises have over 200,000 records. One of `old_every` has a history.

    desks: of whatever borrower there is something else to find, and desks act on the cases that `desk.RULES` open.
    """
    return _Maker(seed, enterprises, partitions, old_every, records_a_day, desks=desks).make()


class _Maker:
    def __init__(
        self, seed: int, enterprises: int, partitions: int, old_every: int, records_a_day: float, *, desks: bool
    ) -> None:
        self._rnd = random.Random(seed)
        self._enterprises, self._old_every, self._records_a_day = enterprises, old_every, records_a_day
        self._rows: list[list[Row]] = [[] for _ in range(partitions)]
        keys = [f"E{e}".encode() for e in range(enterprises)]
        self._homes = dict(zip(keys, partitions_of(keys, partitions).tolist(), strict=True))
        self._put_in: Counter[str] = Counter()
        self._desks = [Desk(random.Random(f"{seed} {n}"), n, snapshot_of) for n in range(partitions if desks else 0)]
        self._sent: list[Txn] = []
        self._id = 0
        self._numbered: Counter[tuple[str, str]] = Counter()  # by enterprise and bank

    def make(self) -> Log:
        """Return the log: day by day the banks' records, then the ticks of the ended days."""
        rnd = self._rnd
        old = range(0, self._enterprises, self._old_every)
        for e in range(self._enterprises):
            if e % 3 == 0:
                self._to_one(self._loan(e, 0, "granted"))
                self._to_one(self._authorization(e))
        for n in range(SPARSE_DAYS):
            day = n * GAP_DAYS
            self._trade(day, old, 2.0)
            if n in ARREARS:
                for e in range(6, self._enterprises, 21):
                    self._to_one(self._loan(e, day, "overdue", dpd=ARREARS[n]))
            self._tick(day)
            self._tick(day + GAP_DAYS - 3)  # several days at once
            if day + GAP_DAYS > BACKFILL.start >= day:
                self._control("backfill_open")
            self._tick(day + GAP_DAYS - 1)
            self._act(day + GAP_DAYS)
        for day in range(DENSE_FROM, DENSE_FROM + DENSE_DAYS):
            self._trade(day, range(self._enterprises), self._records_a_day)
            if day == DENSE_FROM + 12:
                for e in range(0, self._enterprises, 21):
                    self._to_one(self._loan(e, day, "overdue", dpd=rnd.randrange(1, 95)))
            if day == DENSE_FROM + 23:  # the silence of the silent was none
                for e in range(SILENT, self._enterprises, 17):
                    self._to_one(self._txn(e, day - 4, credit=True))
                    self._put_in["late"] += 1
            if self._desks and day - DENSE_FROM in FINDINGS:
                for e in range(0, self._enterprises, 6):
                    self._to_one(self._gov(e, day, FINDINGS[day - DENSE_FROM]))
            self._tick(day, hour=11)
            self._act(day)
            self._tick(day)
            if day == BACKFILL[-1]:
                self._control("backfill_close")
            if day in SWITCHES:
                model_id = other_id() if SWITCHES[day] == "other" else prior_id()
                self._control("activate", artefact="model", artefact_id=model_id)
            if day % 9 == 0:
                self._unreadable()
        self._tick(DENSE_FROM + DENSE_DAYS + 3)
        self._tick(DENSE_FROM + DENSE_DAYS + 3)  # the same again
        return Log(self._rows, self._put_in)

    def _trade(self, day: int, enterprises: range, a_day: float) -> None:
        """One day's transactions in the order of their times, with everything that can go wrong between them."""
        rnd = self._rnd
        today: list[Txn] = []
        for e in enterprises:
            silent = day > DENSE_FROM + 6 and e % 17 == SILENT
            count = 0 if silent else int(a_day) + (rnd.random() < a_day % 1)
            today += (self._txn(e, day, credit=n == 0 or rnd.random() < 0.5) for n in range(count))
        today.sort(key=lambda txn: txn.event_time)
        rarely = max(3, len(today) // 100)
        for n, txn in enumerate(today):
            if n == len(today) // 2 and day >= DENSE_FROM:
                self._act(day)
            self._to_one(txn)
            if n % rarely == 0:
                self._disturb(day, rnd.choice(today[max(0, n - 300) : n + 1]))
        self._sent = (self._sent + today)[-20_000:]

    def _disturb(self, day: int, txn: Txn) -> None:
        """One of: repeat, another body, reversal, return, late within the seven days and past them, then let in."""
        rnd, e = self._rnd, int(txn.enterprise_id[1:])
        kind = rnd.choice(
            ("duplicate", "old duplicate", "conflict", "reversed", "returned", "late", "too late", "admitted")
        )
        self._put_in[kind] += 1
        replace = msgspec.structs.replace
        match kind:
            case "duplicate":
                self._to_one(txn)
            case "old duplicate":  # of the last week, so partly past the edge of what is remembered
                self._to_one(rnd.choice(self._sent) if self._sent else txn)
            case "conflict":
                self._to_one(replace(txn, amount_minor=txn.amount_minor + 1))
            case "reversed" | "returned":
                undone = replace(
                    txn, event_id=self._new_id(), seq=self._number(e, txn.bank_id),
                    event_time=day_start_ms(FIRST_DAY + day) + DAY_MS - 5, status=kind,
                    ref_event_id=txn.event_id, ref_event_time=txn.event_time,
                )  # fmt: skip
                self._to_one(undone)
            case _:
                ago = rnd.randrange(1, 7) if kind == "late" else rnd.randrange(9, 15)
                late = self._txn(e, day - ago, credit=True)
                self._to_one(late)
                if kind == "admitted":
                    self._to_one(late, admitted=True)
                    self._to_one(late, admitted=True)  # by an ingest that was killed in between

    def _txn(self, e: int, day: int, *, credit: bool) -> Txn:
        rnd = self._rnd
        bank = e % 11 % 3 if rnd.random() < 0.85 else (e + 1) % 3
        return transactions.txn(
            event_id=self._new_id(), bank_id=BANKS[bank], enterprise_id=f"E{e}", seq=self._number(e, BANKS[bank]),
            event_time=day_start_ms(FIRST_DAY + day) + rnd.randrange(8 * 3_600_000, 23 * 3_600_000), account="a",
            direction="C" if credit else "D", amount_minor=self._fen(e, day), currency="CNY",
            counterparty_id=f"p{rnd.randrange(25)}" if rnd.random() < 0.9 else None,
            purpose="sales" if credit else "purchase",
        )  # fmt: skip

    def _fen(self, e: int, day: int) -> int:
        """A day of trade ten days apart stands for ten; some collapse early, some late, some recover."""
        fate = e // self._old_every % 6
        fen = self._rnd.randrange(2 * 10**6, 10**7) * (8 if day < DENSE_FROM else 1)
        sinks_on = {0: DENSE_FROM - 25, 1: DENSE_FROM - 25, 2: DENSE_FROM + 3, 3: DENSE_FROM - 15}.get(fate)
        if sinks_on is None or day < sinks_on or (fate == 1 and day > DENSE_FROM + 1):
            return fen
        return fen // 40 if fate != 3 else fen // (30 if day < DENSE_FROM + 5 else 2)

    def _loan(self, e: int, day: int, event: str, dpd: int | None = None) -> Loan:
        return Loan(
            event_id=self._new_id(), bank_id=BANKS[e % 2], enterprise_id=f"E{e}",
            event_time=day_start_ms(FIRST_DAY + day) + 1, event=event, loan_id=f"L{e}", principal_minor=10**8,
            outstanding_minor=10**8, granted_on="2024-01-01", dpd=dpd,
        )  # fmt: skip

    def _authorization(self, e: int) -> Authorization:
        return Authorization(
            event_id=self._new_id(), bank_id=GATEWAY, enterprise_id=f"E{e}", event_time=day_start_ms(FIRST_DAY),
            to_bank_id=BANKS[e % 2], authorization_id="x", consent_hash="0" * 64, confirmed_by_enterprise_at=0,
            valid_from=0, valid_to=2**52, purpose="贷后管理",
        )  # fmt: skip

    def _gov(self, e: int, day: int, event: str) -> Gov:
        return Gov(
            event_id=self._new_id(), bank_id=GATEWAY, enterprise_id=f"E{e}",
            event_time=day_start_ms(FIRST_DAY + day) + 2, event=event, source="x",
        )  # fmt: skip

    def _act(self, day: int) -> None:
        """Let the desks do something on a day."""
        for desk, rows in zip(self._desks, self._rows, strict=False):
            for action in list(desk.act(rows, FIRST_DAY + day, BANKS, rests=day < DENSE_FROM)):
                self._put_in["actions"] += 1
                self._to_one(action)

    def _number(self, e: int, bank_id: str) -> int | None:
        """The next number of the enterprise's account at a bank that numbers them."""
        if bank_id == BANKS[0]:
            return None
        self._numbered[f"E{e}", bank_id] += 1
        return self._numbered[f"E{e}", bank_id]

    def _new_id(self) -> str:
        self._id += 1
        return f"t{self._id}"

    def _to_one(self, event: Txn | Loan | Authorization | Gov | CaseAction, *, admitted: bool = False) -> None:
        body = msgspec.json.encode(event)
        fingerprint = hashlib.blake2b(body, digest_size=8).hexdigest()
        record = transactions.logged(event, fingerprint=fingerprint, origin=("t", 0, 0), admitted=admitted)
        key = event.enterprise_id.encode()
        value = msgspec.json.encode(record)
        if self._rnd.random() < 0.02:  # not as ingest writes it: left by the compiled reader, read the reference way
            value = b"{ " + value[1:]
            self._put_in["not canonical"] += 1
        self._put_in["of enterprises"] += 1
        self._rows[self._homes[key]].append((key, value, HEADERS, 0))

    def _tick(self, day: int, hour: int = 24) -> None:
        ended = FIRST_DAY + (day if hour == 24 else day - 1)
        frozen = FIRST_DAY + STALL.start - 1
        stalls = day in STALL
        closed = {PROMPT: ended, TARDY: ended - 3, STALLING: min(ended, frozen) if stalls else ended}
        feeds = {
            bank: Feed(covered_up_to=up_to, closed_up_to=up_to, stalled=stalls and bank == STALLING)
            for bank, up_to in closed.items()
        }
        up_to = day_start_ms(FIRST_DAY + day) + hour * 3_600_000 + 1
        self._put_in["ticks"] += len(self._rows)
        self._to_all(LogRecord(event=Tick(up_to=up_to, feeds=feeds)))

    def _control(self, action: str, **fields: str) -> None:
        control = Control(control_id=self._new_id(), action=action, by="op", reason="test", **fields)
        self._put_in["controls"] += len(self._rows)
        self._put_in[action] += 1
        self._to_all(LogRecord(event=control, origin=("control.v1", 0, 0)))

    def _unreadable(self) -> None:
        self._put_in["unreadable"] += 2 * len(self._rows)
        for rows in self._rows:
            rows.append((b"E1", b"{oops", HEADERS, 0))
            rows.append((b"E1", rows[0][1], (("schema", b"xinliu.event/9"),), 0))

    def _to_all(self, record: LogRecord) -> None:
        value = msgspec.json.encode(record)
        for rows in self._rows:
            rows.append((None, value, HEADERS, 0))
