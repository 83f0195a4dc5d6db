"""Learn's requests on a real broker: ingest grants what learn has proposed, once, and refuses all else by name."""

import asyncio
import errno
import logging
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient

from cli.feed import read_feeds
from config.settings import LearnSettings, Settings
from detectors.prior import prior_id
from detectors.snapshot import Snapshot
from domain import topics
from domain.calendar import day_start_ms
from domain.events import SCHEMA, Control
from domain.outputs import ActivationRequest, Candidate
from replay.ledger import take_stock
from replay.reading import ReadingFailed
from sinks.artefacts import ArtefactMissing, publish
from sinks.kafka import MarkedOutbox, Outbox
from streams.ingest import model_requests
from streams.ingest.model_requests import REQUESTS, ModelRequests, answered
from streams.ingest.quarantine import Quarantine
from streams.learn.learner import last_day
from streams.model_decisions import Deciding
from streams.model_history import read_history
from streams.seal import load_sealer
from streams.transport.chunk import chunk_of
from tests.patience import patience_s
from tests.reading import commit, read
from tests.streams.ingest.kit import HEADERS, committed, dead_letters, log_records, send_all, worker
from tests.streams.ingest.raw_produce import produce
from tests.streams.ingest.test_unreadable_feeds import quarantine
from tests.streams.learn.candidates import FIRST_MONTH, id_of, snapshot, unscorable
from tests.streams.transport.record_batches import Batch, Row

DEEP = b"[" * 1_000 + b"]" * 1_000
FOREIGN = [("schema", b"xinliu.event/2")]


@pytest.fixture
def site(settings: Callable[..., Settings]) -> Settings:
    """A site where learn may have models activated."""
    return msgspec.structs.replace(settings(), learn=LearnSettings(activation="auto", switch_days_min=60))


def proposed(site: Settings, n: int, body: Snapshot | None = None, *, published: bool = True, **said: Any) -> str:
    """Publish the n-th model and learn's word on it; return its id. said: what learn says otherwise."""
    made, outbox = body or snapshot(n), Outbox(site.kafka.bootstrap)
    if published:
        publish(outbox, topics.MODEL, made.encode())
    usual: dict[str, Any] = {
        "model_id": id_of(made), "parent_id": prior_id(), "month": FIRST_MONTH + n,
        "as_of": day_start_ms(last_day(FIRST_MONTH + n) + 1), "kind": "model", "status": "proposed", "reasons": (),
        "in_force_id": prior_id(), "moves_scores": True, "labels_count": 500, "bad_count": 40, "new_labels_count": 50,
        "observed_count": 40, "regraded_count": 1, "by": "learn",
    }  # fmt: skip
    outbox.send(topics.MODEL_REPORT, msgspec.json.encode(Candidate(**(usual | said))))
    outbox.drain()
    return id_of(made)


def asking(model_id: str, decided_offset: int = 0) -> bytes:
    return msgspec.json.encode(ActivationRequest(model_id=model_id, decided_offset=decided_offset))


def ask(site: Settings, *requests: bytes | tuple[bytes | None, Any] | None) -> None:
    records = [one if isinstance(one, tuple) else (one, HEADERS) for one in requests]
    send_all(site.kafka.bootstrap, [(topics.MODEL_REQUEST, value, headers) for value, headers in records])


def said(site: Settings) -> list[Control]:
    return [one.control for one in read_history(site.kafka).said]


def says(site: Settings, action: Any, artefact_id: str | None = None) -> None:
    word = Control(
        control_id=f"{action}-{len(said(site))}", action=action, artefact="model", artefact_id=artefact_id, by="zhang",
        reason="why",
    )  # fmt: skip
    Deciding(site.kafka).write(word)


def refusals(site: Settings) -> list[tuple[int, str, str | None]]:
    letters = [one for one in dead_letters(site.kafka.bootstrap) if one.topic == topics.MODEL_REQUEST]
    return sorted((one.offset, one.reason, one.field) for one in letters)


def answer_all(site: Settings, folder: Any, eventually: Callable[..., None], count: int) -> None:
    """Run a worker until it has answered so many requests, and every control record is in the log."""
    broker = site.kafka.bootstrap
    with worker(site, folder / "log"):
        eventually(lambda: committed(broker, topics.MODEL_REQUEST) == count, deadline_s=60, what="answered")
        eventually(
            lambda: in_log(site) == {one.control_id for one in said(site)},
            deadline_s=30,
            what="control records in the log",
        )


def test_what_is_no_request_for_a_proposed_candidate_is_refused_by_name(site, tmp_path, eventually):
    held = proposed(site, 1, status="held")
    odd = proposed(site, 2, unscorable(2))
    without_bytes = proposed(site, 3, published=False)
    old, late = proposed(site, 4), proposed(site, 5, as_of=2**60)
    unwritten = "0" * 64
    requests: list[tuple[Any, str | None, str | None]] = [
        (b"\xff\xfe", "not_json", None),
        (b"", "not_json", None),
        (None, "not_json", None),
        (b"[1]", "wrong_type", None),
        (DEEP, "wrong_type", None),
        (b'{"model_id":"%s"}' % held.encode(), "wrong_type", None),
        (asking(held)[:-1] + b',"by":"zhang"}', "wrong_type", None),
        (msgspec.json.encode(Control(control_id="c", action="model_resume", by="l", reason="r")), "wrong_type", None),
        ((asking(old), []), "unknown_version", "schema"),
        ((asking(old), FOREIGN), "unknown_version", "schema"),
        (asking("../../etc"), "wrong_type", None),
        (b'{"pad":"' + b"x" * 70_000, "oversized", None),
        (asking(unwritten), "model_unknown", "model_id"),
        (asking(without_bytes), "model_unknown", "model_id"),
        (asking(held), "model_held", "model_id"),
        (asking(odd), "model_held", "model_id"),
        (asking(old), "model_overtaken", "model_id"),
        (asking(late), "time_in_future", "as_of"),
    ]
    outbox = Outbox(site.kafka.bootstrap)
    outbox.send(topics.MODEL_REPORT, b'{"type":"candidate","x":' + DEEP + b"}")  # whoever has learn's password may
    outbox.drain()
    ask(site, *(one for one, _, _ in requests))
    answer_all(site, tmp_path, eventually, len(requests))
    assert refusals(site) == [(n, reason, field) for n, (_, reason, field) in enumerate(requests)]
    assert said(site) == []
    letters = dead_letters(site.kafka.bootstrap)
    assert all(one.sealed is None for one in letters), "they stand in a topic of our own"


def test_a_candidate_of_another_month_than_its_date_is_refused(site, tmp_path, eventually):
    """Else learn's password would bring any number of models into force, one after the other."""
    ask(site, asking(proposed(site, 1, month=FIRST_MONTH + 2)))
    answer_all(site, tmp_path, eventually, 1)
    assert refusals(site) == [(0, "model_unknown", "month")]
    assert said(site) == []


def test_what_learn_has_proposed_is_granted_once_however_often_it_is_asked_for(site, tmp_path, eventually):
    first, stale = proposed(site, 1), len(said(site))
    ask(site, asking(first), asking(first), asking(first, 7))
    answer_all(site, tmp_path, eventually, 3)
    (control,) = said(site)
    assert (control.action, control.artefact, control.artefact_id, control.by, control.author) == (
        *("activate", "model", first, "learn", "learn"),
    )
    assert control.reason == "50 labels matured up to 2024-11-30"
    (record,) = read(site.kafka.bootstrap, topics.CONTROL)
    assert record.headers == [("schema", SCHEMA.encode())]
    assert refusals(site) == [(2, "model_overtaken", "model_id")], "it is in force already"
    known = read_history(site.kafka).decided_offset
    soon = proposed(site, 2)
    ask(site, asking(soon, known), asking(soon, stale))
    later = proposed(site, 4, in_force_id=first)
    ask(site, asking(later, stale), asking(later, known))
    answer_all(site, tmp_path, eventually, 7)
    assert [one.artefact_id for one in said(site)] == [first, later]
    assert refusals(site)[1:] == [
        (3, "model_overtaken", "model_id"), (4, "model_overtaken", "model_id"), (5, "model_overtaken", "model_id"),
    ]  # fmt: skip
    compared_with_another = proposed(site, 6, in_force_id=first)
    ask(site, asking(compared_with_another, read_history(site.kafka).decided_offset))
    answer_all(site, tmp_path, eventually, 8)
    assert refusals(site)[4:] == [(7, "model_overtaken", "model_id")]


def test_two_switches_keep_their_distance_whatever_learn_asks_for(site, tmp_path, eventually):
    ask(site, asking(proposed(site, 1)))
    answer_all(site, tmp_path, eventually, 1)
    (first,) = said(site)
    later = proposed(site, 2, in_force_id=first.artefact_id)
    ask(site, asking(later, read_history(site.kafka).decided_offset))
    answer_all(site, tmp_path, eventually, 2)
    assert refusals(site) == [(1, "model_too_soon", "model_id")]
    assert len(said(site)) == 1


def test_after_an_operator_went_back_requests_are_refused_until_resume(site, tmp_path, eventually):
    """One that was on its way, and one that knows of it."""
    first = proposed(site, 1)
    says(site, "activate", first)
    before = read_history(site.kafka).decided_offset
    later = proposed(site, 6)
    says(site, "activate", prior_id())
    ask(site, asking(later, before), asking(later, read_history(site.kafka).decided_offset))
    answer_all(site, tmp_path, eventually, 2)
    assert refusals(site) == [(0, "model_paused", "model_id"), (1, "model_paused", "model_id")]
    says(site, "model_resume")
    next_one, known = proposed(site, 9), read_history(site.kafka).decided_offset
    ask(site, asking(later, known), asking(next_one, before), asking(next_one, known))
    answer_all(site, tmp_path, eventually, 5)
    assert refusals(site)[2:] == [(2, "model_overtaken", "model_id"), (3, "model_overtaken", "model_id")]
    assert [one.by for one in said(site)] == ["zhang", "zhang", "zhang", "learn"]
    assert read_history(site.kafka).in_force_id == next_one


def test_where_a_person_accepts_every_request_is_refused(site, tmp_path, eventually):
    by_default = msgspec.structs.replace(site, learn=LearnSettings())
    ask(by_default, asking(proposed(by_default, 1)), b"{")
    answer_all(by_default, tmp_path, eventually, 2)
    assert refusals(by_default) == [(0, "activation_off", "model_id"), (1, "not_json", None)]
    assert said(by_default) == []


def test_what_was_granted_is_no_dead_letter_of_a_worker_with_other_settings(site):
    """The first worker has ended before it could commit."""
    request = asking(proposed(site, 1))
    rows = chunk_of(topics.MODEL_REQUEST, 0, 0, [(None, request, HEADERS, 2**42)]).rows([0])
    by_default = msgspec.structs.replace(site, learn=LearnSettings())
    assert [one is not None and one.reason for one in answered(by_default, rows)] == ["activation_off"]
    assert answered(site, rows) == [None]
    assert answered(by_default, rows) == [None]


@pytest.mark.parametrize("where", ["_request", "read_history", "_refusal", "_decided"])
def test_what_ingest_does_not_expect_refuses_the_request_and_ends_no_worker(site, monkeypatch, caplog, where):
    def raises(*_: Any, **__: Any) -> None:
        raise KeyError("no such indicator")

    model_id = proposed(site, 1)
    rows = chunk_of(topics.MODEL_REQUEST, 0, 0, [(None, asking(model_id), HEADERS, 2**42)]).rows([0])
    monkeypatch.setattr(model_requests, where, raises)
    (why,) = answered(site, rows)
    assert why is not None
    assert (why.reason, why.detail) == ("model_held", "it cannot be judged: KeyError; the log of ingest has the rest")
    assert "KeyError: 'no such indicator'" in caplog.text
    assert said(site) == []


def test_a_request_whose_model_cannot_be_read_of_refuses_no_other(site, monkeypatch):
    poison, good, read_whole = proposed(site, 1), proposed(site, 2), model_requests.read_history

    def raises(*args: Any, only: set[str] | None = None, **more: Any) -> Any:
        if only is not None and poison in only:
            raise KeyError("no such indicator")
        return read_whole(*args, only=only, **more)

    monkeypatch.setattr(model_requests, "read_history", raises)
    asked = [prior_id(), prior_id(), poison, good, prior_id()]
    rows = chunk_of(topics.MODEL_REQUEST, 0, 0, [(None, asking(one), HEADERS, 2**42) for one in asked]).rows(range(5))
    answers: list[Any] = []
    while len(answers) < len(rows):
        answers += answered(site, rows[len(answers) :])
    assert [answer and answer.reason for answer in answers] == [
        "model_unknown", "model_unknown", "model_held", None, "model_unknown",
    ]  # fmt: skip
    assert [one.artefact_id for one in said(site)] == [good]


@pytest.mark.parametrize("where", ["_request", "read_history", "_refusal", "_decided"])
def test_an_error_of_the_machine_refuses_nothing(site, monkeypatch, where):
    def raises(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    rows = chunk_of(topics.MODEL_REQUEST, 0, 0, [(None, asking(proposed(site, 1)), HEADERS, 2**42)]).rows([0])
    with monkeypatch.context() as full:
        full.setattr(model_requests, where, raises)
        with pytest.raises(OSError, match="No space left on device"):
            answered(site, rows)
    assert answered(site, rows) == [None]


def in_log(site: Settings) -> set[str]:
    """Ids of control records in the log; one may come again, as any record."""
    events = [one.event for one in log_records(site.kafka.bootstrap)[0]]
    return {one.control_id for one in events if isinstance(one, Control)}


DIES = "import os, signal\ndie = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
STEPS = {
    "before it decides": "from streams.ingest import model_requests\nmodel_requests.Deciding = die\n",
    "with the decision open": "from streams.model_decisions import Deciding\nDeciding.write = die\n",
    "in the transaction": "from confluent_kafka import Producer\nfrom streams import model_decisions\n"
    "class Dying(Producer):\n    commit_transaction = die\nmodel_decisions.Producer = Dying\n",
    "after the control record": "from streams.model_decisions import Deciding\nwrote = Deciding.write\n"
    "Deciding.write = lambda self, control: (wrote(self, control), die())\n",
    "before it is committed": "from streams.ingest.model_requests import ModelRequests\n"
    "ModelRequests._take_answers = die\n",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_between_any_two_steps_grants_once(site, tmp_path, eventually, step):
    model_id = proposed(site, 1)
    ask(site, asking(model_id), b"{")
    with worker(site, tmp_path / "log", before=DIES + STEPS[step]) as process:
        assert process.wait(patience_s(60)) == -signal.SIGKILL
    assert len(said(site)) == (step in ("after the control record", "before it is committed"))
    answer_all(site, tmp_path, eventually, 2)
    assert [one.artefact_id for one in said(site)] == [model_id]
    assert refusals(site) == [(1, "not_json", None)]


OPERATOR_FIRST = """
import sys, msgspec
from config.settings import Settings
from domain.events import Control
from streams.model_decisions import Deciding
wrote = Deciding.write
def first(self, control):
    Deciding.write = wrote
    kafka = msgspec.json.decode(sys.argv[1], type=Settings).kafka
    Deciding(kafka).write(msgspec.structs.replace(control, control_id="back", artefact_id="PRIOR", by="zhang"))
    wrote(self, control)
Deciding.write = first
"""


def test_an_operator_who_decides_meanwhile_is_not_overtaken(site, tmp_path, eventually):
    """He goes back between ingest's look and its word: its word is not written, and the request is refused."""
    first = proposed(site, 1)
    says(site, "activate", first)
    later = proposed(site, 6, in_force_id=first)
    known = read_history(site.kafka).decided_offset
    overtaken = OPERATOR_FIRST.replace("PRIOR", prior_id())
    ask(site, asking(later, known))
    with worker(site, tmp_path / "log", before=overtaken):
        eventually(lambda: committed(site.kafka.bootstrap, topics.MODEL_REQUEST) == 1, deadline_s=60, what="answered")
    assert [one.by for one in said(site)] == ["zhang", "zhang"]
    assert refusals(site) == [(0, "model_paused", "model_id")]


def test_a_batch_that_cannot_be_read_is_quarantined_once_and_stops_nobody(site, tmp_path, eventually):
    """Two workers after each other meet it: the second begins before it, as after a kill."""
    model_id = proposed(site, 1)
    not_rising = Batch(rows=[Row(delta=delta) for delta in (0, 1, 1)], last_delta=2)
    assert produce(site.kafka.bootstrap, topics.MODEL_REQUEST, not_rising.encoded()).base_offset == 0
    ask(site, asking(model_id), b"{")
    for _ in range(2):
        answer_all(site, tmp_path, eventually, 5)
        (batch,) = quarantine(site.kafka.bootstrap)
        assert (batch.topic, batch.offset, batch.next_offset) == (topics.MODEL_REQUEST, 0, 3)
        assert batch.reason == "offset_delta"
        assert set(refusals(site)) == {(4, "not_json", None)}
        assert [one.artefact_id for one in said(site)] == [model_id]
        commit(site.kafka.bootstrap, "test-ingest", {(topics.MODEL_REQUEST, 0): 0})
        assert read_feeds(site).paused() == {}, "nobody has to resume it"


def test_the_ledger_counts_what_became_of_each_request(site, tmp_path, eventually):
    """Once it has dropped one, that is missed."""
    model_id = proposed(site, 1)
    not_rising = Batch(rows=[Row(delta=delta) for delta in (0, 1, 1)], last_delta=2)
    produce(site.kafka.bootstrap, topics.MODEL_REQUEST, not_rising.encoded())
    ask(site, asking(model_id), asking(model_id), b"{", None, asking("unknown"))
    answer_all(site, tmp_path, eventually, 8)
    ledger = take_stock(site, None)
    (found,) = [one for one in ledger.inputs if one.topic == topics.MODEL_REQUEST]
    assert (found.consumed, found.accepted, found.quarantined) == (8, 2, 3)
    assert sum(found.dead_lettered.values()) == 3
    assert ledger.balanced
    ask(site, asking("nobody's"))
    commit(site.kafka.bootstrap, "test-ingest", {(topics.MODEL_REQUEST, 0): 9})  # as if ingest had answered it
    ledger = take_stock(site, None)
    assert [one.where for one in ledger.checks if not one.holds] == ["model.request.v1[0]"]


def test_the_ledger_counts_requests_only_as_far_back_as_what_became_of_them_is_kept(
    site, tmp_path, eventually, monkeypatch
):
    """After thirty days their dead letters and their batch are gone, and they are not."""
    not_rising = Batch(rows=[Row(delta=delta) for delta in (0, 1, 1)], last_delta=2)
    produce(site.kafka.bootstrap, topics.MODEL_REQUEST, not_rising.encoded())
    ask(site, b"{", asking("unknown"))
    answer_all(site, tmp_path, eventually, 5)
    assert take_stock(site, None).balanced
    admin = AdminClient({"bootstrap.servers": site.kafka.bootstrap})
    gone = [TopicPartition(topic, 0, OFFSET_END) for topic in (topics.DEAD_LETTERS, topics.QUARANTINE)]
    for deleted in admin.delete_records(gone).values():
        deleted.result(20)
    with pytest.raises(ReadingFailed):
        take_stock(site, None)
    now_s = time.time() + 31 * 86_400
    monkeypatch.setattr(time, "time", lambda: now_s)
    ledger = take_stock(site, None)
    (found,) = [one for one in ledger.inputs if one.topic == topics.MODEL_REQUEST]
    assert (found.first_offset, found.consumed, ledger.balanced) == (5, 0, True)


def test_where_kafka_does_not_answer_a_request_waits(site, monkeypatch, caplog):
    """The first attempt fails, the second is of before the partition was assigned anew, the third counts."""
    now_s, attempts = [0.0], Counter[str]()
    requests = ModelRequests(site, clock=lambda: now_s[0])
    chunk = chunk_of(topics.MODEL_REQUEST, 0, 5, [(b"k", asking(prior_id()), [], 0)])

    def granted(*_: Any) -> list[None]:
        attempts["made"] += 1
        if attempts["made"] == 1:
            raise ArtefactMissing("control.v1 not read to its end")
        return [None]

    held = Quarantine(site, load_sealer(site.seal.public_key_file))

    async def settled(out: MarkedOutbox) -> None:
        requests.settle(out, held)
        await requests.close()

    async def story(out: MarkedOutbox) -> None:
        requests.take(chunk)
        await settled(out)
        with caplog.at_level(logging.WARNING):
            requests.settle(out, held)
        assert "waits, to be tried again: control.v1 not read to its end" in caplog.text
        assert (requests.is_paused, requests.low_offset(out), attempts["made"]) == (True, None, 1)
        assert requests.held == 1
        now_s[0] += model_requests.AGAIN_S
        await settled(out)
        requests.begin()
        assert (requests.is_paused, requests.held) == (False, 0)
        requests.take(chunk)
        await settled(out)  # takes what is old, and answers anew
        assert requests.low_offset(out) is None
        requests.settle(out, held)
        assert (requests.is_paused, requests.low_offset(out), attempts["made"]) == (False, 6, 3)
        assert requests.counts == {"forwarded": 1}
        assert requests.rewinds() == {}

    monkeypatch.setattr(model_requests, "answered", granted)
    asyncio.run(story(MarkedOutbox(site.kafka.bootstrap)))
    assert REQUESTS.topic == topics.MODEL_REQUEST
