"""What strangers' plugins are, found out in processes of their own and kept in a file.

`<data>/plugins/catalog.json` may be deleted at any time: it is made again. No code of another
distribution runs in the process that asks.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retaild.api.base import SUPPORTED_API_VERSIONS
from retaild.config.paths import DataDir
from retaild.host.discovery import Origin, strangers
from retaild.host.environments import Launch
from retaild.host.facts import Facts
from retaild.host.gather import KINDS, wrong_interface
from retaild.host.inspection import ask
from retaild.host.installed import plugins_dir, write_atomically

FORMAT = 1
#: Faults are looked at again after this many seconds: what was missing may have been installed.
FAULT_SECONDS = 600.0

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Described:
    """One plugin of a stranger's."""

    kind: str
    entry: str
    module: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a distribution brings; `faults` are (entry, half a sentence)."""

    origin: Origin
    plugins: tuple[Described, ...]
    faults: tuple[tuple[str, str], ...]


def catalog(data: DataDir | None = None) -> list[Inspected]:
    """All distributions but the host's own. Quick where nothing changed since the last time."""
    origins = strangers(data)
    file = plugins_dir(data) / "catalog.json" if data is not None else None
    known = _read(file) if file is not None and origins else {}
    told = {key: known[key]["told"] for key in map(_key, origins) if _good(known.get(key))}
    unknown = [origin for origin in origins if _key(origin) not in told]
    answers = dict(zip(map(_key, unknown), inspect(unknown), strict=True))
    if answers and file is not None and data is not None and data.root.is_dir():
        _keep(file, {**{key: known[key] for key in told}, **_dated(answers)})
    return [_inspected(origin, {**told, **answers}[_key(origin)]) for origin in origins]


def examine(origin: Origin) -> Inspected:
    """One distribution, looked at now."""
    return _inspected(origin, inspect([origin])[0])


def inspect(origins: list[Origin]) -> list[Message]:
    """What processes of their own say of the distributions, or what is wrong with them."""
    told: dict[str, Message] = {}
    groups: dict[Launch, list[Origin]] = {}
    for origin in origins:
        wrong = origin.interfaces and not origin.interfaces & SUPPORTED_API_VERSIONS
        if wrong:
            told[_key(origin)] = _broken(origin, wrong_interface(origin.interfaces))
        else:
            groups.setdefault(origin.launch, []).append(origin)
    for launch, group in groups.items():
        tasks = [{"task": "describe", "entries": list(origin.entries)} for origin in group]
        for origin, answer in zip(group, ask(launch, tasks), strict=True):
            known = _broken(origin, f"{answer}.") if isinstance(answer, str) else answer
            told[_key(origin)] = known
    return [told[_key(origin)] for origin in origins]


def _broken(origin: Origin, message: str) -> Message:
    return {"plugins": [], "faults": [{"name": e, "message": message} for e, _ in origin.entries]}


def _inspected(origin: Origin, told: Mapping[str, Any]) -> Inspected:
    """What was told, in our types; what is not as it should be becomes a fault."""
    plugins: list[Described] = []
    faults = [(str(f.get("name")), str(f.get("message"))) for f in told["faults"]]
    for item in told["plugins"]:
        entry = str(item.get("entry"))
        try:
            plugins.append(_described(item, origin))
        except ValueError as error:
            faults.append((entry, f"{error}."))
    return Inspected(origin, tuple(plugins), tuple(faults))


def _described(item: Message, origin: Origin) -> Described:
    entry, module = item.get("entry"), item.get("module")
    if item.get("kind") not in KINDS or (entry, module) not in origin.entries:
        raise ValueError("it says nothing sensible about itself")
    return Described(item["kind"], str(entry), str(module), Facts.of(item))


def _key(origin: Origin) -> str:
    about = (origin.stamp, sys.version, sorted(SUPPORTED_API_VERSIONS))
    return f"{origin.distribution} {origin.version} {json.dumps(about)}"


def _dated(answers: Mapping[str, Message]) -> dict[str, Message]:
    now = time.time()
    return {key: {"at": now, "told": answer} for key, answer in answers.items()}


def _good(known: Message | None) -> bool:
    if known is None:
        return False
    return not known["told"]["faults"] or 0 <= time.time() - known["at"] < FAULT_SECONDS


def _read(file: Path) -> dict[str, Message]:
    try:
        document = json.loads(file.read_bytes())
        if document["format"] == FORMAT:
            found = document["distributions"]
            return {key: item for key, item in found.items() if _whole(item)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return {}


def _whole(item: Message) -> bool:
    told = item["told"]
    parts = [told["plugins"], told["faults"]]
    return isinstance(item["at"], int | float) and all(
        isinstance(part, list) and all(isinstance(i, dict) for i in part) for part in parts
    )


def _keep(file: Path, distributions: Mapping[str, Message]) -> None:
    text = json.dumps({"format": FORMAT, "distributions": distributions})
    with suppress(OSError):  # somebody else's directory: then it is found out anew each time
        write_atomically(file, text)
