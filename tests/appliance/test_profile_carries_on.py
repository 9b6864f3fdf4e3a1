"""A shop that began on the edge moves to the appliance, and changes engines, with its lake.

A real daemon each time, doors that take events, and real servers: Kafka, and the engine's own.
"""

from __future__ import annotations

import json
import urllib.request
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest

from retaild.demo import cluster
from retaild.demo.choice import Choice, settings_text
from retaild.runtime.context import offline_context
from retaild.testing.service import free_ports

from .house import House, Till, wait_for

pytestmark = pytest.mark.timeout(400)

#: Spark needs minutes of two busy cores for what Flink carries in seconds.
PATIENCE = 400.0
#: Servers that have nothing to do with the way of the log into the lake.
OTHERS = frozenset({"redis", "elasticsearch", "mllib"})


@pytest.mark.parametrize("first", ["embedded", pytest.param("spark", marks=pytest.mark.slow)])
def test_from_the_edge_to_the_appliance_and_there_to_flink(
    tmp_path: Path, online_retail: Path, programs: None, first: str
) -> None:
    house = House(tmp_path, online_retail, 24, profile="edge", patience=PATIENCE)
    try:
        house.start()
        house.settle(busy(house, "edge"))
        all_once(house)
        assert house.shop.stop() == 0

        moved = house.ctl("profile", "apply", "appliance", "--yes")
        assert moved["log_rows"] == house.lines + house.count("bronze.stock")
        reduced(house, first)
        house.open()
        # What the edge had is there before anything new has come, and came from no file.
        assert house.count("bronze.sale") == house.lines
        till = busy(house, first)

        # In the middle: an export is on its way to the lake, and the till posts.
        house.bring_export()
        switch_to_flink(house)
        assert house.ctl("reload")["reload"]["state"] == "done"
        house.wait_until_whole()
        wait_for(lambda: flink_runs(house), "Flink had its job", 60)
        till.goes_on()
        house.bring_export()
        house.settle(till)
        all_once(house)
        # The log on Kafka began where the edge's ended, and holds nothing of before again.
        assert log_rows(house) == house.lines + house.count("bronze.stock")
        assert house.shop.stop() == 0
    finally:
        house.shop.stop()


def busy(house: House, name: str) -> Till:
    """A till that posts, and the next export in silver."""
    till = house.till(name)
    house.bring_export()
    house.wait_for(lambda: house.count("silver.sale") >= house.lines, "the export was in silver")
    return till


def reduced(house: House, engine: str) -> None:
    """The profile with no more than Kafka and this engine."""
    house.shop.choice = Choice(engine, OTHERS)
    with patch("retaild.demo.choice._is_free", return_value=False):
        house.configure("60-house.toml", settings_text(house.shop.choice, house.shop))


def switch_to_flink(house: House) -> None:
    port, rpc = free_ports(2)
    house.configure(
        "80-flink.toml",
        "[retaild]\nreload_seconds = 120\n"  # two Javas start, on a machine that does much else
        f'[stream]\nplugin = "flink"\nurl = "http://127.0.0.1:{port}"\n'
        f'[service.flink]\nplugin = "flink"\nport = {port}\nrpc_port = {rpc}\n',
    )


def flink_runs(house: House) -> bool:
    """Its own word."""
    url = cluster.settings_of(house.shop).stream.settings["url"]
    with urllib.request.urlopen(f"{url}/jobs/overview", timeout=30) as answer:
        return [job["state"] for job in json.load(answer)["jobs"]] == ["RUNNING"]


def all_once(house: House) -> None:
    """No line came a second time, not even to be left out of silver as a repeat."""
    assert house.count("bronze.sale") == house.lines
    assert house.count("bronze.stock") >= len(house.posted)


def log_rows(house: House) -> int:
    """As the broker says."""
    bus = offline_context(house.shop.config, house.shop.data.root).bus()
    bus.open()
    with closing(bus):
        return int(bus.end().rows)
