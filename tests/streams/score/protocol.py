"""The commit protocol one step at a time: score roles in this process, on a real broker and a real Redis.

A `World` has one partition of the log, some workers and their faults. A `Worker` runs a role as the worker does, in
steps that its test chooses. Its outputs wait in a `Network` until they land.
"""

import asyncio
import contextlib
import functools
import itertools
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import msgspec

from config.case_table import StandsAlone, packaged_case_table
from config.settings import Bank, KafkaSettings, RedisSettings, ScoreSettings, Settings
from detectors.prior import prior_snapshot
from detectors.rules.artefact import RulesArtefact, decode
from detectors.snapshot import content_id
from domain import topics
from domain.calendar import date_of, day_start_ms
from domain.events import CaseAction, Control, LogRecord
from domain.outputs import Alert, CaseRecord, DeadLetter
from features.values import unpack
from replay.offsets import Offsets
from sinks.client import QUICK_START
from sinks.kafka import DeliveryFailed
from sinks.log_reader import assigned_consumer, read
from sinks.redis_store import connect, stored_values
from streams.score import partition
from streams.score.partition import Partition
from streams.score.role import Score
from streams.transport.chunk import chunk_of
from streams.worker.role import DETACHED, TP
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    HEADERS,
    OTHER_BANK,
    authorization,
    immediate_artefact,
    loan,
    record,
    said,
    state_of,
    tick,
    txn,
)

TP0 = TP(topics.EVENTS, 0)
OUTPUTS = (
    topics.SCORE, topics.INDICATOR, topics.OBSERVATION, topics.ALERT_SUPERVISOR, topics.DEAD_LETTERS, topics.LATE,
    topics.CASE_SUPERVISOR,
    *(name(bank) for bank in (BANK, OTHER_BANK) for name in (topics.bank_alerts, topics.bank_cases)),
)  # fmt: skip
CHANGES = ("opened", "signed", "begun", "submitted", "returned", "approved", "eased", "graver")
ALERTS = [
    ("T2", "raised", ""), ("T2", "cleared", ""), ("T2", "raised", "recurred"), ("T1", "raised", ""),
    ("T1", "retracted", "late"), ("T2", "upgraded", ""),
]  # fmt: skip
KEPT_BACK = ALERTS[1:3]  # from the bank, by its disposition
REFUSED = ("case_unknown", "case_foreign", "case_out_of_order", "case_by_maker", "case_finished")
_numbers = itertools.count()


class Crash(Exception):
    """The process ends at this step."""


def another_model():
    """A model that gives other scores than the prior."""
    weights = dict(prior_snapshot().weights_milli)
    (first, most), (last, least) = max(weights.items(), key=lambda x: x[1]), min(weights.items(), key=lambda x: x[1])
    return msgspec.structs.replace(prior_snapshot(), weights_milli=weights | {first: least, last: most}, prior=False)


@functools.cache
def rules():
    """Return the rules of worlds: a fifth day that ends long after a credit is red, a loan past due yellow."""
    arrears = msgspec.structs.replace(
        immediate_artefact().signals[0], id="T2", family="external", scope="lender", suppress_when="",
        levels=("dpd_max_days >= 1", "dpd_max_days > 7", ""), hysteresis="held(dpd_max_days == 0, d=1)",
        min_history="ctx.history_days >= 0", not_computable_when="", evidence=("dpd_max_days",),
    )  # fmt: skip
    silence = msgspec.structs.replace(
        arrears, id="T1", scope="platform", levels=("", "", "days_since_op_credit_days >= 0.9"),
        hysteresis="held(days_since_op_credit_days < 0.9, d=2)", min_history="ctx.history_days >= 5",
        evidence=("days_since_op_credit_days",),
    )  # fmt: skip
    alone = (("T1", "red", "red"), ("T2", "yellow", "yellow"), ("T2", "orange", "orange"))
    case = msgspec.structs.replace(
        packaged_case_table().table.of_signals(frozenset()),
        alone=tuple(StandsAlone(signal=signal, at=at, level=level) for signal, at, level in alone),
    )
    body = RulesArtefact(signals=(silence, arrears), case=case).encode()
    return decode(body, content_id(body))


def under_rules():
    """Return a context within which partitions of this process follow `rules`."""
    return mock.patch.object(partition, "packaged_rules", rules)


def case_of(rows):
    """Return the id of the case that a log has moved last: it follows from the offset of what opened it."""
    found = said(Partition(0, model_of), chunk_of(topics.EVENTS, 0, 0, rows))
    *_, last = (m.value for m in found if m.topic == topics.CASE_SUPERVISOR)
    return msgspec.json.decode(last, type=CaseRecord).case_id


def add_actions(rows, enterprise, *actions):
    """Append actions on the case of `enterprise` that the rows opened last: (action, fields)."""
    usual = {"bank_id": BANK, "case_id": case_of(rows), "actor": "ann"}
    for action, fields in actions:
        event = CaseAction(
            event_id=f"{action}{len(rows)}", enterprise_id=enterprise, event_time=day_start_ms(FIRST_DAY),
            action=action, **(usual | fields),
        )  # fmt: skip
        rows.append(record(event))


def small_log(name):
    """Two enterprises over five days: trade, a loan, duplicate, conflict, late event, ticks, a model right after one.

    On the third day one is past due, and its bank disposes of that: what clears and recurs within the cooldown is kept
    back. The case comes back with what another signal says, which a late record retracts, and with more days past due.

    Their ids carry `name`, so that many logs may share the output topics.
    """
    a, b = f"{name}A", f"{name}B"
    rows, sent = [], []
    held_until = {"disposition": "known", "until": date_of(FIRST_DAY + 30).isoformat()}
    for day in range(5):
        for i, e in enumerate((a, b)):
            sent.append(txn(f"in{day}", e, day, 10 + i, 10**7 * (1 + (3 * day + i) % 5)))
            sent.append(txn(f"out{day}", e, day, 20 + i, 10**6 * (1 + day), direction="D", purpose="purchase"))
            rows += [record(event) for event in sent[-2:]]
        if day == 1:
            rows.append(record(loan("loan", a, day)))
            rows.append(record(sent[-1]))  # a duplicate
            rows.append(record(msgspec.structs.replace(sent[-1], amount_minor=1)))  # a conflict
        rows.append(record(tick(day)))
        if day == 2:
            model = content_id(another_model().encode())
            control = Control(
                control_id="m", action="activate", by="op", reason="test", artefact="model", artefact_id=model
            )
            rows.append(
                (None, msgspec.json.encode(LogRecord(event=control, fingerprint="", origin=("c", 0, 0))), HEADERS, 0)
            )
            rows += [record(authorization("consent", a)), record(loan("overdue", a, day, "overdue", dpd=3))]
            add_actions(
                rows, a,
                ("begin", {}), ("sign", {"case_id": "0" * 16}), ("sign", {"bank_id": OTHER_BANK}), ("sign", {}),
                ("begin", {}), ("submit", {"disposition": "confirmed"}), ("return", {"actor": "ben"}),
                ("submit", held_until), ("approve", {}), ("approve", {"actor": "ben"}), ("sign", {}),
            )  # fmt: skip
            rows.append(record(loan("repaid", a, day, "repaid", dpd=0)))
        if day == 3:
            rows.append(record(loan("again", a, day, "overdue", dpd=3)))
    rows.append(record(txn("correction", a, 4, 18 * 3_600_000)))  # its last credit was not so long ago
    rows.append(record(loan("graver", a, 4, "overdue", dpd=10)))
    rows += [record(txn("late", b, -9, 0)), (a.encode(), b"{oops", HEADERS, 0)]
    rows += [record(txn("last", a, 5, 0, 10**9)), record(txn("last", b, 5, 0, 10**9))]
    return rows


def model_of(_model_id):
    return another_model()


class Clean:
    """The outputs of a run without a fault, record by record."""

    def __init__(self, rows):
        judged = Partition(0, model_of)
        self.said = defaultdict(list)  # (topic, key) -> [(mark, value)]
        self.values = [{}]  # by offset: the values after all records below it
        self.touched = defaultdict(list)  # enterprise -> offsets that it holds
        for at, row in enumerate(rows):
            for m in said(judged, chunk_of(topics.EVENTS, 0, at, [row])):
                self.said[m.topic, m.key].append((m.mark, m.value))
            self.values.append(state_of(judged))
            for name, value in self.values[-1].items():
                if self.values[-2].get(name) != value:
                    self.touched[name].append(at)
        self.state = msgspec.structs.asdict(judged.saved)

    def require_cases(self, enterprise):
        """Fail where the log has not brought about all that is to be compared of an enterprise's case."""

        def of(topic, kind):
            return [msgspec.json.decode(value, type=kind) for _, value in self.said[topic, enterprise.encode()]]

        def told(topic):
            return [(alert.signal, alert.state, alert.reason) for alert in of(topic, Alert)]

        for topic in (topics.CASE_SUPERVISOR, topics.bank_cases(BANK)):
            assert set(CHANGES) <= {case.change for case in of(topic, CaseRecord)}, topic
            assert {case.until is None for case in of(topic, CaseRecord) if case.change == "submitted"} == {True, False}
        assert told(topics.ALERT_SUPERVISOR) == ALERTS
        assert told(topics.bank_alerts(BANK)) == [alert for alert in ALERTS if alert not in KEPT_BACK]
        assert {letter.reason for letter in of(topics.DEAD_LETTERS, DeadLetter)} == set(REFUSED)


class Network:
    """A replacement of the outbox: records wait until they land by request, through the tests' one real outbox."""

    gapless = True

    def __init__(self, real):
        self._real = real
        self.waiting = []
        self.failed = False
        self.acknowledged_count = 0

    def send(self, topic, value, *, key=None, **_more):
        self.send_batch(topic, [(key, value)])

    def send_batch(self, topic, records, **_more):
        self.poll()
        self.waiting += [(topic, value, key) for key, value in records]

    @property
    def sent_count(self):
        return self.acknowledged_count + len(self.waiting)

    def land(self, count):
        """The oldest `count` land and are acknowledged."""
        some, self.waiting = self.waiting[:count], self.waiting[count:]
        for topic, value, key in some:
            self._real.send(topic, value, key=key)
        self._real.drain()
        self.acknowledged_count += len(some)

    def lose(self):
        """The oldest cannot be delivered; gapless, that is the end of the others too."""
        self.waiting = [] if self.gapless else self.waiting[1:]
        if self.waiting:
            self.land(len(self.waiting))
        self.failed = True

    def poll(self):
        if self.failed:
            raise DeliveryFailed("lost on purpose")

    def drain(self):
        self.poll()
        self.land(len(self.waiting))

    def flush_now(self):
        """Do nothing: the test decides when records land."""

    def mark(self):
        return self.sent_count

    def is_acknowledged(self, mark):
        self.poll()
        return self.acknowledged_count >= mark

    def close(self):
        self.waiting, self.failed = [], True


class Worker:
    """One process with a score role; `before` is called right before its steps."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.tp = TP0
        self._due = {}
        self.role = None
        self.position = 0
        self.assigned = False

    async def start(self):
        self.role = Score(
            self.world.settings,
            self.world.clock,
            make_outbox=lambda *_, **_more: Network(self.world.outbox),
            step=self._step,
        )
        await self.role.start(DETACHED)

    async def join(self):
        """Assign the partition, and let a heartbeat or a late message inform the others."""
        if self.role is None:
            await self.start()
        self.assigned = True
        async with self._alive():
            self.position = (await self.role.assigned({TP0})).get(TP0, 0)

    async def leave(self):
        self.assigned = False
        async with self._alive():
            await self.role.revoked({TP0})

    async def apply(self, count=1):
        """The next records, if it takes any; True where one was applied."""
        if self.role is None or TP0 in self.role.paused or not self.assigned:
            return False
        rows = self.world.rows[self.position : self.position + count]
        if not rows:
            return False
        async with self._alive():
            await self.role.apply(TP0, chunk_of(topics.EVENTS, 0, self.position, rows))
            self.position += len(rows)
            self._apply_pauses_and_rewinds()
        return True

    async def flush(self):
        """Let a flush interval pass: due rows are taken, all outputs in flight land, and the rows are written."""
        await self.look()
        if self.role is not None and not self.role._outbox.failed:
            self.land(len(self.role._outbox.waiting))
            await self.look(later_s=0.0)

    async def look(self, later_s=10.0, *, settles=True):
        """A flush interval passes, and the time of any attempt to come back; what is then written is, or goes on."""
        self.world.now_s += later_s
        async with self._alive():
            await self.role.tick()
            if settles:
                await self.role._flushes.settle()
            self._apply_pauses_and_rewinds()
            self.world.committed = max(self.world.committed, self.role.low_offset(TP0) or 0)

    def land(self, count=1):
        self.role._outbox.land(count)

    def lose(self):
        """Its oldest output on the way, if there is one, cannot be delivered."""
        if self.role._outbox.waiting:
            self.role._outbox.lose()

    def crash(self):
        """Memory and outputs on the way are gone."""
        self.role._redis.close()
        self.role = None

    @property
    def runs(self):
        return self.role is not None and self.assigned and TP0 not in self.role.paused

    @property
    def is_idle(self):
        """It runs, and nothing of it is being written: what is waits for this loop, and nobody else can wait for it."""
        return self.role is not None and (self.role._flushes._writing is None or self.role._flushes._writing[1].done())

    def _apply_pauses_and_rewinds(self):
        if TP0 in (rewinds := self.role.rewinds()):
            self.position = rewinds[TP0]

    def before(self, step, happens, nth=1):
        """Call `happens` right before the nth step of that name from now on; it may raise Crash."""
        self._due[step] = [nth, happens]

    def undisturbed(self):
        """Remove the planned disturbance before a step."""
        self._due.clear()

    def _step(self, step, _partition):
        self.world.steps[step] += 1
        if step not in self._due:
            return
        self._due[step][0] -= 1
        if self._due[step][0] == 0:
            self.world.injected += 1
            self._due.pop(step)[1]()

    @contextlib.asynccontextmanager
    async def _alive(self):
        try:
            yield
        except Crash:
            self.crash()


_RESTORE = """
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end
for i, key in ipairs(KEYS) do redis.call('RESTORE', key, 0, ARGV[i + 1]) end
"""


@functools.cache
def _offsets(kafka):
    return Offsets(kafka)


@functools.cache
def _reader(bootstrap):
    """Return the one reader of all worlds: to connect takes it longer than to read what one of them has said."""
    return assigned_consumer(bootstrap, QUICK_START)


class World:
    """A partition's log, its Redis, its topics; `judge` compares all with a clean run."""

    def __init__(self, bootstrap, redis_url, outbox, *, via=None, timeout_s=2.0, resident_max=1):
        """`via`: another URL by which the workers reach Redis. `resident_max`: with 1, each evicts the other."""
        self.outbox = outbox
        self.name = f"W{next(_numbers)}x"
        with under_rules():
            self.rows = small_log(self.name)
            self.clean = Clean(self.rows)
        self.clean.require_cases(f"{self.name}A")
        self.now_s = 1_000.0
        self.injected = 0
        self.steps = Counter()  # of all workers
        self.committed = 0  # in the group, a hint
        self.settings = Settings(
            kafka=KafkaSettings(bootstrap=bootstrap, log_partitions=1),
            redis=RedisSettings(url=via or redis_url, key_prefix=self.name.lower(), timeout_s=timeout_s),
            score=ScoreSettings(
                flush_interval_ms=5_000,
                flush_slice_values_max=1,
                batch_records_max=64,
                enterprises_resident_max=resident_max,
            ),
            banks=tuple(Bank(bank_id=b, name_zh=b) for b in (BANK, OTHER_BANK)),
        )
        self.redis = connect(redis_url, 5.0)
        self.base = f"{self.name.lower()}:{{0}}"
        self._reader = _reader(bootstrap)
        self._read_from = self._ends()
        self._landed = []
        self.one, self.two = Worker(self, "one"), Worker(self, "two")

    def clock(self):
        return self.now_s

    def copy(self):
        """All that Redis holds of the partition, byte for byte."""
        return {key: self.redis.dump(key) for key in self.redis.keys(self._glob())}

    def restore(self, copy):
        """Redis is that copy from now on, at one moment: a worker may be writing."""
        self.redis.eval(_RESTORE, len(copy), *copy, self._glob(), *copy.values())

    def stored(self):
        """(low offset, values) as Redis has them."""
        state = self.redis.get(f"{self.base}:p")
        values = dict(stored_values(self.redis, self.name.lower(), 0))
        return msgspec.json.decode(state)["low_offset"] if state else 0, values

    def landed(self):
        """Every output record so far, as (topic, key, value), in the order of its topic."""
        ends = self._ends()
        for message in read(self._reader, {place: (self._read_from[place], end) for place, end in ends.items()}):
            if message.key() is None or message.key().decode().startswith(self.name):
                self._landed.append((message.topic(), message.key(), message.value()))
        self._read_from = ends
        self._reader.unassign()
        return self._landed

    def judge_redis(self):
        """P3: the values are clean folds, and hold every effect of the records below the low offset."""
        low, values = self.stored()
        for name, offsets in self.clean.touched.items():
            due = [offset for offset in offsets if offset < low]
            assert name in values or not due, f"low offset {low}, but Redis has no {name}"
        for name, value in values.items():
            holds = int(unpack([name], [value.hot])["applied_offset"][0])
            assert value == self.clean.values[holds + 1].get(name), f"{name} at {holds} is not the clean fold"
            due = [offset for offset in self.clean.touched[name] if offset < low]
            assert not due or holds >= due[-1], f"low offset {low}, but {name} is at {holds}"

    def judge_outputs(self, *, complete=False):
        """Assert P2 and P3: landed outputs are the clean run's, without gaps by key, and complete below low_offset."""
        low, _ = self.stored()
        have = defaultdict(int)
        for topic, key, value in self.landed():
            clean = [said for _, said in self.clean.said[topic, key]]
            if key is None:
                have[topic, key] = len(clean)
                continue
            assert value in clean, f"an output of {key} to {topic} differs from the clean run's: {value[:200]}"
            at = clean.index(value)
            assert at <= have[topic, key], f"{topic}: output {at} of {key} lands, {have[topic, key]} never did"
            have[topic, key] = max(have[topic, key], at + 1)
        for (topic, key), all_said in self.clean.said.items():
            due = len(all_said) if complete else sum(mark < low for mark, _ in all_said)
            assert have[topic, key] >= due, f"{topic}: {have[topic, key]} of {due} due outputs of {key} have landed"

    def judge(self):
        """All at the end of the log: values, partition state, outputs, ledger."""
        self.judge_redis()
        self.judge_outputs(complete=True)
        low, values = self.stored()
        assert low == len(self.rows), f"low offset {low} of {len(self.rows)} at the end"
        assert values == self.clean.values[-1], "the values are not the clean run's"
        state = msgspec.json.decode(self.redis.get(f"{self.base}:p"))
        for field in ("ticks_count", "controls_count", "dead_letters_count", "model_id", "up_to"):
            clean = self.clean.state[field]
            assert state.get(field, clean) == clean, f"the state has another {field} than the clean run's"

    async def settle(self, worker):
        """No more faults: the worker has the partition to itself and reads to the end."""
        for _ in range(60):
            while await worker.apply(3):
                pass
            at_end = worker.runs and worker.position == len(self.rows)
            await worker.flush()
            self.judge_redis()
            if at_end and worker.runs and worker.position == len(self.rows) and self.stored()[0] == len(self.rows):
                break
        else:
            raise AssertionError(f"stuck at {worker.position}, low {self.stored()[0]}, runs {worker.runs}")
        self.judge()

    def close(self):
        for worker in (self.one, self.two):
            if worker.role is not None:
                worker.crash()

    def _glob(self):
        return f"{self.name.lower()}:*"

    def _ends(self):
        return _offsets(self.settings.kafka).ends((topic, 0) for topic in OUTPUTS)


def run(world, scenario):
    """Run a scenario's coroutine over a world to its end."""
    try:
        with under_rules():
            asyncio.run(scenario(world))
    finally:
        world.close()


def crash():
    """For `before`: the process ends here."""
    raise Crash


def aside(coroutine):
    """For `before`: another worker does this meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, coroutine).result()
