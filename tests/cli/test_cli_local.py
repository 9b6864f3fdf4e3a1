"""Commands that work on the data directory themselves, no daemon running."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retaild.runtime.state import State

Ctl = Callable[..., Any]

MAPPING = """
[source.tills]
plugin = "tabular"
path = "incoming"
timezone = "Europe/London"

[source.tills.columns]
receipt_id = "Bon"
product_id = "Artikel"
quantity = "Menge"
unit_price = "Preis"
event_time = "Zeit"
"""

ROWS = """Bon,Artikel,Menge,Preis,Zeit
1,A,2,1.50,2024-07-01 09:00
1,B,1,3.25,2024-07-01 09:00
2,A,one,1.50,2024-07-01 10:00
3,C,4,0.99,2024-07-02 11:30
"""


@pytest.fixture
def configured(ctl: Ctl, shop: Path) -> Path:
    assert ctl("init", "--timezone", "Europe/London").code == 0
    with (shop / "retaild.toml").open("a") as file:
        file.write(MAPPING)
    (shop / "incoming").mkdir()
    (shop / "till.csv").write_text(ROWS)
    return shop


def test_init(ctl: Ctl, shop: Path) -> None:
    said = ctl("init", "shop", "--currency", "EUR", "--port", 9001, "--json")
    assert said.code == 0
    stated = tomllib.loads((shop / "shop" / "retaild.toml").read_text())
    assert stated["retaild"] == {"timezone": "UTC", "currency": "EUR", "store": "main"}
    assert stated["api"] == {"port": 9001}
    assert Path(said.json["data_dir"]) == shop / "shop" / "retaild-data"
    assert (shop / "shop" / "retaild-data" / "state.db").exists()
    again = ctl("init", "shop")
    assert again.code == 1
    assert "exists already" in again.err
    assert ctl("init", "shop", "--force", "--currency", "euros").code == 4
    assert tomllib.loads((shop / "shop" / "retaild.toml").read_text()) == stated
    assert ctl("check", "-c", shop / "shop" / "retaild.toml").code == 0


def test_import_lake_and_dead_letters(ctl: Ctl, configured: Path) -> None:
    """Rows go in once however often they are imported; the bad one waits, is mended, goes in."""
    said = ctl("import", "till.csv", "--json")
    assert said.code == 0, said.err
    facts = said.json
    assert (facts["accepted"], facts["dead"], facts["refused_cards"]) == (3, 1, 0)
    assert (facts["source"], facts["complete"], facts["in_lake"]) == ("tills", True, True)

    shown = ctl("lake", "show", "silver.sale", "--columns", "product_id,amount", "--json").json
    # 2 x 1.50, 1 x 3.25, 4 x 0.99
    assert {row["product_id"]: row["amount"] for row in shown["rows"]} == {
        "A": "3.0000", "B": "3.2500", "C": "3.9600",
    }  # fmt: skip
    before = shown["version"]

    assert ctl("import", "till.csv", "--source", "tills", "--json").code == 0
    tables = {row["table"]: row for row in ctl("lake", "tables", "--json").json["tables"]}
    assert tables["silver.sale"]["rows"] == 3
    assert tables["silver.dead_letter"]["rows"] == 1

    letters = ctl("deadletter", "list", "--json").json
    assert letters["total"] == 1
    (letter,) = letters["dead_letters"]
    assert letter["source"] == "tills"
    assert "one" in letter["raw"]
    assert "row" in ctl("deadletter", "list").out
    one = ctl("deadletter", "show", letter["event_id"], "--json")
    assert one.json["place"] == letter["place"]
    assert ctl("deadletter", "show", "nothing").code == 5
    assert ctl("deadletter", "replay").code == 2

    # Still wrong: refused again, exit code 1.
    again = ctl("deadletter", "replay", "--all", "--json")
    assert (again.code, again.json["refused"]) == (1, 1)
    # The mapping is mended: a word for a number is a value that can be renamed.
    config = configured / "retaild.toml"
    rule = "quantity = { column = 'Menge', values = { one = '1' } }"
    config.write_text(config.read_text().replace('quantity = "Menge"', rule))
    mended = ctl("deadletter", "replay", letter["event_id"], "--json")
    assert (mended.code, mended.json["accepted"]) == (0, 1), mended
    assert ctl("deadletter", "list", "--json").json["total"] == 0
    assert ctl("deadletter", "list", "--all", "--json").json["total"] == 1

    now = ctl("lake", "show", "silver.sale", "--json").json
    assert now["total"] == 4
    then = ctl("lake", "show", "silver.sale", "--version", before, "--json").json
    assert (then["version"], then["total"]) == (before, 3)
    chosen = ctl("lake", "show", "silver.sale", "--where", "product_id=A", "--json").json
    assert chosen["total"] == 2
    versions = ctl("lake", "history", "silver.sale", "--json").json["versions"]
    assert [row["version"] for row in versions] == sorted(
        (row["version"] for row in versions), reverse=True
    )
    moment = next(row["at"] for row in versions if row["version"] == before)
    assert ctl("lake", "show", "silver.sale", "--at", "1999-01-01").code == 1
    assert (
        ctl("lake", "show", "silver.sale", "--at", "9999-01-01T00:00", "--json").json["total"] == 4
    )
    assert moment.endswith("Z")
    assert ctl("lake", "show", "silver.nothing").code == 5
    assert ctl("lake", "show", "silver.sale", "--columns", "nope").code == 2

    sources = {row["name"]: row for row in ctl("source", "list", "--json").json["sources"]}
    assert sources["tills"]["configured"] is True
    assert sources["tills"]["dead"] == 2  # the same bad row, read twice
    assert ctl("source", "show", "tills", "--json").json["plugin"] == "tabular"
    assert ctl("source", "show", "nope").code == 5
    assert ctl("source", "reset", "tills", "--yes").code == 0


def test_import_by_a_mapping_of_its_own(ctl: Ctl, shop: Path) -> None:
    assert ctl("init").code == 0
    (shop / "till.csv").write_text(ROWS)
    (shop / "mapping.toml").write_text(MAPPING.replace("product_id", "produkt_id"))
    wrong = ctl("import", "till.csv", "--mapping", "mapping.toml")
    assert wrong.code == 4
    assert "mapping.toml:9: source.tills" in wrong.err
    (shop / "mapping.toml").write_text(MAPPING)
    said = ctl("import", "till.csv", "--mapping", "mapping.toml", "--json")
    assert (said.code, said.json["accepted"], said.json["source"]) == (0, 3, "tills")
    assert ctl("import", "till.csv").code == 2
    assert ctl("import", "till.csv", "--source", "nope").code == 5


def test_config_show_hides_secrets(ctl: Ctl, shop: Path) -> None:
    (shop / "retaild.toml").write_text(
        "[source.web]\nplugin = 'tabular'\npath = 'x'\napi_token = 'hunter2'\n"
        "[source.web.login]\npassword = 'hunter3'\n[source.api]\nsecret = {file = '/run/s'}\n"
    )
    said = ctl("config", "show", "--json")
    assert "hunter" not in said.out
    assert said.json["source"]["web"]["login"]["password"] == "(hidden)"
    assert said.json["source"]["api"]["secret"] == {"file": "/run/s"}
    assert said.json["api"]["port"] == 8470
    text = ctl("config", "show").out
    assert "hunter" not in text
    assert tomllib.loads(text)["source"]["web"]["api_token"] == "(hidden)"
    assert list(ctl("config", "show", "api", "--json").json) == ["api"]
    assert ctl("config", "show", "apy").code == 5
    paths = ctl("config", "path", "--json").json
    assert paths["files"] == ["retaild.toml"]
    assert paths["data_dir"] == str(shop / "retaild-data")


def test_plugins(ctl: Ctl, shop: Path) -> None:
    listed = ctl("plugin", "list", "--json").json
    assert listed["broken"] == []
    names = {(row["kind"], row["name"]): row for row in listed["plugins"]}
    assert names["bus", "embedded"]["instances"] == ["bus"]
    assert names["source", "tabular"]["version"]
    assert ctl("plugin", "list", "--kind", "nope").code == 5
    shown = ctl("plugin", "show", "bus", "embedded", "--json").json
    settings = {row["name"]: row for row in shown["settings"]}
    assert settings["segment_bytes"]["type"] == "whole number, at least 1024"
    assert settings["segment_bytes"]["required"] is False
    assert all(row["description"] for row in shown["settings"])
    sample = ctl("plugin", "show", "tabular", "--sample").out
    assert "source" in tomllib.loads(sample)
    assert ctl("plugin", "show", "embedded").code == 1
    assert ctl("plugin", "show", "nope").code == 5


@pytest.mark.parametrize(
    "kind", ["source", "bus", "stream", "batch", "features", "trainer", "gate"]
)
def test_every_setting_of_every_plugin_is_explained(ctl: Ctl, kind: str) -> None:
    for row in ctl("plugin", "list", "--kind", kind, "--json").json["plugins"]:
        shown = ctl("plugin", "show", kind, row["name"], "--json").json
        for setting in shown["settings"]:
            assert setting["description"], f"{kind} {row['name']}: {setting['name']}"
        assert shown["sample"], f"{kind} {row['name']} has no sample.toml"
        assert shown["summary"].endswith(".")


def test_jobs_without_a_daemon(ctl: Ctl, configured: Path) -> None:
    jobs = {row["name"]: row for row in ctl("job", "list", "--json").json["jobs"]}
    assert jobs["refresh"]["cron"] == "30 3 * * *"
    assert jobs["gold"]["cron"] is None
    assert ctl("import", "till.csv", "--json").code == 0
    run = ctl("job", "run", "gold", "--wait", "--json")
    assert run.code == 0, run
    assert run.json["state"] == "succeeded"
    history = ctl("job", "history", "--json").json["runs"]
    assert [row["job"] for row in history] == ["gold"]
    assert ctl("job", "show", history[0]["id"], "--json").json["state"] == "succeeded"
    assert ctl("job", "log", history[0]["id"]).out
    assert ctl("job", "show", 99).code == 5
    said = ctl("job", "run", "gold", "--wait").out.splitlines()
    assert "tables" in said
    # Of eight tables each has a line, and every line can be taken in at a glance.
    assert sum(line.startswith("  gold.") for line in said) == 8
    assert max(map(len, said)) < 80
    # A run that was killed together with its command does not block the job for ever.
    state = State(configured / "retaild-data" / "state.db")
    killed = state.request_run("gold", "gold", {}, "command")
    assert killed is not None
    state.save_run(killed, state="running", pid=2**22 - 1)
    assert ctl("job", "run", "gold", "--wait", "--json").json["state"] == "succeeded"
    assert ctl("job", "show", killed, "--json").json["state"] == "killed"
    unknown = ctl("job", "run", "golf", "--wait")
    assert unknown.code == 5
    assert "Did you mean 'gold'?" in unknown.err
    # A product was sold for 1.50: the gold table knows it.
    rows = ctl("lake", "show", "gold.product", "--where", "product_id=A", "--json").json["rows"]
    assert float(rows[0]["price"]) == 1.5


def test_models_without_any(ctl: Ctl, configured: Path) -> None:
    assert ctl("model", "list", "--json").json == {"models": []}
    assert ctl("model", "promote", "recommender", 7).code == 5
    assert ctl("model", "compare", "recommender").code == 1


def test_logs(ctl: Ctl, configured: Path) -> None:
    logs = configured / "retaild-data" / "logs"
    (logs / "serve.log").write_text("2024-01-01T00:00:02.000Z INFO b\n  more of b\n")
    (logs / "stream.log").write_text(
        "2024-01-01T00:00:01.000Z INFO a\n2024-01-01T00:00:03.000Z INFO c\n"
    )
    lines = ctl("logs", "--json").json["lines"]
    assert [row["log"] for row in lines] == ["stream", "serve", "serve", "stream"]
    assert ctl("logs", "serve", "-n", 1).out == "  more of b\n"
    assert ctl("logs", "nope").code == 5


def test_errors_in_json(ctl: Ctl) -> None:
    said = ctl("plugin", "show", "bus", "embeded", "--json")
    error = json.loads(said.err)
    assert error["error"] == "plugin.unknown"
    assert "embedded" in error["hint"]
