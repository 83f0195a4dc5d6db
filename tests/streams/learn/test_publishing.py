"""Publication of candidates on a real broker: each once, in force by nobody's word but an operator's, or by auto."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.settings import KafkaSettings, LearnSettings, Settings
from detectors.learning.drift import reference_of
from detectors.learning.examples import Examples
from detectors.learning.rescoring import rescored
from detectors.prior import prior_id
from detectors.snapshot import SCORE, V2, decode
from domain import topics
from domain.events import SCHEMA, Control
from domain.outputs import ActivationRequest, Candidate, ModelMessage, MonthReport
from features.indicators import CORE
from sinks.artefacts import publish
from sinks.kafka import Outbox
from streams.learn.publishing import Publisher
from streams.learn.requests import Requests
from streams.model_decisions import Contended, Deciding
from streams.model_history import ModelHistory, read_history
from tests.model_months import months
from tests.reading import read
from tests.streams.learn.answers import answering
from tests.streams.learn.candidates import FIRST_MONTH, MOVED, anew, id_of, learned, observed, snapshot, unscorable

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("CONTROL", "MODEL", "MODEL_REPORT", "MODEL_REQUEST")
STEPS = (
    "before the bytes", "after the bytes", "after the report", "after the request", "after the answer",
)  # fmt: skip


@pytest.fixture
def fresh(kafka: str, make_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a learn whose requests may be granted, with empty topics."""
    for name in NAMES:
        monkeypatch.setattr(topics, name, make_topic(name.lower(), **{"message.timestamp.type": "LogAppendTime"}))
    return Settings(
        kafka=KafkaSettings(bootstrap=kafka, group_prefix=f"{topics.CONTROL}-"),
        learn=LearnSettings(activation="auto", switch_days_min=60),
    )


def with_learn(settings: Settings, **learn: Any) -> Settings:
    return msgspec.structs.replace(settings, learn=msgspec.structs.replace(settings.learn, **learn))


def run(settings: Settings, *made: Any, granted_by: Settings | None = None) -> list[Candidate | None]:
    """A worker's life beside an ingest: it starts, publishes these, and ends. What is callable is called in between."""

    async def story() -> list[Candidate | None]:
        publisher = Publisher(settings, Outbox(settings.kafka.bootstrap))
        await publisher.start()
        found = []
        for one in made:
            if callable(one):
                one()
            else:
                found.append(await publisher.publish(one, observed(40)))
        return found

    with answering(granted_by or settings):
        return asyncio.run(story())


def said(settings: Settings) -> list[Control]:
    return [one.control for one in read_history(settings.kafka).said]


def says(settings: Settings, action: Any, artefact_id: str | None = None, by: str = "zhang") -> None:
    name = f"{action}-{len(said(settings))}"
    word = Control(control_id=name, action=action, artefact="model", artefact_id=artefact_id, by=by, reason="why")
    Deciding(settings.kafka).write(word)


def test_a_candidate_is_published_once_and_activated_after_its_bytes(fresh: Settings) -> None:
    (first,) = run(fresh, learned(1))
    assert first is not None
    assert (first.model_id, first.status, first.reasons) == (id_of(snapshot(1)), "proposed", ())
    assert (first.in_force_id, first.moves_scores, first.month) == (prior_id(), True, FIRST_MONTH + 1)
    (word,) = said(fresh)
    assert (word.action, word.artefact, word.artefact_id, word.by) == ("activate", "model", first.model_id, "learn")
    assert word.reason == "50 labels matured up to 2024-11-30"
    (record,) = read(fresh.kafka.bootstrap, topics.CONTROL)
    assert record.headers == [("schema", SCHEMA.encode())]
    before = contents(fresh)
    assert run(fresh, learned(1)) == [first], "after a restart"
    assert contents(fresh) == before


def contents(settings: Settings) -> list[list[tuple[bytes | None, bytes | None]]]:
    bootstrap = settings.kafka.bootstrap
    return [[(one.key, one.value) for one in read(bootstrap, getattr(topics, name))] for name in NAMES]


def test_by_default_an_operator_accepts(fresh: Settings) -> None:
    run(with_learn(fresh, activation="accepted"), learned(1), learned(2))
    assert said(fresh) == []
    assert len(read_history(fresh.kafka).candidates) == 2
    run(fresh, learned(1), learned(2))
    assert [one.artefact_id for one in said(fresh)] == [id_of(snapshot(2))], "told to, it takes the newest alone"


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_between_any_two_steps_ends_in_the_same_state(fresh: Settings, step: str) -> None:
    names = msgspec.json.encode({name: getattr(topics, name) for name in NAMES}).decode()
    words = [sys.executable, "-m", "tests.streams.learn.dying", msgspec.json.encode(fresh).decode(), names, step]
    with answering(fresh) if step == "after the answer" else nullcontext():
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [len(records) for records in contents(fresh)] == {
        "before the bytes": [0, 0, 0, 0], "after the bytes": [0, 1, 0, 0], "after the report": [0, 1, 1, 0],
        "after the request": [0, 1, 1, 1], "after the answer": [1, 1, 1, 1],
    }[step]  # fmt: skip
    (made,) = run(fresh, learned(1))
    assert made is not None
    name = id_of(snapshot(1)).encode()
    controls, models, reports, requests = contents(fresh)
    assert models == [(name, snapshot(1).encode())]
    assert reports == [(name, msgspec.json.encode(made))]
    request = ActivationRequest(model_id=name.decode(), decided_offset=0)
    assert requests == [(name, msgspec.json.encode(request))]
    assert [msgspec.json.decode(value or b"", type=Control).artefact_id for _, value in controls] == [name.decode()]


def test_switches_keep_their_distance_but_for_probabilities_alone(fresh: Settings) -> None:
    """Months 1 and 3 are 61 days apart or more; the fourth differs from the third in its intercept."""
    alone = msgspec.structs.replace(snapshot(3), intercept_micro=7, parent_id=id_of(snapshot(3)))
    found = run(fresh, learned(1), learned(2), learned(3), learned(4, alone), learned(5))
    assert [one is not None and one.status for one in found] == ["proposed"] * 5
    assert [one is not None and one.moves_scores for one in found] == [True, True, True, False, True]
    ids = [id_of(one) for one in (snapshot(1), snapshot(3), alone)]
    assert [one.artefact_id for one in said(fresh)[:3]] == ids
    history = read_history(fresh.kafka)
    assert [one.moves_scores for one in history.switches] == [True, True, False, *[True] * (len(history.switches) - 3)]
    assert history.suppressed_days(learned(4).day) == 59, "30 days, and up to February's end"
    last = [one.day for one in history.switches if one.moves_scores]
    assert all(b is not None and a is not None and b - a >= 60 for a, b in pairwise(last))


def test_what_is_held_is_published_with_its_reasons_and_never_activated(fresh: Settings) -> None:
    few = snapshot(1, labels=99, bad=9)
    (held,) = run(fresh, learned(1, few, drift=("psi of score is 0.31",)))
    assert held is not None
    assert [one.code for one in held.reasons] == ["drift", "few_labels", "few_bads"]
    assert held.status == "held"
    assert said(fresh) == []
    assert run(with_learn(fresh, labels_min=1, bads_min=1), learned(1, few)) == [held], "what was said stays said"
    assert said(fresh) == []


def test_probabilities_go_out_beside_a_model_that_has_to_wait(fresh: Settings) -> None:
    """Both of one month are published; the second is no switch, and is itself the one that the next month's follows."""
    one, two = anew(2, snapshot(1)), anew(2, snapshot(1))
    found = run(fresh, learned(1), learned(2), one, anew(3, one.snapshot), two)
    assert [made is not None and (made.kind, made.month - FIRST_MONTH) for made in found] == [
        ("model", 1), ("model", 2), ("calibration", 2), ("calibration", 3), ("calibration", 2),
    ]  # fmt: skip
    assert found[2] is not None
    assert (found[2].labels_count, found[2].bad_count, found[2].moves_scores) == (120, 12, False)
    history = read_history(fresh.kafka)
    assert [switch.moves_scores for switch in history.switches] == [True, False, False]
    assert history.in_force_id == id_of(anew(3, one.snapshot).snapshot)
    assert history.last_switch_day == learned(1).day
    other = msgspec.structs.replace(anew(3, snapshot(1)).snapshot, intercept_micro=1)
    assert run(fresh, msgspec.structs.replace(anew(3, snapshot(1)), snapshot=other)) == [None], "one a month"


def test_a_rollback_holds_until_resume(fresh: Settings) -> None:
    run(fresh, learned(1), learned(4))
    first, second, later = (id_of(snapshot(n)) for n in (1, 4, 7))
    says(fresh, "activate", first)
    run(fresh, learned(7))
    history = read_history(fresh.kafka)
    assert history.in_force_id == first
    assert history.paused_by is not None
    assert (history.before_id, history.earlier_ids) == (prior_id(), (prior_id(),))
    assert later in history.candidates
    says(fresh, "model_resume")
    assert read_history(fresh.kafka).paused_by is None
    run(fresh, learned(7), learned(10))
    assert read_history(fresh.kafka).in_force_id == id_of(snapshot(10))
    assert second not in [one.artefact_id for one in said(fresh)[2:]], "nobody brings back what was gone back from"


def test_going_back_to_the_packaged_model_of_an_earlier_engine_holds_too(fresh: Settings) -> None:
    run(fresh, learned(1))
    packaged = msgspec.structs.replace(snapshot(0), parent_id=None, prior=True, intercept_micro=1)
    publish(Outbox(fresh.kafka.bootstrap), topics.MODEL, packaged.encode())
    says(fresh, "activate", id_of(packaged))
    run(fresh, learned(4))
    history = read_history(fresh.kafka)
    assert (history.in_force_id, history.paused_by is not None) == (id_of(packaged), True)


def test_a_rollback_while_learn_works_is_seen_at_the_next_candidate(fresh: Settings) -> None:
    run(fresh, learned(1), lambda: says(fresh, "activate", prior_id()), learned(4))
    history = read_history(fresh.kafka)
    assert (history.in_force_id, len(history.candidates)) == (prior_id(), 2)


def test_who_is_overtaken_writes_nothing(fresh: Settings) -> None:
    run(with_learn(fresh, activation="accepted"), learned(1))
    early, word = Deciding(fresh.kafka), Control(control_id="x", action="model_resume", by="li", reason="r")
    says(fresh, "activate", id_of(snapshot(1)))
    with pytest.raises(Contended, match="nothing was written"):
        early.write(word)
    assert [one.by for one in said(fresh)] == ["zhang"]


def test_learn_overtaken_by_an_operator_reads_what_was_decided(
    fresh: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator goes back between learn's look and its word: the rollback stands."""
    run(fresh, learned(1))
    wrote = Deciding.write

    def overtaken(self: Deciding, control: Control) -> None:
        monkeypatch.setattr(Deciding, "write", wrote)
        says(fresh, "activate", prior_id())
        wrote(self, control)

    monkeypatch.setattr(Deciding, "write", overtaken)
    run(fresh, learned(4))
    history = read_history(fresh.kafka)
    assert history.in_force_id == prior_id()
    assert [one.by for one in said(fresh)] == ["learn", "zhang"]


def deciding_before(monkeypatch: pytest.MonkeyPatch, settings: Settings, times: int) -> None:
    """An operator decides something else after learn's look and before its request, this many times."""
    asked, left = Requests.ask, iter(range(times))

    def overtaken(self: Requests, request: ActivationRequest) -> int:
        if next(left, None) is not None:
            says(settings, "model_resume")
        return asked(self, request)

    monkeypatch.setattr(Requests, "ask", overtaken)


def test_learn_asks_again_where_another_decision_has_overtaken_it(
    fresh: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deciding_before(monkeypatch, fresh, 2)
    run(fresh, learned(1))
    assert [one.by for one in said(fresh)] == ["zhang", "zhang", "learn"]
    assert read_history(fresh.kafka).in_force_id == id_of(snapshot(1))
    requests = [msgspec.json.decode(one.value or b"", type=ActivationRequest) for one in asked_on(fresh)]
    assert [one.decided_offset for one in requests] == [0, 1, 3], "a decision is two offsets: a record and a marker"


def test_learn_that_is_overtaken_again_and_again_goes_on(
    fresh: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deciding_before(monkeypatch, fresh, 100)
    (made,) = run(fresh, learned(1))
    assert made is not None
    assert {one.by for one in said(fresh)} == {"zhang"}
    assert len(asked_on(fresh)) == 5
    assert "operators decided 5 times meanwhile" in caplog.text


def test_an_ingest_that_may_not_grant_is_asked_once(fresh: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Its settings say that a person accepts; learn's, that it activates."""
    for _ in range(2):
        run(fresh, learned(1), granted_by=with_learn(fresh, activation="accepted"))
    assert said(fresh) == []
    assert len(asked_on(fresh)) == 1
    assert "ingest refuses model" in caplog.text


def asked_on(settings: Settings) -> list[Any]:
    return read(settings.kafka.bootstrap, topics.MODEL_REQUEST)


def test_a_history_rebuilt_otherwise_publishes_nothing_of_what_is_past(fresh: Settings, caplog: Any) -> None:
    run(fresh, learned(1), learned(2))
    before = contents(fresh)
    other = msgspec.structs.replace(snapshot(2), libraries={"river": "other"})
    assert run(fresh, learned(2, other)) == [None]
    assert "is not published" in caplog.text
    assert contents(fresh) == before


def test_an_operators_model_is_what_the_next_candidate_is_compared_with(fresh: Settings) -> None:
    own = msgspec.structs.replace(snapshot(9), log_offsets={})

    def operator() -> None:
        publish(Outbox(fresh.kafka.bootstrap), topics.MODEL, own.encode())
        says(fresh, "activate", id_of(own))

    found = run(with_learn(fresh, activation="accepted"), learned(1), operator, learned(2))
    assert [one is not None and one.in_force_id for one in found] == [prior_id(), id_of(own)]


def test_damaged_and_unreadable_records_are_passed_over(fresh: Settings) -> None:
    outbox = Outbox(fresh.kafka.bootstrap)
    outbox.send(topics.MODEL, snapshot(1).encode(), key=id_of(snapshot(2)).encode())
    for body in (b"\xff", b"{}", b'{"type":"candidate","month":1}', b'{"type":"later","month":1}'):
        outbox.send(topics.MODEL_REPORT, body)
    outbox.drain()
    says(fresh, "activate", id_of(snapshot(2)))
    history = read_history(fresh.kafka)
    assert (history.candidates, history.months, history.in_force_id) == ({}, {}, prior_id())
    assert history.damaged == {id_of(snapshot(2))}
    run(fresh, learned(1))
    assert read_history(fresh.kafka).in_force_id == id_of(snapshot(1))


def test_what_score_refuses_never_counts_as_in_force(fresh: Settings) -> None:
    """An operator activates a model with an indicator that this engine does not compute: score keeps the one before."""
    odd = unscorable(9)
    decode(odd.encode(), id_of(odd))
    run(fresh, learned(1))
    publish(Outbox(fresh.kafka.bootstrap), topics.MODEL, odd.encode())
    says(fresh, "activate", id_of(odd))
    history = read_history(fresh.kafka)
    assert history.in_force_id == id_of(snapshot(1))
    assert [one.model_id for one in history.switches] == [id_of(snapshot(1))]
    (made,) = run(fresh, learned(4))
    assert made is not None
    assert (made.in_force_id, made.status, made.reasons) == (id_of(snapshot(1)), "proposed", ())


def test_going_back_from_what_this_engine_refuses_holds_too(fresh: Settings) -> None:
    """An earlier engine scored with it, and an operator went back: learn activates nothing until resume."""
    run(fresh, learned(1))
    publish(Outbox(fresh.kafka.bootstrap), topics.MODEL, unscorable(9).encode())
    says(fresh, "activate", id_of(unscorable(9)))
    assert read_history(fresh.kafka).paused_by is None
    says(fresh, "activate", id_of(snapshot(1)))
    history = read_history(fresh.kafka)
    assert (history.in_force_id, history.paused_by is not None) == (id_of(snapshot(1)), True)
    assert [one.by for one in said(fresh)] == ["learn", "zhang", "zhang"]


def test_a_month_is_held_against_the_population_of_the_model_in_force(fresh: Settings) -> None:
    """The packaged one has none. Of one that was learned, what has moved since is named."""
    seen = observed(600)
    own = msgspec.structs.replace(
        snapshot(1),
        format=V2,
        unknown_at_micro=snapshot(1).medians_micro,
        reference=reference_of(rescored(snapshot(1), seen), CORE),
    )
    later = seen.copy()
    later["value"][:, CORE.index(MOVED[0])] = 0.0
    (month,) = months(1)

    async def published(observations: Examples) -> MonthReport:
        publisher = Publisher(fresh, Outbox(fresh.kafka.bootstrap))
        await publisher.start()
        return await publisher.report(month, observations)

    before = asyncio.run(published(later))
    assert (before.in_force_id, before.psi_in_force_micro, before.moved) == (prior_id(), {}, ())
    run(fresh, learned(1, own))
    same, found = asyncio.run(published(seen)), asyncio.run(published(later))
    assert (same.in_force_id, same.moved, set(same.psi_in_force_micro.values())) == (id_of(own), (), {0})
    assert MOVED[0] in found.moved
    assert set(found.moved) <= {MOVED[0], SCORE}
    last = read(fresh.kafka.bootstrap, topics.MODEL_REPORT)[-1].value or b""
    assert msgspec.json.decode(last, type=ModelMessage) == found
    assert msgspec.structs.replace(found, in_force_id="", psi_in_force_micro={}, moved=()) == month


def test_without_any_record_the_packaged_model_is_in_force() -> None:
    history = ModelHistory()
    assert (history.in_force_id, history.before_id, history.paused_by, history.last_switch_day, history.newest) == (
        *(prior_id(), None, None, None, None),
    )
