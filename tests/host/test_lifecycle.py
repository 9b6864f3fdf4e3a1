"""Closing always."""

from __future__ import annotations

import pytest

from retaild.host.lifecycle import closing_always


class Broken:
    def __init__(self) -> None:
        self.closed = 0

    def open(self) -> None:
        raise OSError("not yet")

    def close(self) -> None:
        self.closed += 1
        raise RuntimeError("closing fails, too")


def test_closed_whatever_happens() -> None:
    broken = Broken()
    with pytest.raises(OSError, match="not yet"), closing_always(broken):
        broken.open()
    assert broken.closed == 1
