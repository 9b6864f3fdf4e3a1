"""Refused rows, replayed after the settings were mended."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from retaild.api.lake import Lake, NoTableError
from retaild.events import DeadLetter
from retaild.runtime.importing import import_file, replay_dead_letters
from retaild.runtime.ingest_append import letters_table, table_entries

from .ingest_shop import HEADER, Shop, row


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.inbox.mkdir()
    shop.configure()
    return shop


def sales(shop: Shop) -> list[dict[str, object]]:
    shop.carry_to_lake()
    return list(Lake(shop.data / "lake").dataset("silver.sale").to_table().to_pylist())


def test_a_whole_file_in_another_form_of_date_comes_in_after_the_fix(shop: Shop) -> None:
    path = shop.root / "export.csv"
    lines = [row(n // 4, time="24/12/2023 10:00") for n in range(40)]
    path.write_text(HEADER + row("first") + "".join(lines) + row("x", time="?"))
    result = import_file(shop.context(), path, "tills")
    assert (result.accepted, result.dead) == (1, 41)
    shop.carry_to_lake()
    assert replay_dead_letters(shop.context()).accepted == 0

    shop.configure(dates='"iso", "%d/%m/%Y %H:%M"')
    replayed = replay_dead_letters(shop.context())
    assert (replayed.accepted, replayed.refused) == (40, 1)
    # The four equal lines of each receipt are four lines.
    assert len(sales(shop)) == 41
    # Importing the file again, or replaying again, adds nothing.
    assert import_file(shop.context(), path, "tills").accepted == 41
    assert replay_dead_letters(shop.context()).accepted == 0
    assert len(sales(shop)) == 41


def test_only_the_letters_named(shop: Shop) -> None:
    path = shop.root / "export.csv"
    path.write_text(HEADER + row(1, time="24/12/2023 10:00") + row(2, time="25/12/2023 10:00"))
    import_file(shop.context(), path, "tills")
    shop.carry_to_lake()
    shop.configure(dates='"%d/%m/%Y %H:%M"')
    wanted = shop.log()["dead_letter"][1]["event_id"]
    result = replay_dead_letters(shop.context(), [wanted])
    assert result.outcomes == {wanted: "accepted"}
    assert [sale["receipt_id"] for sale in sales(shop)] == ["2"]
    assert shop.context().state.replays()[wanted]["outcome"] == "accepted"


def test_an_event_from_the_http_door(shop: Shop) -> None:
    good = '{"family": "stock", "event_time": "2024-03-01T10:00:00Z", "product_id": "A", '
    raws = [good.encode() + b'"on_hand": "3"}', b'{"product_id": "A"}', b"no json"]
    letters = [
        DeadLetter(event_id=f"d{n}", event_time=datetime(2024, 3, 1, tzinfo=UTC), source="api",
                   target="stock", place=f"POST /api/v1/events #{n}", reason_key="x", reason="x.",
                   raw=raw, format="json")
        for n, raw in enumerate(raws)
    ]  # fmt: skip
    bus = shop.context().bus()
    bus.open()
    bus.append(list(table_entries("dead_letter", letters_table(letters))))
    bus.close()
    shop.carry_to_lake()
    result = replay_dead_letters(shop.context())
    assert result.outcomes["d0"] == "accepted"
    assert "event_time" in result.outcomes["d1"]
    assert result.refused == 2
    shop.carry_to_lake()
    (count,) = Lake(shop.data / "lake").dataset("silver.stock").to_table().to_pylist()
    assert count["on_hand"] == 3


def test_without_a_lake_there_is_nothing_to_replay(shop: Shop) -> None:
    with pytest.raises(NoTableError):
        replay_dead_letters(shop.context())


def test_a_row_of_a_source_that_is_gone_is_told_so(shop: Shop) -> None:
    path = shop.root / "export.csv"
    path.write_text(HEADER + row(1, time="24/12/2023 10:00"))
    instance = shop.context().settings.source["tills"]
    import_file(shop.context(), path, instance, name="guests")
    shop.carry_to_lake()
    (outcome,) = replay_dead_letters(shop.context()).outcomes.values()
    assert "Add [source.guests] to the configuration" in outcome
