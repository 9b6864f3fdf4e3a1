"""`retaildctl profile`: from the edge to the appliance with the same lake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retaild.api.bus import Entry
from retaild.api.lake import Lake
from retaild.runtime.context import offline_context
from retaild.runtime.profiles import OneWayError, plan
from retaild.testing.stream import sale
from tests.cli.conftest import Ctl


@pytest.fixture
def house(shop: Path, ctl: Ctl) -> Path:
    """A directory with a configuration of the edge profile."""
    assert ctl("init", shop).code == 0
    return shop


def _till_lines(shop: Path, count: int) -> None:
    context = offline_context(shop / "retaild.toml")
    bus = context.bus()
    bus.open()
    lines = [sale(f"e{n}").model_dump_json().encode() for n in range(count)]
    bus.append([Entry("sale", "json", 1, line) for line in lines])
    bus.close()


def test_what_the_log_holds_is_in_the_lake_before_the_log_changes(house: Path, ctl: Ctl) -> None:
    _till_lines(house, 7)
    done = ctl("-c", house / "retaild.toml", "profile", "apply", "appliance", "--json")
    assert done.code == 0, done.err
    told = done.json
    assert (told["log_offset"], told["log_rows"]) == (7, 7)
    data = house / "retaild-data"
    assert Lake(data / "lake").table("silver.sale").count() == 7
    assert json.loads((data / "log" / "base.json").read_text())["offset"] == 7
    assert list((data / "online").glob("base-*7"))
    written = (house / "conf.d" / "50-profile.toml").read_text()
    assert 'plugin = "kafka"' in written


def test_nothing_is_written_while_people_only_look(house: Path) -> None:
    before = sorted(path for path in house.rglob("*"))
    move = plan("appliance", house / "retaild.toml", None)
    assert move.changes_log
    assert sorted(path for path in house.rglob("*")) == before


def test_there_is_no_way_back_for_the_log_and_people_are_told(house: Path, ctl: Ctl) -> None:
    ctl("-c", house / "retaild.toml", "profile", "apply", "appliance", "--json")
    with pytest.raises(OneWayError, match="cannot be carried back"):
        plan("edge", house / "retaild.toml", None)


def test_the_diff_names_the_file_that_will_be_there(house: Path, ctl: Ctl) -> None:
    done = ctl("-c", house / "retaild.toml", "profile", "apply", "appliance", "--json").json
    (change,) = [one for one in done["changes"] if one["path"] == "bus.plugin"]
    assert change["file"] == str(house / "conf.d" / "50-profile.toml")
    assert (house / "conf.d" / "50-profile.toml").exists()


def test_afterwards_the_configuration_has_no_fault(house: Path, ctl: Ctl) -> None:
    ctl("-c", house / "retaild.toml", "profile", "apply", "appliance", "--json")
    checked = ctl("-c", house / "retaild.toml", "check")
    assert checked.code == 0, checked.out + checked.err


def test_what_somebody_wrote_into_the_profile_is_kept(house: Path, ctl: Ctl) -> None:
    file = house / "conf.d" / "50-profile.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text("[retaild]\nstore = 'north'\n")
    done = ctl("-c", house / "retaild.toml", "profile", "apply", "edge", "--yes")
    assert done.code == 0, done.err
    kept = file.with_name("50-profile.toml.before")
    assert "north" in kept.read_text()
    assert str(kept) in done.out
    assert ctl("-c", house / "retaild.toml", "check").code == 0


def test_an_unknown_profile_is_told_with_those_there_are(house: Path, ctl: Ctl) -> None:
    done = ctl("-c", house / "retaild.toml", "profile", "show", "cloud")
    assert done.code != 0
    assert "appliance, edge" in done.err
