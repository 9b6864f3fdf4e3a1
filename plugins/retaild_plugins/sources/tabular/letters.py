"""Dead letters of files, and back from them to rows."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from retaild.events import DeadLetter
from retaild.events.ids import event_id
from retaild_plugins.sources.tabular.chunk import Refused
from retaild_plugins.sources.tabular.faults import FileFaultError

#: `format` of a dead letter that stands for a whole file.
WHOLE_FILE = "file"


class LetterWriter:
    """Writes the dead letters of one file; `moment` is when the file was last changed (UTC)."""

    def __init__(self, source: str, store: str, family: str, name: str, moment: datetime) -> None:
        self._source, self._store, self._family = source, store, family
        self._name = name
        self._moment = moment

    def row(self, refused: Refused, row_format: str) -> DeadLetter:
        line = f" (line {refused.line})" if refused.line else ""
        place = f"{self._name} row {refused.row}{line}"
        reason = f"{place}: {refused.reason}"
        return self._letter(place, refused.key, reason, refused.raw, row_format)

    def whole(self, fault: FileFaultError) -> DeadLetter:
        hint = " Then import the file again; a watched folder reads it when the settings change."
        return self._letter(self._name, fault.key, str(fault) + hint, b"", WHOLE_FILE)

    def _letter(self, place: str, key: str, reason: str, raw: bytes, form: str) -> DeadLetter:
        place = place[-2000:]
        known = {"source": self._source, "place": place, "raw": raw}
        return DeadLetter(
            event_id=event_id("dead_letter", known),
            event_time=self._moment,
            source=self._source,
            store=self._store,
            target=self._family,
            place=place,
            reason_key=key,
            reason=reason[:2000],
            raw=raw,
            format=form,
        )


def csv_form(letter: DeadLetter) -> dict[str, Any] | None:
    """How the row of a CSV dead letter is written: encoding, delimiter, columns."""
    kind, _, how = letter.format.partition(" ")
    if kind != "csv":
        return None
    try:
        found = json.loads(how) if how else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}
