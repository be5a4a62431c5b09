"""Reads the state of a transaction, and writes its end markers as Kafka's tools for operators do (KIP-664).

kafka-python can write only the markers of an abort. This module sends the same request with the result of a
commit, in the same way as kafka-python: with the `_manager` of the admin client.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import TransactionState
from kafka.errors import NoError, TransactionalIdNotFoundError, for_code
from kafka.protocol.producer.transaction import WriteTxnMarkersRequest

from infrastructure.settings import Settings
from infrastructure.storage.kafka import make_admin


def transaction_state(settings: Settings, transactional_id: str) -> TransactionState:
    """The state of the last transaction of that id, from its coordinator; DEAD if the id is unknown.

    Raises KafkaError, which is `retriable` while the coordinator is starting.
    """
    with closing(make_admin(settings)) as admin:
        try:
            found = admin.describe_transactions([transactional_id])
        except TransactionalIdNotFoundError:
            return TransactionState.DEAD
    return found[transactional_id].state


def end_transactions(settings: Settings, partitions: Collection[TopicPartition], *, is_commit: bool) -> int:
    """Mark the open transactions in these partitions as committed or aborted, without their coordinator.

    Returns the number of markers. Can be repeated, because it changes only open transactions. Raises
    KafkaError: ClusterAuthorizationFailedError for a client without the right Alter on the cluster.
    """
    count = 0
    with closing(make_admin(settings)) as admin:
        for partition, found in admin.describe_producers(partitions).items():
            for producer in found.active_producers:
                if producer.current_transaction_start_offset >= 0:
                    admin._manager.run(_write_marker, admin, partition, producer, is_commit)
                    count += 1
    return count


async def _write_marker(
    admin: KafkaAdminClient, partition: TopicPartition, producer: Any, is_commit: bool
) -> None:
    (leader,) = await admin._async_get_leader_for_partitions([partition])
    response = await admin._manager.send(_make_request(partition, producer, is_commit), node_id=leader)
    for marker in response.markers:
        for topic in marker.topics:
            for answer in topic.partitions:
                if (error := for_code(answer.error_code)) is not NoError:
                    raise error(f"The end of a transaction was not marked in {partition}")


def _make_request(partition: TopicPartition, producer: Any, is_commit: bool) -> WriteTxnMarkersRequest:
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
