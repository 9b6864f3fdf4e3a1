"""A shop on paper: a data directory and a configuration."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from retaild.config.paths import DataDir
from retaild.runtime.doctor.patient import Patient
from retaild.runtime.state import State


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    data = DataDir(tmp_path / "data")
    data.create()
    State(data.state_db).close()
    return data


@pytest.fixture
def config(tmp_path: Path) -> Path:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = tmp_path / "retaild.toml"
    path.write_text(f'[retaild]\ndata_dir = "data"\n[api]\nport = {port}\n')
    return path


@pytest.fixture
def patient(data: DataDir, config: Path) -> Patient:
    return Patient(data, config)
