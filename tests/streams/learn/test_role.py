"""learn over synthetic logs: the same log gives the same snapshots, however its topics are read."""

import asyncio
import hashlib
import itertools
import math
import os
import random
import time
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from config.settings import KafkaSettings, LearnSettings, Settings
from detectors.prior import prior_id
from detectors.snapshot import MICRO, content_id, decode, of_format_1
from domain import topics
from domain.calendar import day_of_date, day_start_ms, month_of_day
from domain.events import Control, Feed, Loan, LogRecord, Outcome, Tick
from domain.outputs import Candidate, ModelMessage, Observation
from sinks.artefacts import fetch, publish
from sinks.checkpoint_topic import CheckpointTopic
from sinks.kafka import Outbox
from sinks.telemetry import Learning, Outcomes, Readiness
from streams.learn.role import Learn
from streams.learn.score_progress import Progress, ScoreProgress
from streams.model_decisions import Deciding
from streams.transport import chunk_of
from streams.worker.role import DETACHED, TP
from tests.brokers import make_topics
from tests.reading import commit, ends, read
from tests.streams.learn.candidates import unscorable

PARTITIONS = 2
BANK, FAILING = "C1010511000099", "C1010511000088"
NAMES = ("active_days_30d_ratio", "op_inflow_30d_vs_prior90d_ratio", "sales_routed_12m_ratio")
DRIVEN_BY = NAMES[0]  # what outcomes follow from
PRIOR = of_format_1(
    parent_id=None,
    prior=True,
    weights_milli=dict.fromkeys(NAMES, 100_000),
    intercept_micro=470_000,
    slope_micro=6_931_472,
    anchors_micro=dict.fromkeys(NAMES, (0, MICRO // 4, MICRO // 2, MICRO * 3 // 4, MICRO)),
)
Log = dict[TP, list[bytes]]


def made_log(seed: int, *, months: int = 10, enterprises: int = 60) -> Log:
    """Daily ticks to both partitions; an observation of each enterprise at each month's close; bad loans by DRIVEN_BY.

    Arrears are paid after some days. Every tenth enterprise borrows from a bank whose receipts fail for three months.
    """
    rng = random.Random(seed)
    log: Log = {TP(topic, p): [] for topic in (topics.EVENTS, topics.OBSERVATION) for p in range(PARTITIONS)}
    coming: list[tuple[int, int, Loan]] = []
    first = day_of_date(date(2024, 1, 1))
    for e in range(enterprises):
        granted = lent(first, f"E{e}", "granted", f"g{e}", bank=FAILING if e % 10 == 0 else BANK)
        log[TP(topics.EVENTS, e % PARTITIONS)].append(msgspec.json.encode(LogRecord(event=granted)))
    for day in range(first, first + months * 31):
        for due, p, loan in sorted((c for c in coming if c[0] == day), key=lambda c: c[2].event_id):
            log[TP(topics.EVENTS, p)].append(msgspec.json.encode(LogRecord(event=loan)))
            assert due == day
        failing = first + 90 if day - first in range(90, 180) else day
        feeds = {BANK: Feed(covered_up_to=day), FAILING: Feed(covered_up_to=failing)}
        for p in range(PARTITIONS):
            log[TP(topics.EVENTS, p)].append(
                msgspec.json.encode(LogRecord(event=Tick(up_to=day_start_ms(day + 1), feeds=feeds)))
            )
        if month_of_day(day) == month_of_day(day + 1):
            continue
        for e in range(enterprises):
            p = e % PARTITIONS
            u = {name: rng.randrange(MICRO + 1) for name in NAMES}
            made = observation(day, f"E{e}", u, offset=len(log[TP(topics.EVENTS, p)]) - 1)
            if e % 7 == 0:  # of these a bank's desk has said something
                said = ("confirmed",) if e % 2 else ("known", "false_alarm")
                made = msgspec.structs.replace(made, dispositions=said)
            log[TP(topics.OBSERVATION, p)].append(msgspec.json.encode(made))
            if rng.random() < 1 / (1 + math.exp(-(1 - 6 * u[DRIVEN_BY] / MICRO))):
                bad, bank = day + rng.randrange(1, 90), FAILING if e % 10 == 0 else BANK
                for on, event, dpd in ((bad, "overdue", 31), (bad + rng.randrange(1, 20), "repaid", 0)):
                    coming.append((on, p, lent(on, f"E{e}", event, f"{event}{day}-{e}", dpd, bank=bank)))
    return log


def observation(day: int, enterprise: str, utilities: dict[str, int], offset: int) -> Observation:
    return Observation(
        observation_id=hashlib.sha256(f"{enterprise}-{day}".encode()).hexdigest()[:32], enterprise_id=enterprise,
        kind="month", loan_id=None, day=day, as_of=0,
        score_milli=0, p_overdue30_90d_ppm=0, utilities_ppm=utilities, values_micro=dict(utilities), model_id="m",
        offset=offset, seq=0,
    )  # fmt: skip


def lent(day: int, enterprise: str, event: str, event_id: str, dpd: int | None = None, *, bank: str = BANK) -> Loan:
    return Loan(
        event_id=event_id, bank_id=bank, enterprise_id=enterprise, event_time=day_start_ms(day) + 1, loan_id="L",
        event=event, principal_minor=1, outstanding_minor=1, granted_on="2023-01-01", dpd=dpd,  # type: ignore[arg-type]
    )  # fmt: skip


def read_in(log: Log, pieces: Iterable[tuple[TP, int]]) -> Iterable[tuple[TP, Any]]:
    """Chunks of the log: `(tp, n)` reads its next n records."""
    at = dict.fromkeys(log, 0)
    for tp, n in pieces:
        values = log[tp][at[tp] : at[tp] + n]
        if values:
            yield tp, chunk_of(tp.topic, tp.partition, at[tp], [(b"k", value, [], 0) for value in values])
            at[tp] += len(values)


def one_after_the_other(log: Log) -> list[tuple[TP, int]]:
    return [(tp, len(values)) for tp, values in log.items()]


def shuffled(log: Log, seed: int) -> list[tuple[TP, int]]:
    rng = random.Random(seed)
    left = {tp: len(values) for tp, values in log.items()}
    pieces = []
    while alive := [tp for tp, n in left.items() if n > 0]:
        tp = rng.choice(alive)
        n = rng.randrange(1, 200)
        pieces.append((tp, n))
        left[tp] -= n
    return pieces


class Scored:
    """Score's progress: the whole log, or up to a given offset."""

    def __init__(self, log: Log, share: float = 1.0) -> None:
        self.log, self.share = log, share

    async def __call__(self) -> Progress:
        """As it would be: observations of what has been applied are out, and later ones may be."""
        applied = {p: int(self.share * len(self.log[TP(topics.EVENTS, p)])) for p in range(PARTITIONS)}
        ends = {}
        for p in range(PARTITIONS):
            offsets = [msgspec.json.decode(v, type=Observation).offset for v in self.log[TP(topics.OBSERVATION, p)]]
            ends[p] = sum(offset < applied[p] for offset in offsets)
        return Progress(score_offsets=applied, observation_ends=ends)


@pytest.fixture(scope="module")
def broker(kafka: str) -> str:
    """With the topics that learn writes."""
    admin = AdminClient({"bootstrap.servers": kafka})
    there = admin.list_topics(timeout=30).topics
    wanted = [
        name for name in (topics.MODEL, topics.MODEL_REPORT, topics.CONTROL, topics.DEAD_LETTERS) if name not in there
    ]
    for made in admin.create_topics([NewTopic(name, 1, 1) for name in wanted]).values():
        made.result(timeout=30)
    return kafka


def settings(broker: str, **learn: Any) -> Settings:
    """Settings under which no snapshot is held for moving weights too far."""
    usual = {"publish": False, "weight_move_points_max": 300.0}
    return Settings(
        kafka=KafkaSettings(bootstrap=broker, log_partitions=PARTITIONS),
        learn=LearnSettings(labels_per_snapshot_min=100, **(usual | learn)),
    )


def run(role: Learn, log: Log, pieces: Iterable[tuple[TP, int]]) -> dict[str, Any]:
    async def story() -> dict[str, Any]:
        await role.start(DETACHED)
        await role.assigned(set(log))
        for tp, chunk in read_in(log, pieces):
            await role.apply(tp, chunk)
            await role.tick()
        await at_rest(role)
        await role.stop()
        return role.summary()

    return asyncio.run(story())


async def at_rest(role: Learn, ticks: int = 5) -> None:
    """Tick until the role has nothing more to do."""
    rest = 0
    while rest < ticks:
        await role.tick()
        await asyncio.sleep(0.002)
        rest = 0 if role.is_busy else rest + 1


_places = itertools.count()


def store(broker: str, name: str = "") -> CheckpointTopic:
    """A checkpoint of its own, or the one of this name."""
    topic = name or f"learn.{os.getpid()}.{next(_places)}"
    admin = AdminClient({"bootstrap.servers": broker})
    if topic not in admin.list_topics(timeout=30).topics:
        make_topics(admin, NewTopic(topic, 1, 1, config={"cleanup.policy": "compact", "max.message.bytes": "8388608"}))
    return CheckpointTopic(broker, topic, writer=topic, holder=f"test:{next(_places)}")


def role_over(
    broker: str, log: Log, progress: Any = None, *, kept: CheckpointTopic | None = None, **learn: Any
) -> Learn:
    made = kept or store(broker)
    return Learn(settings(broker, **learn), prior=PRIOR, progress=progress or Scored(log), store=made, poll_s=0.0)


def test_the_same_log_gives_the_same_snapshot_however_its_topics_are_read(broker: str, seed: int) -> None:
    print(f"seed {seed}")
    log = made_log(seed)
    ways = [one_after_the_other(log), one_after_the_other(log)[::-1], shuffled(log, seed), shuffled(log, seed + 1)]
    summaries = [run(role_over(broker, log), log, pieces) for pieces in ways]
    assert all(summary == summaries[0] for summary in summaries)
    assert summaries[0]["snapshots"] >= 3
    assert summaries[0]["labels"] >= 300
    assert 0 < summaries[0]["labels_bad"] < summaries[0]["labels"]
    assert min(summaries[0]["already_bad"], summaries[0]["indeterminate"]) > 0
    assert summaries[0]["model_id"] != content_id(PRIOR.encode())
    assert run(role_over(broker, other := made_log(seed + 1)), other, shuffled(other, seed))["model_id"] not in [
        summary["model_id"] for summary in summaries
    ]


def test_it_waits_for_score_and_then_gives_what_it_would_have_given(broker: str, seed: int) -> None:
    """Score behind: learn has read all of events.v1, and waits rather than learn a month without its observations."""
    print(f"seed {seed}")
    log = made_log(seed)
    expected = run(role_over(broker, log), log, one_after_the_other(log))
    scored = Scored(log, 0.0)
    role = role_over(broker, log, scored)

    async def story() -> None:
        await role.start(DETACHED)
        await role.assigned(set(log))
        for tp in log:
            if tp.topic == topics.EVENTS:
                await role.apply(*next(iter(read_in(log, [(tp, 10**9)]))))
        await at_rest(role)
        assert role.summary()["months_learned"] == 0
        assert "score: events.v1" in str(role.summary()["waits_for"])
        at = {tp: 0 for tp in log if tp.topic == topics.OBSERVATION}
        for share in (0.35, 0.7, 1.0):
            scored.share = share
            await at_rest(role)
            assert topics.OBSERVATION in str(role.summary()["waits_for"])
            for p, end in (await scored()).observation_ends.items():
                tp = TP(topics.OBSERVATION, p)
                values = [(b"k", value, [], 0) for value in log[tp][at[tp] : end]]
                await role.apply(tp, chunk_of(tp.topic, p, at[tp], values))
                at[tp] = end
            await at_rest(role)
        await role.stop()

    asyncio.run(story())
    summary = role.summary()
    drop = {"observations", "observations_held"}  # what is behind the last close was not read here
    assert {k: v for k, v in summary.items() if k not in drop} == {k: v for k, v in expected.items() if k not in drop}


def test_repeated_observations_and_facts_change_nothing(broker: str, seed: int) -> None:
    """Score repeats after a lost tail: the copies have other places in the topic, and the same ids and coordinates."""
    log = made_log(seed)
    expected = run(role_over(broker, log), log, one_after_the_other(log))
    twice = {tp: values + values if tp.topic == topics.OBSERVATION else values for tp, values in log.items()}
    summary = run(role_over(broker, twice), twice, shuffled(twice, seed))
    assert summary.pop("observations_repeated") == sum(len(log[TP(topics.OBSERVATION, p)]) for p in range(PARTITIONS))
    assert expected.pop("observations_repeated") == 0
    assert summary == expected


def test_labels_are_counted_by_kind(broker: str, seed: int) -> None:
    log = made_log(seed)
    role = role_over(broker, log)
    summary = run(role, log, one_after_the_other(log))
    (reading,) = (one for one in role.readings() if isinstance(one, Learning))
    assert reading.labels == {
        "good": summary["labels"] - summary["labels_bad"],
        "bad": summary["labels_bad"],
        "already_bad": summary["already_bad"],
        "indeterminate": summary["indeterminate"],
    }
    assert sum(reading.labels.values()) == summary["observations"] - summary["observations_held"]


def test_without_observations_it_says_that_there_were_none(broker: str) -> None:
    log = made_log(1, months=5, enterprises=0)
    summary = run(role_over(broker, log), log, one_after_the_other(log))
    assert (summary["observations"], summary["labels"], summary["snapshots"]) == (0, 0, 0)
    assert summary["months_learned"] == 6, "December, which the first tick closes, to May"
    assert "log_loss" not in summary


def test_unreadable_records_are_counted_once_by_their_reason(broker: str) -> None:
    log = made_log(1, months=1)
    role = role_over(broker, {tp: [*values] for tp, values in log.items()})
    log[TP(topics.EVENTS, 0)].append(b"\xff")
    log[TP(topics.OBSERVATION, 1)].append(b"{}")
    assert run(role, log, one_after_the_other(log))["unreadable"] == 2
    letters = {(one.topic, one.reason): one.records for one in role.readings() if isinstance(one, Outcomes)}
    assert letters[topics.EVENTS, "not_json"] == letters[topics.OBSERVATION, "wrong_type"] == 1


def test_with_part_of_the_partitions_it_does_not_learn_and_says_so(broker: str) -> None:
    log = made_log(1, months=5)
    role = role_over(broker, log)

    async def story() -> None:
        await role.start(DETACHED)
        await role.assigned(set(list(log)[1:]))
        await role.tick()
        await role.stop()

    asyncio.run(story())
    assert "1 of 4 partitions" in str(role.summary()["waits_for"])


def test_an_operators_outcome_is_a_label(broker: str) -> None:
    log = made_log(5, months=6, enterprises=4)
    first = msgspec.json.decode(log[TP(topics.OBSERVATION, 0)][1], type=Observation)  # its lender's receipts come
    base, good, bad = (summary_with(broker, log, first, label) for label in (None, "good", "bad"))
    assert good["labels"] == bad["labels"] == base["labels"]
    assert bad["labels_bad"] == good["labels_bad"] + 1
    assert base["labels_bad"] in (good["labels_bad"], bad["labels_bad"])
    assert good["log_loss"] != bad["log_loss"]


def summary_with(broker: str, log: Log, about: Observation, label: Any) -> dict[str, Any]:
    """The summary where an operator's outcome on an observation is in the log; None: without one."""
    log = {tp: list(values) for tp, values in log.items()}
    if label is not None:
        verdict = Outcome(
            event_id="o", bank_id=BANK, enterprise_id=about.enterprise_id, event_time=day_start_ms(about.day + 40),
            observation_id=about.observation_id, label=label, matured_on="2024-03-01",
        )  # fmt: skip
        at = 45  # after the observation, before its horizon's end; later records move by one
        log[TP(topics.EVENTS, 0)].insert(at, msgspec.json.encode(LogRecord(event=verdict)))
        for i, value in enumerate(log[TP(topics.OBSERVATION, 0)]):
            moved = msgspec.json.decode(value, type=Observation)
            if moved.offset >= at:
                later = msgspec.structs.replace(moved, offset=moved.offset + 1)
                log[TP(topics.OBSERVATION, 0)][i] = msgspec.json.encode(later)
    return run(role_over(broker, log), log, one_after_the_other(log))


def test_candidates_are_published_once_in_their_order(broker: str, seed: int) -> None:
    """After a restart, too: a candidate on model.v1 is rebuilt with the same id and not sent again."""
    print(f"seed {seed}")
    log = made_log(seed)
    before = {record.key for record in read(broker, topics.MODEL)}
    first = run(role_over(broker, log, publish=True), log, one_after_the_other(log))
    assert first["snapshots_published"] == first["snapshots"] >= 3
    said = [one for one in candidates_on(broker) if one.kind == "model"]
    models = {one.model_id.encode() for one in said}  # without probabilities made anew
    made = [(r.key, r.value or b"") for r in read(broker, topics.MODEL) if r.key in models - before]
    assert len(made) == first["snapshots"]
    snapshots = [decode(body, (key or b"").decode()) for key, body in made]
    chain = [content_id(PRIOR.encode()), *(content_id(body) for _, body in made)]
    assert [snapshot.parent_id for snapshot in snapshots] == chain[:-1]
    assert chain[-1] == first["model_id"]
    assert all(body == msgspec.json.encode(msgspec.json.decode(body), order="sorted") for _, body in made)
    assert fetch(broker, topics.MODEL, chain[-1], 10) == made[-1][1]
    of_these = [one for one in said if one.model_id in chain]
    assert [one.model_id for one in of_these] == chain[1:]
    assert [one.month for one in of_these] == sorted({one.month for one in of_these})
    assert sum(one.new_labels_count for one in of_these) == of_these[-1].labels_count
    assert not read(broker, topics.CONTROL), "by an operator's word alone"
    count = ends(broker, topics.MODEL), candidates_on(broker)
    again = run(role_over(broker, log, publish=True), log, shuffled(log, seed))
    assert (again["model_id"], again["snapshots_published"]) == (first["model_id"], first["snapshots"])
    assert (ends(broker, topics.MODEL), candidates_on(broker)) == count, "months alone are said again"


def test_a_month_is_published_where_an_operator_has_activated_what_this_engine_cannot_score_with(
    broker: str, seed: int, make_topic: Any, monkeypatch: Any
) -> None:
    """Score refuses it and keeps the one before, whose probabilities learn makes anew."""
    for name in ("MODEL", "MODEL_REPORT", "CONTROL"):
        monkeypatch.setattr(topics, name, make_topic(name.lower(), **{"message.timestamp.type": "LogAppendTime"}))
    odd = msgspec.structs.replace(unscorable(1), trained_until_day=None)  # all labels came after its training
    publish(Outbox(broker), topics.MODEL, odd.encode())
    word = Control(
        control_id="c", action="activate", artefact="model", artefact_id=content_id(odd.encode()), by="li", reason="r"
    )
    Deciding(settings(broker).kafka).write(word)
    log = made_log(seed)
    found = run(role_over(broker, log, publish=True), log, one_after_the_other(log))
    assert found["snapshots_published"] == found["snapshots"] >= 3
    made = candidates_on(broker)
    assert {one.in_force_id for one in made} == {prior_id()}
    assert "calibration" in {one.kind for one in made}


def candidates_on(broker: str) -> list[Candidate]:
    records = [msgspec.json.decode(r.value or b"", type=ModelMessage) for r in read(broker, topics.MODEL_REPORT)]
    return [one for one in records if isinstance(one, Candidate)]


def driven(role: Learn, log: Log, pieces: Mapping[str, int]) -> dict[str, Any]:
    """Read all partitions in turn, as the transport does: what is paused waits, and rewinds are followed.

    pieces: records of a chunk by topic.
    """

    async def story() -> dict[str, Any]:
        await role.start(DETACHED)
        await role.assigned(set(log))
        at, rest = dict.fromkeys(log, 0), 0
        while rest < 20:
            rest += 1
            for tp, values in log.items():
                at |= role.rewinds()
                if tp in role.paused or at[tp] == len(values):
                    continue
                some = values[at[tp] : at[tp] + pieces[tp.topic]]
                first, at[tp], rest = at[tp], at[tp] + len(some), 0
                await role.apply(tp, chunk_of(tp.topic, tp.partition, first, [(b"k", v, [], 0) for v in some]))
            await role.tick()
            if role.is_busy:
                rest = 0
                await asyncio.sleep(0.002)
        assert at == {tp: len(values) for tp, values in log.items()}, role.summary()["waits_for"]
        await role.stop()
        return role.summary()

    return asyncio.run(story())


@pytest.mark.parametrize(
    "pieces", [{topics.OBSERVATION: 7, topics.EVENTS: 1}, {topics.OBSERVATION: 100, topics.EVENTS: 1_000}]
)
def test_a_backlog_beyond_the_bound_is_learned_month_by_month(
    broker: str, seed: int, pieces: Mapping[str, int]
) -> None:
    """The queue is full of later months: the oldest is learned, which makes room, and no model is another one."""
    log = made_log(seed, months=16)
    expected = run(role_over(broker, log), log, one_after_the_other(log))
    assert expected["observations"] == 960
    found = driven(role_over(broker, log, observations_held_max=480), log, pieces)
    assert found == expected


def test_a_full_queue_reads_no_further_observations_says_so_and_loses_none(broker: str, seed: int) -> None:
    """A bound that is below what the oldest month needs."""
    log = made_log(seed, months=8)
    expected = run(role_over(broker, log), log, one_after_the_other(log))
    kept = store(broker)
    role = role_over(broker, log, kept=kept, observations_held_max=50)

    async def story() -> Mapping[TP, int]:
        await role.start(DETACHED)
        await role.assigned(set(log))
        for tp, chunk in read_in(log, one_after_the_other(log)):
            await role.apply(tp, chunk)
        await at_rest(role)
        assert role.paused == {TP(topics.OBSERVATION, p) for p in range(PARTITIONS)}
        found = role.rewinds()
        (said,) = (one for one in role.readings() if isinstance(one, Readiness))
        assert not said.ready
        assert "[learn] observations_held_max = 50" in said.why_not
        await role.revoked(set(log))
        await role.stop()
        return found

    rewinds = asyncio.run(story())
    assert role.summary()["observations_held"] == 50
    assert set(rewinds) <= {TP(topics.OBSERVATION, p) for p in range(PARTITIONS)}
    role = role_over(broker, log, kept=kept)  # with the usual bound

    async def again() -> None:
        await role.start(DETACHED)
        places = await role.assigned(set(log))
        assert rewinds.items() <= places.items()
        for tp, values in log.items():
            rest = [(b"k", value, [], 0) for value in values[places[tp] :]]
            if rest:
                await role.apply(tp, chunk_of(tp.topic, tp.partition, places[tp], rest))
        await at_rest(role)
        await role.stop()

    asyncio.run(again())
    assert role.summary() == {**expected, "snapshots_published": role.summary()["snapshots_published"]}


def test_a_tick_that_one_partition_lacks_is_named(broker: str) -> None:
    log = made_log(1, months=3, enterprises=4)
    log[TP(topics.EVENTS, 1)] = log[TP(topics.EVENTS, 1)][:10]
    summary = run(role_over(broker, log), log, one_after_the_other(log))
    assert summary["waits_for"] == "a tick past a month's end in events.v1[1], where the others have one"


def test_a_restart_goes_on_where_the_checkpoint_ends(broker: str, seed: int) -> None:
    log = made_log(seed)
    expected = run(role_over(broker, log), log, one_after_the_other(log))
    kept = store(broker)
    half = {tp: values[: len(values) // 2] for tp, values in log.items()}
    role = role_over(broker, half, kept=kept)

    async def first() -> None:
        await role.start(DETACHED)
        await role.assigned(set(half))
        for tp, chunk in read_in(half, one_after_the_other(half)):
            await role.apply(tp, chunk)
        await at_rest(role)
        await role.revoked(set(half))
        await role.stop()

    asyncio.run(first())
    role = role_over(broker, log, kept=kept)

    async def second() -> None:
        await role.start(DETACHED)
        places = await role.assigned(set(log))
        assert places == {tp: len(values) for tp, values in half.items()}
        for tp, values in log.items():
            rest = [(b"k", value, [], 0) for value in values[places[tp] :]]
            await role.apply(tp, chunk_of(tp.topic, tp.partition, places[tp], rest))
        await at_rest(role)
        await role.stop()

    asyncio.run(second())
    assert role.summary() == expected


def test_scores_progress_is_read_from_the_broker(
    kafka: str, monkeypatch: Any, make_topic: Any, topic_name: Any
) -> None:
    events, observations, group = (
        make_topic("events", partitions=2),
        make_topic("observation", partitions=2),
        topic_name("g"),
    )
    monkeypatch.setattr(topics, "EVENTS", events)
    monkeypatch.setattr(topics, "OBSERVATION", observations)
    producer = Producer({"bootstrap.servers": kafka})
    for _ in range(3):
        producer.produce(observations, b"x", partition=1)
        producer.produce(events, b"x", partition=0)
    producer.flush(20)
    commit(kafka, group, {(events, 0): 2})
    began = time.monotonic()
    assert asyncio.run(ScoreProgress(kafka, group, 2)()) == Progress(
        score_offsets={0: 2}, observation_ends={0: 0, 1: 3}
    )
    assert time.monotonic() - began < 20
