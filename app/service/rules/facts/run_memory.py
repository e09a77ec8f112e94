"""Runs of the last hours in memory, so that a pass reads only what is new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple

from db import timestamps
from db.engine import Connection
from db.queries.rules import rule_values
from db.queries.rules.rule_values import RunRow

OVERLAP = 120.0
"""Seconds that are read again: a run may be recorded after one that ended later."""


class RememberedRun(NamedTuple):
    """A run with its UNIX time: its end, or its start."""

    at: float
    row: RunRow


class RunMemory:
    """Runs that ended, or started, within the longest window of all rules."""

    def __init__(self, read: Callable[[Connection, str], Sequence[RunRow]], time: str) -> None:
        self._read, self._get_time = read, attrgetter(time)
        self._runs: dict[str, RememberedRun] = {}
        self._read_at = self._span = 0.0
        self.newest: Sequence[RememberedRun] = ()
        """Runs that the last update added."""

    def update(self, c: Connection, now: float, span: float) -> None:
        """Read new runs, and forget those that ended before the window."""
        first = now - span
        since = first if span > self._span else max(first, self._read_at - OVERLAP)
        rows = self._read(c, timestamps.from_unix(since))
        found = [RememberedRun(timestamps.to_unix(self._get_time(row)), row) for row in rows]
        self.newest = [one for one in found if self._runs.get(one.row.runid) != one]
        self._runs |= {one.row.runid: one for one in self.newest}
        if any(one.at < first for one in self._runs.values()):
            self._runs = {key: one for key, one in self._runs.items() if one.at >= first}
        self._read_at, self._span = now, max(span, self._span)

    def list_since(self, since: float, until: float) -> Sequence[RememberedRun]:
        return [one for one in self._runs.values() if since < one.at <= until]


def make_ended_memory() -> RunMemory:
    """Return the memory of ended runs."""
    return RunMemory(rule_values.list_ended_since, "end_time")


def make_started_memory() -> RunMemory:
    """Return the memory of started runs."""
    return RunMemory(rule_values.list_started_since, "start_time")
