"""The states of tasks and instances and the moves between them that are allowed. Nothing else says which."""

from __future__ import annotations

from collections.abc import Set
from enum import StrEnum


class Task(StrEnum):
    """Where a task stands."""

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


class Run(StrEnum):
    """Where an instance stands."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"


WAITING = frozenset({Task.SCHEDULED, Task.BLOCKED, Task.HELD, Task.QUEUED, Task.RETRYING})
ENDED = frozenset({Task.SUCCEEDED, Task.FAILED, Task.TIMED_OUT, Task.CANCELLED, Task.LOST})
ACTIVE = frozenset({Run.STARTING, Run.RUNNING, Run.PAUSED, Run.STOPPING})
RUN_ENDED = frozenset({Run.SUCCEEDED, Run.FAILED, Run.TIMED_OUT, Run.CANCELLED, Run.LOST})


def ordered(states: Set[Task] | Set[Run]) -> tuple[str, ...]:
    """Return states as plain text, in the order in which they are declared."""
    kind = type(next(iter(states)))
    return tuple(state.value for state in kind if state in states)


def as_sql(states: Set[Task] | Set[Run]) -> str:
    """Return states as a list in SQL. Partial indexes are used only where the order is the same."""
    listed = ", ".join(f"'{state}'" for state in ordered(states))
    return f"({listed})"


ACTIVE_SQL = as_sql(ACTIVE)

TASK_MOVES: dict[Task, frozenset[Task]] = {
    # A waiting task may come to wait for something else, or be cancelled; only a queued one starts.
    **{state: (WAITING - {state}) | {Task.CANCELLED} for state in WAITING - {Task.QUEUED}},
    Task.QUEUED: (WAITING - {Task.QUEUED}) | {Task.RUNNING, Task.CANCELLED},
    Task.RUNNING: ENDED | WAITING,
    # A person may ask for an ended task to run again.
    **{state: WAITING for state in ENDED},
}

RUN_MOVES: dict[Run, frozenset[Run]] = {
    Run.STARTING: frozenset({Run.RUNNING, Run.STOPPING}) | RUN_ENDED,
    Run.RUNNING: frozenset({Run.PAUSED, Run.STOPPING}) | RUN_ENDED,
    Run.PAUSED: frozenset({Run.RUNNING, Run.STOPPING}) | RUN_ENDED,
    Run.STOPPING: frozenset({Run.TIMED_OUT, Run.CANCELLED, Run.FAILED, Run.LOST}),
}


def sources(target: Task | Run) -> tuple[str, ...]:
    """The states from which `target` may be reached, sorted."""
    table = TASK_MOVES if isinstance(target, Task) else RUN_MOVES
    return tuple(sorted(state.value for state, targets in table.items() if target in targets))
