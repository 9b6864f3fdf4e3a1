"""The reference says all there is, and says it as it is now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import click
import pytest
from pydantic import BaseModel

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(reference: ModuleType) -> None:
    for name, text in reference.pages().items():
        written = (reference.FOLDER / name).read_text("utf-8")
        assert written == text, f"docs/reference/{name} is out of date: run `make docs`"


def test_every_page_of_the_reference_is_written(reference: ModuleType) -> None:
    assert {path.name for path in reference.FOLDER.iterdir()} == set(reference.pages())


def test_a_setting_without_a_description_is_refused(reference: ModuleType) -> None:
    class Mute(BaseModel):
        """[mute]: says nothing."""

        level: int = 3

    with pytest.raises(reference.UndocumentedError, match="level"):
        reference._section("[mute]", Mute)


def test_an_option_without_a_description_is_refused(reference: ModuleType) -> None:
    group = click.Group("tool", help="A tool.")

    @group.command(help="Does it.")
    @click.option("--speed")
    def go(speed: str) -> None: ...

    with pytest.raises(reference.UndocumentedError, match="--speed"):
        list(reference._of_group(group, "tool", click.Context(group, info_name="tool")))
