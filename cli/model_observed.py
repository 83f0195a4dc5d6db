"""The observations of the newest month's close, from the end of `observation.v1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cli.deciding import NotDecided
from cli.words import complain, say
from config.settings import Settings
from domain import topics
from domain.calendar import month_of_day
from domain.outputs import Observation
from domain.printable import printable

if TYPE_CHECKING:
    from detectors.learning.examples import Examples

RECORDS_MAX = 20_000  # read from the end of each partition


class Observed(NamedTuple):
    """Observations of one day, an enterprise each, EXAMPLE (n,)."""

    day: int
    examples: Examples


def newest_month(settings: Settings) -> Observed:
    """Return them; what cannot be read is told and passed over.

    Raise NotDecided where there are none, or a month's are more than are read.
    """
    from contextlib import closing

    from detectors.learning.examples import unlabelled
    from sinks.client import client_settings
    from sinks.log_reader import assigned_consumer, read
    from sinks.retriable import bounds

    kafka, decode = settings.kafka, msgspec.json.Decoder(Observation).decode
    newest, seen_then, cut_days, unreadable = -1, dict[str, Observation](), set[int](), list[str]()
    with closing(assigned_consumer(kafka.bootstrap, client_settings(kafka))) as consumer:
        spans, begins = {}, {}
        for partition in range(kafka.log_partitions):
            low, end = bounds(consumer, topics.OBSERVATION, partition)
            begins[partition] = max(low, end - RECORDS_MAX)
            spans[topics.OBSERVATION, partition] = begins[partition], end
            if begins[partition] == low:
                del begins[partition]
        for message in read(consumer, spans):
            try:
                seen = decode(message.value() or b"")
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                unreadable.append(f"{topics.OBSERVATION}[{message.partition()}]@{message.offset()}: {error}")
                if begins.get(message.partition() or 0) == message.offset():
                    begins[message.partition() or 0] += 1  # the next one tells which day is cut
                continue
            if begins.get(message.partition() or 0) == message.offset():
                cut_days.add(seen.day)
            if month_of_day(seen.day) == month_of_day(seen.day + 1) or seen.day < newest:
                continue
            if seen.day > newest:
                newest, seen_then = seen.day, {}
            seen_then[seen.enterprise_id] = seen
    if unreadable:
        first, count = printable(unreadable[0]), f"{len(unreadable):,}"
        complain("model", f"{count} 条观测读不出，未计入；第一条 {first}",
                 f"{count} observations cannot be read and are left out; the first: {first}")  # fmt: skip
    if not seen_then:
        raise NotDecided(
            say(f"{topics.OBSERVATION} 里没有月末观测", f"{topics.OBSERVATION} has no observation of a month's close")
        )
    if newest in cut_days:
        count = f"{RECORDS_MAX:,}"
        raise NotDecided(
            say(
                f"一个月末的观测超过每分区 {count} 条",
                f"the observations of a month's close are over {count} a partition",
            )
        )
    return Observed(newest, unlabelled([seen_then[name] for name in sorted(seen_then)]))
