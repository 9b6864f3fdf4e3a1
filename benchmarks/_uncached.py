"""The serve worker without ready answers: every slate is ranked in its request."""

from __future__ import annotations

from retaild.rest import serve
from retaild.runtime.context import WorkerContext
from retaild.runtime.serving.engine import Engine


def main(context: WorkerContext) -> None:
    Engine.cached = False
    serve.main(context)
