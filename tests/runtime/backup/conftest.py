"""A small shop with everything that a backup holds, made by the host's own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from retaild.api import Entry
from retaild.runtime.backup.create import Backup
from retaild.runtime.context import Context, offline_context
from retaild.runtime.serving import base
from retaild.testing.stream import carry, entry, sale

CONFIG = """
[source.tills]
plugin = "tabular"
path = "in"
[source.tills.columns]
receipt_id = "receipt"
product_id = "article"
quantity = "pieces"
unit_price = "price"
event_time = "time"
"""


class Shop:
    """A data directory that the test writes to as the workers do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "retaild.toml"
        self.config.write_text(CONFIG)
        self.context = offline_context(self.config, root / "data")
        self.data = self.context.data

    def sell(self, *ids: str, price: str = "1.00", to_lake: bool = True) -> None:
        self.append(entry(*(sale(name, unit_price=price) for name in ids)))
        if to_lake:
            self.carry()

    def append(self, *entries: Entry) -> None:
        with closing(self.context.bus()) as bus:
            bus.open()
            end = bus.append(entries)
        # Saved after the log has it, as the ingest worker does.
        self.context.state.save_source_position("tills", {"row": end.rows})

    def carry(self) -> None:
        with closing(self.context.bus()) as bus, closing(self.stream()) as stream:
            bus.open()
            stream.open(bus)
            carry(stream, bus)

    def stream(self) -> object:
        return self.context.build("stream", "stream")

    def back_up(self, place: Path, **options: object) -> Path:
        return Backup(self.context, self.config, **options).create(place)[0]  # type: ignore[arg-type]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Three lines sold for 1.00, 1.00 and 2.50; a model's files; a base of the server."""
    (tmp_path / "shop").mkdir()
    shop = Shop(tmp_path / "shop")
    shop.sell("a", "b")
    shop.sell("c", price="2.50")
    model = shop.data.models / "recommender" / "1"
    model.mkdir(parents=True)
    (model / "model.json").write_text('{"weights": [1, 2, 3]}')
    base.write_base(shop.data.online, 1, {"meta": {"offset": 1}}, {"seen": np.arange(3)})
    yield shop
    shop.context.state.close()


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "dest"


def context_of(root: Path) -> Context:
    return offline_context(None, root)


Restored = Callable[[Path], Context]
