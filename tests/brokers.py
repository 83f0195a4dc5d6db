"""A broker emptied of topics and groups: as good as a new one, and there at once. Topics and producers for it."""

import asyncio

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.group import LeaveGroupRequest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from sinks.client import QUICK_START
from tests.patience import eventually

ANSWER_S = 20.0
GROUPS_END_S_MAX = 60.0
LISTED_S_MAX = 30.0


def make_topics(admin: AdminClient, *topics: NewTopic) -> None:
    """Create the topics, and wait until every broker has them: the controller answers a moment earlier."""
    for future in admin.create_topics(list(topics)).values():
        future.result(ANSWER_S)
    names = {topic.topic for topic in topics}
    eventually(lambda: names <= admin.list_topics(timeout=ANSWER_S).topics.keys(), LISTED_S_MAX, f"{names} listed")


def producer(bootstrap: str, **settings: int) -> Producer:
    """Return an idempotent producer; settings have "_" for ".".

    It has reached its broker: else its first record would wait half a second for the number of the producer.
    """
    named = {name.replace("_", "."): value for name, value in settings.items()}
    found = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, **named})
    found.list_topics(timeout=ANSWER_S)
    return found


def empty(bootstrap: str) -> None:
    """Delete every topic and group, also groups of killed members, without a wait for their session timeouts."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUICK_START})

    def are_gone() -> bool:
        if left := _groups_left(admin):
            asyncio.run(_leave(bootstrap, _members(admin, left)))
        return not left

    eventually(are_gone, GROUPS_END_S_MAX, "the end of all groups")
    names = [name for name in admin.list_topics(timeout=ANSWER_S).topics if not name.startswith("__")]
    for future in admin.delete_topics(names).values() if names else ():
        future.result(ANSWER_S)
    eventually(lambda: not set(names) & set(admin.list_topics(timeout=ANSWER_S).topics), 30, "the topics are gone")


def _groups_left(admin: AdminClient) -> list[str]:
    """Return the consumer groups that could not be deleted yet."""
    groups = [one.group_id for one in admin.list_consumer_groups().result(ANSWER_S).valid]
    answers = admin.delete_consumer_groups(groups) if groups else {}
    return [group for group, future in answers.items() if _is_in_use(future.exception(ANSWER_S))]


def _members(admin: AdminClient, groups: list[str]) -> list[tuple[str, str]]:
    """(group, id of a member) of all of these."""
    described = admin.describe_consumer_groups(groups).items()
    return [(group, member.member_id) for group, future in described for member in future.result(ANSWER_S).members]


async def _leave(bootstrap: str, members: list[tuple[str, str]]) -> None:
    """In their names. Who still lives joins again; who has just left is refused, which changes nothing."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        for group, member_id in members:
            await client.send(client.get_random_node(), LeaveGroupRequest(group, member_id))
    finally:
        await client.close()


def _is_in_use(refusal: BaseException | None) -> bool:
    match refusal:
        case None:
            return False
        case KafkaException(args=[error, *_]) if error.code() == KafkaError.GROUP_ID_NOT_FOUND:
            return False  # it ended by itself meanwhile
        case KafkaException(args=[error, *_]) if error.code() == KafkaError.NON_EMPTY_GROUP or error.retriable():
            return True
    raise refusal
