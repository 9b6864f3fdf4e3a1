"""The Spark batch engine, by the suite for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from retaild_plugins.cluster.spark.batch import SparkEngine
from retaild_plugins.cluster.spark.config import SparkConfig

from retaild.api import BatchEngine, BuildContext
from retaild.testing.batch import BatchConformance, OpenEngine

#: Minutes on two cores: each session starts a Java process of its own.
pytestmark = pytest.mark.slow


class TestSpark(BatchConformance):
    @pytest.fixture
    def open_engine(self, context_on: Callable[[Path], BuildContext]) -> OpenEngine:
        def opened(lake: Path) -> BatchEngine:
            engine = SparkEngine(SparkConfig(), context_on(lake))
            engine.open()
            return engine

        return opened
