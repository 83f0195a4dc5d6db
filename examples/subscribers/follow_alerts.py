"""Follow the alerts of one bank: each revision once, also after a crash.

Usage: python follow_alerts.py BOOTSTRAP BANK_ID DATABASE

Delivery is at least once. What is done with an alert and the fact that it is done stand in one transaction of SQLite;
Kafka's offset is committed after it. A crash between the two brings the same records again, and none of them is new.
"""

import json
import sqlite3
import sys

from confluent_kafka import Consumer, KafkaException

TABLE = (
    "CREATE TABLE IF NOT EXISTS alert (alert_id TEXT, revision INTEGER, value TEXT, PRIMARY KEY (alert_id, revision))"
)
NEWEST = "SELECT coalesce(max(revision), -1) FROM alert WHERE alert_id = ?"


def main(bootstrap: str, bank_id: str, database: str) -> None:
    """Print and store every new revision, forever. KafkaException or sqlite3.Error end it; then start it again."""
    stored = sqlite3.connect(database)
    stored.execute(TABLE)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"alerts-of-{bank_id}",
            "group.instance.id": f"alerts-of-{bank_id}-1",  # a restart takes its place at once
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([f"alert.{bank_id}.v1"])
    while True:
        messages = consumer.consume(500, timeout=1.0)
        new = []
        with stored:  # one transaction; what else is to be done with an alert belongs into it
            for message in messages:
                if message.error() is not None:
                    raise KafkaException(message.error())
                alert = json.loads(message.value())
                (newest,) = stored.execute(NEWEST, (alert["alert_id"],)).fetchone()
                if alert["revision"] > newest:
                    row = (alert["alert_id"], alert["revision"], message.value().decode())
                    stored.execute("INSERT INTO alert VALUES (?, ?, ?)", row)
                    new.append(alert)
        for alert in new:
            print(alert["alert_id"], alert["revision"], alert["state"], alert["title_zh"], alert["text_zh"], flush=True)
        if messages:
            consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main(*sys.argv[1:4])
