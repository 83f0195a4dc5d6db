"""Look enterprises up by id, from any process beside the workers: typed indicators, a thousand in one round trip.

    with Lookup.connected(settings) as lookup:
        for answer in lookup.read(ids):
            match answer:
                case Features():
                    answer.score, answer.indicators["op_inflow_30d_cny"]
                case Unknown() | Unreadable():
                    ...

An id is looked for where Kafka's partitioner places its records. Of each partition all comes from one moment, at most
one flush old; each value is evaluated at its enterprise's own time (`as_of_ms`), under the model and rules that the
partition's state names. Nothing is written. The first call after an upgrade compiles for a while.
"""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from config.settings import Settings
from detectors.prior import prior_id
from detectors.rules.artefact import RuleSet, packaged_rules
from detectors.scorecard import GRADES, STATUS_NAMES, STATUS_REASONS, displayed, grade_of, scorecard
from detectors.snapshot import Snapshot
from features import values
from features.layout import LayoutError, Rows
from features.values import Value
from sinks.client import client_settings
from sinks.partitioner import partitions_of
from sinks.redis_store import Fence, Stored, opened, read_stored
from streams import artefacts
from streams.earlier_score import EarlierScore
from streams.score.explain import Explanation, explain
from streams.score.partition import Engine, PartitionState, engine_of
from streams.score.reevaluation import readings, reevaluate

IDS_A_ROUND_TRIP_MAX = 1_000
_ENGINES_MAX = 8  # models and rules that partitions may be under at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Null:
    """An indicator that has no value, and why: it is not applicable, or what it lacks."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """One enterprise at its own time. `epoch` and `flush_number` name the content of Redis that it was read from."""

    enterprise_id: str
    partition: int
    epoch: int
    flush_number: int
    applied_offset: int  # of the newest record of events.v1 that is in it
    as_of_ms: int
    score: int
    score_milli: int
    status: str
    status_reason: str
    grade: str
    published_grade: str
    provisional_calendar: bool  # the score counts business days of a year whose holidays are not published
    model_id: str
    rules_id: str
    indicators: Mapping[str, float | Null]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Redis holds no value of this id in the partition where its records would be."""

    enterprise_id: str
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Redis holds a value that is of another layout version or damaged.

    `why` names the enterprise and what is wrong.
    """

    enterprise_id: str
    partition: int
    why: str


Answer = Features | Unknown | Unreadable


class Lookup:
    """Reads enterprises that score has written. `snapshot_of` brings a model by its content id, `rules_of` rules."""

    def __init__(
        self,
        client: Any,
        prefix: str,
        partitions: int,
        snapshot_of: Callable[[str], Snapshot],
        rules_of: Callable[[str], RuleSet],
    ) -> None:
        self._client, self._prefix, self._partitions = client, prefix, partitions
        self._snapshot_of = functools.lru_cache(_ENGINES_MAX)(snapshot_of)
        self._rules_of = functools.lru_cache(_ENGINES_MAX)(rules_of)
        self._engine = functools.lru_cache(_ENGINES_MAX)(self._made_engine)

    @classmethod
    def connected(cls, settings: Settings) -> Self:
        """Connect with the workers' settings. Raise redis' errors where it does not answer."""
        source = settings.kafka.bootstrap, client_settings(settings.kafka)
        return cls(
            opened(settings.redis),
            settings.redis.key_prefix,
            settings.kafka.log_partitions,
            functools.partial(artefacts.snapshot_of, *source),
            functools.partial(artefacts.rules_of, *source),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def read(self, ids: Sequence[str]) -> list[Answer]:
        """Return an answer for each id, in their order; one round trip for each thousand.

        Raise redis' errors where it does not answer, ArtefactMissing or SnapshotError where the model in force cannot
        be read.
        """
        answers: list[Answer] = []
        for first in range(0, len(ids), IDS_A_ROUND_TRIP_MAX):
            some = ids[first : first + IDS_A_ROUND_TRIP_MAX]
            found = {one.enterprise_id: one for p, stored in self._stored(some).items() for one in self._of(p, stored)}
            answers += [found[name] for name in some]
        return answers

    def explain(
        self, enterprise_id: str, before: EarlierScore | None = None, bank_id: str | None = None
    ) -> tuple[int, Explanation] | Unknown | Unreadable:
        """Return an enterprise's partition and everything about its score, also how it has moved since `before`.

        bank_id: whose case is explained; None: the supervisor's. Raise the errors of `read`, and NoLender where that
        bank has no loan to it.
        """
        ((partition, stored),) = self._stored([enterprise_id]).items()
        value = stored.values[enterprise_id]
        if value is None:
            return Unknown(enterprise_id=enterprise_id, partition=partition)
        saved = _saved(stored)
        snapshot, rules = self._snapshot_of(saved.model_id), self._rules_of(saved.rules_id)
        earlier = None if before is None else (before, self._snapshot_of(before.model_id))
        try:
            return partition, explain(enterprise_id, value, saved, snapshot, rules, earlier, bank_id)
        except LayoutError as error:
            return Unreadable(enterprise_id=enterprise_id, partition=partition, why=str(error))

    def _stored(self, ids: Sequence[str]) -> dict[int, Stored]:
        """Return the values of some ids in Redis, by partition."""
        wanted: dict[int, list[str]] = defaultdict(list)
        names = list(dict.fromkeys(ids))
        placed = partitions_of([name.encode() for name in names], self._partitions)
        for name, partition in zip(names, placed.tolist(), strict=True):
            wanted[partition].append(name)
        return read_stored(self._client, self._prefix, wanted)

    def _of(self, partition: int, stored: Stored) -> Iterator[Answer]:
        """Yield the answers of one partition."""
        there: dict[str, Value] = {}
        for name, value in stored.values.items():
            if value is None:
                yield Unknown(enterprise_id=name, partition=partition)
            else:
                there[name] = value
        names, rows, refused = _decoded(there)
        for name, why in refused.items():
            yield Unreadable(enterprise_id=name, partition=partition, why=why)
        if names:
            yield from self._features(partition, stored, names, rows)

    def _features(self, partition: int, stored: Stored, names: Sequence[str], rows: Rows) -> Iterator[Features]:
        fence, saved = stored.fence or Fence(-1, 0), _saved(stored)  # -1: no owner's
        engine = self._engine(saved.model_id, saved.rules_id, saved.model_changed_day)
        for name, row, x in zip(names, rows, reevaluate(rows, engine), strict=True):
            score_milli = int(x["score_milli"])
            yield Features(
                enterprise_id=name,
                partition=partition,
                epoch=fence.epoch,
                flush_number=fence.number,
                applied_offset=int(row["applied_offset"]),
                as_of_ms=int(x["as_of_ms"]),
                score=int(displayed(score_milli)),
                score_milli=score_milli,
                status=STATUS_NAMES[x["status"]],
                status_reason=STATUS_REASONS[x["status_reason"]],
                grade=GRADES[grade_of(score_milli)],
                published_grade=GRADES[x["published_grade"]],
                provisional_calendar=bool(x["provisional_calendar"]),
                model_id=saved.model_id or prior_id(),
                rules_id=saved.rules_id or packaged_rules().id,
                indicators={r.id: Null(why=r.null) if r.value is None else r.value for r in readings(x)},
            )

    def _made_engine(self, model_id: str, rules_id: str, model_changed_day: int) -> Engine:
        return engine_of(scorecard(self._snapshot_of(model_id)), self._rules_of(rules_id), model_changed_day)


def _decoded(there: Mapping[str, Value]) -> tuple[list[str], Rows, dict[str, str]]:
    """Return the ids of the values that can be read, their rows, and by id why the others cannot.

    One bad value hides no other.
    """
    refused: dict[str, str] = {}
    try:
        return list(there), values.rows_of(list(there), list(there.values())), refused
    except LayoutError:
        for name, value in there.items():
            try:
                values.rows_of([name], [value])
            except LayoutError as error:
                refused[name] = str(error)
    left = {name: value for name, value in there.items() if name not in refused}
    return list(left), values.rows_of(list(left), list(left.values())), refused


def _saved(stored: Stored) -> PartitionState:
    """Return the partition's state; the initial one where values were flushed before it was first saved."""
    return msgspec.json.decode(stored.state, type=PartitionState) if stored.state else PartitionState(low_offset=0)
