"""What can be wrong with a broker or a message, in words."""

from __future__ import annotations

from retaild.api import ConfigError, TransientError


class BrokerAwayError(TransientError):
    key = "mqtt.away"

    def __init__(self, broker: str, reason: str) -> None:
        super().__init__(
            f"The MQTT broker {broker} cannot be used now: {reason}.",
            hint="It keeps the messages until retaild is back.",
        )


class BrokerRefusedError(ConfigError):
    key = "mqtt.refused"

    def __init__(self, broker: str, reason: str) -> None:
        super().__init__(
            f"The MQTT broker {broker} refuses: {reason}.",
            hint="Compare username, password and topics with the broker's rules.",
        )


class MessageError(ValueError):
    """A message that cannot become events. `key` is stable; the text is a sentence."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = f"mqtt.{key}"
