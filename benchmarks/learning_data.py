"""The data of `benchmarks/learning.py`: examples with a planted effect, and a learner's memory that holds them."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import numpy.typing as npt

from benchmarks.world.population import BANKS, bank_id, enterprise_id
from config.settings import LearnSettings
from detectors.learning.examples import EXAMPLE, UNKNOWN, Examples
from detectors.learning.facts import Facts
from detectors.learning.labels import HORIZON_DAYS
from detectors.learning.ledger import Ledger
from detectors.learning.observations import BLOCK_ROWS, HELD, ROW, Block, Observations
from domain import topics
from domain.calendar import date_of, day_of_date, day_start_ms, month_of_day
from domain.events import Feed, Loan, LoanEvent, Tick
from features.indicators import INDICATOR_COUNT, INDICATORS
from sinks.partitioner import partitions_of
from streams.learn.checkpoint import Memory
from streams.learn.learner import Learner

_FREEZE = INDICATORS.index("judicial_freeze_active_flag")
_SAFER, _RISKIER = INDICATORS.index("op_inflow_30d_cny"), INDICATORS.index("non_op_inflow_share_90d_ratio")
_BASE_LOGIT, _NULL_SHARE = -2.5, 0.1
_GRANTED = day_of_date(date(2026, 3, 2))
_MATURING = day_of_date(date(2026, 3, 31))
_WAITING = tuple(day_of_date(date(2026, month, day)) for month, day in ((4, 30), (5, 31), (6, 30)))
_AFTER = day_of_date(date(2026, 7, 1))
MONTH = month_of_day(_AFTER) - 1
"""The month at whose end the oldest observations mature."""
_REPORTS = 4  # on each loan before that of arrears
BEFORE_OFFSET = 1  # of the log: all that the memory holds came before it


def examples(n: int, seed: int) -> Examples:
    """Return labelled observations, EXAMPLE (n,): risk falls with one indicator and rises with another.

    About every ninth is bad, a tenth of the values are nulls. An enterprise has three of them, more or less.
    """
    rng = np.random.default_rng(seed)
    made = np.zeros(n, EXAMPLE)
    made["enterprise"], made["day"] = rng.integers(0, max(1, n // 3), n), rng.integers(19_000, 19_360, n)
    made["matured_on"] = made["day"] + HORIZON_DAYS
    made["default_12m"] = UNKNOWN
    made["value"] = rng.normal(size=(n, INDICATOR_COUNT))
    logit = _BASE_LOGIT + made["value"][:, _RISKIER] - made["value"][:, _SAFER]
    made["bad"] = rng.random(n) < 1 / (1 + np.exp(-logit))
    made["value"][:, _FREEZE] = 0.0  # a freeze in force would cap the score
    made["null"] = np.where(rng.random((n, INDICATOR_COUNT)) < _NULL_SHARE, 2, 0)
    made["value"][made["null"] > 0] = np.nan
    made["score_milli"] = np.clip(560_000 - 30_000 * logit, 400_000, 700_000)
    made["p_ppm"] = 1_000_000 / (1 + np.exp(-logit))
    return made


def opening_tick() -> Tick:
    """Return the first record of each partition: every bank covers its days from here on."""
    return _tick(_GRANTED)


def closing_tick() -> Tick:
    """Return the tick that completes MONTH, with everything up to its end covered."""
    return _tick(_AFTER - 1)


def memory(settings: LearnSettings, partitions: int, *, held: int, maturing: int, enterprises: int) -> Memory:
    """Return the memory of a learner that waits for MONTH's end.

    It holds observations, of which so many mature then, of enterprises with a loan each. Their facts and rows are those
    that the log would have given; rows are made by columns, since records one by one would take minutes.
    """
    names = [enterprise_id(number) for number in range(enterprises)]
    placed = partitions_of([name.encode() for name in names], partitions)
    seen = examples(held, seed=23)
    facts = [
        _facts(name, bank_id(number % BANKS), partition, is_bad=is_bad)
        for number, (name, partition, is_bad) in enumerate(
            zip(names, placed.tolist(), _bad(seen, maturing, enterprises), strict=True)
        )
    ]
    blocks = list(_blocks(seen, np.array([each.number for each in facts]), placed, maturing))
    ledger = Ledger(settings.months_retained, Observations(blocks), facts)
    ledger.changed.update(ledger.facts)
    ledger.seen_count = held
    learner = Learner(settings, range(partitions), ledger=ledger)
    for partition in range(partitions):
        learner.event(opening_tick(), partition, 0)
    learner.month = MONTH - 1
    places = {f"{topics.EVENTS}:{p}": BEFORE_OFFSET for p in range(partitions)}
    places |= {f"{topics.OBSERVATION}:{p}": 0 for p in range(partitions)}
    return Memory(learner=learner, positions=places)


def _bad(seen: Examples, maturing: int, enterprises: int) -> list[bool]:
    """Return by enterprise whether it falls into arrears: it does where its maturing observation is bad."""
    found = np.zeros(enterprises, np.bool_)
    found[np.flatnonzero(seen["bad"][:maturing]) % enterprises] = True
    return found.tolist()


def _blocks(
    seen: Examples, numbers: npt.NDArray[np.int64], placed: npt.NDArray[np.int64], maturing: int
) -> Iterator[Block]:
    """Yield the observations as rows of the ledger that no checkpoint has."""
    order = np.arange(len(seen))
    owner = order % len(numbers)
    seen["enterprise"], seen["bad"], seen["matured_on"] = numbers[owner], False, 0
    seen["day"] = np.where(order < maturing, _MATURING, np.array(_WAITING)[order % len(_WAITING)])
    ids = np.random.default_rng(7).bytes(16 * len(seen))
    for first in range(0, len(seen), BLOCK_ROWS):
        part = slice(first, min(first + BLOCK_ROWS, len(seen)))
        rows = np.zeros(part.stop - first, ROW)
        rows["example"], rows["id"] = seen[part], np.frombuffer(ids, "V16")[part]
        rows["partition"], rows["state"] = placed[owner[part]], HELD
        rows["due"] = seen["day"][part] + HORIZON_DAYS
        block = Block(first // BLOCK_ROWS)
        block.restore(0, rows)
        block.stored = 0
        yield block


def _facts(name: str, lender: str, partition: int, *, is_bad: bool) -> Facts:
    found = Facts(name, partition)
    for n in range(_REPORTS):
        found.loan(_loan(name, lender, n, _GRANTED + 20 * n, "instalment_due" if n else "granted", 0), 0)
    if is_bad:
        found.loan(_loan(name, lender, _REPORTS, _MATURING + 60, "overdue", 45), 0)
    return found


def _loan(name: str, lender: str, n: int, day: int, event: LoanEvent, dpd: int) -> Loan:
    return Loan(
        event_id=f"{name}-{n}", bank_id=lender, enterprise_id=name, event_time=day_start_ms(day),
        loan_id="L1", event=event, principal_minor=10**8, outstanding_minor=10**8 - 10**6 * n, dpd=dpd,
        granted_on=f"{date_of(_GRANTED):%Y-%m-%d}",
    )  # fmt: skip


def _tick(covered: int) -> Tick:
    feed = Feed(last_event_time=day_start_ms(covered + 1) - 1, covered_up_to=covered, closed_up_to=covered)
    return Tick(up_to=day_start_ms(covered + 1), feeds={bank_id(bank): feed for bank in range(BANKS)})
