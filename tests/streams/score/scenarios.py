"""Traces of the protocol's model as steps of a world: test_protocol.py plays each, and names its line."""

from tests.streams.score.protocol import aside, crash

CONFLICT = 11  # the offset of the conflict in a world's log


async def clean(world):
    await world.one.join()
    await world.settle(world.one)


async def redis_goes_back_between_claim_and_load(world):
    await world.one.join()
    await world.one.apply(8)
    await world.one.flush()
    older = world.copy()
    await world.one.apply(12)
    await world.one.flush()
    world.one.crash()
    world.two.before("load", lambda: world.restore(older))
    await world.two.join()
    await world.settle(world.two)


async def redis_goes_back_before_a_lazy_read(world):
    """Fault 44: what the next record needs was flushed and evicted, and Redis has lost that."""
    await world.one.join()
    await world.one.apply(4)
    await world.one.flush()
    older = world.copy()
    await world.one.apply(11)
    await world.one.flush()
    world.restore(older)
    world.injected += 1
    await world.one.apply(3)
    world.judge_redis()
    world.judge_outputs()
    await world.settle(world.one)


async def a_zombie_reads_what_redis_then_loses(world):
    """Fault 46: it needs an enterprise that it had evicted, and reads what the new owner made of it."""
    await world.one.join()
    await world.one.apply(7)
    await world.one.flush()
    before_two = world.copy()
    await world.two.join()
    await world.two.apply(12)
    await world.two.flush()
    world.now_s -= 10.0  # a flush of its own is not due yet
    await world.one.apply(1)  # of the one that it has evicted
    world.restore(before_two)
    world.injected += 1
    await world.one.flush()
    world.judge_redis()
    world.judge_outputs()
    await world.one.leave()
    await world.settle(world.two)


async def redis_goes_back_and_forth(world):
    await world.one.join()
    before = world.copy()
    other = {}

    def lose_the_tail():
        other.update(world.copy())
        world.restore(before)

    await world.one.apply(3)
    world.one.before("slice", lose_the_tail, nth=2)
    await world.one.flush()
    await world.one.flush()
    await world.one.apply(8)
    world.one.before("slice", lambda: world.restore(other), nth=2)  # an older copy with, perhaps, the same number
    await world.one.flush()
    world.judge_redis()
    await world.settle(world.one)


async def redis_goes_back_under_an_idle_owner(world):
    await world.one.join()
    await world.one.apply(8)
    await world.one.flush()
    older = world.copy()
    while await world.one.apply(8):
        await world.one.flush()
    world.restore(older)
    world.injected += 1
    await world.settle(world.one)


async def redis_goes_back_between_slices(world):
    await world.one.join()
    before = world.copy()
    await world.one.apply(8)
    world.one.before("state", lambda: world.restore(before))
    await world.one.flush()
    world.judge_redis()
    await world.settle(world.one)


async def a_zombie_flushes(world):
    await world.one.join()
    await world.one.apply(8)
    await world.two.join()
    await world.two.apply(20)
    await world.two.flush()
    world.injected += 1
    world.one.before("state", crash)  # it should not get so far
    await world.one.flush()
    world.judge_redis()
    await world.one.apply(5)
    await world.one.leave()
    await world.settle(world.two)


async def two_owners_of_an_empty_redis(world):
    await world.one.join()
    await world.one.apply(8)
    await world.one.flush()
    world.restore({})
    world.injected += 1
    await world.two.join()
    await world.two.apply(3)
    await world.two.flush()
    await world.one.apply(1)
    await world.one.flush()
    world.judge_redis()
    await world.one.leave()
    await world.settle(world.two)


async def outbid_but_assigned(world):
    world.one.before("claim", lambda: aside(world.two.join()))
    await world.one.join()
    assert not world.one.runs
    await world.two.leave()
    await world.settle(world.one)


async def flush_during_a_takeover(world):
    await world.one.join()
    await world.one.apply(8)
    await world.one.flush()
    await world.one.apply(12)
    world.two.before("claim", lambda: aside(world.one.flush()))
    await world.two.join()
    world.one.crash()
    world.two.before("state", crash)
    await world.two.apply(3)
    await world.two.flush()
    world.judge_redis()
    await world.two.join()
    await world.settle(world.two)


async def crash_after_a_flush(world):
    await world.one.join()
    await world.one.apply(13)  # with a conflict, whose dead letter is the last output before the tick's
    await world.one.look()
    await world.one.look()
    world.judge_outputs()
    world.injected += 1
    world.one.crash()
    await world.two.join()
    await world.settle(world.two)


async def crash_after_what_came_while_a_flush_waited(world):
    """Outputs of what was taken land; those of what was applied since do not."""
    await world.one.join()
    await world.one.apply(6)
    await world.one.look()
    said = len(world.one.role._outbox.waiting)
    await world.one.apply(7)
    world.one.land(said)
    await world.one.look(later_s=0.0)
    world.judge_redis()
    world.judge_outputs()
    world.injected += 1
    world.one.crash()
    await world.two.join()
    await world.settle(world.two)


async def an_output_is_lost(world):
    await world.one.join()
    await world.one.apply(8)
    world.injected += 1
    world.one.lose()
    await world.one.flush()
    await world.one.apply(8)
    await world.settle(world.one)


async def crash_before_the_state(world):
    """With a tick, a switch and a conflict between the low offset and what the values hold."""
    await world.one.join()
    await world.one.apply(6)
    await world.one.flush()
    await world.one.apply(CONFLICT + 1 - 6)
    world.one.before("state", crash)
    await world.one.flush()
    assert world.one.role is None
    await world.one.join()
    await world.one.apply(9)
    await world.one.flush()
    await world.one.apply(5)
    world.one.before("state", crash)
    await world.one.flush()
    await world.two.join()
    await world.settle(world.two)


async def crash_within_a_sweep(world):
    await world.one.join()
    await world.one.apply(17)
    await world.one.flush()
    world.one.before("send", crash, nth=2)  # the tick's first close is on its way, its second is not
    await world.one.apply(1)
    world.one.undisturbed()
    if world.one.role is None:
        await world.one.join()
    await world.settle(world.one)


async def redis_goes_back_and_the_worker_ends(world):
    await world.one.join()
    await world.one.apply(8)
    await world.one.flush()
    older = world.copy()
    await world.one.apply(12)
    await world.one.flush()
    world.restore(older)
    world.injected += 1
    world.one.crash()
    await world.two.join()
    await world.settle(world.two)
