"""`docs/sizing.md`: what a province takes, calculated from the newest runs of the benchmarks."""

import json
from typing import Any

from config.settings import Settings
from docs.generate.benchmarks import HISTORY, newest
from docs.generate.markdown import code, fill, table
from docs.generate.messages import topics
from features.layout import ROW

ENTERPRISES, BANKS, FILE_BANKS_SHARE = 920_000, 141, 0.5
KAFKA_REPLICAS, CLICKHOUSE_REPLICAS = 3, 2
_ARCHIVE_MONTHS, _DAYS_A_MONTH = 25, 30.4
_TICKS_A_DAY, _PARTITIONS = 86_400, Settings().kafka.log_partitions
_MORNING_S = 3_600
_GB = 1e9


def page() -> str:
    """Return the page."""
    throughput, state, sizes = newest("throughput"), newest("state"), newest("sizes")
    live = _document("throughput")["live_tries"][-1]
    txns_a_day = ENTERPRISES * _document("state")["transactions_a_day"]["mean"]
    cpu_us = live["cpu_us_per_txn"]
    redis_bytes = ENTERPRISES * state["redis_bytes_an_enterprise_with_ids"]
    return fill(
        "sizing.md.in",
        {
            "enterprises": f"{ENTERPRISES:,}",
            "banks": str(BANKS),
            "txns_each": f"{_document('state')['transactions_a_day']['mean']:g}",
            "txns_a_day": f"{txns_a_day / 1e6:.1f} million",
            "txns_a_second": f"{txns_a_day / 86_400:,.0f}",
            "file_txns": f"{txns_a_day * FILE_BANKS_SHARE / 1e6:.1f} million",
            "file_rate": f"{txns_a_day * FILE_BANKS_SHARE / _MORNING_S:,.0f}",
            "live_per_s": f"{live['per_s']:,}",
            "cpu_table": table(
                ("process", "µs of a core a transaction"),
                [*((name, f"{us:g}") for name, us in cpu_us.items()), ("together", f"{sum(cpu_us.values()):.1f}")],
            ),
            "file_s": f"{txns_a_day * FILE_BANKS_SHARE / live['per_s']:,.0f}",
            "closed_per_s": f"{state['closed_per_s']:,}",
            "close_s": f"{ENTERPRISES / state['closed_per_s']:,.0f}",
            "drain_per_s": f"{throughput['drain_per_s']:,}",
            "drain_day_s": f"{txns_a_day / throughput['drain_per_s']:,.0f}",
            "redis_each": f"{state['redis_bytes_an_enterprise_with_ids']:,}",
            "redis_gb": f"{redis_bytes / _GB:.1f}",
            "redis_node_gb": f"{_power_of_two(2 * redis_bytes / _GB)}",
            "rss_gb": f"{state['engine_rss_bytes'] / _GB:.1f}",
            "rss_beside_gb": f"{_beside_rows(state) / _GB:.1f}",
            "resident": f"{state['resident_max_of_a_worker']:,}",
            "row_kb": f"{ROW.itemsize / 1e3:.0f}",
            "resident_default_gb": f"{Settings().score.enterprises_resident_max * ROW.itemsize / _GB:.1f}",
            "restart_s": f"{newest('recovery')['restart_s']:g}",
            "takeover_s": f"{newest('recovery')['takeover_s']:g}",
            "kafka": _kafka(txns_a_day, sizes),
            "kafka_replicas": str(KAFKA_REPLICAS),
            "clickhouse": _clickhouse(txns_a_day, sizes),
            "clickhouse_replicas": str(CLICKHOUSE_REPLICAS),
            "archive_months": str(_ARCHIVE_MONTHS),
            "partitions": str(_PARTITIONS),
            "tick_bytes": f"{sizes['tick_bytes']:,}",
        },
    )


def _beside_rows(state: dict[str, Any]) -> float:
    """Return the bytes of one worker of two beside the rows that are resident in it."""
    return float(state["engine_rss_bytes"] / 2 - state["resident_max_of_a_worker"] * ROW.itemsize)


def _kafka(txns_a_day: float, sizes: dict[str, Any]) -> str:
    """Return the disk of each topic that counts: records a day, bytes, retention."""
    kept = {topic.name: topic.retention_days for topic in topics()}
    scores_a_day = txns_a_day * sizes["score_records_a_txn"]
    lines, total = [], 0.0
    for topic, records, size in (
        ("bank.{bank_id}.events.v1", txns_a_day, sizes["bank.<bank_id>.events.v1_bytes_a_record"]),
        ("events.v1", txns_a_day, sizes["events.v1_bytes_a_record"]),
        ("events.v1, ticks", _TICKS_A_DAY * _PARTITIONS, sizes["tick_bytes"]),
        ("score.v1", scores_a_day, sizes["score.v1_bytes_a_record"]),
        ("indicator.v1", ENTERPRISES, sizes["indicator.v1_bytes_a_record"]),
    ):
        days = kept[topic.split(",")[0]]
        gb = records * size * days / _GB
        total += gb
        lines.append((code(topic), f"{records / 1e6:,.1f} million", f"{size:,}", str(days), f"{gb:,.0f}"))
    lines.append(("together, one replica", "", "", "", f"{total:,.0f}"))
    lines.append((f"together, {KAFKA_REPLICAS} replicas", "", "", "", f"{total * KAFKA_REPLICAS:,.0f}"))
    return table(("topic", "records a day", "bytes a record", "days kept", "GB"), lines)


def _clickhouse(txns_a_day: float, sizes: dict[str, Any]) -> str:
    """Return the disk of each table that counts."""
    days = _ARCHIVE_MONTHS * _DAYS_A_MONTH
    lines, total = [], 0.0
    for name, rows in (
        ("txn", txns_a_day),
        ("score", txns_a_day * sizes["score_records_a_txn"]),
        ("indicator", ENTERPRISES),
    ):
        size = sizes[f"{name}_bytes_a_row"]
        gb = rows * size * days / _GB
        total += gb
        lines.append((code(name), f"{rows / 1e6:,.1f} million", f"{size:,}", f"{rows * days / 1e9:,.1f}", f"{gb:,.0f}"))
    lines.append(("together, one replica", "", "", "", f"{total:,.0f}"))
    lines.append((f"together, {CLICKHOUSE_REPLICAS} replicas", "", "", "", f"{total * CLICKHOUSE_REPLICAS:,.0f}"))
    return table(("table", "rows a day", "bytes a row", "billion rows", "GB"), lines)


def _document(benchmark: str) -> dict[str, Any]:
    """Return the newest document of a benchmark whole: its history holds plain figures alone."""
    document: dict[str, Any] = json.loads((HISTORY.parent / f"{benchmark}.json").read_text(encoding="utf-8"))
    return document


def _power_of_two(least: float) -> int:
    size = 1
    while size < least:
        size *= 2
    return size
