"""The last output of a program, read while an event loop runs, with bounded memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

MAX_OUTPUT = 4096
PIPE_SIZE = 64 * 1024
"""Bytes that a pipe holds, so one read takes all that a program has left."""


@contextmanager
def collect_tail(fd: int) -> Iterator[Callable[[], bytes]]:
    """Read a pipe while the event loop runs, and yield a function that returns the end of it.

    Only the program itself counts: its children may go on, and keep the pipe open.
    """
    loop, tail = asyncio.get_running_loop(), bytearray()

    def read() -> bytes:
        with suppress(BlockingIOError):
            tail.extend(os.read(fd, PIPE_SIZE))
            del tail[:-MAX_OUTPUT]
        return bytes(tail)

    os.set_blocking(fd, False)
    loop.add_reader(fd, read)
    try:
        yield read
    finally:
        loop.remove_reader(fd)
