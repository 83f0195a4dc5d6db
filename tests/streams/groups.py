"""Committed offsets of a consumer group, asked by a consumer that never joins it.

AdminClient.list_consumer_group_offsets would be meant for this, but librdkafka 2.16 ends the process when the group's
coordinator answers with an error.
"""

import functools

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

NOT_YET = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)


@functools.cache
def _outsider(broker: str, group: str) -> Consumer:
    return Consumer({"bootstrap.servers": broker, "group.id": group, "enable.auto.commit": False, "log_level": 2})


def committed(broker: str, group: str, topic: str, partitions: int) -> dict[int, int]:
    """Offset by partition, of those that have one; none while the broker has just started."""
    asked = [TopicPartition(topic, p) for p in range(partitions)]
    try:
        found = _outsider(broker, group).committed(asked, 20)
    except KafkaException as error:
        if error.args[0].retriable() or error.args[0].code() in NOT_YET:
            return {}
        raise
    return {tp.partition: tp.offset for tp in found if tp.offset >= 0}


def commit(broker: str, group: str, topic: str, offset: int) -> bool:
    """Commit partition 0 in the group's name; False while the broker has just started."""
    try:
        _outsider(broker, group).commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() in NOT_YET:
            return False
        raise
    return True
