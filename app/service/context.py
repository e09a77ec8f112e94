"""What every verb is given: the database, who asks, and what only a living runtime knows or can do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.core.board import HostFacts, RuntimeFacts, RunUse
from app.core.maintenance_settings import MaintenanceSettings
from db.engine import Database
from db.queries.replicas import Replica


class RuntimeHandle(Protocol):
    """A runtime that is up."""

    @property
    def halted(self) -> str | None:
        """Why nothing starts at all, or None."""
        ...

    @property
    def upkeep(self) -> MaintenanceSettings:
        """How the data is to be looked after."""
        ...

    @property
    def clock_doubt(self) -> str:
        """Why the clock may not say what is old enough to go; empty when it may."""
        ...

    @property
    def clock_ahead(self) -> float:
        """Seconds that the clock may be ahead of what is so; 0 when it is believed."""
        ...

    async def quarantine_rows(self) -> list[str]:
        """Look for rows that cannot be read and set them aside; what was done, in words."""
        ...

    async def replicate(self, to: str | None, by: str) -> Replica | None:
        """Copy the database there from now on, or nowhere; the copy after it was made once. Raises Conflict."""
        ...

    def get_facts(self) -> RuntimeFacts:
        """Its own pid, its keeper's, its lag."""
        ...

    def get_host(self) -> HostFacts:
        """The machine, as last measured."""
        ...

    def get_starts(self, queue: str) -> int:
        """Starts of a queue since the last sample."""
        ...

    def get_usage(self, runid: str) -> tuple[float, float] | None:
        """Cores and MiB that a run's processes took when last measured."""
        ...

    def get_run_use(self, runid: str) -> RunUse | None:
        """What a run's processes took so far."""
        ...

    def signal(self, runids: Sequence[str], number: int) -> None:
        """Send a signal to the sessions of runs."""
        ...

    def end_run(self, runid: str, grace: float) -> None:
        """Begin to end a run though that cannot be recorded now."""
        ...

    def cancel_drain(self) -> None:
        """Start things again after a drain was begun."""
        ...

    def mark_stopped(self, by: str) -> None:
        """Leave the mark that says who wished the runtime to end. Raises DiskFull where no file more can be made, else Storage."""
        ...

    def stop(self, drain: bool) -> None:
        """Begin to end the runtime."""
        ...

    def watch_changes(self) -> AsyncIterator[None]:
        """One item now, then one after each change."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a verb. `by` is the caller's user name; `live` is None when the database is read without a runtime."""

    db: Database
    by: str
    home: Path
    live: RuntimeHandle | None = None
    note: Callable[[str], None] = field(default=lambda text: None)
