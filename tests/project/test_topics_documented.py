"""The documents for subscribers equal the engine's messages: fields, JSON Schemas, AsyncAPI."""

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from detectors.prior import prior_snapshot
from detectors.rules.artefact import packaged
from docs.generate import messages
from docs.generate.messages import STRUCTS, meanings, topics
from docs.generate.schemas import asyncapi
from domain import events, outputs
from domain import topics as names
from tests.schemas import validator

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "docs/schemas").glob("*.json")}


def test_every_topic_that_the_code_names_is_documented() -> None:
    constants = {value for name, value in vars(names).items() if name.isupper()}
    made = {names.bank_events("{bank_id}"), names.bank_alerts("{bank_id}"), names.bank_cases("{bank_id}")}
    assert {topic.name for topic in topics()} == constants | made


def test_every_struct_of_events_and_outputs_is_documented() -> None:
    """But bases, and unions."""
    declared = {
        value
        for module in (events, outputs)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == module.__name__
    }
    bases = {events._Tagged, events.EnterpriseEvent, outputs.Audited}
    assert declared - bases == set(STRUCTS.values()) & declared
    assert {name for topic in topics() for name in topic.messages} | {"Instalment", "Feed"} == set(STRUCTS)


def test_every_field_says_what_it_means_in_both_languages() -> None:
    for name, fields in meanings().items():
        assert list(fields) == list(STRUCTS[name].__struct_fields__)
        for field, meaning in fields.items():
            assert len(meaning.english) > 2, f"{name}.{field}"
            assert any("\u4e00" <= c <= "\u9fff" for c in meaning.chinese), f"{name}.{field}"


def test_a_field_without_a_meaning_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = messages._tables()
    del tables["EnterpriseEvent"]["seq"]
    monkeypatch.setattr(messages, "_tables", lambda: tables)
    with pytest.raises(KeyError, match=r"field seq of \[EnterpriseEvent\]"):
        meanings.__wrapped__()


def test_a_meaning_without_a_field_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = messages._tables()
    tables["Score"]["colour"] = ["", "its colour", "颜色"]
    monkeypatch.setattr(messages, "_tables", lambda: tables)
    with pytest.raises(KeyError, match=r"no struct has Score\.colour"):
        meanings.__wrapped__()


ALERT = outputs.Alert(
    alert_id="a", episode_id="a", case_id="c", case_severity="red", revision=1, enterprise_id="E", signal="S",
    severity="red", state="raised", stock=False, opened_at=1, as_of=2, score=500, score_before=None,
    evidence=[outputs.Evidence(name="n", value_micro=None)], event_ids=[], loans=[], banks=["b"], title_zh="t",
    text_zh="t", suggested_action_zh="t", model_id="m", rules_id="r", offset=1, seq=0,
)  # fmt: skip


def alert(**fields: Any) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(ALERT, **fields))


MESSAGES = [
    ("alert.bank_id.v1.json", alert()),
    ("alert.supervisor.v1.json", alert(provisional_calendar=True)),
    ("backfill.alert.v1.json", alert(state="stale", reason="feed.stalled")),
    ("model.v1.json", prior_snapshot().encode()),
    ("artefact.v1.json", packaged().encode()),
    ("feed.v1.json", msgspec.json.encode(outputs.FeedQuestion())),
    (
        "dlq.v1.json",
        msgspec.json.encode(
            outputs.DeadLetter(
                topic="t",
                partition=0,
                offset=1,
                reason="not_json",
                field=None,
                detail="",
                event=outputs.EventName(type="txn", bank_id="b", enterprise_id="e", event_id="i", event_time=1),
                sealed=outputs.Sealed(key_id="0" * 16, box=b"abc"),
                payload_bytes=3,
            )
        ),
    ),
    (
        "bank.bank_id.events.v1.json",
        b'{"type":"receipt","bank_id":"C1010211000012","day":"2026-01-05","count":0,"debit_minor":0,"credit_minor":0}',
    ),
]


@pytest.mark.parametrize(("name", "message"), MESSAGES, ids=[name for name, _ in MESSAGES])
def test_the_engines_messages_match_their_schemas(name: str, message: bytes) -> None:
    validator(name).validate(json.loads(message))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("alert.bank_id.v1.json", {"severity": "purple"}),
        ("alert.bank_id.v1.json", {"revision": "1"}),
        ("alert.bank_id.v1.json", {"provisional_calendar": False}),
        ("bank.bank_id.events.v1.json", {"colour": "blue"}),
        ("bank.bank_id.events.v1.json", {"type": "gov"}),
    ],
)
def test_a_schema_refuses_what_is_wrong(name: str, wrong: dict[str, Any]) -> None:
    message = json.loads(dict(MESSAGES)[name]) | wrong
    assert list(validator(name).iter_errors(message))


def test_a_reader_may_meet_fields_that_it_does_not_know_and_a_bank_may_not_send_them() -> None:
    for topic in topics():
        if topic.value is None:
            continue
        closed = {
            name: definition.get("additionalProperties") is False
            for name, definition in SCHEMAS[f"{topic.slug}.json"]["$defs"].items()
            if definition.get("type") == "object"
        }
        if topic.writers == ("score",) and topic.name != names.OWNER:
            assert not any(closed.values()), topic.name
        if topic.name.startswith(("bank.", "gateway.", "desk.", "control.")):
            assert all(closed.values()), topic.name


def test_asyncapi_refers_to_what_is_there() -> None:
    document = json.loads(asyncapi())
    for reference in _references(document):
        if reference.startswith("#/"):
            place: Any = document
            for key in reference[2:].split("/"):
                place = place[key]
        else:
            assert (ROOT / "docs" / reference).is_file(), reference
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {topic.name for topic in topics() if topic.value is not None}
    assert len(SCHEMAS) == len(addresses), "no schema remains of a removed topic"
    actions = {(one["action"], one["channel"]["$ref"].rsplit("/", 1)[1]) for one in document["operations"].values()}
    assert actions == {(action, slug) for slug in document["channels"] for action in ("send", "receive")}


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    return [found for value in node for found in _references(value)] if isinstance(node, list) else []


def test_both_pages_have_the_same_topics_and_fields() -> None:
    pages = [(ROOT / f"docs/topics{suffix}.md").read_text(encoding="utf-8") for suffix in ("", ".zh-CN")]
    rows = [[line.split("|")[1] for line in page.splitlines() if line.startswith("| `")] for page in pages]
    headings = [[line for line in page.splitlines() if line.startswith("### ")] for page in pages]
    assert rows[0] == rows[1]
    assert headings[0] == headings[1]
    assert len(headings[0]) == len(topics()) + len(STRUCTS)


def test_the_states_and_severities_of_the_pages_are_those_of_the_type() -> None:
    page = (ROOT / "docs/topics.md").read_text(encoding="utf-8")
    for state in get_args(outputs.AlertState):
        assert f"| `{state}` |" in page
