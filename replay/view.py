"""The live view of the demo: what leaves the engine by its topics, as a subscriber would see it.

It reads `score.v1` and `alert.supervisor.v1` with a consumer of its own and knows nothing of the engine's memory.
"""

import threading
from collections import Counter, deque
from dataclasses import dataclass, field

import msgspec
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Message, TopicPartition
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from config.settings import KafkaSettings
from detectors.wording.alerts import Sentence
from domain import topics
from domain.calendar import date_of, day_of
from domain.language import Lang
from domain.outputs import Alert
from domain.printable import printable
from replay.offsets import Offsets
from replay.reading import AT_ONCE, consumer
from replay.run import Look
from streams.sentences import Sentences

GRADES = "ABCDEF"
ALERTS_SHOWN, MOVES_SHOWN = 6, 6
FROM = {topics.SCORE: OFFSET_END, topics.ALERT_SUPERVISOR: OFFSET_BEGINNING}
SEVERITIES_ZH = {"red": "红", "orange": "橙", "yellow": "黄"}
STYLES = {"red": "bold red", "orange": "dark_orange", "yellow": "yellow"}


class ScoreSeen(msgspec.Struct, frozen=True):
    """The fields of a score record that the view takes."""

    enterprise_id: str
    score: int
    grade: str
    status: str
    as_of: int
    offset: int
    seq: int


@dataclass(slots=True)
class Seen:
    """Everything seen so far; one writer, any reader."""

    scores: dict[str, ScoreSeen] = field(default_factory=dict)
    moves: deque[tuple[ScoreSeen, int]] = field(default_factory=lambda: deque(maxlen=MOVES_SHOWN))  # and from what
    alerts: deque[tuple[Alert, Sentence]] = field(default_factory=lambda: deque(maxlen=ALERTS_SHOWN))
    severities: Counter[str] = field(default_factory=Counter)  # of alerts raised
    score_count: int = 0
    event_ms: int = 0
    _revisions: set[tuple[str, int]] = field(default_factory=set)

    def score(self, record: ScoreSeen) -> None:
        """Take in a score record: of an enterprise, the one with the highest (offset, seq) counts."""
        self.score_count += 1
        before = self.scores.get(record.enterprise_id)
        if before is not None and (before.offset, before.seq) >= (record.offset, record.seq):
            return
        self.scores[record.enterprise_id] = record
        self.event_ms = max(self.event_ms, record.as_of)
        if before is not None and abs(before.score - record.score) >= 3:
            self.moves.append((record, before.score))

    def alert(self, alert: Alert, said: Sentence) -> None:
        """Take an alert and its sentence; repeats are dropped by alert and revision."""
        if (alert.alert_id, alert.revision) in self._revisions:
            return
        self._revisions.add((alert.alert_id, alert.revision))
        if alert.state == "raised":
            self.severities[alert.severity] += 1
        self.alerts.append((alert, said))

    def grades(self) -> Counter[str]:
        """Enterprises by grade."""
        return Counter(record.grade for record in list(self.scores.values()))


class Watching(threading.Thread):
    """Reads the two topics into `seen` until told to end: alerts from their beginning, scores from their end on."""

    def __init__(self, kafka: KafkaSettings, lang: Lang) -> None:
        super().__init__(name="watching", daemon=True)
        self._kafka, self._lang = kafka, lang
        self._ending = threading.Event()
        self.seen = Seen()

    def run(self) -> None:
        """Follow the topics."""
        score, alert = msgspec.json.Decoder(ScoreSeen).decode, msgspec.json.Decoder(Alert).decode
        sentences = Sentences(self._kafka)
        places = Offsets(self._kafka).partitions([topics.SCORE, topics.ALERT_SUPERVISOR])
        reading = consumer(self._kafka)
        try:
            reading.assign([TopicPartition(*place, FROM[place[0]]) for place in places])
            while not self._ending.is_set():
                for message in reading.consume(AT_ONCE, timeout=0.3):
                    value = _value(message)
                    if value is None:
                        continue  # the view goes on; errors of the broker are the workers' to report
                    if message.topic() == topics.SCORE:
                        self.seen.score(score(value))
                    else:
                        revision = alert(value)
                        self.seen.alert(revision, sentences.of(revision, self._lang))
        finally:
            reading.close()

    def end(self) -> None:
        """Stop and wait."""
        self._ending.set()
        if self.is_alive():
            self.join()


@dataclass(slots=True)
class Rate:
    """Events a second over the last few looks."""

    _points: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=8))

    def add(self, at_s: float, count: int) -> int:
        """Return the rate, with this point added."""
        self._points.append((at_s, count))
        (first_s, first), (last_s, last) = self._points[0], self._points[-1]
        return int((last - first) / (last_s - first_s)) if last_s > first_s else 0


def render(seen: Seen, look: Look, rate: int) -> RenderableType:
    """Return one screen."""
    return Group(_flow(look, rate, seen), _grades(seen), _moves(seen), _alerts(seen))


def _flow(look: Look, rate: int, seen: Seen) -> Panel:
    sent = sum(look.sending.sent.values())
    lags = "   ".join(f"{role} {count:,}" for role, count in look.progress.lag.items())
    reached = date_of(day_of(seen.event_ms)).isoformat() if seen.event_ms else "…"
    text = Text.assemble(
        ("已发送 sent ", "dim"), f"{sent:,}", ("   事件/秒 events/s ", "dim"), f"{rate:,}",
        ("   事件时间 event time ", "dim"), reached, ("\n积压 lag  ", "dim"), lags,
    )  # fmt: skip
    return Panel(text, title=f"信流 xinliu   {look.elapsed_s:.0f} s", border_style="cyan")


def _grades(seen: Seen) -> Panel:
    grades = seen.grades()
    most = max(grades.values(), default=1)
    table = Table.grid(padding=(0, 1))
    for grade in GRADES:
        count = grades[grade]
        table.add_row(grade, Text("█" * round(40 * count / most), style="cyan"), f"{count:,}")
    return Panel(table, title=f"等级 grades of {len(seen.scores):,} enterprises, {seen.score_count:,} scores")


def _moves(seen: Seen) -> Panel:
    table = Table.grid(padding=(0, 2))
    for record, before in list(seen.moves)[::-1]:
        style = "red" if record.score < before else "green"
        day = date_of(day_of(record.as_of)).isoformat()
        moved = f"{before} → {record.score}"
        table.add_row(day, _shown(record.enterprise_id), Text(moved, style=style), _shown(record.grade))
    return Panel(table, title="评分变动 scores moving")


def _alerts(seen: Seen) -> Panel:
    table = Table.grid(padding=(0, 2))
    for alert, said in list(seen.alerts)[::-1]:
        day = date_of(day_of(alert.as_of)).isoformat()
        title = _shown(said.title, STYLES[alert.severity])
        table.add_row(day, _shown(alert.enterprise_id), title, _shown(said.text))
    raised = "  ".join(f"{SEVERITIES_ZH[name]} {name} {seen.severities[name]:,}" for name in SEVERITIES_ZH)
    return Panel(table, title=f"最新预警 newest alerts   已发出 raised: {raised}")


def _shown(text: str, style: str = "") -> Text:
    """Text from a topic: no markup of rich's, and nothing that the terminal would obey."""
    return Text(printable(text), style=style)


def _value(message: Message) -> bytes | None:
    return None if message.error() is not None else message.value()
