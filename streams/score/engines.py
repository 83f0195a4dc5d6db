"""The engine of a partition: the one that wrote its state, until a control record hands it to another.

Two engines make other outputs of the same records, so none goes on with what another began
(docs/adr/0048-one-engine-a-partition.md).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from domain.events import Control
from domain.topics import EVENTS
from streams.score.partition import ENGINE_ACTION, EngineVersionChanged, PartitionState
from streams.score.version import engine_version


class EnginesDiffer(Exception):
    """A partition is another engine's; the message says which one's, and what to do."""

    def __init__(self, engine: str, what: str) -> None:
        super().__init__(what)
        self.engine = engine


class EngineRecords(NamedTuple):
    """Records of `control.v1` on engines: which one is named last, and which records were taken back.

    A record is taken back by any later one that names this engine. On a log that is only appended to, that holds for
    ever: whatever is read of it later, an engine never ends where it has passed over.
    """

    newest: str | None
    taken_back: frozenset[str]


NO_RECORDS = EngineRecords(None, frozenset())


def records_of(controls: Sequence[Control]) -> EngineRecords:
    """Return what control records, in the order of `control.v1`, say of engines."""
    named = [one for one in controls if one.action == ENGINE_ACTION]
    ours = [one.artefact_id == engine_version() for one in named]
    until = max((place for place, is_ours in enumerate(ours) if is_ours), default=0)
    others = (one.control_id for one, is_ours in zip(named[:until], ours, strict=False) if not is_ours)
    return EngineRecords(named[-1].artefact_id if named else None, frozenset(others))


def is_ours(state: PartitionState | None) -> bool:
    """Return whether this engine may claim a partition: its own, one that was handed to it, or nobody's."""
    return state is None or state.engine_version in ("", engine_version()) or state.next_engine == engine_version()


def demand_ours(partition: int, state: PartitionState | None) -> None:
    """Raise EnginesDiffer where another engine wrote the state, and no control record has handed it to this one."""
    if state is None or is_ours(state):
        return
    theirs, ours = state.engine_version, engine_version()
    stands = f"{EVENTS}[{partition}] stands at offset {state.low_offset} under engine {theirs}"
    if state.next_engine:
        raise EnginesDiffer(
            state.next_engine,
            f"{stands}, and goes on under {state.next_engine}; this is {ours}: start {state.next_engine}, or run "
            f"`xinliu engine activate` with {theirs} and start that again",
        )
    raise EnginesDiffer(
        theirs,
        f"{stands}, this is {ours}: run `xinliu engine activate` with this program, and let workers of "
        f"{theirs} read up to that record; they stop there by themselves",
    )


def demand_a_part(states: Mapping[int, PartitionState]) -> None:
    """Raise EnginesDiffer where partitions are another engine's, and none is this one's yet.

    A worker in the group keeps partitions from those that may have them. Where some are another's and some this one's,
    which no upgrade by the book leaves behind, each engine has to read its own to their ends, alone in the group.
    """
    ours = engine_version()
    if any(state.engine_version == ours and not state.next_engine for state in states.values()):
        return
    for partition, state in sorted(states.items()):
        demand_ours(partition, state)


def demand_some_left(partitions: Collection[int], next_engines: Collection[str]) -> None:
    """Raise EngineVersionChanged where each of some partitions goes on under another engine (empty: it does not)."""
    ours = engine_version()
    if next_engines and all(one not in ("", ours) for one in next_engines):
        whose = ", ".join(sorted(set(next_engines)))
        raise EngineVersionChanged(
            f"{EVENTS}{sorted(partitions)} goes on under engine {whose}, this is {ours}: start workers of {whose}"
        )


def taken(state: PartitionState, *, newest: str | None) -> PartitionState:
    """Return a state as this engine goes on with it.

    One of its own that it has handed on stays so, unless the newest record that names an engine names this one.
    """
    if state.engine_version == engine_version() and state.next_engine and newest != engine_version():
        return state
    return msgspec.structs.replace(state, engine_version=engine_version(), next_engine="")
