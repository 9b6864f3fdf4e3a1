"""It is registered as it should be, and its sample is one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import retaild.api
from retaild.testing.plugin import check_sample, specs_in

from retaild_postgresql import plugin

FOLDER = Path(plugin.__file__).parent


def test_it_is_registered() -> None:
    ((kind, spec),) = specs_in(plugin)
    assert (kind, spec.name) == ("source", "postgresql")
    assert spec.api_version == retaild.api.API_VERSION
    assert spec.summary.endswith(".")


def test_every_setting_is_described() -> None:
    ((_, spec),) = specs_in(plugin)
    assert [n for n, field in spec.config.model_fields.items() if not field.description] == []


def test_the_sample_is_a_valid_configuration() -> None:
    ((kind, spec),) = specs_in(plugin)
    check_sample(kind, spec, tomllib.loads((FOLDER / "sample.toml").read_text("utf-8")))


def test_the_readme_shows_the_sample() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    assert (FOLDER / "sample.toml").read_text("utf-8") in readme
