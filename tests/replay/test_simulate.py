"""The simulator: the same bytes for a seed, and laws that its economy keeps whatever the seed."""

import hashlib
import itertools
from collections import Counter, defaultdict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import topics
from domain.calendar import DAY_MS, date_of, day_of, day_of_text, day_start_ms
from domain.events import AnyEvent, Authorization, Loan, Receipt, Txn
from replay.population import Population, enterprise
from replay.simulate import LATE_DAYS_MAX, STALE_DAYS, Simulation, province, sample
from replay.sources import Delivery

EVENTS_PINNED = 20_000
DIGEST_PINNED = (
    "75b87d08d3950824fd3c36ae03943d319a48bdfe0b6ff32e843f1c76bf8a0947"  # of the first 20,000 events of the sample
)


def clean(**changes: int) -> Population:
    """A small population whose banks send everything right, once and in time."""
    rates = {f"{name}_ppm": 0 for name in ("duplicate", "late", "conflict", "stale", "foreign")}
    return Population(**{"bank_count": 2, "enterprise_count": 6, "month_count": 6, **rates, **changes})


def events(population: Population) -> list[Delivery]:
    return list(Simulation(population).deliveries())


def test_a_seed_gives_the_same_bytes_on_every_machine() -> None:
    digest = hashlib.sha256()
    for delivery in itertools.islice(sample().deliveries(), EVENTS_PINNED):
        digest.update(b"%d %s " % (delivery.at_ms, delivery.topic.encode()))
        digest.update(msgspec.json.encode(delivery.event))
    assert digest.hexdigest() == DIGEST_PINNED


def test_nothing_but_receipts_is_delivered_at_night() -> None:
    for delivery in sample().deliveries():
        if not isinstance(delivery.event, Receipt):
            assert delivery.at_ms >= day_start_ms(day_of(delivery.at_ms)) + 6 * 3_600_000


def test_another_seed_gives_another_economy() -> None:
    assert events(clean(seed=1)) == events(clean(seed=1))
    assert events(clean(seed=1)) != events(clean(seed=2))


@settings(max_examples=15)
@given(
    population=st.builds(
        Population,
        seed=st.integers(0, 2**32),
        bank_count=st.integers(1, 4),
        enterprise_count=st.integers(1, 9),
        month_count=st.integers(1, 5),
        borrower_ppm=st.sampled_from((0, 500_000, 1_000_000)),
        duplicate_ppm=st.integers(0, 100_000),
        late_ppm=st.integers(0, 100_000),
        returned_ppm=st.integers(0, 50_000),
        reversed_ppm=st.integers(0, 50_000),
        stale_ppm=st.integers(0, 10_000),
    )
)
def test_every_population_keeps_the_laws(population: Population) -> None:
    deliveries = events(population)
    assert all(before.at_ms <= after.at_ms for before, after in itertools.pairwise(deliveries))
    bodies = [msgspec.json.encode(delivery.event) for delivery in deliveries]
    assert [msgspec.json.decode(body, type=AnyEvent) for body in bodies] == [each.event for each in deliveries]
    for delivery in deliveries:
        event = delivery.event
        if isinstance(event, Txn | Loan):
            assert delivery.topic == topics.bank_events(event.bank_id)
            assert 0 <= delivery.at_ms - event.event_time <= STALE_DAYS * DAY_MS
            assert population.start_day <= day_of(event.event_time) < population.end_day
        elif not isinstance(event, Receipt):
            assert delivery.topic == topics.GATEWAY
    check_balances(population, deliveries)


def check_balances(population: Population, deliveries: list[Delivery]) -> None:
    """Every account's balances chain from its opening balance, without overdraft, whatever the order of delivery."""
    accounts: dict[str, dict[int, Txn]] = defaultdict(dict)
    for delivery in deliveries:
        if isinstance(delivery.event, Txn) and delivery.event.currency == "CNY":
            assert delivery.event.seq is not None
            accounts[delivery.event.account].setdefault(delivery.event.seq, delivery.event)
    opening = {
        one.account: one.opening_balance_minor
        for one in (enterprise(population, number) for number in range(population.enterprise_count))
    }
    for account, postings in accounts.items():
        seen: dict[str, Txn] = {}
        balance, time_ms = opening[account], 0
        if population.foreign_ppm == 0:
            assert sorted(postings) == list(range(1, len(postings) + 1))
        for seq in sorted(postings):
            txn = postings[seq]
            sign = 1 if (txn.direction == "C") == (txn.status == "booked") else -1
            if seq - 1 in postings or seq == 1:
                assert txn.balance_minor == balance + sign * txn.amount_minor
            assert txn.balance_minor is not None
            assert txn.balance_minor >= 0
            assert txn.event_time >= time_ms
            balance, time_ms = txn.balance_minor, txn.event_time
            if txn.status == "booked":
                seen[txn.event_id] = txn
            elif txn.ref_event_id in seen:
                original = seen.pop(txn.ref_event_id)  # nothing is undone twice
                assert (txn.amount_minor, txn.direction) == (original.amount_minor, original.direction)
                assert txn.ref_event_time == original.event_time


def test_receipts_state_the_totals_of_their_day_and_leave_no_day_out() -> None:
    population = clean(seed=5, late_ppm=100_000)
    totals: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    receipts: dict[tuple[str, int], Receipt] = {}
    late = 0
    for delivery in events(population):
        event = delivery.event
        if isinstance(event, Txn):
            total = totals[event.bank_id, day_of(event.event_time)]
            total[0] += 1
            total[1 if event.direction == "D" else 2] += event.amount_minor
            late += delivery.at_ms - event.event_time > DAY_MS
        elif isinstance(event, Receipt):
            day = day_of_text(event.day)
            assert (event.bank_id, day) not in receipts
            assert delivery.at_ms >= day_start_ms(day + 1)
            receipts[event.bank_id, day] = event
    assert late > 0
    days = range(population.start_day, population.end_day)
    assert set(receipts) == {(population.bank(number).bank_id, day) for number in range(2) for day in days}
    for key, receipt in receipts.items():
        assert [receipt.count, receipt.debit_minor, receipt.credit_minor] == totals[key]


def test_flaws_come_as_they_are_asked_for() -> None:
    rates = {"duplicate_ppm": 50_000, "late_ppm": 50_000, "conflict_ppm": 20_000, "stale_ppm": 20_000}
    deliveries = events(clean(seed=11, foreign_ppm=20_000, **rates))
    bodies: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        if isinstance(delivery.event, Txn):
            bodies[delivery.event.event_id].append(delivery)
    kinds: Counter[str] = Counter()
    for same_id in bodies.values():
        first, lag_ms = same_id[0].event, same_id[0].at_ms - same_id[0].event.event_time  # type: ignore[union-attr]
        if len(same_id) > 1:
            kinds["duplicate" if same_id[1].event == first else "conflict"] += 1
        elif lag_ms == STALE_DAYS * DAY_MS:
            kinds["stale"] += 1
        elif lag_ms:
            assert lag_ms <= LATE_DAYS_MAX * DAY_MS
            kinds["late"] += 1
        kinds["foreign"] += isinstance(first, Txn) and first.currency == "XXX"
    assert all(kinds[kind] > 0 for kind in ("duplicate", "conflict", "stale", "late", "foreign")), kinds


def test_loans_go_their_way_and_the_sample_has_enough_of_each_kind() -> None:
    source = sample()
    loans: dict[str, list[Loan]] = defaultdict(list)
    consents: Counter[tuple[str, bool]] = Counter()
    for delivery in source.deliveries():
        if isinstance(delivery.event, Loan):
            loans[delivery.event.loan_id].append(delivery.event)
        elif isinstance(delivery.event, Authorization):
            consents[delivery.event.enterprise_id, delivery.event.revoked] += 1
    overdue30 = sum(any((each.dpd or 0) > 30 for each in life) for life in loans.values())
    assert len(loans) >= 100
    assert 15 <= overdue30 <= len(loans) // 3
    assert any(each.event == "default" for life in loans.values() for each in life)
    borrowers = {life[0].enterprise_id for life in loans.values()}
    assert borrowers - {who for who, _ in consents}, "no lender is without an authorization"
    assert any(revoked for _, revoked in consents)
    for life in loans.values():
        assert life[0].event == "granted"
        assert sum(line.due_minor for line in life[0].schedule) == life[0].principal_minor
        outstanding = [each.outstanding_minor for each in life]
        assert outstanding == sorted(outstanding, reverse=True)
        assert (life[-1].event == "closed") == (outstanding[-1] == 0)
        assert all(after.event_time >= before.event_time for before, after in itertools.pairwise(life))


def test_a_fall_in_sales_comes_before_arrears_more_often_than_not() -> None:
    population = Population()
    fallen = {"gradual", "sudden", "payer_lost", "recovery"}
    by_fate: dict[bool, list[bool]] = {True: [], False: []}
    overdue = {
        each.event.enterprise_id
        for each in sample().deliveries()
        if isinstance(each.event, Loan) and each.event.event == "overdue"
    }
    for number in range(population.enterprise_count):
        one = enterprise(population, number)
        if one.borrows:
            by_fate[one.scenario in fallen].append(one.enterprise_id in overdue)
    rates = {fate: sum(late) / len(late) for fate, late in by_fate.items()}
    assert rates[True] > 5 * rates[False] > 0


def test_an_impossible_population_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="bank_count = 0"):
        Population(bank_count=0)
    with pytest.raises(ValueError, match="late_ppm = 1000001"):
        Population(late_ppm=1_000_001)


def test_a_bank_that_delivers_by_file_sends_a_whole_day_the_next_morning():
    population = clean(bank_count=4, file_bank_ppm=500_000, late_ppm=30_000)
    banks = [population.bank(number) for number in range(4)]
    assert [bank.mode for bank in banks] == ["live", "daily_file", "live", "daily_file"]
    simulation = Simulation(population)
    by_file = {topics.bank_events(bank.bank_id) for bank in banks if bank.mode == "daily_file"}
    at_ms, late_ms, seen = 0, 7 * DAY_MS, 0
    for delivery in simulation.deliveries():
        assert delivery.at_ms >= at_ms, "not in the order of delivery"
        at_ms = delivery.at_ms
        if delivery.topic not in by_file:
            continue
        assert (delivery.at_ms - day_start_ms(day_of(delivery.at_ms))) < 6 * 3_600_000, "not in the morning"
        if isinstance(delivery.event, Txn | Loan):
            seen += 1
            age_days = day_of(delivery.at_ms) - day_of(delivery.event.event_time)
            assert age_days >= 1
            assert age_days == 1 or delivery.at_ms - delivery.event.event_time < 2 * late_ms
    assert seen > 100
    live = Simulation(clean(bank_count=4, late_ppm=30_000))
    assert sum(1 for _ in live.deliveries()) == sum(1 for _ in simulation.deliveries()), "the same events"


def test_most_of_a_province_s_enterprises_trade_every_other_day_and_a_few_dozens_of_times_a_day():
    simulation, live_from_ms = province(enterprise_count=600, bank_count=10)
    counts: Counter[str] = Counter()
    for delivery in simulation.deliveries():
        if delivery.at_ms >= live_from_ms:
            break
        if isinstance(delivery.event, Txn):
            counts[delivery.event.enterprise_id] += 1
    days = (live_from_ms - simulation.start_ms) / DAY_MS
    a_day = sorted(count / days for count in counts.values())
    assert len(a_day) == 600
    assert a_day[0] > 0.2
    assert a_day[540] < 1
    assert 1 < a_day[590] < 6
    assert 24 < a_day[-1] < 60
    fates = Counter(enterprise(simulation.population, number).scenario for number in range(600))
    assert all(fates[fate] > 20 for fate in ("gradual", "sudden", "payer_lost", "recovery", "seasonal")), fates


def test_the_province_has_141_banks_and_its_history_ends_where_the_days_come_live():
    simulation, live_from_ms = province(enterprise_count=2)
    assert len(simulation.banks) == 141
    assert sum(bank.mode == "daily_file" for bank in simulation.banks) == 70
    days = (simulation.population.start_day, day_of(live_from_ms), simulation.population.end_day)
    assert [date_of(day).isoformat() for day in days] == ["2024-04-01", "2025-07-01", "2026-01-01"]
