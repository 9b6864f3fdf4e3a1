"""The Spark stream processor, by the suite for all, with a real Kafka."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from retaild_plugins.cluster.spark.config import SparkStreamConfig
from retaild_plugins.cluster.spark.stream.processor import SparkProcessor

from retaild.api import BuildContext, Bus, StreamProcessor
from retaild.testing.stream import OpenStream, StreamConformance

ContextOn = Callable[[Path], BuildContext]


#: Minutes on two cores: each session starts a Java process of its own.
pytestmark = pytest.mark.slow


@pytest.fixture
def open_stream(context_on: ContextOn) -> OpenStream:
    def opened(lake: Path, bus: Bus) -> StreamProcessor:
        stream = SparkProcessor(SparkStreamConfig(), context_on(lake))
        stream.open(bus)
        return stream

    return opened


class TestSpark(StreamConformance):
    @pytest.fixture
    def bus(self, bus: Bus) -> Bus:
        return bus

    @pytest.fixture
    def open_stream(self, open_stream: OpenStream) -> OpenStream:
        return open_stream
