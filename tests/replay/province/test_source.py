"""A province as a source: the same bytes for a seed, and laws that its deliveries keep whatever the population."""

import hashlib
import itertools
from collections import Counter, defaultdict
from dataclasses import replace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks import warning
from domain import topics
from domain.calendar import DAY_MS, date_of, day_of, day_of_text, day_start_ms
from domain.events import AnyEvent, Loan, Receipt, Txn
from replay.backtest import provenance
from replay.province import source
from replay.province.delivery import LATE_DAYS, STALE_DAYS
from replay.province.parameters import ParameterError
from replay.province.population import Population
from replay.province.source import Province, demo, sample
from replay.sources import Delivery
from tests.replay.province.test_simulation import POPULATIONS

EVENTS_PINNED = 20_000
DIGEST_PINNED = (  # of the first 20,000 events of the sample; where it changes, source.VERSION is raised
    "f1232c5b7897fa21a3ad2ae60c714f721685c562efdb8fd30987ce9f9cc01d3a"
)
CLEAN = Population(
    seed=5, enterprises=30, months=5, before_months=8, after_months=2, banks=4, outage=0.0, duplicate=0.0, conflict=0.0,
    late=0.0, stale=0.0, foreign=0.0,
)  # fmt: skip


def events(population: Population) -> list[Delivery]:
    return list(Province(population).deliveries())


def test_a_seed_gives_the_same_bytes_on_every_machine() -> None:
    digest = hashlib.sha256(b"%d " % source.VERSION)
    for delivery in itertools.islice(sample().deliveries(), EVENTS_PINNED):
        digest.update(b"%d %s " % (delivery.at_ms, delivery.topic.encode()))
        digest.update(msgspec.json.encode(delivery.event))
    assert digest.hexdigest() == DIGEST_PINNED


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(population=POPULATIONS)
def test_every_population_keeps_the_laws(population: Population) -> None:
    province = Province(population)
    deliveries = list(province.deliveries())
    assert all(before.at_ms <= after.at_ms for before, after in itertools.pairwise(deliveries))
    assert province.rows() == {"read": 0, "made": len(deliveries)}
    bodies = [msgspec.json.encode(delivery.event) for delivery in deliveries]
    assert [msgspec.json.decode(body, type=AnyEvent) for body in bodies] == [each.event for each in deliveries]
    receipts: Counter[tuple[str, str]] = Counter()
    for delivery in deliveries:
        event = delivery.event
        if isinstance(event, Receipt):
            receipts[event.bank_id, event.day] += 1
            assert delivery.at_ms >= day_start_ms(day_of_text(event.day) + 1)
            continue
        assert delivery.at_ms >= event.event_time, "sent before it happened"
        assert delivery.at_ms >= day_start_ms(day_of(delivery.at_ms)) + 5 * 3_600_000, "sent at night"
        if isinstance(event, Txn | Loan):
            assert delivery.topic == topics.bank_events(event.bank_id)
        else:
            assert delivery.topic == topics.GATEWAY
        if isinstance(event, Txn):
            assert population.start_day <= day_of(event.event_time) < population.end_day
    days = [date_of(day).isoformat() for day in range(population.start_day, population.end_day)]
    assert receipts == Counter(itertools.product((bank.bank_id for bank in province.banks), days)), "a day left out"


def test_receipts_state_the_totals_of_their_day_whenever_its_records_come() -> None:
    totals: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    receipts: dict[tuple[str, int], Receipt] = {}
    late, all_is_in = 0, CLEAN.end_day - LATE_DAYS[1] - 1
    for delivery in events(replace(CLEAN, late=0.1)):
        event = delivery.event
        if isinstance(event, Txn):
            total = totals[event.bank_id, day_of(event.event_time)]
            total[0] += 1
            total[1 if event.direction == "D" else 2] += event.amount_minor
            late += delivery.at_ms - event.event_time > 2 * DAY_MS
        elif isinstance(event, Receipt):
            receipts[event.bank_id, day_of_text(event.day)] = event
    assert late > 0
    for key, receipt in receipts.items():
        if key[1] >= all_is_in:
            continue
        assert [receipt.count, receipt.debit_minor, receipt.credit_minor] == totals[key]


def test_flaws_come_as_they_are_asked_for() -> None:
    rates = {"duplicate": 0.05, "late": 0.05, "conflict": 0.02, "stale": 0.02, "foreign": 0.02}
    bodies: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in events(replace(CLEAN, file_banks=0.0, **rates)):
        if isinstance(delivery.event, Txn):
            bodies[delivery.event.event_id].append(delivery)
    kinds: Counter[str] = Counter()
    for same_id in bodies.values():
        first, lag_ms = same_id[0].event, same_id[0].at_ms - same_id[0].event.event_time  # type: ignore[union-attr]
        if len(same_id) > 1:
            kinds["duplicate" if same_id[1].event == first else "conflict"] += 1
        elif lag_ms >= STALE_DAYS * DAY_MS:
            kinds["stale"] += 1
        elif lag_ms:
            assert lag_ms < (LATE_DAYS[1] + 1) * DAY_MS
            kinds["late"] += 1
        kinds["foreign"] += isinstance(first, Txn) and first.currency == "XXX"
    assert {kind: kinds[kind] / len(bodies) for kind in rates} == pytest.approx(rates, rel=0.4)


def test_a_bank_that_delivers_by_file_sends_a_whole_day_the_next_morning() -> None:
    province = Province(CLEAN)
    assert [bank.mode for bank in province.banks] == ["live", "daily_file", "live", "daily_file"]
    by_file = {topics.bank_events(bank.bank_id) for bank in province.banks if bank.mode == "daily_file"}
    ages: Counter[tuple[bool, int]] = Counter()
    for delivery in province.deliveries():
        if isinstance(delivery.event, Txn):
            days = day_of(delivery.at_ms) - day_of(delivery.event.event_time)
            ages[delivery.topic in by_file, days] += 1
    assert set(ages) == {(True, 1), (False, 0)}
    live = events(replace(CLEAN, file_banks=0.0))
    assert sum(isinstance(each.event, Txn) for each in live) == sum(ages.values()), "the same transactions"


def test_outcomes_are_those_of_the_loans_that_have_ended() -> None:
    province = Province(replace(CLEAN, enterprises=200, months=14, after_months=6, default_rate=0.3))
    assert province.outcomes() == {}
    granted, ended = set(), {}
    for delivery in province.deliveries():
        event = delivery.event
        if isinstance(event, Loan):
            if event.event in ("granted", "renewed") and event.event_time >= province.start_ms:
                granted.add(event.loan_id)
            if event.event in ("closed", "default"):
                ended.setdefault(event.loan_id, "good" if event.event == "closed" else "bad")
    found = province.outcomes()
    assert set(found) <= granted
    assert {loan: label for loan, label in ended.items() if loan in granted}.items() <= found.items()
    counts = Counter(found.values())
    assert min(counts["good"], counts["bad"]) > 5
    assert len(found) > len(granted & ended.keys()), "the truth knows more than the log"


def test_a_state_of_other_parameters_or_another_seed_is_another_source() -> None:
    populations = (CLEAN, replace(CLEAN, seed=6), replace(CLEAN, late=0.01), replace(CLEAN, banks=5))
    assert len({Province(population).identity for population in populations}) == len(populations)
    assert Province(CLEAN, "one").identity == Province(CLEAN, "other").identity


def test_the_demo_is_a_judged_world_made_smaller_and_drawn_by_a_seed_of_its_own() -> None:
    province = demo(2_000, 141)
    assert len(province.banks) == 141
    assert sum(bank.mode == "daily_file" for bank in province.banks) == 70
    days = (province.population.start_day, day_of(province.live_from_ms), province.population.end_day)
    assert [date_of(day).isoformat() for day in days] == ["2024-04-01", "2025-07-01", "2026-01-01"]
    usual = Population()
    size = {name: getattr(usual, name) for name in ("enterprises", "banks", "months", "backfill_months")}
    assert replace(province.population, **size).parameters == usual.parameters
    tuned = {world.seed for world in provenance.packaged()}
    taken = tuned | {str(seed) for seed in (*warning.SEEDS, warning.CHANGED_SEED)}
    assert taken > {"4", "5", "11", "14"}
    assert not {str(one.population.seed) for one in (province, sample())} & taken


@pytest.mark.parametrize(("enterprises", "banks"), [(1, 1), (1, 141), (2, 3), (7, 2)])
def test_a_demo_of_few_enterprises_lives(enterprises: int, banks: int) -> None:
    province = demo(enterprises, banks)
    who = {each.event.enterprise_id for each in province.deliveries() if isinstance(each.event, Txn)}
    assert len(who) == enterprises


@pytest.mark.parametrize(
    ("size", "said"),
    [((0, 6), "enterprises = 0: not 1 to 9999999"), ((40, 10_000), "banks = 10000: not 1 to 9999")],
)
def test_a_demo_that_cannot_be_is_refused_by_name(size: tuple[int, int], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        demo(*size)
