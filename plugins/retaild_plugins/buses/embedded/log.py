"""The embedded log: a file log with this plugin's settings."""

from __future__ import annotations

from pathlib import Path

from retaild.pipeline.filelog import FileLog
from retaild_plugins.buses.embedded.config import EmbeddedLogConfig


class EmbeddedLog(FileLog):
    def __init__(self, config: EmbeddedLogConfig, directory: Path) -> None:
        super().__init__(directory, segment_bytes=config.segment_bytes, sync=config.sync)
