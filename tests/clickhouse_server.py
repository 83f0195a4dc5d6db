"""The host's clickhouse-server as a child process. Debian's is 18.16: old, but a real server over the real protocol."""

import shutil
from pathlib import Path
from typing import Self

from clickhouse_driver import Client
from clickhouse_driver import errors as driver_errors

from embedded.children import Child
from embedded.jars import quiet
from embedded.server import Server

_CONFIG = """\
<yandex>
  <logger><level>information</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <tcp_port>{port}</tcp_port>
  <path>{directory}/data/</path>
  <tmp_path>{directory}/tmp/</tmp_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
</yandex>
"""
# At its end the server asks idle connections once a poll interval whether they have gone.
_USERS = """\
<yandex>
  <profiles><default><poll_interval>1</poll_interval></default></profiles>
  <users><default>
    <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
  </default></users>
  <quotas><default></default></quotas>
</yandex>
"""


def server_binary() -> Path | None:
    """The clickhouse-server of this host."""
    found = shutil.which("clickhouse-server") or shutil.which("/usr/sbin/clickhouse-server")
    return None if found is None else Path(found)


class ClickHouseServer(Server):
    """One server on a loopback port; its tables and port live in `directory` and survive a restart."""

    name = "ClickHouse"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, quiet)
        binary = server_binary()
        if binary is None:
            raise RuntimeError("no clickhouse-server here: apt install clickhouse-server")
        self._binary = binary

    @property
    def port(self) -> int:
        return self._port

    @property
    def address(self) -> str:
        return f"clickhouse://default@127.0.0.1:{self._port}/xinliu"

    def launch(self) -> Self:
        for folder in ("data", "tmp"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        (self._port,) = self._kept_or_free((self._port,) if self._port else (), count=1)
        configuration = self.directory / "config.xml"
        configuration.write_text(_CONFIG.format(port=self._port, directory=self.directory))
        (self.directory / "users.xml").write_text(_USERS)
        argv = [self._binary, f"--config-file={configuration}"]
        self._child = Child(self.name, argv, log=self.directory / "server.log", cwd=self.directory).launch()
        return self

    def _answers(self) -> bool:
        client = Client("127.0.0.1", port=self._port, connect_timeout=1, send_receive_timeout=5)
        try:
            return bool(client.execute("SELECT 1") == [(1,)])
        except (driver_errors.NetworkError, driver_errors.SocketTimeoutError, EOFError):
            return False
        finally:
            client.disconnect()
