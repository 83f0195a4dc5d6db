"""The whole engine on this machine: Kafka, Redis and a worker a role as child processes over one state folder."""

import json
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import msgspec

from config.settings import PREFIX, Bank, DashboardSettings, Settings, load
from config.whole_file import write_whole
from embedded import Child, ChildFailed, Parts
from embedded.jars import Progress, quiet
from embedded.ports import free_port, port_is_free
from embedded.restarts import LOG_LINES, Restarts
from kernels.cache import compiled_since
from replay.offsets import Offsets
from replay.recovery import Recovery
from replay.state import token_key_file
from streams.seal import key_files
from streams.topics import wanted_topics
from streams.worker.roles import ROLES

LOG_PARTITIONS = 4
ALIGN_MS_MAX = 3_600_000  # no feed gets ahead of another over midnight: each day closes before the next one's records
KEPT_ENVIRONMENT = frozenset({f"{PREFIX}CACHE", f"{PREFIX}STATE"})
COMPILE_S_MAX, SAY_EVERY_S, CHECK_EVERY_S = 600.0, 5.0, 0.1
SERVER_ENDS_S = 1.0  # from the end of its connections to that of the process, on a busy machine
# All roles share this machine, and these have no hurry: what is stored or learned later is no worse, a score is.
GIVES_WAY = dict.fromkeys(("archive", "learn", "ledger"), ("nice", "-n", "10"))


class Stack:
    """Servers on entry, workers by `launch_workers`; all end, workers first, when the block does.

    Every child dies with us, however we end. A second start over the same folder goes on where the last one stopped.
    With `restarts` a worker that ends is started again, as docker-compose.yml has it, and what comes of it is said;
    without, it is a failure.
    """

    def __init__(
        self,
        directory: Path,
        banks: Sequence[Bank],
        *,
        dashboard: bool = False,
        align_ms_max: int = ALIGN_MS_MAX,
        log_partitions: int = LOG_PARTITIONS,
        redis_binary: Path | None = None,
        restarts: bool = False,
        on_progress: Progress = quiet,
    ) -> None:
        self.directory = directory
        self.settings_file = directory / "xinliu.toml"
        self.settings = Settings()
        self._banks = tuple(banks)
        self._align_ms_max, self._log_partitions = align_ms_max, log_partitions
        self._dashboard_port = _dashboard_port() if dashboard else None
        self._on_progress = on_progress
        self._parts = Parts(directory, redis_binary=redis_binary, on_progress=on_progress)
        self._workers: dict[str, Child] = {}
        self._restarts: dict[str, Restarts] | None = {} if restarts else None
        self._metrics_ports: dict[str, int] = {}
        self._recoveries: dict[str, Recovery] = {}
        self._compiling: Child | None = None
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        """ChildFailed if a part does not start, StateDirectoryBusy if another process has the folder."""
        with ExitStack() as undo:
            # The kernels compile while the jars download and Kafka starts.
            self._began_s = time.time()
            self._compiling = undo.enter_context(
                self._child("compile", ["worker", "score", "--compile"], None).launch()
            )
            self._on_progress("compiling the kernels (once an engine version), meanwhile Kafka and Redis start")
            undo.enter_context(self._parts)
            undo.callback(self._end_recoveries)
            self._write_settings()
            self.settings = load(self.settings_file, {})
            self._run("topics", ["topics", "create"])
            self._await_leaders()
            self._exits = undo.pop_all()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _at: object) -> None:
        """End all. Raise ChildFailed in place of an error that a server's end has caused in one of its clients."""
        try:
            if isinstance(error, Exception) and not isinstance(error, ChildFailed):
                self._await_end_of_server()
        finally:
            for child in self._workers.values():
                if child.running:
                    child.signal(signal.SIGTERM)  # to all at once: without a server each takes seconds to give up
            self._exits.close()

    def await_kernels(self) -> None:
        """Wait until the kernels are compiled. Raise ChildFailed where they do not compile."""
        if self._compiling is None:
            return
        began_s, said_s = time.monotonic(), 0.0
        while self._compiling.running and (now_s := time.monotonic()) < began_s + COMPILE_S_MAX:
            if now_s >= said_s + SAY_EVERY_S:
                self._on_progress(f"waiting for the kernels: {compiled_since(self._began_s)} functions are compiled")
                said_s = now_s
            time.sleep(0.1)
        if self._compiling.running:
            self._compiling.kill()
            raise ChildFailed(f"the kernels are not compiled after {COMPILE_S_MAX:g} s; {_ending_of(self._compiling)}")
        if self._compiling.returncode:
            raise ChildFailed(f"the kernels do not compile; {_ending_of(self._compiling)}")
        self._compiling = None
        self._on_progress("kernels are ready")

    def launch_workers(self, roles: Collection[str] = tuple(ROLES)) -> None:
        """Start a worker of each of these roles; for score, the kernels are waited for first."""
        if "score" in roles:
            self.await_kernels()
        for role in roles:
            beside = ["--dashboard"] if role == "archive" and self._dashboard_port is not None else []
            self._metrics_ports[role] = free_port(besides=tuple(self._metrics_ports.values()))
            child = self._child(
                role,
                ["worker", role, *beside],
                self.settings_file,
                title=f"worker {role}",
                environ={f"{PREFIX}METRICS_PORT": str(self._metrics_ports[role])},
            )
            self._workers[role] = child
            self._exits.callback(child.stop)
            child.launch()
            if self._restarts is not None:
                self._restarts[role] = Restarts(child)
        started = ", ".join(f"{role} (process {self._workers[role].pid})" for role in roles)
        self._on_progress(f"workers started: {started}")

    def check(self) -> None:
        """ChildFailed, with the last lines of its log, where a server has ended, or a worker for good."""
        self._check_servers()
        for role, child in self._workers.items():
            if self._restarts is not None:
                self._look_after(role, self._restarts[role])
            elif not child.running:
                raise ChildFailed(f"{child.name} ended ({child.cause}); {_ending_of(child)}")
        for recovery in self._recoveries.values():
            if recovery.failure is not None:
                raise recovery.failure

    def _check_servers(self) -> None:
        for part in (self._parts.kafka, self._parts.redis):
            if not part.child.running:
                raise ChildFailed(
                    f"{part.name} ended ({part.child.cause}), and without it nothing goes on; another start goes on "
                    f"from what is on disk; {_ending_of(part.child)}"
                )

    def _await_end_of_server(self) -> None:
        """Raise ChildFailed where a server ends within a moment: its connections are gone before it is."""
        until_s = time.monotonic() + SERVER_ENDS_S
        while time.monotonic() < until_s:
            self._check_servers()
            time.sleep(CHECK_EVERY_S)

    def rest(self, seconds: float) -> None:
        """Sleep, and `check` ten times a second meanwhile."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self.check()
            time.sleep(min(CHECK_EVERY_S, left_s))

    def await_recoveries(self) -> None:
        """Wait until the recovery of each restarted worker is reported. Raise ChildFailed as `check` does."""
        while any(recovery.is_alive() for recovery in self._recoveries.values()):
            self.rest(CHECK_EVERY_S)
        self.check()

    def stop_workers(self) -> None:
        """SIGTERM to each in the order of the data's way, and wait: flushed, committed, left. ChildFailed otherwise."""
        self._end_recoveries()
        for role in (role for role in ROLES if role in self._workers):
            child = self._workers[role]
            if self._restarts is not None and not child.running:
                self._on_progress(f"worker {role} ended before it was stopped ({child.cause})")
                continue  # as if it had ended a moment sooner, and then been started again and stopped
            if child.stop():
                raise ChildFailed(f"{child.name} did not stop as it should ({child.cause}); {_ending_of(child)}")
        self._workers.clear()

    def pid_of(self, role: str) -> int:
        """Process id of a role's worker."""
        return self._workers[role].pid

    @property
    def dashboard(self) -> str | None:
        """The address of the pages, once the workers run."""
        return None if self._dashboard_port is None else f"http://127.0.0.1:{self._dashboard_port}/"

    @property
    def launched(self) -> bool:
        """Whether the workers have been started."""
        return bool(self._workers)

    def _look_after(self, role: str, restarts: Restarts) -> None:
        child = restarts.child
        match restarts.look():
            case "ended":
                self._end_recoveries(role)
                self._on_progress(f"worker {role} ended ({child.cause}); it is started again in {restarts.delay_s:g} s")
            case "started":
                self._on_progress(f"worker {role} is started again (process {child.pid})")
                self._recoveries[role] = Recovery(
                    role,
                    ended_s=restarts.ended_s,
                    ready_at=f"http://127.0.0.1:{self._metrics_ports[role]}/ready",
                    kafka=self.settings.kafka,
                    ledger=lambda: self._child("ledger", ["ledger", "check"], self.settings_file),
                    on_progress=self._on_progress,
                )
                self._recoveries[role].start()

    def _end_recoveries(self, *roles: str) -> None:
        """Stop reporting on these roles, or on all."""
        for role in roles or tuple(self._recoveries):
            if (recovery := self._recoveries.pop(role, None)) is not None:
                recovery.end()

    def _run(self, name: str, words: list[str]) -> None:
        with self._child(name, words, self.settings_file).launch() as child:
            if child.wait(deadline_s=120.0):
                raise ChildFailed(f"xinliu {' '.join(words)} failed; {_ending_of(child)}")

    def _await_leaders(self) -> None:
        """Hundreds of new topics get their leaders a few seconds after they are made; a worker would stop at one
        without."""
        offsets = Offsets(self.settings.kafka)
        offsets.ends(offsets.partitions(topic.name for topic in wanted_topics(self.settings)))

    def _child(
        self,
        name: str,
        words: list[str],
        settings_file: Path | None,
        *,
        title: str | None = None,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> Child:
        given = ["--config", str(settings_file)] if settings_file else []
        # -P: a module of the folder that we are called from must not stand in for ours.
        argv = [*GIVES_WAY.get(name, ()), sys.executable, "-P", "-m", "cli.main", *given, *words]
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(PREFIX) or key in KEPT_ENVIRONMENT  # settings of another engine are not meant for it
        }
        log = self.directory / "logs" / f"{name}.log"
        env = {**inherited, **environ, "PYTHONUNBUFFERED": "1"}
        return Child(title or name, argv, log=log, env=env, stop_deadline_s=35.0)

    def _write_settings(self) -> None:
        seal_files = key_files(self.directory)
        document: dict[str, Any] = {
            "kafka": {
                "bootstrap": self._parts.kafka.address,
                "log_partitions": self._log_partitions,
                # By its own id a worker that is started again has its partitions at once, not after a session timeout.
                **({} if self._restarts is None else {"instance_id": "here"}),
            },
            "redis": {"url": self._parts.redis.socket_url},
            "clickhouse": {"url": f"chdb://{self.directory / 'clickhouse'}"},
            "ingest": {"token_key_file": str(token_key_file(self.directory)), "align_ms_max": self._align_ms_max},
            "seal": {name: str(file) for name, file in seal_files.items()},
            "learn": {"activation": "auto"},  # nobody is here to accept a candidate
            **({} if self._dashboard_port is None else {"dashboard": {"port": self._dashboard_port}}),
            "banks": [msgspec.to_builtins(bank) for bank in self._banks],
        }
        head = "# Written by xinliu at each start of this replay; changes are lost.\n"
        write_whole(self.settings_file, (head + "\n".join(toml(document)) + "\n").encode(), mode=0o600)


def _dashboard_port() -> int:
    """Return the usual port of the pages, so that an open page finds them again; another where it is taken."""
    usual = DashboardSettings().port
    return usual if port_is_free(usual) else free_port()


def _ending_of(child: Child) -> str:
    return f"{child.log} ends:\n{child.log_tail(LOG_LINES)}"


def toml(document: Mapping[str, Any]) -> Iterator[str]:
    """Tables and lists of tables, one level deep; a JSON string or number is a TOML one."""
    for name, content in document.items():
        for table in content if isinstance(content, list) else [content]:
            yield f"[[{name}]]" if isinstance(content, list) else f"[{name}]"
            yield from (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items())
