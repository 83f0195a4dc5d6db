"""`xinliu replay log`: a recorded events.v1 gives the same bytes into a fresh topic, in process, and as recorded."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from domain import topics
from embedded import ChildFailed
from replay.log_file import LogFile
from replay.reading import read_topics
from replay.stack import Stack
from tests.cli.kit import xinliu
from tests.determinism import log as logs
from tests.patience import patience_s
from tests.replay.recordings import lines_of, record, write


def call(*words: str | Path) -> tuple[int, str]:
    argv, environ = xinliu(*words)
    environ |= {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=patience_s(280))
    return done.returncode, done.stdout + done.stderr


def without_offsets(path: Path) -> list[tuple[str, str, dict]]:
    """Return outputs without their record's place in the log."""
    found = []
    for line in path.read_text().splitlines():
        one = json.loads(line)
        for name in ("offset", "observation_id"):
            one["value"].pop(name, None)
        found.append((one["topic"], one["key"] or "", one["value"]))
    return sorted(found, key=lambda one: (one[0], one[1])) if found else found


def test_a_fresh_topic_and_this_process_say_the_same_bytes(tmp_path: Path) -> None:
    log = logs.make(11, enterprises=90, partitions=2)
    recording = record(tmp_path / "events.log", log)
    here, there, then = (tmp_path / f"{name}.jsonl" for name in ("here", "there", "then"))
    summary = tmp_path / "summary.json"
    replay = ("replay", "log", "--data", recording)
    code, said = call(*replay, "--in-process", "--outputs", here, "--summary", summary)
    assert code == 0, said
    found = json.loads(summary.read_bytes())
    assert found["records"] == sum(map(len, log.partitions)) == sum(found["outcomes"].values())
    for name in ("applied", "duplicate", "conflict", "late", "tick", "control", "unreadable"):
        assert found["outcomes"][name] > 0, name
    assert found["outputs"][topics.SCORE] > 1_000
    assert found["outputs"][topics.ALERT_BACKFILL] > 0
    assert found["outputs"][topics.INDICATOR] > 0
    assert any("raised" in name for name in found["alerts"])
    assert {one["value"]["model_id"] for one in map(json.loads, here.open()) if one["topic"] == topics.SCORE} == {
        logs.other_id(), logs.prior_id(),
    }, "both models scored"  # fmt: skip

    code, said = call(*replay, "--state", tmp_path / "state", "--outputs", there)
    assert code == 0, said
    assert "every record is accounted for" in said
    assert there.read_bytes() == here.read_bytes()
    assert found["digest"] in said

    code, said = call(*replay, "--in-process", "--as-recorded", "--outputs", then)
    assert code == 0, said
    assert then.read_bytes() != here.read_bytes(), "the recording has gaps, so its offsets are others"
    scores = [[one for one in without_offsets(path) if one[0] == topics.SCORE] for path in (here, then)]
    assert scores[0] == scores[1]


def test_servers_of_ones_own_take_a_log_once_and_one_that_ends_is_named(tmp_path: Path) -> None:
    log = logs.make(12, enterprises=20, partitions=2)
    recording = write(tmp_path / "log.gz", lines_of(log))  # of format 1
    here, there = (tmp_path / f"{name}.jsonl" for name in ("here", "there"))
    code, said = call("replay", "log", "--data", recording, "--in-process", "--outputs", here)
    assert code == 0, said
    with Stack(tmp_path / "servers", LogFile(recording).banks, log_partitions=2) as stack:
        stack.launch_workers(["score"])
        replay = ("--config", stack.settings_file, "replay", "log", "--data", recording)
        code, said = call(*replay, "--outputs", there)
        assert code == 0, said
        assert there.read_bytes() == here.read_bytes()
        code, said = call(*replay)
        assert code == 2
        assert "a recorded log goes into fresh topics (--fresh)" in said
        other = record(tmp_path / "other.log", logs.make(12, enterprises=20, partitions=3))
        code, said = call(*replay[:-1], other)
        assert code == 2
        assert "events.v1 has 2 partitions, the recording 3" in said
        stack.stop_workers()
        with redis.Redis.from_url(stack.settings.redis.url) as client:
            os.kill(client.info("server")["process_id"], signal.SIGKILL)
        with pytest.raises(ChildFailed, match=r"Redis ended \(signal 9, Killed\), and without it nothing goes on; "):
            stack.rest(patience_s(10))
        with pytest.raises(ChildFailed, match=r"Redis ended \(signal 9, Killed\)"):
            stack.__exit__(None, redis.ConnectionError("a client sees it first"), None)


def test_a_recording_equals_the_log_and_gives_the_same_outputs(engine, called, tmp_path) -> None:
    recording, outputs = tmp_path / "log.gz", tmp_path / "outputs.jsonl"
    code, _, said = called("replay", "log", "--record", str(recording))
    assert code == 0, said
    kafka = engine.settings.kafka
    held = {(read.partition, read.offset): read.value for read in read_topics(kafka, [topics.EVENTS])}
    recorded = [one for one in LogFile(recording).records() if one.topic == topics.EVENTS]
    assert {(one.partition, one.offset): one.value for one in recorded} == held
    assert recording.stat().st_mode & 0o077 == 0, "every transaction is in it"
    assert all(one.headers for one in recorded)
    code, said = call("replay", "log", "--data", recording, "--in-process", "--as-recorded", "--outputs", outputs)
    assert code == 0, said
    ours = {json.dumps(one["value"]) for one in map(json.loads, outputs.open()) if one["topic"] == topics.SCORE}
    theirs = {json.dumps(json.loads(read.value or b"")) for read in read_topics(kafka, [topics.SCORE])}
    assert outputs.stat().st_mode & 0o077 == 0
    assert ours >= theirs
    assert theirs


@pytest.mark.parametrize(
    ("words", "said", "zh"),
    [
        (["log"], "log needs --data FILE", "log 需要 --data 文件"),
        (["log", "--data", "x", "--speed", "60x"], "--speed does not go with log", "--speed 与 log 不能同用"),
        (["log", "--data", "x", "--as-recorded"], "--as-recorded needs --in-process", "--as-recorded 要与"),
        (["log", "--record", "x"], "--record needs --config", "--record 需要 --config"),
        (["sample", "--counts"], "--counts goes with replay log, or --in-process", "--counts 只用于 replay log 或"),
        (["sample", "--in-process", "--as-recorded"], "--as-recorded goes with replay log", "--as-recorded 只用于"),
        (["log", "--data", "x", "--counts"], "--counts needs --in-process", "--counts 要与 --in-process 同用"),
        (
            ["log", "--data", "x", "--in-process", "--counts", "--outputs", "y"],
            "--counts does not go with --outputs",
            "--counts 与 --outputs 不能同用",
        ),
        (
            ["log", "--record", "x", "--in-process"],
            "--record does not go with --in-process",
            "--record 与 --in-process",
        ),
        (["sample", "--check", "nowhere"], "--check nowhere: No such file", "--check nowhere: No such file"),
        (["log", "--data", "nowhere"], "nowhere: No such file", "nowhere: No such file"),
    ],
)
def test_a_wrong_call_is_answered_by_name_in_either_language(
    answered: Callable[..., Any], words: list[str], said: str, zh: str
) -> None:
    for lang, expected in (("C.UTF-8", said), ("zh_CN.UTF-8", zh)):
        code, _, text = answered("replay", *words, lang=lang)
        assert code == 2, text
        assert expected in text
