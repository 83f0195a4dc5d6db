"""Bytes of a record in each topic and of a row in each table on disk: the cost of retention.

A small province goes through the whole engine: Kafka as its log segments hold it (compressed batches, one replica),
ClickHouse as its parts hold it once merged (in process). A tick is that of 141 banks, written by the writer of ticks to
a broker of its own, with the marker that ends its transaction.
"""

import asyncio
import tempfile
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from confluent_kafka.admin import OffsetSpec

from benchmarks import results
from cli.progress import Saying
from config.settings import KafkaSettings, Settings
from domain.calendar import day_start_ms
from domain.events import Feed, LogRecord, Tick
from domain.topics import EVENTS, FEED, SCORE, bank_events
from embedded import Kafka
from replay.offsets import Offsets
from replay.province.population import Population
from replay.province.source import Province
from replay.run import Replay
from replay.stack import Stack
from sinks.clickhouse import Connection, connect, target_of
from sinks.clickhouse import tables as archive
from sinks.kafka import Outbox
from streams.ingest.forwarding import HEADERS, encode
from streams.ingest.tick_writer import TickWriter
from streams.topics import create_topics, wanted_topics

POPULATION = Population(enterprises=200, banks=3, months=15)
BANKS, PARTITIONS, TICKS = 141, 8, 60
_BANK = "<bank_id>"
_DAY = 20_454  # 2026-01-01


def run(argv: list[str]) -> int:
    """Measure and write the result."""
    args = results.arguments(__doc__, argv)
    if args.scale != 1.0:
        raise SystemExit(f"--scale {args.scale:g}: the province has one size")
    source, say = Province(POPULATION), Saying()
    with tempfile.TemporaryDirectory(prefix="xinliu-sizes-") as name:
        folder = Path(name)
        with Stack(folder, source.banks, on_progress=say) as stack:
            Replay(source, stack.settings, stack=stack, speed=None).run(say.look)
            topics, records = _topics(folder / "kafka" / "log", stack.settings)
            with closing(connect(target_of(stack.settings.clickhouse))) as connection:
                tables = _tables(connection)
        tick_bytes = _tick_bytes(folder / "ticks")
    figures = {f"{topic}_bytes_a_record": size for topic, size in topics.items()}
    figures["score_records_a_txn"] = round(records[SCORE] / records[bank_events(_BANK)], 3)
    figures["tick_bytes"] = tick_bytes
    figures |= {f"{table}_bytes_a_row": size for table, size in tables.items()}
    return results.report("sizes", args, figures, {})


def _topics(log: Path, settings: Settings) -> tuple[dict[str, float], dict[str, int]]:
    """Return by topic its bytes on disk a record, and its records; all banks' topics count as one."""
    names = [topic.name for topic in wanted_topics(settings)]
    offsets = Offsets(settings.kafka)
    places = offsets.partitions(names)
    ends, begins = offsets.ends(places), offsets.ends(places, OffsetSpec.earliest())
    records, stored = defaultdict[str, int](int), defaultdict[str, int](int)
    for topic, partition in places:
        kind = _without_bank(topic, settings)
        records[kind] += ends[topic, partition] - begins[topic, partition]
        stored[kind] += sum(file.stat().st_size for file in (log / f"{topic}-{partition}").glob("*.log"))
    return {kind: round(stored[kind] / count, 1) for kind, count in records.items() if count}, dict(records)


def _tick_bytes(folder: Path) -> int:
    """Return the bytes of a province's tick in one partition, with all feeds at different times."""
    with Kafka(folder, heap="256m") as kafka:
        create_topics(Settings(kafka=KafkaSettings(bootstrap=kafka.address, log_partitions=PARTITIONS)))
        asyncio.run(_write_ticks(kafka.address))
    stored = sum(file.stat().st_size for file in folder.glob(f"log/{EVENTS}-*/*.log"))
    return round(stored / (TICKS * PARTITIONS))


async def _write_ticks(bootstrap: str) -> None:
    """Write ticks a second apart; before each, a third of the banks has sent a record."""
    writer = TickWriter(Outbox(bootstrap), bootstrap, {}, "benchmark.ticks", PARTITIONS)
    await writer.open()
    last_ms = [day_start_ms(_DAY) + 36_000_000 - 997 * number for number in range(BANKS)]
    for second in range(TICKS):
        now_ms = day_start_ms(_DAY) + 36_000_000 + 1_000 * second
        last_ms[second % 3 :: 3] = [now_ms - 7 * number for number in range(BANKS // 3)]
        feeds = {
            f"C{number:013}": Feed(last_event_time=time_ms, covered_up_to=_DAY - 1, closed_up_to=_DAY - 1)
            for number, time_ms in enumerate(last_ms)
        }
        await writer.write(
            [encode(LogRecord(event=Tick(up_to=now_ms, feeds=feeds), origin=(FEED, 0, second)))], HEADERS
        )
    await writer.close()


def _without_bank(topic: str, settings: Settings) -> str:
    for bank in settings.banks:
        topic = topic.replace(bank.bank_id, _BANK)
    return topic


def _tables(connection: Connection) -> dict[str, float]:
    """Return by table the compressed bytes of a row, once all parts are merged."""
    found = {}
    for table in archive.ALL:
        connection.execute(f"OPTIMIZE TABLE {connection.database}.{table.name} FINAL")
        query = """SELECT sum(rows), sum(data_compressed_bytes) FROM system.parts
            WHERE active AND database = {database:String} AND table = {table:String}"""
        ((rows, stored),) = connection.rows(query, {"database": connection.database, "table": table.name})
        if rows:
            found[table.name] = round(stored / rows, 1)
    return found
