"""`xinliu replay … --in-process` is broken off, and goes on where it was; files of events are replayed, or named."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import cramjam
import pytest

from replay.outputs import PACKED
from tests.cli.kit import xinliu
from tests.determinism import log as logs
from tests.patience import eventually, patience_s
from tests.processes import replays_of
from tests.replay.recordings import record

PARTITIONS = 4


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    log = logs.make(21, enterprises=200, partitions=PARTITIONS)
    return record(tmp_path_factory.mktemp("log") / "events.log", log)


@pytest.fixture(scope="module")
def whole(recording):
    """Return the outputs of an uninterrupted call."""
    path = recording.with_name("whole.jsonl")
    code, said = call("log", "--data", recording, "--outputs", path)
    assert code == 0, said
    return path.read_bytes()


def call(*words, lang="C.UTF-8"):
    argv, environ = xinliu("replay", *words, "--in-process")
    done = subprocess.run(
        argv, env={**environ, "LC_ALL": lang}, capture_output=True, text=True, timeout=patience_s(280)
    )
    return done.returncode, done.stdout + done.stderr


@contextmanager
def running(*words):
    argv, environ = xinliu("replay", *words, "--in-process")
    process = subprocess.Popen(
        argv, env={**environ, "LC_ALL": "C.UTF-8"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("suffix", ["", PACKED])
def test_killed_after_a_partition_it_goes_on_with_the_next(recording, whole, tmp_path, suffix):
    outputs = tmp_path / f"outputs.jsonl{suffix}"
    parts = tmp_path / f"{outputs.name}.parts"
    words = ("log", "--data", recording, "--outputs", outputs)
    with running(*words, "--processes", "2") as process:
        eventually(lambda: list(parts.glob("*.done")), 200.0, "a partition is done")
        children = replays_of(process.pid)
        assert len(children) == 2
        process.send_signal(signal.SIGKILL)
        process.wait()
    eventually(lambda: not any(map(is_running, children)), 10.0, "its processes have ended with it")
    done = {path: path.stat().st_mtime_ns for path in parts.glob("*.done")}
    assert 0 < len(done) < PARTITIONS
    assert not outputs.exists()
    (parts / ".half.written").write_text("as a kill leaves it")
    code, said = call(*words)
    assert code == 0, said
    assert f"{len(done)} partitions are done already" in said
    found = outputs.read_bytes()
    assert (bytes(cramjam.lz4.decompress(found)) if suffix else found) == whole
    assert list(tmp_path.iterdir()) == [outputs]


def test_a_killed_process_is_reported_and_finished_partitions_are_kept(recording, whole, tmp_path):
    outputs = tmp_path / "outputs.jsonl"
    words = ("log", "--data", recording, "--outputs", outputs)
    with running(*words, "--processes", "2") as process:
        eventually(lambda: list(tmp_path.glob("*.parts/*.done")), 200.0, "a partition is done")
        os.kill(replays_of(process.pid)[0], signal.SIGKILL)
        said, _ = process.communicate(timeout=patience_s(60))
    assert process.returncode == 1, said
    assert "of the replay ended with status -9" in said
    code, said = call(*words, "--processes", "1")
    assert code == 0, said
    assert outputs.read_bytes() == whole


def test_interrupted_it_ends_with_130_and_leaves_nothing_half_written(recording, tmp_path):
    outputs = tmp_path / "outputs.jsonl"
    parts = tmp_path / "outputs.jsonl.parts"
    for how in (signal.SIGINT, signal.SIGTERM):
        began_s = time.time()
        with running("log", "--data", recording, "--outputs", outputs, "--processes", "2", "--fresh") as process:
            # Those of the run before lie there until this one has begun.
            eventually(
                lambda began_s=began_s: [path for path in parts.glob("*.lines") if path.stat().st_mtime > began_s],
                200.0,
                "a partition is written",
            )
            process.send_signal(how)
            said, _ = process.communicate(timeout=patience_s(60))
        assert process.returncode == 130, said
        assert not outputs.exists()
        names = {path.name for path in parts.iterdir()} - {"lock", "xinliu-state.json"}
        numbers = {name.split(".")[0] for name in names}
        assert {f"{number}.lines" for number in numbers} <= names
        assert not [name for name in names if name.startswith(".")]


def test_the_unfinished_files_of_another_call_are_not_reused(recording, tmp_path):
    outputs = tmp_path / "outputs.jsonl"
    parts = tmp_path / "outputs.jsonl.parts"
    parts.mkdir()
    (parts / "mine.txt").write_text("not of a replay")
    code, said = call("log", "--data", recording, "--outputs", outputs)
    assert code == 2
    assert "is not empty and has no xinliu-state.json" in said
    assert (parts / "mine.txt").exists()
