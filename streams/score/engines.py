"""The engine that a partition belongs to: the one that wrote its state, until a control record hands it to another.

Two engines make other outputs of the same records, so none goes on with what another began
(docs/adr/0048-one-engine-a-partition.md).
"""

from collections.abc import Mapping

import msgspec

from domain.topics import EVENTS
from streams.score.partition import EngineVersionChanged, PartitionState
from streams.score.version import engine_version

ENGINE_ACTION = "engine_version"  # of control records that name an engine


class EnginesDiffer(Exception):
    """A partition is another engine's; the message says which one's, and what to do."""


def demand_ours(partition: int, state: PartitionState | None) -> None:
    """Raise EnginesDiffer where another engine wrote the state, and no control record has handed it to this one."""
    ours = engine_version()
    if state is None or state.engine_version in ("", ours) or state.next_engine == ours:
        return
    stands = f"{EVENTS}[{partition}] stands at offset {state.low_offset} under engine {state.engine_version}"
    if state.next_engine:
        raise EnginesDiffer(
            f"{stands}, and goes on under {state.next_engine}; this is {ours}: start {state.next_engine}, or run "
            f"`xinliu engine activate` with {state.engine_version} and start that again"
        )
    raise EnginesDiffer(
        f"{stands}, this is {ours}: run `xinliu engine activate` with this program, and let workers of "
        f"{state.engine_version} read up to that record; they stop there by themselves"
    )


def demand_some_left(next_engines: Mapping[int, str]) -> None:
    """Raise EngineVersionChanged where each of some partitions goes on under another engine (empty: it does not)."""
    ours = engine_version()
    if next_engines and all(one not in ("", ours) for one in next_engines.values()):
        whose = ", ".join(sorted(set(next_engines.values())))
        raise EngineVersionChanged(
            f"{EVENTS}{sorted(next_engines)} goes on under engine {whose}, this is {ours}: start workers of {whose}"
        )


def taken(state: PartitionState) -> PartitionState:
    """Return a state as that of this engine."""
    return msgspec.structs.replace(state, engine_version=engine_version(), next_engine="")
