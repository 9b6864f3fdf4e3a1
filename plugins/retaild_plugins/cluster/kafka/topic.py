"""The log's topic: made, looked at, cut at its beginning."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from retaild_plugins.cluster.kafka.client import admin_client, reading_client
from retaild_plugins.cluster.kafka.config import KafkaBusConfig
from retaild_plugins.cluster.kafka.errors import (
    AccessRefusedError,
    BrokerAwayError,
    WrongTopicError,
)

_REFUSALS = (
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError._SSL,
)


class TopicKeeper:
    """Talks to the broker about the topic; every call ends within `seconds` and may raise
    BrokerAwayError or AccessRefusedError.
    """

    def __init__(self, config: KafkaBusConfig, client: Mapping[str, str], seconds: float) -> None:
        self._config = config
        self._client = client
        self._seconds = seconds
        self._refusal = ""
        self._admin: AdminClient = admin_client(config.bootstrap_servers, client, self._note)
        self._reader: Consumer = reading_client(config.bootstrap_servers, client, {}, self._note)
        self._partition = TopicPartition(config.topic, 0)

    def make_sure(self) -> None:
        """Make the topic if there is none; set what differs. Raises WrongTopicError."""
        try:
            self._make_sure()
        except KafkaException as error:
            raise self._said(error) from error

    def _make_sure(self) -> None:
        replicas = self._replicas()
        if not replicas:
            self._create()
            replicas = self._await_leader()
        name, wanted = self._config.topic, self._config.replicas
        if len(replicas) != 1:
            raise WrongTopicError(
                name, f"it has {len(replicas)} partitions, and a log has one order",
                "Configure another `topic`; retaild makes it.",
            )  # fmt: skip
        if replicas[0] < wanted:
            raise WrongTopicError(
                name, f"{replicas[0]} brokers keep it, and {wanted} are to",
                "Add replicas (kafka-reassign-partitions), configure another `topic`, or lower "
                "`replicas`.",
            )  # fmt: skip
        self._configure()

    def _replicas(self) -> list[int]:
        """Of each partition, how many brokers keep it; none if there is no such topic."""
        found = self._admin.list_topics(self._config.topic, timeout=self._seconds)
        metadata = found.topics[self._config.topic]
        if metadata.error is not None:
            if metadata.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return []
            raise KafkaException(metadata.error)
        return [len(partition.replicas) for partition in metadata.partitions.values()]

    def _await_leader(self) -> list[int]:
        """A topic is made in one place and known in the other a moment later."""
        until = time.monotonic() + self._seconds
        while not (replicas := self._replicas()):
            if time.monotonic() > until:
                raise BrokerAwayError(
                    self._config.bootstrap_servers, "the new topic is not known yet"
                )
            time.sleep(0.02)
        return replicas

    def _create(self) -> None:
        new = NewTopic(
            self._config.topic, num_partitions=1, replication_factor=self._config.replicas,
            config=self._wanted(),
        )  # fmt: skip
        (made,) = self._admin.create_topics([new], request_timeout=self._seconds).values()
        try:
            self._answer(made)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    def _wanted(self) -> dict[str, str]:
        config = self._config
        hours = config.retention_hours
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(int(hours * 3_600_000)) if hours else "-1",
            "retention.bytes": "-1",
            "max.message.bytes": str(config.max_message_bytes),
            "segment.bytes": str(config.segment_mib * 1024 * 1024),
            # Kafka confirms what is in memory; the log promises to survive a power cut.
            "flush.messages": "1" if config.sync else str(2**63 - 1),
            "min.insync.replicas": str(max(1, config.replicas - 1)),
            "message.timestamp.type": "CreateTime",
            "compression.type": "producer",
        }

    def _configure(self) -> None:
        resource = ConfigResource(ResourceType.TOPIC, self._config.topic)
        (asked,) = self._admin.describe_configs([resource], request_timeout=self._seconds).values()
        now = self._answer(asked)
        changes = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in self._wanted().items()
            if now[name].value != value
        ]
        if changes:
            resource = ConfigResource(
                ResourceType.TOPIC, self._config.topic, incremental_configs=changes
            )
            (done,) = self._admin.incremental_alter_configs(
                [resource], request_timeout=self._seconds
            ).values()
            self._answer(done)

    def bounds(self) -> tuple[int, int]:
        """First offset and end of the topic, as the broker tells now."""
        try:
            low, high = self._reader.get_watermark_offsets(self._partition, timeout=self._seconds)
        except KafkaException as error:
            raise self._said(error) from error
        return int(low), int(high)

    def identity(self) -> str:
        """The topic's own id: another that is made later under its name has another. Empty where
        the broker gives none.
        """
        asked = TopicCollection([self._config.topic])
        (found,) = self._admin.describe_topics(asked, request_timeout=self._seconds).values()
        try:
            number = self._answer(found).topic_id
        except KafkaException as error:
            raise self._said(error) from error
        high, low = number.get_most_significant_bits(), number.get_least_significant_bits()
        return str(number) if high or low else ""

    def close(self) -> None:
        self._reader.close()

    def cut(self, offset: int) -> None:
        """Remove records before the topic's `offset`."""
        where = TopicPartition(self._config.topic, 0, offset)
        (done,) = self._admin.delete_records([where], request_timeout=self._seconds).values()
        try:
            self._answer(done)
        except KafkaException as error:
            raise self._said(error) from error

    def _answer(self, asked: Future[Any]) -> Any:
        """The broker's, in time. Raises KafkaException, BrokerAwayError."""
        try:
            return asked.result(self._seconds)
        except TimeoutError as error:
            raise BrokerAwayError(
                self._config.bootstrap_servers, f"no answer within {self._seconds:g} s"
            ) from error

    def _note(self, error: KafkaError) -> None:
        if error.code() in _REFUSALS:
            self._refusal = error.str()

    def _said(self, error: KafkaException) -> Exception:
        self._admin.poll(0)  # hands over what `_note` is told
        reason: Any = error.args[0]
        servers = self._config.bootstrap_servers
        if reason.code() in _REFUSALS:
            return AccessRefusedError(servers, reason.str())
        if self._refusal:
            return AccessRefusedError(servers, self._refusal)
        return BrokerAwayError(servers, reason.str())
