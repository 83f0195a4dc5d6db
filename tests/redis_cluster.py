"""A Redis Cluster of three masters on the loopback, without replicas: real servers, slots dealt out in thirds."""

from pathlib import Path
from typing import Any, Self

import redis

from embedded import RedisServer
from embedded.ports import free_port
from embedded.redis import Kind
from tests.patience import eventually

MASTERS, SLOTS = 3, 16_384


class RedisCluster:
    """Three servers that know each other; `url` is as `[redis] url` names a cluster."""

    def __init__(self, directory: Path, kind: Kind = "auto") -> None:
        self.bus_ports = [free_port() for _ in range(MASTERS)]
        self.servers = [
            RedisServer(
                directory / f"master{n}",
                kind=kind,
                more={
                    "cluster-enabled": "yes",
                    "cluster-port": str(port),
                    "cluster-node-timeout": "2000",
                    # With `everysec` a master that is killed may lose what it acknowledged up to two seconds before.
                    "appendfsync": "always",
                },
            )
            for n, port in enumerate(self.bus_ports)
        ]

    @property
    def url(self) -> str:
        """Return the address of one node, from which clients find the others."""
        return self.servers[0].url.replace("redis://", "redis+cluster://")

    def client(self, n: int) -> Any:
        """A plain client of one server."""
        return redis.Redis.from_url(self.servers[n].url)

    def __enter__(self) -> Self:
        for server in self.servers:
            server.start()
        clients = [self.client(n) for n in range(MASTERS)]
        for n, client in enumerate(clients):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            first, last = SLOTS * n // MASTERS, SLOTS * (n + 1) // MASTERS - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for server, port in zip(self.servers[1:], self.bus_ports[1:], strict=True):
            at = redis.connection.parse_url(server.url)
            clients[0].execute_command("CLUSTER", "MEET", at["host"], at["port"], port)
        self.wait_whole()
        return self

    def __exit__(self, *_error: object) -> None:
        for server in self.servers:
            server.stop()

    def wait_whole(self) -> None:
        """Wait until every node sees all others; a returned master is not trusted at once."""
        clients = [self.client(n) for n in range(MASTERS)]
        eventually(lambda: all(_is_whole(client) for client in clients), 20, "a cluster of three")

    def move(self, slot: int, source: int, target: int) -> int:
        """Move a slot and its keys to another master, as an operator's tool does; returns how many keys moved."""
        clients = [self.client(n) for n in range(MASTERS)]
        ids = [client.execute_command("CLUSTER", "MYID").decode() for client in clients]
        at = redis.connection.parse_url(self.servers[target].url)
        clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        keys = clients[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10_000)
        clients[source].execute_command("MIGRATE", at["host"], at["port"], "", 0, 5_000, "KEYS", *keys)
        for n in (target, source, *({0, 1, 2} - {target, source})):
            clients[n].execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        return len(keys)


def _is_whole(client: Any) -> bool:
    info = client.execute_command("CLUSTER", "INFO")
    said = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
    return (said["cluster_state"], said["cluster_known_nodes"]) == ("ok", str(MASTERS))
