"""The PagerDuty sink against a receiver that checks what PagerDuty's documents state."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from retaild_plugins.alerts.pagerduty.config import PagerDutyConfig
from retaild_plugins.alerts.pagerduty.sink import PagerDutySink, encoded

from retaild.api import AlertSink, TransientError
from retaild.testing.alert import AlertSinkConformance, HttpDesk, Response, message
from tests.plugins.alerts.receivers import PagerDuty, served

KEY = PagerDuty().routing_key
FOLDER = Path(__file__).parents[3] / "plugins/retaild_plugins/alerts/pagerduty"


@pytest.fixture
def pagerduty() -> PagerDuty:
    return PagerDuty()


@pytest.fixture
def desk(pagerduty: PagerDuty) -> Iterator[HttpDesk]:
    echo = {"status": "invalid event", "errors": [f"routing key {KEY} is unknown"]}
    desk = served(pagerduty, Response(400, json.dumps(echo).encode()))
    yield desk
    desk.stop()


@pytest.fixture
def sink(desk: HttpDesk) -> AlertSink:
    url = f"{desk.url}/v2/enqueue"
    return PagerDutySink(PagerDutyConfig(routing_key=KEY, url=url, timeout_seconds=1))


class TestConformance(AlertSinkConformance):
    secret = KEY

    @pytest.fixture
    def desk(self, desk: HttpDesk) -> HttpDesk:
        return desk

    @pytest.fixture
    def sink(self, sink: AlertSink) -> AlertSink:
        return sink


def test_an_incident_goes_from_triggered_to_resolved(sink: AlertSink, pagerduty: PagerDuty) -> None:
    group = message().group
    for action, state in (
        ("trigger", "triggered"),
        ("trigger", "triggered"),
        ("acknowledge", "acknowledged"),
        ("trigger", "acknowledged"),
        ("resolve", "resolved"),
    ):
        sink.send(message(action=action))
        assert pagerduty.incidents == {group: state}


def test_the_event_says_what_where_and_what_to_do(sink: AlertSink, desk: HttpDesk) -> None:
    sink.send(message())
    payload = json.loads(desk.requests[0].body)["payload"]
    assert payload["summary"] == "Source tills is in quarantine."
    assert payload["severity"] == "error"
    assert payload["source"] == "main"
    assert payload["component"] == "instance"
    assert payload["timestamp"] == "2030-03-17T17:46:40.000+00:00"
    (alert,) = payload["custom_details"]["alerts"]
    assert alert["hint"] == "See `retaildctl logs source.tills`."
    assert alert["last error"] == "no such folder"


def test_a_large_event_leaves_the_least_severe_out() -> None:
    wordy = replace(message().alerts[0], details={f"fact {n}": "ö" * 2000 for n in range(20)})
    alerts = tuple(replace(wordy, key=f"job.number{n}.failed") for n in range(50))
    content = encoded(message(alerts=alerts), KEY)
    assert len(content) <= 512 * 1024
    details = json.loads(content)["payload"]["custom_details"]
    assert details["alerts_in_all"] == 50
    assert details["alerts"][0]["key"] == "job.number0.failed"
    # 50 of some 80 kB are too many, and so are 25 and 12.
    assert len(details["alerts"]) == 6


def test_long_groups_stay_apart(sink: AlertSink, pagerduty: PagerDuty) -> None:
    for end in ("1", "2"):
        sink.send(message(group="g" * 300 + end))
    sink.send(message(group="g" * 300 + "2", action="resolve"))
    assert len(pagerduty.incidents) == 2
    assert sorted(pagerduty.incidents.values()) == ["resolved", "triggered"]


def test_a_wrong_address_may_be_mended(desk: HttpDesk) -> None:
    desk.refusal = Response(404, b"not found")
    desk.become("refusing")
    config = PagerDutyConfig(routing_key=KEY, url=f"{desk.url}/v3/enqueue")
    with pytest.raises(TransientError, match="404"):
        PagerDutySink(config).send(message())


@pytest.mark.parametrize(
    "wrong",
    [
        {"routing_key": "short"},
        {"url": "http://events.pagerduty.example/v2/enqueue"},
        {"url": "https://user:secret@events.pagerduty.example/"},
        {"url": "file:///etc/passwd"},
        {"unknown": 1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PagerDutyConfig.model_validate({"routing_key": KEY, **wrong})


def test_the_sample_is_the_readme_s() -> None:
    sample = (FOLDER / "sample.toml").read_text()
    assert f"```toml\n{sample}```" in (FOLDER / "README.md").read_text()
    settings = tomllib.loads(sample)["alert"]["pagerduty"]
    assert PagerDutyConfig.model_validate(
        {**{k: v for k, v in settings.items() if k != "plugin"}, "routing_key": KEY}
    )
