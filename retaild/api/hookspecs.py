"""The hooks: one per plugin kind. They only register Specs; behaviour lives in the interfaces."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from retaild.api.alert import AlertSinkSpec
from retaild.api.batch import BatchEngineSpec
from retaild.api.bus import BusSpec
from retaild.api.feature import FeatureBackendSpec
from retaild.api.gate import GateSpec
from retaild.api.identity import IdentityProviderSpec
from retaild.api.service import ServiceSpec
from retaild.api.source import SourceSpec
from retaild.api.stream import StreamProcessorSpec
from retaild.api.target import DeployTargetSpec
from retaild.api.trainer import TrainerSpec

hookspec = pluggy.HookspecMarker("retaild")


@hookspec
def retaild_sources() -> Sequence[SourceSpec]:
    """Where events come from."""
    return ()


@hookspec
def retaild_buses() -> Sequence[BusSpec]:
    """The durable log between the doors and everything else."""
    return ()


@hookspec
def retaild_stream_processors() -> Sequence[StreamProcessorSpec]:
    """Engines that carry the log into the lake."""
    return ()


@hookspec
def retaild_batch_engines() -> Sequence[BatchEngineSpec]:
    """Engines that run the SQL files of the gold layer."""
    return ()


@hookspec
def retaild_feature_backends() -> Sequence[FeatureBackendSpec]:
    """Feature stores."""
    return ()


@hookspec
def retaild_trainers() -> Sequence[TrainerSpec]:
    """Learners: data in, artifact, metrics and signature out."""
    return ()


@hookspec
def retaild_gates() -> Sequence[GateSpec]:
    """Judges of a new model version before it may become champion."""
    return ()


@hookspec
def retaild_alert_sinks() -> Sequence[AlertSinkSpec]:
    """What tells people outside."""
    return ()


@hookspec
def retaild_identity_providers() -> Sequence[IdentityProviderSpec]:
    """Who says who somebody is."""
    return ()


@hookspec
def retaild_services() -> Sequence[ServiceSpec]:
    """Servers that are fetched, started and watched."""
    return ()


@hookspec
def retaild_deploy_targets() -> Sequence[DeployTargetSpec]:
    """Where answers that were computed ahead are published."""
    return ()
