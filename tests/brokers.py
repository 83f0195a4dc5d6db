"""A broker emptied of topics and groups: as good as a new one, and there at once."""

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.embedded import eventually

ANSWER_S = 20.0
# The longest session that a test gives its workers, and room for a slow machine.
SESSION_ENDS_S_MAX = 60.0


def empty(bootstrap: str) -> None:
    """Delete every topic and group; a group whose members were killed goes once their sessions have ended."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    eventually(lambda: not _groups_left(admin), SESSION_ENDS_S_MAX, "the end of all groups")
    names = [name for name in admin.list_topics(timeout=ANSWER_S).topics if not name.startswith("__")]
    for future in admin.delete_topics(names).values() if names else ():
        future.result(ANSWER_S)
    eventually(lambda: not set(names) & set(admin.list_topics(timeout=ANSWER_S).topics), 30, "the topics are gone")


def _groups_left(admin: AdminClient) -> list[str]:
    """Those that could not be deleted yet."""
    groups = [one.group_id for one in admin.list_consumer_groups().result(ANSWER_S).valid]
    answers = admin.delete_consumer_groups(groups) if groups else {}
    return [group for group, future in answers.items() if _is_in_use(future.exception(ANSWER_S))]


def _is_in_use(refusal: BaseException | None) -> bool:
    match refusal:
        case None:
            return False
        case KafkaException(args=[error, *_]) if error.code() == KafkaError.GROUP_ID_NOT_FOUND:
            return False  # it ended by itself meanwhile
        case KafkaException(args=[error, *_]) if error.code() == KafkaError.NON_EMPTY_GROUP or error.retriable():
            return True
    raise refusal
