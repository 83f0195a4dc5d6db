"""One engine a partition: a control record hands it from one to the next, and their outputs never mix."""

import contextlib
import itertools
from unittest import mock

import msgspec
import pytest

from config.settings import ScoreSettings
from domain import topics
from domain.events import Control, LogRecord
from sinks.artefacts import ArtefactMissing
from sinks.redis_store import connect
from streams import control_log
from streams.score import engines, partition, role
from streams.score.engines import EnginesDiffer
from streams.score.partition import EngineVersionChanged, PartitionState
from streams.score.version import engine_version
from tests import brokers, reading
from tests.streams.score import protocol
from tests.streams.score.kit import HEADERS, log_of
from tests.streams.score.processes import PARTITIONS, clean_run, low_offsets, worker, write_log
from tests.streams.score.protocol import Worker, World, crash, run, small_log

OLD, OTHER = "0" * 16, "f" * 16
_numbers = itertools.count()
NEW = engine_version()


def named(engine, number=0):
    """Return a control record that names an engine; its id is that of the name and a number."""
    name = f"{number}-to-{engine}"
    return Control(control_id=name, action="engine_version", artefact_id=engine, by="op", reason="test")


def row(control):
    """Return it as a record of events.v1."""
    value = msgspec.json.encode(LogRecord(event=control, fingerprint="", origin=("c", 0, 0)))
    return None, value, HEADERS, 0


def state_of(engine, next_engine="", low_offset=7):
    return PartitionState(low_offset=low_offset, engine_version=engine, next_engine=next_engine)


class _Output(msgspec.Struct):
    offset: int
    engine_version: str


def spoken(value):
    """Return the offset and the engine of a score or of indicators."""
    return msgspec.json.decode(value, type=_Output)


class EngineWorker(Worker):
    """A worker of one engine."""

    def __init__(self, world, name, engine):
        super().__init__(world, name)
        self.engine = engine

    async def start(self):
        with self._as_engine():
            await super().start()

    @contextlib.asynccontextmanager
    async def _alive(self):
        async with super()._alive():
            with self._as_engine():
                yield

    def _as_engine(self):
        stack = contextlib.ExitStack()
        for module in (engines, partition, role):
            stack.enter_context(mock.patch.object(module, "engine_version", return_value=self.engine))
        return stack


class EngineWorld(World):
    """A world whose log names engines at its end; `at` is the offset of the first of these records.

    Outputs are to be those of `first` before it, and those of the engine of this process from there on. Their bytes
    are the same but for the engine's name.
    """

    def __init__(self, address, redis_url, outbox, names, first, **more):
        self._names, self._number = names, next(_numbers)  # control.v1 is that of the worlds before, too
        with mock.patch.object(protocol, "small_log", self._log), _passing_over():
            super().__init__(address, redis_url, outbox, **more)
        self.first = first
        self.one, self.two = EngineWorker(self, "one", first), EngineWorker(self, "two", NEW)

    def _log(self, name):
        rows = small_log(name)
        self.at = len(rows) - 8
        for i, engine in enumerate(self._names):
            rows.insert(self.at + 2 * i, row(named(engine, self._number)))
        return rows

    def says(self, engine):
        """Write to control.v1 that an engine goes on."""
        control_log.write(self.settings, named(engine, self._number))

    def state(self):
        """Return the partition's state in Redis, as JSON has it."""
        return msgspec.json.decode(self.redis.get(f"{self.base}:p"))

    def landed(self):
        found = []
        for topic, key, value in super().landed():
            if topic in (topics.SCORE, topics.INDICATOR):
                one = spoken(value)
                assert one.engine_version == (self.first if one.offset < self.at else NEW), one
                value = value.replace(self.first.encode(), NEW.encode())
            found.append((topic, key, value))
        return found

    async def refuses(self, worker, error, match):
        """Assert that a worker does not start, and has written nothing."""
        before, owners = self.copy(), reading.ends(self.settings.kafka.bootstrap, topics.OWNER)
        with pytest.raises(error, match=match):
            await worker.join()
        assert self.copy() == before
        assert reading.ends(self.settings.kafka.bootstrap, topics.OWNER) == owners
        worker.crash()


def _passing_over():
    """Return a context within which a clean run passes over what names other engines."""
    real = partition.Partition.__init__

    def init(self, *args, **more):
        real(self, *args, **{"passes_over": lambda one: one.artefact_id in (OLD, OTHER)} | more)

    return mock.patch.object(partition.Partition, "__init__", init)


@pytest.fixture
def make_engine_world(score_outbox, redis_url, resident_max):
    """`make_engine_world(names, first)`: an EngineWorld with one enterprise in memory, and with all."""
    address, outbox = score_outbox
    return lambda names, first: EngineWorld(address, redis_url, outbox, names, first, resident_max=resident_max)


async def read_up_to_its_end(world, worker):
    """The worker stops at the record that names another engine, and has flushed all before it."""
    while await worker.apply(3):
        pass
    with pytest.raises(EngineVersionChanged, match=r"goes on under engine"):
        await worker.flush()
    worker.crash()
    assert world.stored()[0] == world.at
    world.judge_redis()
    world.judge_outputs()


@pytest.mark.parametrize(("step", "nth"), [("send", 2), ("slice", 1), ("slice", 2), ("state", 1), ("state", 2)])
def test_fault_39_the_new_engine_waits_until_the_old_has_written_all(make_engine_world, fault, step, nth):
    """The old one is killed at a step before that, the last of them that of its last flush."""

    async def scenario(world):
        world.says(NEW)
        world.one.before(step, crash, nth)
        await world.one.join()
        await world.one.apply(4)
        if world.one.role is not None:
            await world.one.flush()
        while world.one.role is not None and await world.one.apply(4):
            pass
        assert world.one.role is None, "it has not come to that step"
        await world.refuses(world.two, EnginesDiffer, f"under engine {OLD}, this is {NEW}.*xinliu engine activate")
        await world.one.join()
        await read_up_to_its_end(world, world.one)
        assert (world.state()["engine_version"], world.state()["next_engine"]) == (OLD, NEW)
        await world.refuses(world.one, EngineVersionChanged, f"start workers of {NEW}")
        await world.two.join()
        assert (world.state()["engine_version"], world.state().get("next_engine", "")) == (NEW, "")
        await world.refuses(world.one, EnginesDiffer, f"under engine {NEW}, this is {OLD}")
        await world.settle(world.two)

    world = make_engine_world([NEW], OLD)
    run(world, scenario)
    fault(injected=world.injected, observed=f"old outputs before offset {world.at}, new ones from it on")


def test_fault_39_what_changes_after_the_start_is_refused_at_the_claim(make_engine_world, fault):
    """The worker finds nothing at its start; until it is assigned the partition, the other engine has begun it."""

    async def scenario(world):
        await world.two.start()
        await world.one.join()
        await world.one.apply(4)
        before = world.copy()
        await fault.inject(world.two.join)
        assert world.copy() == before, "not even the fence has moved"
        with pytest.raises(EngineVersionChanged, match=f"goes on under engine {OLD}, this is {NEW}"):
            await world.two.flush()
        world.two.crash()
        world.says(NEW)
        await read_up_to_its_end(world, world.one)
        await world.two.join()
        await world.settle(world.two)

    run(make_engine_world([NEW], OLD), scenario)
    fault(observed="refused within the claim's transaction, nothing written; the other engine read on")


def test_fault_39_an_engine_that_nobody_has_is_passed_over_once_a_newer_record_names_this(make_engine_world, fault):
    async def scenario(world):
        world.says(OTHER)
        await world.one.join()
        await fault.inject(read_up_to_its_end, world, world.one)
        await world.refuses(world.one, EngineVersionChanged, f"start workers of {OTHER}")
        world.says(NEW)
        await world.one.join()
        await world.settle(world.one)
        assert world.state()["controls_count"] == world.clean.state["controls_count"]

    run(make_engine_world([OTHER, NEW], NEW), scenario)
    fault(observed="stopped there, then read on by the engine that it was, after a newer record named it")


def test_a_log_with_two_upgrades_is_read_anew_by_the_engine_of_the_last(make_engine_world):
    async def scenario(world):
        for engine in (OTHER, OLD, NEW):
            world.says(engine)
        await world.two.join()
        await world.settle(world.two)

    run(make_engine_world([OTHER, OLD, NEW], NEW), scenario)


def test_fault_39_what_the_new_engine_cannot_go_on_with_stays_the_old_ones(make_engine_world, fault):
    """Its state names rules that nobody has published: those packaged with the old engine, say."""

    async def scenario(world):
        world.says(NEW)
        await world.one.join()
        await read_up_to_its_end(world, world.one)
        good = world.redis.get(f"{world.base}:p")
        world.redis.set(f"{world.base}:p", msgspec.json.encode({**msgspec.json.decode(good), "rules_id": "e" * 64}))
        with pytest.raises(ArtefactMissing, match="e" * 64):
            await fault.inject(world.two.join)
        world.two.crash()
        assert (world.state()["engine_version"], world.state()["next_engine"]) == (OLD, NEW)
        world.redis.set(f"{world.base}:p", good)
        await world.two.join()
        await world.settle(world.two)

    run(make_engine_world([NEW], OLD), scenario)
    fault(observed="the new engine ended by name, and the partition was the old one's still")


def test_a_state_names_the_model_and_the_rules_in_force_from_its_first_load_on(make_engine_world):
    async def scenario(world):
        await world.two.join()
        first = world.state()
        assert {len(first[name]) for name in ("model_id", "rules_id")} == {64}
        world.says(NEW)
        await world.settle(world.two)

    run(make_engine_world([NEW], NEW), scenario)


def test_a_record_is_taken_back_by_any_later_one_that_names_this_engine():
    first, back, again = named(OTHER, 1), named(NEW, 2), named(OTHER, 3)
    assert engines.records_of([]) == engines.NO_RECORDS
    assert engines.records_of([first]) == (OTHER, frozenset())
    assert engines.records_of([first, back]) == (NEW, {first.control_id})
    assert engines.records_of([first, back, again]) == (OTHER, {first.control_id}), "for ever"
    assert engines.records_of([back, first]) == (OTHER, frozenset())


def test_what_was_handed_on_stays_so_unless_the_newest_record_names_this_engine():
    handed_on = state_of(NEW, OTHER)
    assert engines.taken(handed_on, newest=OTHER) == engines.taken(handed_on, newest=None) == handed_on
    assert engines.taken(handed_on, newest=NEW) == state_of(NEW)
    assert engines.taken(state_of(OLD, NEW), newest=OTHER) == engines.taken(state_of(""), newest=None) == state_of(NEW)


@pytest.mark.parametrize(
    ("held", "refused"),
    [
        ([], False),
        ([state_of(NEW), state_of(NEW)], False),
        ([state_of(NEW), state_of(OLD)], False),  # each engine reads its own to their ends, alone
        ([state_of(NEW, OTHER), state_of(OLD)], True),
        ([state_of(OLD), state_of(OLD, NEW)], True),  # the old one still reads
        ([state_of(OLD, NEW), state_of(OLD, NEW)], False),
        ([state_of(OLD, OTHER)], True),
        ([state_of("")], False),
    ],
)
def test_an_engine_joins_the_group_where_some_of_it_is_its_own_or_nothing_is_anothers(held, refused):
    expected = pytest.raises(EnginesDiffer) if refused else contextlib.nullcontext()
    with expected:
        engines.demand_a_part(dict(enumerate(held)))


def test_a_state_of_before_engines_were_kept_is_taken_once(make_engine_world, caplog):
    async def scenario(world):
        world.says(NEW)
        await world.one.join()
        await world.one.apply(4)
        await world.one.flush()
        world.one.crash()
        state = world.state()
        del state["engine_version"]
        world.redis.set(f"{world.base}:p", msgspec.json.encode(state))
        await world.two.join()
        assert world.state()["engine_version"] == NEW
        await world.refuses(EngineWorker(world, "old", OLD), EnginesDiffer, f"under engine {NEW}")
        await world.settle(world.two)

    caplog.set_level("INFO")
    run(make_engine_world([NEW], NEW), scenario)
    assert [
        r.message for r in caplog.records if f"under engine {NEW} from" in r.message and "before unknown" in r.message
    ]


def states(client):
    """Return (engine, next engine) in Redis by partition."""
    found = []
    for p in range(PARTITIONS):
        state = msgspec.json.decode(client.get(f"x:{{{p}}}:p") or b"{}")
        found.append((state.get("engine_version", ""), state.get("next_engine", "")))
    return found


@pytest.fixture
def launch(tmp_path):
    """`launch(settings, "a", engine)` starts a worker; those that still run end with the test."""
    children = []

    def start(settings, name, engine=None):
        children.append(worker(settings, tmp_path, name, engine))
        return children[-1].launch()

    yield start
    for child in children:
        if child.running:
            child.kill()


def append(settings, one, *partitions):
    """Append a record to partitions of events.v1, as ingest does."""
    producer = brokers.producer(settings.kafka.bootstrap)
    for p in partitions:
        producer.produce(topics.EVENTS, one[1], partition=p, headers=HEADERS)
    assert producer.flush(30) == 0


def seldom_flushing(stack):
    """Return settings under which hardly anything is flushed before a partition has nothing left to read."""
    return msgspec.structs.replace(stack, score=ScoreSettings(flush_interval_ms=5_000, enterprises_resident_max=6))


def test_fault_39_a_rolling_upgrade(stack, launch, eventually, seed, fault):
    settings, client = seldom_flushing(stack), connect(stack.redis.url, 5.0)
    records = log_of(seed, enterprises=10, days=160)
    half = len(records) // 2
    before = write_log(settings, records[:half])
    ends = [len(before[p]) for p in range(PARTITIONS)]
    old = launch(settings, "old", OLD)
    eventually(lambda: low_offsets(client) == ends or not old.running, 120, "the first half")
    assert old.running, old.log_tail()
    early = fault.inject(launch, settings, "early")
    assert early.wait(60) == 1
    assert f"EnginesDiffer: events.v1[0] stands at offset {ends[0]} under engine {OLD}" in early.log_tail(400)
    assert old.running, old.log_tail()
    fault.inject(control_log.write, settings, named(NEW))
    append(settings, row(named(NEW)), *range(PARTITIONS))
    after = write_log(settings, records[half:])
    assert old.wait(60) == 1
    assert f"goes on under engine {NEW}, this is {OLD}: start workers of {NEW}" in old.log_tail(400)
    assert low_offsets(client) == ends, "all before the record is flushed, and nothing after it"
    assert states(client) == [(OLD, NEW)] * PARTITIONS
    again = fault.inject(launch, settings, "again", OLD)
    assert again.wait(60) == 1
    assert "runs: " not in again.log_tail(400), "it has not joined the group"
    new = launch(settings, "new")
    whole = {p: [*before[p], row(named(NEW)), *after[p]] for p in range(PARTITIONS)}
    eventually(lambda: low_offsets(client) == [len(whole[p]) for p in whole] or not new.running, 120, "the rest")
    new.stop()
    assert new.returncode == 0, new.log_tail()
    assert states(client) == [(NEW, "")] * PARTITIONS
    clean, _ = clean_run(whole)
    for topic in (topics.SCORE, topics.INDICATOR):
        found = {}
        for p, outputs in reading.read_partitions(settings.kafka.bootstrap, topic).items():
            for output in outputs:
                one = spoken(output.value)
                assert one.engine_version == (OLD if one.offset < ends[p] else NEW), (p, one)
                found.setdefault(output.key, []).append(output.value.replace(OLD.encode(), NEW.encode()))
        assert found == {key: values for (t, key), values in clean.items() if t == topic}, "none twice, none missing"
        assert {spoken(v).offset < min(ends) for values in found.values() for v in values} == {True, False}
    fault(observed=f"refused, then old outputs before offsets {ends} and new ones from there on, each once")


def test_fault_39_a_record_is_taken_back_while_the_engine_that_it_ends_still_reads(
    stack, launch, eventually, seed, fault
):
    settings, client = seldom_flushing(stack), connect(stack.redis.url, 5.0)
    records = log_of(seed, enterprises=10, days=60)
    before = write_log(settings, records)
    ends = [len(before[p]) for p in range(PARTITIONS)]
    one = launch(settings, "one")
    fault.inject(control_log.write, settings, named(OTHER))
    append(settings, row(named(OTHER)), 0)
    eventually(lambda: states(client)[0] == (NEW, OTHER) or not one.running, 120, "the end of partition 0")
    assert one.running, one.log_tail()
    control_log.write(settings, named(NEW))
    append(settings, row(named(OTHER)), 1)
    append(settings, row(named(NEW)), 0, 1)
    wanted = [end + 2 for end in ends]
    eventually(lambda: low_offsets(client) == wanted or not one.running, 60, "both partitions")
    one.stop()
    assert one.returncode == 0, one.log_tail()
    assert states(client) == [(NEW, "")] * PARTITIONS
    fault(observed="partition 0 went on in the same process")
