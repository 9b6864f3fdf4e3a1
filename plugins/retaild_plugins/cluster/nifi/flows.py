"""What each kind of flow is made of: NiFi processors and the connections between them.

Nothing that NiFi has taken is dropped: what the door refuses for good goes to a folder, with its
bytes; everything else is tried again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from retaild_plugins.cluster.nifi.config import (
    FilesFlow,
    Flow,
    HttpFlow,
    NifiConfig,
    PollFlow,
    TailFlow,
)

_STANDARD = "org.apache.nifi.processors.standard."
#: What trying again does not mend: the request itself is wrong.
_FINAL = ("400", "413", "415", "422")


@dataclass(frozen=True, slots=True)
class Step:
    """A processor. `ends`: its relationships that lead nowhere."""

    name: str
    type: str
    properties: Mapping[str, str]
    ends: tuple[str, ...] = ()
    every: str = "0 sec"
    #: Names of properties whose values NiFi is to keep to itself.
    secret: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    source: str
    target: str
    relationships: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Step, ...]
    links: tuple[Link, ...]

    @property
    def version(self) -> str:
        """The same as long as the flow would be the same."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:12]


def plan_of(name: str, flow: Flow, config: NifiConfig, refused: Path) -> Plan:
    """`refused` is the folder for what the door will never take."""
    if isinstance(flow, FilesFlow):
        return _files(flow)
    if isinstance(flow, HttpFlow):
        return _http(flow, config, refused)
    if isinstance(flow, PollFlow):
        return _poll(flow, config, refused)
    return _tail(flow, config, refused)


def _files(flow: FilesFlow) -> Plan:
    take = Step(
        "take", f"{_STANDARD}GetFile",
        {
            "Input Directory": str(flow.directory),
            "File Filter": flow.pattern,
            "Keep Source File": "false",
            "Recurse Subdirectories": str(flow.recurse).lower(),
            "Minimum File Age": f"{flow.settle_seconds} sec",
            "Ignore Hidden Files": "true",
        },
        every="1 sec",
    )  # fmt: skip
    # It writes under a name with a dot and renames: the source sees whole files only.
    put = Step("put", f"{_STANDARD}PutFile",
        {
            "Directory": str(flow.to),
            "Conflict Resolution Strategy": "replace",
            "Create Missing Directories": "true",
        },
        ends=("success",),
    )  # fmt: skip
    return Plan((take, put), (Link("take", "put", ("success",)), Link("put", "put", ("failure",))))


def _http(flow: HttpFlow, config: NifiConfig, refused: Path) -> Plan:
    # It answers when it has the request on its disk.
    receive = Step(
        "receive",
        f"{_STANDARD}ListenHTTP",
        {
            "Listening Port": str(flow.port),
            "Base Path": flow.path,
            "Return Code": "202",
            "HTTP Headers to receive as Attributes (Regex)": "(?i)content-type",
        },
    )
    steps, links = _to_door(config, refused, "application/json")
    return Plan((receive, *steps), (Link("receive", "post", ("success",)), *links))


def _poll(flow: PollFlow, config: NifiConfig, refused: Path) -> Plan:
    ask = Step(
        "ask",
        f"{_STANDARD}InvokeHTTP",
        {"HTTP Method": "GET", "Remote URL": flow.url, "Read Timeout": "30 secs"},
        # What it did not get this time it asks for again.
        ends=("Original", "Failure", "No Retry", "Retry"),
        every=f"{flow.every_seconds} sec",
    )
    steps, links = _to_door(config, refused, "application/json")
    return Plan((ask, *steps), (Link("ask", "post", ("Response",)), *links))


def _tail(flow: TailFlow, config: NifiConfig, refused: Path) -> Plan:
    tail = Step("tail", f"{_STANDARD}TailFile",
        {
            "File to Tail": str(flow.file),
            "Initial Start Position": "Beginning of File",
            **({"Rolling Filename Pattern": flow.rolled} if flow.rolled else {}),
        },
        every="500 millis",
    )  # fmt: skip
    split = Step("split", f"{_STANDARD}SplitText",
        {"Line Split Count": str(flow.lines), "Remove Trailing Newlines": "false"},
        ends=("original",),
    )  # fmt: skip
    steps, links = _to_door(config, refused, "application/x-ndjson")
    return Plan(
        (tail, split, *steps),
        (
            Link("tail", "split", ("success",)),
            Link("split", "post", ("splits",)),
            Link("split", "keep", ("failure",)),
            *links,
        ),
    )


def _to_door(
    config: NifiConfig, refused: Path, content_type: str
) -> tuple[tuple[Step, ...], tuple[Link, ...]]:
    """Post to retaild's door; what is refused for good is kept, all else is tried again."""
    properties = {
        "HTTP Method": "POST",
        "Remote URL": f"{config.door}/api/v1/events",
        "Content-Type": content_type,
        "Connection Timeout": "5 secs",
        "Read Timeout": "30 secs",
    }
    key = config.api_key.get_secret_value() if config.api_key else ""
    secret = ("Authorization",) if key else ()
    post = Step(
        "post", f"{_STANDARD}InvokeHTTP",
        {**properties, **({"Authorization": f"Bearer {key}"} if key else {})},
        ends=("Original", "Response"), secret=secret,
    )  # fmt: skip
    judge = Step("judge", f"{_STANDARD}RouteOnAttribute", {"final": _is_final()})
    keep = Step("keep", f"{_STANDARD}PutFile",
        {
            "Directory": str(refused),
            "Conflict Resolution Strategy": "replace",
            "Create Missing Directories": "true",
        },
        ends=("success",),
    )  # fmt: skip
    links = (
        Link("post", "judge", ("No Retry",)),
        Link("post", "post", ("Retry", "Failure")),
        Link("judge", "keep", ("final",)),
        Link("judge", "post", ("unmatched",)),
        Link("keep", "keep", ("failure",)),
    )
    return (post, judge, keep), links


def _is_final() -> str:
    """In NiFi's expression language."""
    first, *others = _FINAL
    status = "invokehttp.status.code"
    either = "".join(f":or(${{{status}:equals('{code}')}})" for code in others)
    return f"${{{status}:equals('{first}'){either}}}"
