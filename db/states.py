"""Statuses of tasks and runs, and their transitions.

No other module defines them.
"""

from __future__ import annotations

from collections.abc import Set
from enum import StrEnum


class TaskStatus(StrEnum):
    """Status of a task."""

    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    HELD = "held"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"


class RunStatus(StrEnum):
    """Status of a run."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"


WAITING = frozenset(
    {
        TaskStatus.SCHEDULED,
        TaskStatus.BLOCKED,
        TaskStatus.HELD,
        TaskStatus.QUEUED,
        TaskStatus.RETRYING,
    }
)
ENDED = frozenset(
    {
        TaskStatus.SUCCEEDED,
        TaskStatus.FAILED,
        TaskStatus.TIMED_OUT,
        TaskStatus.CANCELLED,
        TaskStatus.LOST,
    }
)
FAILED = frozenset({TaskStatus.FAILED, TaskStatus.TIMED_OUT, TaskStatus.LOST})
ACTIVE = frozenset({RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.STOPPING})
RUN_ENDED = frozenset(
    {
        RunStatus.SUCCEEDED,
        RunStatus.FAILED,
        RunStatus.TIMED_OUT,
        RunStatus.CANCELLED,
        RunStatus.LOST,
    }
)


def list_states(states: Set[TaskStatus] | Set[RunStatus]) -> tuple[str, ...]:
    """Return states as plain text, in the order in which they are declared."""
    kind = type(next(iter(states)))
    return tuple(state.value for state in kind if state in states)


def as_sql(states: Set[TaskStatus] | Set[RunStatus]) -> str:
    """Return states as a list in SQL. SQLite uses a partial index only if the order is the same."""
    listed = ", ".join(f"'{state}'" for state in list_states(states))
    return f"({listed})"


ACTIVE_SQL = as_sql(ACTIVE)

TASK_TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    # A waiting task may wait for something else or be cancelled. Only a queued task starts.
    **{
        state: (WAITING - {state}) | {TaskStatus.CANCELLED}
        for state in WAITING - {TaskStatus.QUEUED}
    },
    TaskStatus.QUEUED: (WAITING - {TaskStatus.QUEUED}) | {TaskStatus.RUNNING, TaskStatus.CANCELLED},
    TaskStatus.RUNNING: ENDED | WAITING,
    # A user may run an ended task again.
    **{state: WAITING for state in ENDED},
}

RUN_TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.STARTING: frozenset({RunStatus.RUNNING, RunStatus.STOPPING}) | RUN_ENDED,
    RunStatus.RUNNING: frozenset({RunStatus.PAUSED, RunStatus.STOPPING}) | RUN_ENDED,
    RunStatus.PAUSED: frozenset({RunStatus.RUNNING, RunStatus.STOPPING}) | RUN_ENDED,
    RunStatus.STOPPING: frozenset(
        {RunStatus.TIMED_OUT, RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.LOST}
    ),
}


SKIPPED = "skipped"
"""State of a task that is cancelled because its condition made it needless.

Its status is `cancelled`, and its reason begins with `SKIP_MARK`.
"""
SKIP_MARK = "skipped: "

SATISFYING: dict[str, frozenset[str]] = {
    "success": frozenset({TaskStatus.SUCCEEDED}),
    "any": ENDED | {SKIPPED},
    "failure": ENDED - {TaskStatus.SUCCEEDED},
    "failures": ENDED | {SKIPPED},
    "start": ENDED | {TaskStatus.RUNNING, TaskStatus.RETRYING, SKIPPED},
}
"""Statuses of a parent that satisfy a dependency, by its kind; `skipped` counts as one.

A parent that retries has started. A task with an unsatisfied dependency waits. Dependencies of kind
`failures` on several parents need the end of all, and one of them without success.
"""
BREAKING: dict[str, frozenset[str]] = {
    "success": (ENDED - {TaskStatus.SUCCEEDED}) | {SKIPPED},
    "failure": frozenset({TaskStatus.SUCCEEDED, SKIPPED}),
}
"""Statuses of a parent after which a dependency cannot be satisfied: the task is cancelled."""


def is_skipped(status: str, reason: str | None) -> bool:
    """Return True for a task that is cancelled because its condition made it needless."""
    return status == TaskStatus.CANCELLED and (reason or "").startswith(SKIP_MARK)


def find_source_states(target: TaskStatus | RunStatus) -> tuple[str, ...]:
    """Return the sorted statuses from which `target` can be reached."""
    table = TASK_TRANSITIONS if isinstance(target, TaskStatus) else RUN_TRANSITIONS
    return tuple(sorted(state.value for state, targets in table.items() if target in targets))
