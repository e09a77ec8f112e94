"""Context of a verb: the database, the caller, and the runtime if one is up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from app import paths
from app.core.board import HostFacts, RuntimeFacts, RunUse
from app.core.maintenance_settings import MaintenanceSettings
from app.core.notifications.channels import NotificationSettings
from app.core.runtime_counts import RuntimeCounts
from app.core.scheduling.enforcement import Lack
from db.engine import Database
from db.queries.home.replicas import Replica
from db.rows import SlaRow

if TYPE_CHECKING:
    from app.core.rules.levels import Level
    from app.service.rules.evaluation.levels import AlertText


class RuntimeHandle(Protocol):
    """Interface of a running runtime."""

    @property
    def halted(self) -> str | None:
        """Reason why nothing is started, or None."""
        ...

    @property
    def maintenance(self) -> MaintenanceSettings:
        """Current maintenance settings."""
        ...

    @property
    def notifications(self) -> NotificationSettings:
        """Current settings of notifications."""
        ...

    async def send_test(self, channel: str, by: str) -> str | None:
        """Send a test message to a channel; return why it was not sent, or None."""
        ...

    @property
    def counts(self) -> RuntimeCounts:
        """Runs, rounds and errors since the start of the runtime."""
        ...

    @property
    def clock_doubt(self) -> str:
        """Reason why ages by the clock are in doubt, or ""."""
        ...

    @property
    def clock_ahead(self) -> float:
        """Seconds by which the clock may be ahead, 0 when it is trusted."""
        ...

    async def find_unreadable(self, halts: bool = False) -> str | None:
        """Return the value of the database that explains an unexpected error, or None.

        With `halts`, nothing starts until it can be read.
        """
        ...

    async def replicate(self, to: str | None, by: str) -> Replica | None:
        """Replicate the database to `to`, or stop if None.

        Return the replica after the first copy. Raise Conflict.
        """
        ...

    def get_facts(self) -> RuntimeFacts:
        """Return pids and lag of the runtime and its keeper."""
        ...

    def get_host(self) -> HostFacts:
        """Return the machine as last measured."""
        ...

    def get_starts(self, queue: str) -> int:
        """Return the number of starts of a queue since the last sample."""
        ...

    def get_usage(self, runid: str) -> tuple[float, float] | None:
        """Return the cores and MiB of a run's processes as last measured."""
        ...

    def get_run_use(self, runid: str) -> RunUse | None:
        """Return the resource usage of a run so far."""
        ...

    def list_levels(self, rule: SlaRow) -> Sequence[Level]:
        """Return the present values of a rule of the general form."""
        ...

    def get_left_out(self, rule: SlaRow) -> str:
        """Return what a rule leaves out because there is too much, in words, or ""."""
        ...

    async def evaluate_rules(self) -> None:
        """Evaluate the rules of the general form if something changed; wait for it briefly."""
        ...

    def get_alert_text(self, fingerprint: str) -> AlertText | None:
        """Return why an alert of a rule of the general form fires now, or None."""
        ...

    def list_trail(self, rule: SlaRow) -> list[Level]:
        """Return the values of a rule in the last hour, oldest first."""
        ...

    async def enable_limits(self, names: Sequence[str]) -> Lack | None:
        """Prepare the keeper to enforce limits; return what it lacks, or None."""
        ...

    def signal(self, runids: Sequence[str], number: int) -> None:
        """Send a signal to the sessions of runs."""
        ...

    def end_run(self, runid: str, grace: float) -> None:
        """Stop a run although the stop cannot be recorded now."""
        ...

    def cancel_drain(self) -> None:
        """Cancel a drain."""
        ...

    def mark_stopped(self, by: str, resource: str = "") -> None:
        """Write the stop marker with the name of the caller, and the resource of a cluster.

        Raise DiskFull if no file can be created, else Storage.
        """
        ...

    def stop(self, drain: bool) -> None:
        """Begin to stop the runtime."""
        ...

    def watch_changes(self) -> AsyncIterator[None]:
        """Yield once immediately and once after each change."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a verb.

    `by` is the caller's user name. `live` is None if the database is read without a runtime. `note`
    receives messages for the caller.
    """

    db: Database
    by: str
    home: Path
    live: RuntimeHandle | None = None
    note: Callable[[str], None] = field(default=lambda text: None)

    @property
    def is_replica(self) -> bool:
        """True if a replica is read instead of the home's own database."""
        return self.db.path.name == paths.REPLICA
