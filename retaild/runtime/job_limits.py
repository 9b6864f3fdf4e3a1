"""What a job may take of the box: memory, priority, threads. Called before any heavy import."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass

from retaild.runtime import machine
from retaild.runtime.jobs import WrongArgumentError
from retaild.runtime.priority import give_way, go_first

#: Arguments every job takes besides its own.
LIMIT_ARGUMENTS = {
    "memory_mib": "most private memory the process may map; 0: no limit; default 3/4 of the box",
    "nice": "lower priority, 0 to 19; default 10",
    "threads": "cores it may keep busy; default all",
}
_DEFAULT_SHARE = 0.75
_DEFAULT_NICE = 10
#: The kernel ends a job before the daemon or the server when memory runs out (0..1000).
_OOM_SCORE = 500


@dataclass(frozen=True, slots=True)
class Limits:
    memory_mib: int
    nice: int
    threads: int

    @classmethod
    def of(cls, kind: str, arguments: Mapping[str, str]) -> Limits:
        """Raises WrongArgumentError."""

        def number(name: str, default: int) -> int:
            text = arguments.get(name, str(default))
            if not text.isdecimal():
                raise WrongArgumentError(kind, name, text, "a whole number")
            return int(text)

        cores = len(os.sched_getaffinity(0))
        return cls(
            number("memory_mib", int(machine.memory_mib() * _DEFAULT_SHARE)),
            min(number("nice", _DEFAULT_NICE), 19),
            max(1, number("threads", cores)),
        )

    def apply(self) -> None:
        """Bind this process; threads count for libraries that are imported afterwards."""
        give_way(self.nice)  # lowering only: a niceness given by the daemon stays
        go_first(_OOM_SCORE)
        if self.memory_mib:
            # DATA and not AS: mapped files (Parquet, DuckDB, Arrow) cost no memory of their own.
            size = self.memory_mib * 1024 * 1024
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            soft = size if hard == resource.RLIM_INFINITY else min(size, hard)
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        for variable in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "NUMEXPR_MAX_THREADS"):
            os.environ[variable] = str(self.threads)
        # BLAS below a library that has threads of its own only gets in its way.
        for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[variable] = "1"
        # Waiting OpenMP threads sleep: spinning ones would take the core from the server.
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def peak_mib() -> float:
    """The most memory this process had resident so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
