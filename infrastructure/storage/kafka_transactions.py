"""What Kafka's books say of a transaction, and its marks written by hand, as an operator would (KIP-664).

kafka-python writes only the marks of an abort. Those of a commit are the same request with another result, so
it is sent here the way its `abort_transaction` sends it: by the admin client's `_manager`.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import TransactionState
from kafka.errors import (
    NoError,
    TransactionalIdNotFoundError,
    for_code,
)
from kafka.protocol.producer.transaction import (
    WriteTxnMarkersRequest,
)

from infrastructure.settings import Settings
from infrastructure.storage.kafka import make_admin


def transaction_state(settings: Settings, transactional_id: str) -> TransactionState:
    """How the last transaction of that id stands, by its coordinator; DEAD where no such id is known.

    Raises KafkaError, a `retriable` one while the coordinator is starting.
    """
    with closing(make_admin(settings)) as admin:
        try:
            found = admin.describe_transactions([transactional_id])
        except TransactionalIdNotFoundError:
            return TransactionState.DEAD
    return found[transactional_id].state


def end_transactions(settings: Settings, partitions: Collection[TopicPartition], *, is_commit: bool) -> int:
    """Mark what is open in these partitions as committed or as aborted, without its coordinator; return how
    many marks it took.

    What is not open is left as it is, so this may be repeated. Raises KafkaError; it is
    ClusterAuthorizationFailedError for a client without the right Alter on the cluster.
    """
    count = 0
    with closing(make_admin(settings)) as admin:
        for partition, found in admin.describe_producers(partitions).items():
            for producer in found.active_producers:
                if producer.current_transaction_start_offset >= 0:
                    admin._manager.run(_write_mark, admin, partition, producer, is_commit)
                    count += 1
    return count


async def _write_mark(
    admin: KafkaAdminClient, partition: TopicPartition, producer: Any, is_commit: bool
) -> None:
    (leader,) = await admin._async_get_leader_for_partitions([partition])
    response = await admin._manager.send(_mark(partition, producer, is_commit), node_id=leader)
    for marker in response.markers:
        for topic in marker.topics:
            for answer in topic.partitions:
                if (error := for_code(answer.error_code)) is not NoError:
                    raise error(f"The end of a transaction was not marked in {partition}")


def _mark(partition: TopicPartition, producer: Any, is_commit: bool) -> WriteTxnMarkersRequest:
    marker = WriteTxnMarkersRequest.WritableTxnMarker
    topic = marker.WritableTxnMarkerTopic(name=partition.topic, partition_indexes=[partition.partition])
    return WriteTxnMarkersRequest(
        markers=[
            marker(
                producer_id=producer.producer_id,
                producer_epoch=producer.producer_epoch,
                coordinator_epoch=producer.coordinator_epoch,
                transaction_result=is_commit,
                topics=[topic],
            )
        ]
    )
