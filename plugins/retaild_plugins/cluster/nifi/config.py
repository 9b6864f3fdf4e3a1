"""Settings of the NiFi service and of the flows that retaild deploys into it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from retaild.api import Config
from retaild.api.http import checked_url

_FIELD_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")


class FilesFlow(Config):
    """Files that somebody drops into a folder, handed to the watched folder of a source."""

    kind: Literal["files"] = Field(description="What it takes: this is `files`.")
    directory: Path = Field(description="Where files are dropped; NiFi takes them away from here.")
    pattern: str = Field(
        default=r"[^\.].*", description="Regular expression that names must match."
    )
    recurse: bool = Field(default=False, description="Whether folders below it count too.")
    to: Path = Field(description="The watched folder of a `tabular` source.")
    settle_seconds: int = Field(
        default=2, ge=0, description="Files that changed in the last so many seconds wait."
    )


class HttpFlow(Config):
    """Events that something on this machine posts, kept by NiFi until retaild's door has them."""

    kind: Literal["http"] = Field(description="What it takes: this is `http`.")
    port: int = Field(ge=1, le=65535, description="Where NiFi listens.")
    everywhere: Literal[True] = Field(
        description="NiFi listens on every address of this machine for it, and lets everybody in: "
        "write true to say that you want that (and that a firewall stands before it)."
    )
    path: str = Field(
        default="events", pattern=r"^[A-Za-z0-9_/-]+$", description="Path of the URL."
    )


class PollFlow(Config):
    """Events that a server answers with when asked, handed to retaild's door."""

    kind: Literal["poll"] = Field(description="What it takes: this is `poll`.")
    url: str = Field(description="What is asked, by GET. It answers JSON events.")
    every_seconds: int = Field(default=60, ge=1, description="Seconds between two questions.")

    _url = field_validator("url")(checked_url)


class TailFlow(Config):
    """Lines that are appended to a log of JSON events (one per line), handed to retaild's door."""

    kind: Literal["tail"] = Field(description="What it takes: this is `tail`.")
    file: Path = Field(description="The log; what is rolled over beside it is read to its end.")
    rolled: str = Field(
        default="", description="Pattern of the names of rolled files, such as `web.log.*`."
    )
    lines: int = Field(default=500, ge=1, le=5000, description="Events per request to the door.")


Flow = Annotated[FilesFlow | HttpFlow | PollFlow | TailFlow, Field(discriminator="kind")]


class NifiConfig(Config):
    port: int = Field(
        default=8090, ge=1, le=65535, description="Of its pages and REST, on 127.0.0.1."
    )
    heap_mib: int = Field(default=512, ge=384, le=31_000, description="Memory of the Java heap.")
    door: str = Field(
        default="http://127.0.0.1:8470",
        description="Where retaild's server listens, for the flows.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="Key with the scope `ingest`, by reference; needed where everybody signs in.",
    )
    flow: dict[str, Flow] = Field(default={}, description="What is deployed: name -> flow.")

    _door = field_validator("door")(checked_url)

    @field_validator("flow")
    @classmethod
    def _names(cls, flows: dict[str, Flow]) -> dict[str, Flow]:
        for name in flows:
            if not _FIELD_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a flow (small letters, digits, '-', '_')")
        return flows
