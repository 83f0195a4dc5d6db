"""The outbox: which inputs its unacknowledged outputs belong to, and its end after a failure."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedded.ports import free_port
from sinks.batch import BYTES_MAX, Records
from sinks.kafka import DeliveryFailed, MarkedOutbox, Outbox
from tests.patience import eventually
from tests.reading import ends, read

LARGE = os.urandom(5_000)  # compressed too


def test_an_unacknowledged_batch_holds_its_lane(make_topic, kafka):
    topic = make_topic("outbox")
    outbox = MarkedOutbox(kafka, linger_ms=200)
    for mark in (3, 3, 7):
        outbox.send_marked(topic, b"x", key=b"k", lane="a", mark=mark)
    outbox.send_marked(topic, b"y", key=b"k", lane="b", mark=1)
    assert outbox.lowest_open("a") == 3
    assert outbox.lowest_open("b") == 1
    outbox.drain()
    assert outbox.lowest_open("a") is None
    assert outbox.lowest_open("b") is None
    assert outbox.sent_count == outbox.acknowledged_count == 4
    assert ends(kafka, topic) == {0: 4}


def test_a_mark_has_landed_when_all_before_it_is_acknowledged_whatever_came_after(make_topic, kafka):
    topic = make_topic("outbox")
    outbox = Outbox(kafka, linger_ms=300)
    assert outbox.is_acknowledged(outbox.mark()), "nothing was sent before it"
    outbox.send(topic, b"1", key=b"k")
    outbox.send_batch(topic, Records.of([(b"k", b"2"), (b"k", b"3")]))
    first = outbox.mark()
    assert not outbox.is_acknowledged(first)
    outbox.drain()
    outbox.send(topic, b"4", key=b"k")
    second = outbox.mark()
    assert outbox.is_acknowledged(first)
    assert not outbox.is_acknowledged(second)
    outbox.drain()
    assert outbox.is_acknowledged(second)


def test_records_linger_until_a_flush_and_land_in_their_order(make_topic, kafka):
    topic = make_topic("outbox")
    outbox = MarkedOutbox(kafka, linger_ms=60_000)
    for mark in range(700):
        outbox.send_marked(topic, b"%d" % mark, key=b"k", lane="a", mark=mark)
    assert outbox.sent_count == 700
    assert (outbox.acknowledged_count, outbox.lowest_open("a")) == (0, 0)
    outbox.flush_now()
    eventually(lambda: outbox.acknowledged_count == 700, 10, "what was sent is acknowledged")
    assert outbox.lowest_open("a") is None
    outbox.send_marked(topic, b"last", key=b"k", lane="a", mark=10_001)
    outbox.drain(10)
    assert [record.value for record in read(kafka, topic)] == [*(b"%d" % mark for mark in range(700)), b"last"]


def test_records_behind_a_batch_are_sent_as_soon_as_it_has_landed(make_topic, kafka):
    outbox = Outbox(kafka, linger_ms=60_000)
    outbox.send_batch(make_topic("outbox"), Records.of([(b"k", os.urandom(BYTES_MAX)) for _ in range(5)]), partition=0)
    outbox.flush_now()
    eventually(lambda: outbox.acknowledged_count == 5, 20, "five batches of one partition are acknowledged")


def test_a_run_holds_each_lane_from_its_first_mark_until_all_that_went_with_it_is_acknowledged(make_topic, kafka):
    topic = make_topic("outbox")
    outbox = MarkedOutbox(kafka, linger_ms=200)
    outbox.send_run(topic, Records.of([(b"k", b"1"), (b"k", b"2")]), lane="a", marks=(3, 9))
    outbox.send_marked(topic, b"3", key=b"k", lane="b", mark=1)
    outbox.send_run(topic, Records.of([(b"k", b"4")]), lane="a", marks=(10, 10))
    outbox.send_run(topic, Records.of([(b"k", b"5")]), lane="a", marks=(11, 12), headers=[("h", b"v")])
    assert (outbox.lowest_open("a"), outbox.lowest_open("b"), outbox.lowest_open("c")) == (3, 1, None)
    with pytest.raises(ValueError, match="must ascend: 11 after 12"):
        outbox.send_marked(topic, b"x", lane="a", mark=11)
    outbox.drain()
    assert (outbox.lowest_open("a"), outbox.lowest_open("b")) == (None, None)
    outbox.send_marked(topic, b"6", key=b"k", lane="a", mark=3)  # given back, and read again from an offset before
    assert outbox.lowest_open("a") == 3
    outbox.drain()
    landed = read(kafka, topic)
    assert [record.value for record in landed] == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert [record.headers for record in landed][3:5] == [(), [("h", b"v")]]


def test_marks_of_a_lane_ascend(make_topic, kafka):
    topic = make_topic("outbox")
    outbox = MarkedOutbox(kafka, linger_ms=200)
    outbox.send_marked(topic, b"x", lane="a", mark=5)
    with pytest.raises(ValueError, match="must ascend: 4 after 5"):
        outbox.send_marked(topic, b"x", lane="a", mark=4)
    outbox.drain()


def test_a_record_that_is_refused_ends_the_outbox(make_topic, kafka):
    topic = make_topic("outbox", **{"max.message.bytes": "2000"})
    outbox = MarkedOutbox(kafka)
    outbox.send_marked(topic, LARGE, lane="a", mark=1)
    with pytest.raises(DeliveryFailed):
        outbox.drain()
    assert outbox.lowest_open("a") == 1
    with pytest.raises(DeliveryFailed):
        outbox.send_marked(topic, b"small", lane="a", mark=2)


def test_a_topic_that_does_not_exist_ends_the_outbox(kafka, topic_name):
    outbox = MarkedOutbox(kafka, topic_s_max=0.5)
    outbox.send_marked(topic_name("missing"), b"x", lane="a", mark=1)
    with pytest.raises(DeliveryFailed):
        outbox.drain(20)


def test_nothing_lands_that_was_sent_after_a_failed_delivery(make_topic, kafka):
    topic = make_topic("outbox", **{"max.message.bytes": "2000"})
    outbox = Outbox(kafka, linger_ms=0)
    outbox.send(topic, b"0", key=b"k")
    outbox.drain()

    def send_many():
        for n in range(1, 200):  # the refusal of the large one comes back while others follow it
            outbox.send(topic, LARGE if n == 100 else b"%d" % n, key=b"k")
            time.sleep(0.001)
        outbox.drain()

    with pytest.raises(DeliveryFailed, match="TooLarge"):
        send_many()
    with pytest.raises(DeliveryFailed):
        outbox.poll()
    landed = [record.value for record in read(kafka, topic)]
    assert landed == [b"%d" % n for n in range(len(landed))]
    assert 0 < len(landed) <= 100


def test_a_batch_of_one_partition_has_landed_with_its_last_record_and_never_where_one_was_refused(make_topic, kafka):
    topic = make_topic("outbox", **{"max.message.bytes": "2000"})
    outbox = Outbox(kafka, linger_ms=0)
    outbox.send_batch(topic, Records.of([(b"k", b"%d" % n) for n in range(3)]), partition=0)
    outbox.send_batch(topic, Records.of([]), partition=0)
    landed = outbox.mark()
    outbox.drain()
    assert outbox.is_acknowledged(landed)
    outbox.send_batch(topic, Records.of([(b"k", value) for value in (b"3", LARGE)]), partition=0)
    outbox.send_batch(topic, Records.of([(b"k", b"4")]), partition=0)
    with pytest.raises(DeliveryFailed):
        outbox.drain()
    with pytest.raises(DeliveryFailed):
        outbox.is_acknowledged(landed + 1)


def test_silence_ends_the_outbox():
    outbox = Outbox(f"127.0.0.1:{free_port()}", silence_s_max=0.5)  # nobody listens there
    outbox.send("dlq.v1", b"x")
    time.sleep(0.6)
    with pytest.raises(DeliveryFailed, match="no acknowledgement"):
        outbox.poll()


def test_a_waiting_caller_of_an_outbox_is_woken_by_its_close():
    outbox = Outbox(f"127.0.0.1:{free_port()}")
    outbox.send("dlq.v1", b"x")
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(outbox.drain, 600.0)
        outbox.close()
        with pytest.raises(DeliveryFailed, match="closed"):
            waiting.result(30)
