"""A subscriber of `alert.supervisor.v1`, from its newest records on."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from confluent_kafka import KafkaException, Message, TopicPartition

from config.settings import KafkaSettings
from dashboard.live import ALERTS_KEPT
from dashboard.sentences import alert_shown
from domain import topics
from domain.outputs import Alert
from replay.offsets import Offsets
from replay.reading import consumer
from streams.sentences import Sentences

log = logging.getLogger(__name__)

WAIT_S = 0.2
RETRY_S = 2.0
ANSWER_S = 5.0  # as flow's
AT_ONCE = 500
BANKS_SHOWN = 8
_decode = msgspec.json.Decoder(Alert).decode


def shown(alert: Alert, sentences: Sentences) -> dict[str, Any]:
    """Return an alert as the page gets it."""
    return alert_shown(sentences, alert, enterprise_id=alert.enterprise_id, banks=alert.banks[:BANKS_SHOWN])


class NewestAlerts(threading.Thread):
    """Passes every alert to `deliver`, in batches, until it is stopped; it retries while the broker is away."""

    def __init__(
        self, kafka: KafkaSettings, sentences: Sentences, deliver: Callable[[Sequence[dict[str, Any]]], None]
    ) -> None:
        super().__init__(name="newest-alerts", daemon=True)
        self._kafka, self._sentences, self._deliver = kafka, sentences, deliver
        self._ending = threading.Event()

    def run(self) -> None:
        """Consume the topic."""
        while not self._ending.is_set():
            try:
                self._follow()
            except KafkaException as error:
                log.warning("dashboard: %s cannot be read: %s", topics.ALERT_SUPERVISOR, error)
                self._ending.wait(RETRY_S)

    def end(self) -> None:
        """Stop, and wait for the thread."""
        self._ending.set()
        if self.is_alive():
            self.join()

    def _follow(self) -> None:
        offsets = Offsets(self._kafka, ANSWER_S)
        places = offsets.partitions([topics.ALERT_SUPERVISOR])
        if not places:
            self._ending.wait(RETRY_S)
            return
        ends = offsets.ends(places)
        reading = consumer(self._kafka)
        try:
            reading.assign([TopicPartition(*place, max(0, end - ALERTS_KEPT)) for place, end in ends.items()])
            while not self._ending.is_set():
                alerts = [alert for message in reading.consume(AT_ONCE, WAIT_S) if (alert := _read(message))]
                if alerts:
                    self._deliver([shown(alert, self._sentences) for alert in alerts])
        finally:
            reading.close()


def _read(message: Message) -> Alert | None:
    """Return the alert; None for an error of the client or a record that cannot be decoded, both of them logged."""
    if (error := message.error()) is not None:
        log.warning("dashboard: %s: %s", topics.ALERT_SUPERVISOR, error)
        return None
    try:
        return _decode(message.value() or b"")
    except ValueError as error:
        log.warning("dashboard: %s offset %s cannot be read: %s", topics.ALERT_SUPERVISOR, message.offset(), error)
        return None
