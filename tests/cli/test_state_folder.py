"""The state folder's Redis: which server runs on it is a setting, and one that cannot read it is refused."""

import subprocess
from pathlib import Path

import pytest

from replay.simulate import sample
from replay.state import open_state
from tests.cli.kit import xinliu
from tests.patience import patience_s


def call(*words: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    argv, own = xinliu(*words)
    env = {**own, "LC_ALL": "C.UTF-8", **environ}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=patience_s(120))


def test_what_a_newer_server_wrote_is_refused_in_a_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    state = tmp_path / "state"
    open_state(state, sample().identity)
    (state / "redis").mkdir()
    (state / "redis" / "written-by").write_text("Valkey 99.1.0\n")
    done = call("replay", "sample", "--state", state)
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"xinliu replay: {state / 'redis'} was written by Valkey 99.1.0, which ")
    assert "run Valkey 99.1 or newer" in said
    assert said.endswith("or begin anew with --fresh")
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in (state / "redis").iterdir()) == ["written-by"], "it was not started"


@pytest.mark.parametrize("by_environment", [False, True])
def test_a_program_that_is_no_server_is_a_wrong_setting(tmp_path: Path, by_environment: bool) -> None:
    words, environ = ("--redis-server", "true"), {}
    if by_environment:
        words, environ = (), {"XINLIU_REDIS_SERVER": "true"}
    done = call("demo", "--state", tmp_path / "state", *words, **environ)
    assert done.returncode == 2
    assert "--redis-server: " in done.stderr
    assert "is no server of Redis or Valkey" in done.stderr
    assert not (tmp_path / "state").exists()


def test_servers_of_ones_own_have_their_own_redis(tmp_path: Path) -> None:
    settings = tmp_path / "xinliu.toml"
    settings.write_text("")
    done = call("--config", settings, "replay", "sample", "--redis-server", "redis-server")
    assert done.returncode == 2
    assert "--config names servers of yours" in done.stderr
