"""Topics and settings."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from reading import ROUTE

from retaild_mqtt.config import MqttConfig
from retaild_mqtt.mapping import matches


@pytest.mark.parametrize(
    ("topic_filter", "topic", "fits"),
    [  # the examples of MQTT 5.0, 4.7.1
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "sport/tennis", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
    ],
)
def test_wildcards(topic_filter: str, topic: str, fits: bool) -> None:
    assert matches(topic_filter, topic) is fits


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"topic": "a/#/b"}, "topic filter"),
        ({"topic": "a+/b"}, "topic filter"),
        ({"family": "sale"}, "has no 'topic' to fill"),
        ({"fields": {"topic": "a", "subject": "b"}}, "event_time"),
        ({"fields": {"topic": {"topic": 1, "constant": "x"}}}, "exactly one"),
    ],
)
def test_wrong_routes_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        MqttConfig.model_validate({"host": "broker", "routes": [{**ROUTE, **changes}]})


def test_settings_that_do_not_go_together() -> None:
    plain: dict[str, Any] = {"host": "broker", "routes": [ROUTE]}
    with pytest.raises(ValidationError, match="username"):
        MqttConfig.model_validate({**plain, "password": "x"})
    with pytest.raises(ValidationError, match="tls"):
        MqttConfig.model_validate({**plain, "ca_file": "/ca.pem"})
