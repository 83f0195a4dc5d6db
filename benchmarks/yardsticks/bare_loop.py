"""Yardstick: a confluent-kafka loop that consumes 5,000 at a time, state in a dict, no framework. Not durable.

`python -m benchmarks.yardsticks.bare_loop BOOTSTRAP TOPIC GROUP TRANSACTIONS` prints one line of JSON: transactions,
wall and CPU seconds from the first to the last, alerts.
"""

import json
import sys
import time
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer

from benchmarks.yardsticks.small_job import step

ALERTS = "yardstick.alerts"


def main(bootstrap: str, topic: str, group: str, transactions: int) -> None:
    """Consume that many transactions, and print the result."""
    state: dict[str, list[Any]] = {}
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )  # fmt: skip
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    consumer.subscribe([topic])
    seen = alerts = 0
    wall_s = cpu_s = 0.0
    while seen < transactions:
        for message in consumer.consume(5000, 0.1):
            event = orjson.loads(message.value())["event"]
            if event["type"] != "txn":
                continue
            if not seen:
                wall_s, cpu_s = -time.perf_counter(), -time.process_time()
            out = step(state.setdefault(event["enterprise_id"], [0, []]), event)
            if out:
                alerts += 1
                producer.produce(ALERTS, orjson.dumps(out), event["enterprise_id"])
            seen += 1
        producer.poll(0)
        consumer.commit(asynchronous=True)
    producer.flush()
    wall_s, cpu_s = wall_s + time.perf_counter(), cpu_s + time.process_time()
    consumer.close()
    print(json.dumps({"transactions": seen, "wall_s": wall_s, "cpu_s": cpu_s, "alerts": alerts}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
