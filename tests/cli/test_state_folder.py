"""The state folder's Redis: which server runs on it is a setting, and one that cannot read it is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replay.province.source import demo, sample
from replay.state import open_state
from streams.score.version import engine_version


def test_a_newer_servers_state_is_refused_with_a_remedy(answered: Callable[..., Any], tmp_path: Path) -> None:
    state = tmp_path / "state"
    open_state(state, f"{sample().identity}, engine {engine_version()}")
    (state / "redis").mkdir()
    (state / "redis" / "written-by").write_text("Valkey 99.1.0\n")
    code, _, err = answered("replay", "sample", "--state", state)
    assert code == 2
    said = err.splitlines()[-1]
    assert said.startswith(f"xinliu replay: {state / 'redis'} was written by Valkey 99.1.0, which ")
    assert "run Valkey 99.1 or newer" in said
    assert said.endswith("or begin anew with --fresh")
    assert sorted(path.name for path in (state / "redis").iterdir()) == ["written-by"], "it was not started"


@pytest.mark.parametrize("verb", [("demo", "--enterprises", 500, "--banks", 20), ("replay", "sample")])
def test_the_state_of_another_engine_is_refused_with_a_remedy(
    answered: Callable[..., Any], tmp_path: Path, verb: tuple[object, ...]
) -> None:
    state = tmp_path / "state"
    source = demo(500, 20) if verb[0] == "demo" else sample()
    open_state(state, f"{source.identity}, engine 0123456789abcdef")
    code, _, err = answered(*verb, "--state", state)
    assert code == 2
    assert "holds the state of another replay or version" in err
    assert err.splitlines()[-1].endswith("use --fresh")
    assert [path.name for path in state.iterdir()] == ["xinliu-state.json"], "nothing was started"


@pytest.mark.parametrize("by_environment", [False, True])
def test_a_program_that_is_no_server_is_a_wrong_setting(
    answered: Callable[..., Any], tmp_path: Path, by_environment: bool
) -> None:
    words, environ = ("--redis-server", "true"), {}
    if by_environment:
        words, environ = (), {"XINLIU_REDIS_SERVER": "true"}
    code, _, err = answered("demo", "--state", tmp_path / "state", *words, **environ)
    assert code == 2
    assert "--redis-server: " in err
    assert "is no server of Redis or Valkey" in err
    assert not (tmp_path / "state").exists()


def test_servers_of_ones_own_have_their_own_redis(answered: Callable[..., Any], tmp_path: Path) -> None:
    settings = tmp_path / "xinliu.toml"
    settings.write_text("")
    code, _, err = answered("--config", settings, "replay", "sample", "--redis-server", "redis-server")
    assert code == 2
    assert "--config names servers of yours" in err
