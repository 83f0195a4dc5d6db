"""What the values in Redis say: how records ended, how many days were closed, how many indicators have a value."""

from collections import Counter

import numpy as np
from numba import njit

from config.settings import Settings
from detectors.snapshot import Snapshot
from features.indicators import CORE_COUNT, core
from features.redis_store import connect, stored_values
from streams.score.changes import history_days, time_of
from streams.score.partition import Partition

OUTCOMES = ("applied", "duplicate", "conflict", "late")


def survey(settings: Settings) -> dict[str, int]:
    """Sums over all enterprises, as Redis has them."""
    total: Counter[str] = Counter()
    for number in range(settings.kafka.log_partitions):
        total.update(of_partition(restored(settings, number)))
    return dict(total)


def restored(settings: Settings, number: int) -> Partition:
    """A partition with all of its enterprises in memory, for reading."""
    memory = Partition(number, _no_model)
    with connect(settings.redis.url, 60.0) as client:
        for name, value in stored_values(client, settings.redis.key_prefix, number):
            if value is None:
                raise LookupError(f"partition {number}: {name} is listed and has no value")
            memory.restore(name, value)
    return memory


def of_partition(memory: Partition) -> dict[str, int]:
    """The sums of one partition."""
    rows = memory.state[: memory.used]
    sums = {name: int(rows[f"{name}_count"].sum()) for name in OUTCOMES}
    known = rows["closed_day"] > 0
    non_null = int(_non_null(memory.state, memory.used))
    return sums | {
        "enterprises": memory.used,
        "closed_days": int(rows["closed_day"][known].sum(dtype=np.int64)),
        "cells": memory.used * CORE_COUNT,
        "non_null_cells": non_null,
    }


@njit(cache=True)
def _non_null(state, used):
    """Core indicators with a value, each enterprise at its own time."""
    value, null, found = np.zeros(CORE_COUNT), np.zeros(CORE_COUNT, np.uint8), 0
    for s in range(used):
        e = state[s]
        core.read(e, time_of(e), history_days(e), value, null)
        found += np.count_nonzero(null == core.VALUE)
    return found


def _no_model(model_id: str) -> Snapshot:
    raise LookupError(model_id)
