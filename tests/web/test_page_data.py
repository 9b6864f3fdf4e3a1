"""What the pages ask is what the server answers: the same calls with the same arguments."""

from __future__ import annotations

import inspect

import pytest

from retaild.rest.pagedata import ServedPageData
from retaild.web.views import PageData
from tests.web.desk_data import ShopPages

CALLS = sorted(name for name in dir(PageData) if not name.startswith("_"))


@pytest.mark.parametrize("implementation", [ServedPageData, ShopPages])
@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_answered(implementation: type, name: str) -> None:
    asked = inspect.signature(getattr(PageData, name)).parameters
    answered = inspect.signature(getattr(implementation, name)).parameters
    assert list(answered) == list(asked)
    assert [p.kind for p in answered.values()] == [p.kind for p in asked.values()]
    assert inspect.iscoroutinefunction(getattr(PageData, name)) == inspect.iscoroutinefunction(
        getattr(implementation, name)
    )
