"""What training jobs share: the open feature backend and MLflow, both slow to import."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from retaild.api.feature import FeatureBackend
from retaild.pipeline.feature_views import FEATURE_VIEWS
from retaild.runtime.context import JobContext
from retaild.runtime.registry_writer import RegistryWriter


class Workbench:
    """Opens each of the two once per process, when first asked for. Use as a context manager."""

    def __init__(self, context: JobContext) -> None:
        backend: FeatureBackend = context.build("features", "features")
        self._features = backend
        self._writer = RegistryWriter(context.data, context.state)
        self._open_features = _Once(self._features.open)
        self._open_writer = _Once(self._writer.open)
        self._apply = _Once(lambda: self._features.apply(FEATURE_VIEWS))
        self._warming: threading.Thread | None = None

    def __enter__(self) -> Workbench:
        return self

    def __exit__(self, *_exception: Any) -> None:
        if self._warming is not None:
            self._warming.join()
        self._features.close()

    def warm(self) -> None:
        """Begin to open both in the background, while the job does something else."""
        self._warming = threading.Thread(target=self._open_both, name="warm", daemon=True)
        self._warming.start()

    def features(self) -> FeatureBackend:
        """Open, with the host's feature views registered."""
        self._open_features()
        self._apply()
        return self._features

    def registry(self) -> RegistryWriter:
        self._open_writer()
        return self._writer

    def _open_both(self) -> None:
        for opening in (self._open_features, self._open_writer):
            opening.attempt()


@dataclass
class _Once:
    """Calls `action` once; who comes while it runs waits. A failure is raised to every caller."""

    action: Callable[[], Any]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _done: bool = False
    _error: BaseException | None = None

    def attempt(self) -> None:
        with self._lock:
            if self._done:
                return
            try:
                self.action()
            except Exception as error:  # told to whoever needs the result
                self._error = error
            self._done = True

    def __call__(self) -> None:
        self.attempt()
        if self._error is not None:
            raise self._error
