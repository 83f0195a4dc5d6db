"""A world of banks, one consumer group and several real ingest roles, each step chosen by a seed.

Each process is an `Ingest` role with an event loop of its own, on a client library that the scheduler drives
(client.py). It may fall behind, be killed, or stand still (SIGSTOP) between any two of its calls to the broker, and go
on as a zombie that does not know that it was expelled; fetches, answers, records, words and commits are under way for
any time, and each broker node answers when it likes. The order of the steps is a function of the seed.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from config.settings import Bank, Settings
from domain import topics
from domain.events import LogRecord, Tick
from streams.ingest.role import Ingest
from streams.ingest.tick_writer import NotTheWriter
from streams.transport.chunk import chunk_of
from streams.worker.role import TP, RoleContext
from tests.streams.ingest.kit import HEADERS
from tests.streams.ingest.sim.banks import Banks, Delivered
from tests.streams.ingest.sim.client import Killed, Sender, SimKafka
from tests.streams.ingest.sim.group import Group

FETCH_RECORDS_MAX = 12
PAUSE_PROBABILITY, PAUSE_STEPS_MAX = 0.003, 60  # of a call to the broker; how many steps of the others it lasts
NODE_SPEED = 2.0
STEP_MS = 30

Choices = list[tuple[float, Callable[[], None]]]
_decoded = msgspec.json.Decoder(LogRecord).decode


@dataclass(eq=False)
class Asked:
    """A question for the ends of feeds: each node answers when it likes, for its own."""

    answer: asyncio.Future[Mapping[TP, int]]
    nodes: dict[int, list[TP]]  # that have not answered yet
    ends: dict[TP, int] = field(default_factory=dict)


@dataclass(eq=False)
class Process:
    """The role, what this process believes of the group and the logs, and what is under way to it."""

    role: Ingest
    loop: asyncio.AbstractEventLoop
    senders: list[Sender]
    generation: int = -1
    positions: dict[TP, int] = field(default_factory=dict)
    fetched: dict[TP, int] = field(default_factory=dict)  # next offset to fetch
    ends: dict[TP, int] = field(default_factory=dict)  # as the last answer said
    node_of: dict[TP, int] = field(default_factory=dict)
    answers: dict[int, dict[TP, tuple[int, int, list[Delivered]]]] = field(default_factory=dict)  # one a node
    chunks: deque[tuple[TP, int, list[Delivered]]] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    alive: bool = True
    still: bool = False  # stopped by SIGSTOP

    def progress(self, tp: TP) -> tuple[int, int | None]:
        return self.positions.get(tp, 0), self.ends.get(tp)

    def flying(self) -> list[tuple[Sender, str]]:
        """The records under way to topics."""
        return [(one, topic) for one in self.senders for topic, left in one.flying.items() if left]

    def begin(self, starts: Mapping[TP, int]) -> None:
        """Drop everything under way."""
        self.positions, self.fetched, self.ends = dict(starts), dict(starts), {}
        self.answers.clear()
        self.chunks.clear()


class World:
    """Run `walk`, then `finish`, then look at `log`; `close` at last."""

    def __init__(self, settings: Settings, kafka: SimKafka, *, banks: int, processes: int, ahead_days: int) -> None:
        self._kafka, self._rng = kafka, kafka.rng
        kafka.stand_still, kafka.made = self._stand_still, self._made
        self.banks = Banks(self._rng, banks, ahead_days)
        rows = tuple(Bank(bank_id=bank_id, name_zh="示例", deadline_hours=12) for bank_id in self.banks.ids)
        self._settings = msgspec.structs.replace(settings, banks=rows)
        self._delivered = self.banks.delivered
        self.group = Group(self._rng, self._delivered)
        self._node_speeds = NODE_SPEED, self._rng.choice((NODE_SPEED, NODE_SPEED, NODE_SPEED / 40))
        self._nodes = {tp: self._rng.randrange(len(self._node_speeds)) for tp in self._delivered}
        self.happened: Counter[str] = Counter()
        self._processes: list[Process] = []
        self._running: Process | None = None
        self._inside = False  # in the middle of a call of one that stands still
        self._ending = False
        self._events: list[Any] = []  # of the log, as far as it has been looked at
        for _ in range(processes):
            self.group.join(self._start())

    def walk(self, steps: int) -> None:
        """Steps, deliveries and faults."""
        for _ in range(steps):
            self._step(self._choices() + self._faults())

    def finish(self, steps_max: int = 20_000) -> None:
        """No more of them: in the end all is read, committed and told by a tick; AssertionError where it is not."""
        self._ending, self._node_speeds = True, (NODE_SPEED, NODE_SPEED)
        for _ in range(steps_max):
            self._step(self._choices() + self._ends_of_faults(1.0))
            if self._is_done():
                return
        ends = {tp.topic: (self.group.committed.get(tp, 0), len(log)) for tp, log in self._delivered.items()}
        raise AssertionError(f"it comes to no end: committed and end {ends}, last tick {self._ticks()[-1:]}")

    def log(self) -> list[Any]:
        """The events of the log, in its order."""
        new = self._kafka.logs[topics.EVENTS][len(self._events) :]
        self._events += [_decoded(entry.value() or b"").event for entry in new]
        return self._events

    def known(self) -> set[str]:
        """The enterprises that ingest knows, by their topic."""
        return {(entry.key() or b"").decode() for entry in self._kafka.logs[topics.ENTERPRISE]}

    def close(self) -> None:
        """End all loops."""
        for one in self._processes:
            for task in asyncio.all_tasks(one.loop):
                task.cancel()
            one.loop.run_until_complete(one.loop.shutdown_default_executor())
            one.loop.close()

    # Processes

    def _start(self) -> Process:
        role = Ingest(self._settings, clock=lambda: self._kafka.now_ms / 1000)
        one = Process(role, asyncio.new_event_loop(), [])
        context = RoleContext(
            position=one.progress,
            end_offsets=lambda tps: self._ask_ends(one, tps),
            generation=lambda: one.generation,
        )
        self._processes.append(one)
        self._run(one, role.start(context))
        return one

    async def _ask_ends(self, one: Process, tps: Iterable[TP]) -> Mapping[TP, int]:
        answer: asyncio.Future[Mapping[TP, int]] = asyncio.get_running_loop().create_future()
        nodes = {node: [tp for tp in tps if self._nodes[tp] == node] for node in range(len(self._node_speeds))}
        one.asked.append(Asked(answer, nodes))
        return await answer

    def _run(self, one: Process, step: Coroutine[Any, Any, Any]) -> None:
        """A step of a process, in its loop; its end, where it ends by that."""
        before, self._running = self._running, one
        failed: list[BaseException] = []

        def run() -> None:
            try:
                one.loop.run_until_complete(step)
                one.loop.run_until_complete(asyncio.sleep(0))
            except BaseException as error:  # noqa: BLE001  raised again below
                failed.append(error)

        if before is None:
            run()
        else:  # in the middle of another's call: that one's loop is running in this thread
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        self._running = before
        if failed and not isinstance(failed[0], NotTheWriter | Killed):
            raise failed[0]
        if failed and isinstance(failed[0], NotTheWriter):
            one.alive = False
            self.happened["refused as writer"] += 1

    def _made(self, sender: Sender) -> None:
        if self._running is not None:
            self._running.senders.append(sender)

    def _stand_still(self) -> None:
        """Somewhere in a call to the broker: now and then the others go on a while before it does."""
        one, happened = self._running, self.happened
        if one is None or self._inside or self._ending or self._rng.random() > PAUSE_PROBABILITY:
            return
        happened["stood still in a call"] += 1
        self._inside, one.still = True, True
        for _ in range(self._rng.randint(1, PAUSE_STEPS_MAX)):
            self._step(self._choices() + self._faults())
        self._inside, one.still = False, False
        if not one.alive:
            raise Killed

    # What happens next

    def _step(self, choices: Choices) -> None:
        self._kafka.now_ms += STEP_MS
        self.group.deal()
        if choices:
            (chosen,) = self._rng.choices([step for _, step in choices], [weight for weight, _ in choices])
            chosen()

    def _choices(self) -> Choices:
        """The next possible steps of the running processes, and their likelihood."""
        found: Choices = []
        for one in self._processes:
            if one.alive and not one.still:
                found += self._choices_of(one)
        if sum(one.alive for one in self._processes) < 2:
            found.append((0.2, lambda: self.group.join(self._start())))
        return found

    def _choices_of(self, one: Process) -> Choices:
        group = self.group
        if one in group.to_assign and not group.rebalancing:
            return [(3.0, lambda: self._assign(one))]
        found: Choices = []
        if one in group.to_revoke:
            found.append((1.0, lambda: (group.to_revoke.remove(one), self._give_back(one))))
        if one.flying():
            found.append((3.0, lambda: self._land(one)))
        if one not in group.members and one not in group.waiting:
            found.append((0.5, lambda: self._notice(one)))
        if not one.positions:
            return found
        for node in sorted(set(one.node_of.values())):
            step = self._hear_node if node in one.answers else self._ask_node
            found.append((self._node_speeds[node], lambda node=node, step=step: step(one, node)))
        if one.chunks:
            found.append((3.0, lambda: self._apply(one)))
        if one.asked:
            found.append((2.0, lambda: self._answer(one)))
        found.append((2.0, lambda: self._run(one, one.role.tick())))
        found.append((1.0, lambda: self._commit(one)))
        return found

    def _faults(self) -> Choices:
        """Start and end faults, and deliver the banks' records."""
        found = self._ends_of_faults(0.05)
        found += [(1.0, lambda tp=tp: self.banks.deliver(tp)) for tp in self.banks.ready()]
        for one in self._processes:
            if one.alive and (self._inside or not one.still):
                found.append((0.01, lambda one=one: self._kill(one)))
            if one.alive and not one.still:
                found.append((0.02, lambda one=one: self._stop(one)))
        return found

    def _ends_of_faults(self, weight: float) -> Choices:
        """Ends of faults: a paused process goes on, or its session ends; a dead one is expelled, or replaced."""
        found: Choices = []
        group = self.group
        for one in self._processes:
            if one.alive and one.still and not self._inside:
                found.append((weight, lambda one=one: self._wake(one)))
            if (one.still or not one.alive) and one in group.members:
                found.append((weight, lambda one=one: self._expel(one)))
                if not one.alive and not group.rebalancing and one.positions and one not in group.to_assign:
                    found.append((weight, lambda one=one: self._replace(one)))
        return found

    def _kill(self, one: Process) -> None:
        """Kill the process; some of its records in flight still land."""
        one.alive = False
        for sender, topic in one.flying():
            sender.land(topic, self._rng.randint(0, len(sender.flying[topic])))
        self.happened["killed"] += 1

    def _stop(self, one: Process) -> None:
        one.still = True
        self.happened["stopped"] += 1

    def _wake(self, one: Process) -> None:
        one.still = False
        self.happened["woken"] += 1

    def _expel(self, one: Process) -> None:
        self.group.expel(one)
        self.happened["expelled"] += 1

    def _replace(self, one: Process) -> None:
        new = self._start()
        if one not in self.group.members:  # expelled while the new one stood still in a call
            self.group.join(new)
            return
        self.group.replace(one, new, one.positions)
        self.happened["started again in its place"] += 1

    # What a process does, as streams.worker.worker has it

    def _assign(self, one: Process) -> None:
        starts = self.group.assigned(one)
        self._run(one, one.role.assigned(set(starts)))
        one.begin(starts)
        one.node_of = {tp: self._nodes[tp] for tp in starts}

    def _give_back(self, one: Process) -> None:
        before = {tp: one.role.low_offset(tp) for tp in one.positions}
        self._run(one, one.role.revoked(set(one.positions)))
        if one.alive:
            after = {tp: one.role.low_offset(tp) for tp in one.positions}
            self.group.commit(one, {tp: before[tp] if low is None else low for tp, low in after.items()})
            one.begin({})

    def _notice(self, one: Process) -> None:
        """Let an expelled process learn of it, and join again."""
        self._give_back(one)
        if one.alive:
            self.group.join(one)

    def _ask_node(self, one: Process, node: int) -> None:
        """A fetch is answered with what is there; the answer is under way."""
        one.answers[node] = {
            tp: (start, len(log), log[start : start + self._rng.randint(1, FETCH_RECORDS_MAX)])
            for tp, start in one.fetched.items()
            if one.node_of[tp] == node and tp not in one.role.paused and (log := self._delivered[tp]) is not None
        }

    def _hear_node(self, one: Process, node: int) -> None:
        for tp, (start, end, records) in one.answers.pop(node).items():
            one.ends[tp] = end
            if records:
                one.chunks.append((tp, start, records))
                one.fetched[tp] = start + len(records)

    def _apply(self, one: Process) -> None:
        tp, start, records = one.chunks.popleft()
        rows = [(None, record.value, HEADERS, record.newest_ms) for record in records]
        self._run(one, one.role.apply(tp, chunk_of(tp.topic, 0, start, rows)))
        one.positions[tp] = start + len(records)

    def _land(self, one: Process) -> None:
        sender, topic = self._rng.choice(one.flying())
        sender.land(topic, self._rng.randint(1, len(sender.flying[topic])))

    def _answer(self, one: Process) -> None:
        """One node looks where its feeds end; the last one's answer is that to the question."""
        asked = one.asked[0]
        tps = asked.nodes.pop(self._rng.choice(list(asked.nodes)))
        asked.ends |= {tp: len(self._delivered[tp]) for tp in tps}
        if asked.nodes:
            return
        one.asked.pop(0)
        if not asked.answer.done():  # it is dropped where the feeds were given back
            asked.answer.set_result(asked.ends)

    def _commit(self, one: Process) -> None:
        self.group.commit(one, {tp: one.role.low_offset(tp) for tp in one.positions})

    def _is_done(self) -> bool:
        if any(self.group.committed.get(tp, 0) < len(log) for tp, log in self._delivered.items()):
            return False
        ticks = self._ticks()
        covered = {bank_id: feed.covered_up_to for bank_id, feed in ticks[-1].feeds.items()} if ticks else {}
        return covered == self.banks.last_days() and ticks[-1].up_to >= self.banks.newest_ms

    def _ticks(self) -> list[Tick]:
        return [event for event in self.log() if isinstance(event, Tick)]
