"""The commented default configuration."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from retaild.config.sample import sample
from retaild.config.settings import Settings, load_settings

SHIPPED = Path(__file__).parents[2] / "etc" / "retaild.toml"


def test_the_shipped_file_is_up_to_date() -> None:
    assert SHIPPED.read_text("utf-8") == sample(), (
        "Write it anew: python -c 'from retaild.config.sample import sample; "
        'print(sample(), end="")\' > etc/retaild.toml'
    )


def test_the_shipped_file_changes_nothing() -> None:
    assert load_settings(SHIPPED, environment={}).api == Settings().api


def test_what_is_commented_out_are_the_defaults() -> None:
    """Every `#key = value` and `#[section]` line taken in earnest gives the default settings."""
    opened = re.sub(r"^#(?=[\[a-z])", "", sample(), flags=re.MULTILINE)
    stated = tomllib.loads(opened)
    assert Settings.model_validate(stated) == Settings()
    assert stated["api"].keys() == Settings().api.model_dump().keys()


def test_stated_values_are_not_commented_out() -> None:
    text = sample({"retaild": {"currency": "EUR"}, "api": {"port": 9000}})
    assert tomllib.loads(text) == {
        "retaild": {"currency": "EUR"}, "api": {"port": 9000}, "lake": {}, "recommendations": {},
        "alerts": {}, "access": {}, "backup": {},
    }  # fmt: skip
