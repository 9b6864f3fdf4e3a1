"""Short processes of the daemon's own: checks and probes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from retaild.config.paths import DataDir
from retaild.runtime import logs
from retaild.runtime.process import Child, child_environment

#: What these processes print is kept here, beside the workers' logs.
LOG = "reload"


async def run_briefly(command: Sequence[str], data: DataDir, seconds: float) -> int | None:
    """Its exit code (negative: the signal that ended it); None if it took too long and was ended.

    Call it in the main thread: the kernel ties the child's life to that of the thread.
    """
    log = data.worker_log(LOG)
    logs.put_aside(log)
    child = Child.spawn(command, child_environment(data.root, threads=1), log)
    end = asyncio.ensure_future(child.over())
    try:
        done, _ = await asyncio.wait([end], timeout=seconds)
    finally:
        if not end.done():
            child.signal(signal.SIGKILL)
            await end
    return end.result() if done else None
