"""The quota of new enterprises: as a pure count, and of a bank that floods a real ingest with unknown ids."""

import signal
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import IngestSettings
from domain import topics
from domain.outputs import KnownEnterprise
from sinks.batch import Records
from streams.ingest import enterprise_table
from streams.ingest.enterprise_table import NEW, EnterpriseTable
from streams.ingest.enterprises import Enterprises
from tests.reading import read
from tests.streams.ingest.kit import BANKS, DAY, as_bytes, at, committed, log_records, receipt, send, txn, worker
from tests.streams.ingest.test_unreadable_feeds import balances, called, closes, quarantine

FLOOD, GOOD = topics.bank_events(BANKS[0]), topics.bank_events(BANKS[1])
OTHERS = [topics.bank_events(bank_id) for bank_id in BANKS[1:]]
WHO = ("--by", "z", "--reason", "x")


def ids(*numbers):
    return Records.of([(b"E%d" % number, b"value") for number in numbers])


def made(**settings):
    return Enterprises(IngestSettings(**{"new_enterprises_first": 0} | settings))


def folded(records, **settings):
    """Return a worker's view of the topic that holds these records."""
    enterprises = made(**settings)
    decode = msgspec.json.Decoder(KnownEnterprise).decode
    rows = list(records)
    enterprises.fold([key for key, _ in rows], [decode(value) for _, value in rows])
    return enterprises


@given(st.lists(st.lists(st.integers(0, 9_000), max_size=3_000), max_size=4))
def test_a_table_is_a_set_of_ids_with_a_mark_each(monkeypatch_slots, puts):
    table, known = EnterpriseTable(), {}
    for mark, numbers in enumerate(puts):
        keys = [b"E%d" % number for number in numbers]
        assert table.unknown(ids(*numbers)) == [i for i, key in enumerate(keys) if key not in known]
        expected = []
        for key in keys:
            expected.append(known.get(key, NEW))
            known[key] = mark
        assert table.put(keys, [mark] * len(keys)) == expected
        assert len(table) == len(known)
    assert table.unknown(ids(*range(9_000, 0, -7))) == [
        i for i, number in enumerate(range(9_000, 0, -7)) if b"E%d" % number not in known
    ]


@pytest.fixture(scope="module")
def monkeypatch_slots():
    """Few slots at first, so that tables grow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enterprise_table, "SLOTS_MIN", 2)
        yield


def test_known_ids_are_free_and_new_ones_count_for_the_bank_and_the_day():
    enterprises = made(new_enterprises_max=3)
    assert enterprises.admit("A", 10, ids(1, 2, 1, 2)).until == 4
    count, new, beyond = enterprises.admit("A", 10, ids(1, 3, 4, 5))
    assert (count, [key for key, _ in new], beyond) == (2, [b"E3"], 10)
    assert enterprises.admit("A", 10, ids(1, 2, 3)).until == 3
    assert enterprises.admit("B", 10, ids(4, 5)).until == 2, "each bank has its own"
    assert enterprises.admit("A", 10, ids(4, 5, 6)).until == 2, "and another's are known"
    assert enterprises.admit("A", 11, ids(6, 7, 8, 9)).until == 3, "the next day has another quota"
    assert enterprises.admit("A", 10, ids(9)).beyond == 11, "and a bank's day never goes back"
    assert enterprises.grant("A", 11, 4)
    assert enterprises.admit("A", 11, ids(9, 20)).until == 1
    assert enterprises.admit(None, 11, ids(*range(30, 60))).until == 30, "the gateway has no quota"
    assert made(new_enterprises_max=0).admit("A", 10, ids(*range(5_000))).until == 5_000


def test_a_bank_s_first_enterprises_count_on_no_day():
    enterprises = made(new_enterprises_max=2, new_enterprises_first=100)
    count, new, _ = enterprises.admit("A", 10, ids(*range(200)))
    assert count == 102
    again = folded(new, new_enterprises_max=2, new_enterprises_first=100)
    for one in (enterprises, again):
        assert one.brought("A", 10) == 2
        assert one.admit("A", 10, ids(102)).beyond == 10


@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 3), st.lists(st.integers(0, 20), max_size=6)), max_size=12)
)
def test_two_workers_and_a_compacted_topic_agree(moves):
    """Each worker decides for one bank before it hears of the other: what the topic holds is what both know then."""
    settings = {"new_enterprises_max": 3, "new_enterprises_first": 2}
    workers, topic = {bank: made(**settings) for bank in "AB"}, []
    for bank, day, numbers in moves:
        topic += list(workers[bank].admit(bank, day, ids(*numbers)).new)
    decode = msgspec.json.Decoder(KnownEnterprise).decode
    for one in workers.values():  # all of it, their own once more
        one.fold([key for key, _ in topic], [decode(value) for _, value in topic])
    compacted = folded(dict(topic).items(), **settings)
    for one in (*workers.values(), folded(topic, **settings)):
        assert len(one) == len(compacted) == len(dict(topic))
        for bank in "AB":
            assert [one.brought(bank, day) for day in range(4)] == [compacted.brought(bank, day) for day in range(4)]


def known(broker):
    """The enterprises that the topic holds, with the bank and the day."""
    decode = msgspec.json.Decoder(KnownEnterprise).decode
    found = [(record.key.decode(), decode(record.value)) for record in read(broker, topics.ENTERPRISE)]
    assert len({key for key, _ in found}) == len(found), "each once"
    return {key: (one.bank_id, one.day) for key, one in found}


def enterprises_of(broker, bank):
    """The enterprises of a bank's events in the log, by number of events."""
    rows = [one.event for rows in log_records(broker).values() for one in rows]
    return Counter(one.enterprise_id for one in rows if getattr(one, "bank_id", "") == BANKS[bank])


def flood(day, numbers, bank=0):
    return [
        as_bytes(txn(f"{day}-{n}", at(day, n % 1_400), bank_id=BANKS[bank], enterprise_id=f"F{n}")) for n in numbers
    ]


def test_a_bank_that_floods_ingest_with_unknown_ids_is_held_and_nobody_else(
    settings, empty_kafka, tmp_path, eventually, capsys
):
    """Held at the offset, also by the next worker after a kill; a resume grants another quota, a skip leaves out."""
    broker, found = empty_kafka, settings(new_enterprises_max=10, new_enterprises_first=2)
    send(broker, FLOOD, [*flood(0, range(12)), *flood(0, range(12)), *flood(0, range(100, 140))])
    for number, topic in enumerate(OTHERS, 1):
        for day in range(4):
            rows = [as_bytes(txn(f"{day}", at(day, 5), bank_id=BANKS[number], enterprise_id=f"G{number}"))]
            send(broker, topic, [*rows, as_bytes(receipt(day, BANKS[number]))])
    log = tmp_path / "log"
    for attempt in range(2):
        with worker(found, log) as process:
            eventually(lambda: len(quarantine(broker)) == 1, deadline_s=60, what="held")
            eventually(lambda n=attempt: log.read_text().count("is paused") == n + 1, deadline_s=60, what="paused")
            eventually(lambda: committed(broker, FLOOD) == 24, deadline_s=60, what="committed up to there")
            eventually(lambda: closes(broker, 1, 3), deadline_s=60, what="days of other banks close")
            eventually(lambda: closes(broker, 0, 2), deadline_s=60, what="and of this one, as of a silent bank")
            assert set(enterprises_of(broker, 0)) == {f"F{n}" for n in range(12)}
            process.send_signal(signal.SIGKILL)
    (place,) = quarantine(broker)
    assert (place.offset, place.next_offset, place.reason) == (24, 25, "new_enterprises")
    assert (place.day, place.new_enterprises) == (DAY, 10)
    charged = known(broker)
    assert Counter(charged.values())[BANKS[0], DAY] == 10
    assert charged["F0"] == charged["F1"] == (BANKS[0], None)
    balances(found, FLOOD, 0)
    code, out = called(found, tmp_path, capsys, "feed", "list")
    assert (code, f"{FLOOD}[0]@24–25" in out, "new_enterprises" in out) == (0, True, True)

    with worker(found, log) as process:
        eventually(lambda: log.read_text().count("is paused") == 3, deadline_s=60, what="paused again")
        assert called(found, tmp_path, capsys, "feed", "resume", BANKS[0], *WHO)[0] == 0
        eventually(lambda: [one.offset for one in quarantine(broker)] == [24, 34], deadline_s=60, what="ten more")
        eventually(lambda: committed(broker, FLOOD) == 34, deadline_s=60, what="committed up to there")
        process.send_signal(signal.SIGKILL)
    with worker(found, log) as process:
        eventually(lambda: log.read_text().count("is paused") == 5, deadline_s=60, what="held at the same place")
        assert set(enterprises_of(broker, 0)) == {f"F{n}" for n in (*range(12), *range(100, 110))}
        assert called(found, tmp_path, capsys, "feed", "skip", BANKS[0], *WHO, "--to", "64")[0] == 0
        send(broker, FLOOD, [*flood(1, range(12)), *flood(1, range(200, 205))])
        eventually(lambda: committed(broker, FLOOD) == 64 + 17, deadline_s=60, what="on, with the next day's quota")
        assert process.poll() is None
    assert set(enterprises_of(broker, 0)) == {f"F{n}" for n in (*range(12), *range(100, 110), *range(200, 205))}
    assert Counter(known(broker).values()) == {
        (BANKS[0], None): 2, (BANKS[0], DAY): 20, (BANKS[0], DAY + 1): 5, (BANKS[1], None): 1, (BANKS[2], None): 1
    }  # fmt: skip
    assert len(quarantine(broker)) == 2
    balances(found, FLOOD, 30)
