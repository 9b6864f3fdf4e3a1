"""`refresh` in a shop that has just been opened: it ends well and says what it waits for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli_local import configured  # noqa: F401  (a fixture)

Ctl = Callable[..., Any]
CATALOGUE = "article,name,group\nA,Apple,Fruit\nB,Bread,Bakery\n"
MORE = """
[source.catalogue]
plugin = "tabular"
path = "catalogue"
family = "product"
[source.catalogue.columns]
product_id = "article"
name = "name"
category = "group"
event_time = { constant = "2024-06-01" }
"""


@pytest.mark.slow
def test_a_new_shop_waits_for_data_and_a_fault_is_still_one(
    ctl: Ctl,
    configured: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # a table is cut to the terminal's width

    def refresh() -> Any:
        said = ctl("job", "run", "refresh", "--wait", "--json")
        return said.code, said.json

    # Nothing at all.
    code, run = refresh()
    assert (code, run["state"], run["error"]) == (0, "succeeded", None)
    assert list(run["result"]["waits_for"]) == ["gold"]
    assert "no event in the lake yet" in run["text"]
    steps = run["result"]["steps"]
    assert steps["train recommender"]["waiting"] == "for gold."
    assert "no event in the lake yet" in ctl("job", "history").out

    # Goods, and nobody has bought any.
    with (configured / "retaild.toml").open("a") as file:
        file.write(MORE)
    (configured / "goods.csv").write_text(CATALOGUE)
    assert ctl("import", "goods.csv", "--source", "catalogue", "--json").code == 0
    code, run = refresh()
    assert (code, run["state"]) == (0, "succeeded"), run
    waits = run["result"]["waits_for"]
    assert "gold" not in waits
    assert {"train recommender", "train price", "propose-prices"} <= set(waits)

    # Two days of sales: there are gold tables and a base, and too little to learn from.
    assert ctl("import", "till.csv", "--source", "tills", "--json").code == 0
    code, run = refresh()
    assert (code, run["state"]) == (0, "succeeded"), run
    waits = run["result"]["waits_for"]
    assert set(waits) == {"train recommender", "train price", "propose-prices"}
    assert "four weeks of sales" in waits["train recommender"]
    # The products of the two good receipts and of the catalogue: A, B, C.
    assert run["result"]["steps"]["materialize"]["products"] == 3
    said = ctl("job", "show", run["id"]).out
    assert "waits_for\n" in said
    assert "four weeks of sales" in said

    # It had events, and they are gone.
    shutil.rmtree(configured / "retaild-data" / "lake" / "silver")
    code, run = refresh()
    assert (code, run["state"]) == (1, "failed")
    assert "gold: There is no event in the lake yet" in run["error"]
