"""A terminal that records the arrival time of every chunk of output."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Self

from tests.acceptance.terminal import Terminal


class Recorder(Terminal):
    """Terminal that stores its output with arrival times and draws the output only on `replay`."""

    def __init__(self, *args: Any) -> None:
        self.chunks: list[tuple[float, bytes]] = []
        self.began = self.marked = time.perf_counter()
        super().__init__(*args)

    def __enter__(self) -> Self:
        return self

    def _feed(self, data: bytes) -> None:
        self.chunks.append((time.perf_counter(), data))
        if b"\x1b[6n" in data:
            self.type("\x1b[1;2R")

    def record(self, seconds: float) -> None:
        """Store the output of the given seconds."""
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            self._read(left)

    def replay(self) -> Iterator[float]:
        """Feed the screen chunk by chunk, once each, and yield the time of each chunk."""
        chunks, self.chunks = self.chunks, []
        for at, data in chunks:
            super()._feed(data)
            yield at

    def restart_recording(self) -> None:
        """Show the output so far, and restart the clock."""
        for _ in self.replay():
            pass
        self.marked = time.perf_counter()
