"""What differs between two configurations, setting by setting, with secrets never shown."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from retaild.config.documents import Document, KeyPath
from retaild.config.masking import HIDDEN, is_reference, is_secret_name
from retaild.config.settings import Settings

#: Longer values are cut where they are shown.
_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Change:
    """One setting. `before` and `after` are written as in JSON, None where there is none.

    `file` and `line` say where it is set now; ("", 0) if it is no longer set anywhere.
    """

    path: str
    kind: Literal["added", "removed", "changed"]
    before: str | None
    after: str | None
    file: str = ""
    line: int = 0


def effective(settings: Settings) -> dict[KeyPath, Any]:
    """Every setting in force, defaults too, by its path as it is written in a file.

    A reference to a secret is one value; a plugin's own settings stand beside the host's.
    """
    found: dict[KeyPath, Any] = {}
    _flatten(settings.model_dump(mode="json"), (), found)
    return found


def _flatten(value: Any, path: KeyPath, found: dict[KeyPath, Any]) -> None:
    if not isinstance(value, Mapping) or is_reference(value):
        found[path] = value
        return
    if {"plugin", "settings"} <= value.keys():
        value = {**{k: v for k, v in value.items() if k != "settings"}, **value["settings"]}
    for key, inner in value.items():
        _flatten(inner, (*path, str(key)), found)


def differences(
    old: Settings,
    new: Settings,
    was: Document,
    document: Document,
    secrets: Collection[KeyPath] = (),
) -> list[Change]:
    """In the order of paths. `secrets`: references whose content is another one now.

    `was` and `document` say what is written in the files: of instances that come and go only
    that is told, not all the defaults.
    """
    before, after = effective(old), effective(new)
    changed = []
    for path in sorted({*before, *after}):
        kind: Literal["added", "removed", "changed"]
        if path not in before and _told(path, document):
            kind = "added"
        elif path not in after and _told(path, was):
            kind = "removed"
        elif path not in before or path not in after:
            continue
        elif before[path] != after[path] or path in secrets:
            kind = "changed"
        else:
            continue
        changed.append(_change(path, kind, before, after, document))
    return changed


def _told(path: KeyPath, document: Document) -> bool:
    return path in document.places or path[-1] in ("plugin", "kind")


def _change(
    path: KeyPath,
    kind: Literal["added", "removed", "changed"],
    before: Mapping[KeyPath, Any],
    after: Mapping[KeyPath, Any],
    document: Document,
) -> Change:
    old = shown(path, before[path]) if path in before else None
    new = shown(path, after[path]) if path in after else None
    if kind == "changed" and old == new and new != HIDDEN:
        new = f"{new}, with another content"
    file, line = document.places.get(path, ("", 0))
    return Change(".".join(path), kind, old, new, file, line)


def shown(path: KeyPath, value: Any) -> str:
    """A value for people; hidden if the name of its setting, or of what it is in, says secret."""
    if not is_reference(value) and value not in (None, "") and any(map(is_secret_name, path)):
        return HIDDEN
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
