"""A recorded log through score in process: outputs do not depend on its options, and errors have a name."""

import hashlib
from collections import defaultdict
from functools import partial

import msgspec
import pytest

from detectors.episodes import NOTHING, TRANSITIONS
from domain import topics
from domain.calendar import day_start_ms
from domain.events import CaseAction, Control, LogRecord
from domain.outputs import SEVERITIES, Alert, Indicators, Score
from features.indicators import INDICATORS
from replay import in_process
from replay.evicted import Evicted
from replay.in_process import replay
from replay.log_file import LogFile
from replay.log_writer import LogWriter
from replay.sources import SourceError
from sinks.batch import Records
from sinks.partitioner import partitions_of
from streams.score.records import bank_text
from tests.determinism import log as logs
from tests.replay.recordings import record
from tests.transactions import logged


class Collected:
    """A consumer that returns, by topic and key, what came."""

    def __init__(self, number):
        self.number, self.found = number, defaultdict(list)

    def write(self, topic, records):
        for key, value in records:
            self.found[topic, key].append(hashlib.sha256(value).hexdigest())

    def finish(self):
        return dict(self.found)


@pytest.fixture(scope="module")
def log():
    made = logs.make(5, enterprises=60, partitions=3)
    key, rows = b"E0", made.partitions[partitions_of([b"E0"], 3)[0]]
    action = CaseAction(
        event_id="a1", bank_id=logs.PROMPT, enterprise_id="E0", event_time=day_start_ms(logs.FIRST_DAY),
        case_id="0" * 16, action="sign", actor="0" * 64,
    )  # fmt: skip
    record = logged(action, fingerprint="0" * 16, origin=("t", 0, 0))
    rows.append((key, msgspec.json.encode(record), logs.HEADERS, 0))  # refused: the case of no log
    return made


@pytest.fixture(scope="module")
def recording(tmp_path_factory, log):
    return LogFile(record(tmp_path_factory.mktemp("log") / "events.log", log))


@pytest.fixture(scope="module")
def plain(recording):
    return replay(recording, consumer=Collected, processes=1)


def test_every_record_is_accounted_for_and_every_output_counted(plain, log):
    assert plain.records == sum(map(len, log.partitions)) == sum(plain.outcomes.values())
    assert all(plain.outcomes[name] > 0 for name in in_process.OUTCOMES)
    found = defaultdict(int)
    for of_partition in plain.results.values():
        for (topic, _), values in of_partition.items():
            found[topic] += len(values)
    assert dict(found) == plain.outputs
    assert plain.outputs[topics.ALERT_SUPERVISOR] > 0


def test_processes_say_the_same_bytes(recording, plain):
    spread = replay(recording, consumer=Collected, processes=2)
    assert spread.results == plain.results
    assert (spread.outcomes, spread.outputs, spread.records) == (plain.outcomes, plain.outputs, plain.records)


def test_enterprises_that_wait_outside_memory_say_the_same_bytes(recording, plain, monkeypatch):
    class Bound(in_process.PartitionRun):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **{**kwargs, "resident_max": 5})

    monkeypatch.setattr(in_process, "PartitionRun", Bound)
    evicted = []
    monkeypatch.setattr(Evicted, "write", watched(Evicted.write, evicted))
    assert replay(recording, consumer=Collected, processes=1).results == plain.results
    assert len(evicted) > 100


def watched(function, calls):
    def call(self, values):
        calls.append(len(values))
        return function(self, values)

    return call


def test_consumers_get_the_topics_that_are_wanted(recording, plain):
    wanted = {topics.ALERT_SUPERVISOR, topics.OBSERVATION}
    found = replay(recording, consumer=Collected, processes=1, topics=wanted)
    assert found.results == {
        number: {place: values for place, values in result.items() if place[0] in wanted}
        for number, result in plain.results.items()
    }


def written(path, rows, first_offset=0, version=None):
    with LogWriter(path, banks=[], partitions=1, version=version) as writer:
        for i, (key, value, headers, _) in enumerate(rows):
            writer.append(Records.of([(key, value)]), 0, headers=headers, offset=first_offset + i)
    return LogFile(path)


def never(_number):
    raise AssertionError("it was to be refused before anything is replayed")


class InColumns(Collected):
    """Checks columns against the records of the plain run."""

    def take(self, columns):
        for i, enterprise_id in enumerate(columns.enterprise_id.tolist()):
            row = (
                int(columns.as_of_ms[i]), int(columns.offset[i]), int(columns.seq[i]), int(columns.score_milli[i]),
                int(columns.p_overdue30_90d_ppm[i]), columns.values[i].tolist(), columns.model_id,
            )  # fmt: skip
            self.found[columns.topic, enterprise_id].append(row)

    def take_alerts(self, columns):
        for i, enterprise_id in enumerate(columns.enterprise_id.tolist()):
            if columns.transition[i] == NOTHING:  # whether an episode only waits: of that no record tells
                continue
            concerned = columns.concerned_bank[columns.concerned_row == i].tolist()
            row = (
                int(columns.as_of_ms[i]), int(columns.offset[i]), int(columns.seq[i]),
                columns.signals[columns.signal[i]], SEVERITIES[columns.level[i] - 1],
                TRANSITIONS[columns.transition[i]], sorted(map(bank_text, concerned)), columns.rules_id,
                (int(columns.opened_ms[i]), int(columns.opened_offset[i]), int(columns.about_bank[i])),
            )  # fmt: skip
            self.found[columns.topic, enterprise_id].append(row)

    def take_dispositions(self, columns):
        raise AssertionError("nobody has disposed of a case")


class Read(Collected):
    """A consumer that keeps the values themselves."""

    def write(self, topic, records):
        for key, value in records:
            self.found[topic, key].append(value)


def test_columns_say_what_the_records_say(recording):
    wanted = {topics.SCORE, topics.INDICATOR, topics.ALERT_SUPERVISOR, topics.ALERT_BACKFILL}
    columns = replay(recording, consumer=InColumns, processes=1, topics=wanted, in_columns=True, month_ends_only=True)
    records = replay(recording, consumer=Read, processes=1, topics=wanted, month_ends_only=True)
    of_banks = {topic for topic in records.outputs if topic.startswith(("alert.", "case.")) and topic not in wanted}
    assert {topics.bank_alerts(logs.PROMPT), topics.bank_cases(logs.PROMPT), topics.CASE_SUPERVISOR} <= of_banks
    counted = {topic: n for topic, n in records.outputs.items() if topic not in of_banks}
    assert columns.outputs == counted, "alerts to banks and records of their cases alone are not counted"
    assert columns.alerts == records.alerts
    months, alerts, episodes = 0, 0, {}
    for number, of_partition in records.results.items():
        assert of_partition.keys() == columns.results[number].keys()
        for (topic, key), values in of_partition.items():
            found = columns.results[number][topic, key]
            assert len(found) == len(values)
            for value, row in zip(values, found, strict=True):
                if topic == topics.SCORE:
                    message = msgspec.json.decode(value, type=Score)
                    ppm, model = message.p_overdue30_90d_ppm, message.model_id
                    assert row == (message.as_of, message.offset, message.seq, message.score_milli, ppm, [], model)
                elif topic == topics.INDICATOR:
                    message, months = msgspec.json.decode(value, type=Indicators), months + 1
                    assert row[:3] == (message.as_of, message.offset, message.seq)
                    micros = [None if x != x else round(x * 1e6) for x in row[5]]
                    assert dict(zip(INDICATORS, micros, strict=True)) == {
                        name: message.values_micro.get(name) for name in INDICATORS
                    }
                else:
                    message, alerts = msgspec.json.decode(value, type=Alert), alerts + 1
                    assert row[:8] == (
                        message.as_of, message.offset, message.seq, message.signal, message.severity, message.state,
                        message.banks, message.rules_id,
                    )  # fmt: skip
                    assert episodes.setdefault((key, message.signal, row[8]), message.episode_id) == message.episode_id
    assert len(set(episodes.values())) == len(episodes) < alerts
    assert 0 < months < records.outputs[topics.INDICATOR] / 10


def test_a_log_that_activates_what_was_not_recorded_is_refused_by_the_id_before_all(tmp_path, log):
    said = rf"log: events.v1\[0\], offset \d+ activates model {logs.other_id()}, which the recording does not hold"
    with pytest.raises(SourceError, match=said):
        replay(written(tmp_path / "log", log.partitions[0]), consumer=never)


def test_a_log_that_was_handed_to_another_engine_is_replayed_by_this_one_whole_and_says_so(tmp_path, log):
    control = Control(control_id="c", action="engine_version", artefact_id="0123456789abcdef", by="op", reason="test")
    switch = (None, msgspec.json.encode(LogRecord(event=control)), logs.HEADERS, 0)
    opened = written(tmp_path / "log", [*log.partitions[0][:50], switch, *log.partitions[0][50:100]])
    found = replay(opened, consumer=Collected)
    assert found.records == 101
    assert (
        found.outcomes["control"]
        == 1 + replay(written(tmp_path / "plain", log.partitions[0][:100]), consumer=Collected).outcomes["control"]
    )
    assert any("named 0123456789abcdef: all is by" in note for note in in_process.notes_of(opened))


def test_a_recording_of_another_engine_says_so_and_one_that_began_late_too(tmp_path, log):
    opened = written(tmp_path / "log", log.partitions[0][:100], first_offset=7, version="0123456789abcdef")
    notes = in_process.notes_of(opened)
    assert any("recorded by engine 0123456789abcdef" in note for note in notes)
    assert sum("begins at offset 7:" in note for note in notes) == 1
    assert replay(opened, consumer=Collected).records == 100


def test_a_consumer_that_fails_fails_where_it_was_called(recording):
    with pytest.raises(ZeroDivisionError) as failed:
        replay(recording, consumer=partial(Failing, 0), processes=2)
    assert "in finish" in "".join(failed.value.__notes__)


class Failing(Collected):
    def __init__(self, divisor, number):
        super().__init__(number)
        self._divisor = divisor

    def finish(self):
        return 1 / self._divisor
