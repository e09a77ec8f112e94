"""SQLite readers without a thread, which halve the time of small reads.

aiosqlite sends each statement to the thread of its connection and waits for the answer. Both ways
take longer than most statements.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import Any


class DirectQueue:
    """Queue of a connection that calls each function at once."""

    def put_nowait(self, item: tuple[Future[Any] | None, Callable[[], Any]]) -> None:
        answer, function = item
        try:
            result = function()
        except BaseException as error:
            if answer is not None:
                answer.set_exception(error)
        else:
            if answer is not None:
                answer.set_result(result)


class NoThread:
    """Thread of a connection that is never needed."""

    daemon = True

    def __init__(self, **_options: object) -> None:
        pass

    def start(self) -> None:
        pass
