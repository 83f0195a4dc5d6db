"""Checks of aiokafka's and Faust's internals under the transport: read the change before you update them."""

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import aiokafka.consumer.fetcher as fetcher_module
import faust.app.base
import faust.tables.manager
import faust.tables.recovery
import faust.topics
import faust.transport.conductor
import faust.transport.consumer
import faust.transport.drivers.aiokafka as faust_driver
import pytest
from aiokafka.consumer.consumer import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import RecordTooLargeError
from aiokafka.record.memory_records import MemoryRecords

from streams.transport import aiokafka_seam
from tests.streams.transport.record_batches import Batch, rows_of

Fetcher = fetcher_module.Fetcher
RESTS_ON: dict[str, tuple[Callable[..., Any], str]] = {
    "fetcher_FetchResult_unchanged": (fetcher_module.FetchResult, "d7db13f06de8248c"),
    "fetcher_FetchError_unchanged": (fetcher_module.FetchError, "10966ad4c7954483"),
    "fetcher_PartitionRecords_unchanged": (fetcher_module.PartitionRecords, "94aa0da0dbec8d1b"),
    "fetcher_Fetcher__fetch_requests_routine_unchanged": (Fetcher._fetch_requests_routine, "2a8ec5932644c9b0"),
    "fetcher_Fetcher__proc_fetch_request_unchanged": (Fetcher._proc_fetch_request, "59bf948fff47eed5"),
    "fetcher_Fetcher_fetched_records_unchanged": (Fetcher.fetched_records, "be4348896b9b66af"),
    "fetcher_Fetcher_seek_to_unchanged": (Fetcher.seek_to, "f0ba6aba6c22ef83"),
    "AIOKafkaConsumer_start_unchanged": (AIOKafkaConsumer.start, "2f1ba70443327538"),
    "AIOKafkaConsumer_seek_unchanged": (AIOKafkaConsumer.seek, "a9430f1f3b9ac419"),
    "GroupCoordinator_fetch_committed_offsets_unchanged": (
        GroupCoordinator.fetch_committed_offsets,
        "6c049c7379165952",
    ),
    "GroupCoordinator_ensure_active_group_unchanged": (GroupCoordinator.ensure_active_group, "33c84c1a93012e81"),
    "GroupCoordinator__on_join_prepare_unchanged": (GroupCoordinator._on_join_prepare, "4d9524afc0ee2c2f"),
    "faust_driver_ConsumerRebalanceListener_unchanged": (faust_driver.ConsumerRebalanceListener, "f3d04f29dfb3f716"),
    "faust_driver_AIOKafkaConsumerThread_on_start_unchanged": (
        faust_driver.AIOKafkaConsumerThread.on_start,
        "38b4e8bd1e10723a",
    ),
    "faust_driver_AIOKafkaConsumerThread__create_worker_consumer_unchanged": (
        faust_driver.AIOKafkaConsumerThread._create_worker_consumer,
        "c2701bfc3e6f6cad",
    ),
    "faust_driver_AIOKafkaConsumerThread__fetch_records_unchanged": (
        faust_driver.AIOKafkaConsumerThread._fetch_records,
        "39a2c6c79fc1455a",
    ),
    "faust_driver_AIOKafkaConsumerThread_getmany_unchanged": (
        faust_driver.AIOKafkaConsumerThread.getmany,
        "26fc5fc9f3b667e1",
    ),
    "faust_driver_AIOKafkaConsumerThread_commit_unchanged": (
        faust_driver.AIOKafkaConsumerThread.commit,
        "d31c8558ba25310c",
    ),
    "faust_driver_AIOKafkaConsumerThread_subscribe_unchanged": (
        faust_driver.AIOKafkaConsumerThread.subscribe,
        "74f90b8c8cbc6384",
    ),
    "faust_transport_consumer_Fetcher_unchanged": (faust.transport.consumer.Fetcher, "c922e4ab78d9e296"),
    "faust_transport_consumer_Consumer__wait_next_records_unchanged": (
        faust.transport.consumer.Consumer._wait_next_records,
        "6218e1969a636b3f",
    ),
    "faust_transport_consumer_Consumer__drain_messages_unchanged": (
        faust.transport.consumer.Consumer._drain_messages,
        "44a2500309e83c63",
    ),
    "faust_transport_consumer_Consumer_on_partitions_revoked_unchanged": (
        faust.transport.consumer.Consumer.on_partitions_revoked,
        "d04b7ae72c6fc206",
    ),
    "faust_transport_consumer_Consumer_on_partitions_assigned_unchanged": (
        faust.transport.consumer.Consumer.on_partitions_assigned,
        "29ce96596f05a18c",
    ),
    "faust_transport_consumer_Consumer_perform_seek_unchanged": (
        faust.transport.consumer.Consumer.perform_seek,
        "0e8c130ff4b0afd8",
    ),
    "faust_transport_consumer_Consumer_force_commit_unchanged": (
        faust.transport.consumer.Consumer.force_commit,
        "cc094614d22c70fb",
    ),
    "faust_transport_consumer_Consumer__commit_tps_unchanged": (
        faust.transport.consumer.Consumer._commit_tps,
        "a20e230b05ae8b15",
    ),
    "faust_transport_consumer_Consumer__filter_committable_offsets_unchanged": (
        faust.transport.consumer.Consumer._filter_committable_offsets,
        "dc5e9baf5d994485",
    ),
    "faust_transport_consumer_Consumer__should_commit_unchanged": (
        faust.transport.consumer.Consumer._should_commit,
        "5ce941793947ad42",
    ),
    "faust_transport_consumer_ThreadDelegateConsumer_unchanged": (
        faust.transport.consumer.ThreadDelegateConsumer,
        "a1b934b198fae1c0",
    ),
    "faust_transport_conductor_Conductor__subscriber_fun_unchanged": (
        faust.transport.conductor.Conductor._subscriber.fun,
        "2a79085834048049",
    ),
    "faust_app_base_App__on_partitions_revoked_unchanged": (
        faust.app.base.App._on_partitions_revoked,
        "d5c895bbe57dc73a",
    ),
    "faust_app_base_App__on_partitions_assigned_unchanged": (
        faust.app.base.App._on_partitions_assigned,
        "de932b7927db85b3",
    ),
    "faust_app_base_App__stop_consumer_unchanged": (faust.app.base.App._stop_consumer, "55854a5de12c3f52"),
    "faust_app_base_BootStrategy_unchanged": (faust.app.base.BootStrategy, "ecc05db10abceee9"),
    "faust_tables_recovery_Recovery__resume_streams_unchanged": (
        faust.tables.recovery.Recovery._resume_streams,
        "d986a6710c1aca98",
    ),
    "faust_tables_TableManager_on_start_unchanged": (faust.tables.manager.TableManager.on_start, "365dd25fbc0e0684"),
    "faust_tables_TableManager__update_channels_unchanged": (
        faust.tables.manager.TableManager._update_channels,
        "88e3941facc934d6",
    ),
    "faust_driver_AIOKafkaConsumerThread_on_thread_stop_unchanged": (
        faust_driver.AIOKafkaConsumerThread.on_thread_stop,
        "8dfc004e258b6c25",
    ),
    "faust_topics_Topic__compile_decode_unchanged": (faust.topics.Topic._compile_decode, "6474178f8c211c05"),
}


@pytest.mark.parametrize("name", RESTS_ON)
def test_aiokafka_seam_rests_on(name: str) -> None:
    thing, expected = RESTS_ON[name]
    found = hashlib.sha256(inspect.getsource(thing).encode()).hexdigest()[:16]
    assert found == expected, f"{name} has changed: see what the transport rests on, then write {found} here"


def test_aiokafka_seam_fetcher_takes_MemoryRecords_from_its_module() -> None:
    source = inspect.getsource(Fetcher._proc_fetch_request)
    assert "records = MemoryRecords(part_data[-1])" in source
    assert "records.has_next()" in source


def test_aiokafka_seam_RawRecords_reads_as_the_original_and_keeps_the_bytes() -> None:
    raw = Batch(rows=rows_of(3)).encoded() + Batch(base=3, rows=rows_of(2)).encoded()
    ours, original = aiokafka_seam.RawRecords(raw), MemoryRecords(raw)
    assert ours.raw == raw
    assert ours.size_in_bytes() == original.size_in_bytes()
    while original.has_next():
        assert ours.has_next()
        one, other = ours.next_batch(), original.next_batch()
        assert [(r.offset, r.key, r.value) for r in one] == [(r.offset, r.key, r.value) for r in other]
    assert not ours.has_next()
    assert not aiokafka_seam.RawRecords(b"").has_next()


def test_aiokafka_seam_RawRecords_never_lets_a_cut_record_be_stepped_over() -> None:
    cut = aiokafka_seam.RawRecords(Batch(rows=rows_of(30)).encoded()[:100])
    assert cut.has_next()
    with pytest.raises(RecordTooLargeError):
        cut.next_batch()


def batches_of(sizes: list[int]) -> list[bytes]:
    """Encoded batches of so many rows each."""
    bases = [sum(sizes[:i]) for i in range(len(sizes))]
    return [Batch(base=base, rows=rows_of(n)).encoded() for base, n in zip(bases, sizes, strict=True)]


@pytest.mark.parametrize("cut", [0, 1, 50])
def test_aiokafka_seam_parts_hold_whole_batches_and_at_least_one(monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    encoded = batches_of([3, 1, 40, 2, 2, 2])
    monkeypatch.setattr(aiokafka_seam, "PART_BYTES", len(encoded[0]) + len(encoded[1]))
    raw = b"".join(encoded)
    parts = [bytes(part) for part in aiokafka_seam.parts_of(raw[: len(raw) - cut])]
    whole = encoded[:-1] if cut else encoded
    assert b"".join(parts) == b"".join(whole)
    assert parts[0] == encoded[0] + encoded[1]
    assert parts[1] == encoded[2]  # more than PART_BYTES by itself
    assert all(len(part) <= aiokafka_seam.PART_BYTES for part in parts if part != encoded[2])


def test_aiokafka_seam_parts_of_a_cut_batch_are_all_there_is() -> None:
    cut = batches_of([30])[0][:100]
    assert [bytes(part) for part in aiokafka_seam.parts_of(cut)] == [cut]


@pytest.mark.parametrize(("per_s", "gap_s"), [(0, 0.06), (10_000, 0.06), (20_000, 0.1), (40_000, 0.2), (10**6, 0.25)])
def test_aiokafka_seam_fetches_lie_the_further_apart_the_more_records_come(per_s: int, gap_s: float) -> None:
    now_s = [1_000.0]
    pace = aiokafka_seam.Pace(0.06, 0.25, lambda: now_s[0])
    assert pace.wait_s(0) < 0, "a broker that was never asked"
    for second in range(3):
        for _ in range(10):
            pace.asked(0)
            pace.took(per_s // 10)
            now_s[0] += 0.1001
            waits_s = pace.wait_s(0)
        assert waits_s == pytest.approx(gap_s - 0.1, abs=1e-3), second


def test_aiokafka_seam_what_piled_up_behind_a_stall_is_no_higher_rate() -> None:
    now_s = [1_000.0]
    pace = aiokafka_seam.Pace(0.06, 0.25, lambda: now_s[0])
    for gap_s in [0.06] * 20 + [0.4] + [0.06] * 20:
        now_s[0] += gap_s
        pace.asked(0)
        pace.took(round(10_000 * gap_s))
        assert pace.wait_s(0) == pytest.approx(0.06)
