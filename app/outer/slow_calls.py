"""Calls that a file server may hold up forever, in threads that do not keep the process alive.

An executor joins its threads at the end of the process: a runtime with a spool that hangs could
not be stopped.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def call_in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Call a function in a thread of its own and return its result."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def report(result: Any, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def call() -> None:
        try:
            outcome = function(*arguments), None
        except BaseException as error:
            outcome = None, error
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(report, *outcome)

    threading.Thread(target=call, name="slow call", daemon=True).start()
    return await future
