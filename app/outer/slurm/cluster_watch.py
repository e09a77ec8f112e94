"""Watch over the controller and the nodes: what they last said, and since when they are silent."""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.outer.slurm.commands import LIST_JOBS, LIST_NODES, CommandAnswer, CommandRunner
from app.outer.slurm.rows import NodeRow, group_lines, parse_nodes

NODES_EVERY = 30.0
"""Seconds between two reads of the nodes."""
POLL_LIMIT = 30.0
"""Seconds for squeue and sinfo: without munge they hang for minutes."""
SILENCE = 30.0
"""Seconds without an answer after which nothing new is handed over, and an alert says so."""


class ClusterWatch:
    """Answers of the controller. Times are monotonic unless they are said to be UNIX time."""

    def __init__(self, runner: CommandRunner) -> None:
        self._runner = runner
        self.nodes: Sequence[NodeRow] = ()
        self.answered_at: float | None = None
        """UNIX time of the last answer."""
        self.answer_seconds: float | None = None
        self.error = ""
        self.is_asking = False
        """A poll is under way."""
        self._silent_since = time.monotonic()
        self._silent_clock = time.time()
        self._next_nodes = 0.0

    @property
    def is_silent(self) -> bool:
        """Return True if the last poll was not, or is not yet, answered."""
        return bool(self.error) or self.answered_at is None or self.is_asking

    async def list_jobs(self) -> dict[str, tuple[str, ...]] | None:
        """Return the lines of our jobs by run id, or None if the controller does not answer."""
        begun = time.monotonic()
        if not self.error and self.answered_at is not None:
            self._silent_since, self._silent_clock = begun, time.time()
        self.is_asking = True
        try:
            answer = await self._runner.run(LIST_JOBS, POLL_LIMIT)
        finally:
            self.is_asking = False
        if not self._take_answer(answer, begun):
            return None
        if begun >= self._next_nodes:
            self._next_nodes = begun + NODES_EVERY
            found = await self._runner.run(LIST_NODES, POLL_LIMIT)
            if found.code == 0:
                self.nodes = parse_nodes(found.output)
        return group_lines(answer.output)

    def _take_answer(self, answer: CommandAnswer, begun: float) -> bool:
        if answer.code != 0:
            self.error = answer.error or "no answer"
            return False
        self.error, self.answered_at = "", time.time()
        self.answer_seconds = time.monotonic() - begun
        return True

    @property
    def trouble(self) -> str:
        """Return that the controller is silent, once it is so for long; else ""."""
        if not self.is_silent:
            return ""
        if "was not found" in self.error:
            return f"{self.error}: set commands in [slurm] of config.toml"
        if time.monotonic() - self._silent_since < SILENCE:
            return ""
        since = time.strftime("%H:%M", time.localtime(self._silent_clock))
        return (
            f"Slurm has not answered since {since}: nothing new is handed over; what runs goes on"
            f" ({self.error or 'no answer yet'})"
        )
