"""The connection: one persistent session, read when asked to, acknowledged by hand.

There is no thread: what is not read stays with the broker, and its receive maximum bounds what it
sends unacknowledged (MQTT 5.0, 3.1.2.11.3).
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from retaild.api import ConfigError

from retaild_mqtt.config import MqttConfig
from retaild_mqtt.errors import BrokerAwayError, BrokerRefusedError

#: Refusals that only a person can end (MQTT 5.0, 3.2.2.2): malformed, version, client id, name and
#: password, authorization, banned, method, packet.
_FOR_GOOD = frozenset({0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x95})


class Broker:
    def __init__(self, config: MqttConfig, client_id: str) -> None:
        self._config = config
        self._client_id = client_id
        port = config.port or (8883 if config.tls else 1883)
        self._port = port
        self.name = f"{config.host}:{port}"
        self._client: mqtt.Client | None = None
        self._arrived: deque[mqtt.MQTTMessage] = deque()
        self._connack: ReasonCode | None = None
        self._suback: list[ReasonCode] | None = None
        self._lost = ""

    def connect(self, *, subscribe: bool = True, before: Iterable[str] = ()) -> None:
        """Take up the session, which may still have subscribed to the topics of `before`.

        Raises BrokerAwayError, BrokerRefusedError, ConfigError.
        """
        self._client = client = self._made()
        expiry = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        # A check has a session of its own, which ends with it.
        expiry.SessionExpiryInterval = self._config.session_hours * 3600 if subscribe else 0
        expiry.ReceiveMaximum = self._config.max_unconfirmed
        try:
            client.connect(
                self._config.host,
                self._port,
                keepalive=self._config.keepalive_seconds,
                clean_start=not subscribe,
                properties=expiry,
            )
        except OSError as error:
            raise BrokerAwayError(self.name, _reason(error)) from None
        self._wait(lambda: self._connack is not None, "it does not answer")
        assert self._connack is not None
        self._refuse_or_go_on(self._connack, "the connection")
        if subscribe:
            self._subscribe(client)
            left = set(before) - {route.topic for route in self._config.routes}
            if left:
                client.unsubscribe(sorted(left))

    def read(self, most: int) -> list[mqtt.MQTTMessage]:
        """What has arrived, at most so many. Raises BrokerAwayError once the connection is lost."""
        while len(self._arrived) < most:
            before = len(self._arrived)
            self._turn(0.0)
            if len(self._arrived) == before:
                break
        return [self._arrived.popleft() for _ in range(min(most, len(self._arrived)))]

    def acknowledge(self, packet: int) -> None:
        if self._client is not None:
            self._client.ack(packet, 1)

    def close(self) -> None:
        """The broker keeps the session, and with it what was not acknowledged."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError):
                client.disconnect()
            with suppress(OSError):
                client.loop(0.01)
        self._arrived.clear()

    def _made(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        client.connect_timeout = self._config.timeout_seconds
        if self._config.username:
            password = self._config.password
            client.username_pw_set(
                self._config.username, password.get_secret_value() if password else None
            )
        if self._config.tls:
            client.tls_set_context(self._trust())
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        return client

    def _trust(self) -> ssl.SSLContext:
        file = self._config.ca_file
        try:
            return ssl.create_default_context(cafile=None if file is None else str(file))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"The certificates in {file} cannot be read: {error}.") from None

    def _subscribe(self, client: mqtt.Client) -> None:
        # A kept message is sent once, not with each new connection.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        topics = list(dict.fromkeys(route.topic for route in self._config.routes))
        client.subscribe([(topic, options) for topic in topics])
        self._wait(lambda: self._suback is not None, "it does not answer a subscription")
        assert self._suback is not None
        for topic, code in zip(topics, self._suback, strict=True):
            self._refuse_or_go_on(code, f"the topic {topic}")

    def _wait(self, done: Callable[[], bool], otherwise: str) -> None:
        end = time.monotonic() + self._config.timeout_seconds
        while not done():
            if time.monotonic() > end:
                raise BrokerAwayError(self.name, otherwise)
            self._turn(0.05, starting=True)

    def _turn(self, seconds: float, *, starting: bool = False) -> None:
        assert self._client is not None
        result = self._client.loop(seconds)
        refused = starting and self._connack is not None and self._connack.is_failure
        if result != mqtt.MQTT_ERR_SUCCESS and not refused:
            raise BrokerAwayError(self.name, self._lost or mqtt.error_string(result).rstrip("."))

    def _refuse_or_go_on(self, code: ReasonCode, what: str) -> None:
        if not code.is_failure:
            return
        reason = f"{what} ({str(code).lower()})"
        if code.value in _FOR_GOOD:
            raise BrokerRefusedError(self.name, reason)
        raise BrokerAwayError(self.name, reason)

    def _on_connect(
        self, _client: Any, _userdata: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        self._connack = code

    def _on_subscribe(
        self, _client: Any, _userdata: Any, _mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        self._suback = codes

    def _on_message(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._arrived.append(message)

    def _on_disconnect(
        self, _client: Any, _userdata: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        self._lost = str(code).lower()


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    return (error.strerror or str(error) or type(error).__name__).lower()
