"""All that a plugin imports of the host (beside `retaild.events` and `retaild.pipeline`).

One module per plugin kind: its Spec (what is registered) and its interface (what is built).
Importing this package is cheap: no third-party client, no Arrow, no numpy; and pydantic only when
something that needs it is asked for, so that the command line may use the errors in no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retaild.api.alert import Alert, AlertSink, AlertSinkSpec, Notification, Severity
    from retaild.api.base import API_VERSION, BuildContext, Config, Spec, hookimpl
    from retaild.api.batch import BatchEngine, BatchEngineSpec, BatchResult
    from retaild.api.bus import Bus, BusSpec, Entry, LogEnd, LogEntry
    from retaild.api.errors import ConfigError, MissingDataError, RetaildError, TransientError
    from retaild.api.feature import FeatureBackend, FeatureBackendSpec
    from retaild.api.gate import Gate, GateSpec, Verdict
    from retaild.api.identity import Identity, IdentityProvider, IdentityProviderSpec, Role
    from retaild.api.lake import Lake
    from retaild.api.service import Endpoint, Server, Service, ServiceSpec, Software
    from retaild.api.source import (
        Checkable,
        Confirmable,
        Position,
        Replayable,
        Source,
        SourceBatch,
        SourceSpec,
    )
    from retaild.api.stream import StreamProcessor, StreamProcessorSpec, StreamProgress
    from retaild.api.target import DeployTarget, DeployTargetSpec, Searchable
    from retaild.api.trainer import (
        BatchScorer,
        Trainer,
        TrainerSpec,
        TrainingContext,
        TrainingResult,
    )

_MODULES = {
    "retaild.api.alert": "Alert AlertSink AlertSinkSpec Notification Severity",
    "retaild.api.base": "API_VERSION BuildContext Config Spec hookimpl",
    "retaild.api.batch": "BatchEngine BatchEngineSpec BatchResult",
    "retaild.api.bus": "Bus BusSpec Entry LogEnd LogEntry",
    "retaild.api.errors": "ConfigError MissingDataError RetaildError TransientError",
    "retaild.api.feature": "FeatureBackend FeatureBackendSpec",
    "retaild.api.gate": "Gate GateSpec Verdict",
    "retaild.api.identity": "Identity IdentityProvider IdentityProviderSpec Role",
    "retaild.api.lake": "Lake",
    "retaild.api.service": "Endpoint Server Service ServiceSpec Software",
    "retaild.api.source": (
        "Checkable Confirmable Position Replayable Source SourceBatch SourceSpec"
    ),
    "retaild.api.stream": "StreamProcessor StreamProcessorSpec StreamProgress",
    "retaild.api.target": "DeployTarget DeployTargetSpec Searchable",
    "retaild.api.trainer": "BatchScorer Trainer TrainerSpec TrainingContext TrainingResult",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "API_VERSION",
    "Alert",
    "AlertSink",
    "AlertSinkSpec",
    "BatchEngine",
    "BatchEngineSpec",
    "BatchResult",
    "BatchScorer",
    "BuildContext",
    "Bus",
    "BusSpec",
    "Checkable",
    "Config",
    "ConfigError",
    "Confirmable",
    "DeployTarget",
    "DeployTargetSpec",
    "Endpoint",
    "Entry",
    "FeatureBackend",
    "FeatureBackendSpec",
    "Gate",
    "GateSpec",
    "Identity",
    "IdentityProvider",
    "IdentityProviderSpec",
    "Lake",
    "LogEnd",
    "LogEntry",
    "MissingDataError",
    "Notification",
    "Position",
    "Replayable",
    "RetaildError",
    "Role",
    "Searchable",
    "Server",
    "Service",
    "ServiceSpec",
    "Severity",
    "Software",
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
    "TransientError",
    "Verdict",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    """Import the module that defines `name` when it is first asked for (PEP 562)."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
