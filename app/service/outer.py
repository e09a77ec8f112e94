"""Slurm as the runtime last saw it: its trouble, the jobs of runs, and the cluster.

A process has at most one runtime, so this module keeps one value of each. Without a runtime,
nothing is handed over, and only the database knows of the jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from app.core.board import OuterUse
from app.core.slurm.pool_options import list_words
from app.core.text.sanitize import sanitize
from app.core.text.status_glyphs import get_run_status
from db.states import RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.outer.slurm.facts import ClusterFacts, JobFacts
    from db.rows import ActiveRunRow, PoolRow

NO_RUNTIME = "no runtime hands tasks over to Slurm"
NOT_SET_UP = "Slurm is not set up: config.toml has no [slurm] spool (taskdeck help slurm-pools)"


class OuterSource(Protocol):
    """The client of Slurm, as readers see it."""

    @property
    def facts(self) -> Mapping[str, JobFacts]:
        """Facts of each run."""
        ...

    @property
    def cluster(self) -> ClusterFacts:
        """Facts of the cluster."""
        ...


_trouble: str | None = NO_RUNTIME
_source: OuterSource | None = None


def set_trouble(text: str | None) -> None:
    """Keep why Slurm takes no run now; None if it takes runs."""
    global _trouble
    _trouble = text


def get_trouble() -> str | None:
    """Return why Slurm takes no run now, with the cure, or None."""
    return _trouble


def get_seen_trouble() -> str | None:
    """Return the trouble that a runtime has seen, or None."""
    return None if _trouble == NO_RUNTIME else _trouble


def set_source(source: OuterSource | None) -> None:
    """Keep the client that knows the jobs and the cluster."""
    global _source
    _source = source


def find_job(runid: str) -> JobFacts | None:
    """Return what is known of the job of a run."""
    return _source.facts.get(runid) if _source else None


def get_cluster() -> ClusterFacts | None:
    """Return what is known of the cluster."""
    return _source.cluster if _source else None


def get_shown_status(run: ActiveRunRow) -> str:
    """Return the status of a run as people see it: a run that waits in Slurm is not starting."""
    return get_run_status(run.status, run.outer_job)


def describe_wait(run: ActiveRunRow) -> str:
    """Return what Slurm says of a run, such as why it waits; "" if nothing is known."""
    job = find_job(run.runid)
    return job.reason if job else ""


def describe_cluster() -> dict[str, Any] | None:
    """Return the cluster as sent to clients, or None."""
    found = get_cluster()
    if found is None or found.answered_at is None:
        return None
    return {
        "nodes": len(found.nodes),
        "usable": found.usable_count,
        "states": dict(found.states),
        "answered_at": found.answered_at,
        "answer_seconds": found.answer_seconds,
        "drained": [{"text": one.reason, "cure": one.cure} for one in found.drained],
    }


def make_use(pool: PoolRow, runs: Iterable[ActiveRunRow]) -> OuterUse:
    """Return what a Slurm pool has handed over, and the nodes of the cluster."""
    mine = [run for run in runs if run.pool == pool.name and run.outer_job is not None]
    waiting = sum(run.status == RunStatus.STARTING for run in mine)
    cluster = get_cluster()
    usable, nodes = (cluster.usable_count, len(cluster.nodes)) if cluster else (0, 0)
    trouble = sanitize(get_seen_trouble() or "")
    words = list_words(pool.options)
    return OuterUse(len(mine) - waiting, waiting, usable, nodes, trouble, words)
