"""Files with wrong bytes: named, set aside and not deleted; the rest goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from retaild.config.active import ActiveStore
from retaild.config.paths import DataDir
from retaild.config.sections import JobSection
from retaild.host.catalog import catalog
from retaild.runtime._state_schema import BrokenStateError
from retaild.runtime.registry import UnreadableRegistryError, champion
from retaild.runtime.scheduler import Scheduler
from retaild.runtime.serving import base
from retaild.runtime.serving.background import Background
from retaild.runtime.state import State

from .conftest import Shop


def test_flipped_bytes_in_the_middle_of_the_log_cost_one_entry(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.sell("c", "damaged", "d", "e")
    (segment,) = shop.data.log.glob("*.log")
    data = bytearray(segment.read_bytes())
    at = data.index(b"damaged")
    data[at : at + 3] = b"XXX"
    segment.write_bytes(data)
    shop.carry()
    assert shop.sold() == ["a", "b", "c", "d", "e"]
    assert "entries 3 to 3 cannot be read" in caplog.text
    assert (segment.parent / f"{segment.name}.damaged").read_bytes() == data
    shop.sell("f")
    shop.carry()
    assert shop.sold()[-1] == "f"


def test_a_broken_frame_header_costs_what_it_covers(shop: Shop) -> None:
    """Its length is gone too: the next frame is found by its own beginning and checksum."""
    shop.sell("c", "damaged", "d")
    (segment,) = shop.data.log.glob("*.log")
    data = bytearray(segment.read_bytes())
    frame = data.rindex(b"RLF1", 0, data.index(b"damaged"))
    data[frame : frame + 20] = bytes(20)
    segment.write_bytes(data)
    shop.carry()
    assert shop.sold() == ["a", "b", "c", "d"]


def test_a_broken_state_is_refused_with_what_it_holds_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database, but a picture of a cat" * 200)
    before = path.read_bytes()
    with pytest.raises(BrokenStateError, match=r"state\.db cannot be read.*not a database") as it:
        State(path)
    assert "backup" in it.value.hint
    assert path.read_bytes() == before


def test_a_broken_schedule_is_set_aside_and_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "schedule.db"
    path.write_bytes(b"rubbish" * 1000)
    scheduler = Scheduler(path, "UTC", lambda _job: None)
    scheduler.start({"compact": JobSection(kind="compact", every_seconds=3600)})
    try:
        assert "compact" in scheduler.next_runs()
    finally:
        scheduler.stop()
    assert (tmp_path / "schedule.db.1.damaged").read_bytes() == b"rubbish" * 1000
    assert "a run missed meanwhile is not made up for" in caplog.text


def test_a_broken_model_registry_is_named(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.mlflow_db.write_bytes(b"rubbish" * 1000)
    with pytest.raises(UnreadableRegistryError, match=r"mlflow\.db cannot be read"):
        champion(data, "recommender")


@pytest.mark.parametrize("file", ["run/active.json", "plugins/catalog.json"])
@pytest.mark.parametrize("content", [b"", b'{"half": ', b"\xff\xfe", b"[]"])
def test_broken_notes_of_the_host_are_as_if_absent(
    tmp_path: Path, file: str, content: bytes
) -> None:
    data = DataDir(tmp_path)
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_bytes(content)
    if file.startswith("run"):
        assert ActiveStore(data).current() is None
    else:
        assert catalog(data) == catalog(None)


# -- the server's snapshot -----------------------------------------------------------------------


def tables(offset: int) -> dict[str, Any]:
    meta = {"format": base.FORMAT, "offset": offset, "cuts": {}, "created": 1.0, "newest_sale": 0}
    none: dict[str, Any] = {"products": {}, "customers": {}, "announced": [], "activity": {}}
    return {"meta": meta, **none}


class Follower(Background):
    """Takes snapshots without a server around it."""

    async def _take_base(self, found: base.Base) -> None:
        self.taken = found.offset

    def _rank_all(self) -> None:
        """Nobody is there to be ranked."""


def following(online: Path) -> Follower:
    engine: Any = SimpleNamespace(pace=None)
    bus: Any = None
    follower = Follower(engine, bus, online, None)
    asyncio.run(follower._follow_base())
    return follower


@pytest.mark.parametrize("harm", ["torn array", "torn table", "no meta", "empty meta"])
def test_a_torn_snapshot_gives_way_to_the_one_before(tmp_path: Path, harm: str) -> None:
    for offset in (5, 9):
        newest = base.write_base(tmp_path, offset, tables(offset), {"seen": np.arange(1000)})
    if harm == "torn array":
        (newest / "seen.npy").write_bytes((newest / "seen.npy").read_bytes()[:1000])
    elif harm == "torn table":
        (newest / "products.json").write_text('{"product_id": ["A')
    elif harm == "no meta":
        (newest / "meta.json").unlink()
    else:
        (newest / "meta.json").write_bytes(b"")
    assert following(tmp_path).taken == 5
    kept = [path for path in tmp_path.iterdir() if path.name.startswith("damaged-")]
    assert len(kept) == (0 if harm == "no meta" else 1)


def test_all_snapshots_torn_means_beginning_with_the_log(tmp_path: Path) -> None:
    one = base.write_base(tmp_path, 5, tables(5), {"seen": np.arange(1000)})
    (one / "products.json").write_bytes(b"{")
    assert not hasattr(following(tmp_path), "taken")
    assert base.bases(tmp_path) == []
