"""All that a plugin imports of the host (beside `retaild.events` and `retaild.pipeline`).

One module per plugin kind: its Spec (what is registered) and its interface (what is built).
Importing this package is cheap: no third-party client, no Arrow, no numpy.
"""

from retaild.api.base import API_VERSION, BuildContext, Config, Spec, hookimpl
from retaild.api.batch import BatchEngine, BatchEngineSpec, BatchResult
from retaild.api.bus import Bus, BusSpec, Entry, LogEnd, LogEntry
from retaild.api.errors import RetaildError
from retaild.api.feature import FeatureBackend, FeatureBackendSpec
from retaild.api.gate import Gate, GateSpec, Verdict
from retaild.api.lake import Lake
from retaild.api.source import Position, Replayable, Source, SourceBatch, SourceSpec
from retaild.api.stream import StreamProcessor, StreamProcessorSpec, StreamProgress
from retaild.api.trainer import Trainer, TrainerSpec, TrainingContext, TrainingResult

__all__ = [
    "API_VERSION",
    "BatchEngine",
    "BatchEngineSpec",
    "BatchResult",
    "BuildContext",
    "Bus",
    "BusSpec",
    "Config",
    "Entry",
    "FeatureBackend",
    "FeatureBackendSpec",
    "Gate",
    "GateSpec",
    "Lake",
    "LogEnd",
    "LogEntry",
    "Position",
    "Replayable",
    "RetaildError",
    "Source",
    "SourceBatch",
    "SourceSpec",
    "Spec",
    "StreamProcessor",
    "StreamProcessorSpec",
    "StreamProgress",
    "Trainer",
    "TrainerSpec",
    "TrainingContext",
    "TrainingResult",
    "Verdict",
    "hookimpl",
]
