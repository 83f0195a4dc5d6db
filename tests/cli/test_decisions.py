"""`xinliu backfill`, `late`, `artefact`: control records, signed, written once, after a check of their subject."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detectors.prior import prior_snapshot
from detectors.rules.artefact import packaged
from domain import topics
from domain.events import Control
from sinks.kafka import Outbox
from sinks.redis_store import opened
from streams import control_log
from streams.score.version import engine_version
from tests.cli.conftest import Engine
from tests.faults import Fault
from tests.streams.score.kit import BANK, OTHER_BANK

SIGNED = ("--by", "张三", "--reason", "季度复核")


def controls(engine: Engine) -> tuple[Control, ...]:
    return control_log.read(engine.settings).controls


def test_a_backfill_opens_and_closes_once_and_remembers_who_and_why(engine: Engine, called: Callable[..., Any]) -> None:
    before = len(controls(engine))
    assert called("backfill", "close", *SIGNED)[:2] == (0, "no backfill is open\n")
    assert called("backfill", "open", *SIGNED)[0] == 0
    code, out, _ = called("backfill", "open", "--by", "another", "--reason", "again")
    assert (code, out) == (0, "a backfill is open already (张三: 季度复核)\n")
    assert called("backfill", "close", *SIGNED)[0] == 0
    assert called("backfill", "open", *SIGNED)[0] == 0
    assert called("backfill", "close", *SIGNED)[0] == 0
    said = controls(engine)[before:]
    assert [one.action for one in said] == ["backfill_open", "backfill_close"] * 2
    assert {(one.by, one.reason) for one in said} == {("张三", "季度复核")}
    assert len({one.control_id for one in said}) == 4, "the second opening is a word of its own"
    code, out, _ = called("backfill", "list", lang="zh_CN.UTF-8")
    assert (code, out.splitlines()[-1]) == (0, "关闭  张三: 季度复核")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--by is needed"),
        (("--by", "zhang"), "--reason is needed"),
        (("--by", " ", "--reason", "x"), "--by is needed"),
        (("--by", "z" * 33, "--reason", "x"), "33"),
        (("--by", "learn", "--reason", "x"), "how learn signs"),
        (("--by", "z", "--reason", "x" * 257), "257"),
    ],
)
def test_nothing_is_decided_without_who_and_why(
    engine: Engine, called: Callable[..., Any], words: tuple[str, ...], said: str
) -> None:
    before = controls(engine)
    code, _, err = called("backfill", "open", *words)
    assert (code, said in err) == (1, True), err
    assert controls(engine) == before


def test_late_records_are_listed_by_bank_and_day_and_each_with_its_coordinates(
    engine: Engine, called: Callable[..., Any]
) -> None:
    code, out, err = called("late", "list", "--json")
    assert code == 0, err
    rows = json.loads(out)
    assert {row["bank_id"] for row in rows} <= {BANK, OTHER_BANK}
    code, out, _ = called("late", "list", "--each", "--json")
    each = [json.loads(line) for line in out.splitlines()]
    assert len(each) == sum(row["count"] for row in rows) > 3
    assert all(one["event_id"].startswith("late") and one["admitted_by"] is None for one in each)
    code, out, _ = called("late", "list")
    assert out.splitlines()[-1] == f"{len(each):>8}  in all"
    code, out, _ = called("late", "list", "--bank", "邕江", "--each")
    assert all(f"  {OTHER_BANK}  " in line for line in out.splitlines())


def test_a_late_record_is_admitted_once_and_only_one_that_is_there(engine: Engine, called: Callable[..., Any]) -> None:
    first = json.loads(called("late", "list", "--each", "--json")[1].splitlines()[0])
    where = (str(first["partition"]), str(first["offset"]))
    before = len(controls(engine))
    code, _, err = called("late", "admit", where[0], "999999", *SIGNED)
    assert (code, "late.v1 has no events.v1:" in err) == (1, True)
    assert called("late", "admit", *where, *SIGNED)[0] == 0
    code, out, _ = called("late", "admit", *where, *SIGNED)
    assert (code, "admitted before (张三: 季度复核)" in out) == (0, True)
    (word,) = controls(engine)[before:]
    assert (word.action, word.artefact_id) == ("admit", f"events.v1:{where[0]}:{where[1]}")
    again = [json.loads(line) for line in called("late", "list", "--each", "--json")[1].splitlines()]
    assert [one["admitted_by"] for one in again if one["offset"] == first["offset"]] == ["张三"]


def other_model() -> bytes:
    """A model that is none of those that are out."""
    prior = prior_snapshot()
    return msgspec.structs.replace(prior, intercept_micro=prior.intercept_micro + 1).encode()


def test_a_model_is_checked_published_and_activated_once(
    engine: Engine, called: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "model.json"
    file.write_bytes(other_model())
    name = hashlib.sha256(file.read_bytes()).hexdigest()
    code, out, _ = called("artefact", "list")
    assert (code, name in out, "none was ever activated" in out) == (0, False, True)
    code, _, err = called("artefact", "activate", "model", name, *SIGNED)
    assert (code, "0 ids" in err) == (1, True), "not there yet"
    assert called("artefact", "publish", "model", str(file))[:2] == (0, f"{name}\n")
    assert called("artefact", "publish", "model", str(file))[:2] == (0, f"published already: {name}\n")
    row = {"kind": "model", "id": name, "bytes": len(file.read_bytes()), "in_force": False, "by": None, "reason": None}
    assert row in json.loads(called("artefact", "list", "--json")[1])
    code, _, err = called("artefact", "activate", "model", name[:5], *SIGNED)
    assert code == 1, "five digits are too few to name it by"
    before = len(controls(engine))
    assert called("artefact", "activate", "model", name[:8], *SIGNED)[0] == 0
    code, out, _ = called("artefact", "activate", "model", name, *SIGNED)
    assert (code, "in force already" in out) == (0, True)
    (word,) = controls(engine)[before:]
    assert (word.action, word.artefact, word.artefact_id) == ("activate", "model", name)
    in_force = [row for row in json.loads(called("artefact", "list", "--json")[1]) if row["in_force"]]
    assert [(row["id"], row["by"]) for row in in_force] == [(name, "张三")]


def test_an_engine_is_activated_once_by_its_own_program(engine: Engine, called: Callable[..., Any]) -> None:
    before = len(controls(engine))
    code, _, err = called("engine", "activate")
    assert (code, "--by is needed" in err) == (1, True)
    code, out, _ = called("engine", "activate", *SIGNED)
    assert (code, f"engine {engine_version()}: the workers of the former engine stop there" in out) == (0, True)
    code, out, _ = called("engine", "activate", *SIGNED)
    assert (code, out) == (0, f"engine {engine_version()} is activated already (张三: 季度复核)\n")
    (word,) = controls(engine)[before:]
    assert (word.action, word.artefact, word.artefact_id) == ("engine_version", None, engine_version())
    other = msgspec.structs.replace(word, control_id="other", artefact_id="f" * 16)
    control_log.write(engine.settings, other)
    assert control_log.read(engine.settings).engine == other
    assert called("engine", "activate", *SIGNED)[0] == 0, "another one came between: it is said again"
    assert controls(engine)[-1].artefact_id == engine_version()


def test_rules_are_checked_and_published_beside_models(
    engine: Engine, called: Callable[..., Any], tmp_path: Path
) -> None:
    rules, wrong = tmp_path / "rules.json", tmp_path / "wrong.json"
    body = msgspec.structs.replace(packaged(), closes_to_lower=9).encode()
    rules.write_bytes(body)
    wrong.write_bytes(body.replace(b" >= ", b" => "))
    code, _, err = called("artefact", "publish", "rules", str(wrong))
    assert (code, "signal" in err) == (1, True), err
    assert called("artefact", "publish", "rules", str(rules))[0] == 0
    listed = [row for row in json.loads(called("artefact", "list", "--json")[1]) if row["kind"] == "rules"]
    assert [row["id"] for row in listed] == [hashlib.sha256(body).hexdigest()]


def test_an_artefact_that_score_would_refuse_is_not_published(
    engine: Engine, called: Callable[..., Any], tmp_path: Path
) -> None:
    prior = prior_snapshot()
    weights = dict(prior.weights_milli)
    weights["no_such_indicator"] = weights.pop(next(iter(weights)))
    for number, body in enumerate(
        (b"{}", b"\xff", msgspec.json.encode({**msgspec.to_builtins(prior), "weights_milli": weights}))
    ):
        file = tmp_path / f"{number}.json"
        file.write_bytes(body)
        code, out, err = called("artefact", "publish", "model", str(file))
        assert (code, out) == (1, ""), err
    code, _, err = called("artefact", "publish", "model", str(tmp_path / "none"))
    assert (code, "none" in err) == (1, True)
    # Neither is what lies in the topic and is no model, or does not hash to its id.
    outbox = Outbox(engine.settings.kafka.bootstrap)
    for key, body in ((hashlib.sha256(b"{}").hexdigest(), b"{}"), ("ab" * 32, other_model())):
        outbox.send(topics.MODEL, body, key=key.encode())
    outbox.drain()
    listed = {row["id"] for row in json.loads(called("artefact", "list", "--json")[1])}
    assert hashlib.sha256(b"{}").hexdigest() not in listed
    assert "ab" * 32 not in listed


def test_fault_15_operators_names_and_reasons_reach_no_terminal_raw(
    engine: Engine, called: Callable[..., Any], fault: Fault
) -> None:
    hostile = "张\x1b[2J\x9b\u202e"
    assert fault.inject(called, "backfill", "open", "--by", hostile, "--reason", hostile)[0] == 0
    for words in (("backfill", "open", *SIGNED), ("backfill", "list"), ("status", "--look-s", "0")):
        _, out, err = called(*words)
        assert not set("\x1b\x9b\u202e") & set(out + err), words
        assert "张\\u001b[2J\\u009b\\u202e" in out
    assert called("backfill", "close", *SIGNED)[0] == 0
    fault(observed="three verbs show it escaped")


def test_a_kafka_that_does_not_answer_is_exit_code_1(
    engine: Engine, called: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.cli.kit import settings_file

    monkeypatch.setattr(control_log, "READ_S_MAX", 2.0)
    kafka = msgspec.structs.replace(engine.settings.kafka, bootstrap="127.0.0.1:9")
    away = settings_file(tmp_path, msgspec.structs.replace(engine.settings, kafka=kafka))
    code, out, err = called("backfill", "open", *SIGNED, config=away)
    assert (code, out) == (1, "")
    assert "control.v1" in err


def test_what_a_program_comes_with_is_published_by_name(engine: Engine, called: Callable[..., Any]) -> None:
    for kind, body in (("rules", packaged().encode()), ("model", prior_snapshot().encode())):
        name = hashlib.sha256(body).hexdigest()
        assert called("artefact", "publish", kind, "packaged")[1] in (f"{name}\n", f"published already: {name}\n")
        assert name in {row["id"] for row in json.loads(called("artefact", "list", "--json")[1])}


@pytest.mark.parametrize("kind", ["model", "rules"])
def test_an_engine_is_not_activated_over_what_it_cannot_go_on_with(
    engine: Engine, called: Callable[..., Any], kind: str
) -> None:
    before, key = len(controls(engine)), f"{engine.settings.redis.key_prefix}:{{0}}:p"
    control_log.write(
        engine.settings,
        Control(control_id=f"to-{kind}", action="engine_version", artefact_id="f" * 16, by="op", reason="test"),
    )
    with opened(engine.settings.redis) as client:
        stored = client.get(key)
        client.set(key, msgspec.json.encode({**msgspec.json.decode(stored), f"{kind}_id": "e" * 64}))
        try:
            code, _, err = called("engine", "activate", *SIGNED)
        finally:
            client.set(key, stored)
    assert code == 1
    assert f"{kind} {'e' * 64} is in force, came with the former program" in err
    assert f"xinliu artefact publish {kind} packaged" in err
    assert len(controls(engine)) == before + 1
