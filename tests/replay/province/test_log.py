"""The log of a simulated province: banks' records are valid, and the log has the records that ingest would append."""

import csv
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest

from config.credentials import forbidden
from domain.calendar import date_of, day_of, day_of_text, day_start_ms
from domain.events import SCHEMA, Control, Loan, LogRecord, Receipt, Tick, Txn
from domain.reject import Reason, Rejected
from domain.validate import Validator, source_of
from replay.log_file import LogFile
from replay.province.delivery import NOT_OTHER, Delivering
from replay.province.layout import NEVER
from replay.province.log import write_log
from replay.province.population import Population
from replay.province.simulation import Simulation
from replay.province.source import Province
from replay.province.writing import Writer, platform_key
from streams.ingest.forwarding import Forwarder
from streams.ingest.tokens import Tokens
from streams.score import reader
from streams.seal import new_sealer
from streams.worker.role import TP

SMALL = Population(seed=5, enterprises=60, months=5, before_months=8, after_months=2, banks=6, default_rate=0.3)
FLAWED = replace(
    SMALL, duplicate=0.02, conflict=0.01, late=0.02, stale=0.01, foreign=0.01, returned=0.02, reversed_=0.02,
    outage=2.0, dead_feed=0.5, backfill_months=2,
)  # fmt: skip
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(LogRecord).decode


@pytest.fixture(scope="module")
def flawed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of FLAWED."""
    path = tmp_path_factory.mktemp("province") / "flawed.log"
    write_log(FLAWED, path, partitions=3)
    return path


def records(path: Path) -> Iterator[tuple[int, LogRecord, bytes]]:
    """(partition, record, its bytes) in the order of the file."""
    for one in LogFile(path).records():
        assert one.value is not None
        yield one.partition, decode(one.value), one.value


def truth(path: Path) -> dict[str, dict[str, str]]:
    with path.with_name(f"{path.name}.truth.csv").open(encoding="utf-8") as file:
        return {row["enterprise_id"]: row for row in csv.DictReader(file)}


def test_every_event_that_is_sent_is_one_that_its_writer_may_send() -> None:
    validators = {}
    refused: Counter[Reason] = Counter()
    count = 0
    for delivery in Province(FLAWED).deliveries():
        if delivery.topic not in validators:
            validators[delivery.topic] = Validator(
                source=source_of(delivery.topic), forbidden=forbidden(), future_tolerance_ms=0
            )
        broker_ms = delivery.at_ms if isinstance(delivery.event, Receipt) else delivery.event.event_time
        found = validators[delivery.topic].accept(
            encode(delivery.event), SCHEMA.encode(), max(broker_ms, delivery.at_ms)
        )
        if isinstance(found, Rejected):
            refused[found.reason] += 1
        else:
            assert found == delivery.event
        count += 1
    assert count > 10_000
    assert set(refused) == {Reason.UNKNOWN_CURRENCY}


def test_the_compiled_writer_gives_the_bytes_of_the_events() -> None:
    simulation = Simulation(FLAWED)
    writer = Writer(simulation, Tokens(platform_key(FLAWED)))
    sent: list[bytes] = []
    for step in Delivering(simulation).steps():
        sent += writer.as_sent(step.rows[step.rows["other"] == NOT_OTHER])
    made = [encode(one.event) for one in Province(FLAWED).deliveries() if isinstance(one.event, Txn)]
    assert sent == made


def test_the_log_is_what_ingest_makes_of_what_was_sent(flawed: Path) -> None:
    forwarder = Forwarder(Tokens(platform_key(FLAWED)), new_sealer(), compiled=False)
    expected: dict[bytes, list[bytes]] = defaultdict(list)
    offsets: Counter[str] = Counter()
    for delivery in Province(FLAWED).deliveries():
        event, offset = delivery.event, offsets[delivery.topic]
        offsets[delivery.topic] += 1
        if isinstance(event, Receipt) or (isinstance(event, Txn) and event.currency == "XXX"):
            continue
        key, value = forwarder.forwarded(TP(delivery.topic, 0), offset, event)
        assert key is not None
        assert value is not None
        expected[key].append(value)
    found: dict[bytes, list[bytes]] = defaultdict(list)
    partition_of: dict[bytes, set[int]] = defaultdict(set)
    for one in LogFile(flawed).records():
        if one.key is not None:
            assert one.value is not None
            found[one.key].append(one.value)
            partition_of[one.key].add(one.partition)
            assert one.headers == (("schema", SCHEMA.encode()),)
    assert found == expected
    assert all(len(places) == 1 for places in partition_of.values())


def test_the_compiled_reader_of_score_takes_every_transaction_in_yuan_that_has_a_balance(flawed: Path) -> None:
    log = LogFile(flawed)
    taken = left = 0
    for partition in range(log.head.partitions):
        for chunk in log.chunks(partition):
            took = np.zeros(len(chunk), np.uint8)
            from features.state.record_columns import RECORD

            reader.read(
                chunk.buffer, chunk.value_start, chunk.value_end, chunk.header_start, chunk.header_end,
                np.zeros(len(chunk), RECORD), took,
            )  # fmt: skip
            for row in np.flatnonzero(took == reader.LEFT).tolist():
                event = decode(chunk.value(row) or b"").event
                assert not isinstance(event, Txn) or event.currency == "USD"
                left += 1
            taken += int((took == reader.TAKEN).sum())
    assert taken > 5 * left > 0


def test_a_receipt_comes_after_all_that_its_day_holds_also_where_a_feed_stood_still() -> None:
    population = replace(SMALL, outage=20.0, duplicate=0.0, conflict=0.0, late=0.0, stale=0.0, foreign=0.0)
    came: Counter[tuple[str, str]] = Counter()
    back = 0
    for delivery in Province(population).deliveries():
        event = delivery.event
        if isinstance(event, Txn):
            came[event.bank_id, date_of(day_of(event.event_time)).isoformat()] += 1
        elif isinstance(event, Receipt):
            assert came[event.bank_id, event.day] == event.count
            back += day_of(delivery.at_ms) > day_of_text(event.day) + 1
    assert back > 20, "feeds have stood still"


def test_the_log_opens_with_the_loans_that_run_and_with_the_times_of_their_reports(
    tmp_path: Path,
) -> None:
    population = Population(seed=8, enterprises=400, months=1, before_months=14, after_months=0, banks=6)
    path = tmp_path / "short.log"
    write_log(population, path, partitions=1)
    loans: dict[str, str] = {}
    ticks: list[Tick] = []
    closed = 0
    for _, record, _ in records(path):
        event = record.event
        if isinstance(event, Loan):
            first = loans.setdefault(event.loan_id, event.event)
            assert first in ("granted", "renewed"), event
            closed += event.event == "closed" and day_of(event.event_time) == population.start_day
        elif isinstance(event, Tick):
            ticks.append(event)
    assert closed, "a loan ends on the first day"
    assert all(feed.last_event_time != 0 for tick in ticks for feed in tick.feeds.values())


def test_ticks_come_to_all_partitions_and_days_close_as_receipts_say(flawed: Path) -> None:
    ticks: dict[int, list[Tick]] = defaultdict(list)
    newest: dict[str, int] = {}
    for partition, record, _ in records(flawed):
        event = record.event
        if isinstance(event, Tick):
            ticks[partition].append(event)
        elif isinstance(event, Txn) and partition == 0:
            newest[event.bank_id] = max(newest.get(event.bank_id, 0), event.event_time)
    assert ticks[0] == ticks[1] == ticks[2]
    ups = [tick.up_to for tick in ticks[0]]
    assert ups == sorted(set(ups))
    last = ticks[0][-1]
    assert all(feed.covered_up_to == FLAWED.end_day - 1 for feed in last.feeds.values())
    assert any(feed.stalled for tick in ticks[0] for feed in tick.feeds.values()), "a feed has stood still"
    assert all((last.feeds[bank].last_event_time or 0) >= time_ms for bank, time_ms in newest.items())


def test_the_backfill_is_opened_first_and_closed_when_the_days_are_live(flawed: Path) -> None:
    for partition in range(3):
        mine = [record for number, record, _ in records(flawed) if number == partition]
        words = [(i, record.event.action) for i, record in enumerate(mine) if isinstance(record.event, Control)]
        assert [action for _, action in words] == ["backfill_open", "backfill_close"]
        assert words[0][0] == 0
        before = [record.event for record in mine[: words[1][0]] if isinstance(record.event, Tick)]
        after = [record.event for record in mine[words[1][0] :] if isinstance(record.event, Tick)]
        live_ms = day_start_ms(FLAWED.live_day)
        assert before[-1].up_to >= live_ms, "the last day of the history has closed"
        assert after[0].up_to >= live_ms


def test_the_truth_says_what_the_loans_say_and_more(flawed: Path) -> None:
    arrears: dict[str, int] = {}
    overdue_30: dict[str, int] = {}
    default: dict[str, int] = {}
    lenders: dict[str, set[str]] = defaultdict(set)
    for _, record, _ in records(flawed):
        event = record.event
        if not isinstance(event, Loan):
            continue
        who, day = event.enterprise_id, day_of(event.event_time)
        lenders[who].add(event.bank_id)
        if event.event == "overdue":
            assert event.dpd is not None
            arrears[who] = min(arrears.get(who, NEVER), day - event.dpd + 1)
            if event.dpd >= 31:
                overdue_30[who] = min(overdue_30.get(who, NEVER), day - event.dpd + 31)
        elif event.event == "default":
            default[who] = min(default.get(who, NEVER), day)
    rows = truth(flawed)
    start, end, later = FLAWED.start_day, FLAWED.end_day, 0
    assert len(rows) == FLAWED.enterprises
    for name, said in (("first_arrears", arrears), ("overdue_30", overdue_30), ("default", default)):
        days = {who: day_of_text(row[name]) for who, row in rows.items() if row[name]}
        for who, day in days.items():
            if start <= day < end - 1:
                assert said.get(who, NEVER) == day, (name, who)
        later += sum(day >= end for day in days.values())
    assert later, "the truth knows more than the log"
    assert set(lenders) <= {who for who, row in rows.items() if row["borrows"] == "True"}
    for row in rows.values():
        dates = [row[name] for name in ("first_arrears", "overdue_30", "default") if row[name]]
        assert dates == sorted(dates)
        assert all(date.fromisoformat(each) <= date.fromisoformat(row["known_until"]) for each in dates)
        assert not row["onset"] or row["scenario"] != "sound"
        assert not row["overdue_30"] or row["first_arrears"]


def test_the_truth_is_the_same_in_parquet_and_is_none_of_the_log_s(flawed: Path) -> None:
    import pyarrow.parquet as parquet

    table = parquet.read_table(flawed.with_name(f"{flawed.name}.truth.parquet")).to_pylist()
    shown = [{name: _shown(value) for name, value in row.items()} for row in table]
    assert shown == list(truth(flawed).values())
    whole = b"".join(value for _, _, value in records(flawed))
    assert not any(name.encode() in whole for name in ("slow_decay", "window_dressing", "siphoning", "fraud"))


def _shown(value: object) -> str:
    return "" if value is None else value.isoformat() if isinstance(value, date) else str(value)


def test_the_same_population_gives_the_same_bytes_and_a_partition_more_only_places_them_anew(
    flawed: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.log"
    write_log(FLAWED, again, partitions=3, steps_ahead=1)
    for suffix in ("", ".truth.csv", ".truth.parquet"):
        assert again.with_name(again.name + suffix).read_bytes() == flawed.with_name(flawed.name + suffix).read_bytes()
    other = tmp_path / "other.log"
    write_log(FLAWED, other, partitions=5)
    values = [sorted(value for _, _, value in set_of(path)) for path in (flawed, other)]
    assert values[0] == values[1]


def set_of(path: Path) -> Iterator[tuple[int, LogRecord, bytes]]:
    """Return the records that are not for all partitions."""
    return (one for one in records(path) if not isinstance(one[1].event, Tick | Control))


def test_an_interruption_leaves_nothing_half_written(tmp_path: Path, eventually: Callable[..., None]) -> None:
    path = tmp_path / "out" / "province.log"
    argv = [sys.executable, "-m", "cli.main", "simulate", "--out", str(path), "--enterprises", "3000", "--seed", "4"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as child:
        eventually(lambda: path.parent.exists() and any(path.parent.iterdir()), what="it writes", deadline_s=240.0)
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert list(path.parent.iterdir()) == []


def test_a_wrong_call_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cli.main import main

    out = str(tmp_path / "province.log")
    for words, said in (
        (["--out", out, "--banks", "10001"], "banks = 10001: not 1 to 9999"),
        (["--out", out, "--partitions", "0"], "--partitions 0"),
        (["--out", out, "--speed", "60x"], "--speed does not go with --out"),
        (["--partitions", "4"], "--partitions goes with --out"),
        (["--population", str(tmp_path / "absent.toml")], "absent.toml: No such file"),
        (["--out", out, "--population", str(tmp_path / "absent.toml")], "absent.toml: No such file"),
    ):
        assert main(["simulate", *words]) == 2
        assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
