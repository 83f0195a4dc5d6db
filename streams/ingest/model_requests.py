"""Learn's requests for the activation of a model: each is granted by a control record, or dead-lettered with why.

Learn may not write `control.v1`. Ingest may, and grants nothing on learn's word alone: it reads the same three topics
as learn and the operators (streams/model_history.py), and all decide one at a time (streams/model_decisions.py).
A worker that ends between any two steps is met with the same request again, and finds its control record.

What has to be read is read in a thread, and what comes meanwhile is not fetched: no feed waits for a model. Whatever
stands in learn's topics, it ends no worker: a request that cannot be judged is refused.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import ParamSpec, TypeVar

import msgspec
from confluent_kafka import KafkaException

from config.settings import Settings
from domain import topics
from domain.calendar import EVENT_TIME_MS_MIN, day_of, month_of_day
from domain.events import EVENT_BYTES_MAX, SCHEMA
from domain.outputs import ActivationRequest
from domain.reject import Reason, Rejected
from domain.validate import headers_fault
from sinks.artefacts import ArtefactMissing
from sinks.client import client_settings
from sinks.kafka import MarkedOutbox
from streams.control_log import READ_S_MAX
from streams.dead_letters import dead_letter, unreadable
from streams.ingest.forwarding import Outcome, schema_of
from streams.ingest.quarantine import Quarantine
from streams.model_activation import activation, is_granted, overtaken, refusal
from streams.model_decisions import Contended, Deciding
from streams.model_history import ModelHistory, read_history, read_said
from streams.transport import Chunk, UnreadableBatch
from streams.transport.chunk import Row
from streams.worker.role import TP

log = logging.getLogger(__name__)

REQUESTS = TP(topics.MODEL_REQUEST, 0)
AT_ONCE = 500  # records that are answered in one go
AGAIN_S = 3.0  # after an attempt that has failed, and after a grant
_FAILURES = (KafkaException, ArtefactMissing, Contended, OSError)  # of Kafka, of time, or of this machine: all pass
P = ParamSpec("P")
T = TypeVar("T")
_decode = msgspec.json.Decoder(ActivationRequest).decode


class ModelRequests:
    """The requests that this worker has read. Call `settle` often.

    counts: requests by outcome, "forwarded" for those that are granted.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[Outcome] = Counter()
        self._settings, self._clock = settings, clock
        self._chunks: deque[Chunk] = deque()
        self._unreadable: UnreadableBatch | None = None  # what comes after them
        self._answering: asyncio.Task[list[Rejected | None]] | None = None
        self._is_old = False  # what is being answered was read before `begin`
        self._position: int | None = None  # next offset to answer
        self._rewind: int | None = None
        self._again_s = -1.0

    @property
    def is_paused(self) -> bool:
        """Whether no more are to be fetched: some wait for their answer."""
        return bool(self._chunks) or self._unreadable is not None

    @property
    def held(self) -> int:
        """Number of requests that wait for their answer."""
        return sum(map(len, self._chunks))

    def begin(self) -> None:
        """Forget all: the partition is assigned anew."""
        self._chunks.clear()
        self._is_old = self._answering is not None
        self._unreadable = self._position = self._rewind = None

    def take(self, chunk: Chunk) -> None:
        """Take in requests."""
        self._chunks.append(chunk)

    def unreadable(self, batch: UnreadableBatch) -> None:
        """Take in a batch that cannot be read. Raise it where nobody can say where it ends."""
        if batch.next_offset is None:
            raise batch
        self._unreadable = batch

    def rewinds(self) -> Mapping[TP, int]:
        """Return where the partition goes on behind a batch that cannot be read, once."""
        rewind, self._rewind = self._rewind, None
        return {} if rewind is None else {REQUESTS: rewind}

    def low_offset(self, out: MarkedOutbox) -> int | None:
        """Return the offset before which each request is granted, or its dead letter acknowledged."""
        lowest = out.lowest_open(REQUESTS)
        return self._position if lowest is None or self._position is None else min(lowest, self._position)

    def settle(self, out: MarkedOutbox, quarantine: Quarantine) -> None:
        """Send the dead letters of what is refused, and begin to answer what comes next. Waits for nothing.

        A batch that cannot be read is quarantined and passed over: whoever holds learn's password must not stop ingest.
        """
        if self._answering is not None and self._answering.done():
            task, self._answering, is_old, self._is_old = self._answering, None, self._is_old, False
            try:
                answers = task.result()
            except _FAILURES as error:
                log.warning("a request of learn waits, to be tried again: %s", error)
                self._again_s = self._clock() + AGAIN_S
            else:
                if not is_old:
                    self._take_answers(out, answers)
        if self._answering is None and self._chunks and self._clock() >= self._again_s:
            rows = self._chunks[0].rows(range(min(AT_ONCE, len(self._chunks[0]))))
            self._answering = asyncio.create_task(asyncio.to_thread(answered, self._settings, rows))
        batch = None if self._chunks else self._unreadable
        if batch is not None and quarantine.keep(out, REQUESTS, batch):
            self._unreadable, self._position, self._rewind = None, batch.next_offset, batch.next_offset

    async def close(self) -> None:
        """Wait for what is being answered."""
        if self._answering is not None:
            await asyncio.wait([self._answering])

    def _take_answers(self, out: MarkedOutbox, answers: Sequence[Rejected | None]) -> None:
        chunk = self._chunks.popleft()
        for i, answer in enumerate(answers):
            if answer is not None:
                dead_letter(out, chunk, i, answer)
            self.counts["forwarded" if answer is None else answer.reason.value] += 1
        if None in answers:  # a decision fences whoever decides at the moment: operators get their turn
            self._again_s = self._clock() + AGAIN_S
        if len(answers) < len(chunk):
            self._chunks.appendleft(rest := chunk.part(len(answers), len(chunk)))
            self._position = rest.start_offset
        else:
            self._position = chunk.next_offset


def answered(settings: Settings, rows: Sequence[Row]) -> list[Rejected | None]:
    """Return the answers to requests, in their order, up to the first that is granted now: None, or why it is refused.

    Raise KafkaException, ArtefactMissing or ReadTimeout where the broker does not answer, Contended where an operator
    decides at this moment, and OSError of the machine: the same requests may be answered again.
    """
    found: list[Rejected | None] = []
    asked = [_guarded(_request, row) for row in rows]
    history = _guarded(_history, settings, *(one for one in asked if isinstance(one, ActivationRequest)))
    if isinstance(history, Rejected) and len(rows) > 1:
        return answered(settings, rows[: len(rows) // 2])  # one that cannot be read of refuses no other
    for row, one in zip(rows, asked, strict=True):
        if isinstance(one, Rejected):
            found.append(one)
        elif isinstance(history, Rejected):
            found.append(history)
        elif is_granted(history, one):
            found.append(None)  # before this worker, or another one, has ended
        elif (why := _guarded(_refusal, history, one, row.timestamp_ms, settings)) is not None:
            found.append(why)
        else:
            found.append(_guarded(_decided, settings, one, row.timestamp_ms))
            break  # what was read is old now
    return found


def _guarded(judge: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Rejected:
    """Return what `judge` returns, or a refusal where it raises what no outage does: learn writes what it reads."""
    try:
        return judge(*args, **kwargs)
    except _FAILURES:
        raise
    except Exception as error:
        log.exception("a request of learn cannot be judged, and is refused")
        why = f"it cannot be judged: {type(error).__name__}; the log of ingest has the rest"
        return Rejected(reason=Reason.MODEL_HELD, field="model_id", detail=why)


def _decided(settings: Settings, request: ActivationRequest, time_ms: int) -> Rejected | None:
    """Grant a request with nobody's decision in between, or return why it is refused."""
    deciding = Deciding(settings.kafka)
    history = _history(settings, request)
    if is_granted(history, request):
        return None
    if (why := _refusal(history, request, time_ms, settings)) is not None:
        return why
    control = activation(history.candidates[request.model_id])
    deciding.write(control)
    log.info("model %s comes into force, as learn has asked: %s", request.model_id, control.reason)
    return None


def _history(settings: Settings, *requests: ActivationRequest) -> ModelHistory:
    """Read what was decided, and what was published where any of the requests might be granted."""
    if not requests:
        return ModelHistory()
    if settings.learn.activation != "auto":
        return ModelHistory().with_said(read_said(settings.kafka, READ_S_MAX, client_settings(settings.kafka)))
    return read_history(settings.kafka, only={one.model_id for one in requests})


def _refusal(history: ModelHistory, request: ActivationRequest, time_ms: int, settings: Settings) -> Rejected | None:
    """Return why a request is refused. time_ms: when the broker took it."""
    found = refusal(history, request.model_id, settings.learn) or overtaken(history, request)
    if found is not None:
        return found
    candidate = history.candidates[request.model_id].candidate
    as_of = candidate.as_of
    if as_of < EVENT_TIME_MS_MIN:
        return Rejected(reason=Reason.TIME_TOO_EARLY, field="as_of", detail="before 1990-01-01")
    if as_of > time_ms + settings.ingest.future_tolerance_ms:
        return Rejected(reason=Reason.TIME_IN_FUTURE, field="as_of", detail="its month has not ended")
    if candidate.month != month_of_day(day_of(as_of - 1)):
        # So that there is one of a kind a calendar month at most, whatever learn's password publishes.
        return Rejected(reason=Reason.MODEL_UNKNOWN, field="month", detail="as_of is not the end of its month")
    return None


def _request(row: Row) -> ActivationRequest | Rejected:
    """Return the request in a record, or why it holds none."""
    if (fault := headers_fault(len(row.headers))) is not None:
        return fault
    if row.value is None:
        return Rejected(reason=Reason.NOT_JSON, detail="null value")
    if len(row.value) > EVENT_BYTES_MAX:
        return Rejected(reason=Reason.OVERSIZED, detail=f"{len(row.value)} bytes, at most {EVENT_BYTES_MAX}")
    if schema_of(row.headers) != SCHEMA.encode():
        return Rejected(reason=Reason.UNKNOWN_VERSION, field="schema", detail=f"known: {SCHEMA}")
    try:
        return _decode(row.value)
    except RecursionError:
        return Rejected(reason=Reason.NOT_JSON, detail="nested too deeply")
    except ValueError as error:
        return unreadable(error)
