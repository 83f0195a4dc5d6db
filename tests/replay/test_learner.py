"""The learner in the loop of a replay: its models are in force right after the tick that closed their month."""

import dataclasses

import msgspec
import pytest

from config.settings import LearnSettings
from domain import topics
from domain.calendar import DAY_MS
from domain.events import Control, Loan, LogRecord, Tick
from domain.outputs import Observation
from replay.in_process import replay
from replay.log_file import LogFile
from replay.log_writer import LogWriter
from sinks.batch import Records
from streams.learn.learner import Learner
from tests.determinism import log as logs
from tests.replay.test_in_process import Collected

SETTINGS = LearnSettings(
    labels_per_snapshot_min=1, weight_move_points_max=300, grades_changed_share_max=1, labels_min=0, bads_min=0,
    switch_days_min=0, psi_max=1e9, challengers=(),
)  # fmt: skip
NEWS = ((10, "default", None), (40, "default", None), (50, "overdue", 5))  # days after the grant, event, days past due
STEP = 3  # offsets between the log's records, so that a word fits between two


@pytest.fixture(scope="module")
def log():
    return logs.make(8, enterprises=60, partitions=3)


def written(path, log, *artefacts, by_offset=None):
    """Return the log with gaps; `artefacts`: artefacts, `by_offset`: control records by (partition, offset)."""
    with LogWriter(path, banks=[], partitions=len(log.partitions)) as writer:
        writer.artefact(topics.MODEL, logs.other_id().encode(), logs.other_snapshot().encode(), 0)
        for n, (name, body) in enumerate(artefacts, 1):
            writer.artefact(topics.MODEL, name.encode(), body, n)
        for number, rows in enumerate(log.partitions):
            for i, (key, value, headers, _) in enumerate(rows):
                writer.append(Records.of([(key, value)]), number, headers=headers, offset=STEP * i)
                for k, value in enumerate((by_offset or {}).get((number, STEP * i), ())):
                    writer.append(Records.of([(None, value)]), number, headers=headers, offset=STEP * i + 1 + k)
    return LogFile(path)


def activates(name, by="learn"):
    control = Control(control_id=name[:40], action="activate", artefact="model", artefact_id=name, by=by, reason="test")
    return msgspec.json.encode(LogRecord(event=control))


@pytest.fixture(scope="module")
def learned(log, tmp_path_factory):
    opened = written(tmp_path_factory.mktemp("log") / "events.log", log)
    return replay(opened, consumer=Collected, processes=1, as_recorded=True, learn=SETTINGS)


def closes_of(log, model, learned):
    """Return the closes at which the model came into force: behind the ticks that its own log offsets name."""
    offsets = msgspec.json.decode(learned.learned.models[model])["log_offsets"]
    return {(int(place.rpartition(":")[2]), offset) for place, offset in offsets.items()}


def test_it_says_what_a_log_says_that_activates_its_models_behind_those_ticks(log, learned, tmp_path):
    models = learned.learned.models
    assert len(models) >= 2, learned.learned.summary
    by_offset = {}
    for model in models:
        for place in closes_of(log, model, learned):
            by_offset.setdefault(place, []).append(activates(model, by="op"))
    recorded = written(tmp_path / "recorded.log", log, *models.items(), by_offset=by_offset)
    plain = replay(recorded, consumer=Collected, processes=1, as_recorded=True)
    assert plain.results == learned.results
    assert plain.outputs == learned.outputs
    assert plain.records == learned.records + 3 * len(models)


def test_any_number_of_processes_says_the_same(log, learned, tmp_path):
    opened = written(tmp_path / "events.log", log)
    spread = replay(opened, consumer=Collected, processes=2, as_recorded=True, learn=SETTINGS)
    assert spread == dataclasses.replace(learned, wall_s=spread.wall_s, busy_s=spread.busy_s)


def test_models_that_learn_activated_then_are_passed_over_and_others_are_not(log, learned, tmp_path):
    # logs.make activates a model by "op" itself; one more by learn changes nothing but a count
    by_offset = {(number, STEP * 40): [activates(logs.other_id())] for number in range(3)}
    opened = written(tmp_path / "events.log", log, by_offset=by_offset)
    found = replay(opened, consumer=Collected, processes=1, as_recorded=True, learn=SETTINGS)
    assert found.results == learned.results
    assert found.outcomes == {**learned.outcomes, "control": learned.outcomes["control"] + 3}


def test_its_models_are_passed_over_where_an_operator_activated_them_too(log, learned, tmp_path):
    name, body = next(iter(learned.learned.models.items()))
    by_offset = {(number, STEP * 40): [activates(name, by="op")] for number in range(3)}
    opened = written(tmp_path / "events.log", log, (name, body), by_offset=by_offset)
    found = replay(opened, consumer=Collected, processes=1, as_recorded=True, learn=SETTINGS)
    assert found.results == learned.results


def test_what_the_guard_holds_does_not_come_into_force(log, learned, tmp_path):
    opened = written(tmp_path / "events.log", log)
    bads = learned.learned.summary["labels_bad"]
    tight = msgspec.structs.replace(SETTINGS, bads_min=bads + 1)  # one more than any of its models has
    found = replay(opened, consumer=Collected, processes=1, as_recorded=True, learn=tight)
    assert found.learned.models == {}
    assert found.learned.summary["snapshots_held"] == learned.learned.summary["snapshots"] >= 2


def test_observations_are_the_learners_even_where_nobody_else_wants_them(log, learned, tmp_path):
    opened = written(tmp_path / "events.log", log)
    wanted = frozenset({topics.ALERT_SUPERVISOR})
    found = replay(opened, consumer=Collected, processes=1, as_recorded=True, learn=SETTINGS, topics=wanted)
    assert found.learned == learned.learned
    assert {topic for result in found.results.values() for topic, _ in result} == wanted
    assert found.outputs == learned.outputs


class Observed:
    """A consumer that returns the observations."""

    def __init__(self, number):
        self.number, self.found = number, []

    def write(self, topic, records):
        if topic == topics.OBSERVATION:
            self.found += [msgspec.json.decode(value, type=Observation) for _, value in records]

    def finish(self):
        return self.found


def bad_news(log):
    """Return records by (partition, offset): in each, two loans come into default, and one into arrears."""
    found = {}
    for number, rows in enumerate(log.partitions):
        events = [(STEP * i, event) for i, row in enumerate(rows) if (event := event_of(row)) is not None]
        loans = [event for _, event in events if isinstance(event, Loan) and event.event == "granted"]
        for loan, (days, event, dpd) in zip(loans, NEWS, strict=False):
            at_ms = loan.event_time + days * DAY_MS
            place = next(offset for offset, each in events if isinstance(each, Tick) and each.up_to >= at_ms)
            bad = msgspec.structs.replace(loan, event=event, event_id=f"bad-{days}", event_time=at_ms, dpd=dpd)
            record = LogRecord(event=bad, fingerprint=f"{days:016}", origin=("t", 0, 0))
            found.setdefault((number, place), []).append(msgspec.json.encode(record))
    return found


def event_of(row):
    try:
        return msgspec.json.decode(row[1], type=LogRecord).event
    except msgspec.DecodeError:
        return None


def test_its_labels_and_models_are_those_of_a_learner_that_reads_every_record(log, tmp_path):
    """As the role does: all loans and ticks, a topic after the other, and only then month by month."""
    by_offset = bad_news(log)
    opened = written(tmp_path / "events.log", log, by_offset=by_offset)
    found = replay(opened, consumer=Observed, processes=1, as_recorded=True, learn=SETTINGS)
    learner, models = Learner(SETTINGS, range(3)), []
    for number, observations in found.results.items():
        for one in observations:
            learner.ledger.observe(one, number)
        for i, row in enumerate(log.partitions[number]):
            records = [(STEP * i, row)]
            records += [
                (STEP * i + 1 + k, (None, more)) for k, more in enumerate(by_offset.get((number, STEP * i), ()))
            ]
            for offset, one in records:
                if (event := event_of(one)) is not None:
                    learner.event(event, number, offset)
    while (month := learner.due_month) is not None:
        if (made := learner.learn(month).learned) is not None:
            models.append(made.snapshot.encode())
    assert models == list(found.learned.models.values())
    assert learner.summary() == found.learned.summary
    assert min(learner.labels.values()) > 0, learner.labels


def test_without_enough_labels_it_says_what_it_says_without_a_learner(log, tmp_path):
    opened = written(tmp_path / "events.log", log)
    idle = LearnSettings(labels_per_snapshot_min=10**6)
    found = replay(opened, consumer=Collected, processes=1, learn=idle)
    assert found.learned.models == {}
    assert found.learned.summary["months_learned"] > 3
    assert found.learned.summary["labels"] > 0
    assert found.results == replay(opened, consumer=Collected, processes=1).results
