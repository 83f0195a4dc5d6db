from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlparse

import pytest
import redis

from embedded import PartMissing, RedisServer, StateUnreadable
from embedded.redis import Kind, Release, named_binary, release_of, server_binary
from tests.conftest import REDIS_SERVER_REQUIRED


@pytest.fixture(params=["valkey", "redis-server"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each of the two servers."""
    return _there(request.param)


def _there(kind: Kind) -> Kind:
    """The kind, where its server is there; a missing redis-server fails where it is required."""
    try:
        server_binary(kind)
    except PartMissing as absent:
        if REDIS_SERVER_REQUIRED:
            raise
        pytest.skip(str(absent))
    return kind


def test_it_has_the_flags_of_production(kind: Kind, redis_factory: Callable[..., RedisServer]) -> None:
    with redis.Redis.from_url(redis_factory(kind=kind).url, decode_responses=True) as client:
        found = client.config_get("maxmemory-policy", "appendonly", "appendfsync", "bind", "protected-mode", "save")
        name = client.info("server").get("server_name", "redis")
    assert found == {
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "bind": "127.0.0.1",
        "protected-mode": "yes",
        "save": "",
    }
    assert name == kind.removesuffix("-server")


def test_keys_survive_a_stop_and_a_kill(kind: Kind, redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(kind=kind)
    url = server.url
    with redis.Redis.from_url(url) as client, redis.Redis.from_url(server.socket_url) as by_socket:
        client.set("stopped", 1)
        assert server.restart() == url
        assert by_socket.get("stopped") == b"1"
        client.set("killed", 2)
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        assert server.restart() == url
        assert client.mget("stopped", "killed") == [b"1", b"2"]


def is_written(client: redis.Redis, key: str) -> bool:
    try:
        return bool(client.set(key, b"x" * 100_000))
    except redis.OutOfMemoryError:
        return False


def test_a_full_server_refuses_writes_and_evicts_nothing(kind: Kind, redis_factory: Callable[..., RedisServer]) -> None:
    with redis.Redis.from_url(redis_factory(kind=kind, maxmemory="8mb").url) as client:
        client.set("first", b"kept")
        written = list(takewhile(lambda number: is_written(client, f"filling:{number}"), range(1_000)))
        assert 0 < len(written) < 1_000
        assert client.get("first") == b"kept"
        assert client.dbsize() == 1 + len(written)


def test_the_bundled_server_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redis-server found on PATH later could not read the bundled server's files."""
    host = tmp_path / "redis-server"
    host.write_text("#!/bin/sh\necho 'Redis server v=7.0.15 sha=00000000:0'\n")
    host.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server_binary("auto") == server_binary("valkey")
    assert RedisServer(tmp_path / "state").release.product == "Valkey"
    assert server_binary("redis-server") == host == named_binary("redis-server")
    assert release_of(host) == Release("Redis", "7.0.15")


def test_a_state_that_the_server_cannot_read_is_refused_in_a_sentence(
    tmp_path: Path, redis_factory: Callable[..., RedisServer]
) -> None:
    """Debian's redis-server reports a file of Valkey 9 as damaged, and advises to cut it."""
    _there("redis-server")
    bundled = redis_factory(kind="valkey")
    with redis.Redis.from_url(bundled.url) as client:
        client.set("kept", 1)
    bundled.stop()
    assert (bundled.directory / "written-by").read_text() == f"{bundled.release}\n"
    before = {path: path.read_bytes() for path in bundled.directory.rglob("*.*")}
    with pytest.raises(StateUnreadable) as refused:
        redis_factory(kind="redis-server")
    said = str(refused.value)
    assert said.startswith(f"{bundled.directory} was written by {bundled.release}, which Redis ")
    assert "run Valkey 9.1 or newer (--redis-server names one" in said
    assert said.endswith("or begin anew with --fresh")
    assert "\n" not in said
    assert {path: path.read_bytes() for path in bundled.directory.rglob("*.*")} == before
    again = redis_factory(kind="valkey")
    with redis.Redis.from_url(again.url) as client:
        assert client.get("kept") == b"1"


def test_the_bundled_server_goes_on_with_the_state_of_a_hosts_redis_and_has_it_then(
    redis_factory: Callable[..., RedisServer],
) -> None:
    host = redis_factory(kind=_there("redis-server"))
    if not release_of(server_binary("valkey")).reads(host.release):
        pytest.skip(f"{host.release} is newer than what Valkey reads")
    with redis.Redis.from_url(host.url) as client:
        client.set("kept", 1)
    host.stop()
    assert (host.directory / "written-by").read_text() == f"{host.release}\n"
    bundled = redis_factory(kind="valkey")
    with redis.Redis.from_url(bundled.url) as client:
        assert client.get("kept") == b"1"
    bundled.stop()
    with pytest.raises(StateUnreadable, match="was written by Valkey"):
        redis_factory(kind="redis-server")


@pytest.mark.parametrize(
    ("writer", "reader", "reads"),
    [
        ("Redis 7.0.15", "Redis 7.0.11", True),
        ("Redis 7.0.15", "Redis 8.2.1", True),
        ("Redis 8.2.1", "Redis 7.4.10", False),
        ("Redis 10.0.0", "Redis 9.9.9", False),
        ("Redis 7.2.4", "Valkey 9.1.2", True),
        ("Redis 7.4.0", "Valkey 9.1.2", False),
        ("Valkey 9.1.2", "Valkey 9.1.0", True),
        ("Valkey 9.1.2", "Valkey 9.0.4", False),
        ("Valkey 9.1.2", "Redis 8.2.1", False),
        ("Valkey 8.1.0", "Valkey 9.1.2", True),
    ],
)
def test_releases_read_files_of_the_same_or_an_older_format(writer: str, reader: str, reads: bool) -> None:
    assert Release(*reader.split()).reads(Release(*writer.split())) is reads


def test_a_file_that_is_no_server_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PartMissing, match="no-such-server: no such program"):
        named_binary("no-such-server")
    with pytest.raises(PartMissing, match="/true is no server of Redis or Valkey, it says"):
        named_binary("true")
    (tmp_path / "written-by").write_text("")
    with pytest.raises(StateUnreadable, match=r"written-by: '' names no server: begin anew with --fresh"):
        RedisServer(tmp_path).launch()


def test_a_directory_too_deep_for_a_socket_gets_one_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    with RedisServer(deep) as server, redis.Redis.from_url(server.socket_url) as client:
        assert client.ping()
        assert deep not in Path(urlparse(server.socket_url).path).parents


def test_the_url_of_each_test_is_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


test_the_url_of_the_next_test_is_empty_too = test_the_url_of_each_test_is_empty
