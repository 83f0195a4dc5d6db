"""Mistakes of banks, in the log: repeats, other bodies, files sent again, disorder, lateness, undoing, huge amounts.

Each runs the partition that a worker runs. Expected counts are written by hand.
"""

import csv
import random
from collections import Counter
from importlib.resources import files

import msgspec
import numpy as np
import pytest

from domain import topics
from domain.calendar import DAY_MS, day_start_ms
from domain.events import Gov, Profile
from domain.outputs import DeadLetter, Observation
from features import layout
from features.state.buckets import FEN_MAX
from features.state.classes import AMOUNTS, COUNTS
from streams.ingest.fingerprint import fingerprint
from streams.ingest.token_key import fingerprint_key
from streams.score.partition import Partition
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    GATEWAY,
    OTHER_BANK,
    applied,
    authorization,
    loan,
    no_model,
    record,
    tick,
    txn,
)

pytestmark = pytest.mark.usefixtures("immediate")

KEY = fingerprint_key(b"k" * 32)
OUTCOMES = ("applied_count", "duplicate_count", "conflict_count", "late_count")
OFFSETS = {"applied_offset", "episode_opened_offset", "case_key", "life_key"}
OF_THE_LOG = {"offset", "seq", "alert_id", "episode_id", "case_id", "observation_id"}  # these differ with offsets
RINGS = ("day", "week", "month")
HOUR_MS = 3_600_000


def run(events, size=64):
    """(partition, messages) after these events."""
    partition = Partition(0, no_model)
    return partition, list(applied(partition, [record(event, body_of(event)) for event in events], size))


def body_of(event):
    return None if event.__struct_config__.tag == "tick" else fingerprint(event, KEY)


def rows(partition):
    """Enterprise -> its row."""
    found = (row for row in partition.state if row["id"].any())
    return {layout.id_text(row["id"]): row for row in found}


def differing(one, other, apart=OFFSETS):
    """(enterprise, field) of everything that is kept and differs."""
    ours, theirs = rows(one), rows(other)
    assert ours.keys() == theirs.keys()
    names = [name for name, *_ in layout.FIELDS if name not in apart]
    return [(who, name) for who in ours for name in names if not np.array_equal(ours[who][name], theirs[who][name])]


def said(messages, *topics_):
    """Return the outputs of each enterprise, in order, without what depends on offsets."""
    found = {}
    for message in messages:
        if not topics_ or message.topic in topics_:
            value = msgspec.json.decode(message.value)
            found.setdefault((message.topic, message.key), []).append(
                {name: part for name, part in value.items() if name not in OF_THE_LOG}
            )
    return found


def counts(partition, name="E1"):
    return {field.removesuffix("_count"): int(rows(partition)[name][field]) for field in OUTCOMES}


def letters(messages, topic):
    return [msgspec.json.decode(m.value, type=DeadLetter) for m in messages if m.topic == topic]


def buckets(partition, name="E1", ring="day"):
    """Return a ring as {column: the values of its units that are not zero}."""
    row = rows(partition)[name]
    found = {}
    for prefix, names, field in (("S", AMOUNTS, "amount"), ("N", COUNTS, "count")):
        for column, units in zip(names, row[f"{ring}_{field}"], strict=True):
            if units.any():
                found[f"{prefix}({column})"] = [int(value) for value in units[units.nonzero()]]
    return found


def trade(seed, days=175, enterprises=4, numbered=False):
    """(day, event) of trade with a loan, of which half the enterprises nearly end after 150 days."""
    rng = random.Random(seed)
    events = []
    for e in range(enterprises):
        events += [(0, loan(f"l{e}", f"E{e}", 0)), (0, authorization(f"a{e}", f"E{e}"))]
    for day in range(days):
        for e in range(enterprises):
            fen = rng.randrange(10**6, 10**7) // (1_000 if e % 2 and day > 150 else 1)
            credit = rng.random() < 0.7
            fields = {
                "direction": "C" if credit else "D",
                "purpose": "sales" if credit else "purchase",
                "counterparty_id": f"p{rng.randrange(8)}",
                "bank_id": rng.choice((BANK, OTHER_BANK)),
            }
            if numbered:
                fields["seq"] = day + 1
            events.append((day, txn(f"t{day}-{e}", f"E{e}", day, rng.randrange(9, 18) * HOUR_MS + e, fen, **fields)))
    return events


def with_ticks(events):
    """Events in the order of `when`, (day of the log, event), and a tick at the end of each of its days."""
    last = max(day for day, _ in events)
    by_day = {day: [] for day in range(last + 1)}
    for day, event in events:
        by_day[day].append(event)
    return [event for day, some in by_day.items() for event in (*some, tick(day))]


@pytest.mark.parametrize("numbered", [False, True], ids=["by id", "by seq"])
def test_fault_01_each_event_three_times_changes_nothing_but_the_count(numbered, seed, fault):
    """At once, and again up to five days later: every value and word is that of the run without repeats."""
    events = trade(seed, numbered=numbered)
    rng = random.Random(seed)
    repeats = [(day + rng.randrange(6), event) for day, event in events for _ in range(2)]
    last = max(day for day, _ in events)
    repeats = [(min(day, last), event) for day, event in repeats]
    plain, heard = run(with_ticks(events))
    repeated, heard_again = run(with_ticks(events + repeats))
    assert said(heard, topics.ALERT_SUPERVISOR), "there is something to say"
    assert said(heard_again) == said(heard)
    assert differing(repeated, plain, OFFSETS | {"duplicate_count"}) == []
    per_enterprise = 1 + 1 + 175  # a loan, an authorization, a transaction a day
    for name in rows(plain):
        assert counts(plain, name) == {"applied": per_enterprise, "duplicate": 0, "conflict": 0, "late": 0}
        assert counts(repeated, name) == {"applied": per_enterprise, "duplicate": 354, "conflict": 0, "late": 0}
    fault(injected=len(repeats), observed=f"{4 * 354} duplicates counted, {len(heard)} messages and all values equal")


BODIES = {
    "amount": (txn("x", "E1", 20), {"amount_minor": 100_001}),
    "direction": (txn("x", "E1", 20), {"direction": "D"}),
    "purpose": (txn("x", "E1", 20), {"purpose": "refund"}),
    "currency": (txn("x", "E1", 20), {"currency": "USD"}),
    "account": (txn("x", "E1", 20), {"account": "b"}),
    "counterparty": (txn("x", "E1", 20), {"counterparty_id": "p2"}),
    "time": (txn("x", "E1", 20), {"event_time": day_start_ms(FIRST_DAY + 20) + 1}),
    "memo": (txn("x", "E1", 20), {"memo": "货款"}),
    "status": (
        txn("x", "E1", 20),
        {"status": "reversed", "ref_event_id": "t5", "ref_event_time": day_start_ms(FIRST_DAY + 5)},
    ),
    "loan": (loan("x", "E1", 20, "overdue", dpd=5), {"dpd": 95}),
    "authorization": (authorization("x", "E1"), {"revoked": True}),
    "gov": (
        Gov(event_id="x", bank_id=GATEWAY, enterprise_id="E1", event_time=day_start_ms(FIRST_DAY + 20),
            event="tax_paid", source="税务"),
        {"event": "judicial_freeze"},
    ),
    "profile": (
        Profile(event_id="x", bank_id=GATEWAY, enterprise_id="E1", event_time=day_start_ms(FIRST_DAY + 20),
                industry="C", region="310000", size_class="small", name_masked="示*"),
        {"declared_annual_sales_minor": 10**12},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BODIES)
def test_fault_02_the_same_id_with_another_body_is_a_conflict(what, fault):
    """The first body holds; the second is a dead letter with its place in the log, and is counted."""
    first, changes = BODIES[what]
    second = fault.inject(msgspec.structs.replace, first, **changes)
    before = [event for day in range(20) for event in (txn(f"t{day}", "E1", day), tick(day))]
    if first.event_time < day_start_ms(FIRST_DAY + 20):  # of the first day
        before = []
    after = [txn("after", "E1", 20, HOUR_MS)]
    plain, heard = run([*before, first, *after])
    both, heard_both = run([*before, first, second, *after])
    assert counts(both) == counts(plain) | {"conflict": 1}
    assert differing(both, plain, OFFSETS | {"conflict_count"}) == []
    (letter,) = letters(heard_both, topics.DEAD_LETTERS)
    assert (letter.topic, letter.partition, letter.offset) == (topics.EVENTS, 0, len(before) + 1)
    assert letter.reason == "conflict"
    assert said(m for m in heard_both if m.topic != topics.DEAD_LETTERS) == said(heard)
    fault(observed=f"{len(BODIES)} bodies: 1 conflict each, with its letter, and nothing else")


@pytest.mark.parametrize("fields", [{}, {"seq": 7}])
@pytest.mark.parametrize("other_key", [False, True])
def test_a_resend_across_a_change_of_the_fingerprint_key_is_a_conflict_and_never_applied(fields, other_key):
    """ADR 32."""
    before = [*(event for day in range(20) for event in (txn(f"t{day}", "E1", day), tick(day)))]
    event = txn("x", "E1", 20, **fields)
    key = fingerprint_key(b"l" * 32) if other_key else KEY
    log = [record(one, body_of(one)) for one in (*before, event)]
    once, both = Partition(0, no_model), Partition(0, no_model)
    heard = list(applied(once, log, 64))
    heard_both = list(applied(both, [*log, record(event, fingerprint(event, key))], 64))
    assert counts(both) == counts(once) | {"conflict" if other_key else "duplicate": 1}
    assert differing(both, once, OFFSETS | {"conflict_count", "duplicate_count"}) == []
    assert said(m for m in heard_both if m.topic != topics.DEAD_LETTERS) == said(heard)
    assert [letter.reason for letter in letters(heard_both, topics.DEAD_LETTERS)] == ["conflict"] * other_key


@pytest.mark.parametrize("numbered", [False, True], ids=["by id", "by seq"])
def test_fault_03_a_file_sent_again_at_once_and_after_six_and_ten_days(numbered, seed, fault):
    """Its 40 transactions over 4 enterprises: no effect; 80 duplicates; 40 late, each in its topic with its place."""
    file_day, numbers = 30, Counter()
    file = []
    for n in range(40):
        numbers[n % 4] += 1
        seq = {"seq": 1_000 + numbers[n % 4]} if numbered else {}
        file.append(txn(f"f{n}", f"E{n % 4}", file_day, 9 * HOUR_MS + n, 10**5 + n, **seq))
    events = [*trade(seed, days=60, numbered=numbered), *((file_day, event) for event in file)]
    again = [(file_day + days, event) for days in (0, 6, 10) for event in file]
    plain, heard = run(with_ticks(events))
    repeated, heard_again = run(with_ticks(events + again))
    assert differing(repeated, plain, OFFSETS | {"duplicate_count", "late_count"}) == []
    for name in rows(plain):
        assert counts(repeated, name) == counts(plain, name) | {"duplicate": 20, "late": 10}
    late = letters(heard_again, topics.LATE)
    assert [letter.reason for letter in late] == ["late"] * 40
    assert len({letter.offset for letter in late}) == 40
    assert letters(heard_again, topics.DEAD_LETTERS) == []
    assert said(m for m in heard_again if m.topic != topics.LATE) == said(heard)
    fault(injected=len(again), observed="80 duplicates, 40 late with their letters, all values and words equal")


def test_fault_04_disorder_within_the_lateness(seed, fault):
    """Records up to six days behind their place, ticks where they were: integer buckets and the indicators on them are
    equal to the digit, decayed sums but for the order of their additions, and nothing is late."""
    events = trade(seed, days=160)
    rng = random.Random(seed)
    moved = [(day + rng.choice((0, 0, 1, 3, 6)), event) for day, event in events]
    rng.shuffle(moved)
    quiet = [(day, txn(f"q{day}-{e}", f"E{e}", day, HOUR_MS)) for day in range(167, 185) for e in range(4)]
    ordered, heard = run(with_ticks(events + quiet))
    shuffled, heard_shuffled = run(with_ticks(moved + quiet))
    for name in rows(ordered):
        assert counts(shuffled, name) == counts(ordered, name)
        assert counts(ordered, name)["late"] == 0
    fields = [f"{ring}_{part}" for ring in RINGS for part in ("newest", "amount", "count")]
    assert not [at for at in differing(ordered, shuffled) if at[1] in fields]
    exact = sums_of_buckets()
    compared, worst = 0, 0.0
    pairs = zip(last_observations(heard), last_observations(heard_shuffled), strict=True)
    for one, other in pairs:
        assert one.values_micro.keys() == other.values_micro.keys()
        for name, value in one.values_micro.items():
            found = other.values_micro[name]
            assert (found is None) == (value is None), name
            if value is not None and name in exact:
                assert found == value, name
                compared += 1
            elif value:
                worst = max(worst, abs(found - value) / abs(value))
    assert compared >= 3 * 4
    assert worst <= 1e-6
    behind = sum(at != day for (at, _), (day, _) in zip(moved, events, strict=True))
    assert behind > 200
    fault(injected=behind, observed=f"buckets and {compared} exact indicators equal, others within {worst:.0e}")


def sums_of_buckets():
    """Return the indicators whose whole state is calendar buckets, by the catalogue."""
    with files("config").joinpath("indicators.csv").open(encoding="utf-8") as table:
        return {row["id"] for row in csv.DictReader(table) if row["state"] == "a"}


def last_observations(messages):
    """The last observation of each enterprise, by name."""
    found = [msgspec.json.decode(m.value, type=Observation) for m in messages if m.topic == topics.OBSERVATION]
    by_name = {one.enterprise_id: one for one in found if one.kind == "month"}
    assert len(by_name) == 4
    return [by_name[name] for name in sorted(by_name)]


def test_fault_05_older_than_seven_days_to_the_millisecond(fault):
    """Before `t` - 7 days it is late: counted, in its topic with its place, without an effect; at it, it is applied.

    `t` is the newest event and a millisecond, or the start of the day after the last that is closed.
    """
    newest = txn("newest", "E1", 20, 5 * HOUR_MS)
    closed = day_start_ms(FIRST_DAY + 21)
    cases = [
        ([newest], newest.event_time + 1 - 7 * DAY_MS, "applied"),
        ([newest], newest.event_time - 7 * DAY_MS, "late"),
        ([newest, tick(20)], closed - 7 * DAY_MS, "applied"),
        ([newest, tick(20)], closed - 7 * DAY_MS - 1, "late"),
    ]
    for before, time_ms, outcome in cases:
        event = msgspec.structs.replace(txn("old", "E1", 0), event_time=time_ms)
        plain, _ = run(before)
        partition, heard = run([*before, event])
        assert counts(partition) == counts(plain) | {outcome: counts(plain)[outcome] + 1}, (time_ms, outcome)
        found = letters(heard, topics.LATE)
        assert [(one.topic, one.offset, one.reason) for one in found] == (
            [(topics.EVENTS, len(before), "late")] if outcome == "late" else []
        )
        if outcome == "late":
            assert differing(partition, plain, OFFSETS | {"late_count"}) == []
    fault(
        injected=sum(outcome == "late" for *_, outcome in cases),
        observed="late from a millisecond on: counted, with its letter, without effect",
    )


def sale(event_id="t", day=2, fen=700, **fields):
    return txn(event_id, "E1", day, HOUR_MS, fen, **fields)


def undo(event_id="r", day=2, status="reversed", original=2, fen=700, **fields):
    ref = {"status": status, "ref_event_id": "t", "ref_event_time": day_start_ms(FIRST_DAY + original) + HOUR_MS}
    return txn(event_id, "E1", day, 2 * HOUR_MS, fen, **fields, **ref)


SOLD = {"S(op_in)": [700], "N(op_in)": [1]}
BOUGHT = {"S(op_out)": [700], "N(OPOUT)": [1]}
D = {"direction": "D", "purpose": "purchase"}
UNDONE = {
    # case: (events, what stands in the day ring at the end)
    "a sale": ([sale()], SOLD),
    "a purchase": ([sale(**D)], BOUGHT),
    "a sale reversed the same day": ([sale(), undo()], {}),
    "a purchase reversed the same day": ([sale(**D), undo(**D)], {}),
    "a sale reversed after its day is closed": ([sale(), tick(2), tick(3), undo(day=4)], {}),
    "the reversal comes before its sale": ([undo(), sale()], {}),
    "a reversal of what never came": ([undo(), sale("u")], {}),
    "a reversal sent twice": ([sale(), undo(), undo()], {}),
    "a sale reversed after its month is closed": ([sale(), *map(tick, range(2, 36)), undo(day=36)], {}),
    "a sale returned two days later": (
        [sale(), tick(2), tick(3), undo(day=4, status="returned")],
        {"S(ret_c)": [700], "N(ret_c)": [1]},
    ),
    "a purchase returned the same day": (
        [sale(**D), undo(status="returned", **D)],
        {"S(ret_d)": [700], "N(ret_d)": [1]},
    ),
    "a sale returned, and another": (
        [sale(), undo(status="returned"), sale("again")],
        SOLD | {"S(ret_c)": [700], "N(ret_c)": [1]},
    ),
    "one of two sales reversed": ([sale(), sale("u"), undo()], SOLD),
}


@pytest.mark.parametrize("case", UNDONE)
def test_fault_13_reversals_and_returns_by_a_table(case, fault):
    """Zero and negative amounts never get here: ingest refuses them (tests/corpus). These take out what they name."""
    events, stands = UNDONE[case]
    partition, _ = run(events)
    assert buckets(partition) == stands
    if not stands:
        assert (buckets(partition, ring="week"), buckets(partition, ring="month")) == ({}, {})
    fault(injected=len(events), observed=f"{len(UNDONE)} cases as written by hand")


def test_fault_14_sums_stop_at_their_bound_and_do_not_wrap(fault):
    """The largest amount that ingest lets through (10^15 fen), more often than a bucket can hold, in and out."""
    most, over = 10**15, 0
    for direction, purpose, column in (("C", "sales", "op_in"), ("D", "purchase", "op_out")):
        fields = {"direction": direction, "purpose": purpose}
        events = [txn(f"t{n}", "E1", 2, n, most, **fields) for n in range(40)]
        undone = [undo(f"r{n}", fen=most, **fields) for n in range(60)]
        partition, heard = run([*events, tick(2), *undone, tick(3), txn("later", "E1", 40), tick(40)])
        assert FEN_MAX == 18_014_398_509_481_984
        row = rows(partition)["E1"]
        least = min(int(row[f"{ring}_amount"].min()) for ring in RINGS)
        greatest = max(int(row[f"{ring}_amount"].max()) for ring in RINGS)
        assert -FEN_MAX <= least <= greatest <= FEN_MAX
        over += len(events) + len(undone) - 17
        exact = 17 * most  # what fits
        assert buckets(run([*events[:17]])[0])[f"S({column})"] == [exact]
        assert buckets(run(events)[0])[f"S({column})"] == [FEN_MAX]
        assert counts(partition)["applied"] == 101
        assert b"nan" not in b"".join(m.value for m in heard).lower()
    fault(injected=over, observed=f"40 times 10^15 fen a day: a bucket stops at {FEN_MAX:,} fen; 60 back do not wrap")
