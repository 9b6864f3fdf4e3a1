"""kill -9 of the daemon and of the stream worker while Flink or Spark carries the log.

A real daemon, a busy till and exports on their way. What was accepted is in silver once, all of
it, and the engine comes back without a hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from retaild.demo.choice import Choice

from .house import House, Till, wait_for

pytestmark = pytest.mark.timeout(900)

OTHERS = frozenset({"redis", "elasticsearch", "mllib"})


#: Spark needs minutes of two busy cores for what Flink carries in seconds.
PATIENCE = 400.0


@pytest.fixture(scope="module", params=["flink", "spark"])
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
    online_retail: Path, programs: None,
) -> Iterator[House]:  # fmt: skip
    root = tmp_path_factory.mktemp(request.param)
    house = House(root, online_retail, 24, choice=Choice(request.param, OTHERS), patience=PATIENCE)
    try:
        house.start()
        house.bring_export()
        house.wait_for(lambda: house.count("silver.sale") >= house.lines, "the engine carried")
        yield house
        assert house.shop.stop() == 0
    finally:
        house.shop.stop()


@pytest.fixture
def till(house: House, request: pytest.FixtureRequest) -> Iterator[Till]:
    """Busy, with an export on its way that silver has not got: the middle of a replay."""
    till = house.till(request.node.name)
    house.bring_export()
    behind(house)
    yield till
    till.ended.set()


def behind(house: House) -> None:
    """Wait for the moment when the log holds rows that silver lacks, lines of the export too."""

    def is_behind() -> bool:
        figures = house.worker("ingest").get("figures") or {}
        return figures.get("lag_rows", 0) > 0 and house.count("silver.sale") < house.lines

    wait_for(is_behind, "the engine was behind the log")


def test_the_stream_worker(house: House, till: Till) -> None:
    back = house.kill_worker("stream")
    assert house.count("silver.sale") < house.lines
    wait_for(back, "the stream worker was back")
    till.goes_on()
    house.settle(till)


def test_the_daemon(house: House, till: Till) -> None:
    house.kill_daemon()
    assert house.count("silver.sale") < house.lines
    till.goes_on()
    house.wait_until_whole()
    till.goes_on()
    house.settle(till)
