"""The Opsgenie sink against a receiver that checks what Opsgenie's documents state."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from retaild_plugins.alerts.opsgenie.config import OpsgenieConfig
from retaild_plugins.alerts.opsgenie.sink import OpsgenieSink

from retaild.api import AlertSink, TransientError
from retaild.testing.alert import AlertSinkConformance, HttpDesk, Response, message
from tests.plugins.alerts.receivers import Opsgenie, served

KEY = Opsgenie().api_key
FOLDER = Path(__file__).parents[3] / "plugins/retaild_plugins/alerts/opsgenie"


@pytest.fixture
def opsgenie() -> Opsgenie:
    return Opsgenie()


@pytest.fixture
def desk(opsgenie: Opsgenie) -> Iterator[HttpDesk]:
    desk = served(opsgenie, Response(422, json.dumps({"message": f"{KEY} is odd"}).encode()))
    yield desk
    desk.stop()


def _sink(desk: HttpDesk, **settings: Any) -> AlertSink:
    given = {"api_key": KEY, "url": desk.url, "timeout_seconds": 1, **settings}
    return OpsgenieSink(OpsgenieConfig.model_validate(given))


@pytest.fixture
def sink(desk: HttpDesk) -> AlertSink:
    return _sink(desk)


class TestConformance(AlertSinkConformance):
    secret = KEY

    @pytest.fixture
    def desk(self, desk: HttpDesk) -> HttpDesk:
        return desk

    @pytest.fixture
    def sink(self, sink: AlertSink) -> AlertSink:
        return sink


def test_an_alert_is_created_once_acknowledged_and_closed(
    sink: AlertSink, opsgenie: Opsgenie
) -> None:
    for action in ("trigger", "trigger", "acknowledge", "resolve"):
        sink.send(message(action=action))
    (alert,) = opsgenie.alerts.values()
    assert (alert["status"], alert["acknowledged"], alert["count"]) == ("closed", True, 2)


@pytest.mark.parametrize(
    ("severity", "priority"),
    [("critical", "P1"), ("error", "P2"), ("warning", "P3"), ("info", "P5")],
)
def test_severity_is_priority(
    sink: AlertSink, opsgenie: Opsgenie, severity: Any, priority: str
) -> None:
    sink.send(message(severity=severity))
    assert opsgenie.alerts[message().group]["priority"] == priority


def test_an_alias_with_any_sign_is_found_again(sink: AlertSink, opsgenie: Opsgenie) -> None:
    group = "retaild/ßhop?x=1&y#z"
    sink.send(message(group=group))
    sink.send(message(group=group, action="resolve"))
    assert opsgenie.alerts[group]["status"] == "closed"


def test_long_groups_stay_apart(sink: AlertSink, opsgenie: Opsgenie) -> None:
    for end in ("1", "2"):
        sink.send(message(group="g" * 600 + end))
    sink.send(message(group="g" * 600 + "2", action="resolve"))
    assert len(opsgenie.alerts) == 2
    assert sorted(alert["status"] for alert in opsgenie.alerts.values()) == ["closed", "open"]


def test_teams_and_tags_are_those_configured(desk: HttpDesk, opsgenie: Opsgenie) -> None:
    _sink(desk, teams=["shop IT"], tags=["store-7"]).send(message())
    alert = opsgenie.alerts[message().group]
    assert alert["responders"] == [{"name": "shop IT", "type": "team"}]
    assert alert["tags"] == ["retaild", "error", "instance", "store-7"]


def test_long_facts_are_cut_to_what_opsgenie_takes(sink: AlertSink, opsgenie: Opsgenie) -> None:
    facts = {f"fact {number}": "x" * 3000 for number in range(20)}
    alert = replace(message().alerts[0], details=facts)
    sink.send(message(alerts=(alert,)))
    details = opsgenie.alerts[message().group]["details"]
    assert details["store"] == "main"
    assert sum(len(key) + len(value) for key, value in details.items()) <= 8000


def test_a_wrong_key_may_be_mended(desk: HttpDesk) -> None:
    with pytest.raises(TransientError, match="401"):
        _sink(desk, api_key="another").send(message())


@pytest.mark.parametrize(
    "wrong",
    [{"api_key": ""}, {"api_key": "two\nlines"}, {"url": "http://api.opsgenie.example"}, {"x": 1}],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OpsgenieConfig.model_validate({"api_key": KEY, **wrong})


def test_the_sample_is_the_readme_s() -> None:
    sample = (FOLDER / "sample.toml").read_text()
    assert f"```toml\n{sample}```" in (FOLDER / "README.md").read_text()
    settings = tomllib.loads(sample)["alert"]["opsgenie"]
    assert OpsgenieConfig.model_validate(
        {**{k: v for k, v in settings.items() if k != "plugin"}, "api_key": KEY}
    )
