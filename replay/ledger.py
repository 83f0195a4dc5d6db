"""The ledger: recounts the log, and compares it with what Redis and the committed offsets say of it.

Every record that was read is somewhere, once: one of a bank in `events.v1`, folded into a tick (a receipt), in `dlq.v1`
or, unread, in a batch of `quarantine.v1` that its feed has skipped; a request of learn on `control.v1`, in `dlq.v1` or
in such a batch; one of `events.v1`, below its partition's low
offset, in a count of its enterprise (applied, duplicate, conflict, late) or of its partition (ticks, controls,
unreadable). Counted over distinct coordinates, so that what a restart wrote twice counts once. An enterprise's value
says up to which offset it counts: the check is exact also while workers run, and after a flush that a kill cut short.
"""

import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from confluent_kafka.admin import OffsetSpec

from config.settings import KafkaSettings, Settings
from domain import topics
from domain.calendar import DAY_MS
from domain.events import SCHEMA, Control, LogRecord, Outcome, Tick
from domain.outputs import ActivationRequest, DeadLetter, QuarantinedBatch
from domain.reject import Reason
from replay.chunks import read_chunks
from replay.offsets import Offsets, Place
from replay.reading import Read, read_topics
from sinks.redis_store import partition_state, stored_rows
from sinks.retriable import ANSWER_S
from streams.control_log import control_of
from streams.model_activation import is_granted
from streams.model_history import ModelHistory, decisions
from streams.score.partition import PartitionState
from streams.score.rows import CASE_REASONS
from streams.topics import table

OUTCOMES = ("applied", "duplicate", "late", "conflict", "refused")
_NAMED_MAX = 5
_HEADER = ("schema", SCHEMA.encode())
_decode_request = msgspec.json.Decoder(ActivationRequest).decode


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Two counts of the same thing, taken at different places: `left` from the log, `right` as somebody says."""

    where: str = ""
    what: str
    left: int
    right: int
    note: str = ""

    @property
    def holds(self) -> bool:
        return self.left == self.right


class InputCount(msgspec.Struct, frozen=True, kw_only=True):
    """One partition that ingest reads, from where dead letters reach back to, to the offset that it has committed."""

    topic: str
    partition: int
    first_offset: int
    consumed: int
    accepted: int  # distinct origins in events.v1; of model.request.v1, requests that control.v1 grants
    receipts: int
    dead_lettered: dict[str, int]  # distinct records, by reason
    quarantined: int  # offsets of batches that cannot be read and were skipped

    def check(self) -> Check:
        """Compare what was consumed with what became of it."""
        return Check(
            where=f"{self.topic}[{self.partition}]",
            what="consumed = accepted + receipts + dead-lettered + quarantined",
            left=self.consumed,
            right=self.accepted + self.receipts + sum(self.dead_lettered.values()) + self.quarantined,
        )


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was counted and compared."""

    inputs: list[InputCount]
    checks: list[Check]
    notes: list[str]  # what could not be compared, and why

    @property
    def balanced(self) -> bool:
        """Whether all checks hold."""
        return all(check.holds for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One partition in Redis. `counts`: outcomes of each enterprise; `applied`: the offset they reach to."""

    state: PartitionState
    counts: Mapping[str, Mapping[str, int]]
    applied: Mapping[str, int]

    def total(self, outcome: str) -> int:
        """Return one outcome, over all enterprises."""
        return sum(counts[outcome] for counts in self.counts.values())


@dataclass(slots=True)
class PartitionCount:
    """The contents of one partition of the log; `counted` and `missing` as far as a `Stored` says what to count."""

    first_offset: int = -1
    records: int = 0
    ticks: int = 0
    controls: int = 0
    unreadable: int = 0
    counted: Counter[str] = field(default_factory=Counter)  # by enterprise, up to its applied offset
    missing: Counter[str] = field(default_factory=Counter)  # by enterprise: below the low offset, past the applied one


@dataclass(slots=True)
class LogCount:
    """The contents of `events.v1`."""

    partitions: dict[int, PartitionCount] = field(default_factory=lambda: defaultdict(PartitionCount))
    records: int = 0
    barriers: int = 0
    unreadable: int = 0
    origins: dict[Place, "array[int]"] = field(default_factory=lambda: defaultdict(lambda: array("q")))
    outcomes: set[int] = field(default_factory=set)  # offsets in `control.v1` of those from operators

    def accepted(self, place: Place) -> npt.NDArray[np.int64]:
        """Return the distinct offsets of an input partition that are in the log, ascending."""
        return np.unique(np.frombuffer(self.origins[place], np.int64)) if place in self.origins else np.empty(0, int)

    @property
    def repeats(self) -> int:
        """Records of enterprises beyond the first of their origin."""
        distinct = sum(len(self.accepted(place)) for place in list(self.origins) if place[0] != topics.CONTROL)
        return self.records - self.barriers - self.unreadable - distinct - len(self.outcomes)


Letters = dict[Place, dict[int, str]]  # where a record came from: its offset, and why it was not applied


def take_stock(settings: Settings, redis: Any | None) -> Ledger:
    """Recount everything. LayoutError, KafkaException, redis' errors, or ReadingFailed where a topic is not readable.

    Without `redis`, only the inputs are compared with the log. Redis is read first, then committed offsets, then the
    topics: what is counted is never behind what it is held to.
    """
    kafka = settings.kafka
    partitions = range(kafka.log_partitions if redis is not None else 0)
    stored = {p: found for p in partitions if (found := _stored(redis, settings, p)) is not None}
    offsets = Offsets(kafka)
    names = [
        *(topics.bank_events(bank.bank_id) for bank in settings.banks),
        topics.GATEWAY,
        topics.DESK,
        topics.CONTROL,
        topics.MODEL_REQUEST,
    ]
    committed = offsets.committed("ingest", offsets.partitions(names), wait_s=ANSWER_S)
    ends = offsets.ends(offsets.partitions([topics.EVENTS]))
    log, letters = count_log(kafka, stored), read_letters(kafka)
    checks: list[Check] = []
    notes: list[str] = []
    for p, said in sorted(stored.items()):
        checks += _partition_checks(p, log.partitions[p], said, ends.get((topics.EVENTS, p), 0))
        checks += _letter_checks(p, said, letters)
    cut = {p: count.first_offset for p, count in sorted(log.partitions.items()) if count.first_offset > 0}
    notes += [f"{topics.EVENTS}[{p}] reaches back to offset {first:,} only" for p, first in cut.items()]
    inputs = count_inputs(kafka, committed, log, letters)
    if cut:
        notes.append("what was accepted of the banks' records is not compared: their part of the log is gone")
    else:
        checks += [count.check() for count in inputs]
    return Ledger(inputs=inputs, checks=checks, notes=notes)


def count_log(
    kafka: KafkaSettings,
    stored: Mapping[int, Stored] | None = None,
    also: Callable[[LogRecord], None] | None = None,
) -> LogCount:
    """Read the whole log; with `stored`, count what Redis should hold. `also` gets every record that is readable."""
    decode = msgspec.json.Decoder(LogRecord).decode
    count = LogCount()
    for read in read_topics(kafka, [topics.EVENTS]):
        at = count.partitions[read.partition]
        at.first_offset = read.offset if at.first_offset < 0 else at.first_offset
        said = stored.get(read.partition) if stored else None
        below = said is not None and read.offset < said.state.low_offset
        count.records += 1
        at.records += below
        record = _readable(decode, read)
        if record is None:
            count.unreadable += 1
            at.unreadable += below
            continue
        event = record.event
        if record.origin is not None and not isinstance(event, Tick):
            topic, partition, offset = record.origin
            count.origins[topic, partition].append(offset)
            if isinstance(event, Outcome):
                count.outcomes.add(offset)
        if isinstance(event, Tick | Control):
            count.barriers += 1
            at.ticks += below and isinstance(event, Tick)
            at.controls += below and isinstance(event, Control)
        elif said is not None:
            name = event.enterprise_id
            if read.offset <= said.applied.get(name, -1):
                at.counted[name] += 1
            elif below:
                at.missing[name] += 1
        if also is not None:
            also(record)
    return count


def read_letters(kafka: KafkaSettings) -> Letters:
    """Distinct letters of `dlq.v1` and `late.v1` by the coordinates of their records."""
    decode = msgspec.json.Decoder(DeadLetter).decode
    found: Letters = defaultdict(dict)
    for read in read_topics(kafka, [topics.DEAD_LETTERS, topics.LATE]):
        letter = decode(read.value or b"")
        found[letter.topic, letter.partition].setdefault(letter.offset, letter.reason)
    return found


def reasons(letters: Letters, topic: str) -> Counter[str]:
    """Dead letters of one topic's records, by reason."""
    return Counter(reason for place, by_offset in letters.items() if place[0] == topic for reason in by_offset.values())


def read_spans(kafka: KafkaSettings) -> dict[Place, list[tuple[int, int]]]:
    """Return the offsets [begin, end), ascending, of batches that were quarantined, as they or operators say it."""
    found: dict[Place, set[tuple[int, int]]] = defaultdict(set)
    decode_batch = msgspec.json.Decoder(QuarantinedBatch).decode
    for read in read_topics(kafka, [topics.QUARANTINE]):
        batch = decode_batch(read.value or b"")
        if batch.next_offset is not None:
            found[batch.topic, batch.partition].add((batch.offset, batch.next_offset))
    for read in read_topics(kafka, [topics.CONTROL]):
        said = control_of(read.value)
        if said is not None and said.action == "feed_skip" and said.topic is not None:
            found[said.topic, said.partition or 0].add((said.offset or 0, said.next_offset or 0))
    return {place: sorted(spans) for place, spans in found.items()}


def count_inputs(kafka: KafkaSettings, upto: Mapping[Place, int], log: LogCount, letters: Letters) -> list[InputCount]:
    """Return what became of the records of each input partition below `upto`."""
    begins = _begins(kafka, upto)
    spans = {
        place: _unread(found, log.accepted(place), letters.get(place, {}), begins[place], upto[place])
        for place, found in read_spans(kafka).items()
        if place in upto
    }
    seen: dict[Place, array[int]] = {place: array("q") for place in upto}
    receipts, granted = Counter[Place](), Counter[Place]()
    decode = msgspec.json.Decoder(_Typed).decode
    has_requests = any(topic == topics.MODEL_REQUEST for topic, _ in upto)
    said = _said_of_models(kafka) if has_requests else ModelHistory()
    for chunk in read_chunks(kafka, begins, upto, spans):
        place = chunk.topic, chunk.partition
        offsets = chunk.offset.tolist()
        seen[place].extend(offsets)
        for i, offset in enumerate(offsets):
            if offset in letters.get(place, {}):
                continue
            if chunk.topic == topics.MODEL_REQUEST:
                granted[place] += _is_granted(said, chunk.value(i))
            else:
                receipts[place] += _is_receipt(decode, chunk.value(i))
    counts = []
    for place, end in sorted(upto.items()):
        first = min([*seen[place][:1], *(begin for begin, _ in spans.get(place, ())), end])
        quarantined = sum(after - begin for begin, after in spans.get(place, ()))
        accepted = log.accepted(place)
        counts.append(
            InputCount(
                topic=place[0],
                partition=place[1],
                first_offset=first,
                consumed=len(seen[place]) + quarantined,
                accepted=int(np.count_nonzero((accepted >= first) & (accepted < end))) + granted[place],
                receipts=receipts[place],
                dead_lettered=dict(
                    sorted(Counter(why for at, why in letters.get(place, {}).items() if first <= at < end).items())
                ),
                quarantined=quarantined,
            )
        )
    return counts


def _unread(
    spans: Iterable[tuple[int, int]], accepted: npt.NDArray[np.int64], letters: Mapping[int, str], first: int, end: int
) -> list[tuple[int, int]]:
    """Return the spans in [first, end), none over another, but for batches that were read after all.

    Of those, something is in the log or in `dlq.v1`.
    """
    found: list[tuple[int, int]] = []
    for begin, after in spans:
        read = np.count_nonzero((accepted >= begin) & (accepted < after)) or any(begin <= at < after for at in letters)
        begin, after = max(begin, first, *(end for _, end in found[-1:])), min(after, end)
        if not read and begin < after:
            found.append((begin, after))
    return found


def _begins(kafka: KafkaSettings, upto: Mapping[Place, int]) -> dict[Place, int]:
    """Return where counting begins: what is older than dead letters are kept has none any more, though it may be there.

    The broker stamps the records of all these topics.
    """
    offsets, kept_days = Offsets(kafka), {row["name"]: row["retention_days"] for row in table()["topics"]}
    fates = (topics.DEAD_LETTERS, topics.QUARANTINE, topics.LATE)
    bounds = [kept_days[name] for name in fates if kept_days[name] >= 0]
    if not bounds:
        return offsets.ends(upto, OffsetSpec.earliest())
    since_ms = int(time.time() * 1_000) - min(bounds) * DAY_MS
    begins = offsets.ends(upto, OffsetSpec.for_timestamp(since_ms))
    return {place: upto[place] if begin < 0 else begin for place, begin in begins.items()}


class _Typed(msgspec.Struct, frozen=True):
    type: str = ""


def _is_receipt(decode: Callable[[bytes], _Typed], value: bytes | None) -> bool:
    try:
        return decode(value or b"").type == "receipt"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _said_of_models(kafka: KafkaSettings) -> ModelHistory:
    read = read_topics(kafka, [topics.CONTROL])
    return ModelHistory().with_said(decisions((one.value, one.offset, 0) for one in read))


def _is_granted(said: ModelHistory, value: bytes | None) -> bool:
    """Return whether a request of learn is granted; ingest dead-letters one that it cannot read."""
    try:
        return is_granted(said, _decode_request(value or b""))
    except (ValueError, RecursionError):
        return False


def _readable(decode: Callable[[bytes], LogRecord], read: Read) -> LogRecord | None:
    """Return the record as score reads it; None where score dead-letters it."""
    if _HEADER not in read.headers:
        return None
    try:
        return decode(read.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _stored(redis: Any, settings: Settings, partition: int) -> Stored | None:
    """Return the state of a partition in Redis, None where there is none. The state is read before the values."""
    prefix = settings.redis.key_prefix
    state = partition_state(redis, prefix, partition)
    if state is None:
        return None
    counts, applied = {}, {}
    for names, rows in stored_rows(redis, prefix, partition):  # of one that lacks its value, the records are missing
        for name, row in zip(names, rows, strict=True):
            counts[name] = {outcome: int(row[f"{outcome}_count"]) for outcome in OUTCOMES}
            applied[name] = int(row["applied_offset"])
    return Stored(state=msgspec.json.decode(state, type=PartitionState), counts=counts, applied=applied)


def _partition_checks(p: int, count: PartitionCount, said: Stored, end: int) -> Iterator[Check]:
    where = f"{topics.EVENTS}[{p}]"
    state = said.state
    outcomes = sum(said.total(outcome) for outcome in OUTCOMES)
    of_enterprises = count.counted.total() + count.missing.total()
    yield Check(
        where=where,
        what="the low offset lies in the log",
        left=min(max(state.low_offset, count.first_offset), end),
        right=state.low_offset,
    )
    if count.first_offset > 0:  # the first records are gone, but each of them was counted
        barriers = count.ticks + count.controls + count.unreadable
        yield Check(
            where=where,
            what="records (those that are gone too) = outcomes, ticks, controls, unreadable",
            left=count.first_offset + of_enterprises + barriers,
            right=outcomes + state.ticks_count + state.controls_count + state.dead_letters_count,
        )
        return
    differing = sorted(
        name
        for name in count.counted.keys() | count.missing.keys() | said.counts.keys()
        if count.counted[name] + count.missing[name] != sum(said.counts.get(name, {}).values())
    )
    yield Check(
        where=where,
        what="records of enterprises = applied + duplicate + conflict + late + refused",
        left=of_enterprises,
        right=outcomes,
        note=_named(differing),
    )
    yield Check(
        where=where, what="enterprises whose count differs", left=0, right=len(differing), note=_named(differing)
    )
    for what, left, right in (
        ("ticks", count.ticks, state.ticks_count),
        ("controls", count.controls, state.controls_count),
        ("unreadable", count.unreadable, state.dead_letters_count),
    ):
        yield Check(where=where, what=what, left=left, right=right)


def _letter_checks(p: int, said: Stored, letters: Letters) -> Iterator[Check]:
    """Conflicts, late records and refused actions lie in their topics.

    What was sent, and not yet counted, leaves room between two.
    """
    low, where = said.state.low_offset, f"{topics.EVENTS}[{p}]"
    for outcome, reasons, topic in (
        ("conflict", (Reason.CONFLICT,), topics.DEAD_LETTERS),
        ("late", (Reason.LATE,), topics.LATE),
        ("refused", CASE_REASONS, topics.DEAD_LETTERS),
    ):
        at = [offset for offset, why in letters.get((topics.EVENTS, p), {}).items() if why in reasons]
        counted = said.total(outcome)
        least = sum(offset < low for offset in at)
        yield Check(
            where=where,
            what=f"{outcome} = its letters in {topic}",
            left=min(max(counted, least), len(at)),
            right=counted,
        )


def _named(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
