"""What `make appliance` leaves out and adds, as settings; nothing is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from retaild.config.settings import Settings, load_settings
from retaild.demo.choice import Choice, ChoiceError, names
from retaild.demo.shop import Shop
from retaild.host.check import check


def laid_out(root: Path, choice: Choice) -> Settings:
    """The settings that the demo's daemon would read; they must be without fault."""
    shop = Shop(root / "demo", 8470, "appliance", choice)
    shop.lay_out()
    assert check(shop.config, shop.data.root, environment={}, listening=True) == []
    return load_settings(shop.config, shop.data.root)


def test_the_whole_appliance(tmp_path: Path) -> None:
    settings = laid_out(tmp_path, Choice())
    assert set(settings.service) == {"kafka", "redis", "elasticsearch"}
    assert set(settings.target) == {"redis", "elasticsearch"}
    assert set(settings.trainer) == {"recommender", "price", "mllib"}
    assert settings.bus.plugin == "kafka"
    assert settings.stream.plugin == "spark"
    assert settings.features.settings["online"] == "redis"


@pytest.mark.parametrize("part", ["redis", "elasticsearch"])
def test_a_server_that_is_off_is_neither_run_nor_published_to(tmp_path: Path, part: str) -> None:
    settings = laid_out(tmp_path, Choice(without=frozenset({part})))
    other = ({"redis", "elasticsearch"} - {part}).pop()
    assert set(settings.service) == {"kafka", other}
    assert set(settings.target) == {other}
    online = "sqlite" if part == "redis" else "redis"
    assert settings.features.settings["online"] == online


def test_with_every_server_off_it_is_the_edge(tmp_path: Path) -> None:
    choice = Choice("embedded", frozenset({"kafka", "redis", "elasticsearch"}))
    settings = laid_out(tmp_path, choice)
    assert settings.service == settings.target == {}
    assert (settings.bus.plugin, settings.stream.plugin) == ("embedded", "embedded")
    assert settings.features.settings["online"] == "sqlite"


def test_mllib_can_be_off_as_well(tmp_path: Path) -> None:
    settings = laid_out(tmp_path, Choice(without=frozenset({"mllib"})))
    assert set(settings.trainer) == {"recommender", "price"}


def test_flink_brings_its_own_service(tmp_path: Path) -> None:
    settings = laid_out(tmp_path, Choice("flink", frozenset({"redis", "elasticsearch"})))
    assert set(settings.service) == {"kafka", "flink"}
    assert settings.stream.plugin == "flink"
    port = settings.service["flink"].settings["port"]
    assert settings.stream.settings["url"] == f"http://127.0.0.1:{port}"


def test_nobody_elses_flink_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another Flink on this machine has the usual ports."""
    monkeypatch.setattr("retaild.demo.choice._is_free", lambda port: port not in (8081, 6123))
    settings = laid_out(tmp_path, Choice("flink", frozenset({"redis", "elasticsearch"})))
    own = settings.service["flink"].settings
    assert own["port"] != 8081
    assert own["rpc_port"] not in (6123, own["port"])
    assert settings.stream.settings["url"] == f"http://127.0.0.1:{own['port']}"


def test_what_is_added_is_wired_to_doors_and_folders(tmp_path: Path) -> None:
    settings = laid_out(tmp_path, Choice("embedded", extra=frozenset({"hive", "nifi", "flume"})))
    assert {"hive", "nifi", "flume"} <= set(settings.service)
    inbox = tmp_path / "demo" / "inbox"
    flow = settings.service["nifi"].settings["flow"]["assumed"]
    assert (flow["directory"], flow["to"]) == (str(inbox / "nifi"), str(inbox / "assumption"))
    broker = settings.bus.settings["bootstrap_servers"]
    assert settings.service["flume"].settings["bootstrap_servers"] == broker
    assert settings.source["flume"].settings["bootstrap_servers"] == broker
    assert settings.source["flume"].settings["topic"] == settings.service["flume"].settings["topic"]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"engine": "storm"}, "no engine 'storm'"),
        ({"without": frozenset({"spark"})}, "no part to leave out 'spark'"),
        ({"extra": frozenset({"redis"})}, "no part to add 'redis'"),
        ({"engine": "flink", "without": frozenset({"kafka"})}, "flink has no log to read"),
        (
            {"engine": "embedded", "without": frozenset({"kafka"}), "extra": frozenset({"flume"})},
            "nowhere to write to",
        ),
    ],
)
def test_what_does_not_fit_together_is_said(choice: dict[str, object], said: str) -> None:
    with pytest.raises(ChoiceError, match=said):
        Choice(**choice)  # type: ignore[arg-type]


def test_names_are_read_as_people_type_them() -> None:
    assert names("redis, elasticsearch,") == {"redis", "elasticsearch"}
    assert names("") == frozenset()
