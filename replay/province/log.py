"""Writer of a simulated province as a recorded `events.v1`, with the bytes that ingest would append."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domain import topics
from domain.calendar import day_start_ms
from domain.events import Control, LogRecord
from replay.log_writer import LogWriter
from replay.province.ahead import Ahead
from replay.province.calendar import text
from replay.province.delivery import GATEWAY, NOT_OTHER, Delivering, Step
from replay.province.population import Population
from replay.province.simulation import Simulation
from replay.province.truth import truth_of, write_truth
from replay.province.writing import Writer, platform_key
from sinks.batch import Records
from streams.ingest.feeds import Feeds
from streams.ingest.forwarding import Forwarder, encode
from streams.ingest.tokens import Tokens
from streams.seal import new_sealer
from streams.worker.role import TP

PARTITIONS = 8
STEPS_AHEAD = 6  # two days: files, receipts and a day of the live banks
BY, REASON = "simulator", "the history of a simulated province"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Counts of a written log, and the names of its truth files."""

    records: int
    transactions: int
    truth_files: str


def write_log(
    population: Population,
    path: Path,
    *,
    partitions: int = PARTITIONS,
    steps_ahead: int = STEPS_AHEAD,
    say: Say = lambda _text: None,
) -> Written:
    """Write the log of a population, and its truth beside it; an incomplete log is removed.

    steps_ahead: deliveries that are made before they are written; it changes no byte.
    """
    simulation = Simulation(population)
    delivering = Delivering(simulation)
    say(f"{population.enterprises:,} enterprises, {len(simulation.state.links):,} links, {len(delivering.banks)} banks")
    tokens = Tokens(platform_key(population))
    with LogWriter(path, banks=delivering.banks, partitions=partitions) as out:
        writing = _Writing(delivering, Writer(simulation, tokens), tokens, out)
        with Ahead(delivering.steps(), steps_ahead) as steps:
            for step in steps:
                writing.take(step)
                writing.report_progress(say)
        writing.close()
        beside = write_truth(truth_of(delivering), path)  # before the log is renamed: no log is without its truth
    return Written(
        records=out.record_count,
        transactions=writing.transactions,
        truth_files=", ".join(file.name for file in beside),
    )


class _Writing:
    """Appends steps, and the ticks and control records between them."""

    def __init__(self, delivering: Delivering, writer: Writer, tokens: Tokens, out: LogWriter) -> None:
        self._delivering, self._writer, self._out = delivering, writer, out
        self._forwarder = Forwarder(tokens, new_sealer(), compiled=False)
        self._feeds = Feeds(delivering.banks)
        self._topics = [topics.bank_events(bank.bank_id) for bank in delivering.banks]
        self._backfill = delivering.population.backfill_months > 0
        self._live_ms = day_start_ms(delivering.population.live_day)
        self._controls = 0
        self._reported_month = ""
        self.transactions = 0
        if self._backfill:
            self._control("backfill_open")

    def take(self, step: Step) -> None:
        """Append the step's rows, then the ticks that follow from its receipts."""
        if self._backfill and step.at_ms >= self._live_ms and len(step.rows) and not step.receipts:
            self.close_backfill()
        rows = step.rows
        if len(rows):
            which = np.flatnonzero(rows["other"] != NOT_OTHER)
            others = Records.of([self._other(step, row) for row in rows[which]])
            rows["other"][which] = np.arange(len(which))  # indices into `others`
            self._out.append(self._writer.as_logged(rows, others))
            self.transactions += int((rows["other"] < 0).sum())
            newest = np.zeros(len(self._topics) + 1, np.int64)  # by bank, the gateway last
            np.maximum.at(newest, rows["bank"], rows["time_ms"])
            for bank in np.flatnonzero(newest[:-1]).tolist():
                self._feeds.event(self._delivering.banks[bank].bank_id, int(newest[bank]))
        for bank, day in step.receipts:
            self._feeds.receipt(self._delivering.banks[bank].bank_id, day)
        if step.receipts:
            for tick in self._feeds.ticks(step.at_ms):
                self._barrier(LogRecord(event=tick, origin=(topics.FEED, 0, 0)))

    def close_backfill(self) -> None:
        """Append the end of the backfill; alerts are delivered from there on."""
        if self._backfill:
            self._backfill = False
            self._control("backfill_close")

    def close(self) -> None:
        """End the log."""
        self.close_backfill()

    def report_progress(self, say: Say) -> None:
        """Report progress, a line a month."""
        up_to = self._feeds.up_to
        if up_to is None:
            return
        month = text((up_to - day_start_ms(0)) // 86_400_000)[:7]
        if month != self._reported_month:
            self._reported_month = month
            say(f"{month}: {self.transactions:,} transactions")

    def _other(self, step: Step, row: object) -> tuple[bytes, bytes]:
        bank, origin = int(row["bank"]), int(row["origin"])  # type: ignore[index]
        topic = topics.GATEWAY if bank == GATEWAY else self._topics[bank]
        key, value = self._forwarder.forwarded(TP(topic, 0), origin, step.others[int(row["other"])])  # type: ignore[index]
        assert key is not None
        assert value is not None
        return key, value

    def _control(self, action: str) -> None:
        control = Control(control_id=f"simulated-{self._controls}", action=action, by=BY, reason=REASON)  # type: ignore[arg-type]
        self._barrier(LogRecord(event=control, origin=(topics.CONTROL, 0, self._controls)))
        self._controls += 1

    def _barrier(self, record: LogRecord) -> None:
        self._out.append_to_all(Records.of([(None, encode(record))]))
