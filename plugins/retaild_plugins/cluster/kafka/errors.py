"""What can be wrong with the log on Kafka, in words."""

from __future__ import annotations

from retaild.api import ConfigError, RetaildError, TransientError


class BrokerAwayError(TransientError):
    key = "bus.kafka.away"

    def __init__(self, servers: str, reason: str) -> None:
        super().__init__(
            f"Kafka at {servers} does not answer: {reason.rstrip('.')}.",
            hint="Events are kept on this machine until it is back. `retaildctl service status` "
            "and the broker's log say more.",
        )


class AccessRefusedError(ConfigError):
    key = "bus.kafka.access"

    def __init__(self, servers: str, reason: str) -> None:
        super().__init__(
            f"Kafka at {servers} does not let us in: {reason.rstrip('.')}.",
            hint="See `user`, `password`, `tls` and `ca_file`.",
        )


class WrongTopicError(ConfigError):
    key = "bus.kafka.topic"

    def __init__(self, topic: str, what: str, hint: str) -> None:
        super().__init__(f"The topic {topic} cannot be the log: {what}.", hint=hint)


class LostEntriesError(RetaildError):
    key = "bus.kafka.lost"

    def __init__(self, topic: str, end: int, seen: int) -> None:
        super().__init__(
            f"The topic {topic} ends at entry {end}, but retaild has seen {seen} entries: it was "
            "deleted, made anew or set back.",
            hint="If the old topic cannot be brought back, stop retaild, let the lake be as it is "
            "and configure another `topic`: the log then goes on behind the last entry seen.",
        )


class SpoolFullError(TransientError):
    key = "bus.spool_full"

    def __init__(self, mib: int) -> None:
        super().__init__(
            f"Kafka is away, and the spool on this machine has its {mib} MiB: no event can be "
            "accepted.",
            hint="Bring Kafka back; or make room and raise `spool_mib`. Nothing accepted was lost.",
        )
