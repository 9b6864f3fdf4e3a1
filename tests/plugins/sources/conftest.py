"""What tests of sources share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from retaild_plugins.sources.tabular.config import TabularConfig
from retaild_plugins.sources.tabular.source import TabularSource

from retaild.api import BuildContext

#: The shape most tests use: a till's export.
COLUMNS = {
    "receipt_id": "receipt",
    "product_id": "article",
    "description": "text",
    "quantity": "pieces",
    "unit_price": "price",
    "event_time": "time",
    "customer_id": "customer",
}
HEADER = "receipt,article,text,pieces,price,time,customer\n"

NewSource = Callable[..., TabularSource]


@pytest.fixture
def new_source(tmp_path: Path) -> NewSource:
    """Builds a source over a path; settings are those of the test."""

    def build(path: Path, **settings: Any) -> TabularSource:
        given = {"columns": COLUMNS, "settle_seconds": 0, **settings}
        config = TabularConfig.model_validate({"path": path, **given})
        context = BuildContext("tills", tmp_path / "state", tmp_path / "lake", "Europe/London")
        return TabularSource(config, context)

    return build
