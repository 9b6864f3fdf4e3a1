"""The plugin as the host meets it: Spec, sample, conformance, and what serving it imports."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from retaild_plugins.trainers.price import artifact, plugin
from retaild_plugins.trainers.price.artifact import ArtifactError, DemandTable
from retaild_plugins.trainers.price.config import PriceConfig
from retaild_plugins.trainers.price.trainer import PriceTrainer

from retaild.api.base import BuildContext
from retaild.api.trainer import Trainer
from retaild.testing.price_trainer import PriceTrainerConformance

FOLDER = Path(plugin.__file__).parent


class TestPriceTrainer(PriceTrainerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls) -> Trainer:
        return PriceTrainer(PriceConfig(), "GBP")


def test_the_spec_builds_a_trainer(tmp_path: Path) -> None:
    (spec,) = plugin.retaild_trainers()
    assert (spec.name, spec.produces) == ("price", "price")
    built = spec.build(spec.config(), BuildContext("price", tmp_path, tmp_path))
    assert isinstance(built, PriceTrainer)


def test_the_sample_is_a_complete_configuration() -> None:
    sample = tomllib.loads((FOLDER / "sample.toml").read_text("utf-8"))["trainer"]["price"]
    assert sample.pop("plugin") == "price"
    config = PriceConfig.model_validate(sample)
    assert config.rules.margin_floor == 0.25
    assert config.rules.relations[0].max_ratio == 1.0


def test_every_setting_says_what_it_does() -> None:
    for model in (PriceConfig, type(PriceConfig().rules)):
        undocumented = {name for name, field in model.model_fields.items() if not field.description}
        assert undocumented <= {"rules", "key_value_items"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"rules": {"endings": [{"from_price": 0, "endings": ["9x"]}]}},
        {"rules": {"endings": [{"from_price": 5, "endings": ["9"]}] * 2}},
        {"rules": {"min_price": 3, "max_price": 2}},
        {"rules": {"margin_floor": 1.0}},
        {"elasticity_min": -0.1, "elasticity_max": -2},
        {"no_such_setting": 1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PriceConfig.model_validate(wrong)


def test_serving_a_model_imports_nothing_heavy(tmp_path: Path) -> None:
    """The server loads the artifact with numpy and the standard library alone."""
    artifact.save(one_product_table(), tmp_path)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from retaild_plugins.trainers.price.config import PriceConfig\n"
        "from retaild_plugins.trainers.price.trainer import PriceTrainer\n"
        "from retaild.api.pricing import PriceState\n"
        f"model = PriceTrainer(PriceConfig(), 'GBP').load(Path({str(tmp_path)!r}))\n"
        "assert model.propose(PriceState('A', 2.0, 1.0)) is not None\n"
        "heavy = {'scipy', 'pandas', 'polars', 'pyarrow', 'duckdb', 'sklearn', 'mlflow'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           env={"PYTHONPATH": ":".join(sys.path)})  # fmt: skip
    assert found.stdout.strip() == "[]"


def test_listing_the_plugin_imports_no_numpy() -> None:
    code = (
        "import sys, retaild_plugins.trainers.price.plugin as p; p.retaild_trainers();"
        "print('numpy' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           env={"PYTHONPATH": ":".join(sys.path)})  # fmt: skip
    assert found.stdout.strip() == "False"


def test_an_artifact_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no price model"):
        artifact.load(tmp_path)


def one_product_table() -> DemandTable:
    one = np.ones(1)
    return DemandTable(
        product_ids=["A"], categories=["C"], category=np.zeros(1, np.int64),
        category_elasticity=-2 * one, overall_elasticity=-2.0, elasticity=-2 * one,
        deviation=0.2 * one, low=-2.3 * one, high=-1.7 * one, base_units=100 * one,
        base_price=2 * one, price_min=1.5 * one, price_max=2.5 * one,
        weeks=np.array([50]), prices=np.array([3]), tested_elasticity=-2 * one,
        tested_category=-2 * one, tested_from="2024-01-01", trained_until="2024-02-01",
    )  # fmt: skip


def test_the_readme_shows_the_sample() -> None:
    assert (FOLDER / "sample.toml").read_text("utf-8") in (FOLDER / "README.md").read_text("utf-8")
