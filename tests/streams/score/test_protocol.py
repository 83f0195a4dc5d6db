"""Each counterexample of the protocol's model, played on real Redis and Kafka; and the same with a line left out.

A model of the protocol was searched over all interleavings (docs/adr/0006-commit-protocol.md): each line has a variant
that leaves it out, and a shortest trace to what then goes wrong. Here the trace is a scenario. The engine must come
through it equal to a clean run, and where the line can be taken out from outside (`BROKEN`), the judge must see it:
a scenario that nothing can fail proves nothing.

    model's variant                                        scenario                            line taken out
    reads are not fenced (at a load)                       redis_goes_back_between_claim_and_load   reads
    reads are not fenced (after an eviction)               redis_goes_back_before_a_lazy_read  lazy_reads
    reads are not fenced; a zombie's write survives        a_zombie_reads_what_redis_then_loses     zombie_reads
    re-assert with the number read back                    redis_goes_back_and_forth           number_read_back
    only transactions look at epoch and number             redis_goes_back_under_an_idle_owner no_look
    number moved once a flush, not by each slice           redis_goes_back_between_slices      number_by_flush
    no flush number                                        redis_goes_back_between_slices      no_number
    no fence                                               a_zombie_flushes                    no_fence
    epoch kept in Redis only                               two_owners_of_an_empty_redis        epoch_in_redis
    a lower epoch than Redis's gives up                    outbid_but_assigned                 gives_up
    takeover loads before it claims                        flush_during_a_takeover             load_first
    value flushed before its outputs are acknowledged      crash_after_a_flush                 no_drain
    low offset before dead letters are acknowledged        crash_after_a_flush                 no_drain
    value as it is when its outputs are acknowledged       crash_after_what_came_while_a_flush_waited  taken_late
    outputs after a failed delivery may land               an_output_is_lost                   gaps
    barriers saved as of the position                      crash_before_the_state              barriers_of_position
    replay skipped by de-duplication alone                 crash_before_the_state              skip_by_dedup
    a conflict leaves the applied offset                   crash_before_the_state              conflict_stays
    ledger in the partition state                          crash_before_the_state              conflict_stays
    restart from Kafka's committed offset                  redis_goes_back_and_the_worker_ends committed_offset
    a close leaves the applied offset                      crash_before_the_state              (1)
    low offset passes an unfinished sweep                  crash_within_a_sweep                half_a_sweep
    barriers saved in the middle of a batch                crash_before_the_state              state_in_mid_batch
    cold outside hot's transaction; sleepers' history      (2)
    score.v1 compacted                                     test_score_is_not_compacted

Each scenario runs with both enterprises in memory, and with one at a time, so that each record evicts and reads.

(1) the engine's closed day protects it a second time: nothing to see. (2) one value has both parts; nobody sleeps, as
whoever is not in memory is read for a close.
"""

import contextlib
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import msgspec
import pytest

from features import values
from features.values import Value
from sinks.redis_store import Fence, Outbid, PartitionStore
from streams.score.owned_partition import OwnedPartition
from streams.score.partition import Partition, PartitionState
from streams.score.role import Score
from tests.streams.score import scenarios as traces
from tests.streams.score.protocol import Network, Worker, run

# What a broken engine does instead


@contextlib.contextmanager
def _instead(owner, name, make):
    real = getattr(owner, name)
    with mock.patch.object(owner, name, make(real)):
        yield


def _unfenced(_real):
    def require(self, held):
        return None

    return require


def _read_whoever_owns_it(real):
    def read(self, names):
        ours = self._fence
        epoch, number = self._client.get(f"{self._base}:e").split()
        self._fence = Fence(int(epoch), int(number))
        try:
            return real(self, names)
        finally:
            self._fence = ours

    return read


def _number_read_back(real):
    def claim(self, epoch, demand):
        held = self._client.get(f"{self._base}:e")
        if held is not None and int(held.split()[0]) == epoch:
            self._number_tried = int(held.split()[1]) - 1
        return real(self, epoch, demand)

    return claim


def _number_stays(when):
    def make(real):
        def write(self, values, state=None):
            if when(state):
                self._number_tried -= 1
            real(self, values, state)

        return write

    return make


def _no_fence(real):
    return lambda self, epoch, _permit, queue: real(self, epoch, lambda _held, _pipe: None, queue)


def _epoch_in_redis(real):
    def load(self):
        held = self._store._client.get(f"{self._store._base}:e")
        self.epoch = int(held.split()[0]) + 1 if held else 1
        return real(self)

    return load


def _gives_up(real):
    def drop(self, tp, why):
        real(self, tp, why)
        if isinstance(why, Outbid):
            self._held[tp].retry_at_s = float("inf")

    return drop


def _load_first(_real):
    def load(self):
        store = self._store
        stored = store._client.get(f"{store._base}:p")
        state = msgspec.json.decode(stored, type=PartitionState) if stored else None
        names = sorted(store._client.smembers(f"{store._base}:i"))
        held = {}
        for name in (name.decode() for name in names):
            held[name] = Value(*store._client.mget(f"{store._base}:h:{name}", f"{store._base}:c:{name}"))
        self._step("claim", self.number)
        store.claim(self.epoch)
        self.memory = Partition(
            self.number, self._snapshot_of, state, names=names, fetch=lambda names: [held[name] for name in names]
        )
        self._low_offset = self.memory.low_offset
        return True

    return load


def _barriers_of_position(real):
    async def write(self, taken):
        early = msgspec.structs.replace(taken.state, low_offset=self._low_offset)
        self._store.write((), msgspec.json.encode(early))
        return await real(self, taken)

    return write


def _taken_late(real):
    async def write(self, taken):
        await real(self, taken)
        return await real(self, await self.take(1))

    return write


def _state_in_mid_batch(real):
    async def make_room(self, tp, memory):
        await real(self, tp, memory)
        self._held[tp]._store.write((), msgspec.json.encode(memory.saved))

    return make_room


def _restored_as(offset_of):
    def make(real):
        def restore(state, arena, slots, names, stored):
            real(state, arena, slots, names, stored)
            for slot in slots:
                state["applied_offset"][slot] = offset_of(int(state["applied_offset"][slot]))

        return restore

    return make


def _half_a_sweep(real):
    return lambda self, chunk, numbers, sweep: real(self, chunk, numbers[:1], sweep)


def _committed_offset(real):
    async def join(self):
        await real(self)
        self.position = max(self.position, self.world.committed)

    return join


# What the judge must say where a line is taken out.
NOT_A_FOLD = "is not the clean fold"
ANOTHER_OUTPUT = "differs from the clean run's"
TOO_FAR = r"low offset \d+, but \S+ is at \d+"
WITHOUT_A_VALUE = r"low offset \d+, but Redis has no"
STUCK = "stuck at"
NOT_LANDED = "due outputs of .* have landed"
A_GAP = "lands, 0 never did"
ANOTHER_LEDGER = "the state has another ticks_count"


class Broken(NamedTuple):
    """A line taken out: the trace, what is changed of the engine, and what the judge says then."""

    scenario: Callable
    said: str
    changes: list[tuple[object, str, Callable]]


BROKEN = {
    "reads": Broken(
        traces.redis_goes_back_between_claim_and_load, NOT_A_FOLD, [(PartitionStore, "_require", _unfenced)]
    ),
    "lazy_reads": Broken(
        traces.redis_goes_back_before_a_lazy_read, ANOTHER_OUTPUT, [(PartitionStore, "read", _read_whoever_owns_it)]
    ),
    "zombie_reads": Broken(
        traces.a_zombie_reads_what_redis_then_loses, TOO_FAR, [(PartitionStore, "read", _read_whoever_owns_it)]
    ),
    "number_read_back": Broken(
        traces.redis_goes_back_and_forth, TOO_FAR, [(PartitionStore, "claim", _number_read_back)]
    ),
    "no_look": Broken(
        traces.redis_goes_back_under_an_idle_owner, STUCK, [(PartitionStore, "check", lambda _: lambda self: None)]
    ),
    "number_by_flush": Broken(
        traces.redis_goes_back_between_slices,
        WITHOUT_A_VALUE,
        [(PartitionStore, "write", _number_stays(lambda state: state is None))],
    ),
    "no_number": Broken(
        traces.redis_goes_back_between_slices,
        WITHOUT_A_VALUE,
        [(PartitionStore, "write", _number_stays(lambda state: True))],
    ),
    "no_fence": Broken(
        traces.a_zombie_flushes,
        NOT_A_FOLD,
        [(PartitionStore, "_transact", _no_fence), (PartitionStore, "_require", _unfenced)],
    ),
    "epoch_in_redis": Broken(traces.two_owners_of_an_empty_redis, TOO_FAR, [(OwnedPartition, "load", _epoch_in_redis)]),
    "gives_up": Broken(traces.outbid_but_assigned, STUCK, [(Score, "_drop", _gives_up)]),
    "load_first": Broken(traces.flush_during_a_takeover, TOO_FAR, [(OwnedPartition, "load", _load_first)]),
    "no_drain": Broken(
        traces.crash_after_a_flush,
        NOT_LANDED,
        [
            (Network, "drain", lambda _: lambda self: None),
            (Network, "is_acknowledged", lambda _: lambda self, mark: True),
        ],
    ),
    "taken_late": Broken(
        traces.crash_after_what_came_while_a_flush_waited, NOT_LANDED, [(OwnedPartition, "write", _taken_late)]
    ),
    "gaps": Broken(traces.an_output_is_lost, A_GAP, [(Network, "gapless", lambda _: False)]),
    "barriers_of_position": Broken(
        traces.crash_before_the_state, ANOTHER_LEDGER, [(OwnedPartition, "write", _barriers_of_position)]
    ),
    "state_in_mid_batch": Broken(
        traces.crash_before_the_state, ANOTHER_LEDGER, [(Score, "_make_room", _state_in_mid_batch)]
    ),
    "skip_by_dedup": Broken(
        traces.crash_before_the_state, NOT_A_FOLD, [(values, "restore", _restored_as(lambda _offset: -1))]
    ),
    "conflict_stays": Broken(
        traces.crash_before_the_state,
        NOT_A_FOLD,
        [(values, "restore", _restored_as(lambda offset: offset - (offset == traces.CONFLICT)))],
    ),
    "committed_offset": Broken(
        traces.redis_goes_back_and_the_worker_ends, NOT_A_FOLD, [(Worker, "join", _committed_offset)]
    ),
    "half_a_sweep": Broken(traces.crash_within_a_sweep, NOT_A_FOLD, [(Partition, "_sweep", _half_a_sweep)]),
}
# Where each record evicts, so much is flushed so early that these traces do not come about.
BOTH_IN_MEMORY = ("number_read_back", "epoch_in_redis", "gaps", "taken_late")
SCENARIOS = [traces.clean, *dict.fromkeys(broken.scenario for broken in BROKEN.values())]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda f: f.__name__)
def test_the_engine_comes_through_as_a_clean_run(world, scenario):
    run(world, scenario)
    assert world.injected or scenario is traces.clean


@pytest.mark.parametrize("line", BROKEN)
def test_without_this_line_the_judge_sees_it(make_lazy_world, line):
    world = make_lazy_world(resident_max=2 if line in BOTH_IN_MEMORY else 1)
    with contextlib.ExitStack() as stack:
        for change in BROKEN[line].changes:
            stack.enter_context(_instead(*change))
        with pytest.raises(AssertionError, match=BROKEN[line].said):
            run(world, BROKEN[line].scenario)
