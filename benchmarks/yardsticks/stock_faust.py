"""Yardstick: a stock Faust agent, a Redis pipeline an event, River's predict_proba_one, as in their manuals.

`python -m benchmarks.yardsticks.stock_faust BOOTSTRAP TOPIC GROUP TRANSACTIONS REDIS_URL` prints one line of JSON like
bare_loop.py and ends.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterable
from typing import Any

import faust
import redis.asyncio
from river import linear_model

from benchmarks.yardsticks.bare_loop import ALERTS
from benchmarks.yardsticks.small_job import BIAS, DAY_MS, NAMES, THRESHOLD, WEIGHTS, alert, features


def model() -> linear_model.LogisticRegression:
    """Return River's model with the small job's weights."""
    made = linear_model.LogisticRegression(intercept_init=BIAS)
    made.predict_proba_one(dict.fromkeys(NAMES, 0.0))
    made._weights.update(dict(zip(NAMES, WEIGHTS, strict=True)))
    return made


def buckets_of(stored: dict[bytes, bytes], now: int) -> list[list[float]]:
    """Return the newest 90 days of an enterprise's hash: `<day>:in`, `:out`, `:balance`."""
    days: dict[int, list[float]] = {}
    for name, number in stored.items():
        day, _, what = name.partition(b":")
        if int(day) > now - 90:
            bucket = days.setdefault(int(day), [float(day), 0.0, 0.0, 0, 0, 0.0])
            bucket[{b"in": 1, b"out": 2, b"balance": 5}[what]] = float(number)
    return [days[day] for day in sorted(days)]


def main(bootstrap: str, topic: str, group: str, transactions: int, redis_url: str) -> None:
    """Run the Faust worker for that many transactions, and print the result."""
    app = faust.App(
        group, broker=f"kafka://{bootstrap}", value_serializer="json", topic_disable_leader=True,
        topic_allow_declare=False, consumer_auto_offset_reset="earliest", store="memory://", web_enabled=False,
        datadir=f"{os.environ.get('TMPDIR', '/tmp')}/{group}",
    )  # fmt: skip
    records, out = app.topic(topic), app.topic(ALERTS)
    client = redis.asyncio.Redis.from_url(redis_url)
    classifier = model()
    seen = {"n": 0, "alerts": 0}

    @app.agent(records)
    async def score(stream: AsyncIterable[Any]) -> None:
        async for record in stream:
            event = record["event"]
            if event["type"] != "txn":
                continue
            if not seen["n"]:
                seen["wall_s"], seen["cpu_s"] = time.perf_counter(), time.process_time()
            day, key = event["event_time"] // DAY_MS, f"stock:{event['enterprise_id']}"
            direction = "in" if event["direction"] == "C" else "out"
            pipe = client.pipeline(transaction=False)
            pipe.hincrbyfloat(key, f"{day}:{direction}", event["amount_minor"] / 100)
            pipe.hset(key, f"{day}:balance", event["balance_minor"] / 100)
            pipe.hgetall(key)
            stored = (await pipe.execute())[-1]
            buckets = buckets_of(stored, day)
            x = features(buckets, int(buckets[-1][0]))
            p = classifier.predict_proba_one(dict(zip(NAMES, x, strict=True)))[True]
            if p < THRESHOLD:
                seen["alerts"] += 1
                await out.send(key=event["enterprise_id"], value=alert(event, day, p, x))
            seen["n"] += 1
            if seen["n"] == transactions:
                result = {"transactions": transactions, "alerts": seen["alerts"]}
                result |= {"wall_s": time.perf_counter() - seen["wall_s"], "cpu_s": time.process_time() - seen["cpu_s"]}
                print(json.dumps(result), file=sys.__stdout__, flush=True)  # Faust takes stdout for its log
                await asyncio.sleep(0)
                os._exit(0)

    sys.argv = ["stock_faust", "worker", "-l", "warn", "--without-web"]
    app.main()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
