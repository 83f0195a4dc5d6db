"""The commit protocol under faults that chance picks: seeded walks of two workers, their Redis and their network."""

import collections
import random

import pytest

from tests.streams.score.protocol import aside, crash, run
from tests.streams.score.proxy import Proxy

WALKS, STEPS = 24, 40
STEP_NAMES = ("own", "claim", "load", "fetch", "apply", "send", "drain", "slice", "evict", "state")
WEIGHTS = {
    "apply": 12, "zombie_applies": 3, "flush": 8, "zombie_flushes": 3, "look": 3, "look_on": 5, "land": 3, "crash": 2,
    "rebalance": 2, "zombie_ends": 2, "copy": 3, "go_back": 2, "lose": 1, "cut": 3, "interrupt": 4,
}  # fmt: skip


class Walk:
    """One walk: `owner` has the partition, `other` may be a zombie that does not know it."""

    def __init__(self, world, proxy, rnd):
        self.world, self.proxy, self.rnd = world, proxy, rnd
        self.owner, self.other = world.one, world.two
        self.copies = []
        self.did = collections.Counter()

    async def __call__(self, world):
        await self.owner.join()
        for step in self.rnd.choices(list(WEIGHTS), list(WEIGHTS.values()), k=STEPS):
            self.did[step] += 1
            await getattr(self, step)()
            await self.supervise()
            world.judge_redis()
        world.judge_outputs()
        self.proxy.cut = ""
        for worker in (world.one, world.two):
            worker.undisturbed()
        if self.other.role is not None:
            await self.other.leave()
        await self.supervise()
        await world.settle(self.owner)

    async def supervise(self):
        """A process that has ended is started again."""
        while self.owner.role is None:
            await self.owner.join()

    def anyone(self):
        return self.rnd.choice([w for w in (self.owner, self.other) if w.role is not None])

    async def apply(self):
        await self.owner.apply(self.rnd.randint(1, 6))

    async def zombie_applies(self):
        await self.other.apply(self.rnd.randint(1, 6))

    async def flush(self):
        await self.owner.flush()

    async def look(self):
        """A flush is due: it waits for what is on its way, while other steps come."""
        await self.owner.look()

    async def look_on(self):
        """As look, and Redis may still write when other steps come."""
        await self.owner.look(settles=False)

    async def zombie_flushes(self):
        if self.other.role is not None:
            await self.other.flush()

    async def land(self):
        self.anyone().land(self.rnd.randint(1, 3))

    async def crash(self):
        self.anyone().crash()

    async def rebalance(self):
        self.owner, self.other = self.other, self.owner
        await self.owner.join()

    async def zombie_ends(self):
        if self.other.role is not None:
            await self.other.leave()

    async def copy(self):
        self.copies = [*self.copies, self.world.copy()][-3:]

    async def go_back(self):
        """A lost tail, a backup, a failover: an older Redis, whichever history it is from."""
        if self.copies:
            self.world.restore(self.rnd.choice(self.copies))

    async def lose(self):
        self.anyone().lose()

    async def cut(self):
        self.proxy.cut = self.rnd.choice(["before", "after"])

    async def interrupt(self):
        """One of the owner's next steps is preceded by an accident."""
        copy = self.rnd.choice(self.copies) if self.copies else {}
        accidents = [crash, lambda: self.world.restore(copy)]
        if (other := self.other).role is not None:
            accidents.append(lambda: other.is_idle and aside(other.flush()))
        self.owner.before(self.rnd.choice(STEP_NAMES), self.rnd.choice(accidents), nth=self.rnd.randint(1, 3))


@pytest.mark.parametrize("number", range(WALKS))
def test_fault_21_22_26_38_44_45_46_a_walk_ends_as_a_clean_run(make_lazy_world, redis_url, seed, fault, number):
    """Three of four walks with one enterprise in memory."""
    proxy = Proxy(redis_url)
    world = make_lazy_world(via=proxy.url, resident_max=1 if number % 4 else 2)
    walk = Walk(world, proxy, random.Random(seed))
    try:
        run(world, walk)
    finally:
        print(f"seed {seed}", dict(walk.did), f"interrupts {world.injected}, transactions cut {proxy.cuts}")
        proxy.close()
    assert number % 4 == 0 or (world.steps["evict"] and world.steps["fetch"])
    fault(injected=sum(walk.did.values()), observed="values, outputs and ledger of a clean run")
