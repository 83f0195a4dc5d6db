"""Small recorded logs, made event by event: two banks and a few dozen borrowers, some of whom go bad on known days."""

import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec

from config.settings import Bank
from detectors.prior import prior_id, prior_snapshot
from detectors.snapshot import content_id
from domain import topics
from domain.calendar import DAY_MS, day_of_date, day_start_ms
from domain.events import Authorization, CaseAction, Control, Feed, Loan, LogRecord, Outcome, Profile, Tick, Txn
from replay.log_writer import LogWriter
from sinks.batch import BY_KEY, Records

BANKS = ("A0000000000001", "B0000000000002")
GATEWAY = "Z0000000000001"
FIRST = date(2024, 1, 1)
FIRST_DAY = day_of_date(FIRST)
PARTITIONS = 2
OTHER = msgspec.structs.replace(prior_snapshot(), parent_id=prior_id(), prior=False, intercept_micro=-500_000).encode()
OTHER_ID = content_id(OTHER)
_Event = Txn | Loan | Authorization | Profile | Outcome | CaseAction


@dataclass(frozen=True, kw_only=True)
class Life:
    """The course of an enterprise; days count from FIRST."""

    falls_on: int | None = None  # sales all but stop
    returns_on: int | None = None  # and come back
    over_30_on: int | None = None
    default_on: int | None = None
    comes_on: int = 0  # its first day


@dataclass(kw_only=True)
class Story:
    """A log in the making: one course for each enterprise, `days` days, and planted records on a day's evening."""

    days: int
    lives: list[Life]
    backfill_days: int = 0
    planted: dict[int, list[Loan | Outcome | CaseAction | Control]] = field(default_factory=dict)
    seed: int = 5

    def write(
        self, path: Path, *, banks: Iterable[str] = BANKS, holds_model: bool = True, version: str | None = None
    ) -> Path:
        """Write the log to a file."""
        named = [Bank(bank_id=bank_id, name_zh=bank_id) for bank_id in banks]
        rnd = random.Random(self.seed)
        with LogWriter(path, banks=named, partitions=PARTITIONS, version=version) as out:
            if holds_model:
                out.artefact(topics.MODEL, OTHER_ID.encode(), OTHER, 0)
            if self.backfill_days:
                _to_all(out, control("backfill_open"))
            for day in range(self.days):
                events = [event for number, life in enumerate(self.lives) for event in _life(number, life, day, rnd)]
                planted = self.planted.get(day, [])
                facts = [event for event in planted if isinstance(event, Loan | Outcome | CaseAction)]
                for record in (event for event in planted if isinstance(event, Control)):
                    _to_all(out, record)
                _to_one(out, [*sorted(events, key=lambda event: event.event_time), *facts])
                ended = FIRST_DAY + day
                feeds = {bank: Feed(covered_up_to=ended, closed_up_to=ended) for bank in BANKS}
                _to_all(out, Tick(up_to=day_start_ms(ended + 1), feeds=feeds))
                if day + 1 == self.backfill_days:
                    _to_all(out, control("backfill_close"))
        return path

    def truth(self, path: Path, **columns: str) -> Path:
        """Write the truth as CSV; further columns have one value in all rows."""
        names = ["enterprise_id", "scenario", "onset", "overdue_30", "default", "recovery", *columns]
        rows = [[name_of(i), *_truth_cells(life), *columns.values()] for i, life in enumerate(self.lives)]
        path.write_text("\n".join(",".join(row) for row in [names, *rows]) + "\n", encoding="utf-8")
        return path


def _truth_cells(life: Life) -> list[str]:
    """Scenario, onset, overdue_30, default, recovery."""
    scenario = "sound" if life.falls_on is None else "falls"
    return [scenario, *map(day_text, (life.falls_on, life.over_30_on, life.default_on)), ""]


def usual_story(days: int = 420, count: int = 40, **more: object) -> Story:
    """One in five falls between day 150 and 255, is over 30 days past due some months later, and every other defaults.

    Number 35 goes bad without a fall, and two fall and come back.
    """
    lives = []
    for number in range(count):
        falls_on = 150 + number * 3
        over = falls_on + 70 + number % 3 * 20
        default_on = over + 60 if number % 2 == 0 else None
        if number in (11, 23):
            lives.append(Life(falls_on=falls_on, returns_on=falls_on + 60))
        elif number % 5:
            lives.append(Life())
        else:
            lives.append(Life(falls_on=None if number == 35 else falls_on, over_30_on=over, default_on=default_on))
    return Story(days=days, lives=lives, **more)  # type: ignore[arg-type]


def name_of(number: int) -> str:
    return f"E{number:04d}"


def day_text(day: int | None) -> str:
    return "" if day is None else (FIRST + timedelta(days=day)).isoformat()


def loan(number: int, day: int, event: str, dpd: int | None = None, *, hour: int = 7, tag: str = "") -> Loan:
    """A fact about the one loan of an enterprise."""
    return Loan(
        event_id=f"{event}-{day}{tag}", bank_id=BANKS[number % 2], enterprise_id=name_of(number),
        event_time=day_start_ms(FIRST_DAY + day) + hour * 3_600_000, event=event, loan_id=f"L{number}",
        principal_minor=3 * 10**7, outstanding_minor=3 * 10**7, granted_on=FIRST.isoformat(), dpd=dpd,
    )  # fmt: skip


def outcome(number: int, day: int, label: Any, matured: int, *, observation: str | None = None) -> Outcome:
    """Return an operator's outcome on `day`, of the one loan of an enterprise or of an observation."""
    return Outcome(
        event_id=f"outcome-{day}", bank_id=BANKS[0], enterprise_id=name_of(number),
        event_time=day_start_ms(FIRST_DAY + day) + 1, label=label, matured_on=day_text(matured),
        loan_id=None if observation else f"L{number}", observation_id=observation,
    )  # fmt: skip


def control(action: str, **fields: str) -> Control:
    control_id = hashlib.sha256(f"{action}{fields}".encode()).hexdigest()[:12]
    return Control(control_id=control_id, action=action, by="op", reason="test", **fields)  # type: ignore[arg-type]


def _life(number: int, life: Life, day: int, rnd: random.Random) -> list[Txn | Loan | Authorization | Profile]:
    """The events of one enterprise on one day."""
    events: list[Txn | Loan | Authorization | Profile] = []
    if day < life.comes_on:
        return events
    if day == life.comes_on:
        events += [_profile(number, day), _consent(number, day), loan(number, day, "granted", hour=9)]
    fallen = life.falls_on is not None and life.falls_on <= day < (life.returns_on or day + 1)
    size = 100 + number * 7
    for payer in range(6):
        if (day + payer + number) % 7 == 0 and not (fallen and rnd.random() < 0.85):
            events.append(
                _txn(number, day, f"s{payer}", "C", size * rnd.randrange(8_000, 12_000), "sales", f"p{number}-{payer}")
            )
    if (day + number) % 3 == 0:
        events.append(_txn(number, day, "b", "D", size * rnd.randrange(12_000, 15_000), "purchase", f"q{number}"))
    if life.over_30_on is not None:
        dpd = day - life.over_30_on + 31
        ends = life.default_on is None and day > life.over_30_on + 20
        if dpd in (1, 8, 31, 46, 61, 76, 91) and not ends:
            events.append(loan(number, day, "overdue", dpd))
        if life.default_on is None and day == life.over_30_on + 21:
            events.append(loan(number, day, "repaid", 0))
        if day == life.default_on:
            events.append(loan(number, day, "default", 91, hour=8))
    return events


def _txn(number: int, day: int, tag: str, direction: Any, fen: int, purpose: Any, party: str) -> Txn:
    return Txn(
        event_id=f"t{day}{tag}",
        bank_id=BANKS[number % 2 if tag != "s5" else 0],
        enterprise_id=name_of(number),
        event_time=day_start_ms(FIRST_DAY + day) + 10 * 3_600_000 + number * 1_000,
        account="a",
        direction=direction,
        amount_minor=fen,
        currency="CNY",
        counterparty_id=party,
        counterparty_kind="corporate",
        purpose=purpose,
        balance_minor=10**7,
    )


def _profile(number: int, day: int) -> Profile:
    at = day_start_ms(FIRST_DAY + day) + 1
    return Profile(
        event_id="profile", bank_id=GATEWAY, enterprise_id=name_of(number), event_time=at,
        industry="CFG"[number % 3], region="450100", size_class="micro" if number % 2 else "small",
    )  # fmt: skip


def _consent(number: int, day: int) -> Authorization:
    at = day_start_ms(FIRST_DAY + day) + 2
    return Authorization(
        event_id="consent", bank_id=GATEWAY, enterprise_id=name_of(number), event_time=at, to_bank_id=BANKS[number % 2],
        authorization_id="a", consent_hash="0" * 64, confirmed_by_enterprise_at=0, valid_from=at - 1,
        valid_to=at + 9_999 * DAY_MS, purpose="贷后管理",
    )  # fmt: skip


def _to_one(out: LogWriter, events: Iterable[_Event]) -> None:
    """Each to the partition of its enterprise."""
    out.append(Records.of([(event.enterprise_id.encode(), _record(event)) for event in events]), BY_KEY)


def _record(event: _Event) -> bytes:
    fingerprint = hashlib.blake2b(msgspec.json.encode(event), digest_size=8).hexdigest()
    cny = event.amount_minor if isinstance(event, Txn) else None
    record = LogRecord(event=event, fingerprint=fingerprint, origin=("t", 0, 0), amount_cny_minor=cny)
    return msgspec.json.encode(record)


def _to_all(out: LogWriter, event: Tick | Control) -> None:
    out.append_to_all(Records.of([(None, msgspec.json.encode(LogRecord(event=event)))]))
