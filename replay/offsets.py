"""How far everybody is: ends of the topics, and what each role's group has committed."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import wait
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from config.settings import KafkaSettings
from sinks.client import client_settings
from sinks.log_reader import member_consumer
from sinks.retriable import ANSWER_S, RETRY_S, is_transient

Place = tuple[str, int]  # topic, partition


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One look at the log: per role, how many records of its topics it has not yet done with, and the ends of all.

    A role that has not committed anything of a partition is behind by all of it.
    """

    lag: Mapping[str, int]
    ends: Mapping[Place, int]
    done: Mapping[str, int]  # per role, how many records it has done with

    @property
    def settled(self) -> bool:
        """Whether every role has done all there is."""
        return not any(self.lag.values())

    def topic_end(self, topic: str) -> int:
        """Records ever written to a topic."""
        return sum(end for (name, _), end in self.ends.items() if name == topic)


class Offsets:
    """Asks the broker for offsets; one instance for each thread.

    Raise KafkaException where no answer comes within `answer_s` seconds.
    """

    def __init__(self, kafka: KafkaSettings, answer_s: float = ANSWER_S) -> None:
        self._kafka = kafka
        self._answer_s = answer_s
        self._admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 2, **client_settings(kafka)})
        self._members: dict[str, Consumer] = {}
        self._known: dict[tuple[str, ...], list[Place]] = {}

    def partitions(self, topics: Iterable[str]) -> list[Place]:
        """Return all partitions of those of `topics` that exist."""
        known = self._admin.list_topics(timeout=self._answer_s).topics
        return [(topic, number) for topic in topics if topic in known for number in known[topic].partitions]

    def ends(self, places: Iterable[Place], spec: OffsetSpec | None = None) -> dict[Place, int]:
        """Return the end of each partition; with `OffsetSpec.earliest()` its beginning."""
        asked = {TopicPartition(*place): spec or OffsetSpec.latest() for place in places}
        found: dict[Place, int] = {}
        give_up = time.monotonic() + self._answer_s
        while asked:
            answers = self._admin.list_offsets(asked, request_timeout=self._answer_s)
            wait(answers.values())  # all, also where one failed: the client must not go while it still answers
            for tp, future in answers.items():
                error = future.exception()
                if error is None:
                    found[tp.topic, tp.partition] = future.result().offset
                    del asked[tp]
                elif not is_transient(error) or time.monotonic() > give_up:
                    raise error
            if asked:
                time.sleep(RETRY_S)
        return found

    def committed(self, role: str, places: Iterable[Place], *, wait_s: float = 0.0) -> dict[Place, int]:
        """Return the committed offsets of a role's group, without those of partitions where there is none yet.

        A coordinator that is only just there knows nothing: no answer then, so that the next look may have one; or
        with `wait_s` an answer by then, or KafkaException.
        """
        asked = [TopicPartition(*place) for place in places]
        give_up = time.monotonic() + wait_s
        while True:
            try:
                answer = self._member(role).committed(asked, self._answer_s)
                break
            except KafkaException as error:
                if not is_transient(error) or (wait_s and time.monotonic() > give_up):
                    raise
            if not wait_s:
                return {}
            time.sleep(RETRY_S)
        return {(tp.topic, tp.partition): tp.offset for tp in answer if tp.offset >= 0}

    def _all_of(self, topics: tuple[str, ...]) -> list[Place]:
        """Return the partitions of all of `topics`, asked for until each is there: then they stay as they are."""
        if topics not in self._known:
            found = self.partitions(topics)
            if len({topic for topic, _ in found}) < len(set(topics)):
                return found
            self._known[topics] = found
        return self._known[topics]

    def _member(self, role: str) -> Consumer:
        if role not in self._members:
            group = f"{self._kafka.group_prefix}{role}"
            self._members[role] = member_consumer(self._kafka.bootstrap, group, client_settings(self._kafka))
        return self._members[role]

    def progress(self, topics_of_role: Mapping[str, Iterable[str]]) -> Progress:
        """Return one look. Commits are read before ends, so that a lag is never too small."""
        places = {role: self._all_of(tuple(topics)) for role, topics in topics_of_role.items()}
        committed = {role: self.committed(role, found) for role, found in places.items()}
        ends = self.ends({place for found in places.values() for place in found})
        lag = {
            role: sum(max(0, ends[place] - committed[role].get(place, 0)) for place in found)
            for role, found in places.items()
        }
        done = {role: sum(committed[role].values()) for role in places}
        return Progress(lag=lag, ends=ends, done=done)
