"""Faults by number (design: reliability), in worlds of two workers that take one step at a time."""

import asyncio
import time
from unittest import mock

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from domain import topics
from sinks.kafka import DeliveryFailed
from sinks.redis_store import Fenced, PartitionStore
from tests.streams.score import scenarios
from tests.streams.score.protocol import World, crash, run
from tests.streams.score.proxy import Proxy

STEPS = [
    ("own", 1), ("claim", 1), ("load", 1), ("apply", 2), ("send", 1), ("send", 3), ("drain", 1), ("drain", 3),
    ("slice", 1), ("slice", 2), ("slice", 3), ("state", 1), ("state", 2),
]  # fmt: skip


def ends_at(step, nth):
    """Return a scenario in which the process ends at this step."""

    async def scenario(world):
        world.one.before(step, crash, nth)
        await world.one.join()
        while world.one.role is not None and await world.one.apply(4):
            if world.one.role is not None:
                await world.one.flush()
        assert world.one.role is None
        await world.two.join()
        await world.settle(world.two)

    return scenario


@pytest.mark.parametrize(("step", "nth"), STEPS)
def test_fault_22_a_process_ends_at_this_step(world, fault, step, nth):
    run(world, ends_at(step, nth))
    fault(injected=world.injected, observed="values, outputs and ledger of a clean run")


@pytest.mark.parametrize(
    ("step", "nth"), [("fetch", 1), ("fetch", 5), ("evict", 1), ("evict", 2), ("evict", 6), ("slice", 9)]
)
def test_fault_22_a_process_ends_at_this_step_with_one_enterprise_in_memory(lazy_world, fault, step, nth):
    run(lazy_world, ends_at(step, nth))
    fault(injected=lazy_world.injected, observed="values, outputs and ledger of a clean run")


def test_fault_22_a_process_ends_at_every_second_record(world, fault):
    async def scenario(world):
        await world.one.join()
        while world.one.position < len(world.rows):
            await world.one.apply(2)
            world.one.before("state", crash, nth=1 + world.one.position % 2)
            await world.one.flush()
            world.one.undisturbed()
            if world.one.role is None:
                await world.one.join()
            await world.one.apply(1)
            await world.one.flush()
            world.judge_redis()
        await world.settle(world.one)

    run(world, scenario)
    fault(injected=world.injected, observed="values, outputs and ledger of a clean run")


def test_fault_23_a_zombies_write_is_refused(world, fault, caplog):
    async def scenario(world):
        await world.one.join()
        await world.one.apply(8)
        await world.two.join()  # one sleeps and does not know it
        await world.two.apply(12)
        await world.two.flush()
        before = world.stored()
        world.injected += 1
        await world.one.flush()
        assert world.stored() == before
        assert not world.one.runs
        await world.one.leave()
        await world.settle(world.two)

    run(world, scenario)
    refusals = [r.message for r in caplog.records if "the fence is" in r.message]
    assert refusals
    fault(injected=world.injected, observed=refusals[0])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("step", "nth"), [("claim", 1), ("slice", 1), ("slice", 2), ("slice", 3), ("state", 1), ("state", 2)]
)
def test_fault_26_a_transaction_whose_outcome_is_unknown(make_world, redis_url, fault, when, step, nth):
    """The connection breaks before EXEC reaches Redis, or before its reply reaches us."""
    proxy = Proxy(redis_url)

    async def scenario(world):
        world.one.before(step, arm, nth)
        await world.one.join()
        for _ in range(3):
            await world.one.apply(6)
            await world.one.flush()
            world.judge_redis()
        await world.settle(world.one)

    def arm():
        proxy.cut = when

    run(make_world(via=proxy.url), scenario)
    proxy.close()
    fault(injected=proxy.cuts, observed="values, outputs and ledger of a clean run")


def test_fault_26_redis_slow(make_world, redis_url, fault):
    """Slower than its timeout: paused, nothing stored; quick again: it goes on."""
    proxy = Proxy(redis_url)

    async def scenario(world):
        await world.one.join()
        await world.one.apply(8)
        await world.one.flush()
        before = world.stored()
        fault.inject(setattr, proxy, "delay_s", 1.5 * world.settings.redis.timeout_s)
        await world.one.apply(8)
        await world.one.flush()
        assert not world.one.runs
        assert world.stored() == before
        assert world.one.role.low_offset(world.one.tp) is None  # nothing to commit
        proxy.delay_s = 0.0
        await world.settle(world.one)

    run(make_world(via=proxy.url, timeout_s=0.2), scenario)
    proxy.close()
    fault(observed="paused without a commit, then on in the same process")


def test_fault_26_redis_full(score_outbox, redis_factory, fault):
    """noeviction: Redis refuses writes, nothing is dropped; with room again it goes on."""
    address, outbox = score_outbox
    server = redis_factory("full")
    world = World(address, server.url, outbox)

    async def scenario(world):
        await world.one.join()
        await world.one.apply(8)
        await world.one.flush()
        before = world.stored()
        fault.inject(world.redis.config_set, "maxmemory", "1mb")
        await world.one.apply(8)
        await world.one.flush()
        await world.one.flush()
        assert not world.one.runs
        assert world.stored() == before
        world.redis.config_set("maxmemory", "0")
        await world.settle(world.one)

    run(world, scenario)
    fault(observed="paused without a loss, then on in the same process")


def test_fault_36_a_topic_that_goes_on_refusing_ends_the_process(world, fault):
    async def scenario(world):
        await world.one.join()
        for _ in range(5):
            assert await world.one.apply(4)
            world.one.lose()
            world.injected += 1
            await world.one.flush()  # memory and producer end
            assert not world.one.runs
            await world.one.flush()  # and begin anew
            world.judge_redis()
        await world.one.apply(4)
        world.one.lose()
        world.injected += 1
        with pytest.raises(DeliveryFailed, match="lost on purpose"):
            await world.one.flush()
        world.one.crash()
        await world.two.join()
        await world.settle(world.two)

    run(world, scenario)
    fault(injected=world.injected, observed="five attempts from the low offset, then the process ends")


def test_fault_36_outputs_that_do_not_land_are_taken_for_lost(make_lazy_world, fault):
    """Others may go on being acknowledged, so that the producer itself notices nothing."""

    async def scenario(world):
        await world.one.join()
        await world.one.apply(8)
        world.injected += 1
        for _ in range(10):
            if not world.one.runs:
                break
            await world.one.look()
        assert not world.one.runs
        assert world.one.role.low_offset(world.one.tp) is None
        await world.settle(world.one)

    world = make_lazy_world(resident_max=2)  # nobody makes room, which would wait for them
    run(world, scenario)
    fault(injected=world.injected, observed="memory and producer end a minute later, and begin anew")


def test_fault_38_redis_restored_from_an_older_backup(world, fault):
    """The running worker replays from the backup's own offset."""

    async def scenario(world):
        await world.one.join()
        await world.one.apply(8)
        await world.one.flush()
        backup = world.copy()
        await world.one.apply(15)
        await world.one.flush()
        world.restore(backup)
        world.injected += 1
        await world.one.flush()  # refused
        await world.one.flush()  # loaded again
        assert world.one.position == 8
        await world.settle(world.one)

    run(world, scenario)
    fault(injected=world.injected, observed="replayed from offset 8 of 23")


def test_fault_45_redis_fails_over_to_an_older_copy_and_back(world, fault):
    """(epoch, number) never names two contents: neither copy's number is given again."""

    async def scenario(world):
        await world.one.join()
        await world.one.apply(3)
        await world.one.flush()
        first = world.copy()
        await world.one.apply(5)
        await world.one.flush()
        second = world.copy()
        seen = {}
        for copy in (first, second, first, second):
            world.restore(copy)
            world.injected += 1
            for _ in range(2):
                await world.one.flush()
                world.judge_redis()
                content = world.copy()
                fence = world.redis.get(f"{world.base}:e")
                assert seen.setdefault(fence, content) == content, fence
            await world.one.apply(2)
            await world.one.flush()
        await world.settle(world.one)

    run(world, scenario)
    fault(injected=world.injected, observed="each step under a fence of its own")


@pytest.mark.parametrize(
    ("scenario", "observed"),
    [
        pytest.param(
            scenarios.redis_goes_back_before_a_lazy_read,
            "the lazy read was refused, nothing computed from it went out",
            id="fault_44",
        ),
        pytest.param(
            scenarios.a_zombie_reads_what_redis_then_loses,
            "the zombie's lazy read was refused, so its memory never held the lost value",
            id="fault_46",
        ),
    ],
)
def test_fault_44_46_a_lazy_read_under_another_fence(lazy_world, fault, caplog, scenario, observed):
    """44: Redis lost its tail, and the next event touches an evicted enterprise. 46: a zombie reads; that is lost."""
    refused = []
    real = PartitionStore.fetch

    def fetch(self, names):
        try:
            return real(self, names)
        except Fenced as why:
            refused.append(str(why))
            raise

    with mock.patch.object(PartitionStore, "fetch", fetch):
        run(lazy_world, scenario)
    assert refused, "the lazy path was not taken"
    assert any(refused[0] in r.message for r in caplog.records)
    fault(injected=lazy_world.injected, observed=f"{observed}: {refused[0]}")


def test_score_is_not_compacted(score_outbox):
    """Compaction would keep the last to land, which may be a zombie's; readers keep the highest (offset, seq)."""
    admin = AdminClient({"bootstrap.servers": score_outbox[0]})
    for topic in (topics.SCORE, topics.INDICATOR, topics.ALERT_SUPERVISOR, topics.OBSERVATION, topics.DEAD_LETTERS):
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        found = admin.describe_configs([resource])[resource].result(timeout=10)
        assert found["cleanup.policy"].value == "delete", topic


@pytest.mark.parametrize("slice_takes_ms", [60, 0])  # of 50 that it may
def test_a_batch_gives_others_their_turn_when_a_slice_of_time_is_over(make_lazy_world, slice_takes_ms):
    """Records, a tick, records: three slices, between which others come on."""

    async def scenario(world):
        turns, at_sends = [], []

        def clock():
            world.now_s += 0.001 * slice_takes_ms
            return world.now_s

        async def others():
            while True:
                turns.append(None)
                await asyncio.sleep(0)

        world.clock = clock
        world.one._step = lambda step, _partition: at_sends.append(len(turns)) if step == "send" else None
        await world.one.join()
        task = asyncio.create_task(others())
        await asyncio.sleep(0)
        await world.one.apply(10)  # up to the loan, which moves the score
        task.cancel()
        assert len(set(at_sends)) == (3 if slice_takes_ms else 1)
        await world.settle(world.one)

    run(make_lazy_world(resident_max=2), scenario)


def test_a_flush_gives_others_their_turn(make_lazy_world):
    """A slice a value: with 2 values dirty, the loop turns between them."""

    async def scenario(world):
        turns = []

        async def others():
            while True:
                turns.append(time.monotonic())
                await asyncio.sleep(0)

        await world.one.join()
        await world.one.apply(8)
        task = asyncio.create_task(others())
        await asyncio.sleep(0)
        at_slices = []
        world.one.before("slice", lambda: at_slices.append(len(turns)), nth=1)
        await world.one.flush()
        at_slices.append(len(turns))
        task.cancel()
        assert at_slices[1] >= at_slices[0] + 2

    run(make_lazy_world(resident_max=2), scenario)
