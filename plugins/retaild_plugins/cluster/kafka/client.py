"""The clients of librdkafka as retaild sets them up. What they say goes to our log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient

_log = logging.getLogger("retaild.kafka")
#: Of syslog: critical. Each refused connection would be a line; the callers say it once.
_LOG_LEVEL = 2

OnError = Callable[[KafkaError], None]


def _ignore(_: KafkaError) -> None:
    """Errors of connections show where an answer is missing."""


def _base(servers: str, client: Mapping[str, str], on_error: OnError) -> dict[str, Any]:
    return {
        "bootstrap.servers": servers,
        "error_cb": on_error,
        "socket.nagle.disable": True,
        # A broker that comes back is found within moments, not after ten seconds.
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        # One that was cut off is given up after seconds, not after a minute.
        "socket.timeout.ms": 6000,
        "socket.connection.setup.timeout.ms": 2000,
        "topic.metadata.refresh.interval.ms": 10_000,
        "topic.metadata.refresh.fast.interval.ms": 100,
        "log_level": _LOG_LEVEL,
        "allow.auto.create.topics": False,
        **client,
    }


def admin_client(
    servers: str, client: Mapping[str, str], on_error: OnError = _ignore
) -> AdminClient:
    return AdminClient(_base(servers, client, on_error), logger=_log)


def reading_client(
    servers: str, client: Mapping[str, str], more: Mapping[str, Any], on_error: OnError = _ignore
) -> Consumer:
    """Reads partitions that it is assigned; it is in no group and commits nothing."""
    settings = {
        **_base(servers, client, on_error),
        "group.id": "retaild-unused",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        **more,
    }
    return Consumer(settings, logger=_log)


def writing_client(
    servers: str, client: Mapping[str, str], more: Mapping[str, Any], on_error: OnError
) -> Producer:
    """Idempotent: what it sends again after a lost answer is there once."""
    settings = {
        **_base(servers, client, on_error),
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 0,
        **more,
    }
    return Producer(settings, logger=_log)
