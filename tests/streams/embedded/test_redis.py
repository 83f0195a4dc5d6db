from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlparse

import pytest
import redis

from streams.embedded import RedisServer
from streams.embedded.redis import Kind, server_binary
from tests.conftest import REDIS_SERVER_REQUIRED


@pytest.fixture(params=["valkey", "redis-server"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each of the two servers; a missing redis-server fails where it is required."""
    try:
        server_binary(request.param)
    except RuntimeError as absent:
        if REDIS_SERVER_REQUIRED:
            raise
        pytest.skip(str(absent))
    return request.param  # type: ignore[no-any-return]


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
