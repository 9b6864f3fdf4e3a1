"""The pipeline as it runs: which engine does which part, how far each is, what was published.

Rows between two parts are counted where they are known: the stream says how many of the log the
lake does not have yet. Parts that run in jobs say what their newest run came to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from retaild.config.settings import Settings
from retaild.runtime.component import process_name
from retaild.runtime.state import State

#: Part of the pipeline -> the process that holds it, in the order in which events pass through;
#: empty: jobs do, when they are due. A source has its own.
PARTS = {
    "source": "source", "bus": "ingest", "stream": "stream", "batch": "", "features": "",
    "trainer": "", "target": "",
}  # fmt: skip
#: Part -> the job that does it, by itself or as a step of `refresh`.
_JOBS = {"batch": "gold", "features": "features", "trainer": "train", "target": "publish"}
_CHAIN = "refresh"
#: Runs of each job that are looked at; older ones are not the newest of anything.
_RUNS = 10
#: Figures of a process that tell how its part does.
_FIGURES = ("lag_rows", "rows_per_second", "dead_letters")

Row = dict[str, Any]


@dataclass(frozen=True)
class Pipeline:
    settings: Settings
    #: None: nothing has run yet.
    state: State | None

    def parts(self) -> list[Row]:
        """One for each configured part, from the doors to what is published."""
        workers = {row["name"]: row for row in self.state.workers()} if self.state else {}
        rows = [
            self._part(kind, name, instance.plugin, workers)
            for kind, name, instance in self.settings.instances()
            if kind in PARTS
        ]
        return sorted(rows, key=lambda row: list(PARTS).index(row["part"]))

    def _part(self, kind: str, name: str, plugin: str, workers: Mapping[str, Row]) -> Row:
        process = process_name(kind, name) if kind == "source" else PARTS[kind]
        worker = workers.get(process, {})
        return {
            "part": kind,
            "name": name,
            "plugin": plugin,
            "process": process,
            "state": (worker.get("state") or "stopped") if process else "in jobs",
            "services": self._services(plugin),
            "figures": _figures(worker) if kind != "bus" else _lag(worker, workers),
            "last": self._last(kind, name),
        }

    def _services(self, plugin: str) -> list[str]:
        services = sorted(self.settings.service.items())
        return [name for name, instance in services if instance.plugin == plugin]

    def _last(self, kind: str, name: str) -> Row | None:
        """What the newest run that did this part came to; None while none has."""
        done = list(self._done(kind, name)) if kind in _JOBS else []
        return max(done, key=lambda one: float(one["at"]), default=None)

    def _done(self, kind: str, name: str) -> Iterator[Row]:
        """Of its own job, and of the chain, in which it is a step."""
        if self.state is None:
            return
        job = _JOBS[kind]
        step = f"{job} {name}" if kind == "trainer" else job
        for run in self.state.ended_runs(job, _RUNS):
            if kind != "trainer" or (run["arguments"] or {}).get("trainer") == name:
                yield _outcome(run, run["result"] or {}, kind, name)
        for run in self.state.ended_runs(_CHAIN, _RUNS):
            result = ((run["result"] or {}).get("steps") or {}).get(step)
            if result and not _NOT_DONE & result.keys():
                yield _outcome(run, result, kind, name)


#: A step says so that was left out, or that has nothing to work on in a new shop.
_NOT_DONE = {"left_out", "waiting"}


def _figures(worker: Row) -> dict[str, float]:
    stored = worker.get("figures") or {}
    figures = json.loads(stored) if isinstance(stored, str) else stored
    return {name: figures[name] for name in _FIGURES if name in figures}


def _lag(bus: Row, workers: Mapping[str, Row]) -> dict[str, float]:
    """Of the log: what has not been carried into the lake is what the stream says of itself.

    The door's own look is older, and it takes none while nothing comes.
    """
    behind = _figures(workers.get(PARTS["stream"], {})).get("lag_rows")
    return _figures(bus) | ({} if behind is None else {"lag_rows": behind})


def _outcome(run: Row, result: Row, kind: str, name: str) -> Row:
    """`state` is of the part: a chain may have failed elsewhere, and so may another target."""
    chain = run["kind"] == _CHAIN
    own = (result.get("targets") or {}).get(name) if kind == "target" else None
    if own is not None:
        result, error = own, own.get("error")
    else:
        error = result.get("error") or (None if chain else run["error"])
    failed = bool(error) or (own is None and not chain and run["state"] != "succeeded")
    counts = {key: n for key, n in (own or {}).items() if key not in ("seconds", "error")}
    return {
        "run_id": run["id"], "job": run["job"], "state": "failed" if failed else "succeeded",
        "at": run["finished"], "error": error, "records": counts or None,
        "seconds": result.get("seconds"),
    }  # fmt: skip
