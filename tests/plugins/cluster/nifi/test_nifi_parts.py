"""The NiFi plugin without a server: settings, and what flows are made of."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError
from retaild_plugins.cluster.nifi import plugin
from retaild_plugins.cluster.nifi.config import NifiConfig
from retaild_plugins.cluster.nifi.flows import Plan, plan_of

from retaild.testing.plugin import check_sample, specs_in

FOLDER = Path(plugin.__file__).parent
FLOWS = {
    "drop": {"kind": "files", "directory": "/in", "to": "/out"},
    "posts": {"kind": "http", "port": 8091, "everywhere": True},
    "feed": {"kind": "poll", "url": "https://feed.example/prices"},
    "web": {"kind": "tail", "file": "/var/log/web.log"},
}


def _plan(name: str, **settings: object) -> Plan:
    config = NifiConfig.model_validate({"flow": FLOWS, **settings})
    return plan_of(name, config.flow[name], config, Path("/refused"))


def test_the_sample_configures_it() -> None:
    sample = (FOLDER / "sample.toml").read_text("utf-8")
    [(kind, spec)] = specs_in(plugin)
    check_sample(kind, spec, tomllib.loads(sample))
    assert sample in (FOLDER / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", FLOWS)
def test_every_way_out_of_a_step_is_led_on_or_ends_on_purpose(name: str) -> None:
    """A relationship that is forgotten makes NiFi refuse to start the processor."""
    plan = _plan(name)
    led = {(link.source, way) for link in plan.links for way in link.relationships}
    ways = {
        "GetFile": {"success"}, "PutFile": {"success", "failure"}, "TailFile": {"success"},
        "ListenHTTP": {"success"}, "SplitText": {"splits", "original", "failure"},
        "InvokeHTTP": {"Original", "Response", "No Retry", "Retry", "Failure"},
        "RouteOnAttribute": {"final", "unmatched"},
    }  # fmt: skip
    for step in plan.steps:
        kind = step.type.rpartition(".")[2]
        assert {way for source, way in led if source == step.name} | set(step.ends) == ways[kind]


@pytest.mark.parametrize("name", ["posts", "feed", "web"])
def test_nothing_taken_is_dropped(name: str) -> None:
    """What ends after the door is what the door has answered for."""
    steps = {step.name: step for step in _plan(name).steps}
    assert set(steps["post"].ends) == {"Original", "Response"}
    assert steps["keep"].ends == ("success",)
    assert "429" not in steps["judge"].properties["final"]


def test_the_key_is_a_secret_of_nifis() -> None:
    steps = {step.name: step for step in _plan("web", api_key="k3y").steps}
    assert steps["post"].secret == ("Authorization",)
    assert _plan("web", api_key="k3y").version != _plan("web").version


def test_a_flow_that_everybody_can_reach_wants_to_be_told_so() -> None:
    with pytest.raises(ValidationError, match="everywhere"):
        NifiConfig.model_validate({"flow": {"posts": {"kind": "http", "port": 8091}}})
