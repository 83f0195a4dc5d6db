"""Kafka and Redis as a production host would run them, on the cores that a benchmark is allowed."""

import os
from pathlib import Path

from embedded import Kafka, PartMissing, RedisServer
from embedded.jars import Progress, quiet
from embedded.redis import server_binary

CORES = (0, 1)
# The flags of Kafka's own kafka-run-class.sh and kafka-server-start.sh.
JVM = (
    "-Xms1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
)  # fmt: skip
HEAP = "1g"
# Kafka's defaults, in place of the embedded broker's shorter times for tests and demo.
PROPERTIES = {
    "group.initial.rebalance.delay.ms": "3000",
    "group.min.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "2000",
    "broker.session.timeout.ms": "9000",
    "offsets.topic.num.partitions": "50",
    "transaction.state.log.num.partitions": "50",
}


def pin() -> None:
    """Keep this process and its children to the benchmark's cores, as `taskset -c 0,1` does."""
    mine = os.sched_getaffinity(0)
    wanted = mine & set(CORES)
    if len(mine) > len(CORES) and len(wanted) == len(CORES):
        os.sched_setaffinity(0, wanted)


def kafka(directory: Path, on_progress: Progress = quiet) -> Kafka:
    """Return one broker with the flags that Kafka's own scripts give it."""
    return Kafka(directory, heap=HEAP, jvm=JVM, properties=PROPERTIES, on_progress=on_progress)


def redis_binary() -> Path:
    """Return redis-server from PATH, as in production; where there is none, the bundled Valkey."""
    try:
        return server_binary("redis-server")
    except PartMissing:
        return server_binary("valkey")


def redis(directory: Path) -> RedisServer:
    """Return that server, appendonly with a sync each second."""
    return RedisServer(directory, binary=redis_binary())
