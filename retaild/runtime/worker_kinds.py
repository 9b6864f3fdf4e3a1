"""The workers there are."""

from __future__ import annotations

#: Kind -> the function that does the work until `context.stop` is set.
ENTRIES = {
    "ingest": "retaild.runtime.ingest:main",
    "stream": "retaild.runtime.stream:main",
    "serve": "retaild.rest.serve:main",
}
