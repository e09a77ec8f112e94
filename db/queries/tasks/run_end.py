"""End of a run: facts before it, verdict on it, and the columns that a keeper's report gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from db import timestamps
from db.states import RunStatus


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """Meaning of an exit: status, reason, and seconds until a retry (None: no retry)."""

    status: RunStatus
    reason: str | None
    retry_in: float | None = None
    memory: float | None = None
    """MiB to reserve from now on, after a run that was killed for memory."""
    ran_out_of: float | None = None
    """MiB that were not enough."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Facts that decide the outcome of a run."""

    runid: str
    task_id: str
    status: str
    stop_reason: str | None
    stopped_by: str | None
    retries: int
    failures: int
    retry_delay: float
    timeout: float | None
    log_limit: float | None
    start_time: str | None
    queue: str
    deadline: str | None
    overtaken: int = 0
    """True if a later run of the task is active. Then only that run's end counts."""
    memory: float = 0.0
    retry_on_oom: str | None = None
    oom_memory: float | None = None
    """MiB that were not enough, if the task was retried with more memory before."""
    pool_memory: float | None = None
    """MiB of the pool, if the task may be retried with more memory."""


Judge = Callable[[RunFacts, dict[str, Any]], RunVerdict]


def describe_leftovers(event: dict[str, Any]) -> str | None:
    """Return the note on processes that a run left behind; they keep running."""
    left = event.get("left")
    if not left:
        return None
    return (
        "1 process of the run keeps running"
        if left == 1
        else f"{left} processes of the run keep running"
    )


def make_end_row(event: dict[str, Any], run: RunFacts, verdict: RunVerdict) -> dict[str, Any]:
    """Return the columns of an ended run, with its key and its task."""
    began = get_start_time(run, event)
    return {
        "runid": run.runid,
        "task_id": run.task_id,
        "reason": verdict.reason,
        "exit_code": event.get("code"),
        "signal": event.get("signal"),
        "start_time": timestamps.from_unix(began),
        "end_time": timestamps.from_unix(get_end_time(run, event)),
        "run_seconds": _get_run_seconds(run, event),
        "cpu_seconds": event.get("cpu"),
        "max_rss": None if event.get("maxrss") is None else event["maxrss"] / 1024,
        "logs": event.get("logs"),
        "log_bytes": event.get("log_bytes"),
    }


def measure_run(run: RunFacts, event: dict[str, Any]) -> float | None:
    """Return the seconds that a run took, or None if it never started."""
    if not (run.start_time or event.get("started_at")):
        return None
    return _get_run_seconds(run, event)


def _get_run_seconds(run: RunFacts, event: dict[str, Any]) -> float:
    took = event.get("run_seconds")
    return max(0.0, event["at"] - get_start_time(run, event)) if took is None else took


def get_start_time(run: RunFacts, event: dict[str, Any]) -> float:
    """Return the start of an ended run in UNIX seconds."""
    return event.get("started_at") or (
        timestamps.to_unix(run.start_time) if run.start_time else event["at"]
    )


def get_end_time(run: RunFacts, event: dict[str, Any]) -> float:
    """Return the end of a run in UNIX seconds: after its start, even if the clock was set back."""
    began, at = get_start_time(run, event), event["at"]
    return at if at >= began else began + (event.get("run_seconds") or 0.0)
