"""What plugins of every kind share: configuration models, Specs, the build context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from retaild.api.service import Software

#: Version of this interface. A Spec states the one it was written for.
API_VERSION = 1
#: Versions whose plugins work with this retaild.
SUPPORTED_API_VERSIONS = frozenset({1})

#: Marks the functions of a `plugin.py` that register Specs.
hookimpl = pluggy.HookimplMarker("retaild")


class Config(BaseModel):
    """Base of a plugin's configuration model; field descriptions are its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NoConfig(Config):
    """For plugins without settings."""


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What the host gives a component besides its own configuration.

    `instance` is the name from the configuration file (`[source.tills]` -> "tills"). `state_dir`
    belongs to this instance alone; it is created by the component when it first needs it.
    """

    instance: str
    state_dir: Path
    lake_dir: Path
    #: IANA zone of the shop's clocks, for inputs that state no offset.
    timezone: str = "UTC"
    currency: str = "GBP"
    store: str = "main"
    #: Cores a component may keep busy.
    threads: int = 1
    #: What `retaildctl service install` fetched: see `retaild.api.service.software_home`.
    software_dir: Path = Path("software")
    #: State directories of managed services: `<services_dir>/<instance>`.
    services_dir: Path = Path("service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a plugin registers: who it is, how it is configured, how it is built.

    `build` imports the plugin's own module late, so that listing and checking plugins needs none
    of their libraries. The object it returns does nothing until `open()`.
    """

    name: str
    summary: str
    config: type[Config] = NoConfig
    build: Callable[[Any, BuildContext], Any] = field(repr=False)
    version: str = "0.1.0"
    api_version: int = API_VERSION
    #: Distributions that must be importable; shown by `retaildctl plugin show`.
    requires: tuple[str, ...] = ()
    #: What `retaildctl service install` fetches for it; for plugins of every kind.
    software: tuple[Software, ...] = ()
