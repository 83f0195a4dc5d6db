"""Assignment of all partitions to one member of a group: the others stand by."""

import time
from collections.abc import Iterable, Mapping

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


class OneMemberAssignor(AbstractPartitionAssignor):
    """Gives all partitions to the member that had them last, so that one that joins takes nothing away.

    A member says with its subscription when it was last given any. The class holds that, since aiokafka asks the class:
    a process has one consumer.
    """

    name = "xinliu-one-member"
    version = 0
    _since_ns = 0

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Return the assignment of each member."""
        chosen = min(members, key=lambda member: (-int.from_bytes(members[member].user_data or b""), member))
        assignment = {member: ConsumerProtocolMemberAssignment(cls.version, [], b"") for member in members}
        wanted = {topic: cluster.partitions_for_topic(topic) for topic in sorted(members[chosen].subscription)}
        places = [(topic, sorted(partitions)) for topic, partitions in wanted.items() if partitions]
        assignment[chosen] = ConsumerProtocolMemberAssignment(cls.version, places, b"")
        return assignment

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """Return the subscription."""
        return ConsumerProtocolMemberMetadata(cls.version, list(topics), cls._since_ns.to_bytes(8))

    @classmethod
    def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Note whether this member has the partitions."""
        cls._since_ns = time.time_ns() if assignment.assignment else 0
