"""Waiting in an event loop for what may not come."""

from __future__ import annotations

import asyncio
import os


async def told(descriptor: int, seconds: float) -> bool:
    """Whether a byte comes within so many seconds; the other end may close without one."""
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, heard.set)
    try:
        await asyncio.wait_for(heard.wait(), seconds)
        return bool(os.read(descriptor, 1))
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)


async def pause(wake: asyncio.Event, seconds: float) -> None:
    """So many seconds, or until `wake` is set."""
    try:
        await asyncio.wait_for(wake.wait(), seconds)
    except TimeoutError:
        return
