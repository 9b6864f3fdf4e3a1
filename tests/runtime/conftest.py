"""What tests of the runtime share."""

from __future__ import annotations

from pathlib import Path

import pytest

from retaild.config.paths import DataDir
from retaild.runtime.registry_writer import RegistryWriter
from retaild.runtime.state import State


@pytest.fixture(scope="session")
def new_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new mlflow.db to copy: MLflow's migrations take seconds, so they run once."""
    root = tmp_path_factory.mktemp("registry")
    RegistryWriter(DataDir(root), State(root / "state.db")).open()
    return root / "mlflow.db"
