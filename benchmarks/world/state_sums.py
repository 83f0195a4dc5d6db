"""Sums over the state in Redis: outcomes of records, closed days, indicators with a value."""

from collections import Counter

import numpy as np

from config.settings import Settings
from detectors.snapshot import Snapshot
from features.indicators import CORE_COUNT, INDICATOR_COUNT, core, nulls
from features.indicators.windows import SUMS_MAX
from features.state.transitions import history_days, time_of
from kernels.decorators import allocating_kernel
from sinks.redis_store import connect, stored_values
from streams.score.partition import Partition

OUTCOMES = ("applied", "duplicate", "conflict", "late")


def state_sums(settings: Settings) -> dict[str, int]:
    """Return the sums over all enterprises in Redis."""
    total: Counter[str] = Counter()
    for number in range(settings.kafka.log_partitions):
        total.update(partition_sums(restored(settings, number)))
    return dict(total)


def restored(settings: Settings, number: int) -> Partition:
    """Return a partition with all of its enterprises in memory. Raise LookupError where a listed one has no value."""
    with connect(settings.redis.url, 60.0) as client:
        stored = dict(stored_values(client, settings.redis.key_prefix, number))
    held = {name: value for name, value in stored.items() if value is not None}
    if missing := stored.keys() - held:
        raise LookupError(f"partition {number}: {min(missing)} is listed and has no value")
    memory = Partition(number, _no_model, names=[name.encode() for name in held])
    memory.residents.restore(np.arange(len(held), dtype=np.int32), list(held), list(held.values()))
    return memory


def partition_sums(memory: Partition) -> dict[str, int]:
    """Return the sums of one partition."""
    used = len(memory.residents)  # nobody was evicted, so they stand in the first rows
    rows = memory.state[:used]
    sums = {name: int(rows[f"{name}_count"].sum()) for name in OUTCOMES}
    known = rows["closed_day"] > 0
    non_null = int(_non_null(memory.state, used))
    return sums | {
        "enterprises": used,
        "closed_days": int(rows["closed_day"][known].sum(dtype=np.int64)),
        "cells": used * CORE_COUNT,
        "non_null_cells": non_null,
    }


@allocating_kernel
def _non_null(state, used):
    """Return the number of core indicators with a value, each enterprise at its own time."""
    sums = np.zeros(SUMS_MAX, np.int64)
    value, null, found = np.zeros(INDICATOR_COUNT), np.zeros(INDICATOR_COUNT, np.uint8), 0
    for s in range(used):
        e = state[s]
        core.read(e, time_of(e), history_days(e), value, null, sums)
        found += np.count_nonzero(null[:CORE_COUNT] == nulls.VALUE)
    return found


def _no_model(model_id: str) -> Snapshot:
    raise LookupError(model_id)
