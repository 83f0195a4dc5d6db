"""Outputs of an engine, in an order that does not depend on how a log was replayed."""

import json

import cramjam
import msgspec

from domain import topics
from replay.lines import line
from replay.outputs import Outputs, PartitionOutputs, Wanted, digest_of, join
from sinks.batch import Records
from sinks.partitioner import partitions_of

PARTITIONS = 3


def value(text, offset, seq=0):
    return msgspec.json.encode({"n": text, "offset": offset, "seq": seq})


def letter(partition, offset):
    return msgspec.json.encode({"topic": topics.EVENTS, "partition": partition, "offset": offset, "reason": "not_json"})


BANK = topics.bank_alerts("b")
HEARD = [
    (topics.SCORE, b"b", value("1", 7)), (topics.SCORE, b"a", value("2", 5)), (topics.DEAD_LETTERS, None, letter(2, 4)),
    (topics.SCORE, b"b", value("0", 9)), (topics.SCORE, b"b", value("0", 9, 1)), (topics.SCORE, b"c", value("3", 7)),
    (topics.DEAD_LETTERS, None, letter(0, 9)), (topics.OBSERVATION, b"c", value("4", 7)),
    (BANK, b"d", value("5", -1)), (BANK, b"a", value("6", -1)), (BANK, b"a", value("7", 8)),
    (BANK, b"a", value("8", -1)),
]  # fmt: skip


def place(topic, key, body):
    if key is None:
        return json.loads(body)["partition"]
    return int(partitions_of([key], PARTITIONS)[0])


def expected():
    """Notices, which have no offset, after all others."""
    offsets = [json.loads(body)["offset"] for _, _, body in HEARD]
    rows = [
        (place(*one), one[0], (offset < 0, offset), one[1] or b"", one)
        for one, offset in zip(HEARD, offsets, strict=True)
    ]
    return [line(*row[-1]) for row in sorted(rows, key=lambda row: row[:4])]


def test_repeats_are_no_outputs_and_the_order_is_that_of_partition_topic_and_offset(tmp_path):
    with Outputs(PARTITIONS) as one, Outputs(PARTITIONS) as other:
        for message in [*HEARD, HEARD[0]]:
            one.hear(*message)
        for i in (6, 5, 2, 9, 10, 1, 0, 3, 11, 8, 7, 4):
            other.hear(*HEARD[i])
        assert list(one.lines()) == list(other.lines()) == expected()
        assert one.digest() == other.digest()
        assert one.counts() == {BANK: 4, topics.DEAD_LETTERS: 2, topics.OBSERVATION: 1, topics.SCORE: 5}
        one.write(tmp_path / "outputs.jsonl.lz4")
        assert bytes(cramjam.lz4.decompress((tmp_path / "outputs.jsonl.lz4").read_bytes())) == b"".join(expected())
        assert (tmp_path / "outputs.jsonl.lz4").stat().st_mode & 0o077 == 0


def test_partition_by_partition_they_come_to_the_same(tmp_path):
    for packed in (False, True):
        wanted, sums = Wanted(folder=tmp_path, packed=packed), []
        for number in range(PARTITIONS):
            said = PartitionOutputs(wanted, number)
            for topic in dict.fromkeys(topic for topic, _, _ in HEARD):
                mine = [one[1:] for one in HEARD if one[0] == topic and place(*one) == number]
                if mine:
                    said.write(topic, Records.of(mine))
            sums += [(number, topic, one) for topic, one in said.finish().sums.items()]
        join(tmp_path, range(PARTITIONS), tmp_path / "all")
        found = (tmp_path / "all").read_bytes()
        assert (bytes(cramjam.lz4.decompress(found)) if packed else found) == b"".join(expected())
        with Outputs(PARTITIONS) as outputs:
            for message in HEARD:
                outputs.hear(*message)
            assert digest_of(sums) == outputs.digest()
