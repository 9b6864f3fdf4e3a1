"""What the pages ask is what the server answers: the same calls with the same arguments."""

from __future__ import annotations

import inspect
import typing

import pytest

from retaild.rest.pagedata import ServedPageData
from retaild.web.views import PageData
from tests.web.desk_data import ShopPages

NAMES = [name for name in dir(PageData) if not name.startswith("_")]
PANELS = [name for name in NAMES if isinstance(getattr(PageData, name), property)]
CALLS = [(PageData, owner, name) for owner in (ServedPageData, ShopPages)
         for name in NAMES if name not in PANELS]  # fmt: skip


def panel_calls() -> list[tuple[type, type, str]]:
    """(what a panel asks, what answers it, the call) for panels with data of their own."""
    return [
        (asked, typing.get_type_hints(owner)[panel], name)
        for panel in PANELS
        for asked in [typing.get_type_hints(getattr(PageData, panel).fget)["return"]]
        for owner in (ServedPageData, ShopPages)
        for name in dir(asked)
        if not name.startswith("_") and not isinstance(getattr(asked, name), property)
    ]


@pytest.mark.parametrize(("asking", "answering", "name"), [*CALLS, *panel_calls()])
def test_every_call_is_answered(asking: type, answering: type, name: str) -> None:
    asked = inspect.signature(getattr(asking, name)).parameters
    answered = inspect.signature(getattr(answering, name)).parameters
    assert list(answered) == list(asked)
    assert [p.kind for p in answered.values()] == [p.kind for p in asked.values()]
    assert inspect.iscoroutinefunction(getattr(asking, name)) == inspect.iscoroutinefunction(
        getattr(answering, name)
    )
