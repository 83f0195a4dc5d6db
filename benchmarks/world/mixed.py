"""Mixed input, a tenth of it bad: faults 8 to 16 of the corpus, with repeats, conflicts and late records between.

The outcome of each record is known before it is sent: for the corpus by its case, for copies, conflicts and late ones
by construction.

Every 199th bad record is the next of the corpus' nine cases beyond 16 KiB, the others are its 111 smaller cases, so
that in a million each of the nine comes 55 or 56 times and each of the others some 900. Drawn alike, the nine, of up to
half a MiB, would be two thirds of all bytes, which no bank sends. A bank repeats an error until its encoder is fixed:
it sends each of the smaller cases in one run (of 37 in a million), and each bank begins with another.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, cycle

from benchmarks.world import feed
from benchmarks.world.feed import Sent, Transactions
from benchmarks.world.log import World
from benchmarks.world.population import BANKS, bank_id, enterprise_id
from benchmarks.world.writing import bank_records
from domain import topics
from domain.calendar import DAY_MS
from tests.corpus.cases import Case, bad

FAULTS = range(8, 17)
LARGE_BYTES, LARGE_EVERY = 16_384, 199  # a prime: every bank sends each
BAD_SHARE, TWICE_SHARE, CONFLICT_SHARE, LATE_SHARE = 0.10, 0.01, 0.005, 0.005
_CORPUS_BANK = b"Z9000000000001"
_CORPUS_TIME = re.compile(rb"\b170960000000(\d)\b")  # its cases are at this time, or some milliseconds after it


def transactions(world: World, most: int) -> Transactions:
    """Return the first `most` transactions of the timed days, none of them late or sent twice."""
    plain = replace(world.shape, late_share=0.0, too_late_share=0.0, twice_share=0.0)
    return feed.transactions(world, most, plain)


def records(found: Transactions, wanted: int, *, mixed: bool, run: int | None = None) -> Iterator[tuple[Sent, str]]:
    """Yield `wanted` records, each with its expected outcome. A repeat follows its original.

    run: how often a bank sends a case in a row; None: as in the module's docstring.
    """
    faults, extra = _faults(round(BAD_SHARE * wanted), run), _Extra(found)
    sent = bads = 0
    for i, record in enumerate(feed.feed(found)):
        if sent >= wanted:
            return
        yield record, "applied"
        sent += 1
        if not mixed:
            continue
        while bads < BAD_SHARE * sent:
            yield _fault(next(faults), bads, int(found.events["event_ms"][min(i, len(found.events) - 1)]))
            bads += 1
            sent += 1
        for share, outcome in ((TWICE_SHARE, "duplicate"), (CONFLICT_SHARE, "conflict"), (LATE_SHARE, "late")):
            if i % round(1 / share) == 0 and i < len(found.events):
                yield extra.record(i, outcome), outcome
                sent += 1


class _Extra:
    """Further records of a transaction's enterprise."""

    def __init__(self, found: Transactions) -> None:
        self._found = found

    def record(self, i: int, outcome: str) -> Sent:
        """Return transaction i again, with another amount (conflict), or as a new one ten days earlier (late)."""
        event = self._found.events[i : i + 1].copy()
        if outcome == "conflict":
            event["amount"] += 1
        elif outcome == "late":
            event["event_ms"] -= 10 * DAY_MS
            event["number"] += 50_000_000
        who = int(event["enterprise"][0])
        profiles = self._found.profiles[who : who + 1]  # of it alone: what is written of one costs as much as of all
        event["enterprise"] = 0
        value = bank_records(event, profiles).value(0)
        bank = bank_id(int(profiles["bank"][0, event["slot"][0]]))
        return Sent(topics.bank_events(bank), enterprise_id(int(profiles["number"][0])).encode(), value)


def _faults(wanted: int, run: int | None) -> Iterator[Case]:
    """Yield the cases of the corpus in the order of the module's docstring; bank follows bank."""
    cases = [case for case in bad() if case.fault in FAULTS and case.writer == "bank"]
    large = cycle(case for case in cases if len(case.payload or b"") > LARGE_BYTES)
    small = [case for case in cases if len(case.payload or b"") <= LARGE_BYTES]
    run, apart = run or max(1, wanted // (BANKS * len(small))), -(len(small) // -BANKS)
    for number in count():
        turn, bank = divmod(number, BANKS)
        yield next(large) if number % LARGE_EVERY == 0 else small[(apart * bank + turn // run) % len(small)]


def _fault(case: Case, number: int, event_ms: int) -> tuple[Sent, str]:
    """Return a case of the corpus as a record of one of the world's banks at this time, and its reason."""
    bank = bank_id(number % BANKS)
    payload = case.payload
    if payload is not None:
        payload = payload.replace(_CORPUS_BANK, bank.encode())
        payload = _CORPUS_TIME.sub(lambda found: str(event_ms + int(found[1])).encode(), payload)
    headers = () if case.schema is None else (("schema", case.schema),)
    return Sent(topics.bank_events(bank), None, payload, headers), case.reason
